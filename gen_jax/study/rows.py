"""A study is a table of rows. A row is some runs of one paper that answer one question.

ROWS = [
    Row(
        "vae-rates",
        paper="vae",
        preset="quick",
        question="How far does the bound depend on the learning rate?",
        measures={"test/elbo": "test ELBO, nats"},
        sweep={"optimizer.learning_rate": (3e-4, 1e-3, 3e-3)},
    ),
]
"""

import dataclasses
import importlib
import importlib.util
import itertools
import math
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from gen_jax import config as configs
from gen_jax.config import Changes
from gen_jax.errors import UserError
from gen_jax.run.experiment import Config, Experiment, check, presets

KINDS: dict[str, tuple[Any, str]] = {  # what the fields of a row may be
    **dict.fromkeys(("paper", "preset", "question", "picture", "answer"), (str, "a text")),
    **dict.fromkeys(("measures", "changes", "sweep"), (Mapping, "a dictionary")),
    **dict.fromkeys(("seeds", "first_seed"), (int, "a whole number")),
    **dict.fromkeys(("published", "best"), (str | None, "a text, or None")),
    "claims": (tuple, "a tuple of names"),
    "lower": (bool, "True or False"),
    "minutes": (int | float | None, "a number, or None"),
}
GIVEN = ("headline", "ablations", "quick", "gpu", "smoke")  # the studies in this folder


@dataclasses.dataclass(frozen=True)
class Row:
    """Runs of one preset, with some changes, for some seeds. Raises UserError for a bad name."""

    name: str  # of results/NAME.json and of the run directories
    paper: str  # a file of experiments/, "vae", or another module, "mine.paper"
    preset: str
    question: str  # one sentence
    measures: Mapping[str, str]  # metric -> its label on the page; the first is in the README
    claims: tuple[str, ...] = ()  # the measures whose claim is about these data and this protocol
    seeds: int = 3
    first_seed: int = 0
    changes: Changes = dataclasses.field(default_factory=dict)  # {"adam.learning_rate": 1e-4}
    # All combinations of these values are played: {"adam.learning_rate": (1e-4, 1e-3)}.
    sweep: Mapping[str, Sequence[object]] = dataclasses.field(default_factory=dict)
    published: str | None = None  # the preset with the published budget, if one was published
    best: str | None = None  # report the step where this metric is highest, not the last one
    picture: str = "samples"  # kept for the README; or an animation, "progress"; "": none
    lower: bool = False  # a lower value of the first measure is better, where no claim says so
    minutes: float | None = None  # stop a run after this time; what it measured so far counts
    answer: str = ""  # what was found, in a sentence or two

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name):
            raise UserError(
                f"a row is named {self.name!r}; use small letters, digits, - and _, for file names."
            )
        for field, (kinds, words) in KINDS.items():
            value = getattr(self, field)
            if not isinstance(value, kinds) or (isinstance(value, bool) and field != "lower"):
                raise UserError(f"{field} of row {self.name} is {value!r}; it must be {words}.")
        numbers = {"seeds": self.seeds >= 1, "first_seed": self.first_seed >= 0}
        numbers["minutes"] = self.minutes is None or 0 < self.minutes < math.inf
        if wrong := [field for field, right in numbers.items() if not right]:
            least = "0 or more" if wrong[0] == "first_seed" else "above 0"
            value = getattr(self, wrong[0])
            raise UserError(f"{wrong[0]} of row {self.name} is {value}; it must be {least}.")
        if strange := sorted({*self.claims} - {*self.measures}):
            raise UserError(f"row {self.name} claims {strange[0]}, which is not in its measures.")
        if own := {"run.seed", "run.seeds", "run.dir"} & {*self.changes, *self.sweep}:
            raise UserError(f"row {self.name} changes {min(own)}: give seeds and first_seed.")
        for field, values in self.sweep.items():
            if not isinstance(values, tuple | list) or not values:
                raise UserError(
                    f"the sweep of {field} in row {self.name} is {values!r}; it must be a tuple of "
                    "one value or more."
                )

    @property
    def module(self) -> str:
        return self.paper if "." in self.paper else f"experiments.{self.paper}"


def rehearsal(row: Row) -> Row:
    """Return a row that is played in seconds, as `tiny`, with a name of its own."""
    return Row(
        f"{row.name}-rehearsed",
        row.paper,
        "tiny",
        row.question,
        measures={},
        seeds=min(row.seeds, 2),
        picture="",
        minutes=row.minutes,
    )


class Part(NamedTuple):
    """One run of a row: one seed, with one combination of the values in the sweep."""

    row: Row
    seed: int
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def group(self) -> str:
        """The name of the parts that differ in their seed alone."""
        told = [f"{name.rpartition('.')[2]}={value}" for name, value in self.values]
        return re.sub(r"[^A-Za-z0-9_.=-]+", "-", "-".join([self.row.name, *told]))

    @property
    def name(self) -> str:
        return f"{self.group}-s{self.seed}"

    @property
    def changes(self) -> dict[str, object]:
        """The changed fields of the config, without the seed."""
        return {**self.row.changes, **dict(self.values)}

    def config(self) -> Config:
        """Return the config of this run; raises UserError if the row names no valid one."""
        row = self.row
        known = presets(experiment_of(row))
        if row.preset not in known:
            raise UserError(
                f"row {row.name}: {row.module} has no preset {row.preset}; it has "
                f"{', '.join(known)}."
            )
        if row.published is not None and row.published not in known:
            raise UserError(f"row {row.name}: {row.module} has no preset {row.published}.")
        try:
            return configs.changed(known[row.preset][1], {**self.changes, "run.seed": self.seed})
        except UserError as error:
            raise UserError(f"row {row.name}: {error}") from error

    def command(self) -> list[str]:
        """Return the arguments of the run after `python`, without its directory and its seed."""
        return ["-m", self.row.module, self.row.preset, *flags(self.changes)]


def flags(changes: Changes) -> list[str]:
    """Return the command line arguments that change these fields."""
    found: list[str] = []
    for name, value in changes.items():
        outer, dot, last = name.replace("_", "-").rpartition(".")
        if isinstance(value, bool):
            found.append(f"--{outer}{dot}{'' if value else 'no-'}{last}")
        else:
            values = value if isinstance(value, tuple | list) else [value]
            found += [f"--{outer}{dot}{last}", *map(str, values)]
    return found


def experiment_of(row: Row) -> Experiment[Config]:
    """Return the module of the paper of a row. Raises UserError if there is none."""
    try:
        module = cast(Experiment[Config], importlib.import_module(row.module))
    except ModuleNotFoundError as error:
        if error.name is None or not row.module.startswith(error.name):
            raise
        raise UserError(
            f"row {row.name}: there is no module {row.module}; a module outside experiments/ is "
            "named with its package, as mine.paper."
        ) from error
    except Exception as error:
        raise UserError(
            f"row {row.name}: {row.module} cannot be imported: {_told(error)}"
        ) from error
    check(module)
    return module


def parts(rows: Sequence[Row]) -> Iterator[Part]:
    """Yield the runs of all rows in the order in which they are played."""
    for row in rows:
        for values in itertools.product(*row.sweep.values()):
            for seed in range(row.first_seed, row.first_seed + row.seeds):
                yield Part(row, seed, tuple(zip(row.sweep, values, strict=True)))


def load(study: str | Path) -> list[Row]:
    """Return the rows of a given study, or of a file with ROWS, after checking each.

    Raises UserError if there is no such study, or if a row cannot be played.
    """
    module = _import(study)
    rows = getattr(module, "ROWS", None)
    if not isinstance(rows, list | tuple) or not rows:
        raise UserError(f"{study} has no list ROWS: give ROWS = [gen_jax.study.Row(...), ...].")
    if other := next((row for row in rows if not isinstance(row, Row)), None):
        raise UserError(f"{study} has {other!r} in ROWS: give gen_jax.study.Row(...) only.")
    seen = set()
    for part in parts(rows):
        part.config()
        if part.name in seen:
            raise UserError(
                f"{study} has two runs named {part.name}: rename a row, or sweep each value once."
            )
        seen.add(part.name)
    return list(rows)


def _import(study: str | Path) -> ModuleType:
    if study in GIVEN:
        return importlib.import_module(f"gen_jax.study.{study}")
    path = Path(study)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if path.suffix != ".py" or not path.is_file() or spec is None or spec.loader is None:
        known = ", ".join(GIVEN)
        raise UserError(f"{study} is neither a study ({known}) nor a Python file with ROWS.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} cannot be read: {_told(error)}") from error
    return module


def _told(error: Exception) -> str:
    """Describe an error of a user's file by its place, kind and message."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}."
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}, line {last.lineno}: {type(error).__name__}: {error}."
