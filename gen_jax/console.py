"""What a program says to a person: lines, and errors of the machine, not of the code, as one sentence and an exit code.

A terminal that is gone, full or of few letters ends nothing: the log has it all.
"""

import errno
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from gen_jax.errors import CheckpointError, ResourceError, UserError
from gen_jax.storage import cache

ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HANDLES = {errno.EMFILE, errno.ENFILE}
REASONS = [os.strerror(number) for number in (*sorted(ROOM), errno.EROFS, errno.EACCES, errno.EIO)]
MEMORY = ("resource_exhausted", "out of memory", "bad_alloc", "cannot allocate memory")


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


def known(error: BaseException) -> UserError | None:
    """What to tell a user; None for what is a fault of the code, whose traceback should be seen."""
    chain = [*_chain(error)]
    for one in chain:
        if isinstance(one, OSError) and one.errno in ROOM | HANDLES:
            return _of_system(one)
    for one in chain:
        if isinstance(one, UserError):
            return one
        if isinstance(one, OSError):
            return _of_system(one)
        text = str(one).lower()
        if isinstance(one, MemoryError) or any(sign in text for sign in MEMORY):
            return ResourceError(
                f"Out of memory ({_first_line(one)}): give smaller networks or batches, or use a larger machine."
            )
        if isinstance(one, RuntimeError) and "deserialize" in text:
            return CheckpointError(
                f"A kept program cannot be used ({_first_line(one)}): delete {cache.folder('xla')}."
            )
    return None


def exit_code(program: str, error: Exception) -> int:
    """Say what `known` says, on standard error, and give its exit code; a fault of the code is raised again."""
    told = known(error)
    if told is None:
        raise error
    show(f"{program}: {told}", error=True)
    return told.exit_code


def _of_system(error: OSError) -> UserError:
    where = error.filename if error.filename is not None else "A file"
    if error.errno in ROOM:
        what = f"for {where} " if error.filename is not None else ""
        return CheckpointError(
            f"No room is left {what}({error.strerror}): make room, then give the same command again."
        )
    if error.errno in HANDLES:
        return ResourceError(
            f"{where} cannot be opened ({error.strerror}): allow more, with ulimit -n."
        )
    return CheckpointError(f"{where} cannot be read or written ({error.strerror or error}).")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def reason(error: BaseException) -> str:
    """What the system says in an error's long text; else its first line."""
    text = str(error)
    return next((known for known in REASONS if known in text), _first_line(error))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def quieten() -> None:
    """Threads and libraries that fail for such a reason print no traceback: what waits for them says it in a sentence.

    Orbax's event loop is such.
    """

    def of_thread(arguments: Any) -> None:
        if arguments.exc_value is None or known(arguments.exc_value) is None:
            threading.__excepthook__(arguments)

    def unraisable(arguments: Any) -> None:
        closed = "Event loop is closed" in str(arguments.exc_value)
        if not closed and (arguments.exc_value is None or known(arguments.exc_value) is None):
            sys.__unraisablehook__(arguments)

    threading.excepthook, sys.unraisablehook = of_thread, unraisable
    logging.getLogger("absl").setLevel(logging.CRITICAL)
