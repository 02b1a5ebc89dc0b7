"""Key patches of images: boxes from a file, from edges, or around the corners of drawn shapes.

A box is (x, y, w, h), its upper left corner and its size, as fractions of the image side. Boxes
from edges are chosen to contain many whole contours (EdgeBoxes, Zitnick & Dollar 2014).
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.augmentation import crop_and_resize, resized
from gen_jax.data.catalog import prepare, sets, store
from gen_jax.data.catalog.store import Block
from gen_jax.data.crops import middle
from gen_jax.data.pipeline import Arrays, Source
from gen_jax.data.synthetic import shapes
from gen_jax.errors import DataError, UserError
from gen_jax.storage import cache
from gen_jax.types import Array, Batch, Key

log = logging.getLogger("gen_jax.data")

COUNT = 3  # patches per image
TEST = 1000  # maximum number of test images
RADIUS, HALF = 0.6, 0.35  # radius of a shape, half side of a patch, in a plane of side 2
# These bounds on proposals are our choice: those of the paper are unknown.
AREA = 0.04, 0.25  # minimum and maximum, as fractions of the image area
RATIO = 2  # maximum ratio of the longer to the shorter side
OVERLAP = 0.3  # maximum intersection over union of two proposals of an image
SIDE = 96  # pixels; images with a smaller side are enlarged before edge detection
VERSION = "edges 1"  # of the proposals; a change recomputes them
BLOCK = 512  # images per write


def of_shapes(count: int, side: int) -> Source:
    """Return `count` drawn shapes in the centre, at any angle, with patches around their corners.

    Batches have the fields of `with_patches` and of shapes.Scene.
    """

    def drawn(n: int, key: Key) -> Arrays:
        scene = shapes.draw(key, n)._replace(centre=jnp.zeros((n, 2)), radius=jnp.full(n, RADIUS))
        return {name: np.asarray(factor) for name, factor in scene._asdict().items()}

    def arrays() -> tuple[Arrays, Arrays]:
        key_train, key_test = jax.random.split(jax.random.key(0))
        return drawn(count, key_train), drawn(TEST, key_test)

    def prepare(batch: Batch, key: Key) -> Batch:
        scene = shapes.Scene(*(batch[name] for name in shapes.Scene._fields))
        image = 2 * shapes.render(scene, side) - 1
        return with_patches(batch, image, shapes.boxes(scene, HALF), key)

    return Source("shapes", prepare, arrays=arrays)


class Square(NamedTuple):
    """How images are made square."""

    crop: int  # side of the central square in pixels; 0 for the largest
    side: int  # side in pixels to which the square is resized


class File(NamedTuple):
    """A file of boxes in the format of the authors."""

    path: Path
    side: float  # side in pixels of the images that the boxes refer to


def of_images(
    name: str, shape: Square, file: File | None, count: int, directory: Path | None
) -> Source:
    """Return at most `count` images of a set, with boxes from a file, or else from edges.

    Batches have the fields of `with_patches`, "image" and "box".
    """

    def arrays() -> tuple[Arrays, Arrays]:
        found, most = images(name, shape.crop, directory), (count, TEST)
        return from_file(found, *file, most) if file else from_edges(found, most, directory)

    def prepare(batch: Batch, key: Key) -> Batch:
        return with_patches(batch, resized(batch["image"], shape.side), batch["box"], key)

    fields = {"image": ((shape.side, shape.side, 3), "uint8"), "box": ((COUNT, 4), "float32")}
    return Source(name, prepare, arrays=arrays, fields=fields)


def with_patches(batch: Batch, image: Array, box: Array, key: Key) -> Batch:
    """Return a batch with images [b, s, s, 3] in [-1, 1] as "x", and their boxes [b, k, 4] cut out.

    Adds "patch", [b, k, s, s, 3], each enlarged to the side of the image, and "mask", their
    positions, [b, s, s, 1]. Either the whole batch is mirrored or none of it.
    """
    flip = jax.random.bernoulli(key)
    image = jnp.where(flip, image[:, :, ::-1], image)
    box = jnp.where(flip, mirrored(box), box)
    patches = jax.vmap(jax.vmap(enlarged, (None, 0)))(image, box)
    return {**batch, "x": image, "patch": patches, "mask": mask(box, image.shape[1])}


def enlarged(image: Array, box: Array) -> Array:
    """Resize the content of a box to the size of the image: [s, s, c], [4] -> [s, s, c]."""
    side = len(image)
    return crop_and_resize(image, side * box[1::-1], side * box[:1:-1], side)


def square(images: np.ndarray, crop: int = 0) -> np.ndarray:
    """Return the central square of `crop` pixels, or the largest for 0, as a view.

    [n, h, w, c] -> [n, s, s, c]. Raises UserError if images are smaller.
    """
    side = crop or min(images.shape[1:3])
    if side > min(images.shape[1:3]):
        raise UserError(
            f"crop is {crop}; the images have {images.shape[2]} x {images.shape[1]} pixels: "
            "give a smaller crop."
        )
    return middle(images, side)


def edges(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strengths of edges, at most 1 and 0 off their ridges, and the directions across
    them.

    uint8 [s, s, c] -> [s, s], and [s, s] in radians.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image.astype(np.float32) / 255, (1, 1, 0))
    down, along = np.gradient(smooth, axis=(0, 1))
    steepest = np.hypot(down, along).argmax(-1)[..., None]  # the colour channel
    down, along = (np.take_along_axis(slope, steepest, -1)[..., 0] for slope in (down, along))
    strength = np.hypot(down, along)
    at, step = np.indices(strength.shape), np.stack([down, along]) / (strength + 1e-9)
    sides = [ndimage.map_coordinates(strength, at + sign * step, order=1) for sign in (-1, 1)]
    ridge = np.where(strength >= np.maximum(*sides), strength, 0) / max(strength.max(), 1e-9)
    return ridge.astype(np.float32), (np.arctan2(down, along) % np.pi).astype(np.float32)


def overlap(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes: [4], [n, 4] -> [n]."""
    first = np.maximum(one[:2], others[:, :2])
    last = np.minimum(one[:2] + one[2:], others[:, :2] + others[:, 2:])
    common = np.clip(last - first, 0, None).prod(-1)
    return common / (one[2:].prod() + others[:, 2:].prod(-1) - common)


def propose(image: np.ndarray) -> np.ndarray:
    """Return the best proposals with little overlap, best first: uint8 [s, s, c] -> [k, 4], k <=
    COUNT.
    """
    from PIL import Image

    if (side := len(image)) < SIDE:
        large = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image, side = np.asarray(large), SIDE
    finder = _edge_boxes(
        minBoxArea=AREA[0] * side**2, maxAspectRatio=RATIO, maxBoxes=200, minScore=1e-3
    )
    # best first
    found = np.asarray(finder.getBoundingBoxes(*edges(image))[0]).reshape(-1, 4) / side
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
            "Box proposals need OpenCV, which is not installed: run pip install -e '.[proposals]', "
            "or give a file of boxes."
        ) from error
    return ximgproc.createEdgeBoxes(**options)


def read(path: Path, side: float) -> np.ndarray:
    """Read the boxes of a MATLAB file, [n, 3, 4], clipped to the image.

    The boxes in the file are in pixels of images with this side. Raises DataError if the file has
    no such array or a box is empty.
    """
    from scipy import io

    try:
        content = {
            name: value for name, value in io.loadmat(path).items() if not name.startswith("__")
        }
    except (OSError, ValueError, TypeError, NotImplementedError, io.matlab.MatReadError) as error:
        raise DataError(
            f"{path} is not a readable MATLAB file ({error}): give one of version 7 or older."
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
            f"{path} has {bad} images with boxes that are empty or outside; the given side is "
            f"{side:g}."
        )
    return np.concatenate([first, last - first], -1).astype(np.float32)


class Images(NamedTuple):
    """Square colour images of a set."""

    name: str
    train: np.ndarray  # uint8 [n, s, s, 3]
    test: np.ndarray
    # for each split, the rows of its images in a file with the boxes of all images
    rows: tuple[np.ndarray, np.ndarray]
    total: int  # rows in that file


def images(name: str, crop: int, directory: Path | None) -> Images:
    """Return the central squares of the images of a set; for emoji, those by Google.

    Raises DataError if they are not in colour.
    """
    field = "google" if name == "emoji" else "image"
    splits = [sets.load(name, split, directory) for split in ("train", "test")]
    train, test = (square(split[field], crop) for split in splits)
    if train.shape[-1] != 3:
        raise DataError(
            f"{name} has images of shape {list(train.shape[1:])}; give a set of colour images."
        )
    if "file" in splits[0]:  # file numbers of the authors, from 1
        rows, total = (splits[0]["file"] - 1, splits[1]["file"] - 1), int(splits[1]["file"].max())
    else:
        rows = np.arange(len(train)), len(train) + np.arange(len(test))
        total = len(train) + len(test)
    return Images(f"{name}/{field}-{crop}", train, test, rows, total)


def from_file(
    images: Images, path: Path, side: float, most: tuple[int, int]
) -> tuple[Block, Block]:
    """Return {"image", "box"} for training and for testing, at most `count` images, with boxes from
    a file.

    Raises DataError if the file has boxes of another number of images.
    """
    boxes = read(path, side)
    if len(boxes) != images.total:
        raise DataError(
            f"{path} has boxes of {len(boxes)} images, but {images.name} has {images.total}."
        )
    parts = zip((images.train, images.test), images.rows, most, strict=True)
    first, second = ({"image": image[:n], "box": boxes[rows[:n]]} for image, rows, n in parts)
    return first, second


def from_edges(
    images: Images, most: tuple[int, int], directory: Path | None
) -> tuple[Block, Block]:
    """Return {"image", "box"} for training and for testing, out of at most `count` images, with
    proposed boxes.

    The boxes are computed once and stored with the prepared images. Images with fewer than COUNT
    boxes are left out.
    """
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
    log.info("%s: proposing boxes for %d images", home.name, len(images))
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
    """Return the boxes of the mirrored image: [..., 4] -> the same."""
    return jnp.stack([1 - box[..., 0] - box[..., 2], *jnp.moveaxis(box[..., 1:], -1, 0)], -1)


def mask(box: Array, side: int) -> Array:
    """Return 1 for pixels whose centre is in a box, else 0: [b, k, 4] -> [b, side, side, 1]."""
    middle = (jnp.arange(side)[None, None] + 0.5) / side
    # [b, k, side]
    across, down = (
        (middle >= box[..., i, None]) & (middle < box[..., i, None] + box[..., i + 2, None])
        for i in (0, 1)
    )
    return (across[:, :, None, :] & down[:, :, :, None]).any(1)[..., None].astype(jnp.float32)
