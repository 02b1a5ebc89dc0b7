"""Parts of images: a random one to train on, the middle to test on. What an image is enlarged by is white."""

from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.data import augmentation
from gen_jax.types import Array, Key


def resize_and_pad(image: Array, load: int, pad: int) -> Array:
    """Resized, then `pad` white pixels on each side: uint8 [b, s, s, c] -> [b, w, w, c] in [-1, 1], w = load + 2 pad"""
    return jnp.pad(
        augmentation.resized(image, load),
        ((0, 0), (pad, pad), (pad, pad), (0, 0)),
        constant_values=1,
    )


def random_crop(image: Array, key: Key, *, load: int, pad: int, side: int) -> Array:
    """A random part of each framed image, mirrored in half of them: uint8 [b, s, s, c] -> [b, side, side, c]"""
    where, coin = jax.random.split(key)
    return augmentation.random_flip(
        augmentation.random_crop(resize_and_pad(image, load, pad), where, side), coin
    )


def centre_crop(image: Array, *, load: int, pad: int, side: int) -> Array:
    """The middle of each framed image: uint8 [b, s, s, c] -> [b, side, side, c]"""
    return middle(resize_and_pad(image, load, pad), side)


def middle(images: Any, side: int) -> Any:
    """A square, of NumPy's arrays as a view: [n, h, w, c] -> [n, side, side, c]"""
    top, left = ((size - side) // 2 for size in images.shape[1:3])
    return images[:, top : top + side, left : left + side]
