"""Names of folders of pictures: folder:PATH, folder:PATH@SIDE, folder:PATH@SIDE,grey.

Without a side, the pictures are taken as they are and must be of one size. A paper adds to the name
how it reads the folder: one of `LAYOUTS`.
"""

import os
import re
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from gen_jax.errors import DataError

# pictures; two unpaired domains; a sub-folder for each domain; pictures with captions
Layout = Literal["pictures", "pairs", "domains", "captions"]
LAYOUTS = get_args(Layout)
LARGEST = 4096  # pixels per side
PATTERN = re.compile(
    rf"folder:(?P<path>.+?)(@(?P<side>\d{{1,5}}))?(?P<grey>,grey)?(,(?P<layout>{'|'.join(LAYOUTS)}))?",
    re.DOTALL,
)


class Reading(NamedTuple):
    """A folder, and how it is read. Its text is the name under which it is prepared."""

    path: Path  # absolute
    side: int | None = None  # pixels
    grey: bool = False
    layout: Layout = "pictures"

    def __str__(self) -> str:
        layout = "" if self.layout == "pictures" else f",{self.layout}"
        side = f"@{self.side}" if self.side else ""
        return f"folder:{self.path}{side}{',grey' if self.grey else ''}{layout}"

    @property
    def channels(self) -> int:
        """1 for grey images, else 3."""
        return 1 if self.grey else 3


def is_folder(name: str) -> bool:
    """Whether a data set is a folder of the user's pictures."""
    return name.startswith("folder:")


def parse(name: str) -> Reading:
    """Read a name. Raises DataError if it has no path, or no possible side."""
    if not (found := PATTERN.fullmatch(name)):
        raise DataError(f"{name!r} names no folder: write folder:PATH or folder:PATH@SIDE.")
    if found["side"] and not int(found["side"]):
        raise DataError(f"{name} asks for images without pixels: give a side of at least 1.")
    if found["side"] and int(found["side"]) > LARGEST:
        raise DataError(f"{name} asks for very large images: give a side of at most {LARGEST:,}.")
    path = Path(os.path.abspath(os.path.expanduser(found["path"])))
    side = int(found["side"]) if found["side"] else None
    return Reading(path, side, bool(found["grey"]), cast(Layout, found["layout"] or "pictures"))


def as_file(name: str) -> str:
    """The name of a set as the beginning of a file's name; other names than folders stay."""
    return re.sub(r"\W+", "-", Path(parse(name).path).name) if is_folder(name) else name
