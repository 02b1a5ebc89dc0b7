"""Readers of the original files: (folder, split, sizes) -> blocks of examples, in the original
order.

Sizes are known beforehand, so no header is trusted, and no file is unpickled. DataError for any
file that is not as expected.
"""

import contextlib
import gzip
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError

Sizes = Mapping[str, int]  # split -> number of examples

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
BATCHES = (
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
)
DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
BLOCK = 8192  # examples of dSprites at a time, 32 MiB

# The maps of the earth show 15 pixels a degree from 180 W, 90 N; a tile has 150, 10 degrees.
EARTH, TILE = {"photo": "bmng.jpg", "map": "etopo1.jpg"}, 150
NORTH, SOUTH = 150, 2250  # 80 N, 60 S
BANDS = {  # of longitude, in pixels: the test has 80-60 W, 20-40 E and 100-120 E
    "train": ((0, 1500), (1800, 3000), (3300, 4200), (4500, 5400)),
    "test": ((1500, 1800), (3000, 3300), (4200, 4500)),
}
STRIDE = {"train": TILE // 2, "test": TILE}  # training tiles overlap by half
# Least standard deviation of the grey values of a photographed tile: open sea and ice have less.
CONTRAST = 10


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, KeyError, ValueError, SyntaxError, RecursionError) as error:
        raise DataError(f"{path} is not the file that it should be ({error}).") from error
    except (zipfile.BadZipFile, zlib.error, tokenize.TokenError) as error:
        raise DataError(f"{path} is damaged ({error}).") from error


def idx(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """The four files of MNIST and Fashion-MNIST, raw or gzipped."""
    image, label = {"train": IDX[:2], "test": IDX[2:]}[split]
    pixels = _idx(folder / image, (sizes[split], 28, 28))
    yield {"image": pixels[..., None], "label": _idx(folder / label, (sizes[split],))}


def _idx(raw: Path, shape: tuple[int, ...]) -> np.ndarray:
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()  # 8: unsigned bytes
    path = raw if raw.exists() else raw.with_name(f"{raw.name}.gz")
    with _reading(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        content = stream.read(len(header) + math.prod(shape) + 1)
        if not content.startswith(header) or len(content) != len(header) + math.prod(shape):
            raise ValueError(f"expected idx bytes of shape {list(shape)}")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def mnist_parquet(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """All of MNIST as one table, train then test: columns 0 to 783 are pixels, the last is the
    label.
    """
    import pyarrow.parquet

    path = folder / "mnist.parquet"
    with _reading(path):
        table = pyarrow.parquet.ParquetFile(path)
        names = [*map(str, range(28 * 28)), "label"]
        if table.schema_arrow.names != names or table.metadata.num_rows != sum(sizes.values()):
            raise ValueError(f"expected columns 0 to 783 and label, and {sum(sizes.values())} rows")
        start = {"train": 0, "test": sizes["train"]}[split]
        columns = table.read().slice(start, sizes[split]).columns
        rows = np.stack([column.to_numpy() for column in columns], axis=1)  # [n, 785]
        if rows.dtype != np.uint8:
            raise ValueError(f"expected uint8 columns, not {rows.dtype}")
    yield {"image": rows[:, :-1].reshape(-1, 28, 28, 1), "label": rows[:, -1]}


def _batches(split: str, sizes: Sizes) -> tuple[tuple[str, ...], int]:
    """CIFAR-10's files of a split, and the examples in each."""
    names = {"train": BATCHES[:-1], "test": BATCHES[-1:]}[split]
    return names, sizes[split] // len(names)


def cifar10(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """The binary version: rows of one label byte and 3 x 32 x 32 pixels, colours first."""
    names, count = _batches(split, sizes)
    for path in [folder / f"{name}.bin" for name in names]:
        with _reading(path):
            rows = np.fromfile(path, np.uint8).reshape(count, 1 + 3 * 32 * 32)
        # [n, c, h, w] -> [n, h, w, c]
        images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        yield {"image": images, "label": rows[:, 0]}


def cifar10_png(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """The same batches as PNG files whose rows are images, and JSON lists of labels ("lables")."""
    from PIL import Image

    path = folder / f"{split}_lables.json"
    with _reading(path):
        labels = np.array(json.loads(path.read_bytes()))
        if (
            labels.shape != (sizes[split],)
            or labels.dtype.kind != "i"
            or not np.isin(labels, range(10)).all()
        ):
            raise ValueError(f"expected {sizes[split]} labels from 0 to 9")
    names, count = _batches(split, sizes)
    for number, path in enumerate(folder / f"{name}.png" for name in names):
        with _reading(path), Image.open(path) as picture:
            if picture.size != (32 * 32, count) or picture.mode != "RGB":
                raise ValueError(
                    f"expected RGB of {32 * 32} x {count}, not {picture.mode} of {picture.size}"
                )
            images = np.asarray(picture).reshape(-1, 32, 32, 3)
        yield {"image": images, "label": labels[number * count :][:count].astype(np.uint8)}


def dsprites(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """The .npz as a stream, as its images take 3 GB. Its `metadata`, a pickle, is never opened."""
    path, size = folder / DSPRITES, sizes[split]
    members = {
        "imgs": ((64, 64), "<u1"),
        "latents_classes": ((6,), "<i8"),
        "latents_values": ((6,), "<f8"),
    }
    with _reading(path), zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        streams = {name: stack.enter_context(archive.open(f"{name}.npy")) for name in members}
        for name, (shape, dtype) in members.items():
            _npy_header(streams[name], (size, *shape), np.dtype(dtype))
        for start in range(0, size, BLOCK):
            count = min(BLOCK, size - start)
            pixels, classes, values = (
                np.frombuffer(streams[name].read(count * math.prod(shape) * np.dtype(dtype).itemsize), dtype)
                .reshape(count, *shape)
                for name, (shape, dtype) in members.items()
            )  # fmt: skip
            if pixels.max() > 1 or classes.min() < 0 or classes.max() > 39:
                raise ValueError("expected pixels of 0 and 1, and classes from 0 to 39")
            image = np.uint8(255) * pixels[..., None]
            yield {
                "image": image,
                "factors": classes.astype(np.uint8),
                "latents": values.astype(np.float32),
            }


def earth(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """Tiles of the same places from two pictures of the earth, in order of latitude, then
    longitude.
    """
    from PIL import Image

    whole = {}
    for name, path in ((name, folder / file) for name, file in EARTH.items()):
        with _reading(path), Image.open(path) as picture:
            if picture.size != (5400, 2700) or picture.mode != "RGB":
                raise ValueError(
                    f"expected RGB of 5400 x 2700, not {picture.mode} of {picture.size}"
                )
            whole[name] = np.asarray(picture)
    step = STRIDE[split]
    corners = [
        (y, x)
        for first, last in BANDS[split]
        for y in range(NORTH, SOUTH - TILE + 1, step)
        for x in range(first, last - TILE + 1, step)
        if textured(whole["photo"][y : y + TILE, x : x + TILE])
    ]
    if len(corners) != sizes[split]:
        raise DataError(
            f"{folder / EARTH['photo']} has {len(corners)} tiles with texture, expected {sizes[split]}."
        )
    yield {
        name: np.stack([page[y : y + TILE, x : x + TILE] for y, x in corners])
        for name, page in whole.items()
    }


def textured(tile: np.ndarray) -> bool:
    """Whether the grey values have at least the standard deviation CONTRAST: uint8 [h, w, 3]."""
    grey = tile.astype(np.int64).sum(-1)  # 3 times the mean
    return bool(grey.size * (grey**2).sum() - grey.sum() ** 2 >= (3 * CONTRAST * grey.size) ** 2)


def _npy_header(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
    if (version := np.lib.format.read_magic(stream)) != (1, 0):
        raise ValueError(f"expected npy version 1.0, not {version}")
    if (found := np.lib.format.read_array_header_1_0(stream)) != (shape, False, dtype):
        raise ValueError(f"expected {dtype} {list(shape)} in C order, not {found}")


def digits(folder: Path, split: str, sizes: Sizes) -> Iterator[Block]:
    """scikit-learn's 8 x 8 digits, 0..16 -> round(v * 255 / 16); first the training images."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    start = {"train": 0, "test": sizes["train"]}[split]
    part = slice(start, start + sizes[split])
    image = np.rint(bundle.images[part] * 255 / 16).astype(np.uint8)[..., None]
    yield {"image": image, "label": bundle.target[part].astype(np.uint8)}
