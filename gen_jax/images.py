"""Arrays to pictures, on the host: ranges, grids, files. All arrays are NumPy's or convert to it."""

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from gen_jax.errors import DataError, UserError
from gen_jax.storage import files

# of ten labels
PALETTE = np.array(
    [(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)]
    + [(140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)],
    np.uint8,
)


class PictureError(UserError, ValueError):
    """An array cannot be drawn: its shape, type or values are wrong."""


def to_uint8(images: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Real values in [low, high] to 0..255, rounded and clipped; uint8 is returned as it is."""
    pixels = np.asarray(images)
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "bf" and pixels.dtype.name != "bfloat16":
        raise PictureError(
            f"The pixels are {pixels.dtype}, but pictures are uint8 or real values: convert them first."
        )
    if not low < high:
        raise PictureError(f"The range [{low}, {high}] is empty: give low < high.")
    pixels = pixels.astype(np.float32)  # float16 would overflow below
    if np.isnan(pixels).any():
        raise PictureError(
            f"{np.isnan(pixels).sum()} of {pixels.size} pixels are NaN: draw finite images only."
        )
    return np.rint((np.clip(pixels, low, high) - low) * (255 / (high - low))).astype(np.uint8)


def from_uint8(images: np.ndarray) -> np.ndarray:
    """Convert uint8 to float32 in [-1, 1], the inverse of `to_uint8(..., low=-1)`."""
    return images / np.float32(127.5) - 1


def grid(images: ArrayLike, *, columns: int | None = None, padding: int = 2) -> np.ndarray:
    """One picture of many images, row by row, with black lines between them; by default nearly
    square.

    [n, h, w, 1 or 3] -> uint8 [h', w', 3]. PictureError for another shape or for values that are
    NaN.
    """
    images = to_uint8(images)  # [n, h, w, c]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise PictureError(
            f"The images have shape {list(images.shape)}, but a grid needs [n, h, w, 1 or 3], none empty."
        )
    n, h, w, _ = images.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else columns
    if columns < 1 or padding < 0:
        raise PictureError(
            f"A grid of {columns} columns with padding {padding} cannot be: give at least 1 and 0."
        )
    rows = math.ceil(n / columns)
    cells = np.zeros((rows * columns, h + padding, w + padding, 3), np.uint8)
    cells[:n, padding:, padding:] = images  # grey broadcasts to RGB
    # [rows, h, columns, w, 3]
    page = cells.reshape(rows, columns, h + padding, w + padding, 3).swapaxes(1, 2)
    page = page.reshape(rows * (h + padding), columns * (w + padding), 3)
    return np.pad(page, ((0, padding), (0, padding), (0, 0)))


def captioned(rows: ArrayLike, captions: Sequence[str], *, least: int = 32) -> np.ndarray:
    """Rows of images, each with its caption to the left: [n, k, h, w, 3], n texts -> uint8
    [h, w, 3].

    Images of fewer than `least` pixels a side are enlarged by a whole factor, so that the text can
    be read.
    """
    rows = to_uint8(rows)
    if rows.ndim != 5 or rows.shape[-1] != 3 or 0 in rows.shape or len(rows) != len(captions):
        raise PictureError(
            f"The images have shape {list(rows.shape)} and there are {len(captions)} captions, but rows need "
            "[n, k, h, w, 3], none empty, and a caption each."
        )
    times = -(-least // rows.shape[2])
    rows = rows.repeat(times, 2).repeat(times, 3)
    cells = grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    font = ImageFont.load_default(12)
    lines = [textwrap.wrap(caption, 24) for caption in captions]
    width = int(max((font.getlength(line) for some in lines for line in some), default=0)) + 8
    page = Image.new("RGB", (width, len(cells)), "white")
    draw, step = ImageDraw.Draw(page), rows.shape[2] + 2
    for i, some in enumerate(lines):
        draw.text((4, i * step + step // 2), "\n".join(some), "black", font, anchor="lm")
    return np.concatenate([np.asarray(page), cells], 1)


def scatter(points: ArrayLike, labels: ArrayLike, *, reach: float, side: int = 400) -> np.ndarray:
    """The plane from -reach to reach, with a dot for each point in the colour of its label.

    [n, 2], labels 0..9 [n] -> uint8 [side, side, 3]. Later points cover earlier ones; points beyond
    the reach are left out.
    """
    points, labels = np.asarray(points, np.float64), np.asarray(labels)
    if (
        points.ndim != 2
        or points.shape[1] != 2
        or labels.shape != points.shape[:1]
        or not reach > 0
    ):
        raise PictureError(
            f"The points are {list(points.shape)}, their labels {list(labels.shape)}, the reach {reach}, but a scatter "
            "needs [n, 2], [n] and a positive number."
        )
    inside = (np.abs(points) <= reach).all(1)
    left, up = np.rint((points[inside].T / reach + 1) / 2 * (side - 3)).astype(int)
    page = np.full((side, side, 3), 255, np.uint8)
    for i, j in np.ndindex(3, 3):  # of a dot
        page[side - 3 - up + i, left + j] = PALETTE[labels[inside] % len(PALETTE)]
    return page


def save(path: Path, image: ArrayLike) -> None:
    """A PNG of [h, w], [h, w, 1] or [h, w, 3]; real values as in `to_uint8`."""
    files.replace(Path(path), _encode([_picture(image)], "PNG"))


def load(path: Path) -> np.ndarray:
    """The picture in a file as uint8 [h, w, 3]."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path} is no whole picture ({error}): remove it or draw it again."
        ) from error


def animation(
    path: Path, frames: Sequence[ArrayLike] | np.ndarray, *, milliseconds: int = 200
) -> None:
    """An endless animation: `.webp`, or `.gif` (larger, 256 colours).

    Equal neighbours may become one longer frame.
    """
    pictures = [_picture(frame) for frame in frames]
    if not pictures or len({picture.size for picture in pictures}) > 1:
        sizes = sorted({picture.size for picture in pictures})
        raise PictureError(
            f"The {len(pictures)} frames have sizes {sizes}, but an animation needs frames of one size."
        )
    options = {"save_all": True, "append_images": pictures[1:], "duration": milliseconds, "loop": 0}
    match Path(path).suffix:
        case ".webp":
            files.replace(Path(path), _encode(pictures, "WEBP", quality=90, **options))
        case ".gif":
            files.replace(Path(path), _encode(pictures, "GIF", **options))
        case suffix:
            raise PictureError(
                f"An animation cannot be written as '{suffix}': name the file .webp or .gif."
            )


def _picture(image: ArrayLike) -> Image.Image:
    pixels = to_uint8(image)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or 0 in pixels.shape:
        raise PictureError(
            f"The image has shape {list(pixels.shape)}, but a picture needs [h, w] or [h, w, 1 or 3]."
        )
    return Image.fromarray(pixels)


def _encode(pictures: list[Image.Image], form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pictures[0].save(file, form, **options)
    return file.getvalue()
