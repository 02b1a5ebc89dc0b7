"""python -m benchmarks.loop PAPER PRESET: what the loop costs beside the bare jitted step.

A long and a short run are timed: what the long one takes more, divided by its additional steps, is
the time of a step with all that the loop does (lines, checkpoints, pictures), without start and
compilation. The bare step is the jitted step alone, preparation included, of a raw batch at hand;
the chunk is the loop's own program.
"""

import contextlib
import dataclasses
import importlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.errors import Interrupted
from gen_jax.run import sharding, train, xla
from gen_jax.run.experiment import presets

SHORT, LONG, ROUNDS = 1000, 4000, 5


def whole(experiment: Any, preset: str, config: Any, steps: int) -> float:
    """Seconds of a run that is stopped, and saved, after so many steps from an empty directory."""
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        run = dataclasses.replace(config.run, dir=Path(directory) / "run")
        before = time.perf_counter()
        with contextlib.suppress(Interrupted):
            train.run(experiment, preset, dataclasses.replace(config, run=run), until=steps)
        return time.perf_counter() - before


def bare(experiment: Any, config: Any) -> tuple[float, float]:
    """Seconds of a step: jitted alone with its raw batch at hand, and inside a chunk with its batch
    gathered.
    """
    one, data, key = (
        game.of(experiment, config),
        pipeline.load(experiment.source(config)),
        jax.random.key(0),
    )
    raw = sharding.replicate(dict(data.train), sharding.mesh(1))
    batch_of = pipeline.resident(
        data.train, data.prepare, batch_size=config.batch_size, unpaired=data.unpaired
    )
    batch = {name: array[: config.batch_size] for name, array in raw.items()}
    state = jax.jit(lambda key: one.init(key, data.prepare(batch, key)))(key)

    def prepared(state: game.State, batch: Any, key: Any) -> Any:
        return one.step(state, data.prepare(batch, jax.random.fold_in(key, state.step)))

    step = jax.jit(prepared, donate_argnums=0)
    length = config.run.log_every

    def play(state: game.State, raw: Any, key: Any) -> Any:
        return game.steps(one, state, lambda step: batch_of(raw, key, step, 0), length)

    chunk = jax.jit(play, donate_argnums=0)
    seconds = []
    for function, arguments, calls in (
        (step, (batch, key), 1000),
        (chunk, (raw, key), 1000 // length),
    ):
        state, _ = function(state, *arguments)
        before = time.perf_counter()
        for _ in range(calls):
            state, metrics = function(state, *arguments)
        jax.block_until_ready((state, metrics))
        seconds.append(
            (time.perf_counter() - before) / (calls * (length if function is chunk else 1))
        )
    return seconds[0], seconds[1]


def main(paper: str, preset: str) -> None:
    """Print the medians."""
    xla.prepare()
    experiment = importlib.import_module(f"experiments.{paper}")
    config = presets(experiment)[preset][1]
    whole(experiment, preset, config, config.run.log_every)  # fills the caches
    rounds = []
    for _ in range(ROUNDS):
        long, short = (whole(experiment, preset, config, steps) for steps in (LONG, SHORT))
        rounds.append(((long - short) / (LONG - SHORT), *bare(experiment, config)))
    loop, step, chunk = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{paper} {preset}, {jax.devices()[0].device_kind}, medians of {ROUNDS} rounds")
    print(
        f"loop          {1 / loop:8.1f} steps/s  {loop / step:.3f} of the bare step, {loop / chunk:.3f} of the chunk"
    )
    print(f"bare step     {1 / step:8.1f} steps/s")
    print(f"chunk alone   {1 / chunk:8.1f} steps/s")
    print("rounds (ms):", *("/".join(f"{1e3 * t:.2f}" for t in row) for row in rounds))


if __name__ == "__main__":
    main(*sys.argv[1:3])
