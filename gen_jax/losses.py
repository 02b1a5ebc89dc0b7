"""Formulas on arrays: each takes logits of a discriminator, log D - log(1 - D), of any shape, and gives a mean: []."""

import jax
import jax.numpy as jnp

from gen_jax.types import Array


def real(logits: Array) -> Array:
    """-log D(x): the cross-entropy of calling them real. As a generator's loss, the non-saturating one."""
    return jax.nn.softplus(-logits).mean()


def fake(logits: Array) -> Array:
    """-log(1 - D(x)): the cross-entropy of calling them fake."""
    return jax.nn.softplus(logits).mean()


def minimax(logits: Array) -> Array:
    """log(1 - D(G(z))), what the generator minimises in the minimax game (Goodfellow et al. 2014, equation 1)."""
    return -jax.nn.softplus(logits).mean()


def accuracy(logits_real: Array, logits_fake: Array) -> Array:
    """The share of images that the discriminator tells right: []."""
    return 0.5 * ((logits_real > 0).mean() + (logits_fake < 0).mean(dtype=jnp.float32))
