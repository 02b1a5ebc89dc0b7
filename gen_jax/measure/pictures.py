"""Picture files as RGB images of 8 bits, decoded by Pillow.

A picture is turned upright as its EXIF data say. What is transparent is laid on white, 16 bits are
scaled to 8, and other modes become RGB. Of an animation, the first frame is taken.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gen_jax.data.catalog.pictures import TORN, plain
from gen_jax.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
# Only these are decoded, whatever the suffix: some formats of Pillow run other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def read(path: Path) -> Image.Image:
    """The upright RGB image in a file; DataError if it cannot be decoded."""
    with _opened(path) as image:
        return plain(ImageOps.exif_transpose(image), "RGB")


def size(path: Path) -> tuple[int, int]:
    """The lengths of the shorter and the longer side in pixels, from the header of a file."""
    with _opened(path) as image:
        return min(image.size), max(image.size)


def square(image: Image.Image, side: int) -> np.ndarray:
    """Resize the middle square of an RGB image by Pillow's bicubic filter, which averages over
    pixels where it reduces: -> uint8 [side, side, 3].
    """
    short = min(image.size)
    left, top = ((length - short) // 2 for length in image.size)  # whole pixels: a crop is exact
    box = (left, top, left + short, top + short)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A context in which an error of Pillow becomes one that names the file."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except (*TORN, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno:  # of the system
            error.filename = error.filename or str(path)
            raise
        reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{path} is no whole picture ({reason}): replace or remove it.") from error
