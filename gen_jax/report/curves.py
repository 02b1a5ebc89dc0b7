"""Which metrics have a chart, and what is written around it."""

from collections.abc import Sequence

from gen_jax.report.charts import HUES, IN_COLOUR, average, draw, is_logarithmic
from gen_jax.report.groups import Group
from gen_jax.report.rows import Context, metric_names
from gen_jax.report.run_reader import Description, Run, Series
from gen_jax.report.verdicts import number


def charts(runs: Sequence[Run]) -> list[Context]:
    """Return a chart for each metric on test data or with a claim, and one for each family of the
    others, such as "vae/".

    Metrics that were logged once have no chart.
    """
    families: dict[str, list[str]] = {}
    for name in _plotted(runs):
        own = name.startswith("test/") or name in runs[0].paper.claims
        families.setdefault(name if own else _family(name), []).append(name)
    found = []
    for family, members in sorted(families.items(), key=lambda item: _chart_order(item[0])):
        curves = [[run.metrics[name] for run in runs if name in run.metrics] for name in members]
        units = {runs[0].paper.units.get(name, "") for name in members}
        legend = [(*_style(i), name.removeprefix(f"{family}/")) for i, name in enumerate(members)]
        found.append(
            {
                "name": family if len(members) > 1 else members[0],
                "unit": units.pop() if len(units) == 1 else "",
                "legend": legend,
                **_chart(runs[0].paper, family, [*zip(members, curves, strict=True)]),
            }
        )
    return found


def overlaid(groups: Sequence[Group], first: str | None) -> list[Context]:
    """Return a chart for each metric, with the curves of all groups; that of the metric `first`
    comes first.

    Metrics that were logged once have no chart.
    """
    runs = [run for group in groups for run in group.runs]
    paper, found = runs[0].paper, []
    for name in sorted(_plotted(runs), key=lambda name: (name != first, *_chart_order(name))):
        curves = [
            (group.label, [run.metrics[name] for run in group.runs if name in run.metrics])
            for group in groups
        ]
        chart = _chart(paper, name, curves, of_groups=True)
        found.append({"name": name, "unit": paper.units.get(name, ""), "legend": [], **chart})
    return found


def legend(groups: Sequence[Group]) -> list[tuple[int, int, str]]:
    """Return (hue, dash, label) of each group that is in colour."""
    return [(*_style(i), group.label) for i, group in enumerate(groups[:IN_COLOUR])]


def _style(i: int) -> tuple[int, int]:
    """Return the numbers of the hue and of the dash of a curve."""
    return i % HUES, min(i // HUES, 2)


def _plotted(runs: Sequence[Run]) -> list[str]:
    names = metric_names(runs)
    return [name for name in names if any(len(run.metrics.get(name, ())) > 1 for run in runs)]


def _chart(
    paper: Description,
    name: str,
    curves: list[tuple[str, list[Series]]],
    *,
    of_groups: bool = False,
) -> Context:
    """Return the chart of curves with their labels, its claim and its description."""
    claim = paper.claims.get(name)
    level, series = claim.value if claim else None, [runs for _, runs in curves]
    return {
        "claim": claim,
        "svg": draw(name, series, level, of_groups=of_groups),
        "logarithmic": is_logarithmic([v for runs in series for run in runs for v in run.values()]),
        "label": "; ".join(_ends(label, average(runs)) for label, runs in curves if runs),
    }


def _chart_order(name: str) -> tuple[bool, str]:
    """Sort metrics of test data first."""
    return not name.startswith("test/"), name


def _family(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash else "other"


def _ends(name: str, mean: dict[int, float]) -> str:
    if not mean:
        return f"{name}, at different steps in each run"
    first, last = min(mean), max(mean)
    ends = f"{number(mean[first])} at step {first:,} to {number(mean[last])} at step {last:,}"
    return f"{name} from {ends}"
