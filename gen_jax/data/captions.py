"""Images with captions: drawn shapes with sentences, emoji with their names, and the sets that TFDS
has prepared; and batches of them for a model of images given text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import crops
from gen_jax.data.augmentation import random_crop, random_flip, resized
from gen_jax.data.catalog import emoji as symbols
from gen_jax.data.catalog import sets
from gen_jax.data.pipeline import Arrays, Source
from gen_jax.data.synthetic import shapes as world
from gen_jax.errors import UserError
from gen_jax.types import Array, Batch, Key

Name = Literal["emoji", "shapes", "birds", "flowers", "coco"]
TESTED = 1000  # shapes
WORDS = ("size", "colour", "shape", "row", "column")  # what the caption of a shape says
PER_IMAGE = {"coco": 5}  # captions; of the other sets one
# name -> that of TFDS, and its splits
PREPARED = {
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

    def first(self, count: int) -> "Captioned":
        """At most this many images."""
        return Captioned(*(field[:count] for field in self))

    def middle(self, side: int) -> "Captioned":
        """With the middle square of each image, of this side in pixels."""
        return self._replace(image=crops.middle(self.image, side))


class Encoder(NamedTuple):
    """Text to features."""

    features: int
    encode: Callable[[np.ndarray], np.ndarray]  # texts [n] -> float [n, features]


class Reader(NamedTuple):
    """What a fixed rule reads off images, without learning."""

    # images, captions -> bool [n, words]
    matches: Callable[[np.ndarray, Iterable[str]], np.ndarray]
    style: Callable[[np.ndarray], np.ndarray]  # images -> [n]


def source(
    name: Name,
    splits: Callable[[], Mapping[str, Captioned]],
    encoders: Sequence[Encoder],
    *,
    load: int,
    side: int,
    average: int,
    flip: bool,
) -> Source:
    """Batches of "x" and "wrong", [b, side, side, 3] in [-1, 1], and "text", [b, d].

    An image is a random square of one of `load` pixels a side, mirrored in half of the cases with
    `flip`; a wrong one is of another class; a text is the mean of the features of `average` random
    captions. Opening the data calls `splits`, and the encoders on all captions of both.
    """

    def prepare(batch: Batch, key: Key) -> Batch:
        key_crop, key_flip, key_text = jax.random.split(key, 3)
        x = random_crop(batch["image"].astype(jnp.float32) / 127.5 - 1, key_crop, side)
        x = random_flip(x, key_flip) if flip else x
        n, k, _ = batch["text"].shape
        chosen = jax.random.randint(key_text, (n, average, 1), 0, k)
        text = jnp.take_along_axis(batch["text"], chosen, 1).mean(1)
        return {**batch, "x": x, "text": text, "wrong": x[other_class(batch["class"])]}

    features = sum(encoder.features for encoder in encoders)
    fields = {
        "image": ((load, load, 3), "uint8"),
        "text": ((PER_IMAGE.get(name, 1), features), "float32"),
        "class": ((), "int32"),
        "style": ((), "int32"),
    }
    return Source(name, prepare, arrays=lambda: encoded(splits(), encoders), fields=fields)


def check_side(side: int, load: int) -> None:
    """Raises UserError where no square of this side can be taken of an image of `load` pixels."""
    if side > load:
        raise UserError(f"side is {side} and load is {load}; give a side of at most {load}.")


def other_class(label: Array) -> Array:
    """For each example of a batch the next one of another class, and if there is none, the next.

    Labels [b] -> indices [b].
    """
    n = len(label)
    order = (jnp.arange(n)[:, None] + 1 + jnp.arange(n - 1)[None]) % n  # [b, b - 1]
    first = (label[order] != label[:, None]).argmax(1)
    return order[jnp.arange(n), first]


def encoded(splits: Mapping[str, Captioned], encoders: Sequence[Encoder]) -> tuple[Arrays, Arrays]:
    """ "image" [n, s, s, 3], "text" [n, k, d], "class" [n] and "style" [n] of both splits.

    The text of the training set has mean 0 and, by one factor for all features of an encoder,
    variance 1, as z has.
    """
    texts: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    for encoder in encoders:
        found = {
            split: encoder.encode(known.captions.ravel()).reshape(*known.captions.shape, -1)
            for split, known in splits.items()
        }
        mean, scale = found["train"].mean((0, 1)), found["train"].std((0, 1)).mean()
        for split, text in found.items():
            texts[split].append((text - mean) / scale)
    train, test = (
        {
            "image": splits[split].image,
            "text": np.concatenate(texts[split], -1),
            "class": splits[split].label,
            "style": splits[split].style,
        }
        for split in ("train", "test")
    )
    return train, test


def of_distinct(encode: Callable[[Sequence[str]], np.ndarray], texts: np.ndarray) -> np.ndarray:
    """The features of each text, computed once for equal ones: [n] -> [n, features]."""
    distinct, place = np.unique(texts, return_inverse=True)
    return encode(distinct.tolist())[place.ravel()]


def load(
    name: str, side: int, *, count: int, directory: Path | None = None
) -> dict[str, Captioned]:
    """Both splits, "train" and "test", of shapes, emoji, or a set of PREPARED.

    Images have this many pixels a side. Of shapes, `count` are for training.
    """
    if name == "shapes":
        return shapes(count, side)
    return emoji(side, directory) if name == "emoji" else prepared(name, side, directory)


def shapes(count: int, side: int) -> dict[str, Captioned]:
    """Upright shapes of two sizes in nine places: a sentence leaves open the ground alone.

    One pair of shape and colour in five is in the test set and in no other.
    """

    def rendered(key: jax.Array, n: int, kept: Callable[[world.Scene], np.ndarray]) -> Captioned:
        scene = world.draw(key, 8 * n)._replace(angle=jnp.zeros(8 * n))
        scene = scene._replace(radius=middles(scene.radius, *world.RADII, 2))
        scene = scene._replace(centre=middles(scene.centre, -world.REACH, world.REACH, 3))
        scene = jax.tree.map(lambda factor: factor[np.flatnonzero(kept(scene))[:n]], scene)
        said = world.words(scene)
        render = jax.jit(lambda scene: jnp.rint(255 * world.render(scene, side)).astype(jnp.uint8))
        starts = range(0, n, 1000)
        parts = [jax.tree.map(lambda factor, i=i: factor[i : i + 1000], scene) for i in starts]
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
    """Whether images show the size, colour, shape, row and column that their captions say.

    uint8 [n, s, s, 3] and texts [n] -> bool [n, 5].
    """
    said = np.stack([world.parse(f"{caption} on {world.GROUNDS[0]}") for caption in captions])
    return (read_back(images) == said)[:, :-1]


def read_back(images: np.ndarray) -> np.ndarray:
    """The words for what drawn shapes show, the last that for the ground.

    uint8 [n, s, s, 3] -> int [n, 6].
    """
    return world.words(world.read(images.astype(np.float32) / 255))


def ground(images: np.ndarray) -> np.ndarray:
    """The style of drawn shapes: uint8 [n, s, s, 3] -> int [n]."""
    return read_back(images)[:, -1]


READERS: Mapping[str, Reader] = {"shapes": Reader(matches, ground)}


def emoji(side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """Each symbol as each vendor draws it, by its name."""
    splits = ("train", "test")
    return {split: _drawn(sets.load("emoji", split, directory), side) for split in splits}


def _drawn(arrays: Mapping[str, np.ndarray], side: int) -> Captioned:
    names = np.tile([symbols.text(row) for row in arrays["caption"]], len(symbols.VENDORS))
    image = np.concatenate([arrays[vendor] for vendor in symbols.VENDORS])  # [vendors n, 64, 64, 3]
    small = jax.jit(lambda image: jnp.rint(127.5 * (resized(image, side) + 1)).astype(jnp.uint8))
    image = np.concatenate([small(part) for part in np.array_split(image, -(-len(image) // 500))])
    style = np.repeat(np.arange(len(symbols.VENDORS), dtype=np.int32), len(arrays["caption"]))
    return Captioned(image, names[:, None], _labels(names), style)


def prepared(name: str, side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """A set of PREPARED. Each of photographs without labels is a class of its own."""
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
