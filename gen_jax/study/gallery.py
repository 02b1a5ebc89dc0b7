"""One picture for each row that shows one: of its best run, small enough to be kept beside results."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from gen_jax.errors import DataError
from gen_jax.report.page import number
from gen_jax.run.experiment import paper_of
from gen_jax.storage import files
from gen_jax.study import results
from gen_jax.study.results import Played, value_of
from gen_jax.study.rows import Row, experiment_of

MOST_BYTES = 60_000
SIDES = (512, 384, 256)  # the longest side in pixels, as large as fits
FRAMES = (12, 8, 5, 3)  # of an animation, at most, before its last
COLUMNS = 4  # of the gallery


def path_of(row: Row, folder: Path) -> Path:
    return folder / "pictures" / f"{row.name}.webp"


def best(row: Row, runs: Sequence[Played]) -> Played | None:
    """Return the run with the best value of the row's first measure."""
    metric = next(iter(row.measures), "")
    claim = experiment_of(row).CLAIMS.get(metric)
    sign = -1 if row.lower or (claim and claim.better == "lower") else 1
    known = [(value_of(row, run, metric), run) for run in runs]
    scored = [(sign * value, -run.seed, run) for value, run in known if value is not None]
    return max(scored, key=lambda one: one[:2])[2] if scored else None


def keep(row: Row, played: Played, directory: Path, folder: Path) -> None:
    """Keep the last picture of a run if the row shows one and no other run of it is better."""
    if not row.picture or best(row, results.load(row, folder)) != played:
        return
    found = sorted(directory.glob(f"samples/{row.picture}-step-*.png"))
    animation = directory / "samples" / f"{row.picture}.webp"
    if animation.exists():
        files.replace(path_of(row, folder), shrink(animation))
    elif found:
        files.replace(path_of(row, folder), shrink(found[-1]))


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
    """Return a table with the picture of the first row of each paper that has one."""
    cells, seen = [], set()
    for row in rows:
        path, one = path_of(row, folder), best(row, runs[row.name])
        if row.module in seen or one is None or not path.exists():
            continue
        seen.add(row.module)
        cells.append(_cell(row, one, path))
    lines = [
        "<tr>" + "".join(cells[i : i + COLUMNS]) + "</tr>" for i in range(0, len(cells), COLUMNS)
    ]
    return "\n".join(["<table>", *lines, "</table>"]) if lines else "No picture yet."


def _cell(row: Row, run: Played, path: Path) -> str:
    metric, label = next(iter(row.measures.items()))
    file = Path(row.module.replace(".", "/") + ".py")
    title, value = paper_of(file).title, number(value_of(row, run, metric) or 0, ".4g")
    told = f"<code>{row.name}</code>, seed {run.seed}<br>{label}: {value}"
    return (
        f'<td width="{100 // COLUMNS}%"><img src="{path}" alt="{title}"><br>'
        f'<a href="{file}">{file.stem}</a>: {told}</td>'
    )
