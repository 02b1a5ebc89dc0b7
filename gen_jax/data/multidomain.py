"""Images in several domains: an example as it is in each of them, and what each data set says of them in its labels."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import images
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.pipeline import Arrays
from gen_jax.types import Array, Batch

INKS = np.eye(3, dtype=np.float32)  # red, green, blue
PAPERS = np.array([[0, 0, 0], [1, 1, 1]], np.float32)
ATTRIBUTES = (
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Male",
    "Young",
)  # of CelebA, in the order of StarGAN's code
HAIR = 3  # the first of these exclude each other
FACE = 178  # [pixels] the side of the middle square of CelebA's images


class LabelGroup(NamedTuple):
    """What one data set labels."""

    size: int
    exclusive: bool  # one of them holds, or any


class LabelledImages(NamedTuple):
    """Real images, and what is known of them."""

    x: np.ndarray  # uint8 [n, h, w, 3]
    domain: np.ndarray  # [n]
    label: np.ndarray | None  # [n], the class, which no translation should change

    def each(self, domains: int) -> np.ndarray:
        """Where each example is there in all domains, one after another: [n // domains, domains, h, w, 3]."""
        return self.x.reshape(-1, domains, *self.x.shape[1:])


class TranslationTask(NamedTuple):
    """Images, what is asked for, and what is known of the result."""

    x: np.ndarray  # uint8 [n, h, w, 3]
    label: np.ndarray  # [n, k]
    back: np.ndarray  # [n, k], the label of x
    domain: np.ndarray  # [n], the number of the one asked for
    truth: np.ndarray | None  # uint8 [n, h, w, 3]


class Domains(NamedTuple):
    """The domains that there are, and the label that each data set gives to an image of each.

    Of several sets, a label is what the set knows, 0 for what the others know, and a mask vector that says which set it
    is (Choi et al. 2018, section 3.2).
    """

    parts: tuple[LabelGroup, ...]
    labels: np.ndarray  # [sets, domains, k]

    @property
    def asked(self) -> np.ndarray:
        """All labels that there are: [m, k]."""
        return np.array(
            [*dict.fromkeys(tuple(label) for own in self.labels for label in own)], np.float32
        )

    def after(self, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where an image of each domain comes by this label, and the label that brings it back: [domains], [..., k]."""
        (own,) = (i for i, given in enumerate(self.labels) if (given == label).all(-1).any())
        others = np.delete(self.labels, own, 0)  # what they know stays as it is
        same = (others[:, :, None] == others[:, None]).all((0, -1)) & (
            self.labels[own] == label
        ).all(-1)
        return same.argmax(1), self.labels[own]

    def changes(self, test: "LabelledImages") -> Iterator["TranslationTask"]:
        """Each example from each domain to each other one that a label asks for: (n of them) x (domains of each)."""
        pictures = test.each(self.labels.shape[1])  # [n, domains, h, w, 3]
        n = len(pictures)
        for label in self.asked:
            for i, (j, back) in enumerate(zip(*self.after(label), strict=True)):
                if i != j:
                    labels = np.tile(label, (n, 1)), np.tile(back, (n, 1))
                    yield TranslationTask(pictures[:, i], *labels, np.full(n, j), pictures[:, j])


def exclusive(count: int) -> Domains:
    """An image is in one domain."""
    return Domains((LabelGroup(count, True),), np.eye(count, dtype=np.float32)[None])


def multi_label(count: int) -> Domains:
    """An image has any of these attributes; the last one changes fastest."""
    return Domains(
        (LabelGroup(count, False),),
        np.array([[*itertools.product((0, 1), repeat=count)]], np.float32),
    )


def joint(*counts: int) -> Domains:
    """An image is in one domain of each kind, of which each set knows one kind; the last one changes fastest."""
    each = np.array([*itertools.product(*map(range, counts))])  # [domains, sets]
    known = [np.eye(count, dtype=np.float32)[of] for count, of in zip(counts, each.T, strict=True)]
    masks = np.eye(len(counts), dtype=np.float32)
    labels = [
        np.concatenate(
            [
                *(part * bit for part, bit in zip(known, mask, strict=True)),
                np.tile(mask, (len(each), 1)),
            ],
            1,
        )
        for mask in masks
    ]
    return Domains(tuple(LabelGroup(count, True) for count in counts), np.stack(labels))


def scaled(image: Array, side: int) -> Array:
    """[..., h, w, c] in [0, 255] -> [..., side, side, c] in [-1, 1], by linear interpolation."""
    shape = (*image.shape[:-3], side, side, image.shape[-1])
    return 2 * jax.image.resize(image.astype(jnp.float32) / 255, shape, "linear") - 1


def colourize(image: Array, inks: np.ndarray, papers: np.ndarray) -> Array:
    """Grey images in each ink on its paper: [..., h, w, 1], [d, 3], [d, 3] -> [b, d, h, w, 3] in [0, 255]."""
    image = image.reshape(-1, *image.shape[-3:])
    ink, paper = (jnp.asarray(colours)[None, :, None, None] for colours in (inks, papers))
    return 255 * paper + image.astype(jnp.float32)[:, None] * (ink - paper)


def halves(arrays: Arrays) -> Arrays:
    """Two sets without a common example, beside each other: [n, ...] -> [n // 2, 2, ...]."""
    return {
        name: np.stack(np.split(array[: len(array) // 2 * 2], 2), 1)
        for name, array in arrays.items()
    }


def two_sets(name: str, directory: Path | None) -> tuple[Arrays, Arrays]:
    """The halves of a set's training images, and those of its test images."""
    train, test = (halves(sets.load(name, split, directory)) for split in ("train", "test"))
    return train, test


def faces(batch: Batch, side: int) -> tuple[Array, Array]:
    """CelebA as TFDS has it: its middle square, in [-1, 1], and the five attributes: [b, side, side, 3], [b, 5]."""
    image = batch["image"]  # [b, 218, 178, 3]
    top, left = ((n - FACE) // 2 for n in image.shape[1:3])
    labels = [batch[f"attributes.{name}"] for name in ATTRIBUTES]
    return scaled(image[:, top : top + FACE, left : left + FACE], side), jnp.stack(
        labels, -1
    ).astype(jnp.float32)


def rendered(
    arrays: Arrays, views: Callable[[Batch], Array], domains: int, count: int
) -> LabelledImages:
    """At most about `count` images: the first examples in all domains, [b, ...] -> [b, domains, h, w, 3] in [-1, 1]."""
    shape = jax.eval_shape(
        views, {name: jnp.asarray(array[:1]) for name, array in arrays.items()}
    ).shape
    first = {name: array[: max(count // (shape[0] * domains), 1)] for name, array in arrays.items()}
    x = _seen(first, lambda batch: {"x": views(batch).reshape(-1, *shape[2:])})["x"]
    classes = np.repeat(first["label"].ravel(), domains) if "label" in first else None
    return LabelledImages(images.to_uint8(x, low=-1), np.arange(len(x)) % domains, classes)


def real_faces(arrays: Arrays, side: int, labels: np.ndarray, count: int) -> LabelledImages:
    """The first `count` faces of CelebA; a domain is a row of the labels [domains, 5]."""
    first = {name: array[:count] for name, array in arrays.items()}
    seen = _seen(first, lambda batch: dict(zip(("x", "c"), faces(batch, side), strict=True)))
    return LabelledImages(images.to_uint8(seen["x"], low=-1), _rows(seen["c"], labels), None)


def changes_of_faces(test: LabelledImages, labels: np.ndarray) -> Iterator[TranslationTask]:
    """Each face by each attribute, as the code asks for it: another colour of hair, or the opposite of what is."""
    back = labels[test.domain]  # [n, 5]
    for attribute in range(len(ATTRIBUTES)):
        asked = back.copy()
        if attribute < HAIR:
            asked[:, :HAIR] = np.eye(HAIR)[attribute]
        else:
            asked[:, attribute] = 1 - back[:, attribute]
        yield TranslationTask(test.x, asked, back, _rows(asked, labels), None)


def _seen(arrays: Arrays, view: Callable[[Batch], Batch]) -> dict[str, np.ndarray]:
    """All examples, in their order, a hundred at a time."""
    seen = pipeline.batches(arrays, lambda batch, _: view(batch), jax.random.key(0), batch_size=100)
    parts = [jax.device_get(batch) for batch, _ in seen]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows(c: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which row of the labels each is: [n, k], [d, k] -> [n]."""
    return (c[:, None] == labels).all(-1).argmax(1)
