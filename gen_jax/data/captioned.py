"""Images with captions: drawn shapes with sentences, emoji with their names."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import emoji as symbols
from gen_jax.data import shapes as world
from gen_jax.data import sources
from gen_jax.data.augmentation import resized
from gen_jax.types import Array

TESTED = 1000  # shapes


class Captioned(NamedTuple):
    """n images, what each is called, and what its caption leaves open."""

    image: np.ndarray  # uint8 [n, side, side, 3]
    caption: list[str]  # [n]
    label: np.ndarray  # int32 [n], of the caption
    style: np.ndarray  # int32 [n]: of shapes the ground, of emoji the vendor


def shapes(count: int, side: int) -> dict[str, Captioned]:
    """Upright shapes of two sizes in nine places, so that a sentence leaves open the ground and nothing else.

    One pair of shape and colour in five is for testing alone.
    """

    def rendered(key: jax.Array, n: int, kept: Callable[[world.Scene], np.ndarray]) -> Captioned:
        scene = world.draw(key, 8 * n)._replace(angle=jnp.zeros(8 * n))
        scene = scene._replace(radius=middles(scene.radius, *world.RADII, 2))
        scene = scene._replace(centre=middles(scene.centre, -world.REACH, world.REACH, 3))
        scene = jax.tree.map(lambda factor: factor[np.flatnonzero(kept(scene))[:n]], scene)
        said = world.words(scene)
        render = jax.jit(lambda scene: jnp.rint(255 * world.render(scene, side)).astype(jnp.uint8))
        parts = [jax.tree.map(lambda factor, i=i: factor[i : i + 1000], scene) for i in range(0, n, 1000)]
        image = np.concatenate([render(part) for part in parts])
        caption = [sentence.partition(" on ")[0] for sentence in world.captions(said)]
        return Captioned(image, caption, _labels(caption), said[:, -1].astype(np.int32))

    first, second = jax.random.split(jax.random.key(0))
    return {
        "train": rendered(first, count, lambda scene: ~held_out(scene)),
        "test": rendered(second, TESTED, held_out),
    }


def middles(x: Array, low: float, high: float, parts: int) -> Array:
    """Each number as the middle of its part of [low, high]: any shape -> the same."""
    width = (high - low) / parts
    return low + width * (jnp.clip(jnp.floor((x - low) / width), 0, parts - 1) + 0.5)


def held_out(scene: world.Scene) -> np.ndarray:
    """Whether a scene's shape and colour are for testing: one shape of each colour. [n]"""
    return np.asarray(scene.shape) == np.asarray(scene.colour) % len(world.SHAPES)


def matches(images: np.ndarray, captions: list[str]) -> np.ndarray:
    """Whether uint8 images [n, s, s, 3] show the size, colour, shape, row and column that is said: bool [n, 5]."""
    said = np.stack([world.parse(f"{caption} on {world.GROUNDS[0]}") for caption in captions])
    return (seen(images) == said)[:, :-1]


def seen(images: np.ndarray) -> np.ndarray:
    """The words for what drawn shapes show, the last that for the ground: uint8 [n, s, s, 3] -> int [n, 6]."""
    return world.words(world.read(images.astype(np.float32) / 255))


def emoji(side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """Each symbol as each vendor draws it, by its name."""
    return {split: _drawn(sources.load("emoji", split, directory), side) for split in ("train", "test")}


def _drawn(arrays: dict[str, np.ndarray], side: int) -> Captioned:
    names = [symbols.text(row) for row in arrays["caption"]]
    image = np.concatenate([arrays[vendor] for vendor in symbols.VENDORS])  # [vendors n, 64, 64, 3]
    small = jax.jit(lambda image: jnp.rint(127.5 * (resized(image, side) + 1)).astype(jnp.uint8))
    image = np.concatenate([small(part) for part in np.array_split(image, -(-len(image) // 500))])
    style = np.repeat(np.arange(len(symbols.VENDORS), dtype=np.int32), len(names))
    return Captioned(image, names * len(symbols.VENDORS), _labels(names * len(symbols.VENDORS)), style)


def _labels(captions: list[str]) -> np.ndarray:
    return np.unique(captions, return_inverse=True)[1].astype(np.int32)


def middle(images: np.ndarray, side: int) -> np.ndarray:
    """[n, s, s, 3] -> [n, side, side, 3]"""
    edge = (images.shape[1] - side) // 2
    return images[:, edge : edge + side, edge : edge + side]
