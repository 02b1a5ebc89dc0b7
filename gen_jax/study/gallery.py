"""One picture for each row that shows one: of its best run, small enough to be kept beside results."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gen_jax.errors import DataError
from gen_jax.report.page import number
from gen_jax.run.experiment import paper_of
from gen_jax.storage import files
from gen_jax.study import results
from gen_jax.study.results import Played, step_of, value_of
from gen_jax.study.rows import Part, Row, experiment_of, parts

MOST_BYTES = 60_000
SIDES = (512, 384, 256)  # the longest side in pixels, as large as fits
FRAMES = (12, 8, 5, 3)  # of an animation, at most, before its last
COLUMNS = 4  # of the gallery


class Picture(NamedTuple):
    """A file of the gallery, whose name says of which run and step it is."""

    path: Path
    run: Played
    step: int


def pictures(row: Row, runs: Sequence[Played], folder: Path) -> list[Picture]:
    """Return the pictures that are kept of some runs of a row."""
    found = []
    for run in runs:
        name = Part(row, run.seed, tuple(run.values.items())).name
        for path, step in _steps(folder / "pictures", name, ".webp"):
            found.append(Picture(path, run, step))
    return found


def _steps(folder: Path, name: str, suffix: str) -> list[tuple[Path, int]]:
    """Return the files NAME-step-STEP of a folder with their steps, in the order of these."""
    pattern = re.compile(re.escape(f"{name}-step-") + r"(\d+)" + re.escape(suffix))
    every = [*folder.iterdir()] if folder.is_dir() else []
    matches = [(path, pattern.fullmatch(path.name)) for path in every if path.is_file()]
    return sorted(((path, int(found[1])) for path, found in matches if found), key=lambda x: x[1])


def best(row: Row, runs: Sequence[Played]) -> Played | None:
    """Return the run with the best value of the row's first measure, of those with the config that
    the row has now.
    """
    metric = next(iter(row.measures), "")
    claim = experiment_of(row).CLAIMS.get(metric)
    sign = -1 if row.lower or (claim and claim.better == "lower") else 1
    groups = {part.group: part for part in parts([row])}
    now = [run for part in groups.values() for run in results.of_group(runs, part)]
    known = [(value_of(row, run, metric), run) for run in now]
    scored = [(sign * value, -run.seed, run) for value, run in known if value is not None]
    return max(scored, key=lambda one: one[:2])[2] if scored else None


def keep(part: Part, played: Played, directory: Path, folder: Path) -> None:
    """Keep a picture of a run if its row shows one and no other run of it is better: of the step
    that the row reports, or the last one before it; or the animation.

    Earlier pictures of this run are removed, and those of other runs if this one is the best.
    """
    row, runs = part.row, results.load(part.row, folder)
    if not row.picture or played not in runs:
        return
    old, path = pictures(row, runs, folder), None
    if is_best := best(row, runs) == played:
        source = directory / "samples" / f"{row.picture}.webp"
        found, end = [(source, played.steps)], step_of(row, played)
        if not source.exists():
            found = _steps(directory / "samples", row.picture, ".png")
        if early := [one for one in found if end is None or one[1] <= end or one[0] == source]:
            source, step = early[-1]
            path = folder / "pictures" / f"{part.name}-step-{step}.webp"
            files.replace(path, shrink(source))
    for one in old:
        if one.path != path and (is_best or one.run == played):
            one.path.unlink()


def shrink(path: Path) -> bytes:
    """Return a picture or an animation as WebP of at most MOST_BYTES: as large as fits, then with
    as many frames as fit.

    Raises DataError if it cannot be read, or does not fit.
    """
    try:
        with Image.open(path, formats=("PNG", "WEBP")) as image:
            frames = []
            for i in range(getattr(image, "n_frames", 1)):
                image.seek(i)
                frames.append((image.convert("RGB"), image.info.get("duration", 500)))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is not a picture ({error}).") from error
    last = len(frames) - 1
    for most in FRAMES:
        some = [frames[i] for i in sorted({i * last // most for i in range(most + 1)})]
        for side in SIDES:
            for quality in (85, 70, 50):
                content = _webp(some, side, quality)
                if len(content) <= MOST_BYTES:
                    return content
    raise DataError(f"{path} does not fit into {MOST_BYTES:,} bytes.")


def _webp(frames: Sequence[tuple[Image.Image, int]], side: int, quality: int) -> bytes:
    small = []
    for frame, _ in frames:
        copy = frame.copy()
        copy.thumbnail((side, side))
        small.append(copy)
    buffer = io.BytesIO()
    more = {} if len(small) == 1 else {"duration": [d for _, d in frames], "loop": 0}
    small[0].save(
        buffer, "WEBP", quality=quality, save_all=len(small) > 1, append_images=small[1:], **more
    )
    return buffer.getvalue()


def gallery(rows: Sequence[Row], runs: Mapping[str, Sequence[Played]], folder: Path) -> str:
    """Return a table with a picture of the best run of the first row of each paper that has one."""
    cells: dict[str, str] = {}
    for row in rows:
        one = None if row.module in cells else best(row, runs[row.name])
        kept = pictures(row, [one], folder) if one else []
        if early := [picture for picture in kept if picture.step <= picture.run.steps]:
            cells[row.module] = _cell(row, early[-1])
    told = [*cells.values()]
    lines = ["".join(told[i : i + COLUMNS]) for i in range(0, len(told), COLUMNS)]
    table = [f"<tr>{line}</tr>" for line in lines]
    return "\n".join(["<table>", *table, "</table>"]) if table else "No picture yet."


def _cell(row: Row, picture: Picture) -> str:
    metric, label = next(iter(row.measures.items()))
    file = Path(row.module.replace(".", "/") + ".py")
    told = f"<code>{row.name}</code>, seed {picture.run.seed}, step {picture.step:,}"
    value = value_of(row, picture.run, metric)
    if value is not None and picture.step == step_of(row, picture.run):
        told += f"<br>{label}: {number(value, '.4g')}"
    return (
        f'<td width="{100 // COLUMNS}%" valign="top"><img src="{picture.path}" alt="{paper_of(file).title}">'
        f'<br><a href="{file}">{file.stem}</a>: {told}</td>'
    )
