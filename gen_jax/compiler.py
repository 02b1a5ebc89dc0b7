"""How XLA compiles: on a CPU with its faster library, and once for all processes."""

import os

import jax

from gen_jax import cache

LIBRARY = "--xla_cpu_experimental_ynn_fusion_type"  # what YNNPACK computes of what it could; Eigen does the rest


def prepare() -> None:
    """Call it before JAX compiles anything. What the user's XLA_FLAGS and JAX_COMPILATION_CACHE_DIR say goes before it.

    Eigen's convolutions and products make a step of DCGAN 1.6 and of Progressive GAN 2.0 times as fast as YNNPACK's,
    which XLA prefers (SPEED.md); only its reductions stay.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if LIBRARY not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {LIBRARY}=LIBRARY_FUSION_TYPE_REDUCE".strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache.folder("xla")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
