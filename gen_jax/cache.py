"""The user's cache folder: compiled programs and what we derive ourselves. Deleting it loses time, nothing else."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from gen_jax import files
from gen_jax.errors import DirectoryError

log = logging.getLogger("gen_jax")


def folder(name: str) -> Path:
    """$GEN_JAX_CACHE/NAME, else $XDG_CACHE_HOME/gen_jax/NAME, else ~/.cache/gen_jax/NAME."""
    given = os.environ.get("GEN_JAX_CACHE")
    return (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gen_jax"
    ) / name


def digest(*parts: Any) -> str:
    """SHA-256, in hex, of bytes, texts and arrays."""
    made = hashlib.sha256()
    for part in parts:
        made.update(part.encode() if isinstance(part, str) else part)
    return made.hexdigest()


def load(path: Path, made_of: dict[str, Any]) -> tuple[bytes, dict[str, Any]] | None:
    """What was stored, and its record, if there and whole; a line in the log says why it is not used."""
    try:
        if not path.exists():
            return None
        content, record = path.read_bytes(), json.loads(path.with_suffix(".json").read_text("utf-8"))
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
