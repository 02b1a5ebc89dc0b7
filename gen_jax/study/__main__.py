"""Play a study, or write the pages of results.

    python -m gen_jax.study headline --list  # its runs, their states, and how long the rest takes
    python -m gen_jax.study headline --minutes 600 --jobs 2
    python -m gen_jax.study --study mine.py
    python -m gen_jax.study page  # writes docs/results.md and parts of README.md, from results/

The same command again goes on where it was stopped, however that was. A run that fails is named,
and the others are played. After kill -9 of this command, the runs that it had started go on.
Exit codes: 0 done, or out of time; 1 a run failed, or a page is stale; 2 bad arguments; 65 a
damaged file; 69 no such device; 73 a folder cannot be made; 74 a file cannot be read or written;
128 + N stopped by signal N.
"""

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gen_jax import console
from gen_jax.errors import DeviceError, DirectoryError, UserError
from gen_jax.storage import files
from gen_jax.study import gallery, page, results, rows
from gen_jax.study.outbox import Outbox
from gen_jax.study.place import Place, State
from gen_jax.study.play import Player, jobs

MEASURE_MINUTES = 1.0  # for the speed of one run of each row


@dataclasses.dataclass(frozen=True)
class Options:
    name: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="STUDY|page|import")
    ] = None
    """headline, ablations, quick, gpu or smoke; or `page`, or `import`."""
    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """With `import`: directories of runs, or the results.json that --out wrote, or the NAME.json
    of a row. Give --study for a study of your own.
    """
    study: Path | None = None
    """A Python file with ROWS = [gen_jax.study.Row(...), ...], instead of a study by its name."""
    rows: tuple[str, ...] = ()
    """Only these rows, as many names as follow."""
    minutes: float | None = None
    """Stop after this time, and save all runs; with --submit, the time of each job."""
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Runs at a time. On a CPU each has an equal share of the cores."""
    list: bool = False
    """Show the runs, their states and the expected time, and play nothing. Results of runs that
    ended without this command are written.
    """
    measure: bool = False
    """Play a minute of each row whose speed on this machine is unknown, then show the list."""
    check: bool = False
    """With `page`: write nothing, and fail if a page is not what the results give."""
    rehearse: bool = False
    """Play each row as its paper's `tiny`, with at most two seeds, into RESULTS/rehearsed."""
    platform: str | None = None
    """The platform of JAX: cpu, cuda or tpu; by default what JAX finds."""
    out: Path | None = None
    """A folder into which results.json and pictures.tar are written whenever a run ends."""
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
    with console.piped():
        options = tyro.cli(
            Options, args=arguments, prog="python -m gen_jax.study", description=__doc__
        )
    try:
        return _main(options)
    except Exception as error:
        return console.exit_code("gen_jax.study", error)


def _main(options: Options) -> int:
    if options.platform:
        os.environ["JAX_PLATFORMS"] = options.platform
    _check(options)
    if options.name == "page":
        return _write_pages(options)
    results_folder = options.results / "rehearsed" if options.rehearse else options.results
    place = Place(options.runs, results_folder)
    if options.name == "import":
        return _import(options, place)
    study = options.name or options.study
    if study is None or (options.name and options.study):
        raise UserError(f"give one study: {', '.join(rows.GIVEN)}, or --study FILE.")
    chosen = _chosen(rows.load(study), options.rows)
    parts = [*rows.parts([rows.rehearsal(row) for row in chosen] if options.rehearse else chosen)]
    states = {part.name: _collected(place, part) for part in parts}
    waiting = [part for part in parts if states[part.name].word != "done"]
    if options.measure:
        unknown = [part for part in waiting if states[part.name].minutes is None]
        _measure(unknown, place)
        states |= {part.name: _collected(place, part) for part in unknown}
    if options.list or options.measure:
        for line in _table(states):
            console.show(line)
        return 0
    if options.submit:
        return _submit(options, waiting, place)
    accelerator = _is_accelerator()
    outbox = Outbox(options.out, place, parts) if options.out else None
    if outbox:
        outbox.update()
    player = Player(
        place,
        at_a_time=options.jobs,
        minutes=options.minutes,
        accelerator=accelerator,
        after=outbox.update if outbox else lambda: None,
    )
    todo = [*jobs(waiting, place, side_by_side=accelerator)]
    code = player.play(todo, len(parts) - len(waiting), len(parts))
    _show_done(place, parts)
    return code


def _check(options: Options) -> None:
    """Raise UserError for arguments that are not valid, or not together."""
    if options.jobs < 1:
        raise UserError(f"jobs is {options.jobs}; it must be 1 or more.")
    if options.minutes is not None and not 0 < options.minutes < math.inf:
        raise UserError(f"minutes is {options.minutes}; it must be a number above 0.")
    if options.paths and options.name != "import":
        raise UserError(
            f"{options.paths[0]} is given after {options.name}; paths go with `import`."
        )
    for flag, given, needed, there in (
        ("--check", options.check, "page", options.name == "page"),
        ("--sbatch", options.sbatch, "--submit", options.submit),
    ):
        if given and not there:
            raise UserError(f"{flag} goes with {needed}: give both, or none.")
    if options.out and options.submit:
        raise UserError("--out and --submit were given: use `import` for what was submitted.")
    if options.study and options.name == "page":
        raise UserError("--study was given: the pages show the studies of gen_jax alone.")
    if options.results.exists() and not options.results.is_dir():
        raise DirectoryError(f"results is {options.results}, a file: give a folder.")


def _show_done(place: Place, parts: Sequence[rows.Part]) -> None:
    done = sum(place.state(part).word == "done" for part in parts)
    console.show(f"{done} of {len(parts)} runs are done; results are in {place.results}.")


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
    for part, job in zip(waiting, submitted, strict=True):
        console.show(f"{part.name}: job {job.job_id}")
    if options.submit != "local":
        return 0
    failed = [part for part, job in zip(waiting, submitted, strict=True) if job.exception()]
    for part in failed:
        console.show(f"{part.name}: {place.state(part)}")
    _show_done(place, waiting)
    return 1 if failed else 0


def _chosen(known: Sequence[rows.Row], names: Sequence[str]) -> list[rows.Row]:
    if unknown := sorted({*names} - {row.name for row in known}):
        listed = ", ".join(row.name for row in known)
        raise UserError(f"there is no row {unknown[0]}; the rows are {listed}.")
    return [row for row in known if not names or row.name in names]


def _collected(place: Place, part: rows.Part) -> State:
    """Return the state of a run, after writing its result if the study was killed before that."""
    state = place.state(part)
    if state.word != "begun" or state.step < state.steps:
        return state
    try:
        place.collect(part)
    except UserError as error:
        advice = "remove it, or give the row another name"
        return state._replace(word="failed", reason=f"{str(error).rstrip('.')}: {advice}")
    return place.state(part)


def _is_accelerator() -> bool:
    """Ask JAX in another process, as this one must not hold the device.

    Raises DeviceError if it finds none.
    """
    found = subprocess.run(
        [sys.executable, "-c", "import jax; print(jax.default_backend())"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise DeviceError(f"JAX finds no device ({reason}): give another --platform.")
    return found.stdout.strip() != "cpu"


def _table(states: Mapping[str, State]) -> list[str]:
    """Return the lines of the list, and the sum of the times."""
    width = max(map(len, states))
    lines = []
    for name, state in states.items():
        took = "never timed here" if state.minutes is None else _time(state.minutes)
        how = "took" if state.word == "done" else "left:"
        lines.append(f"{name:<{width}}  {state!s:<36}  {how} {took}")
    left = [state.minutes for state in states.values() if state.word != "done"]
    known = [minutes for minutes in left if minutes is not None]
    total = f"{len(states) - len(left)} of {len(states)} runs are done"
    if known:
        total += f"; {len(known)} of the others take {_time(sum(known))}, one after another"
    if unknown := len(left) - len(known):
        total += f"; {unknown} were never timed here (--measure does it)"
    return [*lines, f"{total}."]


def _time(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _import(options: Options, place: Place) -> int:
    """Add runs to the results of the rows that they are runs of."""
    if not options.paths:
        raise UserError("import was given nothing: give run directories, or a results.json.")
    studies: Sequence[str | Path] = [options.study] if options.study else rows.GIVEN
    known = [row for study in studies for row in rows.load(study)]
    parts = [*rows.parts(list(map(rows.rehearsal, known)) if options.rehearse else known)]
    for path in options.paths:
        if path.suffix in (".out", ".failed"):  # beside the directories of runs
            continue
        if path.is_file():
            for part, one in results.load_all(path, parts):
                _add(part, one, path, place)
            continue
        if not path.is_dir():
            raise UserError(f"{path} does not exist: give a run directory, or a results.json.")
        part = results.part_of(path, parts)
        played = results.read_run(part, path)
        if played is None:
            raise UserError(f"{path} has measured nothing: give a run that was evaluated.")
        _add(part, played, path, place)
        gallery.keep(part, played, path, place.results)
    return 0


def _add(part: rows.Part, played: results.Played, path: Path, place: Place) -> None:
    where = f"{place.results / part.row.name}.json"
    if results.add(part, played, place.results):
        console.show(f"{path}: {where}, {part.name}")
    else:
        console.show(f"{path}: {where} has a longer run of {part.name}, which was kept")


def _write_pages(options: Options) -> int:
    """Write the generated parts of the pages; with --check, return 1 if one is stale."""
    if not any(options.results.glob("*.json")):
        raise UserError(f"results is {options.results}, which has no results: give another folder.")
    stale = {path: new for path, new in page.pages(options.results).items() if _differs(path, new)}
    for path, text in stale.items():
        if options.check:
            console.show(f"{path} is not what {options.results} gives: run `page` without --check")
            continue
        files.replace(path, text)
        console.show(f"wrote {path}")
    if not stale:
        console.show("the pages are what the results give")
    return 1 if stale and options.check else 0


def _differs(path: Path, text: str) -> bool:
    return path.read_text("utf-8") != text


if __name__ == "__main__":
    sys.exit(main())
