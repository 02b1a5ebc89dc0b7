"""Reads and checks the directory of a run, as the training loop writes it."""

import dataclasses
import json
from pathlib import Path

import dacite

from gen_jax.config import SCHEMA
from gen_jax.errors import DataError, UserError
from gen_jax.types import Claim, Json

Series = dict[int, float]  # step -> value, in the order of the steps
LOG_LINES = 40


@dataclasses.dataclass(frozen=True)
class Description:
    """paper.json: the header of the experiment file, the claims, and the units of the metrics."""

    title: str
    authors: str
    venue: str
    replicated: str
    not_replicated: str
    arxiv: str | None = None
    cost: str = ""
    claims: dict[str, Claim] = dataclasses.field(default_factory=dict)
    units: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Run:
    """The content of the directory of a run."""

    directory: Path
    experiment: str
    preset: str
    config: Json
    data: Json  # hashes
    paper: Description
    environment: Json
    command: str
    log: list[str]
    metrics: dict[str, Series]
    last_step: int | None
    torn: bool  # the last line of metrics.jsonl was cut off
    # Each change of the number of steps: "step", "steps" until then, and "schedules" over them.
    continued: list[Json] = dataclasses.field(default_factory=list)
    start: Json | None = None  # the networks it began with: "from", "step", "networks", "sha256"

    @property
    def name(self) -> str:
        return self.directory.resolve().name


def read(directory: Path) -> Run:
    """Read a run. command.txt, log.txt and samples/ may be missing.

    Raises UserError if there is no directory, and DataError if a file is missing or damaged.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory: give the directory of a run.")
    config = _object(directory / "config.json")
    if config.get("schema") != SCHEMA or not isinstance(config.get("config"), dict):
        raise DataError(
            f"{directory / 'config.json'} has schema {config.get('schema')!r}, "
            f"but {SCHEMA} is expected: run again."
        )
    try:
        paper = dacite.from_dict(Description, _object(directory / "paper.json"))
    except dacite.DaciteError as error:
        raise DataError(
            f"{directory / 'paper.json'} does not describe a paper: {error}."
        ) from error
    for name, claim in paper.claims.items():
        widths = [width for width in (claim.spread, claim.tolerance) if width is not None]
        if not all(map(_is_number, (claim.value, *widths))):
            said = f"{claim.value} +- {claim.spread}, tolerance {claim.tolerance},"
            raise DataError(f"{directory / 'paper.json'} claims {said} for {name}, not a number.")
    metrics, last_step, torn = _metrics(directory / "metrics.jsonl")
    return Run(
        directory=directory,
        experiment=str(config.get("experiment")),
        preset=str(config.get("preset")),
        config=config["config"],
        data=config.get("data") or {},
        paper=paper,
        environment=_object(directory / "env.json"),
        command=_text(directory / "command.txt"),
        log=_text(directory / "log.txt").splitlines()[-LOG_LINES:],
        metrics=metrics,
        last_step=last_step,
        torn=torn,
        continued=config.get("continued") or [],
        start=config.get("start"),
    )


def _text(path: Path) -> str:
    return content(path).decode("utf-8", "replace").strip() if path.is_file() else ""


def content(path: Path) -> bytes:
    """Return the bytes of a file of a run. Raises DataError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): is {path.parent} a run directory?"
        ) from error


def _object(path: Path) -> Json:
    try:
        value = json.loads(content(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}): restore it or run again.") from error
    if not isinstance(value, dict):
        raise DataError(
            f"{path} holds a {type(value).__name__}, but a JSON object is expected: "
            "restore it or run again."
        )
    return value


def _is_number(value: object) -> bool:
    """Return whether a value is a number; False for NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _metrics(path: Path) -> tuple[dict[str, Series], int | None, bool]:
    """Return (series of each metric, last step, whether the last line is cut off) of a
    metrics.jsonl.

    A step that was logged twice, after a resume, counts once.
    """
    *lines, tail = content(path).split(b"\n")  # the tail is empty if the last line is complete
    steps: dict[int, dict[str, float]] = {}
    torn = False
    for count, line in enumerate([*lines, tail] if tail else lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if torn := count > len(lines):
                break
            raise DataError(
                f"{path}, line {count}, is damaged ({error}): remove that line."
            ) from error
        step = record.pop("step", None) if isinstance(record, dict) else None
        values = {n: v for n, v in record.items() if v is not None} if step is not None else {}
        if type(step) is not int or step < 0 or not all(map(_is_number, values.values())):
            raise DataError(
                f"{path}, line {count}, is not a step with finite numbers or nulls: "
                "remove that line."
            )
        steps.setdefault(step, {}).update({name: float(value) for name, value in values.items()})
    metrics: dict[str, Series] = {}
    for step, record in sorted(steps.items()):
        for name, value in record.items():
            metrics.setdefault(name, {})[step] = value
    return metrics, max(steps, default=None), torn
