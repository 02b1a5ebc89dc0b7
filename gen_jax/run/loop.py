"""One start of one run: what is open while it lasts, and what is saved, drawn, measured and written between its chunks.

Where a checkpoint is due, the line of its step is written after it, from numbers that its seal holds: whenever a run is
killed, the resumed one leaves the same metrics.jsonl, bit for bit.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import game, images
from gen_jax.data import pipeline
from gen_jax.errors import DataError, NonFiniteError, UserError
from gen_jax.game import FINITE, Game, Stage, State
from gen_jax.run import directory, programs, provenance, sharding
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.experiment import Experiment
from gen_jax.run.log import Journal, read_lines
from gen_jax.run.signals import Interrupts
from gen_jax.types import Key

Means = dict[str, float]  # of each metric over the steps of one line
Totals = dict[str, tuple[float, int]]  # of each metric: the sum, and of how many steps


class Loop:
    """One start of a run: what is open while it lasts, and what happens between chunks."""

    def __init__(
        self,
        experiment: Experiment,
        preset: str,
        config: Any,
        stack: contextlib.ExitStack,
        interrupts: Interrupts,
        data: pipeline.Data,
        *,
        beside: Sequence["Loop"] = (),
        seeds: int = 1,
    ):
        self.experiment, self.config, self.run, self.interrupts = (
            experiment,
            config,
            config.run,
            interrupts,
        )
        whole = directory.of(experiment, preset, config)
        self.path = (
            whole / "hosts" / str(sharding.process_index()) if sharding.process_index() else whole
        )
        self.mesh = sharding.mesh(self.run.devices)
        self.game: Game = game.of(experiment, config)
        own = getattr(experiment, "stages", None)
        alone = Stage(0, self.game, config.batch_size, lambda state: state)
        self.stages: tuple[Stage, ...] = own(config) if own else (alone,)
        for stage in self.stages:
            sharding.check_batch(self.mesh, stage.batch_size)
            pipeline.check_batch(data.train, stage.batch_size)
        self.data = data
        self.lock = stack.enter_context(directory.Lock(self.path))
        self.description = directory.describe(
            self.path, experiment, preset, config, dict(self.data.hashes)
        )
        self.environment = provenance.environment(self.mesh.size, seeds)
        self.origin = {
            "environment": self.environment,
            "settings": provenance.settings(),
            "code": provenance.code(experiment),
        }
        self.journal = Journal(
            self.path,
            steps=config.steps,
            batch_size=config.batch_size,
            quiet=bool(beside or sharding.process_index()),
        )
        stack.callback(self.journal.close)
        keep = max(self.run.keep, min(seeds, 2))  # of several, one may have to go back
        self.checkpoints = Checkpoints(
            whole / "checkpoints",
            keep=keep,
            check=self.lock.check,
            run=self.description,
            **self.origin,
        )
        stack.callback(self.checkpoints.close)
        self.module = experiment.model(config)
        self.init: Callable[..., State] = (
            beside[0].init
            if beside
            else _init(self.game, self.stages[0], self.data.prepare, self.mesh)
        )
        self.born, self.order, self.judge = jax.random.split(jax.random.key(self.run.seed), 3)
        self.totals: Totals = {}
        self.saved = 0  # the step of the last checkpoint

    def first(self) -> State:
        """The state before the first step; the shapes of the networks come from a batch of the data."""
        raw = {
            name: np.asarray(array[: self.config.batch_size])
            for name, array in self.data.train.items()
        }
        return self.init(raw, self.data.init_extras(self.data.train), self.born)

    def start(self) -> tuple[int, State]:
        """The newest good checkpoint, or the first state; (step, state)."""
        state = self.first()
        state = jax.device_put(state, self.places(state)) if self.run.fsdp else state
        self.shapes = jax.tree.map(programs.place, state)
        played = functools.partial(programs.stage_of, self.stages)
        restored = self.checkpoints.restore(
            lambda step: self.states(played(step)), self.journal.say, self.other
        )
        directory.write(
            self.path, self.experiment, self.config, self.description, self.environment
        )  # it is this run
        if restored is None:
            if written := self.journal.lines().count(b"\n"):
                aside = self.journal.set_aside().name
                self.journal.say(
                    f"No checkpoint is there: the run starts afresh; {aside} keeps its {written} line(s)."
                )
            if other := directory.elsewhere(self.path, self.run.seed):
                self.journal.say(
                    f"The run in {other} is another one: --run.seeds adds the seed to a directory's name."
                )
            self.journal.resume(0, b"")
            count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
            self.journal.say(
                f"{count:,} parameters, {self.config.steps:,} steps, {self.mesh.size} device(s): {self.path}"
            )
            return 0, state
        state, seal = restored
        step = int(seal["step"])
        self.journal.say(f"Going on from the checkpoint of step {step} in {self.path}.")
        differences = provenance.differences(seal, self.origin)
        if differences and self.run.strict:
            raise UserError(
                f"{self.path} cannot go on as it was: {'; '.join(differences)}. Undo that, or leave out --run.strict."
            )
        for difference in differences:
            self.journal.say(f"From here it may not be bit-identical: {difference}.")
        kept = (
            (None, None)
            if sharding.process_index()
            else (self.checkpoints.lines(step), self.checkpoints.line(step))
        )
        line = self.journal.resume(step, *kept, seal["record"])
        self.saved, self.totals = step, seal.get("totals") or {}
        if line is None and self.ends_line(step):  # killed between the checkpoint and its line
            means = {
                name: np.nan if value is None else value for name, value in seal["record"].items()
            }
            self.speak(step, state, means)
        return step, state

    def other(self, seal: dict[str, Any]) -> str:
        """What makes a seal that of another run; those of an older release do not say whose they are."""
        if "run" not in seal:
            return ""
        try:
            return directory.changes(seal["run"], self.description, type(self.config), "its seal")
        except UserError as error:
            return str(error)

    def states(self, stage: int) -> State:
        """Shapes and places of the state in a stage."""
        if stage == 0:
            return self.shapes
        shapes = jax.eval_shape(self.stages[stage].on_enter, self.shapes)
        return jax.tree.map(
            lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
            shapes,
            self.places(shapes),
        )

    def places(self, state: State) -> Any:
        """Where each array of a state lies: a copy on each device, or some divided among them."""
        if self.run.fsdp:
            return sharding.fsdp_shardings(state, self.mesh)
        return jax.tree.map(lambda _: sharding.replicated(self.mesh), state)

    def ends_line(self, step: int) -> bool:
        """Whether a line of metrics.jsonl belongs to a step: of every `log_every`-th, and the last one of a stage."""
        return step % self.run.log_every == 0 or step in (
            self.config.steps,
            *(stage.first for stage in self.stages),
        )

    def passed(self, every: int, step: int) -> bool:
        """Whether a multiple of `every` lies in the steps of the line that ends at `step`, or the run ended."""
        if not self.ends_line(step):
            return False
        stage = self.stages[programs.stage_of(self.stages, step)]
        before = max(stage.first, (step - 1) // self.run.log_every * self.run.log_every)
        return step >= self.config.steps or (every > 0 and step // every > before // every)

    def due(self, step: int) -> bool:
        """Whether anything but a line is due."""
        periods = (self.run.checkpoint_every, self.run.evaluate_every, self.run.sample_every)
        return bool(self.interrupts.asked) or any(self.passed(every, step) for every in periods)

    def add(self, step: int, values: dict[str, np.ndarray]) -> None:
        """The metrics [steps] of a chunk that ended at `step`, to those of the line; stops where one was not finite."""
        finite = values.pop(FINITE)
        if (finite != 1).any():
            at = int(np.argmax(finite != 1))
            network = (
                [*game.named_params(self.shapes.params)][-int(finite[at]) - 1] if finite[at] else ""
            )
            what = f"The gradient of {network}" if network else "A loss"
            shown = ", ".join(f"{n} {v[at]}" for n, v in values.items() if n.endswith("/loss"))
            of = f" of {self.path}" if "seeds" in self.environment else ""
            where = f"step {step - len(finite) + at + 1}{of}"
            raise NonFiniteError(f"{what} is not finite in {where} ({shown}); {self._kept()}.")
        for name, value in values.items():
            played = value[~np.isnan(value)]
            total, count = self.totals.get(name, (0.0, 0))
            self.totals[name] = (total + float(played.sum(dtype=np.float64)), count + len(played))

    def _kept(self) -> str:
        self.checkpoints.wait()
        newest = next(iter(self.checkpoints.steps()), None)
        return (
            f"the last checkpoint is kept, {newest.name}"
            if newest
            else "there is no checkpoint yet"
        )

    def means(self, step: int) -> Means | None:
        """Of each metric over the steps of the line that ends at `step`; None where none ends."""
        if not self.ends_line(step):
            return None
        means = {
            name: total / count if count else float("nan")
            for name, (total, count) in self.totals.items()
        }
        self.totals = {}
        self.journal.progress(step, means)
        return means

    def line(self, step: int, means: Means) -> None:
        self.lock.check()
        line = self.journal.line(step, means)
        if step == self.saved and not sharding.process_index():
            self.checkpoints.keep_line(step, line)

    def save(self, step: int, state: State, means: Means | None) -> None:
        """Start to; what is then said survives a kill at any point."""
        flags = jax.device_get(_finite(game.named_params(state.params)))
        if bad := [name for name, finite in flags.items() if not finite]:
            raise NonFiniteError(f"{bad[0]} is not finite after step {step}; {self._kept()}.")
        record = {
            name: value if np.isfinite(value) else None for name, value in (means or {}).items()
        }
        self.lock.check()
        self.checkpoints.save(step, state, record, self.journal.lines(), totals=self.totals)
        self.saved = step

    def speak(self, step: int, state: State, means: Means | None) -> None:
        """What is due once the state of `step` is saved, or being saved: leaving waits until that is done."""
        with self.interrupts.saved(step):
            if means is None:
                return
            state = sharding.to_host_local(state)
            if sharding.process_index():  # the first process does the rest
                return self.line(step, means)
            model = game.trained(self.module, state)
            if self.passed(self.run.sample_every, step):
                fixed = jax.random.fold_in(
                    self.judge, 0
                )  # the same latents at each step, so that frames compare
                self.draw(step, self.experiment.sample(self.config, model, self.data, fixed))
            if self.passed(self.run.evaluate_every, step):
                self.journal.say(f"Evaluating at step {step}.")
                key = jax.random.fold_in(self.judge, step)
                measured = self.experiment.evaluate(self.config, model, self.data, key)
                directory.add_units(self.path, measured)
                means = {**means, **measured}
        self.line(step, means)

    def draw(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Each picture as a file and for TensorBoard."""
        for name, picture in pictures.items():
            images.save(self.path / "samples" / f"{name}-step-{step:08d}.png", picture)
            self.journal.image(name, picture, step)

    def finish(self) -> None:
        """The page, and where everything is."""
        from gen_jax.report.page import write

        self.checkpoints.wait()
        if sharding.process_index():
            return
        self.lock.check()
        self.journal.end_bar()
        pictures = sorted((self.path / "samples").glob("*-step-*.png"))
        for kind, group in itertools.groupby(
            pictures, lambda picture: picture.name.partition("-step-")[0]
        ):
            frames = [
                frame
                for picture in group
                if kind.startswith("samples") and (frame := self.frame(picture)) is not None
            ]
            if len(frames) > 1:
                images.animation(
                    self.path / "samples" / f"progress{kind.removeprefix('samples')}.webp", frames
                )
        if not pictures:
            self.journal.say(
                f"There are no pictures in {self.path / 'samples'}, so the page has none."
            )
        page = write(self.path)
        units = directory.read_json(self.path / "paper.json")["units"]
        for name, value in read_lines(self.path / "metrics.jsonl")[-1].items():
            if name in units:
                shown = "not finite" if value is None else f"{value:.4f}"
                self.journal.say(f"{name}  {shown} {units[name]}")
        for picture in pictures[-1:]:
            self.journal.say(f"samples  {picture}")
        self.journal.say(f"numbers  {self.path / 'metrics.jsonl'}\npage     {page}")

    def frame(self, picture: Path) -> np.ndarray | None:
        """An earlier picture, if it is whole."""
        try:
            return images.load(picture)
        except DataError as error:
            self.journal.say(f"{error} The progress is shown without it.")
            return None


def load(
    experiment: Experiment, config: Any, beside: Sequence[pipeline.Data] = ()
) -> pipeline.Data:
    """Seeds in one program learn from one set; what each first state knows of it is its own."""
    source = experiment.source(config)
    if not beside:
        return pipeline.load(source, config.run.data)
    if source.arrays:  # computed for the seed, perhaps
        own = pipeline.load(source, config.run.data).train
        if not all(np.array_equal(array, own[name]) for name, array in beside[0].train.items()):
            raise UserError(
                "seeds is above 1, but each seed has data of its own: run one after another."
            )
    return beside[0]._replace(init_extras=source.init_extras)


def _init(game: Game, stage: Stage, prepare: Callable[..., Any], mesh: Any) -> Callable[..., State]:
    """(raw batch, what is known of the whole set, key) -> the state before the first step."""

    def init(raw: Any, whole: Any, key: Key) -> State:
        born, noise = jax.random.split(key)
        return stage.on_enter(game.init(born, {**prepare(raw, noise), **whole}))

    return jax.jit(init, out_shardings=sharding.replicated(mesh))


@jax.jit
def _finite(weights: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: jnp.isfinite(weight).all() for name, weight in weights.items()}
