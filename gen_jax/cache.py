"""The user's cache folder: compiled programs and what we derive ourselves. Deleting it loses time, nothing else."""

import os
from pathlib import Path

import jax


def folder(name: str) -> Path:
    """$GEN_JAX_CACHE/NAME, else $XDG_CACHE_HOME/gen_jax/NAME, else ~/.cache/gen_jax/NAME."""
    given = os.environ.get("GEN_JAX_CACHE")
    return (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gen_jax"
    ) / name


def compiled_programs() -> None:
    """Keep compiled programs between processes, unless the user has said where or not to."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(folder("xla")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
