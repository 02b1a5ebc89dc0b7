"""Crops of images on white: a random one to train on, the centre to test on."""

from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.data import augmentation
from gen_jax.errors import UserError
from gen_jax.types import Array, Key


def check(load: int, pad: int, side: int) -> None:
    """UserError where a crop of this side is larger than an image that is resized and padded."""
    if side > (whole := load + 2 * pad):
        raise UserError(
            f"side is {side} of images of {whole} pixels; give a side of at most {whole}."
        )


def resize_and_pad(image: Array, load: int, pad: int) -> Array:
    """Resized to `load`, then padded: uint8 [b, s, s, c] -> [b, w, w, c] in [-1, 1], w = load + 2
    pad.
    """
    x = augmentation.resized(image, load)
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=1)


def random_crop(image: Array, key: Key, *, load: int, pad: int, side: int) -> Array:
    """A random crop of each padded image, half of them flipped: uint8 [b, s, s, c]
    -> [b, side, side, c].
    """
    key_crop, key_flip = jax.random.split(key)
    x = augmentation.random_crop(resize_and_pad(image, load, pad), key_crop, side)
    return augmentation.random_flip(x, key_flip)


def centre_crop(image: Array, *, load: int, pad: int, side: int) -> Array:
    """The centre of each padded image: uint8 [b, s, s, c] -> [b, side, side, c]."""
    return middle(resize_and_pad(image, load, pad), side)


def middle(images: Any, side: int) -> Any:
    """The central square, of NumPy's arrays as a view: [n, h, w, c] -> [n, side, side, c]."""
    top, left = ((size - side) // 2 for size in images.shape[1:3])
    return images[:, top : top + side, left : left + side]
