"""Plays the runs of a study, each in a process of its own, and writes their results as they end."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from gen_jax import console
from gen_jax.errors import InUseError, UserError
from gen_jax.storage import files
from gen_jax.study.place import Place, missing
from gen_jax.study.rows import Part

if TYPE_CHECKING:
    from rich.progress import Progress

POLL_S = 0.2
GRACE_S = 45  # for a run to save, and to end the batch of an evaluation


class Job(NamedTuple):
    """One process: a run, or the runs of several seeds side by side."""

    name: str
    parts: Sequence[Part]
    arguments: list[str]  # after `python`


def jobs(waiting: Sequence[Part], place: Place, *, side_by_side: bool) -> Iterator[Job]:
    """Yield the processes that play these runs, in order.

    Seeds are side by side if all of a row are played and either all or none have begun.
    """
    groups: dict[str, list[Part]] = {}
    for part in waiting:
        groups.setdefault(part.group, []).append(part)
    for name, group in groups.items():
        begun = [(place.directory(part) / "config.json").exists() for part in group]
        together = side_by_side and 1 < len(group) == group[0].row.seeds and len({*begun}) == 1
        first = group[0]
        if together:
            more = [f"--run.seed={first.seed}", f"--run.seeds={len(group)}"]
            where = f"--run.dir={place.runs / name}"
            yield Job(name, group, [*first.command(), *more, where])
            continue
        for part in group:
            more = [f"--run.seed={part.seed}", f"--run.dir={place.directory(part)}"]
            yield Job(part.name, [part], [*part.command(), *more])


@dataclasses.dataclass(eq=False)
class Process:
    """A job that is being played."""

    job: Job
    popen: subprocess.Popen[bytes]
    since: float
    cores: set[int]


class Player:
    """Plays jobs, some at a time, until all have ended, a time has passed or a signal arrives."""

    def __init__(
        self,
        place: Place,
        *,
        at_a_time: int,
        minutes: float | None,
        accelerator: bool,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to play; `after` is called whenever a run has ended."""
        self.place, self.at_a_time, self.accelerator = place, at_a_time, accelerator
        self.after = after
        self.deadline = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
        self.signal: int | None = None
        self.playing: list[Process] = []
        self.failed = 0

    def play(self, all_jobs: Sequence[Job], done: int, total: int) -> int:
        """Play all jobs; return 0, 1 if some failed, or 128 + N after signal N."""
        self.place.runs.mkdir(parents=True, exist_ok=True)
        waiting = list(all_jobs)
        with _signals(self), _bar(done, total) as bar:
            while waiting or self.playing:
                late = time.monotonic() > self.deadline
                if self.signal or late:
                    self._say(bar, "Stopping. Every run is saved, and the same command goes on.")
                    self._stop(self.playing, bar)
                    break
                while waiting and len(self.playing) < self.at_a_time:
                    self._start(waiting.pop(0), bar)
                time.sleep(POLL_S)
                for one in [*self.playing]:
                    limit = one.job.parts[0].row.minutes
                    if one.popen.poll() is not None:
                        self._end(one, bar)
                    elif limit is not None and time.monotonic() - one.since > 60 * limit:
                        self._stop([one], bar)
        if self.signal:
            return 128 + self.signal
        return 1 if self.failed else 0

    def stop(self) -> None:
        """Save and end all runs."""
        self._stop(self.playing, None)

    def _start(self, job: Job, bar: "Progress | None") -> None:
        for part in job.parts:
            self.place.failure(part).unlink(missing_ok=True)
        cores = self._free_cores()
        environment = dict(os.environ)
        if self.accelerator and self.at_a_time > 1:
            environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 / self.at_a_time:.2f}"
        with _on(cores), self.place.output(job.name).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *job.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the study alone, which passes it on
            )
        _make_nice(process.pid)
        self.playing.append(Process(job, process, time.monotonic(), cores))
        self._say(bar, f"{job.name}: python {' '.join(job.arguments)}")

    def _free_cores(self) -> set[int]:
        """Return the cores of the next process: an equal share on a CPU, else all."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if self.accelerator:
            return {*cores}
        used = {core for one in self.playing for core in one.cores}
        share = max(1, len(cores) // self.at_a_time)
        free = [core for core in cores if core not in used]
        return {*(free or cores)[:share]}

    def _stop(self, processes: Sequence[Process], bar: "Progress | None") -> None:
        """Ask runs to save and end, and wait for them."""
        for one in processes:
            one.popen.terminate()
        until = time.monotonic() + GRACE_S
        for one in [*processes]:
            try:
                one.popen.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.popen.kill()
                one.popen.wait()
            self._end(one, bar)

    def _end(self, one: Process, bar: "Progress | None") -> None:
        """Write the results of a process that ended, and say how it ended."""
        self.playing.remove(one)
        job, took = one.job, (time.monotonic() - one.since) / 60
        code = one.popen.returncode
        stopped = code >= 128 or code < 0
        for part in job.parts:
            row, reason = part.row, ""
            try:
                played = self.place.collect(part)
            except UserError as error:
                played, reason, code = None, str(error), code or error.exit_code
            if code == 0 and played is None:
                reason, code = "it measured nothing", 1
            if code == 0 or stopped:
                name = next(iter(row.measures), "")
                measured = played.measures.get(name) if played else None
                last = [*measured.values.items()][-1] if measured else None
                shown = f", {name} {last[1]:.5g} at step {last[0]}" if last and last[1] else ""
                how = "stopped" if stopped else "done"
                lacks = missing(row, played) if played and not stopped else ""
                told = f"{part.name}: {how} after {took:.1f} minutes{shown}"
                self._say(bar, f"{told}; {lacks}" if lacks else told)
            elif code == InUseError.exit_code:
                self._say(bar, f"{part.name}: another process is playing it")
            else:
                self.failed += 1
                reason = reason or _last_line(self.place.output(job.name))
                files.replace(self.place.failure(part), f"exit code {code}: {reason}\n")
                self._say(bar, f"{part.name}: failed with exit code {code}: {reason}")
            if bar and not stopped:
                bar.advance(bar.task_ids[0])
        self.after()

    def _say(self, bar: "Progress | None", text: str) -> None:
        if bar:
            bar.console.print(text, highlight=False, soft_wrap=True)
        else:
            console.show(text)


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _make_nice(pid: int) -> None:
    """Give a process in a session of its own the priority of this one.

    Linux divides the processor among sessions first, and would ignore `nice`.
    """
    with contextlib.suppress(OSError):  # a system without such groups
        Path(f"/proc/{pid}/autogroup").write_text(str(os.nice(0)))


@contextlib.contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """A context in which processes start on some cores, where the system can do that."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _signals(player: Player) -> Iterator[None]:
    """A context in which SIGINT, SIGTERM, SIGHUP and SIGUSR1 stop the study in order."""

    def stop(number: int, _: FrameType | None) -> None:
        player.signal = number

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _bar(done: int, total: int) -> Iterator["Progress | None"]:
    """A progress bar over the runs, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    terminal = Console(file=sys.stdout)
    if not terminal.is_terminal or terminal.is_dumb_terminal:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), "runs", TimeElapsedColumn())
    with Progress(*columns, console=terminal) as bar:
        bar.add_task("", total=total, completed=done)
        yield bar
