"""Images with captions: drawn shapes with sentences, emoji with their names, data sets prepared by
TFDS and folders of pictures; and their batches for a text-to-image model.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import crops, folders
from gen_jax.data.augmentation import from_uint8, random_crop, random_flip, resized
from gen_jax.data.catalog import emoji as symbols
from gen_jax.data.catalog import folder_names, sets
from gen_jax.data.pipeline import Arrays, Source
from gen_jax.data.synthetic import shapes as world
from gen_jax.errors import UserError
from gen_jax.types import Array, Batch, Key

Name = Literal["emoji", "shapes", "birds", "flowers", "coco"] | folders.Folder
TESTED = 1000  # test images of shapes
WORDS = ("size", "colour", "shape", "row", "column")  # factors in the caption of a shape
PER_IMAGE = {"coco": 5}  # captions per image; one for the other sets
# name -> name in TFDS, and its splits
PREPARED = {
    "birds": ("caltech_birds2011", {"train": "train", "test": "test"}),
    "flowers": ("oxford_flowers102", {"train": "train", "test": "test"}),
    "coco": ("coco_captions", {"train": "train", "test": "val"}),
}


class Captioned(NamedTuple):
    """n images, their captions, and the style, which the captions do not mention."""

    image: np.ndarray  # uint8 [n, side, side, 3]
    captions: np.ndarray  # texts [n, k]
    label: np.ndarray  # int32 [n], the class
    style: np.ndarray  # int32 [n]: ground of a shape or vendor of an emoji; 0 if unknown

    def first(self, count: int) -> "Captioned":
        """Return at most the first `count` images."""
        return Captioned(*(field[:count] for field in self))

    def middle(self, side: int) -> "Captioned":
        """Crop each image to its central square of `side` pixels."""
        return self._replace(image=crops.middle(self.image, side))


class Encoder(NamedTuple):
    """An encoder from texts to features."""

    features: int
    encode: Callable[[np.ndarray], np.ndarray]  # texts [n] -> float [n, features]


class Reader(NamedTuple):
    """Fixed rules, not learned, that recognise the content of images."""

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
    """Return the source of batches of "x" and "wrong", [b, side, side, 3] in [-1, 1], and "text",
    [b, d].

    An image is a random square crop of an image of side `load`, flipped with probability 1/2 if
    `flip`. A wrong image has another class. A text is the mean of the features of `average` random
    captions. Opening the data calls `splits`, and the encoders on all captions of both.
    """

    def prepare(batch: Batch, key: Key) -> Batch:
        key_crop, key_flip, key_text = jax.random.split(key, 3)
        x = random_crop(from_uint8(batch["image"]), key_crop, side)
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
    """Raise UserError if a crop of this side is larger than an image of side `load`."""
    if side > load:
        raise UserError(f"side is {side} and load is {load}; give a side of at most {load}.")


def other_class(label: Array) -> Array:
    """For each example of a batch, return the next one of another class, or else the next one.

    Labels [b] -> indices [b].
    """
    n = len(label)
    order = (jnp.arange(n)[:, None] + 1 + jnp.arange(n - 1)[None]) % n  # [b, b - 1]
    first = (label[order] != label[:, None]).argmax(1)
    return order[jnp.arange(n), first]


def encoded(splits: Mapping[str, Captioned], encoders: Sequence[Encoder]) -> tuple[Arrays, Arrays]:
    """Return "image" [n, s, s, 3], "text" [n, k, d], "class" [n] and "style" [n] of both splits.

    The training texts have mean 0 and variance 1, like z. Each encoder has one scale for all its
    features.
    """
    texts: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    for encoder in encoders:
        found = {split: _features(encoder, known.captions) for split, known in splits.items()}
        mean, scale = _moments(found["train"])
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


def normalised(
    captions: np.ndarray, encoders: Sequence[Encoder]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function texts [n] -> features [n, d] that gives "text" of `encoded`, for these
    captions of the training set [m, k].
    """
    moments = [_moments(_features(encoder, captions)) for encoder in encoders]

    def encode(texts: np.ndarray) -> np.ndarray:
        parts = [
            (encoder.encode(texts) - mean) / scale
            for encoder, (mean, scale) in zip(encoders, moments, strict=True)
        ]
        return np.concatenate(parts, -1)

    return encode


def _features(encoder: Encoder, captions: np.ndarray) -> np.ndarray:
    return encoder.encode(captions.ravel()).reshape(*captions.shape, -1)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.floating]:
    """The mean of each feature, [n, k, d] -> [d], and one scale."""
    return features.mean((0, 1)), features.std((0, 1)).mean()


def of_distinct(encode: Callable[[Sequence[str]], np.ndarray], texts: np.ndarray) -> np.ndarray:
    """Return the features of each text, computed once for equal texts: [n] -> [n, features]."""
    distinct, place = np.unique(texts, return_inverse=True)
    return encode(distinct.tolist())[place.ravel()]


def load(
    name: str, side: int, *, count: int, directory: Path | None = None
) -> dict[str, Captioned]:
    """Return both splits, "train" and "test", of shapes, emoji, a set of PREPARED or a folder.

    Images have `side` pixels per side. `count` is the number of training images of shapes.
    """
    if name == "shapes":
        return shapes(count, side)
    if folder_names.is_folder(name):
        return own(name, side, directory)
    return emoji(side, directory) if name == "emoji" else prepared(name, side, directory)


def shapes(count: int, side: int) -> dict[str, Captioned]:
    """Draw upright shapes of two sizes at nine positions; their captions mention everything except
    the ground.

    One in five combinations of shape and colour is only in the test set.
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
    """Round each number to the middle of its interval, one of `parts` of [low, high]: any shape
    -> the same.
    """
    width = (high - low) / parts
    return low + width * (jnp.clip(jnp.floor((x - low) / width), 0, parts - 1) + 0.5)


def held_out(scene: world.Scene) -> np.ndarray:
    """Return whether a scene's combination of shape and colour is for testing, one shape per
    colour: [n].
    """
    return np.asarray(scene.shape) == np.asarray(scene.colour) % len(world.SHAPES)


def matches(images: np.ndarray, captions: Iterable[str]) -> np.ndarray:
    """Return whether images match their captions in size, colour, shape, row and column.

    uint8 [n, s, s, 3] and texts [n] -> bool [n, 5].
    """
    said = np.stack([world.parse(f"{caption} on {world.GROUNDS[0]}") for caption in captions])
    return (read_back(images) == said)[:, :-1]


def read_back(images: np.ndarray) -> np.ndarray:
    """Recognise the caption words of drawn shapes, and the ground as the last word.

    uint8 [n, s, s, 3] -> int [n, 6].
    """
    return world.words(world.read(images.astype(np.float32) / 255))


def ground(images: np.ndarray) -> np.ndarray:
    """Recognise the style of drawn shapes: uint8 [n, s, s, 3] -> int [n]."""
    return read_back(images)[:, -1]


READERS: Mapping[str, Reader] = {"shapes": Reader(matches, ground)}


def emoji(side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """Return the symbols as drawn by each vendor, captioned with their names."""
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
    """Return a set of PREPARED. Each photograph without a label is its own class."""
    known, splits = PREPARED[name]
    return {
        of: _photographs(sets.load(f"tfds:{known}@{side}", split, directory))
        for of, split in splits.items()
    }


def own(name: str, side: int, directory: Path | None = None) -> dict[str, Captioned]:
    """Return a folder of pictures. Those with the same first caption are of one class."""
    name = folders.at(name, side, "captions", field="load")
    splits = {split: _photographs(sets.load(name, split, directory)) for split in ("train", "test")}
    return {s: known._replace(label=_labels(known.captions[:, 0])) for s, known in splits.items()}


def _photographs(arrays: Mapping[str, np.ndarray]) -> Captioned:
    n = len(arrays["image"])
    rows = arrays["caption"].reshape(n, -1, arrays["caption"].shape[-1])  # [n, k, bytes]
    captions = np.array([[symbols.text(caption) for caption in row] for row in rows])
    label = np.asarray(arrays.get("label", np.arange(n)), np.int32)
    return Captioned(arrays["image"], captions, label, np.zeros(n, np.int32))


def _labels(captions: np.ndarray) -> np.ndarray:
    return np.unique(captions, return_inverse=True)[1].astype(np.int32)
