"""Crops of images: random crops for training, centre crops for testing. Padding is white."""

from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.data import augmentation
from gen_jax.errors import UserError
from gen_jax.types import Array, Key


def check(load: int, pad: int, side: int) -> None:
    """Raise UserError if a crop of this side is larger than a resized and padded image."""
    if side > (whole := load + 2 * pad):
        raise UserError(
            f"side is {side}; images have {whole} pixels, so give a side of at most {whole}."
        )


def resize_and_pad(image: Array, load: int, pad: int) -> Array:
    """Resize to `load`, then pad: uint8 [b, s, s, c] -> [b, w, w, c] in [-1, 1].

    w is load + 2 pad.
    """
    x = augmentation.resized(image, load)
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=1)


def random_crop(image: Array, key: Key, *, load: int, pad: int, side: int) -> Array:
    """Take a random crop of each padded image, flipped with probability 1/2: uint8 [b, s, s, c]
    -> [b, side, side, c].
    """
    key_crop, key_flip = jax.random.split(key)
    x = augmentation.random_crop(resize_and_pad(image, load, pad), key_crop, side)
    return augmentation.random_flip(x, key_flip)


def centre_crop(image: Array, *, load: int, pad: int, side: int) -> Array:
    """Take the centre crop of each padded image: uint8 [b, s, s, c] -> [b, side, side, c]."""
    return middle(resize_and_pad(image, load, pad), side)


def middle(images: Any, side: int) -> Any:
    """Return the central square, for NumPy arrays as a view: [n, h, w, c] -> [n, side, side, c]."""
    top, left = ((size - side) // 2 for size in images.shape[1:3])
    return images[:, top : top + side, left : left + side]
