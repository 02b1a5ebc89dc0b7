"""The loop: steps in scanned chunks, one compiled program each; at its periods it saves, draws, evaluates and logs.

Between the steps of a chunk nothing happens on the host, and while the device computes a chunk the host writes the line
of the one before. What happens between chunks is in `loop`.

A run may have stages, each with a game and a batch size of its own on the same networks: a change of stage is saved and
resumed as any step is. Several seeds may be played side by side in one program; each is a run with its own directory,
which may be resumed alone.
"""

import contextlib
import importlib
import logging
import math
import resource
import sys
from pathlib import Path
from typing import Any, cast

import jax

from gen_jax import console
from gen_jax.data import pipeline
from gen_jax.errors import CheckpointError, ResourceError, UserError
from gen_jax.game import State
from gen_jax.run import directory, programs, seeds, sharding, xla
from gen_jax.run.experiment import C, Config, Experiment, command_line
from gen_jax.run.loop import Loop, Means, load
from gen_jax.run.signals import Interrupts, end_at_once

FILES = 8  # open for each run


def run(experiment: Experiment[C], preset: str, config: C, *, until: int | None = None) -> State:
    """Train, evaluate and report; goes on from what the run directory holds. Of several seeds the states are stacked.

    `until` stops at the end of the chunk that holds that step, saved, as a signal would: raises Interrupted.
    """
    xla.check()
    sharding.check()
    every, loops, data = seeds.configs(config), list[Loop](), list[pipeline.Data]()
    _allow_files(len(every))
    for one in (
        every
    ):  # before any has a directory; that of another run is refused before data are fetched for it
        directory.describe(directory.of(experiment, preset, one), experiment, preset, one, {})
        data.append(load(experiment, one, data))
    _resident(data[0], config.run, len(every))
    _check_begun({one.run.seed: directory.of(experiment, preset, one) for one in every})
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        try:
            for one, own in zip(every, data, strict=True):
                loops.append(
                    Loop(
                        experiment,
                        preset,
                        one,
                        stack,
                        interrupts,
                        own,
                        beside=loops,
                        seeds=len(every),
                    )
                )
            return _play(loops, stack, until)
        except BaseException as error:
            for loop in loops:
                loop.journal.failed(error)
            raise


def _play(loops: list[Loop], stack: contextlib.ExitStack, until: int | None) -> State:
    """From where they stand to the end."""
    steps, interrupts = loops[0].config.steps, loops[0].interrupts
    step, state = _start(loops)
    player = _programs(loops, step)
    stack.callback(player.close)
    pending: tuple[int, Any] | None = None
    while step < steps:
        state, metrics, chunk = player.advance(state)
        if pending:  # while the device works
            for loop, means in zip(loops, _means(loops, *pending), strict=True):
                if means is not None:
                    loop.line(pending[0], means)
        step, pending = chunk.first + chunk.length, None
        if until is not None and step >= until and step < steps:
            interrupts.number = 2
        interrupts.agreed = sharding.all_reduce_max(interrupts.number, after=(state, metrics))
        if loops[0].due(step):
            done = [
                *zip(
                    loops,
                    seeds.unstack(state, len(loops)),
                    _means(loops, step, metrics),
                    strict=True,
                )
            ]
            for loop, own, means in done:
                loop.save(step, own, means)
            for loop, own, means in done:
                loop.speak(step, own, means)
                loop.journal.restart(step)
        else:
            pending = (step, metrics)
    for loop in loops:
        loop.finish()
    return state


def _allow_files(runs: int) -> None:
    """Each run side by side holds some files open; a process may ask for as many as the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES * (runs + 8)
    if 0 <= hard < needed:
        raise ResourceError(
            f"seeds is {runs}, for which {needed} files may be open at once, and {hard} are allowed: give fewer seeds, "
            "or allow more with ulimit -n."
        )
    if 0 <= soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _check_begun(paths: dict[int, Path]) -> None:
    """Seeds side by side begin together: one that is new cannot go on where others are."""
    new = [seed for seed, path in paths.items() if not (path / "config.json").exists()]
    begun = [
        path
        for seed, path in paths.items()
        if seed not in new and any(path.glob("checkpoints/step-*"))
    ]
    if new and begun:
        raise UserError(
            f"{begun[0]} is begun, but {paths[new[0]]} is not: run what is new by itself, with --run.seed {new[0]} "
            + (
                f"--run.seeds {len(new)}"
                if len(new) > 1
                else f"--run.seeds 1 --run.dir {paths[new[0]]}"
            )
            + ", or give another --run.dir."
        )


def _start(loops: list[Loop]) -> tuple[int, State]:
    """All at one step: where a kill came between their saves, those that have come further go back."""
    started = [loop.start() for loop in loops]
    least, behind = min((step, i) for i, (step, _) in enumerate(started))
    ahead = [i for i, (step, _) in enumerate(started) if step > least]
    kept = [loops[i].checkpoints for i in ahead]
    if not all(one.good(least) if least else len(one.steps()) == 1 for one in kept):
        raise CheckpointError(
            f"{loops[behind].path} stands at step {least}, to which {loops[ahead[0]].path} cannot go back: run seed "
            f"{loops[behind].run.seed} alone, with --run.seeds 1 --run.dir {loops[behind].path}, or give another "
            "--run.dir."
        )
    for i in ahead:
        loops[i].checkpoints.back_to(least)
        started[i] = loops[i].start()
    stacked = jax.jit(seeds.stack, out_shardings=sharding.replicated(loops[0].mesh))
    return least, started[0][1] if len(loops) == 1 else stacked([state for _, state in started])


def _programs(loops: list[Loop], step: int) -> programs.Programs:
    """What plays the chunks from `step` on."""
    first, count = loops[0], len(loops)
    return programs.Programs(
        first.stages,
        first.data,
        first=step,
        steps=first.config.steps,
        log_every=first.run.log_every,
        keys=[loop.order for loop in loops],
        mesh=first.mesh,
        states=lambda stage: seeds.shapes(first.states(stage), count),
        resident=_resident(first.data, first.run, count),
        each=first.run.parallel == "pmap",
        journal=first.journal,
    )


def _resident(data: pipeline.Data, run: Any, count: int) -> bool:
    """Whether the data stay on the device, as those of several seeds must."""
    size = pipeline.megabytes(data.train)
    if size > run.resident_megabytes and count > 1:
        raise UserError(
            f"seeds is {count}, for which data must stay on the device: give --run.resident-megabytes "
            f"{math.ceil(size)}."
        )
    return size <= run.resident_megabytes


def _means(loops: list[Loop], step: int, metrics: Any) -> list[Means | None]:
    """Add the metrics of a chunk that ended at `step`; for each seed the means, where a line ends."""
    fetched = jax.device_get(metrics)
    own = (
        [fetched]
        if len(loops) == 1
        else [{name: v[i] for name, v in fetched.items()} for i in range(len(loops))]
    )
    for loop, values in zip(loops, own, strict=True):
        loop.add(step, values)
    return [loop.means(step) for loop in loops]


def main(name: str) -> int:
    """The command line of an experiment file: its exit code."""
    console.prepare()
    console.quieten()
    end_at_once()
    try:
        xla.prepare()
        experiment = cast(Experiment[Config], importlib.import_module(name))
        try:
            preset, config = command_line(experiment, sys.argv[1:])
        except BrokenPipeError:  # who asked for --help has read enough
            console.silence(sys.stdout)
            return 0
        sharding.join(config.run.hosts)
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("gen_jax").setLevel(logging.INFO)
        run(experiment, preset, config)
    except Exception as error:
        return console.exit_code(name, error)
    return 0
