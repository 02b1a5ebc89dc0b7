"""Runs grouped by their configuration, and the order of the groups."""

import dataclasses
import statistics
from collections.abc import Sequence

from gen_jax.config import NEUTRAL, differences, formerly, to_json
from gen_jax.config import Run as Settings
from gen_jax.errors import UserError
from gen_jax.report.rows import last, metric_names, table
from gen_jax.report.run_reader import Run
from gen_jax.types import Json

SEEDS = ("seed", "run.seed")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one configuration, which differ in their seed."""

    runs: list[Run]
    fields: dict[str, str]  # in which they differ, "experiment" and "preset" first -> values

    @property
    def label(self) -> str:
        """Return what groups differ in: "beta_vae, quick, adam.eps=0.01"."""
        named = ("experiment", "preset")
        parts = [v if name in named else f"{name}={v}" for name, v in self.fields.items()]
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Order:
    """The metric by which groups are sorted, and which of its values are better."""

    metric: str | None  # None if no measure was evaluated
    descending: bool
    better: str | None  # "higher" or "lower"; None if neither the paper nor the user says it

    def value(self, runs: Sequence[Run]) -> float | None:
        """Return the mean over runs of their last values; None if no run has the metric."""
        finals = last(self.metric, runs) if self.metric else []
        values = [final[1] for final in finals if final]
        return statistics.fmean(values) if values else None

    def sort(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups in order, those without the metric last."""
        values = [(self.value(group.runs), group) for group in groups]
        measured = [(value, group) for value, group in values if value is not None]
        measured.sort(key=lambda pair: pair[0], reverse=self.descending)
        return [g for _, g in measured] + [group for value, group in values if value is None]

    def representative(self, group: Group) -> Run:
        """Return the best run of a group by the metric; the first if that is unknown."""
        values = {i: self.value([run]) for i, run in enumerate(group.runs)}
        known = {i: value for i, value in values.items() if value is not None}
        if not known or self.better is None:
            return group.runs[0]
        best = max if self.better == "higher" else min
        return group.runs[best(known, key=lambda i: known[i])]


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Group runs by all fields that change what is learnt, except the seed, in the given order."""
    found: list[list[Run]] = []
    for run in runs:
        for group in found:
            same = group[0].experiment == run.experiment
            if same and not differences(_complete(group[0]), _complete(run), (*NEUTRAL, *SEEDS)):
                group.append(run)
                break
        else:
            found.append([run])
    presets = [" or ".join(dict.fromkeys(run.preset for run in group)) for group in found]
    experiments = [group[0].experiment for group in found]
    first = {"experiment": experiments, "preset": presets}
    columns = {name: values for name, values in first.items() if len({*values}) > 1}
    for name, values in table(_complete(group[0]) for group in found):
        if len(values) > 1 and name not in (*NEUTRAL, *SEEDS):
            columns[name] = values
    return [
        Group(group, {name: values[i] for name, values in columns.items()})
        for i, group in enumerate(found)
    ]


def _complete(run: Run) -> Json:
    """Return the config of a run with the settings that it lacks, if it is older than these."""
    settings = run.config.get("run", {})
    if not isinstance(settings, dict):
        return run.config
    return {**run.config, "run": {**to_json(Settings()), **formerly(Settings, settings)}}


def measures(runs: Sequence[Run]) -> list[str]:
    """Return the measures of evaluation that a run has, those with a claim first."""
    paper, logged = runs[0].paper, metric_names(runs)
    return [name for name in dict.fromkeys((*paper.claims, *paper.units)) if name in logged]


def order_of(runs: Sequence[Run], metric: str | None, descending: bool | None) -> Order:
    """Return the order by a metric, by default the first of `measures`.

    If `descending` is None, the best comes first where a claim says which is better; ascending
    otherwise. Raises UserError if no run has the metric.
    """
    logged = metric_names(runs)
    if metric is not None and metric not in logged:
        raise UserError(
            f"The runs are to be sorted by {metric}, which none of them has: "
            f"give one of {', '.join(logged) or 'their metrics, once they have logged some'}."
        )
    metric = metric or next(iter(measures(runs)), None)
    claim = runs[0].paper.claims.get(metric or "")
    given = None if descending is None else "higher" if descending else "lower"
    better = claim.better if claim else given
    return Order(metric, (better == "higher") if descending is None else descending, better)
