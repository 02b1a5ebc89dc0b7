"""How XLA compiles: on a CPU with its faster library, and once for all processes."""

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

WAYS = ("", "_host_to_device", "_device_to_device", "_device_to_host")
USUAL = {
    "jax_disable_jit": (False,),
    "jax_numpy_dtype_promotion": ("standard",),
    **{f"jax_transfer_guard{way}": (None, "allow", "log", "log_explicit") for way in WAYS},
}
LIBRARY = "--xla_cpu_experimental_ynn_fusion_type"  # what YNNPACK computes of what it could; Eigen does the rest


def prepare() -> None:
    """Call it before JAX compiles anything. What the user's XLA_FLAGS and JAX_COMPILATION_CACHE_DIR say goes before it.

    Eigen's convolutions and products make a step of DCGAN 1.6 and of Progressive GAN 2.0 times as fast as YNNPACK's,
    which XLA prefers (docs/speed.md); only its reductions stay.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if LIBRARY not in flags and flags.strip()[:1] in (
        "",
        "-",
    ):  # else they are in a file of this name
        os.environ["XLA_FLAGS"] = f"{flags} {LIBRARY}=LIBRARY_FUSION_TYPE_REDUCE".strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache.folder("xla")))
        _verify(cache.folder("xla"))
        atexit.register(_verify, cache.folder("xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def check() -> None:
    """Settings of JAX under which nothing here can be played are refused."""
    for name, usual in USUAL.items():
        if (value := jax.config.values[name]) not in usual:
            raise UserError(
                f"{name.upper()} is {value}, under which no program here can be played: unset it."
            )


def _verify(folder: Path) -> None:
    """Remove kept programs that are not what they were: JAX runs whatever lies under the name that it looks for.

    Their SHA-256 are kept beside the folder, with what tells that a file is untouched, so that few are read again.
    """
    index, found = folder.with_suffix(".json"), {}
    try:
        known = {
            name: (untouched, digest)
            for name, (untouched, digest) in json.loads(index.read_text("utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        known = {}
    for path in folder.glob("*-cache"):
        with contextlib.suppress(OSError):  # another process removed it
            stat, (before, digest) = path.stat(), known.get(path.name, (None, None))
            untouched = [stat.st_ino, stat.st_ctime_ns, stat.st_size]
            now = digest if before == untouched else files.sha256(path)
            if digest in (None, now):
                found[path.name] = untouched, now
            else:
                log.warning(
                    "%s is not the program that was kept under this name: it is compiled again.",
                    path,
                )
                path.unlink()
    with contextlib.suppress(
        DirectoryError
    ):  # kept programs that nobody can write, nobody exchanges
        if found != known:
            files.replace(index, json.dumps(found))
