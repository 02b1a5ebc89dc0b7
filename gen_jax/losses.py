"""Losses: means over arrays of any shape, each [...] -> [].

The logits of a discriminator are log D(x) - log(1 - D(x)). Cross-entropies are in nats.
"""

import chex
import jax
import jax.numpy as jnp

from gen_jax.types import Array


def bce_real(logits: Array) -> Array:
    """-log D(x), the cross-entropy with the label "real": logits [...] -> [].

    Applied to generated images, it is the non-saturating loss of a generator.
    """
    return jax.nn.softplus(-logits).mean()


def bce_fake(logits: Array) -> Array:
    """-log(1 - D(x)), the cross-entropy with the label "fake": logits [...] -> []."""
    return jax.nn.softplus(logits).mean()


def minimax(logits: Array) -> Array:
    """log(1 - D(G(z))), the generator's loss in the minimax game: logits of fakes [...] -> [].

    Goodfellow et al. 2014, equation 1.
    """
    return -jax.nn.softplus(logits).mean()


def accuracy(logits_real: Array, logits_fake: Array) -> Array:
    """The share of images that the discriminator classifies correctly: [...], [...] -> []."""
    return 0.5 * ((logits_real > 0).mean() + (logits_fake < 0).mean(dtype=jnp.float32))


def least_squares(scores: Array, target: float) -> Array:
    """(D(x) - target)^2, with target 1 for real images and 0 for fakes: scores [...] -> [].

    Mao et al. 2017, equation 9.
    """
    return ((scores - target) ** 2).mean()


def l1(a: Array, b: Array) -> Array:
    """|a - b|: [...], [...] -> []. AssertionError if the shapes differ."""
    chex.assert_equal_shape((a, b))
    return jnp.abs(a - b).mean()


def joint_embedding(scores: Array) -> Array:
    """max(0, 1 + s_ij - s_ii) for j != i, a hinge loss: scores of all pairs [b, b] -> [].

    Matching pairs are on the diagonal. The mean is over all b^2 pairs (Reed et al. 2016, CVPR).
    """
    chex.assert_shape(scores, (len(scores), len(scores)))
    matching = jnp.diagonal(scores)[:, None]
    mismatched = 1 - jnp.eye(len(scores))
    return (mismatched * jax.nn.relu(1 + scores - matching)).mean()
