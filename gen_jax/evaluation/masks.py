"""Comparison of two masks."""

import jax.numpy as jnp

from gen_jax.types import Array


def overlap(one: Array, other: Array) -> Array:
    """Return intersection over union, NaN if both masks are empty: bool [b, h, w] x 2 -> [b]."""
    return (one & other).sum((1, 2)) / (one | other).sum((1, 2))


def middle(mask: Array) -> Array:
    """Return the mean row and column, or those of the whole image for an empty mask: [b, h, w]
    -> [b, 2].
    """
    weight = jnp.where(mask.any((1, 2), keepdims=True), mask, 1).astype(jnp.float32)
    rows, columns = (jnp.arange(size, dtype=jnp.float32) for size in mask.shape[1:])
    row, column = jnp.einsum("bij,i->b", weight, rows), jnp.einsum("bij,j->b", weight, columns)
    return jnp.stack([row, column], 1) / weight.sum((1, 2))[:, None]


def distance(one: Array, other: Array) -> Array:
    """Return the distance between the centres of two masks, in pixels: [b, h, w] x 2 -> [b]."""
    return jnp.linalg.norm(middle(one) - middle(other), axis=-1)
