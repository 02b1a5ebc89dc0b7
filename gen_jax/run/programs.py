"""The programs of a run, or of several side by side: one for each stage and length of chunk, compiled when needed.

The first program of the next stage is compiled by a thread while the stage before it plays.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.game import Stage, State
from gen_jax.run import flops, seeds, sharding
from gen_jax.run.log import Journal
from gen_jax.types import Key

LONGEST = 5  # [s] of a chunk, about: a signal is obeyed where one ends
OPERATIONS = {"cpu": 2e10, "gpu": 5e12, "tpu": 5e13}  # [1/s] that a machine does at least
OVERHEAD = 5e-4  # [s] of a step
STAGE = (
    1 << 16
)  # folded into the key of the order, with the number of a later stage; fields have smaller numbers


class Chunk(NamedTuple):
    """Steps that are played by one call of a program."""

    stage: int  # its number
    first: int
    length: int


def chunks(
    stages: tuple[Stage, ...], step: int, steps: int, length: Callable[[int], int]
) -> Iterator[Chunk]:
    """From `step` to the end; those of a stage end at multiples of its length, and where the stage does."""
    for number in range(len(stages)):
        first, end = max(step, stages[number].first), end_of(stages, number, steps)
        while first < end:
            yield Chunk(number, first, min(length(number) - first % length(number), end - first))
            first += min(length(number) - first % length(number), end - first)


def end_of(stages: tuple[Stage, ...], number: int, steps: int) -> int:
    """The step at which a stage ends."""
    return min(steps, stages[number + 1].first) if number + 1 < len(stages) else steps


def stage_of(stages: tuple[Stage, ...], step: int) -> int:
    """The number of the stage whose game has played when `step` steps are done; the first one before any."""
    return max(i for i, stage in enumerate(stages) if i == 0 or stage.first < step)


class Programs:
    """Plays the chunks of a run, one call after another."""

    def __init__(
        self,
        stages: tuple[Stage, ...],
        data: pipeline.Data,
        *,
        first: int,  # the step to begin with
        steps: int,
        log_every: int,
        keys: list[Key],  # of the order of the data, for each seed
        mesh: Any,
        states: Callable[[int], State],  # of a stage: shapes and places
        resident: bool,
        each: bool,  # device plays a step of its own
        journal: Journal,
    ):
        self.stages, self.data, self.mesh, self.states, self.journal = (
            stages,
            data,
            mesh,
            states,
            journal,
        )
        self.first, self.steps, self.log_every = first, steps, log_every
        self.resident, self.each, self.seeds = resident, each, len(keys)
        later = [
            [jax.random.fold_in(key, STAGE + i) if i else key for key in keys]
            for i in range(len(stages))
        ]
        self.keys = [own[0] if len(own) == 1 else jnp.stack(own) for own in later]  # of each stage
        self.raw = sharding.replicate(dict(data.train), mesh) if resident else None
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile")
        self.lengths: dict[int, Future[int]] = {}  # by stage
        self.made: dict[tuple[int, int], Future[Any]] = {}  # by stage and length
        self.traced: dict[tuple[int, int], Any] = {}
        self.remaining = self.plan(first)
        self.inputs = itertools.repeat(self.raw) if resident else self._streamed()

    def close(self) -> None:
        """Wait for what is being compiled, and end the thread."""
        self.worker.shutdown(cancel_futures=True)

    def plan(self, first: int) -> Iterator[Chunk]:
        """The chunks from a step on."""
        return chunks(self.stages, first, self.steps, lambda number: self._length(number).result())

    def advance(self, state: State) -> tuple[State, Any, Chunk]:
        """The next chunk: the state after it, the metrics of its steps, and which it was."""
        chunk = number, first, count = next(self.remaining)
        stage, raw = self.stages[number], self._placed(next(self.inputs))
        if number and first == stage.first:
            on_enter = seeds.together(stage.on_enter, self.seeds)
            state = jax.jit(on_enter, donate_argnums=0, out_shardings=_places(self.states(number)))(
                state
            )
        fresh = (number, count) not in self.made
        program = self._made(number, count).result()
        if fresh:
            self.journal.restart(first)
        self.journal.batch_size = stage.batch_size * self.seeds
        if (end := end_of(self.stages, number, self.steps)) < self.steps and self._length(
            number + 1
        ).done():
            following = next(self.plan(end))
            self._made(following.stage, following.length)
        state, metrics = program(state, raw, jnp.int32(first), self.keys[number])
        return state, metrics, chunk

    def _play(
        self, state: State, raw: Any, first: Any, key: Key, number: int, count: int
    ) -> tuple[State, Any]:
        stage, unpaired = self.stages[number], self.data.unpaired
        part = pipeline.Shard(sharding.own, sharding.own_key) if self.each else pipeline.ALL
        if self.resident:
            train, prepare = self.data.train, self.data.prepare
            batch_of = pipeline.resident(
                train, prepare, batch_size=stage.batch_size, unpaired=unpaired, part=part
            )
        else:
            batch_of = pipeline.streamed(self.data.prepare, part)

        def play(state: State, raw: Any, first: Any, key: Key) -> tuple[State, Any]:
            def batch(step: Any) -> Any:
                found = batch_of(raw, key, step - stage.first, first - stage.first)
                return found if self.each else sharding.split_batch(found, self.mesh)

            return game.steps(stage.game, state, batch, count, sharding.AXIS if self.each else None)

        if self.each:
            play = sharding.per_device(play, self.mesh, raw=None if self.resident else 1)
        if self.seeds > 1:
            play = jax.vmap(play, (seeds.AXES, None, None, 0), (seeds.AXES, 0))
        return play(state, raw, first, key)

    def _made(self, number: int, count: int) -> "Future[Any]":
        if (number, count) not in self.made:
            self.made[number, count] = self.worker.submit(self._compile, number, count)
        return self.made[number, count]

    def _compile(self, number: int, count: int) -> Any:
        before = time.monotonic()
        program = (
            (self.traced.pop((number, count), None) or self._trace(number, count)).lower().compile()
        )
        of = f" of stage {number + 1}" if len(self.stages) > 1 else ""
        self.journal.say(
            f"Compiled a chunk of {count} steps{of} in {time.monotonic() - before:.1f} s."
        )
        return program

    def _trace(self, number: int, count: int) -> Any:
        if self.resident:
            raw = jax.tree.map(place, self.raw)
        else:
            shape, where = (count, self.stages[number].batch_size), sharding.split(self.mesh, 1)
            raw = {
                name: jax.ShapeDtypeStruct((*shape, *array.shape[1:]), array.dtype, sharding=where)
                for name, array in self.data.train.items()
            }
        arguments = (self.states(number), raw, jnp.int32(0), self.keys[number])
        places = (_places(arguments[0]), sharding.replicated(self.mesh))
        play = jax.jit(self._play, static_argnums=(4, 5), donate_argnums=0, out_shardings=places)
        return play.trace(*arguments, number, count)

    def _length(self, number: int) -> "Future[int]":
        """Of the chunks of a stage: a divisor of `log_every`."""
        if number not in self.lengths:
            self.lengths[number] = self.worker.submit(self._measure, number)
        return self.lengths[number]

    def _measure(self, number: int) -> int:
        """From the operations that a step writes down, not from a clock: a resumed run has the same chunks."""
        traced = self._trace(number, self.log_every)
        rate = OPERATIONS.get(jax.default_backend(), OPERATIONS["gpu"])
        seconds = flops.of(traced.jaxpr.jaxpr) / self.log_every / rate + OVERHEAD
        most = min(self.log_every, max(1, int(LONGEST / seconds)))
        length = next(n for n in range(most, 0, -1) if self.log_every % n == 0)
        if length == self.log_every:
            self.traced[number, length] = traced
        return length

    def _streamed(self) -> Iterator[Any]:
        for number, own in itertools.groupby(self.plan(self.first), lambda chunk: chunk.stage):
            stage, first = self.stages[number], self.stages[number].first
            shifted = ((chunk.first - first, chunk.length) for chunk in own)
            size, unpaired, here = (
                stage.batch_size,
                self.data.unpaired,
                sharding.rows(stage.batch_size),
            )
            train, order = self.data.train, self.keys[number]
            yield from pipeline.stream(
                train, order, shifted, batch_size=size, unpaired=unpaired, rows=here
            )

    def _placed(self, raw: Any) -> Any:
        return raw if self.resident else sharding.from_rows(raw, self.mesh, 1)


def place(leaf: Any) -> Any:
    """Shape, type and place of an array."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _places(state: State) -> Any:
    """Of its arrays."""
    return jax.tree.map(lambda leaf: leaf.sharding, state)
