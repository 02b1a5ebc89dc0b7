"""Prepared data: a directory per set, with SPLIT/FIELD.npy and a manifest, opened as memory maps."""

import hashlib
import json
import re
import shlex
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.errors import DataError
from gen_jax.storage import cache
from gen_jax.storage.files import sha256

Block = dict[str, np.ndarray]  # field -> its values for some consecutive examples, [n, ...]
Entry = dict[str, Any]  # a file of the manifest: shape, dtype, size in bytes, sha256

MANIFEST = "manifest.json"
LARGE = 256 * 2**20  # [bytes] files above this are hashed by `verify`, not at every opening
CHUNK = 2**22  # [bytes]


def write(
    home: Path,
    size: int,
    fields: Mapping[str, tuple[tuple[int, ...], str]],
    blocks: Iterator[Block],
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Write `size` examples to home/FIELD.npy.

    Returns the manifest's entries and the SHA-256 of each field's values. `fields` maps a name to
    the shape and dtype of one example. Files are written, not mapped: a full disk then raises an
    OSError instead of SIGBUS. DataError if the blocks do not fit `size` and `fields`.
    """
    home.mkdir(parents=True, exist_ok=True)  # domains of different sizes are written one by one
    files, values, streams = {}, {}, {}
    try:
        for name, (shape, dtype) in fields.items():
            streams[name] = (home / f"{name}.npy").open("w+b")
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (size, *shape)}
            np.lib.format.write_array_header_1_0(streams[name], header)
            streams[name].seek(0)
            files[name], values[name] = hashlib.sha256(streams[name].read()), hashlib.sha256()
        count = 0
        for block in blocks:
            for name, (shape, dtype) in fields.items():
                array = np.ascontiguousarray(block[name])
                if (
                    array.shape[1:] != shape
                    or array.dtype != dtype
                    or len(array) != len(block[next(iter(fields))])
                ):
                    given = f"{array.dtype} {list(array.shape)}"
                    raise DataError(
                        f"field {name!r} came as {given}, expected {dtype} examples of {list(shape)}."
                    )
                if not _finite(array):
                    raise DataError(
                        f"field {name!r} of split {home.name!r} has values that are NaN or infinite."
                    )
                for digest in (files[name], values[name]):
                    digest.update(array.data)
                streams[name].write(array.data)
            count += len(array)
    finally:
        for stream in streams.values():
            stream.close()
    if count != size:
        raise DataError(f"{count} examples came for split {home.name!r}, expected {size}.")
    entries = {
        name: {
            "shape": [size, *shape],
            "dtype": str(np.dtype(dtype)),
            "size": (home / f"{name}.npy").stat().st_size,
            "sha256": files[name].hexdigest(),
        }
        for name, (shape, dtype) in fields.items()
    }
    return entries, {name: digest.hexdigest() for name, digest in values.items()}


def write_manifest(
    home: Path,
    *,
    name: str,
    version: str,
    way: str,
    splits: Mapping[str, Mapping[str, Entry]],
    more: Mapping[str, Any] = {},
) -> None:
    """Write the manifest, last: a directory without one is not prepared.

    `more` is what else is known of the set.
    """
    content = {"name": name, "version": version, "way": way, "splits": splits, **more}
    (home / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def manifest(home: Path, *, name: str, version: str | None = None) -> dict[str, Any]:
    """The manifest of a prepared set. DataError if it is damaged or of another name or version."""
    path = home / MANIFEST
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(2**20))
        found, made = content["name"], content["version"]
        entries = [entry for fields in content["splits"].values() for entry in fields.values()]
        whole = isinstance(content["way"], str) and all(
            isinstance(entry[key], kind)
            for entry in entries
            for key, kind in (("shape", list), ("dtype", str), ("size", int), ("sha256", str))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, f"cannot be read ({type(error).__name__})", name) from error
    if not whole:
        raise damaged(path, "lacks entries", name)
    if found != name or version not in (None, made):
        raise damaged(path, f"is of {found} {made}, expected {name} {version or ''}".rstrip(), name)
    return content


def damaged(path: Path, why: str, name: str) -> DataError:
    """The error for a prepared file that cannot be used."""
    home = path.parent if path.name == MANIFEST else path.parent.parent  # DIRECTORY/arrays/NAME
    if name.startswith("boxes:"):
        return DataError(f"{path} {why}: delete {home}, and it is made again.")
    base = home.parent.parent
    place = "" if base == cache.data_folder() else f" --directory {base}"
    return DataError(
        f"{path} {why}: run `python -m gen_jax.data {shlex.quote(name)} --again{place}` to prepare "
        "it again."
    )


def check_split(name: str, split: str, known: Iterable[str]) -> None:
    """Raise DataError if the set has no such split."""
    if split not in known:
        raise DataError(f"{name} has no split {split!r}: choose from {', '.join(sorted(known))}.")


def view(
    home: Path, name: str, split: str, content: Mapping[str, Any], *, whole: bool = False
) -> Block:
    """The fields of one split as read-only memory maps.

    DataError if the size, shape, dtype or SHA-256 (of files up to LARGE) is not as in the manifest.
    """
    known = content["splits"]
    check_split(name, split, known)
    fields: Block = {}
    for field, entry in known[split].items():
        path = home / split / f"{field}.npy"
        try:
            size = path.stat().st_size
            if size != entry["size"]:
                raise damaged(path, f"has {size} bytes, expected {entry['size']}", name)
            if (whole or size <= LARGE) and sha256(path) != entry["sha256"]:
                raise damaged(path, "has another SHA-256 than its manifest says", name)
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
            raise damaged(path, f"cannot be opened ({type(error).__name__})", name) from error
        if list(array.shape) != entry["shape"] or str(array.dtype) != entry["dtype"]:
            given, expected = (
                f"{array.dtype} {list(array.shape)}",
                f"{entry['dtype']} {entry['shape']}",
            )
            raise damaged(path, f"holds {given}, expected {expected}", name)
        if (whole or size <= LARGE) and not _finite(array):
            raise damaged(path, "has values that are NaN or infinite", name)
        fields[field] = array
    return fields


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def parse(split: str) -> tuple[str, slice]:
    """ "train[:50000]" -> ("train", slice(None, 50000))."""
    if not (match := re.fullmatch(r"(\w+)(?:\[(-?\d+)?:(-?\d+)?\])?", split)):
        raise DataError(
            f"split {split!r} is not understood: write a name or a slice such as 'train[:50000]'."
        )
    name, start, stop = match.groups()
    return name, slice(int(start) if start else None, int(stop) if stop else None)


def cut(fields: Block, part: slice, split: str) -> Block:
    """A slice of every field, as views. DataError if it is empty or exceeds the split."""
    size = min(len(array) for array in fields.values())  # domains may differ in size
    bounds = [bound for bound in (part.start, part.stop) if bound is not None]
    if any(not -size <= bound <= size for bound in bounds) or not range(size)[part]:
        raise DataError(
            f"split {split!r} asks for examples that are not there: it holds {size}, counted from 0."
        )
    return {name: array[part] for name, array in fields.items()}
