"""Folders of the user's pictures as the data of a paper: the type of an option, and the name."""

from typing import Annotated

from gen_jax.config import Range
from gen_jax.data.catalog.folder_names import PATTERN, Layout, is_folder, parse
from gen_jax.errors import UserError


class _Name(Range):
    """The names that a config takes: the layout is the paper's."""

    def holds(self, value: object) -> bool:
        found = PATTERN.fullmatch(value) if isinstance(value, str) else None
        return bool(found and not found["layout"])


WORDS = "folder:PATH, folder:PATH@SIDE or folder:PATH@SIDE,grey, a folder of your own pictures"
Folder = Annotated[str, _Name(WORDS)]


def at(name: str, side: int | None, layout: Layout = "pictures", *, field: str = "side") -> str:
    """The name under which a paper reads a folder, if its option `field` states the side.

    Any other name is returned as it is. Raises UserError if the name has another side, if the
    networks have none, as those that need labels, or for grey images where the networks are for
    colour: in all layouts but "pictures".
    """
    if not is_folder(name):
        return name
    if side is None:
        raise UserError(
            f"data is {name}, which has no labels, but these networks need them: choose others, by --{field}."
        )
    found = parse(name)
    if found.side not in (None, side):
        raise UserError(
            f"data is {name}, but images have {side} pixels per side here, as --{field} says: "
            f"leave out @{found.side}."
        )
    if found.grey and layout != "pictures":
        raise UserError(f"data is {name}, but the networks take colour images: leave out ,grey.")
    return str(found._replace(side=side, layout=layout))
