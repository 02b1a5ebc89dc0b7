"""Where prepared data lie, and the cache of what is derived from them.

Deleting either loses time, nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gen_jax.errors import DirectoryError, UserError
from gen_jax.storage import files

if TYPE_CHECKING:  # prepared data open without JAX, which gen_jax.types imports
    from gen_jax.types import Json

log = logging.getLogger("gen_jax")


def folder(name: str) -> Path:
    """The cache of one kind of things: NAME in $GEN_JAX_CACHE, by default in ~/.cache/gen_jax."""
    return _folder("GEN_JAX_CACHE", "") / name


def data_folder() -> Path:
    """Where prepared data sets lie: $GEN_JAX_DATA, by default ~/.cache/gen_jax/data.

    $GEN_JAX_CACHE does not move it.
    """
    return _folder("GEN_JAX_DATA", "data")


def _folder(variable: str, default: str) -> Path:
    """The folder that a variable names, or one in $XDG_CACHE_HOME/gen_jax.

    $XDG_CACHE_HOME is ~/.cache by default. A ~ is the user's home directory. Raises UserError if
    that is not known.
    """
    given = os.environ.get(variable)
    path = Path(given or os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        path = path.expanduser()
    except RuntimeError as error:  # neither $HOME nor the system's list of users has it
        raise UserError(
            "No home directory is known: "
            "set GEN_JAX_CACHE and GEN_JAX_DATA to paths that do not begin with a ~."
        ) from error
    return path if given else path / "gen_jax" / default


def digest(*parts: str | bytes | np.ndarray) -> str:
    """SHA-256, in hex, of texts, bytes and arrays, one after another."""
    made = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            made.update(part.data)
        else:
            made.update(part.encode() if isinstance(part, str) else part)
    return made.hexdigest()


def sources(file: str | Path) -> str:
    """The digest of a module and of all modules of its package that it imports, directly or not.

    Every import statement counts, wherever it stands. A module that is found at run time does not.
    """
    top = Path(file).resolve().parent
    while (top.parent / "__init__.py").exists():
        top = top.parent
    found: dict[str, bytes] = {}
    waiting = [Path(file).resolve()]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(top).as_posix()
        if name not in found and path.is_file():
            found[name] = path.read_bytes()
            package = (top.name, *path.relative_to(top).parent.parts)
            for imported in _imports(found[name], package):
                waiting += _files(top, imported)
    parts: list[str | bytes] = []
    for name, source in sorted(found.items()):
        parts += [repr((name, len(source))), source]
    return digest(*parts)


def _imports(source: bytes, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names that a module in `package` imports.

    Their last part may be a name within a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(each.name.split(".")) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, each.name) for each in node.names)


def _files(top: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """The files in the package `top` that an import of this name runs, with each __init__.py."""
    if name[0] == top.name:
        for i in range(1, len(name) + 1):
            inside = top.joinpath(*name[1:i])
            yield inside / "__init__.py"
            if i > 1:
                yield inside.with_name(f"{inside.name}.py")


def load(path: Path, made_of: Json) -> tuple[bytes, Json] | None:
    """What was stored, and its record; None if it is missing, damaged or made of something else.

    Unless it is missing, a line in the log says why it is not used.
    """
    try:
        if not path.exists():
            return None
        content = path.read_bytes()
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        if record["made_of"] == made_of and record["sha256"] == digest(content):
            return content, record
        why = "its bytes are not those that were recorded"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"its record cannot be read: {error!r}"
    log.warning("%s is damaged (%s); it is made again.", path, why)
    return None


def store(path: Path, made_of: Json, content: bytes, **record: object) -> None:
    """Store bytes, then their record: after a crash in between they count as damaged.

    If they cannot be written, a line in the log says so.
    """
    whole = {"sha256": digest(content), **record, "made_of": made_of}
    try:
        files.replace(path, content)
        files.replace(path.with_suffix(".json"), json.dumps(whole, indent=1))
    except DirectoryError as error:
        log.warning("%s is used but not kept: %s", path.name, error)
