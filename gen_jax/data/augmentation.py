"""Augmentation of images inside the training step, as functions of the batch and a key."""

import jax
import jax.numpy as jnp

from gen_jax.types import Array, Key


def from_uint8(image: Array) -> Array:
    """Convert uint8 to float32 in [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1


def resized(image: Array, side: int) -> Array:
    """Resize uint8 [b, s, s, c] -> [b, side, side, c] in [-1, 1], by cubic interpolation if s is
    not `side`.
    """
    x = from_uint8(image)
    shape = (len(x), side, side, x.shape[-1])
    return x if x.shape == shape else jnp.clip(jax.image.resize(x, shape, "cubic"), -1, 1)


def crop_and_resize(image: Array, first: Array, size: Array, side: int) -> Array:
    """Resize a box, with a corner (row, column), height and width in pixels, to a square.

    It uses cubic interpolation: [h, w, c], [2], [2] -> [side, side, c].
    """
    scale, shape = side / size, (side, side, image.shape[-1])
    return jax.image.scale_and_translate(
        image, shape, (0, 1), scale, -first * scale, "cubic", antialias=False
    )


def random_crop(x: Array, key: Key, side: int) -> Array:
    """Crop a random square from each image: [b, s, s, c] -> [b, side, side, c]."""

    def part(x: Array, key: Key) -> Array:
        corner = jax.random.randint(key, (2,), 0, x.shape[0] - side + 1)
        return jax.lax.dynamic_slice(x, (*corner, 0), (side, side, x.shape[-1]))

    return jax.vmap(part)(x, jax.random.split(key, len(x)))


def random_flip(x: Array, key: Key) -> Array:
    """Flip each image horizontally with probability 1/2: [b, h, w, c] -> the same."""
    coins = jax.random.bernoulli(key, shape=(len(x), 1, 1, 1))
    return jnp.where(coins, x[:, :, ::-1], x)
