"""Metrics over steps as small SVG charts whose colours and letters are those of the page around them."""

import io
import operator
import re
import statistics
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from gen_jax.report.run_reader import Series

HUES = 6  # curves with a colour of their own; the next ones take the same again, dashed
POINTS = 300  # most points of a curve, about

# Matplotlib draws in these; then each becomes a property of the page, which has a light and a dark value.
STAND_INS = {"#010000": "currentColor", "#020000": "var(--line)", "#030000": "var(--paper)"}
STAND_INS |= {f"#0000{i + 1:02x}": f"var(--hue{i})" for i in range(HUES)}
TEXT, LINE, PAPER, *HUE = STAND_INS


def average(runs: Sequence[Series]) -> Series:
    """The mean over runs, at the steps that all of them logged."""
    return {
        step: statistics.fmean(run[step] for run in runs)
        for step in runs[0]
        if all(step in run for run in runs)
    }


def stretches(series: Series) -> list[list[tuple[int, float]]]:
    """Neighbouring points together: about POINTS / 2 stretches, or one point each in a short curve."""
    points = list(series.items())
    size = 1 if len(points) <= POINTS else -(-2 * len(points) // POINTS)
    return [points[start : start + size] for start in range(0, len(points), size)]


def extremes(series: Series) -> Series:
    """The lowest and the highest point of each stretch, so that no spike is lost, and the end."""
    value = operator.itemgetter(1)
    ends = {
        end
        for stretch in stretches(series)
        for end in (min(stretch, key=value), max(stretch, key=value))
    }
    return dict(sorted(ends | set(list(series.items())[-1:])))


def smooth(series: Series) -> dict[float, float]:
    """The mean of each stretch."""
    return {
        statistics.fmean(x): statistics.fmean(y)
        for x, y in (zip(*one, strict=True) for one in stretches(series))
    }


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether the values' axis is: where all are positive and they span more than two decades."""
    return min(values) > 0 and max(values) > 100 * min(values)


def draw(name: str, curves: Sequence[Sequence[Series]], level: float | None = None) -> Markup:
    """Runs thin, the mean over them thick; `level` is a dashed line. `name` keeps the ids of charts apart."""
    import matplotlib  # slow to import, and a training run imports this file
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    style: dict[Any, Any] = {
        "svg.hashsalt": ascii(name), "svg.fonttype": "none", "font.size": 8.5, "axes.formatter.useoffset": False,
        "axes.edgecolor": LINE, "xtick.labelcolor": TEXT, "ytick.labelcolor": TEXT,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(3.6, 2.0), layout="constrained")
        axes = figure.subplots()
        for i, runs in enumerate(curves):
            look: dict[str, Any] = {
                "color": HUE[i % HUES],
                "linestyle": ("-", (0, (5, 2)), ":")[min(i // HUES, 2)],
            }
            for series in runs if len(runs) > 1 or len(runs[0]) > POINTS else ():
                axes.plot(
                    *zip(*extremes(series).items(), strict=True), linewidth=0.6, alpha=0.4, **look
                )
            mean = smooth(average(runs))
            if mean:
                marker = "o" if len(mean) <= 20 else None
                axes.plot(
                    *zip(*mean.items(), strict=True),
                    linewidth=1.5,
                    marker=marker,
                    markersize=2.5,
                    **look,
                )
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
    """The element alone: as wide as its place, without the rules and ids that would reach beyond it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, count=1)
    svg = re.sub(r' (?:id="[\w.]*_\d+"|xmlns\S*|version="1.1")', "", svg)
    svg = re.sub(r' width="\S+" height="\S+"', "", svg, count=1)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub("|".join(STAND_INS), lambda match: STAND_INS[match[0]], svg)
    return Markup(re.sub(r"\s+", " ", svg).replace("> <", "><"))  # noqa: S704  numbers only: no word of a file is in it
