"""The loop: steps in scanned chunks, one compiled program each; at its periods it saves, draws, evaluates and logs.

Between the steps of a chunk nothing happens on the host, and while the device computes a chunk the host writes the line
of the one before. Where a checkpoint is due, the line of its step is written after it, from numbers that its seal
holds: whenever a run is killed, the resumed one leaves the same metrics.jsonl, bit for bit.
"""

import contextlib
import importlib
import itertools
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import cache, directory, files, game, images, sharding
from gen_jax.checkpoint import Checkpoints
from gen_jax.config import Experiment, command_line
from gen_jax.data import pipeline
from gen_jax.errors import NonFiniteError, UserError
from gen_jax.game import FINITE, Game, State
from gen_jax.interrupts import Interrupts
from gen_jax.journal import Journal, read_lines
from gen_jax.types import Key

Means = dict[str, float]  # of each metric over the steps of one chunk


class Loop:
    """One start of a run: what is open while it lasts, and what happens between chunks."""

    def __init__(self, experiment: Experiment, preset: str, config: Any, stack: contextlib.ExitStack):
        self.experiment, self.config, self.run = experiment, config, config.run
        self.path = config.run.dir or directory.default(experiment, preset, config)
        self.mesh = sharding.mesh(self.run.devices)
        sharding.check_batch(self.mesh, config.batch_size)
        self.interrupts = stack.enter_context(Interrupts())
        stack.enter_context(directory.claim(self.path))
        self.data = pipeline.load(experiment.source(config), self.run.data)
        pipeline.check_batch(self.data.train, config.batch_size)
        directory.describe(self.path, experiment, preset, config)
        self.environment = directory.environment(self.mesh.size)
        files.replace(self.path / "env.json", json.dumps(self.environment, indent=1))
        self.journal = Journal(self.path, steps=config.steps, batch_size=config.batch_size)
        stack.callback(self.journal.close)
        self.checkpoints = Checkpoints(self.path / "checkpoints", keep=self.run.keep, environment=self.environment)
        stack.callback(self.checkpoints.close)
        self.module = experiment.model(config)
        self.game: Game = experiment.game(config)
        self.born, self.order, self.judge = jax.random.split(jax.random.key(self.run.seed), 3)

    def start(self) -> tuple[int, State]:
        """The newest good checkpoint, or the first state; (step, state)."""
        state = _first(self.game, self.data, self.born, self.config.batch_size, self.mesh)
        restored = self.checkpoints.restore(jax.tree.map(_place, state), self.journal.say)
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
        drift = [n for n in directory.MATTERS if seal["environment"].get(n) != self.environment[n]]
        for name in drift:
            before, now = seal["environment"].get(name), self.environment[name]
            self.journal.say(f"Not bit-identical from here: {name} was {before}, is {now}.")
        if line is None:  # killed between the checkpoint and its line
            means = {name: np.nan if value is None else value for name, value in seal["record"].items()}
            self.speak(step, state, means)
        return step, state

    def passed(self, every: int, step: int) -> bool:
        """Whether a multiple of `every` lies in the chunk that ended at `step`, or the run ended."""
        chunk = (step - 1) % self.run.log_every + 1
        return step >= self.config.steps or (every > 0 and step // every > (step - chunk) // every)

    def due(self, step: int) -> bool:
        """Whether anything but a line is due."""
        periods = (self.run.checkpoint_every, self.run.evaluate_every, self.run.sample_every)
        return bool(self.interrupts.number) or any(self.passed(every, step) for every in periods)

    def boundary(self, step: int, state: State, means: Means) -> None:
        """Save, then draw, evaluate and write the line: in the order that survives a kill at any point."""
        if not _all_finite(state.params):
            raise NonFiniteError(f"A weight is not finite after step {step}; the checkpoint before it is kept.")
        record = {name: value if np.isfinite(value) else None for name, value in means.items()}
        self.checkpoints.save(step, state, record)
        self.speak(step, state, means)

    def speak(self, step: int, state: State, means: Means) -> None:
        """What is due once the state of `step` is saved, or being saved: leaving waits until that is done."""
        with self.interrupts.saved(step):
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
    """Train, evaluate and report; goes on from what the run directory holds.

    `until` stops at the end of the chunk that holds that step, saved, as a signal would: raises Interrupted.
    """
    with contextlib.ExitStack() as stack:
        loop = Loop(experiment, preset, config, stack)
        step, state = loop.start()
        advance = _advance(loop, step)
        pending: tuple[int, Any] | None = None
        while step < config.steps:
            state, metrics = advance(state)
            if pending:  # while the device works
                loop.journal.line(pending[0], _means(loop.journal, *pending))
            step, pending = step + len(metrics[FINITE]), None
            if until is not None and step >= until and step < config.steps:
                loop.interrupts.number = 2
            if loop.due(step):
                loop.boundary(step, state, _means(loop.journal, step, metrics))
                loop.journal.restart(step)
            else:
                pending = (step, metrics)
        loop.finish()
        return state


def _chunks(step: int, steps: int, length: int) -> Iterator[tuple[int, int]]:
    """(first step, number of steps) from `step` to the end; chunks begin at multiples of `length`."""
    while step < steps:
        count = min(length - step % length, steps - step)
        yield step, count
        step += count


def _advance(loop: Loop, step: int) -> Callable[[State], tuple[State, Any]]:
    """The function that plays the next chunk; its program is compiled once for each length of chunk."""
    train, batch_size, mesh, key = loop.data.train, loop.config.batch_size, loop.mesh, loop.order
    apart = loop.data.apart
    chunks = list(_chunks(step, loop.config.steps, loop.run.log_every))
    fits = pipeline.megabytes(train) <= loop.run.resident_megabytes
    if fits:
        raw = sharding.replicate(dict(train), mesh)
        batch_of = pipeline.resident(train, loop.data.prepare, batch_size=batch_size, apart=apart)
        inputs: Iterator[Any] = (raw for _ in chunks)
    else:
        batch_of = pipeline.streamed(loop.data.prepare)
        inputs = pipeline.stream(train, key, iter(chunks), batch_size=batch_size, apart=apart)
    place = (lambda raw: raw) if fits else (lambda raw: jax.device_put(raw, sharding.split(mesh, 1)))

    def play(state: State, raw: Any, first: Any, key: Key, count: int) -> tuple[State, Any]:
        def batch(step: Any) -> Any:
            return sharding.split_batch(batch_of(raw, key, step, first), mesh)

        return game.steps(loop.game, state, batch, count)

    everywhere = sharding.everywhere(mesh)
    compiled = jax.jit(play, static_argnums=4, donate_argnums=0, out_shardings=everywhere)
    programs: dict[int, Any] = {}
    plan = iter(chunks)

    def advance(state: State) -> tuple[State, Any]:
        (first, count), raw = next(plan), place(next(inputs))
        arguments = (state, raw, jnp.int32(first), key)
        if count not in programs:
            before = time.monotonic()
            programs[count] = compiled.lower(*arguments, count).compile()
            loop.journal.say(f"Compiled a chunk of {count} steps in {time.monotonic() - before:.1f} s.")
            loop.journal.restart(first)
        return programs[count](*arguments)

    return advance


def _first(game: Game, data: pipeline.Data, key: Key, batch_size: int, mesh: Any) -> State:
    """The state before the first step; the shapes of the networks come from a batch of the data."""

    def init(raw: Any, key: Key) -> State:
        born, noise = jax.random.split(key)
        return game.init(born, {**data.prepare(raw, noise), **whole})

    whole = data.birth(data.train)
    raw = {name: np.asarray(array[:batch_size]) for name, array in data.train.items()}
    return jax.jit(init, out_shardings=sharding.everywhere(mesh))(raw, key)


def _place(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@jax.jit
def _all_finite(tree: Any) -> Any:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _means(journal: Journal, step: int, metrics: Any) -> Means:
    """Over the steps of a chunk that ended at `step`, of those that a player played; stops where one was not finite."""
    fetched = jax.device_get(metrics)
    finite = fetched.pop(FINITE)
    if not finite.all():
        bad = step - len(finite) + int(np.argmin(finite)) + 1
        values = ", ".join(f"{n} {v[np.argmin(finite)]}" for n, v in fetched.items() if n.endswith("/loss"))
        raise NonFiniteError(f"A loss or gradient is not finite in step {bad} ({values}); the last checkpoint is kept.")
    means = {
        name: float(v[~np.isnan(v)].mean()) if not np.isnan(v).all() else float("nan") for name, v in fetched.items()
    }
    journal.progress(step, means)
    return means


def main(name: str) -> int:
    """The command line of an experiment file: its exit code."""
    try:
        experiment = cast(Experiment, importlib.import_module(name))
        preset, config = command_line(experiment, sys.argv[1:])
        cache.compiled_programs()
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("gen_jax").setLevel(logging.INFO)
        run(experiment, preset, config)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
