"""TensorBoard's view of a run, written by the caller itself: what goes wrong is raised there, not in another thread."""

import time
from pathlib import Path
from typing import Any

from gen_jax.storage import files

FLUSH = 10  # [s] between two times that a file is brought up to date


class Events:
    """One file of events; OSError, with the file's name, where it cannot be written."""

    def __init__(self, directory: Path):
        from tensorboardX.event_file_writer import EventsWriter

        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.flushed = directory, 0.0
        with files.naming(directory):
            self.writer = EventsWriter(str(directory / "events"))

    def scalar(self, name: str, value: float, step: int) -> None:
        from tensorboardX import summary

        self._write(summary.scalar(name, value), step)

    def image(self, name: str, image: Any, step: int) -> None:
        """A picture [h, w, 3] uint8."""
        from tensorboardX import summary

        self._write(summary.image(name, image, dataformats="HWC"), step)

    def _write(self, what: Any, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event

        now = time.time()
        with files.naming(self.directory):
            self.writer.write_event(Event(wall_time=now, step=step, summary=what))
            if not 0 <= now - self.flushed < FLUSH:
                self.writer.flush()
                self.flushed = now

    def close(self) -> None:
        with files.naming(self.directory):
            self.writer.close()
