"""From runs to one page: what the paper says beside what was measured, the curves, the pictures, how to run it again.

    python -m gen_jax.report runs/vae-quick-s0                        # writes runs/vae-quick-s0/report.html
    python -m gen_jax.report runs/vae-quick-s* --out vae-quick.html   # several seeds: means with 95 % intervals

The page is one file that loads nothing: styles are inside, pictures are base64, curves are SVG, there are no scripts.
Equal runs give an equal page, byte for byte.
"""

import base64
import io
import json
import math
import operator
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import tyro
from markupsafe import Markup
from PIL import Image

from gen_jax.errors import DataError, UserError
from gen_jax.images import replace
from gen_jax.runs import Run, Series, content, read
from gen_jax.types import Claim

HUES = 6  # colours in the page's style sheet
POINTS = 300  # most points of a curve
STRIP = 8  # most small pictures in a strip
THUMBNAIL = 240  # their longest side in pixels


def write(directory: Path) -> Path:
    """The page of one run, as report.html inside it."""
    return compare([directory], Path(directory) / "report.html")


def compare(directories: Sequence[Path], path: Path) -> Path:
    """One page over several runs (seeds) of one experiment and preset."""
    runs = [read(Path(directory)) for directory in directories]
    if not runs:
        raise UserError("No run was given: name at least one run directory.")
    kinds = sorted({f"{run.experiment} ({run.preset})" for run in runs})
    if len(kinds) > 1:
        raise UserError(
            f"The runs are of {' and '.join(kinds)}: a page compares runs of one experiment and one preset."
        )
    if len({run.directory.resolve() for run in runs}) < len(runs):
        raise UserError("A run was given twice, which would count as two seeds: give each run directory once.")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gen_jax"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    first = runs[0]
    page = environment.get_template("report.html.j2").render(
        runs=runs,
        first=first,
        paper=first.paper,
        claims=[row(name, runs, claim) for name, claim in first.paper.claims.items()],
        others=[row(name, runs, None) for name in names(runs) if name not in first.paper.claims],
        notes=notes(runs),
        charts=charts(runs),
        pictures=pictures(runs),
        config=table(run.config for run in runs),
        environment=table(run.environment for run in runs),
    )
    replace(path, page.encode("utf-8", "replace"))
    return Path(path)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and its 95 % interval by Student's t with n - 1 degrees of freedom; n is 2 at least."""
    from scipy import stats  # slow to import, and a training run imports this file

    mean = statistics.fmean(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def verdict(claim: Claim, values: Sequence[float]) -> str:
    """Mechanical: the paper's value +- its spread overlaps our interval, or we are on its better or worse side."""
    if not values:
        return "not measured"
    if len(values) < 2:
        return "one run: no interval"
    mean, low, high = interval(values)
    spread = abs(claim.spread or 0.0)
    if low <= claim.value + spread and claim.value - spread <= high:
        return "agrees"
    return "better" if (mean < claim.value) == (claim.better == "lower") else "worse"


def number(value: float, form: str = ".5g") -> str:
    return format(value, form).replace("-", "\N{MINUS SIGN}")


def names(runs: Iterable[Run]) -> list[str]:
    return sorted({name for run in runs for name in run.metrics})


def row(name: str, runs: Sequence[Run], claim: Claim | None) -> dict[str, Any]:
    """A metric's line in a table: its last value in each run, and what follows from them."""
    finals = [list(run.metrics[name].items())[-1] if name in run.metrics else None for run in runs]
    values = [final[1] for final in finals if final]
    steps = sorted({final[0] for final in finals if final})
    ours, bounds = number(values[0]) if values else "", None
    if len(values) > 1:
        mean, low, high = bounds = interval(values)
        half = (high - low) / 2
        decimals = max(0, 1 - math.floor(math.log10(half))) if half else 9
        form = f",.{decimals}f" if decimals < 9 and abs(mean) < 1e6 else ".5g"  # two digits of the uncertainty
        ours = f"{number(mean, form)} ± {number(half, form)}"
        bounds = [number(low, form), number(high, form)]
    return {
        "name": name, "unit": runs[0].paper.units.get(name, ""), "claim": claim, "finals": finals, "n": len(values),
        "steps": " to ".join(f"{step:,}" for step in (steps if len(steps) < 2 else [steps[0], steps[-1]])),
        "ours": ours, "bounds": bounds, "verdict": verdict(claim, values) if claim else "",
        "plot": _plot(claim, values) if claim and values else None,
    }  # fmt: skip


def _plot(claim: Claim, values: list[float]) -> dict[str, Any]:
    spread = abs(claim.spread or 0.0)
    ours = interval(values)[1:] if len(values) > 1 else ()
    marks = [claim.value - spread, claim.value, claim.value + spread, *ours, *values]
    low, high = min(marks), max(marks)
    x = [round(6 + 108 * (mark - low) / (high - low), 1) if high > low else 60.0 for mark in marks]
    return {"paper": x[:3], "interval": x[3:5] if ours else None, "runs": x[3 + len(ours) :]}


def flat(value: Any, name: str = "") -> dict[str, str]:
    """{"optim": {"rate": 0.1}} to {"optim.rate": "0.1"}."""
    if isinstance(value, Mapping) and value:
        parts = [flat(part, f"{name}.{key}" if name else str(key)) for key, part in value.items()]
        return {key: text for part in parts for key, text in part.items()}
    return {name: value if isinstance(value, str) else json.dumps(value)} if name else {}


def table(objects: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Name -> its value, or one value for each run where they differ."""
    columns = [flat(one) for one in objects]
    rows = {name: [column.get(name, "(none)") for column in columns] for column in columns for name in column}
    return [(name, row if len(set(row)) > 1 else row[:1]) for name, row in rows.items()]


def notes(runs: Sequence[Run]) -> list[str]:
    """What a reader should know before the numbers."""
    found = [f"{run.name}: the last line of metrics.jsonl was cut off and is left out." for run in runs if run.torn]
    found += [f"{run.name}: no metrics have been logged yet." for run in runs if not run.metrics]
    if len({run.last_step for run in runs}) > 1:
        found.append("The runs end at different steps: " + ", ".join(f"{r.name} at {r.last_step}" for r in runs) + ".")
    if any(run.paper != runs[0].paper for run in runs):
        found.append(f"The runs describe their paper differently; this page uses the words of {runs[0].name}.")
    for name, values in table(run.config for run in runs):
        if name.split(".")[-1] != "seed":
            if len(values) > 1:
                found.append(f"The runs differ in more than their seed: {name} is {', '.join(values)}.")
        elif len(set(values)) < len(runs):
            found.append(f"Some runs share a seed, so they are no independent repetitions: {name} is {values}.")
    return found


def pictures(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each kind of picture the latest, the earlier steps as a strip, and the latest of the other runs."""
    albums: dict[str, dict[str, dict[int, Path]]] = {}  # kind -> run -> step -> file
    for run in runs:
        for path in sorted((run.directory / "samples").glob("[!.]*.*")):
            if path.suffix in (".png", ".webp", ".gif"):
                kind, _, step = path.stem.rpartition("-step-")
                kind, step = (kind, step) if kind and step.isdecimal() else (path.stem, "-1")
                albums.setdefault(kind, {}).setdefault(run.name, {})[int(step)] = path
    found = []
    for kind, album in sorted(albums.items()):
        (owner, steps), *others = album.items()
        *earlier, last = sorted(steps)
        chosen = earlier if len(earlier) <= STRIP else [earlier[i * (len(earlier) - 1) // (STRIP - 1)] for i in range(STRIP)]
        found.append({
            "kind": kind, "run": owner, "step": last, "latest": _picture(steps[last]),
            "strip": [(f"step {step:,}", _picture(steps[step], THUMBNAIL)) for step in chosen],
            "others": [(f"{name}, step {max(s):,}", _picture(s[max(s)], THUMBNAIL)) for name, s in others],
        })  # fmt: skip
    return sorted(found, key=lambda one: one["latest"]["still"] is not None)  # animations come last


def _picture(path: Path, side: int | None = None) -> dict[str, Any]:
    data = content(path)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "GIF")) as image:
            form, frames, size = str(image.format), getattr(image, "n_frames", 1), image.size
            image.seek(frames - 1)  # decodes to the end
            still = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no whole picture ({error}): remove it or draw it again.") from error
    if side and max(size) > side:
        still.thumbnail((side, side))
        data, form = _webp(still), "webp"
    zoom = max(1, 720 // size[0])  # small grids grow by a whole number
    return {
        "src": _uri(data, form), "width": size[0] * zoom, "sharp": zoom > 1,
        "still": _uri(_webp(still), "webp") if frames > 1 and not side else None,
    }  # fmt: skip


def _webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=85)
    return file.getvalue()


def _uri(data: bytes, form: str) -> str:
    return f"data:image/{form.lower()};base64,{base64.b64encode(data).decode()}"


def charts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A chart for each evaluation metric and for each group of the others, where there are two steps or more."""
    groups: dict[str, list[str]] = {}
    for name in names(runs):
        groups.setdefault(name if name.startswith("test/") else name.rpartition("/")[0] or "other", []).append(name)
    found = []
    for group, members in sorted(groups.items(), key=lambda item: (not item[0].startswith("test/"), item[0])):
        curves = {name: [run.metrics[name] for run in runs if name in run.metrics] for name in members}
        curves = {name: each for name, each in curves.items() if max(map(len, each)) > 1}
        if curves:
            means = {name: average(each) for name, each in curves.items()}
            claim = runs[0].paper.claims.get(group)
            svg, logarithmic = draw(group, list(curves.values()), list(means.values()), claim)
            found.append({
                "title": group, "svg": svg, "logarithmic": logarithmic, "claim": claim,
                "unit": runs[0].paper.units.get(group, ""),
                "legend": [(i % HUES, name.removeprefix(f"{group}/")) for i, name in enumerate(curves)],
                "label": "; ".join(f"{name} {_ends(mean)}" for name, mean in means.items()),
            })  # fmt: skip
    return found
