"""Prepare a data set once: fetch, read, write with TFDS, materialise as arrays, compare the hashes.

All of it is made in a private directory, which is renamed at the end: a set is complete or absent.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gen_jax.data.catalog import fetch, folder_names, store
from gen_jax.errors import DataError, DirectoryError

log = logging.getLogger("gen_jax.data")


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of the examples."""

    shape: tuple[int, ...]  # of one example; images are (h, w, c)
    sha256: Mapping[str, str]  # split -> hash of the values of all its examples, in order
    range: tuple[float, float] = (0, 255)
    dtype: str = "uint8"


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set of the catalogue."""

    name: str
    description: str
    origin: str
    licence: str
    citation: str
    sizes: Mapping[str, int]  # split -> number of examples
    fields: Mapping[str, Field]
    ways: tuple[fetch.Mirror, ...]  # tried in this order
    version: str = "1.0.0"  # of the recipe


def labelled(shape: tuple[int, ...], *sha256: str) -> dict[str, Field]:
    """The fields of images with ten classes; hashes of training images and labels, test images and
    labels.
    """
    image, label = (dict(zip(("train", "test"), sha256[start::2], strict=True)) for start in (0, 1))
    return {"image": Field(shape, image), "label": Field((), label, range=(0, 9))}


def home(name: str, base: Path) -> Path:
    """The directory of a set's arrays.

    Names may hold any character, so they are hashed if not ours.
    """
    if folder_names.is_folder(name):
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
        name = f"folder-{folder_names.as_file(name)[:50]}-{digest}"
    elif name.startswith(("tfds:", "boxes:")):
        name = re.sub(r"[^\w.]+", "-", name) + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return base / "arrays" / name


@contextlib.contextmanager
def building(
    name: str, base: Path, again: bool = False, is_current: Callable[[], bool] = lambda: True
) -> Iterator[Path | None]:
    """A private directory whose `arrays` becomes the set's; None if another process was faster.

    What is there is replaced if `again`, or if it is not current.
    """
    target, start = home(name, base), time.monotonic()
    beside = target.parent / f".{target.name}"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with (beside / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not again and (target / store.MANIFEST).exists() and is_current():
                yield None
                return
            for stale in beside.glob("*/"):  # left by a process that was killed: we hold the lock
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=beside) as made:
                work = Path(made)
                yield work
                if target.exists():
                    os.replace(target, work / "old")
                os.replace(work / "arrays", target)
    except OSError as error:
        raise DirectoryError(
            f"{name} cannot be prepared in {base} ({error}): choose another place, with --run.data or GEN_JAX_DATA."
        ) from error
    log.info("%s: ready in %s after %.0f s", name, target, time.monotonic() - start)


def prepare_catalogued(source: DataSet, base: Path, *, again: bool = False) -> None:
    """Prepare a set of the catalogue. DataError if its values are not the known ones."""
    with building(source.name, base, again) as work:
        if work is None:
            return
        way, folder, how = fetch.obtain(source.name, source.ways, base, work)
        log.info(
            "%s: taken %s; writing %d examples with TFDS",
            source.name,
            how,
            sum(source.sizes.values()),
        )
        # Importing TFDS takes a second, and only preparation needs it.
        from gen_jax.data.catalog import tfds_builder

        fields = {name: (field.shape, field.dtype) for name, field in source.fields.items()}
        builder = f"gen_jax_{source.name}"
        opened = tfds_builder.build(
            builder,
            version=source.version,
            about={
                "description": source.description,
                "homepage": source.origin,
                "citation": source.citation,
            },
            fields=fields,
            sizes=source.sizes,
            blocks=lambda split: way.read(folder, split, source.sizes),
            directory=work / "tfds",
        )
        splits = {}
        for split, size in source.sizes.items():
            blocks = tfds_builder.blocks(opened[split], fields)
            splits[split], found = store.write(work / "arrays" / split, size, fields, blocks)
            for name, field in source.fields.items():
                if found[name] != field.sha256[split]:
                    raise DataError(
                        f"{source.name}, {how}, has other {name} values in {split!r} than it should (SHA-256 "
                        f"{found[name]}, expected {field.sha256[split]}): place its files by hand."
                    )
        store.write_manifest(
            work / "arrays", name=source.name, version=source.version, way=how, splits=splits
        )
        kept = base / "tfds" / builder
        kept.parent.mkdir(exist_ok=True)
        if kept.exists():
            os.replace(kept, work / "old-tfds")
        os.replace(work / "tfds" / builder, kept)


def prepare_tfds(name: str, base: Path, *, again: bool = False) -> None:
    """Materialise a set that the user has prepared with TFDS: tfds:NAME, or tfds:NAME@SIDE."""
    address, at, side = name.removeprefix("tfds:").rpartition("@")
    if not at or not side.isdecimal():
        address, side = name.removeprefix("tfds:"), ""
    elif not int(side):
        raise DataError(f"{name} asks for images without pixels: give a side of at least 1.")
    with building(name, base, again) as work:
        if work is None:
            return
        from gen_jax.data.catalog import tfds_builder, tfds_recipes

        tfds_recipes.check(address)
        opened = tfds_builder.prepared(address, (None, base / "tfds"))
        splits: dict[str, dict[str, store.Entry]] = {}
        for split, views in tfds_recipes.views(opened, int(side or 0)).items():
            splits[split] = {}
            for view in views:
                fields = tfds_builder.fields(view)
                if odd := [
                    word for word in (split, *fields) if not re.fullmatch(r"\w[\w.-]*", word)
                ]:
                    raise DataError(
                        f"{name} has a split or field {odd[0]!r}, which cannot name a file."
                    )
                blocks = tfds_builder.blocks(view, fields)
                splits[split] |= store.write(work / "arrays" / split, len(view), fields, blocks)[0]
        store.write_manifest(
            work / "arrays", name=name, version="prepared by TFDS", way="tfds", splits=splits
        )


def verify(name: str, source: DataSet | None, home: Path) -> int:
    """Compare the hash of every array with the manifest and, for a set of the catalogue, the known
    one.
    """
    content, count = store.manifest(home, name=name, version=source.version if source else None), 0
    for split in content["splits"]:
        for field, array in store.view(home, name, split, content, whole=True).items():
            count += 1
            if (
                source
                and hashlib.sha256(array.data).hexdigest() != source.fields[field].sha256[split]
            ):
                raise store.damaged(
                    home / split / f"{field}.npy", "holds other values than it should", name
                )
    return count
