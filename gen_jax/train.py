"""The loop: steps in scanned chunks, one compiled program each; at its periods it saves, draws, evaluates and logs.

Between the steps of a chunk nothing happens on the host, and while the device computes a chunk the host writes the line
of the one before. Where a checkpoint is due, the line of its step is written after it, from numbers that its seal
holds: whenever a run is killed, the resumed one leaves the same metrics.jsonl, bit for bit.

A run may have stages, each with a game and a batch size of its own on the same networks: a change of stage is saved and
resumed as any step is. Several seeds may be played side by side in one program; each is a run with its own directory,
which may be resumed alone.
"""

import contextlib
import functools
import importlib
import itertools
import json
import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import compiler, directory, files, game, images, programs, seeds, sharding
from gen_jax.checkpoint import Checkpoints
from gen_jax.config import Experiment, command_line
from gen_jax.data import pipeline
from gen_jax.errors import CheckpointError, NonFiniteError, UserError
from gen_jax.game import FINITE, Game, Stage, State
from gen_jax.interrupts import Interrupts
from gen_jax.journal import Journal, read_lines
from gen_jax.types import Key

Means = dict[str, float]  # of each metric over the steps of one chunk


class Loop:
    """One start of a run: what is open while it lasts, and what happens between chunks."""

    def __init__(
        self,
        experiment: Experiment,
        preset: str,
        config: Any,
        stack: contextlib.ExitStack,
        interrupts: Interrupts,
        *,
        beside: Sequence["Loop"] = (),
        seeds: int = 1,
    ):
        self.experiment, self.config, self.run, self.interrupts = experiment, config, config.run, interrupts
        whole = config.run.dir or directory.default(experiment, preset, config)
        self.path = whole / "hosts" / str(sharding.number()) if sharding.number() else whole
        self.mesh = sharding.mesh(self.run.devices)
        self.game: Game = experiment.game(config)
        own = getattr(experiment, "stages", None)
        alone = Stage(0, self.game, config.batch_size, lambda state: state)
        self.stages: tuple[Stage, ...] = own(config) if own else (alone,)
        for stage in self.stages:
            sharding.check_batch(self.mesh, stage.batch_size)
        stack.enter_context(directory.claim(self.path))
        self.data = _data(experiment.source(config), self.run.data, beside)
        for stage in self.stages:
            pipeline.check_batch(self.data.train, stage.batch_size)
        directory.describe(self.path, experiment, preset, config)
        self.environment = directory.environment(self.mesh.size, seeds)
        files.replace(self.path / "env.json", json.dumps(self.environment, indent=1))
        self.journal = Journal(
            self.path, steps=config.steps, batch_size=config.batch_size, quiet=bool(beside or sharding.number())
        )
        stack.callback(self.journal.close)
        self.checkpoints = Checkpoints(whole / "checkpoints", keep=self.run.keep, environment=self.environment)
        stack.callback(self.checkpoints.close)
        self.module = experiment.model(config)
        one = self.game._replace(init=lambda key, batch: self.stages[0].begin(self.game.init(key, batch)))
        self.first: Callable[[Key], State] = (
            beside[0].first if beside else _first(one, self.data, config.batch_size, self.mesh)
        )
        self.born, self.order, self.judge = jax.random.split(jax.random.key(self.run.seed), 3)

    def start(self) -> tuple[int, State]:
        """The newest good checkpoint, or the first state; (step, state)."""
        state = self.first(self.born)
        state = jax.device_put(state, self.places(state)) if self.run.fsdp else state
        self.shapes = jax.tree.map(programs.place, state)
        played = functools.partial(programs.stage_of, self.stages)
        restored = self.checkpoints.restore(lambda step: self.states(played(step)), self.journal.say)
        if restored is None:
            self.journal.resume(0)
            count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
            self.journal.say(
                f"{count:,} parameters, {self.config.steps:,} steps, {self.mesh.size} device(s): {self.path}"
            )
            return 0, state
        state, seal = restored
        step = int(seal["step"])
        line = self.journal.resume(step)
        self.journal.say(f"Going on from the checkpoint of step {step} in {self.path}.")
        for name in directory.MATTERS:
            before, now = seal["environment"].get(name), self.environment.get(name)
            if before != now:
                self.journal.say(f"Not bit-identical from here: {name} was {before}, is {now}.")
        if line is None:  # killed between the checkpoint and its line
            means = {name: np.nan if value is None else value for name, value in seal["record"].items()}
            self.speak(step, state, means)
        return step, state

    def states(self, stage: int) -> State:
        """Shapes and places of the state in a stage."""
        if stage == 0:
            return self.shapes
        shapes = jax.eval_shape(self.stages[stage].begin, self.shapes)
        return jax.tree.map(
            lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
            shapes,
            self.places(shapes),
        )

    def places(self, state: State) -> Any:
        """Where each array of a state lies: a copy on each device, or some divided among them."""
        if self.run.fsdp:
            return sharding.spread(state, self.mesh)
        return jax.tree.map(lambda _: sharding.everywhere(self.mesh), state)

    def passed(self, every: int, step: int) -> bool:
        """Whether a multiple of `every` lies in the chunk that ended at `step`, or the run ended."""
        chunk = (step - 1) % self.run.log_every + 1
        return step >= self.config.steps or (every > 0 and step // every > (step - chunk) // every)

    def due(self, step: int) -> bool:
        """Whether anything but a line is due."""
        periods = (self.run.checkpoint_every, self.run.evaluate_every, self.run.sample_every)
        return bool(self.interrupts.asked) or any(self.passed(every, step) for every in periods)

    def save(self, step: int, state: State, means: Means) -> None:
        """Start to; what is then said survives a kill at any point."""
        flags = jax.device_get(_finite(game.weights(state.params)))
        if bad := [name for name, finite in flags.items() if not finite]:
            raise NonFiniteError(f"{bad[0]} is not finite after step {step}; the checkpoint before it is kept.")
        record = {name: value if np.isfinite(value) else None for name, value in means.items()}
        self.checkpoints.save(step, state, record)

    def speak(self, step: int, state: State, means: Means) -> None:
        """What is due once the state of `step` is saved, or being saved: leaving waits until that is done."""
        with self.interrupts.saved(step):
            state = sharding.here(state)
            if sharding.number():  # the first process does the rest
                return self.journal.line(step, means)
            model = game.trained(self.module, state)
            if self.passed(self.run.sample_every, step):
                fixed = jax.random.fold_in(self.judge, 0)  # the same latents at each step, so that frames compare
                self.draw(step, self.experiment.sample(self.config, model, self.data, fixed))
            if self.passed(self.run.evaluate_every, step):
                self.journal.say(f"Evaluating at step {step}.")
                key = jax.random.fold_in(self.judge, step)
                means = {**means, **self.experiment.evaluate(self.config, model, self.data, key)}
        self.journal.line(step, means)

    def draw(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Each picture as a file and for TensorBoard."""
        for name, picture in pictures.items():
            images.save(self.path / "samples" / f"{name}-step-{step:08d}.png", picture)
            self.journal.image(name, picture, step)

    def finish(self) -> None:
        """The page, and where everything is."""
        from gen_jax import report

        self.checkpoints.wait()
        if sharding.number():
            return
        self.journal.end_bar()
        pictures = sorted((self.path / "samples").glob("samples*-step-*.png"))
        for kind, group in itertools.groupby(pictures, lambda picture: picture.name.partition("-step-")[0]):
            frames = [images.load(picture) for picture in group]
            if len(frames) > 1:
                images.animation(self.path / "samples" / f"progress{kind.removeprefix('samples')}.webp", frames)
        page = report.write(self.path)
        for name, value in read_lines(self.path / "metrics.jsonl")[-1].items():
            if name in self.experiment.UNITS:
                shown = "not finite" if value is None else f"{value:.4f}"
                self.journal.say(f"{name}  {shown} {self.experiment.UNITS[name]}")
        self.journal.say(f"samples  {pictures[-1]}")
        self.journal.say(f"numbers  {self.path / 'metrics.jsonl'}\npage     {page}")


def run(experiment: Experiment, preset: str, config: Any, *, until: int | None = None) -> State:
    """Train, evaluate and report; goes on from what the run directory holds. Of several seeds the states are stacked.

    `until` stops at the end of the chunk that holds that step, saved, as a signal would: raises Interrupted.
    """
    with contextlib.ExitStack() as stack:
        interrupts, every = stack.enter_context(Interrupts()), seeds.configs(config)
        loops: list[Loop] = []
        for one in every:
            loops.append(Loop(experiment, preset, one, stack, interrupts, beside=loops, seeds=len(every)))
        step, state = _start(loops)
        chunks = _programs(loops, step)
        stack.callback(chunks.close)
        pending: tuple[int, Any] | None = None
        while step < config.steps:
            state, metrics = chunks.advance(state)
            if pending:  # while the device works
                for loop, means in zip(loops, _means(loops, *pending), strict=True):
                    loop.journal.line(pending[0], means)
            step, pending = step + metrics[FINITE].shape[-1], None
            if until is not None and step >= until and step < config.steps:
                interrupts.number = 2
            interrupts.agreed = sharding.greatest(interrupts.number, after=(state, metrics))
            if loops[0].due(step):
                done = [*zip(loops, seeds.parts(state, len(loops)), _means(loops, step, metrics), strict=True)]
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


def _start(loops: list[Loop]) -> tuple[int, State]:
    """All at one step: those that have come further go back."""
    started = [loop.start() for loop in loops]
    least = min(step for step, _ in started)
    for i, (step, _) in enumerate(started):
        if step > least:
            loops[i].checkpoints.back_to(least)
            started[i] = loops[i].start()
    if {step for step, _ in started} != {least}:
        raise CheckpointError(
            f"The seeds have no checkpoint of one step, {sorted({step for step, _ in started})}; run those that have "
            "come further alone, with --run.seeds 1, or give another --run.dir."
        )
    stacked = jax.jit(seeds.stacked, out_shardings=sharding.everywhere(loops[0].mesh))
    return least, started[0][1] if len(loops) == 1 else stacked([state for _, state in started])


def _data(source: pipeline.Source, directory: Path | None, beside: Sequence[Loop]) -> pipeline.Data:
    """Seeds in one program learn from one set."""
    if not beside:
        return pipeline.load(source, directory)
    first = beside[0].data
    if source.arrays:  # computed for the seed, perhaps
        own = pipeline.load(source, directory).train
        if not all(np.array_equal(array, own[name]) for name, array in first.train.items()):
            raise UserError("seeds is above 1, but each seed has data of its own: run one after another.")
    return first


def _programs(loops: list[Loop], step: int) -> programs.Programs:
    """What plays the chunks from `step` on."""
    first, count = loops[0], len(loops)
    resident = pipeline.megabytes(first.data.train) <= first.run.resident_megabytes
    if count > 1 and not resident:
        size = math.ceil(pipeline.megabytes(first.data.train))
        raise UserError(
            f"seeds is {count}, for which data must stay on the device: give --run.resident-megabytes {size}."
        )
    return programs.Programs(
        first.stages,
        first.data,
        programs.chunks(first.stages, step, first.config.steps, first.run.log_every),
        keys=[loop.order for loop in loops],
        mesh=first.mesh,
        states=lambda stage: seeds.shapes(first.states(stage), count),
        resident=resident,
        each=first.run.parallel == "pmap",
        journal=first.journal,
    )


def _first(game: Game, data: pipeline.Data, batch_size: int, mesh: Any) -> Callable[[Key], State]:
    """What makes the state before the first step; the shapes of the networks come from a batch of the data."""

    def init(raw: Any, key: Key) -> State:
        born, noise = jax.random.split(key)
        return game.init(born, {**data.prepare(raw, noise), **whole})

    whole = data.birth(data.train)
    raw = {name: np.asarray(array[:batch_size]) for name, array in data.train.items()}
    return functools.partial(jax.jit(init, out_shardings=sharding.everywhere(mesh)), raw)


@jax.jit
def _finite(weights: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: jnp.isfinite(weight).all() for name, weight in weights.items()}


def _means(loops: list[Loop], step: int, metrics: Any) -> list[Means]:
    """For each seed, over the steps of a chunk that ended at `step`, of those that a player played."""
    fetched = jax.device_get(metrics)
    own = [fetched] if len(loops) == 1 else [{name: v[i] for name, v in fetched.items()} for i in range(len(loops))]
    return [_mean(loop, step, values) for loop, values in zip(loops, own, strict=True)]


def _mean(loop: Loop, step: int, values: dict[str, np.ndarray]) -> Means:
    """[steps] each; stops where one was not finite."""
    finite = values.pop(FINITE)
    if (finite != 1).any():
        at = int(np.argmax(finite != 1))
        what = (
            f"The gradient of {[*game.weights(loop.shapes.params)][-int(finite[at]) - 1]}" if finite[at] else "A loss"
        )
        shown = ", ".join(f"{n} {v[at]}" for n, v in values.items() if n.endswith("/loss"))
        of = f" of {loop.path}" if "seeds" in loop.environment else ""
        raise NonFiniteError(
            f"{what} is not finite in step {step - len(finite) + at + 1}{of} ({shown}); the last checkpoint is kept."
        )
    means = {
        name: float(v[~np.isnan(v)].mean()) if not np.isnan(v).all() else float("nan") for name, v in values.items()
    }
    loop.journal.progress(step, means)
    return means


def main(name: str) -> int:
    """The command line of an experiment file: its exit code."""
    compiler.prepare()
    try:
        experiment = cast(Experiment, importlib.import_module(name))
        preset, config = command_line(experiment, sys.argv[1:])
        sharding.join(config.run.hosts)
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("gen_jax").setLevel(logging.INFO)
        run(experiment, preset, config)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
