"""Which picture of a folder is in which split and field, and its label or captions.

A folder is listed once; the rest follows from the names in it. Where a folder has no test split, a
picture is for testing if the hash of its name is among the lowest tenth, at least one: pictures
that are added later move no other. Examples stand in the order of these hashes too, so that the
first ones are of all kinds.
"""

import bisect
import hashlib
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gen_jax.data.catalog import metadata
from gen_jax.data.catalog.folder_names import Layout, Reading
from gen_jax.errors import DataError

SPLITS = ("train", "test")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
    ".avif",
)


class Listing(NamedTuple):
    """The files of a folder by their names from there, and how many others it has."""

    files: dict[str, tuple[int, int]]  # name -> size in bytes and time of change in ns
    hidden: int  # files and folders
    others: int  # no pictures by their suffix

    @property
    def pictures(self) -> list[str]:
        """The names of the pictures."""
        return [name for name in self.files if os.path.basename(name) not in metadata.FILES]

    @property
    def left_out(self) -> str:
        """What is no picture, counted."""
        return (
            f"{self.hidden} hidden files or folders, {self.others} files that are no pictures by "
            "their suffix"
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the names, sizes and times."""
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()


class Split(NamedTuple):
    """The pictures of a split, and what else is known of them."""

    pictures: dict[str, list[str]]  # field -> names of files, in the order of the examples
    known: Mapping[str, np.ndarray] = {}  # field -> values: "label" [n], "caption" [n, k, bytes]

    @property
    def size(self) -> int:
        """The number of pictures."""
        return sum(map(len, self.pictures.values()))


class Plan(NamedTuple):
    """The splits of a folder, in the order of SPLITS."""

    splits: Sequence[Split]
    domains: tuple[str, ...] = ()  # by label


def scan(folder: Reading) -> Listing:
    """List a folder and its sub-folders; each is entered once, whatever links lead to it.

    Raises DataError if there is none, or if one cannot be read.
    """
    path, wanted = folder.path, metadata.FILES if folder.layout == "captions" else ()
    files, hidden, others = {}, 0, 0
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}: give the folder of your pictures, as folder:PATH.")

    def fail(error: OSError) -> None:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}): allow it, or remove it."
        ) from error

    seen = set()
    try:
        for at, inner, names in os.walk(path, onerror=fail, followlinks=True):
            status = os.stat(at)
            if (key := (status.st_dev, status.st_ino)) in seen:
                inner.clear()
                continue
            seen.add(key)
            hidden += sum(name.startswith(".") for name in (*inner, *names))
            # Folders before links to folders, so that a link does not stand for its target.
            inner[:] = sorted(
                (name for name in inner if not name.startswith(".")),
                key=lambda name: (os.path.islink(os.path.join(at, name)), name),
            )
            for name in (name for name in names if not name.startswith(".")):
                if name in wanted or name.lower().endswith(SUFFIXES):
                    status = os.stat(os.path.join(at, name))
                    if stat.S_ISREG(status.st_mode):
                        inside = os.path.relpath(os.path.join(at, name), path)
                        files[inside] = (status.st_size, status.st_mtime_ns)
                        continue
                others += 1
    except OSError as error:
        fail(error)
    return Listing(files, hidden, others)


def plan(folder: Reading, listing: Listing) -> Plan:
    """Divide the pictures of a folder. Raises DataError if they are too few or not laid out so."""
    if not (names := listing.pictures):
        raise DataError(
            f"{folder.path} holds no pictures ({listing.hidden} hidden and {listing.others} other "
            f"files): give files that end with {', '.join(SUFFIXES)}."
        )
    return RULES[folder.layout](folder, names)


def summary(listing: Listing, plan: Plan) -> str:
    """What is used of a folder, and what is left out."""
    train, test = (split.size for split in plan.splits)
    return (
        f"{train} pictures to train and {test} to test; left out: {listing.left_out}, "
        f"{len(listing.pictures) - train - test} pictures without a place in this layout."
    )


def rank(name: str) -> int:
    """The place of a picture, from 0 to 2^64, by a hash of its name."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8])


def divided(where: Path | str, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names for training and for testing, each in order. Raises DataError for fewer than two."""
    order = sorted(names, key=rank)
    if len(order) < 2:
        raise DataError(f"{where} holds one picture: give at least two, to train and to test.")
    count = bisect.bisect_left(order, 2**64 // 10, key=rank)
    count = min(max(count, 1), len(order) - 1)
    return order[count:], order[:count]


def below(names: Iterable[str], top: str) -> list[str]:
    """The names in a sub-folder, in order, without its name."""
    inside = (name.removeprefix(f"{top}/") for name in names if name.startswith(f"{top}/"))
    return sorted(inside, key=rank)


def _given(folder: Reading, names: list[str]) -> dict[str, list[str]] | None:
    """The names in `train` and in `test`, if these are the splits."""
    splits = {split: below(names, split) for split in SPLITS}
    if all(splits.values()):
        return splits
    if any(splits.values()):
        has, lacks = SPLITS if splits["train"] else SPLITS[::-1]
        raise DataError(
            f"{folder.path} has pictures in {has}, but none in {lacks}: give both, or name "
            f"folder:{folder.path / has} to take the test split from it."
        )
    return None


def _pictures(folder: Reading, names: list[str]) -> Plan:
    given = _given(folder, names)
    halves = [_at(*split) for split in given.items()] if given else divided(folder.path, names)
    return Plan([Split({"image": half}) for half in halves])


def _at(top: str, names: Iterable[str]) -> list[str]:
    return [f"{top}/{name}" if top else name for name in names]


def _pairs(folder: Reading, names: list[str]) -> Plan:
    tops = {part: below(names, part) for part in ("trainA", "trainB", "testA", "testB")}
    has = [part for part, inside in tops.items() if inside]
    if has not in (["trainA", "trainB"], [*tops]):
        raise DataError(
            f"{folder.path} has pictures in {', '.join(has) or 'none'} of trainA, trainB, testA and "
            "testB: give all four, or the first two to take the test split from them."
        )
    fields: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for field, end in (("x", "A"), ("y", "B")):
        if tops["testA"]:
            halves = {split: _at(f"{split}{end}", tops[f"{split}{end}"]) for split in SPLITS}
        else:
            top = f"train{end}"
            own = divided(folder.path / top, tops[top])
            halves = {split: _at(top, half) for split, half in zip(SPLITS, own, strict=True)}
        for split, half in halves.items():
            fields[split][field] = half
    return Plan([Split(fields[split]) for split in SPLITS])


def _domains(folder: Reading, names: list[str]) -> Plan:
    given = _given(folder, names)
    within = given or {"": names}
    tops = {
        split: sorted({name.partition("/")[0] for name in own if "/" in name})
        for split, own in within.items()
    }
    domains = next(iter(tops.values()))
    if given and tops["train"] != tops["test"]:
        odd = sorted({*tops["train"]} ^ {*tops["test"]})
        raise DataError(
            f"{folder.path} has the domain {odd[0]!r} in only one of train and test: give its "
            "pictures in both."
        )
    if len(domains) < 2:
        raise DataError(
            f"{folder.path} has pictures in {len(domains)} of its sub-folders: give one for each "
            "domain, at least two."
        )
    if given:
        halves = [[name for name in given[split] if "/" in name] for split in SPLITS]
    else:
        each = [divided(folder.path / d, _at(d, below(names, d))) for d in domains]
        halves = [sorted(itertools.chain(*own), key=rank) for own in zip(*each, strict=True)]
    splits = []
    for split, half in zip(SPLITS, halves, strict=True):
        label = np.array([domains.index(name.partition("/")[0]) for name in half], np.int32)
        splits.append(Split({"image": _at(split if given else "", half)}, {"label": label}))
    return Plan(splits, tuple(domains))


def _captions(folder: Reading, names: list[str]) -> Plan:
    within = (given := _given(folder, names)) or {"": names}
    texts = {split: metadata.read(folder.path / split, {*of}) for split, of in within.items()}
    if given:
        halves = {split: [n for n in given[split] if n in texts[split]] for split in SPLITS}
    else:
        halves = dict(zip(SPLITS, divided(folder.path, texts[""]), strict=True))
        texts = dict.fromkeys(SPLITS, texts[""])
    every = [captions for own in texts.values() for captions in own.values()]
    count, width = max(map(len, every)), max(len(text) for row in every for text in row)
    splits = []
    for split, half in halves.items():
        caption = metadata.padded([texts[split][name] for name in half], count, width)
        splits.append(Split({"image": _at(split if given else "", half)}, {"caption": caption}))
    return Plan(splits)


RULES: Mapping[Layout, Callable[[Reading, list[str]], Plan]] = {
    "pictures": _pictures,
    "pairs": _pairs,
    "domains": _domains,
    "captions": _captions,
}
