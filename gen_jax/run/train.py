"""The training loop: a run is a sequence of chunks; between them it saves, samples, evaluates and
logs.

A chunk is many steps in one call of a compiled program. Between the steps of a chunk, nothing
happens on the host. While the device computes a chunk, the host writes the line of the previous
one. The work between chunks is in `session`, the compilation in `programs`.

A run may have stages, each with its own game and batch size on the same networks: a change of stage
is saved and resumed like any step. Several seeds may run side by side in one program. Each is a run
with its own directory, which can be resumed alone.
"""

import contextlib
import importlib
import logging
import math
import resource
import sys
from pathlib import Path
from typing import cast

import jax

from gen_jax import console
from gen_jax.config import Run
from gen_jax.data import pipeline
from gen_jax.errors import CheckpointError, ResourceError, UserError
from gen_jax.game import State
from gen_jax.run import directory, programs, seeds, sharding, xla
from gen_jax.run.experiment import C, Config, Experiment, check, command_line, completed
from gen_jax.run.session import Means, Session, load_data
from gen_jax.run.signals import Interrupts, end_at_once
from gen_jax.types import Metrics

OPEN_FILES = 8  # per run


def run(experiment: Experiment[C], preset: str, config: C, *, until: int | None = None) -> State:
    """Train, evaluate and report; resumes from the run directory. Returns the final state.

    States of several seeds are stacked. `until` stops and saves at the end of the chunk that
    includes that step, like a signal, and raises Interrupted. Raises UserError for anything that a
    user can fix.
    """
    experiment = completed(experiment)
    check(experiment)
    xla.check()
    sharding.check_devices()
    configs = seeds.configs(config)
    paths = [directory.path_of(experiment, preset, one) for one in configs]
    _allow_open_files(len(configs))
    data: list[pipeline.Data] = []
    # Before any directory is created. A different run is rejected before its data are loaded.
    for one, path in zip(configs, paths, strict=True):
        directory.describe_and_check(path, experiment, preset, one, {})
        data.append(load_data(experiment, one, data))
    _is_resident(data[0], config.run, len(configs))
    _check_all_begun({one.run.seed: path for one, path in zip(configs, paths, strict=True)})
    sessions: list[Session[C]] = []
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        try:
            for one, own in zip(configs, data, strict=True):
                session = Session(
                    experiment,
                    preset,
                    one,
                    stack,
                    interrupts,
                    own,
                    siblings=sessions,
                    seeds=len(configs),
                )
                sessions.append(session)
            return _loop(sessions, stack, until)
        except BaseException as error:
            for session in sessions:
                session.journal.log_failure(error)
            raise


def _loop(sessions: list[Session[C]], stack: contextlib.ExitStack, until: int | None) -> State:
    """Run from the current step of the sessions to the end."""
    first = sessions[0]
    steps, interrupts = first.config.steps, first.interrupts
    step, state = _start(sessions)
    runner = _make_runner(sessions, step)
    stack.callback(runner.close)
    pending: tuple[int, Metrics] | None = None
    while step < steps:
        state, metrics, chunk, waited = runner.advance(state)
        if pending:  # while the device computes
            for session, means in zip(sessions, _end_lines(sessions, *pending), strict=True):
                if means is not None:
                    session.write_line(pending[0], means)
        if waited:
            first.journal.restart_clock(chunk.first)
        first.journal.batch_size = first.stages[chunk.stage].batch_size * len(sessions)
        step, pending = chunk.first + chunk.length, None
        if until is not None and step >= until and step < steps:
            interrupts.number = 2
        interrupts.agreed = sharding.all_reduce_max(interrupts.number, after=(state, metrics))
        if first.needs_save(step):
            _save_and_log(sessions, step, state, metrics)
        else:
            pending = (step, metrics)
    for session in sessions:
        session.finish()
    return state


def _save_and_log(sessions: list[Session[C]], step: int, state: State, metrics: Metrics) -> None:
    """Save all sessions, then evaluate and log each."""
    states, lines = seeds.unstack(state, len(sessions)), _end_lines(sessions, step, metrics)
    for session, own, means in zip(sessions, states, lines, strict=True):
        session.save(step, own, means)
    for session, own, means in zip(sessions, states, lines, strict=True):
        session.evaluate_and_log(step, own, means)
        session.journal.restart_clock(step)


def _end_lines(sessions: list[Session[C]], step: int, metrics: Metrics) -> list[Means | None]:
    """Add the metrics of a chunk that ended at `step`.

    Returns the means of each session if a line ends there, else None.
    """
    fetched = jax.device_get(metrics)
    own = [fetched]
    if len(sessions) > 1:
        own = [{name: v[i] for name, v in fetched.items()} for i in range(len(sessions))]
    for session, values in zip(sessions, own, strict=True):
        session.add_metrics(step, values)
    return [session.end_line(step) for session in sessions]


def _allow_open_files(runs: int) -> None:
    """Raise the soft limit of open files as needed; ResourceError if the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OPEN_FILES * (runs + 8)
    if 0 <= hard < needed:
        raise ResourceError(
            f"seeds is {runs}, which may need {needed} open files, but {hard} are allowed: "
            "give fewer seeds, or raise the limit with ulimit -n."
        )
    if 0 <= soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _check_all_begun(paths: dict[int, Path]) -> None:
    """Raise UserError if some seeds have checkpoints and others do not: all start together."""
    new = [seed for seed, path in paths.items() if not (path / "config.json").exists()]
    old = [path for seed, path in paths.items() if seed not in new]
    begun = [path for path in old if any(path.glob("checkpoints/step-*"))]
    if new and begun:
        alone = f"--run.seeds 1 --run.dir {paths[new[0]]}"
        raise UserError(
            f"{begun[0]} has started, but {paths[new[0]]} has not: run new seeds separately, "
            f"with --run.seed {new[0]} {f'--run.seeds {len(new)}' if len(new) > 1 else alone}, "
            "or give another --run.dir."
        )


def _start(sessions: list[Session[C]]) -> tuple[int, State]:
    """Return (step, stacked state). After a kill between saves, the seeds that are ahead go back.

    Raises CheckpointError if one of them cannot.
    """
    started = [session.start() for session in sessions]
    least, behind = min((step, i) for i, (step, _) in enumerate(started))
    ahead = [i for i, (step, _) in enumerate(started) if step > least]
    kept = [sessions[i].checkpoints for i in ahead]
    if not all(one.is_good(least) if least else len(one.steps()) == 1 for one in kept):
        last = sessions[behind]
        raise CheckpointError(
            f"{last.path} is at step {least}, but {sessions[ahead[0]].path} cannot go back to it: "
            f"run seed {last.run.seed} alone, with --run.seeds 1 --run.dir {last.path}, "
            "or give another --run.dir."
        )
    for i in ahead:
        sessions[i].checkpoints.delete_after(least)
        started[i] = sessions[i].start()
    states = [state for _, state in started]
    if len(states) == 1:
        return least, states[0]
    return least, jax.jit(seeds.stack, out_shardings=sharding.replicated(sessions[0].mesh))(states)


def _make_runner(sessions: list[Session[C]], step: int) -> programs.ChunkRunner:
    """Return the runner of the chunks from `step` on."""
    first, count = sessions[0], len(sessions)
    return programs.ChunkRunner(
        first.stages,
        first.data,
        first=step,
        steps=first.config.steps,
        log_every=first.run.log_every,
        keys=[session.data_key for session in sessions],
        mesh=first.mesh,
        state_structs=lambda stage: seeds.stack_structs(first.state_structs(stage), count),
        resident=_is_resident(first.data, first.run, count),
        per_device=first.run.parallel == "pmap",
        info=first.journal.info,
    )


def _is_resident(data: pipeline.Data, run: Run, seeds: int) -> bool:
    """Return whether the data stay on the device.

    The data of several seeds must: raises UserError if they are too large.
    """
    size = pipeline.megabytes(data.train)
    if size > run.resident_megabytes and seeds > 1:
        raise UserError(
            f"seeds is {seeds}, for which data must stay on the device: "
            f"give --run.resident-megabytes {math.ceil(size)}."
        )
    return size <= run.resident_megabytes


def main(name: str | None) -> int:
    """Run the command line of an experiment file, by the name of its module; return the exit code."""
    console.prepare()
    console.quieten()
    end_at_once()
    try:
        if name is None:
            file = sys.argv[0]
            raise UserError(f"{file} is a module: start it as python -m {Path(file).stem}.")
        xla.prepare()
        experiment = completed(cast(Experiment[Config], importlib.import_module(name)))
        with console.piped():
            preset, config = command_line(experiment, sys.argv[1:])
        sharding.join(config.run.hosts)
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("gen_jax").setLevel(logging.INFO)
        run(experiment, preset, config)
    except Exception as error:
        return console.exit_code(name or "gen_jax", error)
    return 0
