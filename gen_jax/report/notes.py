"""What a reader should know before the numbers of a page."""

from collections import Counter
from collections.abc import Sequence

from gen_jax.config import MAY_CHANGE_ON_RESUME
from gen_jax.report.groups import SEEDS, Group
from gen_jax.report.rows import table
from gen_jax.report.run_reader import Run


def notes(runs: Sequence[Run]) -> list[str]:
    """Return the notes on runs of one configuration."""
    found = _logs(runs)
    if len({run.last_step for run in runs}) > 1:
        ends = ", ".join(f"{run.name} at {run.last_step}" for run in runs)
        found.append(f"The runs end at different steps: {ends}.")
    return [*found, *_papers(runs), *_settings(runs)]


def notes_on_groups(groups: Sequence[Group]) -> list[str]:
    """Return the notes on runs of several configurations."""
    found = [
        f"{group.label}: {note}"
        for group in groups
        for note in (*_logs(group.runs), *_settings(group.runs))
    ]
    runs = [run for group in groups for run in group.runs]
    ends = Counter(run.last_step for run in runs if run.last_step is not None)
    if len(ends) > 1:
        counts = ", ".join(f"{count} at {step:,}" for step, count in sorted(ends.items()))
        found.append(f"The runs end at different steps: {counts}.")
    return [*found, *_papers(runs)]


def _logs(runs: Sequence[Run]) -> list[str]:
    cut = "the last line of metrics.jsonl was cut off and is ignored"
    found = [f"{run.name}: {cut}." for run in runs if run.torn]
    found += [f"{run.name}: no metrics have been logged yet." for run in runs if not run.metrics]
    return found + [f"{run.name}: {one}." for run in runs for one in _history(run)]


def _history(run: Run) -> list[str]:
    found = [
        f"continued at step {one['step']:,}, from a run of {one['steps']:,} steps"
        + (f", over which {' and '.join(one['schedules'])} was planned" if one["schedules"] else "")
        for one in run.continued
    ]
    if start := run.start:
        networks, where = ", ".join(start["networks"]), f"{start['from']}, step {start['step']:,}"
        found.append(f"started with {networks} of {where} (sha256 {start['sha256'][:12]})")
    return found


def _papers(runs: Sequence[Run]) -> list[str]:
    if all(run.paper == runs[0].paper for run in runs):
        return []
    used = f"this page uses the description of {runs[0].name}"
    return [f"The runs describe their paper differently; {used}."]


def _settings(runs: Sequence[Run]) -> list[str]:
    found = []
    for name, values in table(run.config for run in runs):
        shown = ", ".join(values)
        if name in SEEDS:
            if len(set(values)) < len(runs):
                found.append(f"Runs share a seed, so they are not independent: {name} is {shown}.")
        elif len(values) > 1 and name not in MAY_CHANGE_ON_RESUME:
            found.append(f"The runs differ in more than their seed: {name} is {shown}.")
    return found
