"""Play a study, or write the pages of results.

    python -m gen_jax.study headline --list  # its runs, their states, and how long the rest takes
    python -m gen_jax.study headline --minutes 600 --jobs 2
    python -m gen_jax.study --study mine.py
    python -m gen_jax.study page  # docs/results.md and the pictures of README.md, from results/

The same command again goes on where it was stopped, however that was. A run that fails is named,
and the others are played. Exit codes: 0 done, or out of time; 1 a run failed; 2 bad arguments;
128 + N stopped by signal N.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gen_jax import console
from gen_jax.errors import UserError
from gen_jax.storage import files
from gen_jax.study import gallery, page, results, rows
from gen_jax.study.outbox import Outbox
from gen_jax.study.play import Place, Player, State, jobs

MEASURE_MINUTES = 1.0  # for the speed of one run of each row


@dataclasses.dataclass(frozen=True)
class Options:
    name: tyro.conf.Positional[str | None] = None
    """headline, ablations, quick, gpu or smoke; or `page`, or `import`."""
    directories: tyro.conf.Positional[tuple[Path, ...]] = ()
    """With `import`: run directories of rows of the given studies, or a results.json of --out."""
    study: Path | None = None
    """A Python file with ROWS = [gen_jax.study.Row(...), ...], instead of a given study."""
    rows: tuple[str, ...] = ()
    """Only these rows."""
    minutes: float | None = None
    """Stop after this time; all runs are saved."""
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Runs at a time. On a CPU each has an equal share of the cores."""
    list: bool = False
    """Show the runs, their states and the expected time, and play nothing."""
    measure: bool = False
    """Play a minute of each row whose speed on this machine is unknown, then show the list."""
    check: bool = False
    """With `page`: write nothing, and fail if a page is not what the results give."""
    rehearse: bool = False
    """Play each row as its paper's `tiny`, with at most two seeds, into results of their own."""
    platform: str | None = None
    """The platform of JAX: cpu, cuda or tpu; by default what JAX finds."""
    out: Path | None = None
    """A folder for results.json and pictures.tar, rewritten whenever a run ends."""
    submit: Literal["slurm", "local"] | None = None
    """Submit the runs as one array of SLURM, --minutes each, --jobs at a time; `local` starts them
    in the same way on this machine, and waits.
    """
    sbatch: tuple[str, ...] = ()
    """Options of sbatch, such as partition=gpu gpus_per_node=1."""
    runs: Path = Path("runs")
    """The folder of the run directories."""
    results: Path = results.FOLDER
    """The folder of the results, one file per row."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a study or write the pages; return the exit code."""
    console.prepare()
    console.quieten()
    options = tyro.cli(Options, args=arguments, prog="python -m gen_jax.study", description=__doc__)
    try:
        return _main(options)
    except Exception as error:
        return console.exit_code("gen_jax.study", error)


def _main(options: Options) -> int:
    if options.platform:
        os.environ["JAX_PLATFORMS"] = options.platform
    if options.jobs < 1:
        raise UserError(f"jobs is {options.jobs}; it must be 1 or more.")
    if options.name == "page":
        return _write_pages(options)
    if options.name == "import":
        return _import(options)
    study = options.name or options.study
    if study is None or (options.name and options.study):
        raise UserError(f"give one study: {', '.join(rows.GIVEN)}, or --study FILE.")
    chosen = _chosen(rows.load(study), options.rows)
    if options.rehearse:
        chosen = [rows.rehearsal(row) for row in chosen]
    place = Place(options.runs, options.results)
    parts = [*rows.parts(chosen)]
    states = {part.name: _collected(place, part) for part in parts}
    waiting = [part for part in parts if states[part.name].word != "done"]
    if options.measure:
        _measure([part for part in waiting if states[part.name].minutes is None], place)
    if options.list or options.measure:
        for line in _table([(part.name, place.state(part)) for part in parts]):
            console.show(line)
        return 0
    if options.submit:
        return _submit(options, waiting, place)
    accelerator = _is_accelerator()
    player = Player(
        place,
        at_a_time=options.jobs,
        minutes=options.minutes,
        accelerator=accelerator,
        after=Outbox(options.out, place, parts).update if options.out else lambda: None,
    )
    todo = [*jobs(waiting, place, side_by_side=accelerator)]
    code = player.play(todo, len(parts) - len(waiting), len(parts))
    done = sum(place.state(part).word == "done" for part in parts)
    console.show(f"{done} of {len(parts)} runs are done; results are in {place.results}.")
    return code


def _measure(unknown: Sequence[rows.Part], place: Place) -> None:
    """Play a part of one run of each row; it is saved, and goes on when it is played."""
    for part in {part.row.name: part for part in unknown}.values():
        player = Player(place, at_a_time=1, minutes=MEASURE_MINUTES, accelerator=False)
        player.play([*jobs([part], place, side_by_side=False)], 0, 1)


def _submit(options: Options, waiting: Sequence[rows.Part], place: Place) -> int:
    """Submit the runs; wait for those of this machine. Their results are written as they end."""
    from gen_jax.study.submit import submit

    if strange := [text for text in options.sbatch if "=" not in text]:
        raise UserError(f"sbatch is {strange[0]}; it must be NAME=VALUE, such as partition=gpu.")
    submitted = submit(
        [*jobs(waiting, place, side_by_side=False)],
        place,
        cluster=str(options.submit),
        at_a_time=options.jobs,
        minutes=options.minutes,
        parameters=dict(text.split("=", 1) for text in options.sbatch),
    )
    failed = 0
    for part, job in zip(waiting, submitted, strict=True):
        console.show(f"{part.name}: job {job.job_id}")
        if options.submit == "local":
            job.wait()
            failed += job.exception() is not None
    return 1 if failed else 0


def _chosen(known: Sequence[rows.Row], names: Sequence[str]) -> list[rows.Row]:
    if unknown := sorted({*names} - {row.name for row in known}):
        listed = ", ".join(row.name for row in known)
        raise UserError(f"there is no row {unknown[0]}; the rows are {listed}.")
    return [row for row in known if not names or row.name in names]


def _collected(place: Place, part: rows.Part) -> State:
    """Return the state of a run, after writing its result if the study was killed before that."""
    state = place.state(part)
    if state.word == "begun" and state.step >= state.steps:
        place.collect(part)
        return place.state(part)
    return state


def _is_accelerator() -> bool:
    """Ask JAX in another process: this one must not hold the device."""
    found = subprocess.run(
        [sys.executable, "-c", "import jax; print(jax.default_backend())"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode == 0 and found.stdout.strip() != "cpu"


def _table(states: Sequence[tuple[str, State]]) -> list[str]:
    """Return the lines of the list, and the sum of the times."""
    width = max(len(name) for name, _ in states)
    lines, left, unknown = [], 0.0, 0
    for name, state in states:
        took = "not measured here" if state.minutes is None else _time(state.minutes)
        how = "took" if state.word == "done" else "left:"
        lines.append(f"{name:<{width}}  {state!s:<36}  {how} {took}")
        if state.word != "done":
            left, unknown = left + (state.minutes or 0), unknown + (state.minutes is None)
    done = sum(state.word == "done" for _, state in states)
    more = f", and {unknown} that were never measured here" if unknown else ""
    lines.append(
        f"{done} of {len(states)} runs are done; one after another, the rest takes {_time(left)}{more}."
    )
    return lines


def _time(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _import(options: Options) -> int:
    """Add run directories to the results of the rows that they are runs of."""
    known = [part for name in rows.GIVEN for part in rows.parts(rows.load(name))]
    place = Place(options.runs, options.results)
    for directory in options.directories:
        if directory.suffix == ".json":
            for part, one in results.load_all(directory, known):
                results.add(part, one, place.results)
                console.show(f"{part.name}: {place.results / part.row.name}.json")
            continue
        part = results.part_of(directory, known)
        played = results.read_run(part, directory)
        if played is None:
            raise UserError(f"{directory} has measured nothing: give a run that was evaluated.")
        results.add(part, played, place.results)
        gallery.keep(part.row, played, directory, place.results)
        console.show(f"{directory}: {place.results / part.row.name}.json, seed {part.seed}")
    return 0


def _write_pages(options: Options) -> int:
    """Write the generated parts of the pages; with --check, raise UserError if one is stale."""
    for path, text in page.pages(options.results).items():
        if path.read_text("utf-8") == text:
            continue
        if options.check:
            raise UserError(
                f"{path} is not what {options.results} gives: run python -m gen_jax.study page."
            )
        files.replace(path, text)
        console.show(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
