"""One page about one or more runs: the paper's results and ours, curves, pictures, and the command.

    python -m gen_jax.report runs/vae-quick-s0  # writes runs/vae-quick-s0/report.html
    python -m gen_jax.report runs/vae-quick-s* --out vae-quick.html  # several seeds: 95 % intervals

The page is one self-contained file: it includes its styles, pictures as base64 and curves as SVG,
and has no scripts. Equal runs produce the same page, byte for byte.
"""

import base64
import io
import json
import math
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from gen_jax import statistics
from gen_jax.config import MAY_CHANGE_ON_RESUME, flatten
from gen_jax.errors import DataError, UserError
from gen_jax.report.charts import HUES, average, draw, is_logarithmic
from gen_jax.report.run_reader import Run, read
from gen_jax.storage import files
from gen_jax.types import Claim, Json

Context = dict[str, Any]  # the variables of a part of the template

PICTURE_WIDTH = 640  # approximate width on the page in pixels
STRIP_LENGTH = 6  # maximum number of earlier steps of a picture
THUMBNAIL_SIDE = 320  # longest side of a thumbnail in pixels
MIN_SEEDS = 3  # for a verdict
TOLERANCE = 0.05  # relative to the value of a claim, if the paper has no spread
# Exceptions raised by reading a damaged picture.
IMAGE_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def write(directory: Path) -> Path:
    """Write the page of one run, as report.html in its directory, and return its path."""
    return compare([directory], Path(directory) / "report.html")


def compare(directories: Sequence[Path], path: Path) -> Path:
    """Write one page about several runs, seeds of one experiment and preset, and return its path.

    Raises UserError if there are no runs, if they are of different experiments, or if a run is
    given twice.
    """
    runs = [read(Path(directory)) for directory in directories]
    if not runs:
        raise UserError("No run was given: give at least one run directory.")
    kinds = sorted({f"{run.experiment} ({run.preset})" for run in runs})
    if len(kinds) > 1:
        raise UserError(
            f"The runs are of {' and '.join(kinds)}: "
            "a page compares runs of one experiment and one preset."
        )
    if len({run.directory.resolve() for run in runs}) < len(runs):
        raise UserError(
            "A run was given twice and would count as two seeds: give each run directory once."
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gen_jax.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "breakable": breakable}
    first = runs[0]
    shown, left_out = pictures(runs)
    page = environment.get_template("report.html.j2").render(
        runs=runs,
        first=first,
        paper=first.paper,
        claims=[row(name, runs, claim) for name, claim in first.paper.claims.items()],
        others=[row(n, runs, None) for n in metric_names(runs) if n not in first.paper.claims],
        notes=notes(runs) + left_out,
        charts=charts(runs),
        arxiv=quote(first.paper.arxiv or "", errors="replace"),
        pictures=shown,
        config=table(run.config for run in runs),
        environment=table(run.environment for run in runs),
    )
    files.replace(path, page.encode("utf-8", "replace"))
    return Path(path)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (mean, low, high) of the 95 % interval, by Student's t, of at least two values."""
    mean, half = statistics.interval(values)
    return mean, mean - half, mean + half


def mean_of(values: Sequence[float]) -> str:
    """Return the mean of at least two values with the half width of its interval: "14 ± 11"."""
    mean, low, high = interval(values)
    half = (high - low) / 2
    form = form_of(mean, half)
    return f"{number(mean, form)} ± {number(half, form)}"


def tolerated(claim: Claim) -> tuple[float, float]:
    """Return (low, high): the value of the paper -+ the tolerance of the claim, else its spread,
    else 5 %.
    """
    given = (claim.tolerance, claim.spread, TOLERANCE * claim.value)
    tolerance = abs(next(width for width in given if width is not None))
    return claim.value - tolerance, claim.value + tolerance


def verdict(claim: Claim, values: Sequence[float]) -> str:
    """Compare our 95 % interval with the tolerance of the claim: inside, better, or worse.

    No value agrees with a claim without tolerance, such as a 0 without a spread. Fewer than three
    seeds have no verdict.
    """
    if not values:
        return "not measured"
    if len(values) < MIN_SEEDS:
        return "fewer than three seeds: no verdict"
    _, low, high = interval(values)
    least, most = tolerated(claim)
    if least <= low and high <= most and least < most:
        return "agrees"
    if least <= high and low <= most:
        return "not distinguishable"
    return "better" if (high < least) == (claim.better == "lower") else "worse"


def number(value: float, form: str = ".5g") -> str:
    """Format a number, with a real minus sign."""
    return format(value, form).replace("-", "\N{MINUS SIGN}")


def form_of(mean: float, half: float) -> str:
    """Return the format of a mean and its uncertainty, with two digits of the latter."""
    decimals = max(0, 1 - math.floor(math.log10(half))) if half else 9
    return f",.{decimals}f" if decimals <= 6 and abs(mean) < 1e9 else ".4g"


def breakable(name: str) -> Markup:
    """Allow line breaks in a name after its dots, slashes and underscores."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])", name))  # join escapes the parts


def metric_names(runs: Iterable[Run]) -> list[str]:
    return sorted({name for run in runs for name in run.metrics})


def row(name: str, runs: Sequence[Run], claim: Claim | None) -> Context:
    """Return the row of a metric in a table: its last value in each run, and derived values."""
    finals = [list(run.metrics[name].items())[-1] if name in run.metrics else None for run in runs]
    values = [final[1] for final in finals if final]
    steps = sorted({final[0] for final in finals if final})
    ours, bounds = number(values[0]) if values else "", None
    if len(values) > 1:
        mean, low, high = interval(values)
        ours, form = mean_of(values), form_of(mean, (high - low) / 2)
        bounds = [number(low, form), number(high, form)]
    ends = steps if len(steps) < 2 else [steps[0], steps[-1]]
    return {
        "name": name,
        "unit": runs[0].paper.units.get(name, ""),
        "claim": claim,
        "finals": finals,
        "n": len(values),
        "steps": " to ".join(f"{step:,}" for step in ends),
        "ours": ours,
        "bounds": bounds,
        "verdict": _verdict(claim, values, runs) if claim else "",
        "plot": _plot(claim, values) if claim and len(values) > 1 else None,
    }


def _verdict(claim: Claim, values: Sequence[float], runs: Sequence[Run]) -> str:
    """Return the verdict, unless the claim is about other data, or runs share a seed: these are not
    independent, and have no interval.
    """
    data = {str(run.config.get("data")) for run in runs}
    if claim.data is not None and not all(claim.data in name for name in data):
        return f"on {claim.data}, here {', '.join(sorted(data))}: no verdict"
    seeds = {dict(flatten(run.config)).get("run.seed", run.name) for run in runs}
    return verdict(claim, values) if len(seeds) == len(runs) else "runs share a seed: no verdict"


def _plot(claim: Claim, values: list[float]) -> Context:
    """Return the positions of the marks of a row on its axis, which is 120 wide."""
    least, most = tolerated(claim)
    marks = [least, claim.value, most, *interval(values)[1:], *values]
    low, high = min(marks), max(marks)
    x = [round(6 + 108 * (mark - low) / (high - low), 1) if high > low else 60.0 for mark in marks]
    return {"paper": x[:3], "interval": x[3:5], "runs": x[5:]}


def table(objects: Iterable[Json]) -> list[tuple[str, list[str]]]:
    """Return (dotted name, its values) of each field; one value per object if they differ."""
    columns = [dict(flatten(one)) for one in objects]
    rows = {}
    for name in (name for column in columns for name in column):
        values = [_text(column.get(name, "absent")) for column in columns]
        rows[name] = values if len(set(values)) > 1 else values[:1]
    return list(rows.items())


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def notes(runs: Sequence[Run]) -> list[str]:
    """Return the notes that precede the numbers."""
    cut = "the last line of metrics.jsonl was cut off and is ignored"
    found = [f"{run.name}: {cut}." for run in runs if run.torn]
    found += [f"{run.name}: no metrics have been logged yet." for run in runs if not run.metrics]
    if len({run.last_step for run in runs}) > 1:
        ends = ", ".join(f"{run.name} at {run.last_step}" for run in runs)
        found.append(f"The runs end at different steps: {ends}.")
    if any(run.paper != runs[0].paper for run in runs):
        found.append(
            "The runs describe their paper differently; "
            f"this page uses the description of {runs[0].name}."
        )
    for name, values in table(run.config for run in runs):
        shown = ", ".join(values)
        if name in ("seed", "run.seed"):
            if len(set(values)) < len(runs):
                found.append(f"Runs share a seed, so they are not independent: {name} is {shown}.")
        elif len(values) > 1 and name not in MAY_CHANGE_ON_RESUME:
            found.append(f"The runs differ in more than their seed: {name} is {shown}.")
    return found


def pictures(runs: Sequence[Run]) -> tuple[list[Context], list[str]]:
    """Return the latest picture of each kind, a strip of earlier steps, and those of other runs;
    and notes.

    A damaged picture is left out, with a note, and the previous one counts as the latest.
    """
    found: list[Context] = []
    notes: list[str] = []
    labels = {run.directory: run.name for run in runs}

    def load(path: Path, side: int | None = None) -> Context | None:
        try:
            return _picture(path, side)
        except DataError as error:
            name = f"{labels[path.parent.parent]}: the picture {path.name}"
            notes.append(f"{name} is left out: {error}.")
            return None

    for kind, album in sorted(_albums(runs).items()):
        latest: list[tuple[Path, int, Context]] = []  # (run, step, picture), the first at full size
        for run_directory, steps in album.items():
            for at in sorted(steps, reverse=True):
                if one := load(steps[at], THUMBNAIL_SIDE if latest else None):
                    latest.append((run_directory, at, one))
                    break
        if not latest:
            continue
        (owner, last, newest), *others = latest
        earlier = sorted(at for at in album[owner] if at < last)
        strip = [(at, load(album[owner][at], THUMBNAIL_SIDE)) for at in _spread(earlier)]
        found.append(
            {
                "kind": kind,
                "run": labels[owner],
                "step": last,
                "latest": newest,
                "strip": [(f"step {at:,}", one) for at, one in strip if one],
                "others": [(labels[other], one) for other, _, one in others],
            }
        )
    found.sort(key=lambda one: (one["latest"]["still"] is not None, one["kind"] != "samples"))
    return found, notes


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
    """Return a picture for the page, reduced if `side` is given. Raises DataError if it is damaged."""
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
        "sharp": zoom > 1 and not side,
        "wide": size[0] > PICTURE_WIDTH,
        "still": still_uri,
    }


def _webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=85)
    return file.getvalue()


def _uri(data: bytes, form: str) -> str:
    return f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"


def charts(runs: Sequence[Run]) -> list[Context]:
    """Return a chart for each metric on test data or with a claim, and one for each group of the
    others.

    Metrics that were logged once have no chart.
    """
    groups: dict[str, list[str]] = {}
    for name in metric_names(runs):
        if any(len(run.metrics.get(name, ())) > 1 for run in runs):
            own = name.startswith("test/") or name in runs[0].paper.claims
            groups.setdefault(name if own else _group(name), []).append(name)
    found = []
    paper = runs[0].paper
    for group, members in sorted(groups.items(), key=lambda item: _chart_order(item[0])):
        curves = [[run.metrics[name] for run in runs if name in run.metrics] for name in members]
        values = [value for each in curves for series in each for value in series.values()]
        units = {paper.units.get(name, "") for name in members}
        means = [average(each) for each in curves]
        claim = paper.claims.get(group)
        found.append(
            {
                "name": group if len(members) > 1 else members[0],
                "claim": claim,
                "unit": units.pop() if len(units) == 1 else "",
                "svg": draw(group, curves, claim.value if claim else None),
                "logarithmic": is_logarithmic(values),
                "legend": [
                    (i % HUES, min(i // HUES, 2), name.removeprefix(f"{group}/"))
                    for i, name in enumerate(members)
                ],
                "label": "; ".join(_ends(*pair) for pair in zip(members, means, strict=True)),
            }
        )
    return found


def _chart_order(group: str) -> tuple[bool, str]:
    """Sort metrics of test data first."""
    return not group.startswith("test/"), group


def _group(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash else "other"


def _ends(name: str, mean: dict[int, float]) -> str:
    if not mean:
        return f"{name}, at different steps in each run"
    first, last = min(mean), max(mean)
    return f"{name} from {number(mean[first])} at step {first:,} to {number(mean[last])} at step {last:,}"
