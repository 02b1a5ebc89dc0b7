"""Two sets of images, from folders, data sets known by name or arrays, at one size.

If sizes differ or are not square, or another side is asked for, the middle square of each image is
resized (`pictures.square`).
"""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gen_jax import console
from gen_jax.data.catalog import sets
from gen_jax.errors import DataError, UserError
from gen_jax.measure import pictures

Given = str | Path | np.ndarray


class Sets(NamedTuple):
    """Two sets of n images of one size, and what was done to them, for people."""

    a: np.ndarray  # uint8 [n, s, s, 3]
    b: np.ndarray
    size: str  # "32 px, as given"
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class Source:
    """Images that have not been read: files, or an array uint8 [n, h, w, 1 or 3]."""

    title: str
    images: Sequence[Path] | np.ndarray
    names: Sequence[str] = ()  # of files: paths in the folder, without suffixes

    def __len__(self) -> int:
        return len(self.images)

    def only(self, chosen: Sequence[int]) -> "Source":
        """Return the images of these indices."""
        if isinstance(self.images, np.ndarray):
            return dataclasses.replace(self, images=self.images[chosen])
        files = [self.images[i] for i in chosen]
        return dataclasses.replace(self, images=files, names=[self.names[i] for i in chosen])

    def sizes(self) -> set[tuple[int, int]]:
        """Return the distinct lengths of the shorter and the longer side."""
        if isinstance(self.images, np.ndarray):
            h, w = self.images.shape[1:3]
            return {(min(h, w), max(h, w))}
        return {pictures.size(path) for path in self.images}

    def pixels(self, side: int) -> np.ndarray:
        """Read the images: -> uint8 [n, side, side, 3]."""
        images = self.images
        if isinstance(images, np.ndarray):
            images = np.broadcast_to(images, (*images.shape[:3], 3))
            if images.shape[1:3] == (side, side):
                return images
        found = np.empty((len(images), side, side, 3), np.uint8)
        for i, image in enumerate(console.tracked(images, f"Reading {self.title}")):
            whole = pictures.read(image) if isinstance(image, Path) else Image.fromarray(image)
            found[i] = pictures.square(whole, side)
        return found


def read(
    a: Given,
    b: Given,
    *,
    pairs: bool = False,
    side: int | None = None,
    count: int | None = None,
    split: str | None = None,
    field: str | None = None,
    seed: int = 0,
) -> Sets:
    """Read the same number of images of two sets: `count`, or as many as the smaller set has. If a
    set has more, they are drawn by the seed.

    A set is a folder, read with the folders inside it, the name of a data set (by default its split
    "test" and field "image") or an array uint8 [n, h, w, 1 or 3]. With `pairs`, images are matched
    by their path in the folder without its suffix, and those of arrays by index. `side` is in
    pixels, by default the shortest side of all images.

    Raises UserError for arguments that do not fit, and DataError for images that cannot be read.
    """
    for name, number, lowest in (("side", side, 1), ("count", count, 1), ("seed", seed, 0)):
        if number is not None and number < lowest:
            raise UserError(f"{name} is {number}, but must be a whole number, {lowest} or above.")
    sources, notes = [], []
    for letter, given in zip("AB", (a, b), strict=True):
        source, others = _source(given, split or "test", field or "image")
        left_out = f"; other files, left out: {others:,}" if others else ""
        notes.append(f"{letter}: {source.title}, {len(source):,} images{left_out}")
        sources.append(source)
    if (split or field) and all(source.names for source in sources):
        raise UserError("A split and a field are of data sets, but A and B are folders: omit them.")
    if pairs:
        sources, note = _matched(*sources)
        notes.append(note)
    least = min(map(len, sources))
    if (n := count or least) > least:
        raise UserError(f"count is {n:,}, but only {least:,} can be compared: give at most that.")
    for i, source in enumerate(sources):
        if n < len(source):
            random = np.random.default_rng((seed, 0 if pairs else i))
            sources[i] = source.only(np.sort(random.choice(len(source), n, replace=False)).tolist())
            notes.append(f"{n:,} images of {'AB'[i]} are drawn at random, with seed {seed}")
    sizes = sources[0].sizes() | sources[1].sizes()
    shortest, longest = min(short for short, _ in sizes), max(long for _, long in sizes)
    side = side or shortest
    size = f"{side} px, as given"
    if sizes != {(side, side)}:
        size = f"{side} px, middle square, bicubic"
        notes.append(
            f"Sides are {shortest:,} to {longest:,} pixels: the middle square of each image is "
            f"resized to {side:,}, with antialiasing"
        )
    pixels_a, pixels_b = (source.pixels(side) for source in sources)
    return Sets(pixels_a, pixels_b, size, notes)


def _source(given: Given, split: str, field: str) -> tuple[Source, int]:
    """Return what is given, and how many files of a folder are no pictures."""
    if isinstance(given, np.ndarray):
        return _array("an array", given), 0
    if Path(given).is_dir():
        return _folder(Path(given))
    name = str(given)
    if name not in sets.SOURCES and not name.startswith("tfds:"):
        raise DataError(
            f"{name} is neither a folder nor a known data set: give a folder of pictures, "
            f"{', '.join(sets.SOURCES)} or tfds:NAME."
        )
    arrays = sets.load(name, split)
    fields = [key for key, array in arrays.items() if array.ndim == 4]
    if field not in fields:
        raise DataError(f"{name} has no images {field!r}: give --field {' or '.join(fields)}.")
    return _array(f"{name}, {field}, {split}", arrays[field]), 0


def _folder(path: Path) -> tuple[Source, int]:
    everything = [each.relative_to(path) for each in sorted(path.rglob("*")) if each.is_file()]
    seen = [each for each in everything if not any(part[0] == "." for part in each.parts)]
    found = [each for each in seen if each.suffix.lower() in pictures.SUFFIXES]
    if not found:
        raise DataError(f"{path} holds no pictures ({' '.join(pictures.SUFFIXES)}): give others.")
    names = [each.with_suffix("").as_posix() for each in found]
    return Source(str(path), [path / each for each in found], names), len(seen) - len(found)


def _array(title: str, images: np.ndarray) -> Source:
    fits = images.ndim == 4 and images.shape[-1] in (1, 3) and images.dtype == np.uint8
    if not fits or 0 in images.shape:
        raise DataError(
            f"The images of {title} are {images.dtype}{list(images.shape)}, but must be uint8 "
            "[n, h, w, 1 or 3], not empty: convert them."
        )
    return Source(title, images)


def _matched(a: Source, b: Source) -> tuple[list[Source], str]:
    """Return the images that have a partner, in the same order, and how many have none."""
    if not a.names and not b.names:
        if len(a) != len(b):
            raise DataError(f"{len(a):,} and {len(b):,} images are no pairs: give equal numbers.")
        return [a, b], f"{len(a):,} pairs, by index"
    if not (a.names and b.names):
        raise UserError("Pairs are matched by names of files: give two folders.")
    for source in (a, b):
        name, times = collections.Counter(source.names).most_common(1)[0]
        if times > 1:
            raise DataError(
                f"{source.title} has {times} pictures {name}, so pairs are ambiguous: keep one."
            )
    both = sorted({*a.names} & {*b.names})
    if not both:
        raise DataError(
            f"No picture in {a.title} has the name of one in {b.title} ({a.names[0]} against "
            f"{b.names[0]}): give partners the same name, with any suffix."
        )
    rest = [len(source) - len(both) for source in (a, b)]
    places = [{name: i for i, name in enumerate(source.names)} for source in (a, b)]
    matched = [
        source.only([place[name] for name in both])
        for source, place in zip((a, b), places, strict=True)
    ]
    return matched, (
        f"{len(both):,} pairs, by name; without a partner: {rest[0]:,} of A, {rest[1]:,} of B"
    )
