"""Picture files to pixels of 8 bits, by Pillow.

A picture is turned upright as its EXIF data say, what is transparent is laid on white, 16 bits are
scaled to 8 (0..65535 to 0..255, rounded; of 16-bit colours Pillow keeps the high byte), and other
modes are converted by Pillow, without colour profiles. Of an animation the first frame is taken.

To a side, the middle square is resized with Pillow's bicubic filter, which averages where it makes
smaller: the rule of `tfds_recipes`. A JPEG may first be decoded at a half, a quarter or an eighth
of its size, as long as twice the side remains.
"""

import contextlib
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gen_jax.errors import DataError

# Only these are decoded, whatever the suffix: some formats of Pillow run other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
# what Pillow raises for a file that is torn or none of these
TORN = (OSError, EOFError, ValueError, TypeError, LookupError, SyntaxError, struct.error)


def read(path: Path, side: int | None = None, *, grey: bool = False) -> np.ndarray:
    """A picture as uint8 [h, w, 3], or [h, w, 1] if `grey`; its middle square if `side` is given.

    Raises DataError, which names the file, if it cannot be decoded or has too many pixels.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
            if side:
                opened.draft(None, (2 * side, 2 * side))
            image = plain(ImageOps.exif_transpose(opened), "L" if grey else "RGB")
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{path} has more than {most:,} pixels, which may be an attack: make it smaller or remove it."
        ) from error
    except TORN as error:
        reason = error.strerror if isinstance(error, OSError) else None
        known = str(reason or error).partition(" '")[0].rstrip(".") or type(error).__name__
        raise DataError(
            f"{path} cannot be decoded as a picture ({known}): replace or remove it."
        ) from error
    pixels = np.asarray(_square(image, side) if side else image)
    return pixels.reshape(*pixels.shape[:2], -1)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore what Pillow finds odd in a file: what it cannot decode is an error.

    Warnings are filtered for a whole process, so threads have no filters of their own.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        yield


def plain(image: Image.Image, mode: str) -> Image.Image:
    """Convert to 8 bits per channel, on white."""
    if image.mode[0] in "IF":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError("its values are not of 8 or 16 bits")
        image = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _square(image: Image.Image, side: int) -> Image.Image:
    width, height = image.size
    short = min(image.size)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    return image.resize((side, side), Image.Resampling.BICUBIC, box)
