"""Strict on purpose: eight simulated devices, no silent rank promotion, key reuse caught where it is cheap."""

import os

os.environ.setdefault("NPROC", "32")  # with fewer threads, collectives among simulated devices deadlock

import jax
import pytest

from gen_jax import cache

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")  # catches [b] against [b, 1]
cache.compiled_programs()


@pytest.fixture
def key_reuse():
    """Any use of a key twice is an error."""
    with jax.debug_key_reuse(True):
        yield
