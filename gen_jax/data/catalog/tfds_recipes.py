"""The data sets of the papers as TFDS prepares them: what is used of each, and how it becomes
arrays.

Imported only while a set is prepared. Numbers of a fixed shape are taken as they are, under joined
names (attributes.Male, image.id). Where a side is stated, an image is its middle square, resized
with PIL's bicubic filter: the shorter side becomes that many pixels and of the longer one as much
is cut off at both ends. Its own bounding boxes follow; other coordinates stay those of the
original. The field `file` is the number of the authors' file of a face.
"""

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import hashing

from gen_jax.data.catalog.tfds_builder import leaves
from gen_jax.errors import DataError

log = logging.getLogger("gen_jax.data")

Example = Mapping[str, Any]


class Recipe(NamedTuple):
    """What is used of a set besides its numbers and its images."""

    # [pixels] to which images are resized; None: they are all of one size already
    side: int | None = None
    # (features, example) -> UTF-8
    captions: Callable[[Any, Example], Sequence[bytes]] | None = None
    # captions of an image: the first ones, repeated in their order where there are fewer
    per_image: int = 1
    # [bytes] of a caption, filled up with zeros, cut at a whole character if it is longer
    width: int = 80
    # split -> field -> TFDS's split, whose images it holds
    domains: Mapping[str, Mapping[str, str]] | None = None
    configs: tuple[str, ...] = ()  # one of these must be named
    # splits, of files that are numbered through, 000001.jpg and so on
    numbered: tuple[str, ...] = ()


def species(features: Any, example: Example) -> list[bytes]:
    """The name of the class: TFDS has no captions of the birds."""
    return [example["label_name"].replace(b"_", b" ")]


def flower(features: Any, example: Example) -> list[bytes]:
    """The name of the class: TFDS has no captions of the flowers."""
    return [features["label"].int2str(int(example["label"])).encode()]


def sentences(features: Any, example: Example) -> list[bytes]:
    return list(example["captions"]["text"])


PAIRS = (
    *(
        "apple2orange",
        "summer2winter_yosemite",
        "horse2zebra",
        "monet2photo",
        "cezanne2photo",
        "ukiyoe2photo",
    ),
    *("vangogh2photo", "maps", "facades", "iphone2dslr_flower"),
)
DOMAINS = {split: {"x": f"{split}A", "y": f"{split}B"} for split in ("train", "test")}
SETS = {
    "cycle_gan": Recipe(side=256, domains=DOMAINS, configs=PAIRS),
    "celeb_a": Recipe(numbered=("train", "validation", "test")),  # 218 x 178
    "caltech_birds2011": Recipe(side=76, captions=species),  # Reed et al. 2016 crop 64 of 76
    "oxford_flowers102": Recipe(side=76, captions=flower),
    "coco_captions": Recipe(side=76, captions=sentences, per_image=5, width=256),
}


def check(name: str) -> None:
    """DataError if a pair of domains must be named: TFDS would take the first."""
    if (recipe := SETS.get(name)) and recipe.configs:
        raise DataError(
            f"tfds:{name} holds several sets: name one, as in tfds:{name}:{'|'.join(recipe.configs)}."
        )


def views(splits: Mapping[str, Any], side: int | None = None) -> dict[str, list["View"]]:
    """The views of each split: one, or one for each domain; domains may differ in length."""
    recipe = SETS.get(next(iter(splits.values())).dataset_info.name, Recipe())
    recipe = recipe._replace(side=side or recipe.side)
    if not recipe.domains:
        numbers = files(splits, recipe.numbered)
        return {
            split: [View(source, recipe, numbers=numbers.get(split))]
            for split, source in splits.items()
        }
    if missing := {part for parts in recipe.domains.values() for part in parts.values()} - set(
        splits
    ):
        raise DataError(f"the set has no split {min(missing)!r}, only {', '.join(splits)}.")
    return {
        split: [View(splits[part], recipe, field) for field, part in parts.items()]
        for split, parts in recipe.domains.items()
    }


def files(splits: Mapping[str, Any], numbered: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The file number of each example, by split: TFDS orders by a hash of split and file name."""
    found, first = {}, 1
    for split in numbered if set(numbered) <= set(splits) else ():
        those = np.arange(first, first + len(splits[split]), dtype=np.int32)
        if not splits[split].dataset_info.disable_shuffling:
            hashes = [hashing.Hasher(split).hash_key(f"{number:06}.jpg") for number in those]
            those = those[sorted(range(len(those)), key=hashes.__getitem__)]
        found[split], first = those, first + len(those)
    return found


class View:
    """A split of TFDS, its examples flat: names -> images and captions as uint8, and numbers."""

    def __init__(
        self, source: Any, recipe: Recipe, alone: str = "", numbers: np.ndarray | None = None
    ):
        """A domain has only an image, called `alone`. `numbers` are those of the examples' files."""
        self.features, self.recipe, self.alone = source.dataset_info.features, recipe, alone
        self.numbers = numbers
        self.leaves = dict(leaves(self.features))
        pictures = [
            name
            for name, feature in self.leaves.items()
            if isinstance(feature, tfds.features.Image)
        ]
        self.coded = [
            name
            for name in pictures
            if self.leaves[name].np_dtype == np.uint8 and name in self.features
        ]
        self.source = source
        self.source.decoders = {name: tfds.decode.SkipDecoding() for name in self.coded}

    def __len__(self) -> int:
        return len(self.source)

    def __getitems__(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        examples = [self.read(example) for example in self.source.__getitems__(numbers)]
        if self.numbers is None:
            return examples
        return [
            {**example, "file": self.numbers[i]}
            for i, example in zip(numbers, examples, strict=True)
        ]

    def read(self, example: Example) -> dict[str, Any]:
        """One example, as TFDS gives it -> its fields."""
        found, box, side = dict(self._fixed(example)), None, self.recipe.side
        if "image" in self.coded or (side and np.asarray(found.get("image")).dtype == np.uint8):
            found["image"], box = picture(example["image"], self.leaves["image"].shape[-1], side)
        if self.alone:
            return {self.alone: found["image"]}
        for name, feature in self.leaves.items():
            if box and isinstance(feature, tfds.features.BBoxFeature):
                found[name] = moved(found[name], box)
        if self.recipe.captions:
            found["caption"] = self._captions(self.recipe.captions(self.features, example))
        return {name.replace("/", "."): value for name, value in found.items()}

    def _fixed(self, example: Example) -> Iterator[tuple[str, Any]]:
        """The fields of a fixed shape, and the image whatever its shape."""
        for name, value in leaves(example):
            feature = self.leaves.get(name)
            if name == "image":
                yield name, value
            elif feature and None not in (feature.shape or ()):
                yield name, picture(value, feature.shape[-1])[0] if name in self.coded else value

    def _captions(self, texts: Sequence[bytes]) -> np.ndarray:
        count, width = self.recipe.per_image, self.recipe.width
        if not texts:
            raise DataError("there is an image without captions.")
        rows = np.stack([padded(texts[i % len(texts)], width) for i in range(count)])
        return rows if count > 1 else rows[0]


# ymin, xmin, ymax, xmax, of the original's height and width
Box = tuple[float, float, float, float]


def picture(content: Any, channels: int | None, side: int | None = None) -> tuple[np.ndarray, Box]:
    """A file or pixels -> uint8 [h, w, c], or the middle square [side, side, c]; and the box it
    shows.
    """
    try:
        if isinstance(content, np.ndarray):
            image = Image.fromarray(content[..., 0] if channels == 1 else content)
        else:
            with Image.open(io.BytesIO(content)) as opened:
                image = (
                    opened.convert("L" if channels == 1 else "RGB")
                    if channels in (1, 3)
                    else opened.copy()
                )
    except OSError as error:
        raise DataError(
            f"there is an image that cannot be read ({error}): prepare the set again with TFDS."
        ) from error
    box = (0.0, 0.0, 1.0, 1.0)
    if side:
        width, height = image.size
        short = min(image.size)
        left, top = (width - short) / 2, (height - short) / 2
        image = image.resize(
            (side, side), Image.Resampling.BICUBIC, (left, top, left + short, top + short)
        )
        box = (top / height, left / width, (top + short) / height, (left + short) / width)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels, box


def moved(boxes: np.ndarray, kept: Box) -> np.ndarray:
    """Boxes (ymin, xmin, ymax, xmax, in [0, 1]) of the original in the part that is kept: [..., 4]."""
    top, left, bottom, right = kept
    first, size = np.array([top, left] * 2), np.array([bottom - top, right - left] * 2)
    return np.clip((boxes - first) / size, 0, 1).astype(np.float32)


def padded(text: bytes, width: int) -> np.ndarray:
    """A caption cut to `width` bytes at a whole character, and padded with zeros: -> uint8 [width]."""
    if len(text) > width:
        kept = text[:width].decode(errors="ignore").encode()
        log.warning("a caption of %d bytes was cut to %d: %s", len(text), len(kept), kept.decode())
        text = kept
    return np.frombuffer(text.ljust(width, b"\0"), np.uint8)
