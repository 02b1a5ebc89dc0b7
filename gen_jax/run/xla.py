"""XLA's compilation: the faster library on a CPU, and a shared compilation cache."""

import atexit
import contextlib
import json
import logging
import os
from pathlib import Path

import jax

from gen_jax.errors import DirectoryError, UserError
from gen_jax.storage import cache, files

log = logging.getLogger("gen_jax")

Index = dict[str, tuple[list[int] | None, str | None]]  # cached program -> identity, SHA-256

DIRECTIONS = ("", "_host_to_device", "_device_to_device", "_device_to_host")
ALLOWED = {
    "jax_disable_jit": (False,),
    "jax_numpy_dtype_promotion": ("standard",),
    **{f"jax_transfer_guard{way}": (None, "allow", "log", "log_explicit") for way in DIRECTIONS},
}
# The operations that YNNPACK computes; Eigen computes all others.
LIBRARY = "--xla_cpu_experimental_ynn_fusion_type"


def prepare() -> None:
    """Set XLA's options; call this before JAX compiles anything.

    The user's XLA_FLAGS and JAX_COMPILATION_CACHE_DIR take precedence. With Eigen's convolutions
    and products, a step of DCGAN is 1.6 times and one of Progressive GAN 2.0 times as fast as with
    YNNPACK's, XLA's default (docs/speed.md). Only YNNPACK's reductions are kept.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    # Without a leading dash, it is the name of a file of flags.
    if LIBRARY not in flags and flags.strip()[:1] in ("", "-"):
        os.environ["XLA_FLAGS"] = f"{flags} {LIBRARY}=LIBRARY_FUSION_TYPE_REDUCE".strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache.folder("xla")))
        _verify(cache.folder("xla"))
        atexit.register(_verify, cache.folder("xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def check() -> None:
    """Raise UserError for JAX settings that no program here supports."""
    for name, allowed in ALLOWED.items():
        if (value := jax.config.values[name]) not in allowed:
            raise UserError(f"{name.upper()} is {value}, which no program here supports: unset it.")


def _verify(folder: Path) -> None:
    """Remove cached programs that were changed: JAX would run any file with the right name.

    Their SHA-256 are stored next to the folder, with the inode, time and size of each file. Only
    files whose inode, time or size changed are read again.
    """
    index = folder.with_suffix(".json")
    found: Index = {}
    try:
        known: Index = {
            name: (identity, digest)
            for name, (identity, digest) in json.loads(index.read_text("utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        known = {}
    for path in folder.glob("*-cache"):
        with contextlib.suppress(OSError):  # another process removed it
            stat, (before, digest) = path.stat(), known.get(path.name, (None, None))
            identity = [stat.st_ino, stat.st_ctime_ns, stat.st_size]
            now = digest if digest and before == identity else files.sha256(path)
            if digest in (None, now):
                found[path.name] = identity, now
            else:
                log.warning(
                    "%s is not the cached program of this name: it is compiled again.",
                    path,
                )
                path.unlink()
    # A read-only folder needs no index: its programs cannot be replaced.
    with contextlib.suppress(DirectoryError):
        if found != known:
            files.replace(index, json.dumps(found))
