"""Signals that request the end of a run: deferred while steps run, handled at once while the state
is saved.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from gen_jax.errors import Interrupted

# Sent by a user, by a scheduler as a warning, or by a terminal that closes.
SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
)
Handler = Callable[[int, FrameType | None], object] | int | None


def end_at_once() -> None:
    """Until a run starts, end the process with a message at SIGINT and SIGTERM."""

    def end(number: int, _: object) -> None:
        os.write(2, b"Stopped; no step was running.\n")
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


class Interrupts:
    """A context in which a signal does not lose work."""

    def __init__(self) -> None:
        self.number, self.safe = 0, False
        # With several processes, the signal that all of them know.
        self.agreed: int | None = None
        self.previous: dict[int, Handler] = {}

    @property
    def requested(self) -> int:
        """The signal to handle, 0 for none."""
        return self.number if self.agreed is None else self.agreed

    def __enter__(self) -> "Interrupts":
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:  # nohup
                continue
            # ValueError outside the main thread: signal handlers are unchanged there.
            with contextlib.suppress(ValueError):
                self.previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: object) -> None:
        self.number = number
        if self.safe:
            raise Interrupted(self.sentence, number)

    @contextlib.contextmanager
    def safe_point(self, step: int) -> Iterator[None]:
        """A context in which the state of `step` is on disk and no newer one is in memory.

        A signal that has arrived, or arrives now, raises Interrupted; at once, unless other
        processes have to agree.
        """
        self.sentence = f"Stopped and saved at step {step}; the same command resumes from there."
        self.safe = self.agreed is None
        try:
            if self.requested:
                raise Interrupted(self.sentence, self.requested)
            yield
        finally:
            self.safe = False
