"""A number with its interval, or the sentence that says why there is none; and their table."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from gen_jax import statistics

HEAD = ("measure", "value", "95 % interval", "count", "size", "of")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A measure of two sets of images."""

    value: float | None  # None if it could not be measured
    interval: tuple[float, float] | None  # 95 %, by bootstrap
    unit: str  # names the feature network; or why there is no value
    count: int  # images of each set, or pairs
    size: str  # side of the images, and how it was reached
    resampled: str  # what the interval is over

    @classmethod
    def of(
        cls, replicates: np.ndarray | str, unit: str, count: int, size: str, over: str
    ) -> "Measured":
        """Return the first of the replicates [1 + draws] (`statistics.resamples`) with the interval
        of the others, or a sentence that stands in their place. One image or pair has no interval.
        """
        if isinstance(replicates, str):
            return cls(None, None, replicates, count, size, "")
        interval = statistics.percentile_interval(replicates[1:]) if count > 1 else None
        return cls(float(replicates[0]), interval, unit, count, size, over)

    def row(self, name: str) -> tuple[str, ...]:
        """Return the cells of its line in the table."""
        value = "none" if self.value is None else f"{self.value:.4g}"
        interval = "{:.4g} to {:.4g}".format(*self.interval) if self.interval else "none"
        return name, value, interval, f"{self.count:,}", self.size, self.unit


def few(number: int, things: str, what: str, least: int) -> str:
    """Return a sentence if there are fewer than the least, else nothing."""
    if number >= least:
        return ""
    return f"{number:,} {things} are too few for {what}: give at least {least:,}."


def table(found: Mapping[str, Measured]) -> Iterator[str]:
    """Yield the lines of a table of measures, then what their intervals are over."""
    rows = [HEAD, *(measured.row(name) for name, measured in found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    over: dict[str, list[str]] = {}
    for name, measured in found.items():
        if measured.interval:
            over.setdefault(measured.resampled, []).append(name)
    for resampled, names in over.items():
        yield f"Interval by bootstrap over {resampled}: {', '.join(names)}."
