"""Metrics over steps as small SVG charts, in the colours and fonts of the page."""

import io
import operator
import re
import statistics
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from gen_jax.report.run_reader import Series

HUES = 6  # curves of different colours; further curves repeat them, dashed
IN_COLOUR = 2 * HUES  # groups of different colours or dashes; further groups are grey
MAX_POINTS = 300  # approximate number of points of a curve

# Matplotlib draws in these colours, which are then replaced by CSS variables (light or dark).
PLACEHOLDERS = {"#010000": "currentColor", "#020000": "var(--line)", "#030000": "var(--paper)"}
PLACEHOLDERS |= {f"#0000{i + 1:02x}": f"var(--hue{i})" for i in range(HUES)}
TEXT, LINE, PAPER, *HUE = PLACEHOLDERS
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), ":")  # of Matplotlib


def average(runs: Sequence[Series]) -> Series:
    """Return the mean over runs, at the steps that all of them logged."""
    shared = [step for step in runs[0] if all(step in run for run in runs)]
    return {step: statistics.fmean(run[step] for run in runs) for step in shared}


def segments(series: Series) -> list[list[tuple[int, float]]]:
    """Divide a curve into about MAX_POINTS / 2 segments of neighbouring points; one point each if
    short.
    """
    points = list(series.items())
    size = 1 if len(points) <= MAX_POINTS else -(-2 * len(points) // MAX_POINTS)
    return [points[start : start + size] for start in range(0, len(points), size)]


def extremes(series: Series) -> Series:
    """Return the lowest and the highest point of each segment, which keeps all spikes, and the last
    point.
    """
    value = operator.itemgetter(1)
    points = set(list(series.items())[-1:])
    for segment in segments(series):
        points |= {min(segment, key=value), max(segment, key=value)}
    return dict(sorted(points))


def smooth(series: Series) -> dict[float, float]:
    """Return the mean of each segment."""
    columns = [zip(*segment, strict=True) for segment in segments(series)]
    return {statistics.fmean(steps): statistics.fmean(values) for steps, values in columns}


def is_logarithmic(values: Sequence[float]) -> bool:
    """Return whether the axis should be logarithmic: all values are positive and span more than two
    decades.
    """
    return min(values) > 0 and max(values) > 100 * min(values)


def draw(
    name: str,
    curves: Sequence[Sequence[Series]],
    level: float | None = None,
    *,
    of_groups: bool = False,
) -> Markup:
    """Draw a chart as SVG: runs as thin lines, their mean as a thick line, and a dashed line at
    `level`.

    `curves` are the metrics, each with its runs. `name` makes the ids in the SVG unique.
    With `of_groups`, they are groups of runs, which may be empty: the chart is larger, the first
    group is on top, groups beyond IN_COLOUR are thin and grey, and beyond HUES groups only means
    are drawn.
    """
    import matplotlib  # slow to import, and training imports this file
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    settings = {
        "svg.hashsalt": ascii(name), "svg.fonttype": "none", "font.size": 8.5,
        "axes.formatter.useoffset": False, "axes.edgecolor": LINE,
        "xtick.labelcolor": TEXT, "ytick.labelcolor": TEXT,
    }  # fmt: skip
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]  # whose keys are literals
        figure = Figure(figsize=(5.0, 2.8) if of_groups else (3.6, 2.0), layout="constrained")
        axes = figure.subplots()
        drawn = [(i, runs) for i, runs in enumerate(curves) if runs]
        only_means = of_groups and len(curves) > HUES
        for i, runs in reversed(drawn) if of_groups else drawn:
            grey = of_groups and i >= IN_COLOUR
            style = {"color": HUE[i % HUES], "linestyle": DASHES[min(i // HUES, 2)]}
            style = {"color": PAPER, "alpha": 0.35} if grey else style
            mean = smooth(average(runs))
            one_point_each = len(runs) == 1 and len(runs[0]) <= MAX_POINTS
            for series in () if one_point_each or (only_means and mean) else runs:
                steps, values = zip(*extremes(series).items(), strict=True)
                axes.plot(steps, values, **{"linewidth": 0.6, "alpha": 0.4, **style})
            if mean:
                steps, values = zip(*mean.items(), strict=True)
                marker = "o" if len(mean) <= 20 and not grey else None
                width = 0.8 if grey else 1.5
                axes.plot(steps, values, linewidth=width, marker=marker, markersize=2.5, **style)
        if level is not None:
            axes.axhline(level, color=PAPER, linestyle=(0, (4, 3)), linewidth=1.3)
        if is_logarithmic([value for runs in curves for run in runs for value in run.values()]):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="both", which="both", length=0)
        file = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    return _for_page(file.getvalue())


def _for_page(svg: str) -> Markup:
    """Return the SVG element only, scaled to its container, without styles and ids that affect the
    page.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, count=1)
    svg = re.sub(r' (?:id="[\w.]*_\d+"|xmlns\S*|version="1.1")', "", svg)
    svg = re.sub(r' width="\S+" height="\S+"', "", svg, count=1)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub("|".join(PLACEHOLDERS), lambda match: PLACEHOLDERS[match[0]], svg)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><")
    return Markup(svg)  # noqa: S704  # numbers only, no text from a file
