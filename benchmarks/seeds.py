"""What seeds side by side gain: steps of one program for many against as many of a program for one,
in one process.

Run: python -m benchmarks.seeds PAPER PRESET COUNT
"""

import importlib
import statistics
import sys
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.run import seeds, sharding, xla
from gen_jax.run.experiment import presets

ROUNDS = 5


def chunks(experiment: Any, config: Any, count: int) -> tuple[Any, Any]:
    """(states, a compiled chunk of log_every steps of `count` seeds) -> the states after it."""
    one, data = game.of(experiment, config), pipeline.load(experiment.source(config))
    raw = sharding.replicate(dict(data.train), sharding.mesh(1))
    batch_of = pipeline.resident(
        data.train, data.prepare, batch_size=config.batch_size, unpaired=data.unpaired
    )
    first = {name: array[: config.batch_size] for name, array in raw.items()}
    init_extras = data.init_extras(data.train)

    def init(key: Any) -> game.State:
        return one.init(key, {**data.prepare(first, key), **init_extras})

    def play(state: game.State, key: Any, raw: Any) -> game.State:
        return game.steps(
            one, state, lambda step: batch_of(raw, key, step, jnp.int32(0)), config.run.log_every
        )[0]

    keys = jax.random.split(jax.random.key(0), count)
    states = seeds.stack([jax.jit(init)(key) for key in keys])
    many = play if count == 1 else jax.vmap(play, (seeds.AXES, 0, None), seeds.AXES)
    compiled = jax.jit(many, donate_argnums=0)
    return states, partial(
        lambda state, key, raw: compiled(state, key, raw),
        key=keys[0] if count == 1 else keys,
        raw=raw,
    )


def main(paper: str, preset: str, count: int) -> None:
    """Print the medians of interleaved rounds."""
    xla.prepare()
    experiment = importlib.import_module(f"experiments.{paper}")
    config = presets(experiment)[preset][1]
    programs = {n: chunks(experiment, config, n) for n in (1, count)}
    states = {n: jax.block_until_ready(chunk(state)) for n, (state, chunk) in programs.items()}
    speeds: dict[int, list[float]] = {n: [] for n in programs}
    for _ in range(ROUNDS):
        for n, (_, chunk) in programs.items():
            before = time.perf_counter()
            states[n] = jax.block_until_ready(chunk(states[n]))
            speeds[n].append(n * config.run.log_every / (time.perf_counter() - before))
    one, many = (statistics.median(speeds[n]) for n in (1, count))
    print(
        f"{paper} {preset}, {jax.devices()[0].device_kind}, medians of {ROUNDS} rounds, steps/s of all seeds together"
    )
    print(
        f"1 seed {one:.1f}, {count} seeds side by side {many:.1f}: {many / one:.2f} times as many"
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
