"""TensorBoard events of a run.

They are written in the calling thread, so that errors are raised there.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gen_jax.storage import files

if TYPE_CHECKING:
    from tensorboardX.proto.summary_pb2 import Summary

FLUSH_EVERY_S = 10


class Events:
    """One file of events. Raises OSError, with the name of the file, if it cannot be written."""

    def __init__(self, directory: Path):
        from tensorboardX.event_file_writer import EventsWriter

        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.flushed = directory, 0.0
        with files.naming(directory):
            self.writer = EventsWriter(str(directory / "events"))

    def scalar(self, name: str, value: float, step: int) -> None:
        from tensorboardX import summary

        self._write(summary.scalar(name, value), step)

    def image(self, name: str, image: np.ndarray, step: int) -> None:
        """Write a picture [h, w, 3] uint8."""
        from tensorboardX import summary

        self._write(summary.image(name, image, dataformats="HWC"), step)

    def _write(self, summary: "Summary", step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event

        now = time.time()
        with files.naming(self.directory):
            self.writer.write_event(Event(wall_time=now, step=step, summary=summary))
            if not 0 <= now - self.flushed < FLUSH_EVERY_S:
                self.writer.flush()
                self.flushed = now

    def close(self) -> None:
        with files.naming(self.directory):
            self.writer.close()
