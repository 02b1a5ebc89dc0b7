"""The interface of an experiment file, its presets, and its command line."""

import ast
import dataclasses
import functools
import importlib
import itertools
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast

import numpy as np
from flax import linen as nn

from gen_jax.config import Run
from gen_jax.data.pipeline import Data, Source
from gen_jax.errors import UserError
from gen_jax.game import Player, Trained
from gen_jax.types import Claim, Key, Measure


class Config(Protocol):
    """The fields of every config. A config is a frozen dataclass with these fields and those of its
    paper.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def run(self) -> Run: ...


C = TypeVar("C", bound=Config)
Presets = Mapping[str, tuple[str, C]]  # name -> (description and cost, Config)


class Experiment(Protocol[C]):
    """The module of an experiment file, or of a variant of another (see `completed`).

    It may also have `game(config) -> Game`, if its players do not update in turn,
    `stages(config) -> tuple[Stage, ...]`, if its game changes during training, and `STARTS`,
    published weights for --run.init-from: {name: function -> params by network}.
    """

    __name__: str
    __doc__: str | None
    __file__: str | None
    Config: type[C]
    PRESETS: Presets[C]  # protocols of the paper; further presets are in experiments/presets/
    CLAIMS: Mapping[str, Claim]  # by the name of the metric

    def model(self, config: C) -> nn.Module: ...
    def players(self, config: C) -> dict[str, Player]: ...
    def source(self, config: C) -> Source: ...
    def sample(self, config: C, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]: ...
    def evaluate(self, config: C, model: Trained, data: Data, key: Key) -> dict[str, Measure]: ...


PROVIDED = ("Config", "PRESETS", "CLAIMS", "model", "players", "source", "sample", "evaluate")


def completed(experiment: Experiment[C]) -> Experiment[C]:
    """Return the module of a variant, a file with `BASE = vae`, with the other names of its base.

    The functions of the base then use the names of the variant: `game` makes a game of the
    variant's `players`. Its `REPLACED` are the names of the base that it has itself. Presets are
    inherited, and claims are not. Any other module is returned as it is. Raises UserError if the
    base is no experiment, or if the variant replaces nothing of it.
    """
    own = vars(experiment)
    if "BASE" not in own or "REPLACED" in own:
        return experiment
    if not isinstance(own["BASE"], types.ModuleType):
        kind = type(own["BASE"]).__name__
        raise UserError(
            f"BASE of {experiment.__name__} is of type {kind}; give the module of a paper."
        )
    base = completed(cast(Experiment[C], own["BASE"]))
    check(base)
    theirs = {name: value for name, value in vars(base).items() if not name.startswith("__")}
    replaced = sorted(
        name
        for name in {*own} & {*theirs} - {"BASE", "REPLACED", "CLAIMS"}
        if own[name] is not theirs[name]
    )
    if not replaced:
        raise UserError(
            f"{experiment.__name__} replaces nothing of its BASE, {base.__name__}: "
            "define players, or another name of that file."
        )
    whole = types.ModuleType(experiment.__name__)
    names = vars(whole)
    for module, known in ((base, theirs), (experiment, own)):
        names.update({n: _rebound(value, vars(module), names) for n, value in known.items()})
    names.update({"CLAIMS": own.get("CLAIMS", {}), "REPLACED": tuple(replaced)})
    if not issubclass(names["Config"], base.Config):
        raise UserError(
            f"the Config of {experiment.__name__} must derive from that of {base.__name__}."
        )
    inherited = {
        name: (
            what,
            names["Config"](**{f.name: getattr(one, f.name) for f in dataclasses.fields(one)}),
        )
        for name, (what, one) in presets(base).items()
    }
    names["PRESETS"] = {**inherited, **own.get("PRESETS", {})}
    return cast(Experiment[C], whole)


def _rebound(value: object, module: dict[str, Any], names: dict[str, Any]) -> object:
    """Return a function of a module as one of these global names; other values as they are."""
    if not isinstance(value, types.FunctionType) or value.__globals__ is not module:
        return value
    copy = types.FunctionType(
        value.__code__, names, value.__name__, value.__defaults__, value.__closure__
    )
    copy.__kwdefaults__ = value.__kwdefaults__
    return functools.update_wrapper(copy, value)


def check(experiment: Experiment[C]) -> None:
    """Raise UserError if the module of an experiment lacks a name, a field or its header."""
    if missing := [name for name in PROVIDED if not hasattr(experiment, name)]:
        raise UserError(
            f"{experiment.__name__} has no {', '.join(missing)}: docs/extend.md says what each is, "
            "and how a file takes them from another paper."
        )
    given = {field.name for field in dataclasses.fields(experiment.Config)}
    given |= {*dir(experiment.Config)}  # properties too: Progressive GAN computes its steps
    if missing := [name for name in ("steps", "batch_size", "run") if name not in given]:
        raise UserError(f"the Config of {experiment.__name__} has no {', '.join(missing)}.")
    header(experiment)


def check_model(module: nn.Module) -> None:
    """Raise UserError if a module cannot be hashed, as compiled functions of it need."""
    try:
        hash(module)
    except TypeError as error:
        raise UserError(
            f"the fields of {type(module).__name__} cannot be hashed: give tuples and not lists or "
            f"dictionaries, also to nn.Sequential ({error})."
        ) from error


def check_measures(measured: Mapping[str, object]) -> None:
    """Raise UserError if `evaluate` did not return numbers with units, by name."""
    if not isinstance(measured, Mapping):
        kind = type(measured).__name__
        raise UserError(f"evaluate returned a {kind}; it must return {{name: Measure}}.")
    for name, value in measured.items():
        if not isinstance(value, Measure):
            kind = type(value).__name__
            raise UserError(f"evaluate returned {name} as a {kind}; give Measure(value, unit).")


def check_pictures(pictures: object) -> None:
    """Raise UserError if `sample` did not return images [h, w, 1 or 3], by name."""
    if not isinstance(pictures, Mapping):
        kind = type(pictures).__name__
        raise UserError(f"sample returned a {kind}; it must return {{name: image}}.")
    for name, picture in pictures.items():
        shape = np.shape(picture)
        if len(shape) != 3 or shape[-1] not in (1, 3):
            raise UserError(f"sample returned {name} of shape {list(shape)}; give [h, w, 1 or 3].")


def presets(experiment: Experiment[C]) -> Presets[C]:
    """Return the protocols of the paper, then the smaller budgets and ablations in `presets/`.

    Raises UserError if a name stands in both.
    """
    file = Path(str(getattr(experiment, "__file__", None)))
    if not (file.parent / "presets" / file.name).exists():
        return experiment.PRESETS
    package, _, name = experiment.__name__.rpartition(".")
    more = importlib.import_module(f"{package}.presets.{name}".lstrip("."))
    if twice := sorted({*experiment.PRESETS} & {*more.PRESETS}):
        place = f"{package}/presets/{name}.py".lstrip("/")
        raise UserError(f"{place} has {twice[0]}, as {name}.py has: rename it.")
    return {**experiment.PRESETS, **more.PRESETS}


SECTIONS = ("Replicated", "Not replicated", "Cost")  # of a header


class Paper(NamedTuple):
    """The header of an experiment file."""

    title: str
    authors: str
    venue: str
    arxiv: str | None
    replicated: str
    not_replicated: str
    cost: str

    @classmethod
    def of(cls, docstring: str | None) -> "Paper":
        """Parse the header: title; authors, venue and arXiv id; Replicated, Not replicated, Cost.

        Raises UserError if a part is missing.
        """
        blocks = [" ".join(block.split()) for block in (docstring or "").split("\n\n")]
        second = blocks[1] if len(blocks) > 1 else ""
        parts = re.match(r"(.+)\. ([^.]+)\.(?: arXiv:(\S+))?$", second)
        rest = {name: text for name, _, text in (block.partition(": ") for block in blocks[2:])}
        missing = [name for name in SECTIONS if name not in rest]
        if parts is None or missing:
            raise UserError(
                "the header must have 'Authors. Venue. arXiv:ID.' and "
                f"{missing or 'a title'}: {blocks[:2]}"
            )
        return cls(blocks[0].rstrip("."), *parts.groups(), *(rest[name] for name in SECTIONS))


def header(experiment: Experiment[C]) -> Paper:
    """Return the header of an experiment. That of a variant says of what, and may be a title alone.

    Raises UserError if a part is missing.
    """
    names = vars(experiment)
    text, file = experiment.__doc__, names.get("__file__")
    if text is None and file:  # python -OO leaves it out
        text = ast.get_docstring(ast.parse(Path(file).read_text(encoding="utf-8")))
    if "REPLACED" not in names:
        return Paper.of(text)
    base = names["BASE"].__name__
    kept = f"All of {base} but {', '.join(names['REPLACED'])}."
    if "\nReplicated: " in (text or ""):
        paper = Paper.of(text)
        return paper._replace(replicated=f"{paper.replicated} {kept}")
    title = " ".join((text or experiment.__name__).split()).rstrip(".")
    paper = header(completed(names["BASE"]))
    return paper._replace(
        title=title, authors=f"A variant of {base}", venue=paper.title, arxiv=None, replicated=kept
    )


def paper_of(path: Path) -> Paper:
    """Return the header of an experiment file, read without importing it."""
    return Paper.of(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))


def command_line(experiment: Experiment[C], arguments: list[str]) -> tuple[str, C]:
    """Return (preset, config) from the arguments after the module's name.

    Invalid arguments end the program with exit code 2 and a message.
    """
    import tyro

    if not hasattr(experiment, "PRESETS"):  # the rest is checked later: --help reads no claims
        check(experiment)
    for flag, value in itertools.zip_longest(arguments, arguments[1:]):
        for name in ("--run.dir", "--run.data"):
            if flag == f"{name}=" or (flag == name and value == ""):
                raise UserError(f"{name} is empty: give a directory, or omit it.")
    config = tyro.extras.overridable_config_cli(
        dict(presets(experiment)),
        args=arguments,
        prog=f"python -m {experiment.__name__}",
        description=(experiment.__doc__ or "") + EXIT_CODES,
    )
    return arguments[0], config


EXIT_CODES = """
Integers may be written 100_000, floats 1e-3, and flags --x.flag or --x.no-flag.

Exit codes: 0 success; 2 bad arguments; 65 bad data; 69 device not found; 70 a loss is not finite;
71 out of memory or too many open files; 73 a directory cannot be created or written; 74 a
checkpoint or another file cannot be read or written; 75 run directory in use; 128 + N stopped by
signal N (SIGHUP 129, SIGINT 130, SIGQUIT 131, SIGUSR1 138, SIGUSR2 140, SIGTERM 143): a run that
had started is saved, and the same command resumes it.
"""
