"""Formulas on arrays of any shape, each a mean: []. Logits of a discriminator are log D - log(1 - D)."""

import jax
import jax.numpy as jnp

from gen_jax.types import Array


def bce_real(logits: Array) -> Array:
    """-log D(x): the cross-entropy of calling them real. As a generator's loss, the non-saturating one."""
    return jax.nn.softplus(-logits).mean()


def bce_fake(logits: Array) -> Array:
    """-log(1 - D(x)): the cross-entropy of calling them fake."""
    return jax.nn.softplus(logits).mean()


def minimax(logits: Array) -> Array:
    """log(1 - D(G(z))), what the generator minimises in the minimax game (Goodfellow et al. 2014, equation 1)."""
    return -jax.nn.softplus(logits).mean()


def accuracy(logits_real: Array, logits_fake: Array) -> Array:
    """The share of images that the discriminator tells right: []."""
    return 0.5 * ((logits_real > 0).mean() + (logits_fake < 0).mean(dtype=jnp.float32))


def least_squares(scores: Array, target: float) -> Array:
    """(D(x) - target)^2: 1 for real images and 0 for fakes (Mao et al. 2017, equation 9)."""
    return ((scores - target) ** 2).mean()


def l1(a: Array, b: Array) -> Array:
    """|a - b|, over all values."""
    return jnp.abs(a - b).mean()


def joint_embedding(scores: Array) -> Array:
    """max(0, 1 + s_ij - s_ii), j != i, over all pairs [b, b]: the right one must win by 1 (Reed et al. 2016, CVPR)."""
    right = jnp.diagonal(scores)[:, None]
    wrong = 1 - jnp.eye(len(scores))
    return (wrong * jax.nn.relu(1 + scores - right)).mean()
