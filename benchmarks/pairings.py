"""python -m benchmarks.pairings --seeds 96: which pairing of atoms CycleGAN finds, over many seeds.

Every permutation of the atoms that keeps their masses is cycle-consistent and fits both domains, so
the data do not say which one is true. If nothing else does, each of them is found equally often.
"""

import argparse
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from experiments import cyclegan
from experiments.presets.cyclegan import ATOMS
from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.data.synthetic import worlds
from gen_jax.run import xla

MASSES = ((1, 1, 1, 1), (1, 1, 2, 2), (1, 2, 3, 4))  # kept by 24, 4 and 1 permutations


def play(config: cyclegan.Config, seeds: Sequence[int]) -> list[dict[str, float]]:
    """`Atoms.scores` of each seed's G after training, all in one program.

    A seed gives the places of the atoms, the weights and the noise.
    """
    config = config.but(data="atoms")
    one, source = game.of(cyclegan, config), cyclegan.source(config)
    worlds_of_seeds = [worlds.atoms(config.masses, seed) for seed in seeds]
    trains, tests = zip(*(world.arrays() for world in worlds_of_seeds), strict=True)
    # [seeds, n, 2]
    raw = {name: jnp.stack([train[name] for train in trains]) for name in ("x", "y")}
    batch_of = pipeline.resident(
        trains[0], source.prepare, batch_size=config.batch_size, unpaired=source.unpaired
    )

    def train(raw: dict[str, jax.Array], x: jax.Array, seed: jax.Array) -> jax.Array:
        init_key, data_key = jax.random.split(jax.random.key(seed))
        first = {name: array[: config.batch_size] for name, array in raw.items()}
        end, _ = game.steps(
            one,
            one.init(init_key, first),
            lambda step: batch_of(raw, data_key, step, jnp.int32(0)),
            config.steps,
        )
        return game.Trained(cyclegan.model(config), {"params": end.params}).to_y(x)

    points = jnp.stack([test["x"] for test in tests])
    moved = jax.jit(jax.vmap(train))(raw, points, jnp.asarray(seeds))
    return [world.scores(y) for world, y in zip(worlds_of_seeds, np.asarray(moved), strict=True)]


def line(masses: Sequence[int], found: Sequence[dict[str, float]]) -> str:
    """How often a pairing fits and how often a fitting one is true, with its 95 % interval.

    The interval is that of Clopper & Pearson 1934.
    """
    fitting = [pairing for pairing in found if pairing["fits"]]
    true, chance = int(sum(pairing["true_pairing"] for pairing in fitting)), found[0]["chance"]
    fit = f"masses {' '.join(map(str, masses))}: {len(fitting)} of {len(found)} seeds fit"
    if not fitting:
        return f"{fit}; predicted {chance:.3f}"
    test = binomtest(true, len(fitting), chance)
    low, high = test.proportion_ci(method="exact")
    return (
        f"{fit}; of those {true} are the true pairing, {true / len(fitting):.3f} "
        f"[{low:.3f}, {high:.3f}]; predicted {chance:.3f}, p = {test.pvalue:.2f}"
    )


def main() -> None:
    """Print a line for each choice of masses."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairings", description=__doc__)
    parser.add_argument("--seeds", type=int, default=96)
    parser.add_argument("--steps", type=int, default=ATOMS.steps)
    parser.add_argument(
        "--masses", type=int, nargs="+", help="of the atoms; three choices if not given"
    )
    given = parser.parse_args()
    xla.prepare()
    for masses in (tuple(given.masses),) if given.masses else MASSES:
        before = time.perf_counter()
        found = play(ATOMS.but(masses=masses, steps=given.steps), range(given.seeds))
        print(line(masses, found), f"({time.perf_counter() - before:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
