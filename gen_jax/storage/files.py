"""Files written whole or not at all, and their hashes."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gen_jax.errors import DirectoryError


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """A context that adds the name of the file to an OSError; a write or a flush alone does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def replace(path: Path, content: bytes | str) -> None:
    """Write a file so that a crash leaves the old one or the new one.

    Makes its folder if it is missing.

    Raises DirectoryError if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path), temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise DirectoryError(
            f"{path} cannot be written ({error.strerror}): choose another place."
        ) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
