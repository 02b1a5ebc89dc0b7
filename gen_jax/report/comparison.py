"""What the page of several configurations shows: one row, colour and picture for each."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from gen_jax.report.charts import HUES
from gen_jax.report.curves import legend, overlaid
from gen_jax.report.groups import Group, Order, measures
from gen_jax.report.notes import notes_on_groups
from gen_jax.report.pictures import side_by_side
from gen_jax.report.rows import Context, last, metric_names, row, table
from gen_jax.types import Json

SCRIPT = (Path(__file__).parent / "templates" / "sort.js").read_text("utf-8")


def context(groups: Sequence[Group], order: Order) -> Context:
    """Return the variables of comparison.html.j2 for groups in their order."""
    runs = [run for group in groups for run in group.runs]
    paper = runs[0].paper
    names = [*dict.fromkeys((*([order.metric] if order.metric else []), *measures(runs)))]
    chosen = [(group.label, order.representative(group)) for group in groups]
    shown, left_out = side_by_side(chosen)
    styles = legend(groups)
    return {
        "groups": groups,
        "order": order,
        "columns": [(name, paper.units.get(name, ""), paper.claims.get(name)) for name in names],
        "rows": [
            {
                "group": group,
                "style": styles[i][:2] if i < len(styles) else None,
                "cells": [row(name, group.runs, paper.claims.get(name)) for name in names],
            }
            for i, group in enumerate(groups)
        ],
        "unmeasured": {name: claim for name, claim in paper.claims.items() if name not in names},
        "notes": notes_on_groups(groups) + left_out,
        "legend": styles,
        "thin_lines": len(groups) <= HUES,
        "charts": overlaid(groups, order.metric),
        "pictures": shown,
        "metrics": metric_names(runs),
        "finals": [
            (group.label, run.name, [last(name, [run])[0] for name in metric_names(runs)])
            for group in groups
            for run in group.runs
        ],
        "config": _values(run.config for run in runs),
        "environment": _values(run.environment for run in runs),
        "script": Markup(SCRIPT),  # noqa: S704  # of this package
        "script_hash": base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    }


def _values(objects: Iterable[Json]) -> list[tuple[str, list[str]]]:
    """Return (dotted name, all values that occur) of each field."""
    return [(name, [*dict.fromkeys(values)]) for name, values in table(objects)]
