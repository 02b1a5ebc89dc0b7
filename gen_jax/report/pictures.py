"""The pictures of a page: the latest of each kind, earlier steps, and those of other runs."""

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from gen_jax.errors import DataError
from gen_jax.report.rows import Context
from gen_jax.report.run_reader import Run

PICTURE_WIDTH = 640  # approximate width on the page in pixels
STRIP_LENGTH = 6  # maximum number of earlier steps of a picture
THUMBNAIL_SIDE = 320  # longest side of a thumbnail in pixels
COMPARED_SIDE = 480  # longest side of a picture beside those of other configurations
# Exceptions raised by reading a damaged picture.
IMAGE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def pictures(runs: Sequence[Run]) -> tuple[list[Context], list[str]]:
    """Return the latest picture of each kind, a strip of earlier steps, and those of other runs;
    and notes.

    A damaged picture is left out, with a note, and the previous one counts as the latest.
    """
    found: list[Context] = []
    notes: list[str] = []
    labels = {run.directory: run.name for run in runs}
    for kind, album in sorted(_albums(runs).items()):
        latest: list[tuple[Path, int, Context]] = []  # (run, step, picture), the first at full size
        for directory, steps in album.items():
            side = THUMBNAIL_SIDE if latest else None
            if whole := _latest(steps, side, labels[directory], notes):
                latest.append((directory, *whole))
        if not latest:
            continue
        (owner, last, newest), *others = latest
        strip = []
        for at in _spread(sorted(at for at in album[owner] if at < last)):
            if one := _load(album[owner][at], THUMBNAIL_SIDE, labels[owner], notes):
                strip.append((f"step {at:,}", one))
        found.append(
            {
                "kind": kind,
                "run": labels[owner],
                "step": last,
                "latest": newest,
                "strip": strip,
                "others": [(labels[other], one) for other, _, one in others],
            }
        )
    found.sort(key=lambda one: (one["latest"]["still"] is not None, one["kind"] != "samples"))
    return found, notes


def side_by_side(chosen: Sequence[tuple[str, Run]]) -> tuple[list[Context], list[str]]:
    """Return the latest picture of each kind in each of the runs, which have labels; and notes.

    The picture is None where a run has none. Animations are left out.
    """
    found: list[Context] = []
    notes: list[str] = []
    for kind, album in sorted(_albums([run for _, run in chosen]).items()):
        row: list[Context] = []
        for label, run in chosen:
            steps = album.get(run.directory, {})
            step, one = _latest(steps, COMPARED_SIDE, run.name, notes) or (-1, None)
            row.append({"label": label, "run": run.name, "step": step, "picture": one})
        shown = [one["picture"] for one in row if one["picture"]]
        if shown and not any(one["moves"] for one in shown):
            found.append({"kind": kind, "runs": row})
    return sorted(found, key=lambda one: one["kind"] != "samples"), notes


def _latest(
    steps: dict[int, Path], side: int | None, run: str, notes: list[str]
) -> tuple[int, Context] | None:
    """Return (step, picture) of the last whole picture, and add a note for each damaged one."""
    for step in sorted(steps, reverse=True):
        if one := _load(steps[step], side, run, notes):
            return step, one
    return None


def _load(path: Path, side: int | None, run: str, notes: list[str]) -> Context | None:
    try:
        return _picture(path, side)
    except DataError as error:
        notes.append(f"{run}: the picture {path.name} is left out: {error}.")
        return None


def _albums(runs: Sequence[Run]) -> dict[str, dict[Path, dict[int, Path]]]:
    """Return the files of pictures: kind -> run -> step -> file. The step is -1 if the name has
    none.
    """
    albums: dict[str, dict[Path, dict[int, Path]]] = {}
    for run in runs:
        for path in sorted((run.directory / "samples").glob("[!.]*.*")):
            if path.suffix in (".png", ".webp", ".gif"):
                kind, _, step = path.stem.rpartition("-step-")
                kind, step = (kind, step) if kind and step.isdecimal() else (path.stem, "-1")
                albums.setdefault(kind, {}).setdefault(run.directory, {})[int(step)] = path
    return albums


def _spread(steps: list[int]) -> list[int]:
    """Return at most STRIP_LENGTH of the steps, evenly spread, including the first and the last."""
    count = min(len(steps), STRIP_LENGTH)
    return [steps[i * (len(steps) - 1) // max(count - 1, 1)] for i in range(count)]


def _picture(path: Path, side: int | None = None) -> Context:
    """Return a picture for the page, reduced if `side` is given.

    Raises DataError if it is damaged.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "GIF")) as image:
            form, frames, size = str(image.format), getattr(image, "n_frames", 1), image.size
            image.seek(frames - 1)  # decodes to the end
            still = image.convert("RGB")
        if side and max(size) > side:
            still.thumbnail((side, side))
            data, form = _webp(still), "webp"
        still_uri = _uri(_webp(still), "webp") if frames > 1 and not side else None
    except UnidentifiedImageError as error:  # its message contains a memory address
        raise DataError("it is not a PNG, WebP or GIF") from error
    except IMAGE_ERRORS as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise DataError(reason or type(error).__name__) from error
    zoom = max(1, PICTURE_WIDTH // size[0])  # small grids are enlarged by an integer
    return {
        "src": _uri(data, form),
        "width": size[0] * zoom,
        "sharp": zoom > 1 and side != THUMBNAIL_SIDE,
        "wide": size[0] > PICTURE_WIDTH,
        "still": still_uri,
        "moves": frames > 1,
    }


def _webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=85)
    return file.getvalue()


def _uri(data: bytes, form: str) -> str:
    return f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"
