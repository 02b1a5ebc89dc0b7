"""A study is a table of rows. A row is some runs of one paper that answer one question.

ROWS = [
    Row(
        "vae-rates",
        paper="vae",
        preset="quick",
        question="How far does the bound depend on the learning rate?",
        measures={"test/elbo": "test ELBO, nats"},
        sweep={"adam.learning_rate": (3e-4, 1e-3, 3e-3)},
    ),
]
"""

import dataclasses
import importlib
import importlib.util
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from gen_jax import config as configs
from gen_jax.config import Changes
from gen_jax.errors import UserError
from gen_jax.run.experiment import Config, Experiment, check, presets

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
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name):
            raise UserError(
                f"a row is named {self.name!r}; use small letters, digits, - and _, for file names."
            )
        if self.seeds < 1:
            raise UserError(f"seeds of row {self.name} is {self.seeds}; it must be 1 or more.")
        if strange := sorted({*self.claims} - {*self.measures}):
            raise UserError(f"row {self.name} claims {strange[0]}, which is not in its measures.")

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
        raise UserError(f"row {row.name}: there is no module {row.module}.") from error
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
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Row) for row in rows):
        raise UserError(f"{study} has no ROWS: give ROWS = [Row(...), ...] of gen_jax.study.")
    names = [row.name for row in rows]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{study} has two rows with the name {twice}: rename one.")
    for part in parts(rows):
        part.config()
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
    spec.loader.exec_module(module)
    return module
