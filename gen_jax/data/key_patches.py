"""Boxes of images: given in a file, or proposed where many edges are enclosed whole (Zitnick & Dollar 2014, EdgeBoxes).

A box is (x, y, w, h): its upper left corner and its size, as shares of the image's side.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gen_jax.data.catalog import prepare, sets, store
from gen_jax.data.catalog.store import Block
from gen_jax.data.crops import middle
from gen_jax.errors import DataError, UserError
from gen_jax.storage import cache
from gen_jax.types import Array

log = logging.getLogger("gen_jax.data")

COUNT = 3  # of an image
AREA = (
    0.04,
    0.25,
)  # of the image: smaller and larger proposals are left out. Ours: the paper's bounds are unknown
RATIO = 2  # of width and height, either way, at most; ours
OVERLAP = 0.3  # intersection over union of two proposals of an image, less than this; ours
SIDE = 96  # [pixels] in which edges are looked for: smaller images are enlarged
VERSION = "edges 1"  # of the proposals: another one, and they are computed again
BLOCK = 512  # images


def square(images: np.ndarray, crop: int = 0) -> np.ndarray:
    """The middle `crop` pixels either way, or for 0 the largest square, as a view: [n, h, w, c] -> [n, s, s, c]."""
    side = crop or min(images.shape[1:3])
    if side > min(images.shape[1:3]):
        raise UserError(
            f"crop is {crop}; the images have {images.shape[2]} x {images.shape[1]} pixels, so give less."
        )
    return middle(images, side)


def edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How strong an edge is, 1 at most, only on its ridge; and across which way: uint8 [s, s, c] -> [s, s], [s, s]."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image.astype(np.float32) / 255, (1, 1, 0))
    down, along = np.gradient(smooth, axis=(0, 1))
    steepest = np.hypot(down, along).argmax(-1)[..., None]  # of the colours
    down, along = (np.take_along_axis(slope, steepest, -1)[..., 0] for slope in (down, along))
    strength = np.hypot(down, along)
    at, step = np.indices(strength.shape), np.stack([down, along]) / (strength + 1e-9)
    beside = [ndimage.map_coordinates(strength, at + way * step, order=1) for way in (-1, 1)]
    ridge = np.where(strength >= np.maximum(*beside), strength, 0) / max(strength.max(), 1e-9)
    return ridge.astype(np.float32), (np.arctan2(down, along) % np.pi).astype(np.float32)


def overlap(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union: [4], [n, 4] -> [n]."""
    first, last = (
        np.maximum(one[:2], others[:, :2]),
        np.minimum(one[:2] + one[2:], others[:, :2] + others[:, 2:]),
    )
    common = np.clip(last - first, 0, None).prod(-1)
    return common / (one[2:].prod() + others[:, 2:].prod(-1) - common)


def propose(image: np.ndarray) -> np.ndarray:
    """The best proposals that differ, the best first, COUNT at most: uint8 [s, s, c] -> [k, 4]."""
    from PIL import Image

    if (side := len(image)) < SIDE:
        image, side = (
            np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)),
            SIDE,
        )
    finder = _edge_boxes(
        minBoxArea=AREA[0] * side**2, maxAspectRatio=RATIO, maxBoxes=200, minScore=1e-3
    )
    found = (
        np.asarray(finder.getBoundingBoxes(*edges(image))[0]).reshape(-1, 4) / side
    )  # the best first
    chosen: list[np.ndarray] = []
    for box in found[(found[:, 2:].prod(-1) >= AREA[0]) & (found[:, 2:].prod(-1) <= AREA[1])]:
        if len(chosen) < COUNT and (overlap(box, np.reshape(chosen, (-1, 4))) < OVERLAP).all():
            chosen.append(box)
    return np.reshape(chosen, (-1, 4)).astype(np.float32)


def _edge_boxes(**options: Any) -> Any:
    try:
        from cv2 import ximgproc
    except ImportError as error:
        raise UserError(
            "boxes are proposed by OpenCV, which is not installed: say pip install 'gen_jax[proposals]', which is "
            "opencv-contrib-python-headless, or give a file of boxes."
        ) from error
    return ximgproc.createEdgeBoxes(**options)


def read(path: Path, side: float) -> np.ndarray:
    """A MATLAB file of boxes [n, 3, (x, y, w, h)] in an image of `side`, cut at its borders -> [n, 3, 4]."""
    from scipy import io

    try:
        content = {
            name: value for name, value in io.loadmat(path).items() if not name.startswith("__")
        }
    except (OSError, ValueError, TypeError, NotImplementedError, io.matlab.MatReadError) as error:
        raise DataError(
            f"{path} is no MATLAB file that can be read ({error}): give one of version 7 or older."
        ) from error
    found = [v for v in content.values() if np.shape(v)[1:] == (COUNT, 4) and v.dtype.kind in "iuf"]
    if len(found) != 1:
        shapes = ", ".join(f"{name} {list(np.shape(value))}" for name, value in content.items())
        raise DataError(
            f"{path} holds {shapes or 'nothing'}; one array of numbers [n, {COUNT}, 4] is expected."
        )
    box = found[0].astype(float) / side
    first, last = np.clip(box[..., :2], 0, 1), np.clip(box[..., :2] + box[..., 2:], 0, 1)
    if bad := np.count_nonzero(~(last > first).all((1, 2))):
        raise DataError(
            f"{path} has {bad} images with boxes that are empty or outside; their side was said to be {side:g}."
        )
    return np.concatenate([first, last - first], -1).astype(np.float32)


class Images(NamedTuple):
    """Square colour images, and what identifies them."""

    name: str
    train: np.ndarray  # uint8 [n, s, s, 3]
    test: np.ndarray
    rows: tuple[
        np.ndarray, np.ndarray
    ]  # of a file that has boxes of all images: [n] of either split
    total: int  # of its rows


def images(name: str, crop: int, directory: Path | None) -> Images:
    """The middle of the images of a set; of emoji, those that Google draws."""
    field = "google" if name == "emoji" else "image"
    splits = [sets.load(name, split, directory) for split in ("train", "test")]
    train, test = (square(split[field], crop) for split in splits)
    if train.shape[-1] != 3:
        raise DataError(
            f"{name} has images of shape {list(train.shape[1:])}; give a set in colour."
        )
    if "file" in splits[0]:  # the numbers of the authors' files, from 1
        rows, total = (splits[0]["file"] - 1, splits[1]["file"] - 1), int(splits[1]["file"].max())
    else:
        rows, total = (
            (np.arange(len(train)), len(train) + np.arange(len(test))),
            len(train) + len(test),
        )
    return Images(f"{name}/{field}-{crop}", train, test, rows, total)


def given(images: Images, path: Path, side: float, most: tuple[int, int]) -> tuple[Block, Block]:
    """{"image", "box"} to train on and to test, at most so many, with the boxes of a file."""
    boxes = read(path, side)
    if len(boxes) != images.total:
        raise DataError(
            f"{path} has boxes of {len(boxes)} images, but {images.name} has {images.total}."
        )
    parts = zip((images.train, images.test), images.rows, most, strict=True)
    first, second = ({"image": image[:n], "box": boxes[rows[:n]]} for image, rows, n in parts)
    return first, second


def proposed(images: Images, most: tuple[int, int], directory: Path | None) -> tuple[Block, Block]:
    """The same with proposals, computed once and kept beside the images; images with fewer than COUNT are left out."""
    base = (directory or cache.data_folder()).absolute()
    name = f"boxes:{images.name}-{most[0]}-{most[1]}"
    home = prepare.home(name, base)
    if not (home / store.MANIFEST).is_file():
        with prepare.building(name, base) as work:
            if work:
                parts = {"train": images.train[: most[0]], "test": images.test[: most[1]]}
                splits = {
                    split: _write(work / "arrays" / split, part) for split, part in parts.items()
                }
                store.write_manifest(
                    work / "arrays", name=name, version=VERSION, way="proposed", splits=splits
                )
    content = store.manifest(home, name=name, version=VERSION)
    return store.view(home, name, "train", content), store.view(home, name, "test", content)


def _write(home: Path, images: np.ndarray) -> dict[str, store.Entry]:
    log.info("%s: looking for boxes in %d images", home.name, len(images))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(propose, images))
    kept = np.flatnonzero([len(boxes) == COUNT for boxes in found])
    log.info(
        "%s: %d images with fewer than %d boxes are left out",
        home.name,
        len(images) - len(kept),
        COUNT,
    )

    def blocks() -> Iterator[Block]:
        for start in range(0, len(kept), BLOCK):
            those = kept[start : start + BLOCK]
            yield {"image": images[those], "box": np.stack([found[i] for i in those])}

    fields = {"image": (images.shape[1:], "uint8"), "box": ((COUNT, 4), "float32")}
    return store.write(home, len(kept), fields, blocks())[0]


def mirrored(box: Array) -> Array:
    """Where a box is once left and right are exchanged: [..., 4] -> the same."""
    return jnp.stack([1 - box[..., 0] - box[..., 2], *jnp.moveaxis(box[..., 1:], -1, 0)], -1)


def mask(box: Array, side: int) -> Array:
    """1 where the middle of a pixel is in any of an image's boxes, else 0: [b, k, 4] -> [b, side, side, 1]."""
    middle = (jnp.arange(side)[None, None] + 0.5) / side
    across, down = (
        (middle >= box[..., i, None]) & (middle < box[..., i, None] + box[..., i + 2, None])
        for i in (0, 1)
    )  # [b, k, side]
    return (across[:, :, None, :] & down[:, :, :, None]).any(1)[..., None].astype(jnp.float32)
