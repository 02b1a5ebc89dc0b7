"""One start of a run: its open resources, and its work between chunks.

If a checkpoint is due, the line of its step is written after it, from numbers in its seal. Whenever
a run is killed, the resumed run therefore writes the same metrics.jsonl, bit for bit.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from gen_jax import config as configs
from gen_jax import game, images
from gen_jax.data import pipeline
from gen_jax.errors import DataError, NonFiniteError, UserError
from gen_jax.game import FINITE, Game, Stage, State
from gen_jax.run import directory, initial, lengths, programs, provenance, sharding
from gen_jax.run.checkpoint import Checkpoints, Seal
from gen_jax.run.experiment import C, Experiment, check_measures, check_model, check_pictures
from gen_jax.run.log import Journal, read_lines
from gen_jax.run.signals import Interrupts
from gen_jax.types import Array, Batch, Json, Key

Means = dict[str, float]  # the mean of each metric over the steps of one line
Totals = dict[str, tuple[float, int]]  # the sum of each metric and its number of steps


class Session(Generic[C]):
    """One start of a run. Each of several seeds side by side has its own session."""

    def __init__(
        self,
        experiment: Experiment[C],
        preset: str,
        config: C,
        stack: contextlib.ExitStack,
        interrupts: Interrupts,
        data: pipeline.Data,
        *,
        siblings: Sequence["Session[C]"] = (),
        seeds: int = 1,
    ):
        """Check that the config can be run, then open the run directory until `stack` closes.

        `siblings` are the sessions of the seeds before this one, out of `seeds` in total. Raises
        UserError, without leaving a directory, if parts of the config are incompatible, and
        InUseError if another process writes to the directory.
        """
        self.experiment, self.config, self.run = experiment, config, config.run
        self.interrupts, self.data = interrupts, data
        whole = directory.path_of(experiment, preset, config)
        process = sharding.process_index()
        self.path = whole / "hosts" / str(process) if process else whole
        self.mesh = sharding.mesh(self.run.devices)
        self.module = experiment.model(config)
        check_model(self.module)
        self.game: Game = game.of(experiment, config)
        self.stages = stages_of(experiment, config, self.game)
        for stage in self.stages:
            sharding.check_batch(self.mesh, stage.batch_size)
            pipeline.check_batch(data.train, stage.batch_size)
        self.init: Init = (
            siblings[0].init
            if siblings
            else _make_init(self.game, self.stages[0], data.prepare, self.mesh)
        )
        keys = jax.random.split(jax.random.key(self.run.seed), 3)
        self.init_key, self.data_key, self.eval_key = keys
        size, train = config.batch_size, data.train
        raw = {name: np.asarray(array[:size]) for name, array in train.items()}
        self.init_arguments = (raw, data.init_extras(train), self.init_key)
        shapes = jax.eval_shape(self.init, *self.init_arguments)  # raises the errors of networks
        if self.run.parallel == "pmap":
            game.check_per_device(shapes)
        self.initial: initial.Initial | None = siblings[0].initial if siblings else None
        if not any((whole / "checkpoints").glob("step-*")):
            self._load_initial(shapes)
        self.lock = stack.enter_context(directory.Lock(self.path))
        self.description = directory.describe_and_check(
            self.path, experiment, preset, config, dict(data.hashes)
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
            quiet=bool(siblings or process),
        )
        stack.callback(self.journal.close)
        self.checkpoints = Checkpoints(
            whole / "checkpoints",
            keep=max(self.run.keep, min(seeds, 2)),  # one of several seeds may have to go back
            check=self.lock.check,
            run=self.description,
            **self.origin,
        )
        stack.callback(self.checkpoints.close)
        self.totals: Totals = {}
        self.saved = 0  # step of the last checkpoint

    def init_state(self) -> State:
        """Return the state before the first step.

        The shapes of the networks are inferred from a batch of the data.
        """
        return self.init(*self.init_arguments)

    def start(self) -> tuple[int, State]:
        """Return (step, state) of the newest good checkpoint, or of the start.

        Raises UserError if this is another run, or, with --run.strict, if the program differs.
        """
        state = self.init_state()
        state = jax.device_put(state, self.shardings(state)) if self.run.fsdp else state
        self.structs: State = jax.tree.map(programs.struct_of, state)
        restored = self.checkpoints.restore(
            lambda step: self.state_structs(programs.stage_of(self.stages, step)),
            self.journal.info,
            self.is_of_another_run,
        )
        # Only now is it known that this is the same run.
        if restored:
            self._accept(restored[1])
        elif start_from := self._load_initial(state):
            state = initial.start_from(state, start_from)
            self.description["start"], self.initial = start_from.record, None
            started = start_from.record
            self.journal.info(
                f"Starting with {', '.join(started['networks'])} of {started['from']}, "
                f"step {started['step']:,}."
            )
        environment = {**self.environment, "code": provenance.digest(self.origin["code"])}
        directory.write_description(self.path, self.experiment, self.description, environment)
        return self._resume(*restored) if restored else self._begin(state)

    def _load_initial(self, shapes: State) -> initial.Initial | None:
        """Return the networks to start from, if there are any; they are loaded once."""
        if self.run.init_from and not self.initial:
            file = self.path / "config.json"
            known = directory.read_json(file).get("start") if file.exists() else None
            published = getattr(self.experiment, "STARTS", {})
            self.initial = initial.load(self.run, shapes, published, known)
        return self.initial

    def _accept(self, seal: Seal) -> None:
        """Check that a checkpoint may be resumed, and take over its history.

        Raises UserError if another number of steps is too small, or, with --run.strict, if the
        program differs.
        """
        self.journal.info(f"Resuming from the checkpoint of step {seal['step']} in {self.path}.")
        differences = provenance.differences(seal, self.origin)
        if differences and self.run.strict:
            raise UserError(
                f"{self.path} cannot be resumed unchanged: {'; '.join(differences)}. "
                "Undo the change, or omit --run.strict."
            )
        for difference in differences:
            self.journal.info(f"From here the run may not be bit-identical: {difference}.")
        history = self._history(seal)
        for name in directory.HISTORY:
            self.description.pop(name, None)
        self.description |= history  # in place: it is stored with each checkpoint

    def _history(self, seal: Seal) -> Json:
        """Return the history in a seal, and another number of steps with what that changes."""
        file, step, steps = self.path / "config.json", int(seal["step"]), self.config.steps
        known = seal.get("run") or (directory.read_json(file) if file.exists() else {})
        history = {name: known[name] for name in directory.HISTORY if name in known}
        fields = known.get("config", configs.to_json(self.config))
        before = configs.from_json(type(self.config), fields, "its seal")
        if before.steps != steps:
            lengths.check(self.path, step, steps)
            stages = stages_of(self.experiment, before, game.of(self.experiment, before))
            found = lengths.schedules(
                self.experiment,
                (before, stages),
                (self.config, self.stages),
                self.state_structs,
                self._batch_structs,
            )
            entry = lengths.record(step, before.steps, found)
            history["continued"] = [*history.get("continued", []), entry]
            for line in lengths.describe(entry, steps):
                self.journal.info(line)
        return history

    def _batch_structs(self, size: int) -> Batch:
        """Return the shapes of a prepared batch."""
        train = self.data.train
        raw = {n: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype) for n, a in train.items()}
        batch: Batch = jax.eval_shape(self.data.prepare, raw, self.data_key)
        return batch

    def _begin(self, state: State) -> tuple[int, State]:
        """Start at step 0."""
        info = self.journal.info
        if written := self.journal.lines().count(b"\n"):
            aside = self.journal.set_aside().name
            info(
                "No checkpoint was found: the run starts from scratch; "
                f"its {written} line(s) are kept in {aside}."
            )
        if other := directory.find_renamed(self.path, self.run.seed):
            info(
                f"The run in {other} is a different run: "
                "--run.seeds appends the seed to the name of a directory."
            )
        self.journal.resume(0, b"")
        count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        info(
            f"{count:,} parameters, {self.config.steps:,} steps, {self.mesh.size} device(s): "
            f"{self.path}"
        )
        return 0, state

    def _resume(self, state: State, seal: Seal) -> tuple[int, State]:
        """Resume from a checkpoint."""
        step, kept, own = int(seal["step"]), None, None
        if not sharding.process_index():
            kept, own = self.checkpoints.lines(step), self.checkpoints.line(step)
        line = self.journal.resume(step, kept, own, seal["record"])
        self.saved, self.totals = step, seal.get("totals") or {}
        # Killed between the checkpoint and its line, which another interval may not have.
        if line is None and seal["record"]:
            means = {n: np.nan if value is None else value for n, value in seal["record"].items()}
            self.evaluate_and_log(step, state, means)
        return step, state

    def is_of_another_run(self, seal: Seal) -> str:
        """Describe how the run of a seal differs from this one; empty if it does not, or if this is
        unknown.
        """
        if "run" not in seal:
            return ""
        try:
            return directory.changes(seal["run"], self.description, type(self.config), "its seal")
        except UserError as error:
            return str(error)

    def state_structs(self, stage: int) -> State:
        """Return shapes and shardings of the state in a stage, as a tree like the state."""
        if stage == 0:
            return self.structs
        shapes = jax.eval_shape(self.stages[stage].on_enter, self.structs)

        def struct(leaf: jax.ShapeDtypeStruct, where: NamedSharding) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

        structs: State = jax.tree.map(struct, shapes, self.shardings(shapes))
        return structs

    def shardings(self, state: State) -> State:
        """Return the sharding of each array, in the same tree: replicated, or with fsdp partly
        divided.
        """
        if self.run.fsdp:
            return sharding.fsdp_shardings(state, self.mesh)
        everywhere: State = jax.tree.map(lambda _: sharding.replicated(self.mesh), state)
        return everywhere

    def ends_line(self, step: int) -> bool:
        """Return whether a step has a line in metrics.jsonl: each `log_every`-th, and the last of a
        stage.
        """
        ends = (self.config.steps, *(stage.first for stage in self.stages))
        return step % self.run.log_every == 0 or step in ends

    def is_due(self, every: int, step: int) -> bool:
        """Return whether the line that ends at `step` includes a multiple of `every`, or is the
        last one.
        """
        if not self.ends_line(step):
            return False
        stage_index = programs.stage_of(self.stages, step)
        line_start = (step - 1) // self.run.log_every * self.run.log_every
        before = max(self.stages[stage_index].first, line_start)
        return step >= self.config.steps or (every > 0 and step // every > before // every)

    def needs_save(self, step: int) -> bool:
        """Return whether the state of a step is needed: to save, evaluate, sample or stop."""
        periods = (self.run.checkpoint_every, self.run.evaluate_every, self.run.sample_every)
        return bool(self.interrupts.requested) or any(self.is_due(n, step) for n in periods)

    def add_metrics(self, step: int, values: dict[str, np.ndarray]) -> None:
        """Add the metrics of a chunk that ended at `step`, [steps] each, to those of the line.

        Raises NonFiniteError at the first step that was not finite.
        """
        finite = values.pop(FINITE)
        if (finite != 1).any():
            at = int(np.argmax(finite != 1))
            names = [*game.named_params(self.structs.params)]
            what = f"The gradient of {names[-int(finite[at]) - 1]}" if finite[at] else "A loss"
            losses = ", ".join(f"{n} {v[at]}" for n, v in values.items() if n.endswith("/loss"))
            of = f" of {self.path}" if "seeds" in self.environment else ""
            where = f"step {step - len(finite) + at + 1}{of}"
            raise NonFiniteError(
                f"{what} is not finite in {where} ({losses}); {self._last_checkpoint()}."
            )
        for name, value in values.items():
            played = value[~np.isnan(value)]
            total, count = self.totals.get(name, (0.0, 0))
            self.totals[name] = (total + float(played.sum(dtype=np.float64)), count + len(played))

    def _last_checkpoint(self) -> str:
        self.checkpoints.wait()
        newest = next(iter(self.checkpoints.steps()), None)
        if newest is None:
            return "there is no checkpoint yet"
        return f"the last checkpoint is kept, {newest.name}"

    def end_line(self, step: int) -> Means | None:
        """Return the means over the line that ends at `step`, and show them; None if no line ends
        there.
        """
        if not self.ends_line(step):
            return None
        means = {
            name: total / count if count else float("nan")
            for name, (total, count) in self.totals.items()
        }
        self.totals = {}
        self.journal.progress(step, means)
        return means

    def write_line(self, step: int, means: Means) -> None:
        """Write a line of metrics.jsonl, and a copy next to the checkpoint if its step is saved."""
        self.lock.check()
        line = self.journal.write_metrics(step, means)
        if step == self.saved and not sharding.process_index():
            self.checkpoints.keep_line(step, line)

    def save(self, step: int, state: State, means: Means | None) -> None:
        """Start a save. Everything logged after this survives a kill at any point.

        Raises NonFiniteError if a weight is not finite.
        """
        flags = jax.device_get(_are_finite(game.named_params(state.params)))
        if bad := [name for name, finite in flags.items() if not finite]:
            raise NonFiniteError(
                f"{bad[0]} is not finite after step {step}; {self._last_checkpoint()}."
            )
        record = {n: value if np.isfinite(value) else None for n, value in (means or {}).items()}
        self.lock.check()
        self.checkpoints.save(step, state, record, self.journal.lines(), totals=self.totals)
        self.saved = step

    def evaluate_and_log(self, step: int, state: State, means: Means | None) -> None:
        """Sample, evaluate and write the line of a step, as far as each is due.

        A signal stops it once everything is saved.
        """
        with self.interrupts.safe_point(step):
            if means is None:
                return
            state = sharding.to_host_local(state)
            if sharding.process_index():  # only the first process does the rest
                return self.write_line(step, means)
            model = game.trained(self.module, state)
            if self.is_due(self.run.sample_every, step):
                # The same latents at each step make the pictures comparable.
                key = jax.random.fold_in(self.eval_key, 0)
                pictures = self.experiment.sample(self.config, model, self.data, key)
                check_pictures(pictures)
                self.save_pictures(step, pictures)
            if self.is_due(self.run.evaluate_every, step):
                self.journal.info(f"Evaluating at step {step}.")
                key = jax.random.fold_in(self.eval_key, step)
                measured = self.experiment.evaluate(self.config, model, self.data, key)
                check_measures(measured)
                if not measured:
                    self.journal.info("No measure of this paper could be taken on these test data.")
                directory.add_units(self.path, measured)
                means = {**means, **measured}
        self.write_line(step, means)

    def save_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Write each picture to a file and to TensorBoard."""
        for name, picture in pictures.items():
            images.save(self.path / "samples" / f"{name}-step-{step:08d}.png", picture)
            self.journal.image(name, picture.reshape(*picture.shape[:2], -1), step)

    def finish(self) -> None:
        """Write the page, and log the paths of all results."""
        from gen_jax.report.page import write

        self.checkpoints.wait()
        if sharding.process_index():
            return
        self.lock.check()
        self.journal.end_bar()
        info, samples = self.journal.info, self.path / "samples"
        pictures = sorted(samples.glob("*-step-*.png"))
        self._animate(pictures)
        if not pictures:
            info(f"{samples} has no pictures, so the page has none.")
        page = write(self.path)
        units = directory.read_json(self.path / "paper.json")["units"]
        for name, value in read_lines(self.path / "metrics.jsonl")[-1].items():
            if name in units:
                shown = "not finite" if value is None else f"{value:.4f}"
                info(f"{name}  {shown} {units[name]}")
        for picture in pictures[-1:]:
            info(f"samples  {picture}")
        info(f"numbers  {self.path / 'metrics.jsonl'}\npage     {page}")

    def _animate(self, pictures: Sequence[Path]) -> None:
        """Write an animation of each kind of samples over the steps, if there are at least two
        pictures.
        """
        kinds = itertools.groupby(pictures, lambda path: path.name.partition("-step-")[0])
        for kind, paths in kinds:
            if not kind.startswith("samples"):
                continue
            frames = [frame for path in paths if (frame := self._load_frame(path)) is not None]
            if len(frames) > 1:
                name = f"progress{kind.removeprefix('samples')}.webp"
                images.animation(self.path / "samples" / name, frames)

    def _load_frame(self, picture: Path) -> np.ndarray | None:
        """Return an earlier picture, [h, w, 3] uint8; None, and a line in the log, if it is
        damaged.
        """
        try:
            return images.load(picture)
        except DataError as error:
            self.journal.info(f"{error} The animation is made without it.")
            return None


def load_data(
    experiment: Experiment[C], config: C, siblings: Sequence[pipeline.Data] = ()
) -> pipeline.Data:
    """Return the data of a run.

    Seeds side by side share their arrays; the values for the initial state are separate. Raises
    UserError if the arrays are computed and differ between seeds.
    """
    source = experiment.source(config)
    if not siblings:
        return pipeline.load(source, config.run.data)
    if source.arrays:
        own = pipeline.load(source, config.run.data).train
        shared = siblings[0].train
        if not all(np.array_equal(array, own[name]) for name, array in shared.items()):
            raise UserError(
                "seeds is above 1, but each seed has different data: run them one after another."
            )
    return siblings[0]._replace(init_extras=source.init_extras)


def stages_of(experiment: Experiment[C], config: C, alone: Game) -> tuple[Stage, ...]:
    """Return the stages of an experiment, or its game as the only stage."""
    stages: Callable[[C], tuple[Stage, ...]] | None = getattr(experiment, "stages", None)
    if stages:
        return stages(config)
    return (Stage(0, alone, config.batch_size, lambda state: state),)


Init = Callable[[Mapping[str, np.ndarray], Batch, Key], State]


def _make_init(
    game: Game, stage: Stage, prepare: Callable[[Batch, Key], Batch], mesh: Mesh
) -> Init:
    """Return a compiled function: (raw batch, values of the whole training set, key) -> the initial
    state.
    """

    def init(raw: Batch, extras: Batch, key: Key) -> State:
        init_key, noise = jax.random.split(key)
        return stage.on_enter(game.init(init_key, {**prepare(raw, noise), **extras}))

    return jax.jit(init, out_shardings=sharding.replicated(mesh))


@jax.jit
def _are_finite(weights: dict[str, Array]) -> dict[str, Array]:
    return {name: jnp.isfinite(weight).all() for name, weight in weights.items()}
