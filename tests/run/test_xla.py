"""XLA compiles as we say, unless the user says otherwise."""

import os

import jax
import jax.numpy as jnp
import pytest

from gen_jax.networks import conv
from gen_jax.run import xla

OURS = f"{xla.LIBRARY}=LIBRARY_FUSION_TYPE_REDUCE"
THEIRS = f"{xla.LIBRARY}=LIBRARY_FUSION_TYPE_DOT"


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, OURS),
        ("--xla_cpu_max_isa=AVX2", f"--xla_cpu_max_isa=AVX2 {OURS}"),
        (OURS, OURS),
        (THEIRS, THEIRS),
    ],
)
def test_what_the_user_says_to_xla_goes_before_it(given, expected, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    monkeypatch.delenv("XLA_FLAGS")
    if given is not None:
        monkeypatch.setenv("XLA_FLAGS", given)
    xla.prepare()
    assert os.environ["XLA_FLAGS"] == expected


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of a CPU")
def test_convolutions_are_not_ynnpack_s():
    x, w = jnp.zeros((4, 16, 16, 64)), jnp.zeros((3, 3, 64, 64))
    program = jax.jit(conv.conv).lower(x, w).compile().as_text()
    assert "convolution(" in program and "ynn_fusion" not in program
