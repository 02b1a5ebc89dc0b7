"""python -m benchmarks.pairings --seeds 96: which pairing of atoms a CycleGAN finds, over many
seeds in one program.

Every permutation of the atoms that keeps their masses is cycle-consistent and fits both domains, so
the data do not say which one is true: if nothing else does, the true one is found once in as many
times as there are such permutations.
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from experiments import cyclegan
from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.data.synthetic import worlds
from gen_jax.run import xla

PLACES = ((1, 1, 1, 1), (1, 1, 2, 2), (1, 2, 3, 4))  # masses: 24, 4 and 1 permutations keep them


def played(config: cyclegan.Config, seeds: Sequence[int]) -> list[dict[str, float]]:
    """What `Atoms.judged` says of each seed's G in the end.

    A seed gives the atoms' order, weights and noise.
    """
    config = dataclasses.replace(config, data="atoms")
    one, all_worlds = (
        game.of(cyclegan, config),
        [worlds.atoms(config.masses, seed) for seed in seeds],
    )
    trains, tests = zip(*(world.arrays() for world in all_worlds), strict=True)
    # [seeds, n, 2]
    raw = {name: jnp.stack([train[name] for train in trains]) for name in ("x", "y")}
    prepare, unpaired = cyclegan.source(config).prepare, cyclegan.source(config).unpaired
    batch_of = pipeline.resident(
        trains[0], prepare, batch_size=config.batch_size, unpaired=unpaired
    )

    def play(raw: dict[str, jax.Array], x: jax.Array, seed: jax.Array) -> jax.Array:
        born, order = jax.random.split(jax.random.key(seed))
        state = one.init(born, {name: array[: config.batch_size] for name, array in raw.items()})
        end, _ = game.steps(
            one, state, lambda step: batch_of(raw, order, step, jnp.int32(0)), config.steps
        )
        return cyclegan.model(config).apply(
            {"params": end.params}, x, method=lambda model, x: model.to_y(x)
        )

    moved = jax.jit(jax.vmap(play))(
        raw, jnp.stack([test["x"] for test in tests]), jnp.asarray(seeds)
    )
    return [world.judged(y) for world, y in zip(all_worlds, np.asarray(moved), strict=True)]


def line(masses: Sequence[int], found: Sequence[dict[str, float]]) -> str:
    """How often a pairing fits and, of those, is the true one, with its 95 % interval (Clopper &
    Pearson 1934).
    """
    fitting = [each for each in found if each["fits"]]
    true, chance = int(sum(each["true_pairing"] for each in fitting)), found[0]["chance"]
    told = f"masses {' '.join(map(str, masses))}: {len(fitting)} of {len(found)} seeds fit"
    if not fitting:
        return f"{told}; predicted {chance:.3f}"
    test = binomtest(true, len(fitting), chance)
    low, high = test.proportion_ci(method="exact")
    return (
        f"{told}; of those {true} are the true pairing, {true / len(fitting):.3f} [{low:.3f}, {high:.3f}]; "
        f"predicted {chance:.3f}, p = {test.pvalue:.2f}"
    )


def main() -> None:
    """Print a line for each choice of masses."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairings", description=__doc__)
    parser.add_argument("--seeds", type=int, default=96)
    parser.add_argument("--steps", type=int, default=cyclegan.ATOMS.steps)
    parser.add_argument(
        "--masses", type=int, nargs="+", help="of the atoms; three choices if not given"
    )
    given = parser.parse_args()
    xla.prepare()
    for masses in (tuple(given.masses),) if given.masses else PLACES:
        before = time.perf_counter()
        config = dataclasses.replace(cyclegan.ATOMS, masses=masses, steps=given.steps)
        print(
            line(masses, played(config, range(given.seeds))),
            f"({time.perf_counter() - before:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
