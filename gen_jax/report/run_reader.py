"""A run directory, as the training loop writes it, read back and checked."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import dacite

from gen_jax.config import SCHEMA
from gen_jax.errors import DataError, UserError
from gen_jax.types import Claim

Series = dict[int, float]  # step -> value, in the order of the steps
LOG_LINES = 40


@dataclasses.dataclass(frozen=True)
class Description:
    """paper.json: the header of the experiment file, the paper's claims and the units of the metrics."""

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
    """A run directory, read and checked."""

    directory: Path
    experiment: str
    preset: str
    config: dict[str, Any]
    paper: Description
    environment: dict[str, Any]
    command: str
    log: list[str]
    metrics: dict[str, Series]
    last_step: int | None
    torn: bool  # the last line of metrics.jsonl was cut off

    @property
    def name(self) -> str:
        return self.directory.resolve().name


def read(directory: Path) -> Run:
    """A run directory as the training loop writes it; command.txt, log.txt and samples/ may be missing."""
    if not directory.is_dir():
        raise UserError(f"{directory} is no directory: give the directory of a run.")
    config = _object(directory / "config.json")
    if config.get("schema") != SCHEMA or not isinstance(config.get("config"), dict):
        raise DataError(
            f"{directory / 'config.json'} has schema {config.get('schema')!r}, but {SCHEMA} is expected: run again."
        )
    try:
        paper = dacite.from_dict(Description, _object(directory / "paper.json"))
    except dacite.DaciteError as error:
        raise DataError(
            f"{directory / 'paper.json'} does not describe a paper: {error}."
        ) from error
    for name, claim in paper.claims.items():
        if not _is_number(claim.value) or not all(
            n is None or _is_number(n) for n in (claim.spread, claim.tolerance)
        ):
            said = f"{claim.value} +- {claim.spread}, tolerance {claim.tolerance},"
            raise DataError(f"{directory / 'paper.json'} claims {said} for {name}, no number.")
    metrics, last_step, torn = _metrics(directory / "metrics.jsonl")
    texts = [directory / "command.txt", directory / "log.txt"]
    command, log = (
        content(text).decode("utf-8", "replace").strip() if text.is_file() else "" for text in texts
    )
    return Run(
        directory, str(config.get("experiment")), str(config.get("preset")), config["config"], paper,
        _object(directory / "env.json"), command, log.splitlines()[-LOG_LINES:], metrics, last_step, torn,
    )  # fmt: skip


def content(path: Path) -> bytes:
    """The bytes of a file of a run."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): is {path.parent} a run directory?"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(content(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}): restore it or run again.") from error
    if not isinstance(value, dict):
        raise DataError(
            f"{path} holds a {type(value).__name__}, but a JSON object is expected: restore it or run again."
        )
    return value


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    )  # false for NaN


def _metrics(path: Path) -> tuple[dict[str, Series], int | None, bool]:
    *lines, tail = content(path).split(b"\n")  # the tail is empty when the last line is whole
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
        if (
            type(step) is not int
            or step < 0
            or not all(v is None or _is_number(v) for v in record.values())
        ):
            raise DataError(
                f"{path}, line {count}, is not a step with finite numbers or nulls: remove that line."
            )
        steps.setdefault(step, {}).update(
            {name: float(v) for name, v in record.items() if v is not None}
        )
    metrics: dict[str, Series] = {}
    for step, record in sorted(
        steps.items()
    ):  # a step logged again after a resume stands for itself once
        for name, value in record.items():
            metrics.setdefault(name, {})[step] = value
    return metrics, max(steps, default=None), torn
