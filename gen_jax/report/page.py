"""The page of one or more runs, as a file; `python -m gen_jax.report --help` says what it shows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import jinja2

from gen_jax.errors import UserError
from gen_jax.report import comparison
from gen_jax.report.curves import charts
from gen_jax.report.groups import grouped, order_of
from gen_jax.report.notes import notes
from gen_jax.report.pictures import pictures
from gen_jax.report.rows import Context, breakable, metric_names, row, table
from gen_jax.report.run_reader import Run, read
from gen_jax.report.verdicts import MIN_SEEDS, form_of, interval, mean_of, number, verdict
from gen_jax.storage import files

__all__ = (  # with what gen_jax.study shows like a page
    "MIN_SEEDS", "compare", "form_of", "interval", "mean_of", "number", "verdict", "write",
)  # fmt: skip


def write(directory: Path) -> Path:
    """Write the page of one run, as report.html in its directory, and return its path."""
    return compare([directory], Path(directory) / "report.html")


def compare(
    directories: Sequence[Path],
    path: Path,
    *,
    sort: str | None = None,
    descending: bool | None = None,
) -> Path:
    """Write one page about several runs, and return its path.

    Runs of several configurations are shown side by side, sorted by the metric `sort`; see
    `gen_jax.report.groups.order_of`. So are runs of several experiments, without the claims of
    their papers. Raises UserError if there are no runs, if their experiments have no measure in
    common, if a run is given twice, or if no run has the metric.
    """
    runs = [read(Path(directory)) for directory in directories]
    if not runs:
        raise UserError("No run was given: give at least one run directory.")
    runs = _comparable(runs)
    if len({run.directory.resolve() for run in runs}) < len(runs):
        raise UserError(
            "A run was given twice and would count as two seeds: give each run directory once."
        )
    order = order_of(runs, sort, descending)
    groups = order.sort(grouped(runs))
    if len(groups) > 1:
        runs = [run for group in groups for run in group.runs]
        page = _render("comparison.html.j2", runs, comparison.context(groups, order))
    else:
        page = _render("report.html.j2", runs, _of_one_configuration(runs))
    files.replace(path, page.encode("utf-8", "replace"))
    return Path(path)


def _comparable(runs: list[Run]) -> list[Run]:
    """Return the runs: those of several experiments without claims, each of which is about one."""
    experiments = [*dict.fromkeys(run.experiment for run in runs)]
    if len(experiments) == 1:
        return runs
    if not set.intersection(*({*run.paper.units} for run in runs)):
        raise UserError(
            f"The runs are of {' and '.join(experiments)}, which have no measure in common: "
            "give runs of one experiment."
        )
    replace = dataclasses.replace
    return [replace(run, paper=replace(run.paper, claims={})) for run in runs]


def _render(template: str, runs: Sequence[Run], context: Context) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gen_jax.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "breakable": breakable}
    return environment.get_template(template).render(
        runs=runs,
        first=runs[0],
        paper=runs[0].paper,
        arxiv=quote(runs[0].paper.arxiv or "", errors="replace"),
        **context,
    )


def _of_one_configuration(runs: Sequence[Run]) -> Context:
    claims = runs[0].paper.claims
    shown, left_out = pictures(runs)
    return {
        "claims": [row(name, runs, claim) for name, claim in claims.items()],
        "others": [row(name, runs, None) for name in metric_names(runs) if name not in claims],
        "notes": notes(runs) + left_out,
        "charts": charts(runs),
        "pictures": shown,
        "config": table(run.config for run in runs),
        "environment": table(run.environment for run in runs),
    }
