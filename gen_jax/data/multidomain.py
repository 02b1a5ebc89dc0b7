"""Data sets with images in several domains, and the translation tasks between the domains.

A label describes the domain of an image. A model can be trained on two data sets at once, each with
its own kind of labels (Choi et al. 2018, section 3.2).
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import images
from gen_jax.data import pipeline
from gen_jax.data.augmentation import random_flip
from gen_jax.data.catalog import emoji, folder_names, sets
from gen_jax.data.crops import middle
from gen_jax.data.folders import Folder
from gen_jax.data.pipeline import Arrays, Source
from gen_jax.errors import UserError
from gen_jax.types import Array, Batch, Key

Name = Literal["emoji", "digits", "mnist", "celeb_a"] | Folder
Labels = Literal["one", "several", "joint"]
INKS = np.eye(3, dtype=np.float32)  # red, green, blue
PAPERS = np.array([[0, 0, 0], [1, 1, 1]], np.float32)  # black, white
# attributes of CelebA, in the order of StarGAN's code
ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
COLOURS = ("red", "green", "blue", "black", "white")  # of INKS, then of PAPERS
HAIR = 3  # the first attributes, which are mutually exclusive
FACE = 178  # side in pixels of the central square of CelebA's images


class LabelGroup(NamedTuple):
    """The labels of one data set."""

    size: int
    exclusive: bool  # exactly one label is 1, or any number


class LabelledImages(NamedTuple):
    """Real images with their domains and classes."""

    x: np.ndarray  # uint8 [n, h, w, 3]
    domain: np.ndarray  # [n]
    label: np.ndarray | None  # [n], the class, which a translation should preserve

    def by_example(self, domains: int) -> np.ndarray:
        """Group the images of each example, in all domains, in order:
        [n // domains, domains, h, w, 3].
        """
        return self.x.reshape(-1, domains, *self.x.shape[1:])


class TranslationTask(NamedTuple):
    """Images, the target domain of their translation, and the ground truth if it is known."""

    x: np.ndarray  # uint8 [n, h, w, 3]
    target_label: np.ndarray  # [n, k]
    source_label: np.ndarray  # [n, k], for the cycle reconstruction
    target_domain: np.ndarray  # [n]
    truth: np.ndarray | None  # uint8 [n, h, w, 3]


class Domains(NamedTuple):
    """The domains, and the label of an image of each domain in each data set.

    With several data sets, a label consists of the labels of its own set, 0 for those of the other
    sets, and a mask vector that identifies its set (Choi et al. 2018, section 3.2).
    """

    groups: tuple[LabelGroup, ...]  # one per data set
    labels: np.ndarray  # [sets, domains, k]

    @property
    def number(self) -> int:
        """The number of domains."""
        return self.labels.shape[1]

    @property
    def target_labels(self) -> np.ndarray:
        """All distinct labels: [m, k]."""
        rows = [tuple(label) for own in self.labels for label in own]
        return np.array([*dict.fromkeys(rows)], np.float32)

    def destination(self, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the target domain for a label [k] and an image of each domain, [domains], and the
        label of the reverse translation, [domains, k].
        """
        (own,) = (i for i, given in enumerate(self.labels) if (given == label).all(-1).any())
        others = np.delete(self.labels, own, 0)  # the labels of other sets do not change
        unchanged = (others[:, :, None] == others[:, None]).all((0, -1))  # [domains, domains]
        reached = unchanged & (self.labels[own] == label).all(-1)
        return reached.argmax(1), self.labels[own]

    def tasks(self, test: LabelledImages) -> Iterator[TranslationTask]:
        """Yield each example in each domain, with every other domain that a label can specify as
        target.
        """
        pictures = test.by_example(self.number)  # [n, domains, h, w, 3]
        n = len(pictures)
        for label in self.target_labels:
            for i, (j, back) in enumerate(zip(*self.destination(label), strict=True)):
                if i != j:
                    labels = np.tile(label, (n, 1)), np.tile(back, (n, 1))
                    yield TranslationTask(pictures[:, i], *labels, np.full(n, j), pictures[:, j])


def exclusive(count: int) -> Domains:
    """Domains with one label each."""
    return Domains((LabelGroup(count, True),), np.eye(count, dtype=np.float32)[None])


def multi_label(count: int) -> Domains:
    """Domains with any combination of attributes; the last attribute varies fastest."""
    labels = np.array([[*itertools.product((0, 1), repeat=count)]], np.float32)
    return Domains((LabelGroup(count, False),), labels)


def joint(*counts: int) -> Domains:
    """Domains with one value of each kind. Each data set labels one kind; the last kind varies
    fastest.
    """
    values = np.array([*itertools.product(*map(range, counts))])  # [domains, sets]
    known = [np.eye(n, dtype=np.float32)[of] for n, of in zip(counts, values.T, strict=True)]
    labels = []
    for mask in np.eye(len(counts), dtype=np.float32):
        parts = [part * bit for part, bit in zip(known, mask, strict=True)]
        labels.append(np.concatenate([*parts, np.tile(mask, (len(values), 1))], 1))
    return Domains(tuple(LabelGroup(count, True) for count in counts), np.stack(labels))


class DataSet(Protocol):
    """A data set of the catalogue, with the domains of its images."""

    @property
    def name(self) -> str: ...
    @property
    def domains(self) -> Domains: ...
    @property
    def names(self) -> tuple[str, ...]:
        """The name of each label, before those of the mask."""

    def examples(self, batch: Batch, key: Key, side: int) -> tuple[Array, Array]:
        """Return images [b * sets, side, side, 3] in [-1, 1] and their labels [b * sets, k]."""

    def real(self, arrays: Arrays, side: int, count: int | None = None) -> LabelledImages:
        """Return about `count` of the first images, or all; of `Rendered`, each example in all
        domains.
        """

    def tasks(self, test: LabelledImages) -> Iterator[TranslationTask]:
        """Return all translation tasks for evaluation."""

    def previews(self, few: LabelledImages, rows: int) -> list[TranslationTask]:
        """Return tasks for a picture: a few images, one per row, translated with each label."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rendered:
    """Examples with a known image in every domain: emoji of each vendor, digits in each ink."""

    name: str
    domains: Domains
    names: tuple[str, ...]
    views: Callable[[Batch, int], Array]  # (batch, side) -> [b, domains, side, side, 3] in [-1, 1]

    def examples(self, batch: Batch, key: Key, side: int) -> tuple[Array, Array]:
        """Return each example in a random domain."""
        labels = self.domains.labels  # [sets, domains, k]
        views = self.views(batch, side)  # [b * sets, domains, side, side, 3]
        domain = jax.random.randint(key, (len(views),), 0, labels.shape[1])
        row = jnp.arange(len(views))
        return views[row, domain], jnp.asarray(labels)[row % len(labels), domain]

    def real(self, arrays: Arrays, side: int, count: int | None = None) -> LabelledImages:
        """Return about `count` images: the first examples, each in all domains."""
        one = {name: jnp.asarray(array[:1]) for name, array in arrays.items()}
        rows, _, *shape = jax.eval_shape(lambda batch: self.views(batch, side), one).shape
        domains = self.domains.number
        n = None if count is None else max(count // (rows * domains), 1)
        first = {name: array[:n] for name, array in arrays.items()}
        x = _all(first, lambda batch: {"x": self.views(batch, side).reshape(-1, *shape)})["x"]
        classes = np.repeat(first["label"].ravel(), domains) if "label" in first else None
        return LabelledImages(images.to_uint8(x, low=-1), np.arange(len(x)) % domains, classes)

    def tasks(self, test: LabelledImages) -> Iterator[TranslationTask]:
        """Return the tasks from each domain to every other domain."""
        return self.domains.tasks(test)

    def previews(self, few: LabelledImages, rows: int) -> list[TranslationTask]:
        """Return images of the domains in turn, translated with every label."""
        pictures, row = few.by_example(self.domains.number), np.arange(rows)
        domain, made = row % self.domains.number, []
        for label in self.domains.target_labels:
            destination, back = self.domains.destination(label)
            target, labels = destination[domain], (np.tile(label, (rows, 1)), back[domain])
            x, truth = pictures[row, domain], pictures[row, target]
            made.append(TranslationTask(x, *labels, target, truth))
        return made


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """CelebA as prepared by TFDS: faces with five attributes.

    The ground truth of their translations is unknown.
    """

    name: str = "tfds:celeb_a"
    domains: Domains = dataclasses.field(default_factory=lambda: multi_label(len(ATTRIBUTES)))
    names: tuple[str, ...] = ATTRIBUTES

    def examples(self, batch: Batch, key: Key, side: int) -> tuple[Array, Array]:
        """Return the central square of each image, [b, 218, 178, 3], and its attributes."""
        image = batch["image"]
        labels = [batch[f"attributes.{name}"] for name in ATTRIBUTES]
        x = scaled(middle(image, FACE), side)
        return x, jnp.stack(labels, -1).astype(jnp.float32)

    def real(self, arrays: Arrays, side: int, count: int | None = None) -> LabelledImages:
        """Return the first `count` faces; a domain is a set of attributes."""
        first = {name: array[:count] for name, array in arrays.items()}

        def view(batch: Batch) -> Batch:
            return dict(zip("xc", self.examples(batch, jax.random.key(0), side), strict=True))

        seen = _all(first, view)
        return LabelledImages(images.to_uint8(seen["x"], low=-1), self._domain(seen["c"]), None)

    def tasks(self, test: LabelledImages) -> Iterator[TranslationTask]:
        """Return each face with each attribute changed, as in the code: another hair colour, or the
        opposite.
        """
        source = self.domains.labels[0, test.domain]  # [n, 5]
        for attribute in range(len(ATTRIBUTES)):
            target = source.copy()
            if attribute < HAIR:
                target[:, :HAIR] = np.eye(HAIR)[attribute]
            else:
                target[:, attribute] = 1 - source[:, attribute]
            yield TranslationTask(test.x, target, source, self._domain(target), None)

    def previews(self, few: LabelledImages, rows: int) -> list[TranslationTask]:
        """Return the first faces with each attribute changed."""
        return [*self.tasks(LabelledImages(few.x[:rows], few.domain[:rows], None))]

    def _domain(self, labels: np.ndarray) -> np.ndarray:
        """Return the index of the domain of each label: [n, 5] -> [n]."""
        return (labels[:, None] == self.domains.labels[0]).all(-1).argmax(1)


def label_names(data: DataSet) -> tuple[str, ...]:
    """Return a name of each of the target labels: its attributes that are 1, or "none"."""
    sizes = sum(group.size for group in data.domains.groups)
    return tuple(
        "+".join(name for name, one in zip(data.names[:sizes], label, strict=False) if one)
        or "none"
        for label in data.domains.target_labels
    )


def scaled(image: Array, side: int) -> Array:
    """Resize by linear interpolation: [..., h, w, c] in [0, 255] -> [..., side, side, c] in
    [-1, 1].
    """
    shape = (*image.shape[:-3], side, side, image.shape[-1])
    return 2 * jax.image.resize(image.astype(jnp.float32) / 255, shape, "linear") - 1


def colourize(image: Array, inks: np.ndarray, papers: np.ndarray) -> Array:
    """Return grey images in each ink on its paper.

    [..., h, w, 1], inks [d, 3], papers [d or 1, 3] -> [b, d, h, w, 3] in [0, 255].
    """
    image = image.reshape(-1, *image.shape[-3:])
    ink, paper = (jnp.asarray(colours)[None, :, None, None] for colours in (inks, papers))
    return 255 * paper + image.astype(jnp.float32)[:, None] * (ink - paper)


def by_vendor(batch: Batch, side: int) -> Array:
    """Return the emoji of each vendor: [b, vendors, side, side, 3] in [-1, 1]."""
    return scaled(jnp.stack([batch[vendor] for vendor in emoji.VENDORS], 1), side)


def coloured(name: str, domains: Domains, papers: np.ndarray) -> Rendered:
    """A set of grey images in coloured inks, which are the first three labels and mix additively,
    on papers.
    """

    def views(batch: Batch, side: int) -> Array:
        return scaled(colourize(batch["image"], domains.labels[0, :, :3], papers), side)

    return Rendered(name, domains, COLOURS, views)


def _digits(name: str) -> dict[Labels, DataSet]:
    black, each = np.zeros((1, 3), np.float32), np.tile(PAPERS, (len(INKS), 1))
    return {
        "one": coloured(name, exclusive(len(INKS)), black),
        "several": coloured(name, multi_label(len(INKS)), black),
        "joint": coloured(name, joint(len(INKS), len(PAPERS)), each),
    }


SETS: Mapping[Name, Mapping[Labels, DataSet]] = {
    "emoji": {
        "one": Rendered("emoji", exclusive(len(emoji.VENDORS)), tuple(emoji.VENDORS), by_vendor)
    },
    "digits": _digits("digits"),
    "mnist": _digits("mnist"),
    "celeb_a": {"several": Faces()},
}


def check(name: Name, labels: Labels) -> None:
    """Raise UserError if the data set has no such labels."""
    known = ("one",) if folder_names.is_folder(name) else SETS[name]
    if labels not in known:
        raise UserError(f"labels is {labels!r}; {name} has --labels {' or '.join(known)}.")


def source(data: DataSet, side: int, *, flip: bool, directory: Path | None = None) -> Source:
    """Return "x", one image of each set [b, sets, side, side, 3] in [-1, 1], and "c", its label
    [b, sets, k].

    With `flip`, each image is mirrored with probability 1/2. `directory` holds the prepared data.
    """
    count = len(data.domains.labels)

    def prepare(batch: Batch, key: Key) -> Batch:
        key_domain, key_flip = jax.random.split(key)
        x, c = data.examples(batch, key_domain, side)
        x = random_flip(x, key_flip) if flip else x
        return {name: a.reshape(-1, count, *a.shape[1:]) for name, a in (("x", x), ("c", c))}

    arrays = partial(two_sets, data.name, directory) if count > 1 else None
    return Source(data.name, prepare, arrays=arrays)


def halves(arrays: Arrays) -> Arrays:
    """Return two disjoint halves, side by side: [n, ...] -> [n // 2, 2, ...]."""
    even = {name: array[: len(array) // 2 * 2] for name, array in arrays.items()}
    return {name: np.stack(np.split(array, 2), 1) for name, array in even.items()}


def two_sets(name: str, directory: Path | None) -> tuple[Arrays, Arrays]:
    """Return the halves of a set's training images, and those of its test images."""
    train, test = (halves(sets.load(name, split, directory)) for split in ("train", "test"))
    return train, test


def _all(arrays: Arrays, view: Callable[[Batch], Batch]) -> dict[str, np.ndarray]:
    """Return a view of all examples in order, computed a hundred at a time."""
    seen = pipeline.batches(arrays, lambda batch, _: view(batch), jax.random.key(0), batch_size=100)
    parts = [jax.device_get(batch) for batch, _ in seen]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
