"""How well a mask, where something was put, covers the mask of where it should be."""

import jax.numpy as jnp

from gen_jax.types import Array


def overlap(one: Array, other: Array) -> Array:
    """Intersection over union of masks of which one at least is not empty: bool [b, h, w] twice -> [b]."""
    return (one & other).sum((1, 2)) / (one | other).sum((1, 2))


def middle(mask: Array) -> Array:
    """The mean row and column, those of the image's own where the mask is empty: [b, h, w] -> [b, 2]."""
    weight = jnp.where(mask.any((1, 2), keepdims=True), mask, 1).astype(jnp.float32)
    rows, columns = (jnp.arange(size, dtype=jnp.float32) for size in mask.shape[1:])
    total = weight.sum((1, 2))
    return (
        jnp.stack(
            [jnp.einsum("bij,i->b", weight, rows), jnp.einsum("bij,j->b", weight, columns)], 1
        )
        / total[:, None]
    )


def distance(one: Array, other: Array) -> Array:
    """Between the middles of two masks, in pixels: [b, h, w] twice -> [b]."""
    return jnp.linalg.norm(middle(one) - middle(other), axis=-1)
