"""Where the runs and the results of a study are, and in which state each run is."""

import dataclasses
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gen_jax.run.provenance import machine
from gen_jax.study import gallery
from gen_jax.study import results as stored
from gen_jax.study.results import Played
from gen_jax.study.rows import Part, Row

SPEED = re.compile(r"step (\d+)/\d+ .* ([\d.e+-]+) steps/s")


class State(NamedTuple):
    """What is known of a run."""

    word: str  # done, begun, stopped, failed or waiting
    step: int
    steps: int
    minutes: float | None  # measured if done, else expected for the rest; None if never measured
    reason: str = ""  # of a failure

    def __str__(self) -> str:
        share = f"{self.step:,} of {self.steps:,} steps"
        text = self.word if self.word in ("waiting", "done") else f"{self.word}, {share}"
        return f"{text}: {self.reason}" if self.reason else text


@dataclasses.dataclass
class Place:
    """Where runs and results are."""

    runs: Path = Path("runs")
    results: Path = stored.FOLDER

    def directory(self, part: Part) -> Path:
        return self.runs / part.name

    def output(self, name: str) -> Path:
        """Return the file of what the process of a run prints."""
        return self.runs / f"{name}.out"

    def failure(self, part: Part) -> Path:
        """Return the file that says why the last start of a run failed."""
        return self.runs / f"{part.name}.failed"

    def state(self, part: Part) -> State:
        """Return the state of a run, and the time it takes on this machine as far as measured."""
        steps, known = part.config().steps, stored.load(part.row, self.results)
        found = stored.of_part(known, part)
        if found and found.steps >= steps:
            return State("done", found.steps, steps, found.minutes, missing(part.row, found))
        at = max((step for step, _ in self._speeds(part)), default=0)
        if found and found.steps > at:
            word, at = "stopped", 0  # its directory is elsewhere: it would start again
            left = self._minutes(part, known, steps)
            return State(word, found.steps, steps, left)
        left, failure = self._minutes(part, known, steps - at), self.failure(part)
        if failure.exists():
            return State("failed", at, steps, left, failure.read_text("utf-8").strip())
        return State("begun" if at else "waiting", at, steps, left)

    def _minutes(self, part: Part, known: Sequence[Played], steps: int) -> float | None:
        """Return the expected minutes of so many steps, from runs of the same row on this machine:
        of whole ones with their evaluations, else from the speed of their steps.
        """
        whole = [
            one.minutes / one.steps
            for one in known
            if one.minutes and one.steps and one.environment.get("machine") == machine()
        ]
        if whole:
            return statistics.median(whole) * steps
        speeds = [speed for _, speed in self._speeds(part)]
        if not speeds:
            name = part.row.name
            others = [f"{name}-s[0-9]*/log.txt", f"{name}-*=*-s[0-9]*/log.txt"]
            logs = [log for pattern in others for log in self.runs.glob(pattern)]
            speeds = [speed for log in logs for _, speed in _speeds_in(log)]
        return steps / statistics.median(speeds) / 60 if speeds else None

    def _speeds(self, part: Part) -> list[tuple[int, float]]:
        return _speeds_in(self.directory(part) / "log.txt")

    def collect(self, part: Part) -> Played | None:
        """Write what the run has measured into its result, and return it.

        Raises UserError if the directory holds another run.
        """
        directory = self.directory(part)
        if not (directory / "config.json").exists():
            return None
        played = stored.read_run(part, directory)
        if played:
            stored.add(part, played, self.results)
            gallery.keep(part, played, directory, self.results)
        return played


def missing(row: Row, played: Played) -> str:
    """Name a measure of the row that its run lacks; empty if there is none."""
    wanted = [*row.measures, *([row.best] if row.best else [])]
    lacking = [name for name in wanted if name not in played.measures]
    known = ", ".join(sorted(played.measures))
    return f"its row names {lacking[0]}, but {known} were measured" if lacking else ""


def _speeds_in(log: Path) -> list[tuple[int, float]]:
    """Return (step, steps per second) of the last lines of a log.txt."""
    text = log.read_text("utf-8", "replace") if log.is_file() else ""
    return [(int(step), float(speed)) for step, speed in SPEED.findall(text)[-9:]]
