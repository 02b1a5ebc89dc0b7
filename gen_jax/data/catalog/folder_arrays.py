"""The pictures of a folder to arrays, some at a time, decoded by threads.

Imported only while a folder is prepared.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from gen_jax import console
from gen_jax.data.catalog import folder_layouts, pictures, store
from gen_jax.data.catalog.folder_layouts import Plan
from gen_jax.data.catalog.folder_names import Reading
from gen_jax.data.catalog.store import Block, Entry
from gen_jax.errors import DataError

BLOCK = 2**26  # [bytes] of pixels in memory at once
THREADS = 8  # at most; Pillow decodes and resizes without Python's lock


def write(folder: Reading, plan: Plan, home: Path) -> dict[str, dict[str, Entry]]:
    """Write the arrays of both splits; returns the manifest's entries.

    Raises DataError for a picture that cannot be decoded, or of another size than the others.
    """
    splits: dict[str, dict[str, Entry]] = {}
    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    total = sum(split.size for split in plan.splits)
    with console.progress("Pictures", total) as advance, pool, pictures.without_warnings():
        shape = None
        for split, own in zip(folder_layouts.SPLITS, plan.splits, strict=True):
            entries: dict[str, Entry] = {}
            for field, names in own.pictures.items():
                shape = shape or _read(folder, names[0]).shape
                blocks = _blocks(folder, field, names, shape, pool, advance)
                wanted = {field: (shape, "uint8")}
                entries |= store.write(home / split, len(names), wanted, blocks)[0]
            for field, values in own.known.items():
                wanted, block = {field: (values.shape[1:], str(values.dtype))}, {field: values}
                entries |= store.write(home / split, len(values), wanted, iter([block]))[0]
            splits[split] = entries
    return splits


def _read(folder: Reading, name: str) -> np.ndarray:
    return pictures.read(folder.path / name, folder.side, grey=folder.grey)


def _blocks(
    folder: Reading,
    field: str,
    names: Sequence[str],
    shape: tuple[int, ...],
    pool: Executor,
    advance: Callable[[int], None],
) -> Iterator[Block]:
    """The pixels of pictures in order, in blocks of at most BLOCK bytes."""
    count = max(1, BLOCK // int(np.prod(shape)))
    for start in range(0, len(names), count):
        some, block = names[start : start + count], []
        for name, image in zip(some, pool.map(partial(_read, folder), some), strict=True):
            if image.shape != shape:
                odd, first = (f"{w} x {h}" for h, w, _ in (image.shape, shape))
                raise DataError(
                    f"{folder.path / name} has {odd} pixels and others {first}: name a side to "
                    f"resize all, as in folder:{folder.path}@64."
                )
            block.append(image)
            advance(1)
        yield {field: np.stack(block)}
