"""The compiled programs of a run: one for each stage and chunk length, compiled when needed.

A chunk is the number of steps in one call of a program. Seeds that run side by side share their
programs. The first program of the next stage is compiled in a thread while the current stage runs.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.stages import Compiled, Traced

from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.game import Stage, State
from gen_jax.run import flops, seeds, sharding
from gen_jax.types import Array, Batch, Key, Metrics

T = TypeVar("T")
Raw = dict[str, Array]  # uint8 and other arrays of the data set, before preparation

MAX_CHUNK_S = 5  # approximately; signals are handled at the end of a chunk
FLOPS_PER_S = {"cpu": 2e10, "gpu": 5e12, "tpu": 5e13}  # lower bounds
STEP_OVERHEAD_S = 5e-4
# Folded into the data key, plus the number of a later stage. Fields fold in smaller numbers.
STAGE_FOLD = 1 << 16


class Chunk(NamedTuple):
    """The steps in one call of a program."""

    stage: int  # its number
    first: int
    length: int


class Played(NamedTuple):
    """The result of a chunk."""

    state: State
    metrics: Metrics  # [length] each; [seeds, length] for several seeds
    chunk: Chunk
    waited: bool  # the caller waited for compilation


def plan_chunks(
    stages: tuple[Stage, ...], step: int, steps: int, length: Callable[[int], int]
) -> Iterator[Chunk]:
    """Yield the chunks from `step` to the end.

    They end at multiples of the chunk length of their stage, and at the end of each stage.
    """
    for number in range(len(stages)):
        first, end = max(step, stages[number].first), end_of(stages, number, steps)
        while first < end:
            count = min(length(number) - first % length(number), end - first)
            yield Chunk(number, first, count)
            first += count


def end_of(stages: tuple[Stage, ...], number: int, steps: int) -> int:
    """Return the step at which a stage ends."""
    return min(steps, stages[number + 1].first) if number + 1 < len(stages) else steps


def stage_of(stages: tuple[Stage, ...], step: int) -> int:
    """Return the number of the stage that ran the `step`-th step; for step 0, the first stage."""
    return max(i for i, stage in enumerate(stages) if i == 0 or stage.first < step)


class ChunkRunner:
    """Runs the chunks of a run, one per call of `advance`."""

    def __init__(
        self,
        stages: tuple[Stage, ...],
        data: pipeline.Data,
        *,
        first: int,  # the first step
        steps: int,
        log_every: int,
        keys: list[Key],  # for the order of the data, one per seed
        mesh: Mesh,
        state_structs: Callable[[int], State],  # stage -> shapes and shardings of the state
        resident: bool,  # the data are on the devices
        per_device: bool,  # each device runs its own step, as under jax.pmap
        info: Callable[[str], None],
    ):
        self.stages, self.data, self.mesh = stages, data, mesh
        self.state_structs, self.info = state_structs, info
        self.first, self.steps, self.log_every = first, steps, log_every
        self.resident, self.per_device, self.seeds = resident, per_device, len(keys)
        self.keys = [self._stage_keys(keys, i) for i in range(len(stages))]
        self.raw = sharding.replicate(dict(data.train), mesh) if resident else None
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile")
        self.lengths: dict[int, Future[int]] = {}  # by stage
        self.programs: dict[tuple[int, int], Future[Compiled]] = {}  # by stage and length
        self.traced: dict[tuple[int, int], Traced] = {}
        self.remaining = self.plan(first)
        self.inputs = itertools.repeat(self.raw) if self.raw is not None else self._stream()

    @staticmethod
    def _stage_keys(keys: list[Key], number: int) -> Key:
        """Return the data key of a stage; for several seeds, stacked [seeds]."""
        own = [jax.random.fold_in(key, STAGE_FOLD + number) if number else key for key in keys]
        return own[0] if len(own) == 1 else jnp.stack(own)

    def close(self) -> None:
        """Wait for running compilations, and stop the thread."""
        self.worker.shutdown(cancel_futures=True)

    def plan(self, first: int) -> Iterator[Chunk]:
        """Yield the chunks from this step on."""

        def length(number: int) -> int:
            return self._length(number).result()

        return plan_chunks(self.stages, first, self.steps, length)

    def advance(self, state: State) -> Played:
        """Start the next chunk from `state`, whose buffers are donated.

        Waits until its program is compiled.
        """
        chunk = number, first, count = next(self.remaining)
        stage, raw = self.stages[number], next(self.inputs)
        if number and first == stage.first:
            on_enter = seeds.vmap_seeds(stage.on_enter, self.seeds)
            places = _shardings(self.state_structs(number))
            state = jax.jit(on_enter, donate_argnums=0, out_shardings=places)(state)
        waited = (number, count) not in self.programs
        program = self._program(number, count).result()
        end = end_of(self.stages, number, self.steps)
        if end < self.steps and self._length(number + 1).done():
            following = next(self.plan(end))
            self._program(following.stage, following.length)
        state, metrics = program(state, raw, jnp.int32(first), self.keys[number])
        return Played(state, metrics, chunk, waited)

    def _run_chunk(
        self, state: State, raw: Raw, first: Array, key: Key, number: int, count: int
    ) -> tuple[State, Metrics]:
        """Return the function to compile."""
        stage, axis = self.stages[number], sharding.AXIS if self.per_device else None
        batch_of = self._batch_of(stage)

        def run(state: State, raw: Raw, first: Array, key: Key) -> tuple[State, Metrics]:
            def batch(step: Array) -> Batch:
                whole = batch_of(raw, key, step - stage.first, first - stage.first)
                return whole if self.per_device else sharding.split_batch(whole, self.mesh)

            return game.steps(stage.game, state, batch, count, axis)

        if self.per_device:
            run = sharding.per_device(run, self.mesh, raw_axis=None if self.resident else 1)
        if self.seeds > 1:
            run = jax.vmap(run, (seeds.AXES, None, None, 0), (seeds.AXES, 0))
        return run(state, raw, first, key)

    def _batch_of(self, stage: Stage) -> pipeline.BatchOf:
        part = pipeline.ALL
        if self.per_device:
            part = pipeline.Shard(sharding.local_rows, sharding.local_key)
        if not self.resident:
            return pipeline.streamed(self.data.prepare, part)
        return pipeline.resident(
            self.data.train,
            self.data.prepare,
            batch_size=stage.batch_size,
            unpaired=self.data.unpaired,
            part=part,
        )

    def _program(self, number: int, count: int) -> "Future[Compiled]":
        if (number, count) not in self.programs:
            self.programs[number, count] = self.worker.submit(self._compile, number, count)
        return self.programs[number, count]

    def _compile(self, number: int, count: int) -> Compiled:
        before = time.monotonic()
        traced = self.traced.pop((number, count), None) or self._trace(number, count)
        program: Compiled = traced.lower().compile()
        seconds = time.monotonic() - before
        of = f" of stage {number + 1}" if len(self.stages) > 1 else ""
        self.info(f"Compiled a chunk of {count} steps{of} in {seconds:.1f} s.")
        return program

    def _trace(self, number: int, count: int) -> Traced:
        structs = self.state_structs(number)
        arguments = (structs, self._raw_structs(number, count), jnp.int32(0), self.keys[number])
        places = (_shardings(structs), sharding.replicated(self.mesh))
        run = jax.jit(
            self._run_chunk, static_argnums=(4, 5), donate_argnums=0, out_shardings=places
        )
        return run.trace(*arguments, number, count)

    def _raw_structs(self, number: int, count: int) -> dict[str, jax.ShapeDtypeStruct]:
        if self.raw is not None:
            return {name: struct_of(array) for name, array in self.raw.items()}
        shape, where = (count, self.stages[number].batch_size), sharding.split(self.mesh, 1)
        return {
            name: jax.ShapeDtypeStruct((*shape, *array.shape[1:]), array.dtype, sharding=where)
            for name, array in self.data.train.items()
        }

    def _length(self, number: int) -> "Future[int]":
        """Return the chunk length of a stage, a divisor of `log_every`."""
        if number not in self.lengths:
            self.lengths[number] = self.worker.submit(self._choose_length, number)
        return self.lengths[number]

    def _choose_length(self, number: int) -> int:
        """Choose it by the operations of a step, not by a clock, so that a resumed run has the same
        chunks.
        """
        traced = self._trace(number, self.log_every)
        rate = FLOPS_PER_S.get(jax.default_backend(), FLOPS_PER_S["gpu"])
        seconds = flops.of_jaxpr(traced.jaxpr.jaxpr) / self.log_every / rate + STEP_OVERHEAD_S
        most = min(self.log_every, max(1, int(MAX_CHUNK_S / seconds)))
        length = next(n for n in range(most, 0, -1) if self.log_every % n == 0)
        if length == self.log_every:
            self.traced[number, length] = traced
        return length

    def _stream(self) -> Iterator[Raw]:
        for number, chunks in itertools.groupby(self.plan(self.first), lambda chunk: chunk.stage):
            stage = self.stages[number]
            gathered = pipeline.stream(
                self.data.train,
                self.keys[number],
                ((chunk.first - stage.first, chunk.length) for chunk in chunks),
                batch_size=stage.batch_size,
                unpaired=self.data.unpaired,
                rows=sharding.process_rows(stage.batch_size),
            )
            for raw in gathered:
                yield sharding.from_rows(raw, self.mesh, 1)


def struct_of(leaf: Array) -> jax.ShapeDtypeStruct:
    """Return shape, type and sharding of an array."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _shardings(state: State) -> State:
    """Return the sharding of each array, in the same tree."""
    shardings: State = jax.tree.map(lambda leaf: leaf.sharding, state)
    return shardings
