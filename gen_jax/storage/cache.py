"""The user's cache folder: compiled programs and what we derive ourselves. Deleting it loses time, nothing else."""

import ast
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gen_jax.errors import DirectoryError, UserError
from gen_jax.storage import files

log = logging.getLogger("gen_jax")


def folder(name: str) -> Path:
    """$GEN_JAX_CACHE/NAME, else home()/NAME."""
    given = os.environ.get("GEN_JAX_CACHE")
    return (expanded(given) if given else home()) / name


def home() -> Path:
    """$XDG_CACHE_HOME/gen_jax, else ~/.cache/gen_jax."""
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gen_jax"


def expanded(path: str) -> Path:
    """With the user's home directory for its ~."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # neither $HOME nor the system's list of users tells it
        raise UserError(
            "No home directory is known: set GEN_JAX_CACHE and GEN_JAX_DATA to paths that do not begin with a ~."
        ) from error


def digest(*parts: Any) -> str:
    """SHA-256, in hex, of bytes, texts and arrays."""
    made = hashlib.sha256()
    for part in parts:
        made.update(part.encode() if isinstance(part, str) else part)
    return made.hexdigest()


def sources(file: str | Path) -> str:
    """The digest of a module's source and of all modules of its own package that it imports, those of theirs included.

    What an import statement says counts, wherever it stands; a module that is found at run time does not.
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
            waiting += [place for one in _imported(found[name], (top.name, *path.relative_to(top).parent.parts))
                        for place in _places(top, one)]  # fmt: skip
    return digest(
        *(part for name in sorted(found) for part in (repr((name, len(found[name]))), found[name]))
    )


def _imported(source: bytes, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names that a module in `package` imports; the last part may be no module but something in one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(each.name.split(".")) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, each.name) for each in node.names)


def _places(top: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """The files that an import of this name runs, where they lie in the package `top`: those of its packages too."""
    if name[0] == top.name:
        for i in range(1, len(name) + 1):
            inside = top.joinpath(*name[1:i])
            yield inside / "__init__.py"
            if i > 1:
                yield inside.with_name(f"{inside.name}.py")


def load(path: Path, made_of: dict[str, Any]) -> tuple[bytes, dict[str, Any]] | None:
    """What was stored, and its record, if there and whole; a line in the log says why it is not used."""
    try:
        if not path.exists():
            return None
        content, record = (
            path.read_bytes(),
            json.loads(path.with_suffix(".json").read_text("utf-8")),
        )
        if record["made_of"] == made_of and record["sha256"] == digest(content):
            return content, record
        why = "its bytes are not those that were recorded"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"its record cannot be read: {error!r}"
    log.warning("%s is damaged (%s); it is made again.", path, why)
    return None


def store(path: Path, made_of: dict[str, Any], content: bytes, **record: Any) -> None:
    """Store bytes, then their record: after a crash in between they count as damaged."""
    record = {"sha256": digest(content), **record, "made_of": made_of}
    try:
        files.replace(path, content)
        files.replace(path.with_suffix(".json"), json.dumps(record, indent=1))
    except DirectoryError as error:
        log.warning("%s is used but not kept: %s", path.name, error)
