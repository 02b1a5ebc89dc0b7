"""The log of a run: metrics.jsonl is the record; TensorBoard, log.txt and the progress bar are
views of it.

metrics.jsonl holds no times, so that two equal runs write equal files. Speeds are in the log and in
TensorBoard.
"""

import contextlib
import itertools
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gen_jax import console
from gen_jax.errors import DataError, UserError
from gen_jax.run.directory import next_attempt
from gen_jax.run.events import Events
from gen_jax.storage import files
from gen_jax.types import Json

if TYPE_CHECKING:
    from rich.progress import Progress

TIME = "%Y-%m-%d %H:%M:%S"  # before each line of log.txt


def read_lines(path: Path) -> list[Json]:
    """Return the complete lines of metrics.jsonl. A last line that was cut off by a kill is left
    out.

    Raises DataError for any other damage.
    """
    lines = []
    for number, line in enumerate(_read_bytes(path).split(b"\n")[:-1], 1):
        if (found := _parse(line)) is None:
            raise DataError(
                f"{path} has a damaged line, number {number}: restore it, "
                "or give another --run.dir."
            )
        lines.append(found)
    return lines


def _read_bytes(path: Path) -> bytes:
    """Return the content of a file; empty if it does not exist."""
    _check_file(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _check_file(path: Path) -> None:
    """Raise DataError if the path is not a regular file: a read from a pipe would never end."""
    if path.exists() and not path.is_file():
        kind = "directory" if path.is_dir() else "pipe or device"
        raise DataError(f"{path} is a {kind}, not a file: remove it.")


def _parse(line: bytes) -> Json | None:
    """Return the values of a line, including the step; None if it is damaged."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or type(values.get("step")) is not int:
        return None
    floats = [value for value in values.values() if not isinstance(value, int | None)]
    finite = all(isinstance(value, float) and math.isfinite(value) for value in floats)
    return values if finite else None


class Journal:
    """The writer of the log files, for one start of a run."""

    def __init__(self, directory: Path, *, steps: int, batch_size: int, quiet: bool = False):
        """Open the log. A quiet journal writes only to its files, not to the terminal.

        Raises DataError if one of them is not a regular file.
        """
        from rich.console import Console

        self.path, log = directory / "metrics.jsonl", directory / "log.txt"
        self.steps, self.batch_size, self.quiet = steps, batch_size, quiet
        self.written = bytearray(_read_bytes(self.path))
        self.attempt = next_attempt(directory)
        self.events = Events(self.attempt / "tb")
        _check_file(log)
        self.log = log.open("a", encoding="utf-8", errors="backslashreplace")
        self.console = Console(file=sys.stdout)
        self.bar: Progress | None = None
        self.restart_clock(0)

    def lines(self) -> bytes:
        """Return the expected content of metrics.jsonl: its content at the start, and all lines
        written since.
        """
        return bytes(self.written)

    def set_aside(self) -> Path:
        """Rename metrics.jsonl, and return the new path."""
        free = (self.path.with_name(f"metrics-before-{i}.jsonl") for i in itertools.count())
        return self.path.rename(next(path for path in free if not path.exists()))

    def resume(
        self,
        step: int,
        kept: bytes | None = None,
        own: bytes | None = None,
        record: Mapping[str, float | None] = {},
    ) -> Json | None:
        """Drop the lines that the resumed run will write again, and return the line of `step`, if
        it was written.

        `kept` are the lines before that of `step`, as stored in its checkpoint, and `own` is the
        line of `step`. If metrics.jsonl differs from them, they are restored and a message is
        logged. Without `own`, the line in metrics.jsonl must match the `record` of the checkpoint,
        or it is dropped. Checkpoints of older releases have neither.
        """
        name = self.path.name
        if kept is None:
            found = [line for line in read_lines(self.path) if line["step"] <= step]
            last = found.pop() if found and found[-1]["step"] == step else None
            kept = b"".join(_format(line) for line in found)
        else:
            content = _read_bytes(self.path)
            present = {*content.split(b"\n")[:-1]}
            parsed = [line for line in map(_parse, present) if line and line["step"] == step]
            last = parsed[0] if parsed else None
            if own and (last is None or _format(last) != own):
                self.info(f"{name} lacked the line of step {step}: restored from its copy.")
                last = json.loads(own)
            if not content.startswith(kept):
                missing = [line for line in kept.split(b"\n")[:-1] if line not in present]
                what = "had its lines in another order"
                if missing:
                    what = f"lacked the lines of {_steps([json.loads(m)['step'] for m in missing])}"
                self.info(f"{name} {what}: restored from the checkpoint of step {step}.")
        if last and any(last.get(metric) != value for metric, value in record.items()):
            self.info(
                f"{name} and the checkpoint differ in the line of step {step}: it is rewritten."
            )
            last = None
        self.written = bytearray(kept + (_format(last) if last else b""))
        files.replace(self.path, self.lines())
        self.restart_clock(step)
        return last

    def restart_clock(self, step: int) -> None:
        """Restart the measurement of speed at this step."""
        self.since = (time.monotonic(), step)

    def info(self, text: str) -> None:
        """Write one line to the terminal and to log.txt."""
        self._log(text)
        if self.bar:
            with contextlib.suppress(OSError):  # the terminal is gone
                self.bar.console.print(text, highlight=False)
        elif not self.quiet:
            console.show(text)

    def write_metrics(self, step: int, metrics: Mapping[str, float]) -> bytes:
        """Write one line of metrics.jsonl to disk and return it; NaN and infinity become null."""
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        line = _format({"step": step, **values})
        with files.naming(self.path), self.path.open("ab") as file:
            whole = file.tell() == len(self.written)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.written += line
        if not whole:
            self.info(f"{self.path.name} was changed during training; it is rewritten.")
            files.replace(self.path, self.lines())
        for name, value in values.items():
            if value is not None:
                self.events.scalar(name, value, step)
        return line

    def log_failure(self, error: BaseException) -> None:
        """Write to log.txt why the run ends: the message of a UserError, else the traceback."""
        with contextlib.suppress(OSError):  # which may be the failure itself
            self.log.write(f"{error}\n" if isinstance(error, UserError) else traceback.format_exc())
            self.log.flush()

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show step, losses, speed and remaining time: as a bar on a terminal, else as a line."""
        # Not since the last line: with a GPU, two lines may arrive at once.
        before, first = self.since
        speed = (step - first) / max(time.monotonic() - before, 1e-9)  # steps per second
        self.events.scalar("speed/steps_per_second", speed, step)
        shown = {n: v for n, v in metrics.items() if n.endswith("/loss") and not math.isnan(v)}
        losses = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        left = _clock((self.steps - step) / speed) if speed else "?"
        rate = f"{speed * self.batch_size:,.0f} images/s"
        if self.console.is_terminal and not self.console.is_dumb_terminal and not self.quiet:
            self._update_bar(step, f"{losses}  {rate}")
        elif not self.quiet:
            console.show(f"step {step}/{self.steps}  {losses}  {rate}  {left} left")
        self._log(f"step {step}/{self.steps}  {losses}  {speed:.4g} steps/s  {rate}")

    def _log(self, text: str) -> None:
        """Write one line to log.txt, after the time."""
        self.log.write(f"{time.strftime(TIME)} {text}\n")
        self.log.flush()

    def _update_bar(self, step: int, text: str) -> None:
        from rich import progress

        if self.bar is None:
            self.bar = progress.Progress(
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.description}"),
                progress.TimeRemainingColumn(),
                console=self.console,
            )
            self.bar.start()
            self.bar.add_task("", total=self.steps)
        self.bar.update(self.bar.task_ids[0], completed=step, description=text)

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """Write a picture [h, w, 3] uint8 to TensorBoard."""
        self.events.image(name, image, step)

    def end_bar(self) -> None:
        """Leave the bar in place; later lines follow below it."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def close(self) -> None:
        """End the bar and flush the views."""
        self.end_bar()
        try:
            self.events.close()
        finally:
            self.log.close()


def _format(values: Json) -> bytes:
    return json.dumps(values, allow_nan=False).encode() + b"\n"


def _steps(steps: list[int]) -> str:
    """Describe a list of steps in words."""
    more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
    shown = ", ".join(map(str, steps[:5])) + more
    return f"step {shown}" if len(steps) == 1 else f"steps {shown}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
