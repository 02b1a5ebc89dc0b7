"""What a run says: metrics.jsonl is the truth; TensorBoard, the log and the progress bar are views of it.

metrics.jsonl holds no clock, so that two equal runs write equal files; speeds are in the log and in TensorBoard.
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
from typing import Any

from gen_jax import console
from gen_jax.errors import DataError, UserError
from gen_jax.run.directory import next_attempt
from gen_jax.run.events import Events
from gen_jax.storage import files


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; a last line that was torn by a kill is left out."""
    lines = []
    for number, line in enumerate(_bytes(path).split(b"\n")[:-1], 1):
        if (found := _parsed(line)) is None:
            raise DataError(
                f"{path} has a damaged line, number {number}: restore it, or give another --run.dir."
            )
        lines.append(found)
    return lines


def _bytes(path: Path) -> bytes:
    _check_file(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _check_file(path: Path) -> None:
    """A pipe would be read, or waited for, without end."""
    if path.exists() and not path.is_file():
        raise DataError(
            f"{path} is a {'directory' if path.is_dir() else 'pipe or device'}, not a file: remove it."
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The values of a line, with its step; None where it is not one."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or type(values.get("step")) is not int:
        return None
    whole = (
        isinstance(v, int | None) or (isinstance(v, float) and math.isfinite(v))
        for v in values.values()
    )
    return values if all(whole) else None


class Journal:
    """The writer of one start of a run."""

    def __init__(self, directory: Path, *, steps: int, batch_size: int, quiet: bool = False):
        """A quiet one says nothing but in its files."""
        from rich.console import Console

        self.path, self.steps, self.batch_size = directory / "metrics.jsonl", steps, batch_size
        self.quiet, self.held = quiet, bytearray(_bytes(self.path))
        self.attempt = next_attempt(directory)
        self.events = Events(self.attempt / "tb")
        _check_file(directory / "log.txt")
        self.text = (directory / "log.txt").open("a", encoding="utf-8", errors="backslashreplace")
        self.console = Console(file=sys.stdout)
        self.bar: Any = None
        self.restart(0)

    def lines(self) -> bytes:
        """What metrics.jsonl should hold: what it held when the run was resumed, and what was written since."""
        return bytes(self.held)

    def set_aside(self) -> Path:
        """Keep the lines that there are under another name."""
        free = (self.path.with_name(f"metrics-before-{i}.jsonl") for i in itertools.count())
        return self.path.rename(next(path for path in free if not path.exists()))

    def resume(
        self,
        step: int,
        kept: bytes | None = None,
        own: bytes | None = None,
        record: Mapping[str, Any] = {},
    ) -> dict[str, Any] | None:
        """Drop the lines that a restored run will write again; the line of `step` itself, if it was written.

        `kept` are the lines before it as its checkpoint has them, and `own` is its own: what metrics.jsonl lacks of
        them, or has otherwise, is said and restored. Without its own, what it has must agree with the `record` of the
        checkpoint. An older release kept neither.
        """
        if kept is None:
            found = [line for line in read_lines(self.path) if line["step"] <= step]
            last = found.pop() if found and found[-1]["step"] == step else None
            kept = b"".join(_line(line) for line in found)
        else:
            content = _bytes(self.path)
            present = {*content.split(b"\n")[:-1]}
            last = next(
                (line for line in map(_parsed, present) if line and line["step"] == step), None
            )
            if own and (last is None or _line(last) != own):
                self.say(
                    f"{self.path.name} lacked the line of step {step}: restored as it was kept."
                )
                last = json.loads(own)
            if not content.startswith(kept):
                lost = [
                    json.loads(line)["step"]
                    for line in kept.split(b"\n")[:-1]
                    if line not in present
                ]
                what = (
                    f"lacked the lines of {_numbers(lost)}"
                    if lost
                    else "had its lines in another order"
                )
                self.say(f"{self.path.name} {what}: restored from the checkpoint of step {step}.")
        if last and any(last.get(name) != value for name, value in record.items()):
            self.say(
                f"{self.path.name} had another line of step {step} than its checkpoint: it is made again."
            )
            last = None
        self.held = bytearray(kept + (_line(last) if last else b""))
        files.replace(self.path, self.lines())
        self.restart(step)
        return last

    def restart(self, step: int) -> None:
        """Measure the speed from here on."""
        self.since = (time.monotonic(), step)

    def say(self, text: str) -> None:
        """One line for people."""
        self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self.text.flush()
        if self.bar:
            with contextlib.suppress(OSError):  # the terminal is gone
                self.bar.console.print(text, highlight=False)
        elif not self.quiet:
            console.show(text)

    def line(self, step: int, metrics: dict[str, float]) -> bytes:
        """Write one line of metrics.jsonl, flushed; a resting player's NaN becomes null. Gives the line."""
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        line = _line({"step": step, **values})
        with files.naming(self.path), self.path.open("ab") as file:
            whole = file.tell() == len(self.held)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.held += line
        if not whole:
            self.say(f"{self.path.name} was changed while the run learnt; it is written anew.")
            files.replace(self.path, self.lines())
        for name, value in values.items():
            if value is not None:
                self.events.scalar(name, value, step)
        return line

    def failed(self, error: BaseException) -> None:
        """Why the run ends, in log.txt: a sentence, or where it is not one of ours, the traceback."""
        with contextlib.suppress(OSError):  # which may be why
            self.text.write(
                f"{error}\n" if isinstance(error, UserError) else traceback.format_exc()
            )
            self.text.flush()

    def progress(self, step: int, metrics: dict[str, float]) -> None:
        """The bar on a terminal, a plain line elsewhere: step, losses, images per second, time left."""
        before, first = (
            self.since
        )  # not the chunk before: a GPU's host comes late to it, and then at once to this one
        speed = (step - first) / max(time.monotonic() - before, 1e-9)  # steps per second
        self.events.scalar("speed/steps_per_second", speed, step)
        losses = "  ".join(
            f"{name} {value:.4g}" for name, value in metrics.items() if name.endswith("/loss")
        )
        left = _clock((self.steps - step) / speed) if speed else "?"
        rate = f"{speed * self.batch_size:,.0f} images/s"
        if self.console.is_terminal and not self.console.is_dumb_terminal and not self.quiet:
            self._show(step, f"{losses}  {rate}")
        elif not self.quiet:
            console.show(f"step {step}/{self.steps}  {losses}  {rate}  {left} left")
        self.text.write(f"step {step}/{self.steps}  {losses}  {speed:.1f} steps/s  {rate}\n")
        self.text.flush()

    def _show(self, step: int, text: str) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        if self.bar is None:
            columns = [
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
            ]
            self.bar = Progress(*columns, console=self.console)
            self.bar.start()
            self.bar.add_task("", total=self.steps)
        self.bar.update(self.bar.task_ids[0], completed=step, description=text)

    def image(self, name: str, image: Any, step: int) -> None:
        """A picture [h, w, 3] uint8 for TensorBoard."""
        self.events.image(name, image, step)

    def end_bar(self) -> None:
        """Leave the bar as it stands; what is said from now on comes below it."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def close(self) -> None:
        """End the bar and flush the views."""
        self.end_bar()
        try:
            self.events.close()
        finally:
            self.text.close()


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, allow_nan=False).encode() + b"\n"


def _numbers(steps: list[int]) -> str:
    shown = ", ".join(map(str, steps[:5])) + (
        f" and {len(steps) - 5} more" if len(steps) > 5 else ""
    )
    return f"step {shown}" if len(steps) == 1 else f"steps {shown}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
