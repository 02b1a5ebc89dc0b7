"""What a program prints: lines, and errors as one sentence with an exit code.

A terminal that is closed, full or without Unicode ends nothing: log.txt has it all.
"""

import contextlib
import errno
import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TextIO, TypeVar

from gen_jax.errors import CheckpointError, ResourceError, UserError
from gen_jax.storage import cache

T = TypeVar("T")

ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HANDLES = {errno.EMFILE, errno.ENFILE}
REASONS = [os.strerror(number) for number in (*sorted(ROOM), errno.EROFS, errno.EACCES, errno.EIO)]
MEMORY = ("resource_exhausted", "out of memory", "bad_alloc", "cannot allocate memory")


def prepare() -> None:
    """Print characters that the terminal does not have as numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(text: str, *, error: bool = False) -> None:
    """Print a line to standard output, or to standard error."""
    stream = sys.stderr if error else sys.stdout
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):  # no reader, no room, or closed
        silence(stream)


def silence(stream: TextIO) -> None:
    """Discard what is written to it from now on, its buffer included."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


@contextlib.contextmanager
def piped() -> Iterator[None]:
    """A context that prints without `show`; the program ends if its reader leaves, as `head` does."""
    try:
        try:
            yield
        finally:
            if sys.stdout:  # None if it was closed
                sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        raise SystemExit(0) from None


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that moves a bar on standard error, if that is a terminal, by some of `total`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    shown = total > 1 and console.is_terminal and not console.is_dumb_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        yield partial(bar.advance, bar.add_task(what, total=total))


def tracked(items: Collection[T], what: str) -> Iterator[T]:
    """Yield the items, and move a bar by each."""
    with progress(what, len(items)) as advance:
        for item in items:
            yield item
            advance(1)


def known(error: BaseException) -> UserError | None:
    """The sentence for the user; None for an error of the code, whose traceback should be seen."""
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
                f"Out of memory ({_first_line(one)}): "
                "give smaller networks or batches, or use a larger machine."
            )
        if isinstance(one, RuntimeError) and "deserialize" in text:
            reason, folder = _first_line(one), cache.folder("xla")
            return CheckpointError(f"A kept program cannot be used ({reason}): delete {folder}.")
    return None


def exit_code(program: str, error: BaseException) -> int:
    """Print what `known` says to standard error, and return its exit code; 130 after Ctrl-C.

    Raises an error of the code again.
    """
    if isinstance(error, KeyboardInterrupt):
        show(f"{program}: stopped", error=True)
        return 130
    found = known(error)
    if found is None:
        raise error
    show(f"{program}: {found}", error=True)
    return found.exit_code


def _of_system(error: OSError) -> UserError:
    where = error.filename if error.filename is not None else "A file"
    if error.errno in ROOM:
        what = f"for {where} " if error.filename is not None else ""
        return CheckpointError(
            f"No room is left {what}({error.strerror}): "
            "make room, then give the same command again."
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
    """The system's own words, if the long text of an error has them, else its first line."""
    text = str(error)
    return next((known for known in REASONS if known in text), _first_line(error))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def quieten() -> None:
    """Print no traceback from threads, such as Orbax's event loop, that fail for a known reason.

    Whoever waits for them prints the sentence.
    """

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is None or known(arguments.exc_value) is None:
            threading.__excepthook__(arguments)

    def unraisable(arguments: "sys.UnraisableHookArgs") -> None:
        closed = "Event loop is closed" in str(arguments.exc_value)
        if not closed and (arguments.exc_value is None or known(arguments.exc_value) is None):
            sys.__unraisablehook__(arguments)

    threading.excepthook, sys.unraisablehook = of_thread, unraisable
    logging.getLogger("absl").setLevel(logging.CRITICAL)
