"""The programs of a run: where chunks end, and that stages play on the state and the data that they
should.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data import pipeline
from gen_jax.game import Game, Stage, State
from gen_jax.run import programs, sharding
from gen_jax.run.programs import Chunk

DATA = pipeline.Data({"image": np.arange(1, 33, dtype=np.float32)[:, None]}, {}, pipeline.identity)


def stages():
    """A weight that is moved by the sum of a batch, ten times as far in the second stage, from its
    negative on.
    """

    def step(by):
        def move(state, batch):
            total = batch["image"].sum()
            return state.replace(
                step=state.step + 1, params={"w": state.params["w"] + by * total}
            ), {"sum": total}

        return Game(lambda key, batch: None, move)

    def negative(state):
        return state.replace(params={"w": -state.params["w"]}, optimizers={"second": jnp.zeros(3)})

    return Stage(0, step(1), 4, lambda state: state), Stage(10, step(10), 2, negative)


def first():
    state = State(jnp.int32(0), jax.random.key(0), {"w": jnp.float32(0)}, {}, {}, {})
    return sharding.replicate(state, sharding.mesh(1))


def play(start, state, *, resident):
    some = stages()

    def states(number):
        base = jax.tree.map(programs.struct_of, first())
        return (
            base
            if number == 0
            else base.replace(optimizers={"second": programs.struct_of(jnp.zeros(3))})
        )

    player = programs.ChunkRunner(
        some, DATA, first=start, steps=16, log_every=4, keys=[jax.random.key(7)], mesh=sharding.mesh(1),
        state_structs=states, resident=resident, per_device=False, info=lambda text: None,
    )  # fmt: skip
    found, sizes, seen = [state], [], set()
    step = start
    while step < 16:
        state, metrics, chunk, waited = player.advance(state)
        assert chunk.first == step and waited <= ((chunk.stage, chunk.length) not in seen)
        seen.add((chunk.stage, chunk.length))
        step += chunk.length
        found.append(jax.tree.map(jnp.copy, state))
        sizes.append((some[chunk.stage].batch_size, [*map(float, metrics["sum"])]))
    player.close()
    return found, sizes


def test_chunks_begin_at_multiples_and_where_a_stage_does():
    found = [*programs.plan_chunks(stages(), 3, 16, lambda stage: 4)]
    assert found == [
        Chunk(0, 3, 1),
        Chunk(0, 4, 4),
        Chunk(0, 8, 2),
        Chunk(1, 10, 2),
        Chunk(1, 12, 4),
    ]
    assert [*programs.plan_chunks(stages(), 12, 16, lambda stage: 100)] == [Chunk(1, 12, 4)]
    assert [*programs.plan_chunks(stages(), 16, 16, lambda stage: 4)] == []
    own = [*programs.plan_chunks(stages(), 8, 16, (4, 3).__getitem__)]
    assert own == [Chunk(0, 8, 2), Chunk(1, 10, 2), Chunk(1, 12, 3), Chunk(1, 15, 1)]
    endless = programs.plan_chunks(stages(), 0, 10**12, lambda stage: 4)
    assert [next(endless) for _ in range(5)][-1] == Chunk(1, 12, 4)
    assert [programs.stage_of(stages(), step) for step in (0, 1, 10, 11, 16)] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("resident", [True, False])
def test_a_stage_begins_once_on_what_was_left_with_its_own_batches(resident):
    states, played = play(0, first(), resident=resident)
    sums = [
        [value for size, values in played if size == wanted for value in values]
        for wanted in (4, 2)
    ]
    assert [len(values) for values in sums] == [10, 6]
    assert sum(sums[0][:8]) == np.arange(1, 33).sum()  # an epoch of the first stage, of 8 batches
    assert float(states[-1].params["w"]) == -sum(sums[0]) + 10 * sum(sums[1])
    assert [*states[-1].optimizers] == ["second"] and not states[3].optimizers
    # from the end of the first stage, as after a restart: the same
    again, _ = play(10, jax.tree.map(jnp.copy, states[3]), resident=resident)
    assert float(again[-1].params["w"]) == float(states[-1].params["w"])


def test_streamed_batches_are_the_resident_ones():
    assert play(0, first(), resident=True)[1] == play(0, first(), resident=False)[1]


def test_a_chunk_is_of_some_seconds_whatever_a_line_is(monkeypatch):
    """Its length divides the steps of a line, and is the same at each start."""

    def chunk(log_every):
        player = programs.ChunkRunner(
            stages()[:1], DATA, first=0, steps=10**9, log_every=log_every, keys=[jax.random.key(7)],
            mesh=sharding.mesh(1), state_structs=lambda number: jax.tree.map(programs.struct_of, first()),
            resident=True, per_device=False, info=lambda text: None,
        )  # fmt: skip
        try:
            return next(player.remaining)
        finally:
            player.close()

    most = int(programs.MAX_CHUNK_S / programs.STEP_OVERHEAD_S)
    for log_every in (1, 100, 10_007, 1_000_000, 2**31 - 1):
        found = chunk(log_every)
        assert found == chunk(log_every)
        assert found.length <= most and log_every % found.length == 0
    assert chunk(100).length == 100 and chunk(1_000_000).length > most / 2
