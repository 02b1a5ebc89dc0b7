"""What a program says to a person. A terminal that is gone, full or of few letters ends nothing: the log has it all."""

import os
import sys
from typing import TextIO


def prepare() -> None:
    """Letters that a terminal cannot show come as numbers."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def show(text: str, *, error: bool = False) -> None:
    """A line on standard output, or on standard error."""
    stream = sys.stderr if error else sys.stdout
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):  # no reader, no room, or closed
        silence(stream)


def silence(stream: TextIO) -> None:
    """What is written to it from now on, its buffer included, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
