"""Images with captions: drawn shapes with sentences, emoji with their names, and the sets that TFDS has prepared."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.augmentation import resized
from gen_jax.data.catalog import emoji as symbols
from gen_jax.data.catalog import sets
from gen_jax.data.synthetic import shapes as world
from gen_jax.types import Array

TESTED = 1000  # shapes
PREPARED = {  # name -> TFDS's, and its splits
    "birds": ("caltech_birds2011", {"train": "train", "test": "test"}),
    "flowers": ("oxford_flowers102", {"train": "train", "test": "test"}),
    "coco": ("coco_captions", {"train": "train", "test": "val"}),
}


class Captioned(NamedTuple):
    """n images, what each is called, and what its caption leaves open."""

    image: np.ndarray  # uint8 [n, side, side, 3]
    captions: np.ndarray  # texts [n, k]
    label: np.ndarray  # int32 [n], of the class
    style: np.ndarray  # int32 [n]: of shapes the ground, of emoji the vendor; 0 where none is known


def load(
    name: str, side: int, *, count: int, directory: Path | None = None
) -> dict[str, Captioned]:
    """Both splits of shapes (of which `count` are for training), emoji, or a set of PREPARED, at a side."""
    if name == "shapes":
        return shapes(count, side)
    return emoji(side, directory) if name == "emoji" else prepared(name, side, directory)


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
        parts = [
            jax.tree.map(lambda factor, i=i: factor[i : i + 1000], scene) for i in range(0, n, 1000)
        ]
        image = np.concatenate([render(part) for part in parts])
        captions = np.array([sentence.partition(" on ")[0] for sentence in world.captions(said)])
        return Captioned(image, captions[:, None], _labels(captions), said[:, -1].astype(np.int32))

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


def matches(images: np.ndarray, captions: Iterable[str]) -> np.ndarray:
    """Whether uint8 images [n, s, s, 3] show the size, colour, shape, row and column that is said: bool [n, 5]."""
    said = np.stack([world.parse(f"{caption} on {world.GROUNDS[0]}") for caption in captions])
    return (read_back(images) == said)[:, :-1]


def read_back(images: np.ndarray) -> np.ndarray:
    """The words for what drawn shapes show, the last that for the ground: uint8 [n, s, s, 3] -> int [n, 6]."""
    return world.words(world.read(images.astype(np.float32) / 255))


def emoji(side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """Each symbol as each vendor draws it, by its name."""
    return {
        split: _drawn(sets.load("emoji", split, directory), side) for split in ("train", "test")
    }


def _drawn(arrays: Mapping[str, np.ndarray], side: int) -> Captioned:
    names = np.tile([symbols.text(row) for row in arrays["caption"]], len(symbols.VENDORS))
    image = np.concatenate([arrays[vendor] for vendor in symbols.VENDORS])  # [vendors n, 64, 64, 3]
    small = jax.jit(lambda image: jnp.rint(127.5 * (resized(image, side) + 1)).astype(jnp.uint8))
    image = np.concatenate([small(part) for part in np.array_split(image, -(-len(image) // 500))])
    style = np.repeat(np.arange(len(symbols.VENDORS), dtype=np.int32), len(arrays["caption"]))
    return Captioned(image, names[:, None], _labels(names), style)


def prepared(name: str, side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """A set of PREPARED, at a side; of photographs without labels each is a class of its own."""
    known, splits = PREPARED[name]
    return {
        of: _photographs(sets.load(f"tfds:{known}@{side}", split, directory))
        for of, split in splits.items()
    }


def _photographs(arrays: Mapping[str, np.ndarray]) -> Captioned:
    n = len(arrays["image"])
    rows = arrays["caption"].reshape(n, -1, arrays["caption"].shape[-1])  # [n, k, bytes]
    captions = np.array([[symbols.text(caption) for caption in row] for row in rows])
    label = np.asarray(arrays.get("label", np.arange(n)), np.int32)
    return Captioned(arrays["image"], captions, label, np.zeros(n, np.int32))


def _labels(captions: np.ndarray) -> np.ndarray:
    return np.unique(captions, return_inverse=True)[1].astype(np.int32)
