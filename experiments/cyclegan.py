"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. arXiv:1703.10593

Replicated: both generators and the 70x70 PatchGANs, weight for weight; least squares, cycle and identity losses, the
pool of 50 images, the schedule; the protocols of the Torch and of the PyTorch code; the ablations of section 5.1.3.
The data are photographs of the earth and a relief map of the same places: what is a pair is known, never shown, and
measured on longitudes that no player has seen. On atoms of chosen masses: which pairing of those that are
cycle-consistent is found, one for each permutation that keeps the masses.

Not replicated: the paper's data, which no package carries, and so its numbers: on Cityscapes, labels to photo, a
segmentation network's per-pixel accuracy, per-class accuracy and IoU 0.52, 0.17, 0.11, and photo to labels 0.58, 0.22,
0.16; on Google's maps 26.8 +- 2.8 % (map to photo) and 23.2 +- 3.4 % (photo to map) of people fooled. Errors on our
maps compare with none of them. No Frechet distance: there is no feature map for such pictures here.

Cost: on one of 2 CPU cores, shared with other work, `quick` plays 2 to 6 steps a second, 4675 in 15 to 40 minutes, and
`atoms` takes a minute. `paper`, `official` and `pytorch` are for a GPU and have not been timed.

Run: python -m experiments.cyclegan quick
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import game as games
from gen_jax import images, losses, train
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import worlds
from gen_jax.data.augmentation import cropped, mirrored, resized
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.data.sources import SOURCES
from gen_jax.errors import UserError
from gen_jax.evaluation import similarity
from gen_jax.game import Game, Player, Trained
from gen_jax.layers import ImagePool
from gen_jax.networks import MLP
from gen_jax.schedules import falling
from gen_jax.translation import PatchDiscriminator, Translator
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Weights(Checked):
    """What the generators minimise, equation 3. Each ablation of section 5.1.3 has one or two of them at 0."""

    adversarial: NonNegative = 1
    """Of both adversarial losses."""
    forward: NonNegative = 10
    """Of |F(G(x)) - x|: lambda (section 4)."""
    backward: NonNegative = 10
    """Of |G(F(y)) - y|."""
    identity: NonNegative = 0
    """Of |G(y) - y| and |F(x) - x|: 0.5 lambda in section 5.2, for paintings alone, and in both codes for all data."""


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["earth", "discs", "atoms"] = "earth"
    """Photographs and maps of the earth; discs in two colours; or weighted points in the plane."""
    masses: tuple[Count, ...] = (1, 1, 1, 1)
    """Of the atoms."""
    load: Count = 143
    """Side in pixels to which an image is resized ..."""
    side: Count = 128
    """... before a random part of this side is taken."""
    width: Count = 64
    """Channels of the first layers of all networks; units of those for atoms."""
    blocks: Count = 6
    """Residual blocks: 6 for 128 pixels, 9 for 256 and more (section 4)."""
    halvings: Count = 3
    """Strided layers of the discriminators: 3 see patches of 70 x 70."""
    affine: bool = True
    """Gains and biases in instance norm, as in Torch, or none, as in PyTorch."""
    biases: bool = True
    """Convolutions learn biases; the Torch code sets them to 0 before each evaluation."""
    order: Literal["both", "each"] = "both"
    """Both generators, then both discriminators, as in PyTorch; or G, D_Y, F, D_X, as in Torch."""
    halved: bool = True
    """The discriminators' losses are halved (section 4); Adam hardly sees it."""
    pool: Natural = 50
    """Images in each pool (section 4)."""
    weights: Weights = Weights()
    batch_size: Count = 1
    """Section 4."""
    steps: Count = 200 * SOURCES["earth"].sizes["train"]
    """Batches: 200 epochs; over the second half the rate falls linearly to 0, in the codes once an epoch."""
    learning_rate: Positive = 2e-4
    """Adam's (section 4)."""
    b1: Fraction = 0.5
    """Adam's decay of the first moment, in the codes."""
    run: Run = Run()


EVERYWHERE = Weights(identity=5)
OFFICIAL = Config(weights=EVERYWHERE, order="each", biases=False, halved=False)
PYTORCH = Config(weights=EVERYWHERE, load=286, side=256, blocks=9, affine=False)
QUICK = Config(load=75, side=64, width=16, blocks=3, steps=4675, run=Run(sample_every=935))
DISCS = dataclasses.replace(
    QUICK, data="discs", load=18, side=16, width=8, blocks=1, halvings=1, batch_size=8, steps=2000, run=Run()
)
ATOMS = Config(data="atoms", batch_size=64, steps=4000, learning_rate=1e-3, run=Run(log_every=500))
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = dataclasses.replace(ATOMS, width=8, batch_size=8, pool=12, steps=40, run=OFTEN)

PRESETS = {
    "paper": ("128x128, 6 blocks; 200 epochs; for a GPU", Config()),
    "official": ("the Torch code: players in turn, identity, gains, no biases; for a GPU", OFFICIAL),
    "pytorch": ("the PyTorch code: 256x256, 9 blocks, identity, no gains; for a GPU", PYTORCH),
    "quick": ("64x64, a quarter as wide, 3 blocks, 5 epochs; 15 to 40 minutes on a busy core", QUICK),
    "discs": ("16x16 discs in two colours, which need no download", DISCS),
    "atoms": ("4 atoms of equal mass, of which 24 pairings are cycle-consistent; a minute", ATOMS),
    "tiny": ("the same, 40 steps; seconds, for tests", TINY),
}

PAIRS, BATCH, ROWS = (("photo", "map"), ("map", "photo")), 32, 8
CLAIMS: dict[str, Claim] = {}  # none can be measured on these data: see above
NEAREST = "% of the places whose true image is the nearest"
ERROR = "mean absolute error, of 255"
KINDS = {"l1": ERROR, "ssim": "structural similarity", "top_1": NEAREST, "top_5": NEAREST + " 5"}
FROM = {"": "of the {0} made from the {1}", "_untranslated": "of the {1} as it is, beside the {0}"}
UNITS = {
    **{
        f"test/{kind}_{name}{which}": f"{unit}; {whose.format(name, other)}"
        for other, name in PAIRS
        for which, whose in FROM.items()
        for kind, unit in KINDS.items()
    },
    **{f"test/cycle_{name}": f"{ERROR}; {name} to {other} and back" for name, other in PAIRS},
    "test/places": "images of either domain",
    "test/fits": "1 if the atoms go one to one to atoms of their mass",
    "test/true_pairing": "1 if each atom goes to its partner",
    "test/chance": "of the true pairing, if all that fit were equally likely",
    "test/distance": "of the atoms, moved, to the nearest atoms; the circle has radius 1",
}

# Networks -------------------------------------------------------------------------------------------------------------


class CycleGAN(nn.Module):
    """G, F, D_X and D_Y, and what each discriminator remembers."""

    to_y: nn.Module
    to_x: nn.Module
    d_x: nn.Module
    d_y: nn.Module
    pool_x: nn.Module
    pool_y: nn.Module


def model(config: Config) -> CycleGAN:
    """For atoms, multilayer perceptrons."""

    def network(of_images: nn.Module, features: int) -> nn.Module:
        perceptron = nn.Sequential((MLP((config.width,) * 2, nn.leaky_relu), nn.Dense(features)))
        return perceptron if config.data == "atoms" else of_images

    def translator() -> nn.Module:
        return network(Translator(config.width, config.blocks, config.affine), 2)

    def judge() -> nn.Module:
        return network(PatchDiscriminator(config.width, config.halvings, config.affine), 1)

    return CycleGAN(translator(), translator(), judge(), judge(), ImagePool(config.pool), ImagePool(config.pool))


def world(config: Config) -> worlds.Atoms:
    """The atoms lie anew for each seed."""
    return worlds.atoms(config.masses, config.run.seed)


def source(config: Config) -> Source:
    """ "x", photographs, and "y", maps, in [-1, 1], drawn independently of each other; or points of either domain."""

    def part(image: Array, key: Key) -> Array:
        where, coin = jax.random.split(key)
        return mirrored(cropped(resized(image, config.load), where, config.side), coin)

    def prepare(batch: Batch, key: Key) -> Batch:
        keys = jax.random.split(key)
        return {"x": part(batch["photo"], keys[0]), "y": part(batch["map"], keys[1])}

    if config.data == "atoms":
        return Source("atoms", arrays=lambda: world(config).arrays(), apart=("x", "y"))
    if config.side > config.load:
        raise UserError(f"side is {config.side} and load is {config.load}; give a side of at most {config.load}.")
    if config.side % 4 or config.side < 3 * 2**config.halvings:
        least = 3 * 2**config.halvings
        raise UserError(f"side is {config.side}; {config.halvings} halvings need a multiple of 4, {least} or above.")
    computed = functools.partial(worlds.discs, 18) if config.data == "discs" else None
    return Source(config.data, prepare, arrays=computed, apart=("photo", "map"))


# Objectives -----------------------------------------------------------------------------------------------------------


def translating(model: Any, batch: Batch, key: Key, *, weights: Weights) -> tuple[Array, Metrics]:
    """Equation 3 with section 4's least squares, and section 5.2's identity. A player sees of it what it moves."""
    x, y = batch["x"], batch["y"]
    fake_x, fake_y = model.to_x(y), model.to_y(x)
    terms: dict[str, Callable[[], Array]] = {
        "adversarial": lambda: losses.least_squares(model.d_x(fake_x), 1) + losses.least_squares(model.d_y(fake_y), 1),
        "forward": lambda: losses.absolute(model.to_x(fake_y), x),
        "backward": lambda: losses.absolute(model.to_y(fake_x), y),
        "identity": lambda: losses.absolute(model.to_x(x), x) + losses.absolute(model.to_y(y), y),
    }
    weighed = {name: weight for name, weight in dataclasses.asdict(weights).items() if weight}
    metrics = {name: terms[name]() for name in weighed}
    return jnp.stack([weight * metrics[name] for name, weight in weighed.items()]).sum(), metrics


def telling(model: Any, batch: Batch, key: Key, *, domains: str, factor: float) -> tuple[Array, Metrics]:
    """(D(real) - 1)^2 + D(fake)^2 in each of the domains, "x", "y" or both, the fakes out of its pool."""
    networks = {"x": (model.d_x, model.pool_x, model.to_x), "y": (model.d_y, model.pool_y, model.to_y)}
    metrics = {}
    for domain, other in (("x", "y"), ("y", "x")):
        if domain in domains:
            discriminator, pool, translator = networks[domain]
            key, own = jax.random.split(key)
            fakes = pool(translator(batch[other]), own)
            metrics[f"real_{domain}"] = losses.least_squares(discriminator(batch[domain]), 1)
            metrics[f"fake_{domain}"] = losses.least_squares(discriminator(fakes), 0)
    return factor * jnp.stack([*metrics.values()]).sum(), metrics


def held(params: Any) -> Any:
    """Which weights the Torch code holds at 0: the biases of convolutions."""

    def of_convolution(path: Any, _: Array) -> bool:
        return path[-1].key == "bias" and path[-2].key.startswith("Conv")

    return jax.tree_util.tree_map_with_path(of_convolution, params)


def players(config: Config) -> dict[str, Player]:
    """In either code's order, each with its own Adam."""
    if not any(dataclasses.astuple(config.weights)):
        raise UserError("all weights are 0; give the generators at least one above 0.")
    adam = optax.adam(falling(config.learning_rate, config.steps), b1=config.b1)
    descent = adam if config.biases else optax.chain(adam, optax.masked(optax.set_to_zero(), held))
    generator = functools.partial(translating, weights=config.weights)
    of_x, of_y, of_both = (
        functools.partial(telling, domains=domains, factor=0.5 if config.halved else 1.0)
        for domains in ("x", "y", "xy")
    )
    if config.order == "both":
        return {
            "generators": Player(("to_y", "to_x"), generator, descent),
            "discriminators": Player(("d_x", "d_y", "pool_x", "pool_y"), of_both, descent),
        }
    return {
        "to_y": Player(("to_y",), generator, descent),
        "d_y": Player(("d_y", "pool_y"), of_y, descent),
        "to_x": Player(("to_x",), generator, descent),
        "d_x": Player(("d_x", "pool_x"), of_x, descent),
    }


def game(config: Config) -> Game:
    return games.make(model(config), players(config))


# Evaluation -----------------------------------------------------------------------------------------------------------


def there_and_back(model: Any, x: Array, y: Array) -> dict[str, Array]:
    """What either generator makes, and what the other makes of that."""
    fake_x, fake_y = model.to_x(y), model.to_y(x)
    return {"photo": fake_x, "map": fake_y, "cycle_photo": model.to_x(fake_y), "cycle_map": model.to_y(fake_x)}


def places(config: Config, arrays: Arrays) -> dict[str, np.ndarray]:
    """Both images of each place, resized as in training and cut to the middle: "photo", "map" [n, side, side, 3]."""
    edge = (config.load - config.side) // 2
    middle = slice(edge, edge + config.side)
    resize = jax.jit(functools.partial(resized, side=config.load))
    return {name: np.asarray(resize(arrays[name]))[:, middle, middle] for name in ("photo", "map")}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Of unseen places, how far a translation is from the truth, and whether it finds it; of atoms, which pairing."""
    if config.data == "atoms":
        return {f"test/{name}": value for name, value in world(config).judged(model(to_y, data.test["x"])).items()}
    true = places(config, data.test)
    rows = range(0, len(true["map"]), BATCH)
    parts = [model(there_and_back, *(true[name][i : i + BATCH] for name in ("photo", "map"))) for i in rows]
    made = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    metrics = {"test/places": float(len(true["map"]))}
    for other, name in PAIRS:
        metrics[f"test/cycle_{name}"] = 127.5 * float(np.abs(made[f"cycle_{name}"] - true[name]).mean())
        for which, image in (("", made[name]), ("_untranslated", true[other])):
            found = similarity.to_partners(127.5 * (image + 1), 127.5 * (true[name] + 1), span=255)
            metrics |= {f"test/{metric}_{name}{which}": value for metric, value in found.items()}
    return metrics


def to_y(model: Any, x: Array) -> Array:
    """G(x)"""
    return model.to_y(x)


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Unseen places in rows: the image, its translation, the way back, and the truth. Of atoms, where they go."""
    if config.data == "atoms":
        x, k = world(config).arrays()[0]["x"], np.repeat(np.arange(len(config.masses)), 100 * np.array(config.masses))
        return {"samples": images.scatter(model(to_y, x), k, reach=1.5)}
    few = {name: array[np.linspace(0, len(array) - 1, ROWS).astype(int)] for name, array in data.test.items()}
    true = places(config, few)
    made = {**model(there_and_back, true["photo"], true["map"]), **{f"true_{name}": true[name] for name in true}}
    rows = {name: (f"true_{name}", other, f"cycle_{name}", f"true_{other}") for name, other in PAIRS}
    return {
        f"samples_of_{name}s": images.grid(
            np.stack([0.5 * (np.asarray(made[part]) + 1) for part in row], 1).reshape(-1, *made[name].shape[1:]),
            columns=len(row),
        )
        for name, row in rows.items()
    }


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
