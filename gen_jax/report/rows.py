"""The rows of the tables of a page: a metric over runs beside its claim, and fields of configs."""

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from gen_jax.config import flatten
from gen_jax.report.run_reader import Run
from gen_jax.report.verdicts import form_of, interval, mean_of, number, tolerated, verdict
from gen_jax.types import Claim, Json

Context = dict[str, Any]  # the variables of a part of the template


def breakable(name: str) -> Markup:
    """Allow line breaks in a name after its dots, slashes and underscores."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])", name))  # join escapes the parts


def metric_names(runs: Iterable[Run]) -> list[str]:
    return sorted({name for run in runs for name in run.metrics})


def last(name: str, runs: Iterable[Run]) -> list[tuple[int, float] | None]:
    """Return (step, value) of the last value of a metric in each run; None where it has none."""
    return [[*run.metrics[name].items()][-1] if name in run.metrics else None for run in runs]


def row(name: str, runs: Sequence[Run], claim: Claim | None) -> Context:
    """Return the row of a metric in a table: its last value in each run, and derived values."""
    finals = last(name, runs)
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
        "mean": statistics.fmean(values) if values else None,
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
