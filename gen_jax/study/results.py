"""results/NAME.json: what the runs of a row measured, on what, and for how long."""

import dataclasses
import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dacite

from gen_jax import config as configs
from gen_jax import game
from gen_jax.config import NEUTRAL
from gen_jax.errors import DataError, UserError
from gen_jax.report.run_reader import content, read
from gen_jax.run.experiment import Config, Experiment, presets
from gen_jax.run.log import TIME
from gen_jax.run.provenance import digest
from gen_jax.run.session import stages_of
from gen_jax.storage import files
from gen_jax.study.rows import Part, Row, experiment_of
from gen_jax.types import Json

SCHEMA = 1
FOLDER = Path("results")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A measure at each step at which it was evaluated; None where it was not finite."""

    unit: str
    values: dict[str, float | None]  # step -> value


@dataclasses.dataclass(frozen=True)
class Played:
    """One run, whole or stopped."""

    seed: int
    values: Json  # of the sweep
    steps: int
    images: int  # batches times their size
    minutes: float | None  # of all starts, also their compilation and evaluation
    beside: int  # seeds in one program
    measures: dict[str, Measured]
    config: Json
    config_hash: str  # of what affects the weights, but for the seed
    code_hash: str | None
    data: dict[str, str]  # hashes
    environment: Json


@dataclasses.dataclass(frozen=True)
class Result:
    """All runs of a row."""

    row: str
    experiment: str
    preset: str
    changes: Json
    steps: int  # of a whole run
    images: int
    published_steps: int | None
    published_images: int | None
    runs: list[Played] = dataclasses.field(default_factory=list)
    schema: int = SCHEMA


def images_after(experiment: Experiment[Config], config: Config, steps: int) -> int:
    """Return how many images the players were shown in so many steps, over all stages."""
    stages: list[tuple[int, int]] = [(0, config.batch_size)]
    if hasattr(experiment, "stages"):
        alone = game.of(experiment, config)
        stages = [(one.first, one.batch_size) for one in stages_of(experiment, config, alone)]
    ends = [*(first for first, _ in stages[1:]), steps]
    return sum(
        max(0, min(end, steps) - first) * size
        for (first, size), end in zip(stages, ends, strict=True)
    )


def empty(row: Row, part: Part) -> Result:
    """Return the result of a row of which nothing was played."""
    experiment, config = experiment_of(row), part.config()
    steps, images = None, None
    if row.published:
        whole = presets(experiment)[row.published][1]
        steps, images = whole.steps, images_after(experiment, whole, whole.steps)
    return Result(
        row.name,
        row.module,
        row.preset,
        dict(row.changes),
        config.steps,
        images_after(experiment, config, config.steps),
        steps,
        images,
    )


def load(row: Row, folder: Path) -> list[Played]:
    """Return the runs in results/NAME.json; none if there is no such file.

    Raises DataError if the file is damaged.
    """
    path = folder / f"{row.name}.json"
    if not path.exists():
        return []
    found = _parse(_json(path), path)
    if found.row != row.name:
        raise DataError(f"{path} is the result of row {found.row}: rename or delete it.")
    return found.runs


def _json(path: Path) -> Any:
    try:
        return json.loads(content(path))
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path} is not JSON{where}: restore or delete it.") from error


def _parse(value: Any, path: Path) -> Result:
    try:
        found = dacite.from_dict(Result, value, dacite.Config(strict=True))
    except (ValueError, dacite.DaciteError, AttributeError) as error:
        raise DataError(f"{path} is not a result ({error}): restore or delete it.") from error
    if found.schema != SCHEMA:
        raise DataError(f"{path} has schema {found.schema}; {SCHEMA} is expected: delete it.")
    seen = set()
    for run in found.runs:
        who = (run.seed, json.dumps(run.values))
        known = [one for measure in run.measures.values() for one in measure.values.items()]
        wrong = [name for name, value in known if not _is_measured(name, value)]
        if wrong or who in seen:
            what = f"a value at step {wrong[0]!r}" if wrong else "two runs"
            raise DataError(f"{path} has {what} of seed {run.seed}: restore or delete it.")
        seen.add(who)
    return found


def _is_measured(step: str, value: float | None) -> bool:
    """Return whether a step is a number as it is written, and its value finite, or None."""
    number = re.fullmatch(r"0|[1-9]\d{0,17}", step)
    return number is not None and (value is None or abs(value) < 1e300)


def load_all(path: Path, parts: Iterable[Part]) -> Iterator[tuple[Part, Played]]:
    """Yield the runs in the NAME.json of a row, or in a results.json of rows, each with its part.

    Raises DataError if the file is damaged, and UserError if a run is of none of these parts.
    """
    values = _json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} is not a result: it has no rows; restore or delete it.")
    if isinstance(values.get("row"), str):
        values = {values["row"]: values}
    known: dict[str, list[Part]] = {}
    for part in parts:
        known.setdefault(part.row.name, []).append(part)
    for name, value in values.items():
        for one in _parse(value, path).runs:
            found = next((part for part in known.get(name, ()) if of_group([one], part)), None)
            if found is None:
                raise UserError(f"{path} has a run of {name} that is of no row of the studies.")
            yield found._replace(seed=one.seed), one


def add(part: Part, played: Played, folder: Path) -> bool:
    """Write a run into results/NAME.json, in place of an earlier one of that part.

    Return False if one with the same config that went further was kept instead.
    """
    known = load(part.row, folder)
    same = (one for one in known if (one.seed, one.values) == (played.seed, played.values))
    if any(one.config_hash == played.config_hash and one.steps > played.steps for one in same):
        return False
    others = [one for one in known if (one.seed, one.values) != (played.seed, played.values)]
    runs = sorted([*others, played], key=lambda one: (json.dumps(one.values), one.seed))
    result = dataclasses.replace(empty(part.row, part), runs=runs)
    text = json.dumps(dataclasses.asdict(result), indent=1, allow_nan=False)
    files.replace(folder / f"{part.row.name}.json", text + "\n")
    return True


def of_group(runs: Iterable[Played], part: Part) -> list[Played]:
    """Return the runs, of any seed, with the config that the row of a part has now."""
    config, where = part.config(), f"{FOLDER / part.row.name}.json"
    try:
        return [one for one in runs if not differences(one.config, config, where, "run.seed")]
    except UserError as error:
        raise DataError(f"{error} Restore or delete {where}.") from error


def of_part(runs: Iterable[Played], part: Part) -> Played | None:
    """Return the run of a part with the config that the row has now, if it is among these."""
    own = (one for one in runs if one.seed == part.seed)
    return next(iter(of_group(own, part)), None)


def step_of(row: Row, run: Played) -> int | None:
    """Return the step whose measures the row reports: where its `best` is highest, else the last;
    None if nothing was measured.
    """
    if row.best is None:
        own = [run.measures[name] for name in row.measures if name in run.measures]
        return max((int(step) for one in own for step in one.values), default=None)
    values = run.measures[row.best].values if row.best in run.measures else {}
    known = {step: value for step, value in values.items() if value is not None}
    return int(max(known, key=lambda step: known[step])) if known else None


def value_of(row: Row, run: Played, metric: str) -> float | None:
    """Return the value at the step that the row reports; None if it was not measured there."""
    measured = run.measures.get(metric)
    return measured.values.get(str(step_of(row, run))) if measured else None


def differences(old: Json, config: Config, where: str, *ignore: str) -> list[str]:
    """Describe the fields that affect the weights and differ between a stored config and this."""
    before = configs.to_json(configs.from_json(type(config), old, where))
    return configs.differences(before, configs.to_json(config), (*NEUTRAL, *ignore))


def read_run(part: Part, directory: Path) -> Played | None:
    """Return what the run in a directory has measured; None if it has measured nothing.

    Raises UserError if it is not a run of this part.
    """
    run, config = read(directory), part.config()
    other = [] if run.experiment == part.row.module else [f"it is of {run.experiment}"]
    if other := other or differences(run.config, config, str(directory / "config.json")):
        raise UserError(f"{directory} is not a run of row {part.row.name}: {', '.join(other)}.")
    for one in run.continued:
        if one["schedules"]:
            raise UserError(
                f"{directory} was continued from a run of {one['steps']:,} steps, over which "
                f"{' and '.join(one['schedules'])} was planned: train it again from the start."
            )
    measures = {
        name: Measured(unit, {str(step): value for step, value in run.metrics[name].items()})
        for name, unit in run.paper.units.items()
        if name in run.metrics
    }
    if not measures or run.last_step is None:
        return None
    kept = {**run.config, "run": {**run.config["run"], "dir": None, "data": None}}
    plain = configs.to_json(config)
    learnt = {name: value for name, value in configs.flatten(plain) if name not in NEUTRAL}
    beside = int(run.environment.get("seeds", 1))
    return Played(
        seed=part.seed,
        values=json.loads(json.dumps(dict(part.values))),  # tuples as in the file: lists
        steps=run.last_step,
        images=images_after(experiment_of(part.row), config, run.last_step),
        minutes=_minutes(directory / "log.txt"),
        beside=beside,
        measures=measures,
        config=kept,
        config_hash=digest({**learnt, "run.seed": None}),
        code_hash=run.environment.get("code"),
        data=run.data,
        environment={n: value for n, value in run.environment.items() if n != "code"},
    )


START = re.compile(r"[\d,]+ parameters, [\d,]+ steps|Resuming from the checkpoint of step \d+")


def _minutes(log: Path) -> float | None:
    """Return the minutes between the first and the last line of each start, in sum."""
    total, first, last = 0.0, None, None
    for line in log.read_text("utf-8", "replace").splitlines() if log.is_file() else ():
        try:
            now = time.mktime(time.strptime(line[:19], TIME))
        except ValueError:  # a line of an older release, or of a message of several lines
            continue
        if START.match(line[20:]) and first is not None and last is not None:
            total, first = total + last - first, now
        first, last = now if first is None else first, now
    return round((total + last - first) / 60, 2) if first is not None and last is not None else None


def part_of(directory: Path, parts: Iterable[Part]) -> Part:
    """Return the part that the run in a directory is of: of several with one config, that with the
    directory's name, else the first. Raises UserError if it is of none.
    """
    run, found = read(directory), []
    for part in parts:
        same = part.row.module == run.experiment and part.seed == run.config["run"]["seed"]
        if same and not differences(run.config, part.config(), str(directory / "config.json")):
            found.append(part)
    if not found:
        raise UserError(f"{directory} is a run of no row of the given studies.")
    return next((part for part in found if part.name == run.name), found[0])
