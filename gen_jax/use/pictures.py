"""Images as an array that shows itself in a notebook."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gen_jax import images


class Pictures(np.ndarray[Any, np.dtype[np.uint8]]):
    """Images as uint8 [n, h, w, 1 or 3], or rows of images [rows, columns, h, w, 1 or 3].

    Every function of NumPy takes them. A notebook shows them as one picture.
    """

    def grid(self) -> np.ndarray:
        """Return one picture of all images: uint8 [h, w, 3]."""
        array = np.asarray(self)
        columns = array.shape[1] if array.ndim == 5 else None
        return images.grid(array.reshape(-1, *array.shape[-3:]), columns=columns)

    def save(self, path: Path | str) -> None:
        """Write the grid as a PNG."""
        images.save(Path(path), self.grid())

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.grid()).save(file, "PNG")
        return file.getvalue()


def pictures(values: object) -> Pictures:
    """Return images in [0, 1], [n, h, w, 1 or 3] or [rows, columns, h, w, 1 or 3], as uint8."""
    return images.to_uint8(np.asarray(values)).view(Pictures)
