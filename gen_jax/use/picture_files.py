"""Picture files as images of a run, read some at a time."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gen_jax.data.catalog import folder_layouts
from gen_jax.data.catalog.folder_names import Reading
from gen_jax.data.catalog.pictures import read, without_warnings
from gen_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class PictureFiles:
    """Pictures that are read when a slice of them is asked for."""

    folder: Path
    names: Sequence[Path]  # in the folder
    shape: tuple[int, int, int]  # of an image: height, width, channels
    left_out: str = ""  # hidden and other files

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, some: slice) -> np.ndarray:
        """Return float32 [n, h, w, c] in [0, 1].

        Raises DataError, which names the file, if a picture cannot be decoded.
        """
        side, _, channels = self.shape
        paths = [self.folder / name for name in self.names[some]]
        with without_warnings():
            pixels = [read(path, side, grey=channels == 1) for path in paths]
        return np.stack(pixels) / np.float32(255)


def find(path: Path, shape: tuple[int, int, int]) -> PictureFiles:
    """Return a picture, or the pictures of a folder and its sub-folders, sorted by name.

    Raises UserError if there are none, and DataError if a folder cannot be read.
    """
    left_out = ""
    if path.is_dir():
        listing = folder_layouts.scan(Reading(path))
        folder, names = path, sorted(map(Path, listing.pictures))
        left_out = listing.left_out if listing.hidden or listing.others else ""
    else:
        fits = path.is_file() and path.suffix.lower() in folder_layouts.SUFFIXES
        folder, names = path.parent, [Path(path.name)] if fits else []
    if not path.exists():
        raise UserError(f"{path} does not exist: give a picture, or a folder of pictures.")
    if not names:
        raise UserError(f"{path} has no pictures: give a picture, or a folder of pictures.")
    return PictureFiles(folder, names, shape, left_out)
