"""What a run says: metrics.jsonl is the truth; TensorBoard, the log and the progress bar are views of it.

metrics.jsonl holds no clock, so that two equal runs write equal files; speeds are in the log and in TensorBoard.
"""

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from gen_jax import files
from gen_jax.directory import next_attempt
from gen_jax.errors import DataError


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; a last line that was torn by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines[:-1]]
    except ValueError as error:
        raise DataError(f"{path} has a damaged line ({error}); restore it, or give another --run.dir.") from error


class Journal:
    """The writer of one start of a run."""

    def __init__(self, directory: Path, *, steps: int, batch_size: int, quiet: bool = False):
        """A quiet one says nothing but in its files."""
        from rich.console import Console
        from tensorboardX import SummaryWriter

        self.path, self.steps, self.batch_size = directory / "metrics.jsonl", steps, batch_size
        self.quiet = quiet
        self.attempt = next_attempt(directory)
        self.events = SummaryWriter(str(self.attempt / "tb"), flush_secs=10)
        self.text = (directory / "log.txt").open("a", encoding="utf-8")
        self.console = Console(file=sys.stdout)
        self.bar: Any = None
        self.restart(0)

    def resume(self, step: int) -> dict[str, Any] | None:
        """Drop the lines that a restored run will write again; the line of `step` itself, if it was written."""
        lines = read_lines(self.path)
        kept = [line for line in lines if line["step"] <= step]
        files.replace(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self.restart(step)
        return kept[-1] if kept and kept[-1]["step"] == step else None

    def restart(self, step: int) -> None:
        """Measure the speed from here on."""
        self.since = (time.monotonic(), step)

    def say(self, text: str) -> None:
        """One line for people."""
        self.text.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
        self.text.flush()
        if self.bar:
            self.bar.console.print(text, highlight=False)
        elif not self.quiet:
            print(text, flush=True)

    def line(self, step: int, metrics: dict[str, float]) -> None:
        """One line of metrics.jsonl, flushed; a resting player's NaN becomes null."""
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name, value in values.items():
            if value is not None:
                self.events.add_scalar(name, value, step)

    def progress(self, step: int, metrics: dict[str, float]) -> None:
        """The bar on a terminal, a plain line elsewhere: step, losses, images per second, time left."""
        before, first = self.since  # not the chunk before: a GPU's host comes late to it, and then at once to this one
        speed = (step - first) / max(time.monotonic() - before, 1e-9)  # steps per second
        self.events.add_scalar("speed/steps_per_second", speed, step)
        losses = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name.endswith("/loss"))
        left = _clock((self.steps - step) / speed) if speed else "?"
        rate = f"{speed * self.batch_size:,.0f} images/s"
        if self.console.is_terminal and not self.console.is_dumb_terminal and not self.quiet:
            self._show(step, f"{losses}  {rate}")
        elif not self.quiet:
            print(f"step {step}/{self.steps}  {losses}  {rate}  {left} left", flush=True)
        self.text.write(f"step {step}/{self.steps}  {losses}  {speed:.1f} steps/s  {rate}\n")
        self.text.flush()

    def _show(self, step: int, text: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self.bar is None:
            columns = [BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn()]
            self.bar = Progress(*columns, console=self.console)
            self.bar.start()
            self.bar.add_task("", total=self.steps)
        self.bar.update(self.bar.task_ids[0], completed=step, description=text)

    def image(self, name: str, image: Any, step: int) -> None:
        """A picture [h, w, 3] uint8 for TensorBoard."""
        self.events.add_image(name, image, step, dataformats="HWC")

    def end_bar(self) -> None:
        """Leave the bar as it stands; what is said from now on comes below it."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def close(self) -> None:
        """End the bar and flush the views."""
        self.end_bar()
        self.events.close()
        self.text.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
