"""How well one mask covers another."""

import jax.numpy as jnp

from gen_jax.types import Array


def overlap(one: Array, other: Array) -> Array:
    """Intersection over union, NaN where both are empty: bool [b, h, w] x 2 -> [b]."""
    return (one & other).sum((1, 2)) / (one | other).sum((1, 2))


def middle(mask: Array) -> Array:
    """Mean row and column, those of the whole image where a mask is empty: [b, h, w] -> [b, 2]."""
    weight = jnp.where(mask.any((1, 2), keepdims=True), mask, 1).astype(jnp.float32)
    rows, columns = (jnp.arange(size, dtype=jnp.float32) for size in mask.shape[1:])
    row, column = jnp.einsum("bij,i->b", weight, rows), jnp.einsum("bij,j->b", weight, columns)
    return jnp.stack([row, column], 1) / weight.sum((1, 2))[:, None]


def distance(one: Array, other: Array) -> Array:
    """Between the middles of two masks, in pixels: [b, h, w] x 2 -> [b]."""
    return jnp.linalg.norm(middle(one) - middle(other), axis=-1)
