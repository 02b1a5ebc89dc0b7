"""Signals that ask a run to end: noted while steps run, obeyed at once while the state is safe on the disk."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

from gen_jax.errors import Interrupted

# From a person, a scheduler's warning, or a terminal that was lost.
SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def end_at_once() -> None:
    """Until a run begins, while modules are imported: SIGINT and SIGTERM end the process with a sentence."""

    def end(number: int, _: object) -> None:
        os.write(2, b"Stopped; no step was running.\n")
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


class Interrupts:
    """A context in which a signal does not lose work."""

    def __init__(self) -> None:
        self.number, self.safe = 0, False
        self.agreed: int | None = (
            None  # the number that all processes know, where there are several
        )

    @property
    def asked(self) -> int:
        """The signal to be obeyed, 0 for none."""
        return self.number if self.agreed is None else self.agreed

    def __enter__(self) -> "Interrupts":
        self.before: dict[int, Any] = {}
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:  # nohup
                continue
            with contextlib.suppress(
                ValueError
            ):  # not the main thread: then signals are its own affair
                self.before[number] = signal.signal(number, self._arrives)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _arrives(self, number: int, _: object) -> None:
        self.number = number
        if self.safe:
            raise Interrupted(self.sentence, number)

    @contextlib.contextmanager
    def saved(self, step: int) -> Iterator[None]:
        """While the state of `step` is on the disk and no newer one is in memory.

        What arrives meanwhile is obeyed at once, unless others have to agree.
        """
        self.sentence = f"Stopped and saved at step {step}; the same command goes on from there."
        self.safe = self.agreed is None
        try:
            if self.asked:
                raise Interrupted(self.sentence, self.asked)
            yield
        finally:
            self.safe = False
