"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. arXiv:1703.10593

Replicated: both generators and the 70x70 PatchGANs, weight for weight; least squares, cycle and identity losses, the
pool of 50 images, the schedule; the protocols of the Torch and of the PyTorch code; the ablations of section 5.1.3.
The data are photographs of the earth and a relief map of the same places, or emoji by Google and by Twitter: what is a
pair is known, never shown, and measured on longitudes and symbols that no player has seen, by errors, nearest partners,
LPIPS, and distances of sets through ResNet-50. On atoms of chosen masses: which pairing of those that are cycle-
consistent is found, one for each permutation that keeps the masses (over seeds: python -m benchmarks.pairings).

Not replicated: the paper's data, which no package carries, but for sets that TFDS has prepared (--data horse2zebra;
cycle and set distances are measured), and so its numbers: on Cityscapes, labels to photo, a
segmentation network's per-pixel accuracy, per-class accuracy and IoU 0.52, 0.17, 0.11, and photo to labels 0.58, 0.22,
0.16; on Google's maps 26.8 +- 2.8 % (map to photo) and 23.2 +- 3.4 % (photo to map) of people fooled. Errors on our
maps compare with none of them, and a Frechet distance through ResNet-50 with no FID, which is through Inception.

Cost: a step takes 0.025 seconds of a CPU core (`small`), 0.077 (`emoji_quick`), 0.089 (`quick`), ResNet-50 0.11 an
image; on a shared core `small` took 4 minutes, `emoji_quick` 7, `quick` 15 to 40. Presets for a GPU are not timed.

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
from flax import linen as nn

from gen_jax import images, losses, optimizers
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.crops import centre_crop, random_crop
from gen_jax.data.pipeline import Arrays, Data, Source, size
from gen_jax.data.synthetic import worlds
from gen_jax.errors import UserError
from gen_jax.evaluation import paired as translation
from gen_jax.game import Player, Trained
from gen_jax.networks.cyclegan import PatchDiscriminator, Translator, check_side
from gen_jax.networks.layers import ImagePool
from gen_jax.networks.mlp import MLP
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

UNPAIRED = (
    "apple2orange",
    "horse2zebra",
    "maps",
    "monet2photo",
    "summer2winter_yosemite",
)  # of TFDS's cycle_gan

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
    data: Literal[
        "earth",
        "emoji",
        "discs",
        "atoms",
        "apple2orange",
        "horse2zebra",
        "maps",
        "monet2photo",
        "summer2winter_yosemite",
    ] = "earth"
    """Photographs and maps of the earth; emoji of two vendors; discs in two colours; weighted points in the plane; or
    sets of the paper, if TFDS has prepared them, without what is a pair."""
    masses: tuple[Count, ...] = (1, 1, 1, 1)
    """Of the atoms."""
    load: Count = 143
    """Side in pixels to which an image is resized ..."""
    pad: Natural = 0
    """... and so many white ones added to each side of it ..."""
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
    epsilon_hat: bool = False
    """Adam adds epsilon before the bias correction, as Torch does, not after it (optimizers.adam)."""
    perceived: Natural = 1000
    """Test images, at most, that are seen through pretrained networks, LPIPS and ResNet-50; 0 for none."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(dataclasses.astuple(self.weights)):
            raise UserError("all weights are 0; give the generators at least one above 0.")
        if self.data == "atoms":
            return
        if self.side > (whole := self.load + 2 * self.pad):
            raise UserError(
                f"side is {self.side} of images of {whole} pixels; give a side of at most {whole}."
            )
        check_side(self.side, self.halvings)
        translation.check_side(self.side, self.perceived)


EVERYWHERE = Weights(identity=5)
OFFICIAL = Config(weights=EVERYWHERE, order="each", biases=False, halved=False, epsilon_hat=True)
PYTORCH = Config(weights=EVERYWHERE, load=286, side=256, blocks=9, affine=False)
EMOJI = Config(
    data="emoji",
    weights=EVERYWHERE,
    load=64,
    pad=4,
    side=64,
    steps=200 * SOURCES["emoji"].sizes["train"],
)
# Without identity, land and sea are exchanged: see `full`.
QUICK = Config(
    load=75, side=64, width=16, blocks=3, weights=EVERYWHERE, steps=4675, run=Run(sample_every=935)
)
SMALL = Config(load=36, side=32, width=16, blocks=2, halvings=1, weights=EVERYWHERE, steps=4675)
EMOJI_QUICK = dataclasses.replace(
    SMALL, data="emoji", load=32, pad=2, batch_size=4, steps=3000, perceived=128
)
DISCS = dataclasses.replace(
    SMALL,
    data="discs",
    weights=Weights(),
    load=18,
    side=16,
    width=8,
    blocks=1,
    batch_size=8,
    steps=2000,
    perceived=0,
)
ATOMS = Config(
    data="atoms", batch_size=64, steps=4000, learning_rate=1e-3, perceived=0, run=Run(log_every=500)
)
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = dataclasses.replace(ATOMS, width=8, batch_size=8, pool=12, steps=40, run=OFTEN)
ABLATIONS = {
    "cycle": ("cycle alone", Weights(adversarial=0)),
    "gan": ("GAN alone", Weights(forward=0, backward=0)),
    "forward": ("GAN + forward cycle", Weights(backward=0)),
    "backward": ("GAN + backward cycle", Weights(forward=0)),
    "full": ("all of equation 3, without identity", Weights()),
}

PRESETS = {
    "paper": ("128x128, 6 blocks; 200 epochs; for a GPU", Config()),
    "official": (
        "the Torch code: players in turn, identity, gains, no biases; for a GPU",
        OFFICIAL,
    ),
    "pytorch": ("the PyTorch code: 256x256, 9 blocks, identity, no gains; for a GPU", PYTORCH),
    "emoji": (
        "64x64 emoji, Google's to Twitter's, with identity as in the codes; 200 epochs; for a GPU",
        EMOJI,
    ),
    "quick": (
        "64x64, a quarter as wide, 3 blocks, 5 epochs, with identity; 8 to 40 minutes of a core",
        QUICK,
    ),
    "small": ("32x32, a quarter as wide, 2 blocks, 5 epochs, with identity; 3 minutes", SMALL),
    "emoji_quick": ("32x32 emoji, a quarter as wide, 2 blocks, 4 epochs; 5 minutes", EMOJI_QUICK),
    **{
        name: (f"{what} (section 5.1.3), as small", dataclasses.replace(SMALL, weights=weights))
        for name, (what, weights) in ABLATIONS.items()
    },
    "discs": ("16x16 discs in two colours, which need no download", DISCS),
    "atoms": ("4 atoms of equal mass, of which 24 pairings are cycle-consistent; a minute", ATOMS),
    "tiny": ("the same, 40 steps; seconds, for tests", TINY),
}

PAIRED = {"earth": ("photo", "map"), "emoji": ("google", "twitter"), "discs": ("photo", "map")}
DOMAINS = {**PAIRED, **dict.fromkeys(UNPAIRED, ("x", "y"))}
CLAIMS: dict[str, Claim] = {}  # none can be measured on these data: see above
UNITS = {
    name: unit
    for data, domains in DOMAINS.items()
    for name, unit in translation.units(*domains, paired=data in PAIRED).items()
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

    networks: list[nn.Module]
    if config.data == "atoms":
        networks = [
            nn.Sequential((MLP((config.width,) * 2, nn.leaky_relu), nn.Dense(n)))
            for n in (2, 2, 1, 1)
        ]
    else:
        networks = [Translator(config.width, config.blocks, config.affine) for _ in range(2)]
        networks += [
            PatchDiscriminator(config.width, config.halvings, config.affine) for _ in range(2)
        ]
    to_y, to_x, d_x, d_y = networks
    return CycleGAN(to_y, to_x, d_x, d_y, ImagePool(config.pool), ImagePool(config.pool))


def world(config: Config) -> worlds.Atoms:
    """The atoms lie anew for each seed."""
    return worlds.atoms(config.masses, config.run.seed)


def source(config: Config) -> Source:
    """ "x" and "y", images of the two domains in [-1, 1], drawn independently of each other; or points of either."""
    if config.data == "atoms":
        return Source("atoms", arrays=lambda: world(config).arrays(), unpaired=("x", "y"))
    domains = DOMAINS[config.data]

    def prepare(batch: Batch, key: Key) -> Batch:
        drawn = functools.partial(random_crop, load=config.load, pad=config.pad, side=config.side)
        return {
            to: drawn(batch[name], k)
            for to, name, k in zip("xy", domains, jax.random.split(key), strict=True)
        }

    computed = functools.partial(worlds.discs, 18) if config.data == "discs" else None
    name = f"tfds:cycle_gan:{config.data}" if config.data in UNPAIRED else config.data
    return Source(name, prepare, arrays=computed, unpaired=domains)


# Objectives -----------------------------------------------------------------------------------------------------------


def translating(model: Any, batch: Batch, key: Key, *, weights: Weights) -> tuple[Array, Metrics]:
    """Equation 3 with section 4's least squares, and section 5.2's identity. A player sees of it what it moves."""
    x, y = batch["x"], batch["y"]
    fake_x, fake_y = model.to_x(y), model.to_y(x)
    terms: dict[str, Callable[[], Array]] = {
        "adversarial": lambda: (
            losses.least_squares(model.d_x(fake_x), 1) + losses.least_squares(model.d_y(fake_y), 1)
        ),
        "forward": lambda: losses.l1(model.to_x(fake_y), x),
        "backward": lambda: losses.l1(model.to_y(fake_x), y),
        "identity": lambda: losses.l1(model.to_x(x), x) + losses.l1(model.to_y(y), y),
    }
    weighed = {name: weight for name, weight in dataclasses.asdict(weights).items() if weight}
    metrics = {name: terms[name]() for name in weighed}
    return jnp.stack([weight * metrics[name] for name, weight in weighed.items()]).sum(), metrics


def telling(
    model: Any, batch: Batch, key: Key, *, domains: str, factor: float
) -> tuple[Array, Metrics]:
    """(D(real) - 1)^2 + D(fake)^2 in each of the domains, "x", "y" or both, the fakes out of its pool."""
    networks = {
        "x": (model.d_x, model.pool_x, model.to_x),
        "y": (model.d_y, model.pool_y, model.to_y),
    }
    metrics = {}
    for domain, other in (("x", "y"), ("y", "x")):
        if domain in domains:
            discriminator, pool, translator = networks[domain]
            key, own = jax.random.split(key)
            fakes = pool(translator(batch[other]), own)
            metrics[f"real_{domain}"] = losses.least_squares(discriminator(batch[domain]), 1)
            metrics[f"fake_{domain}"] = losses.least_squares(discriminator(fakes), 0)
    return factor * jnp.stack([*metrics.values()]).sum(), metrics


def players(config: Config) -> dict[str, Player]:
    """In either code's order, each with its own Adam."""
    adam = optimizers.adam(
        optimizers.constant_then_linear(config.learning_rate, config.steps),
        b1=config.b1,
        epsilon_hat=config.epsilon_hat,
    )
    descent = adam if config.biases else optimizers.freeze_conv_biases(adam)
    generator = functools.partial(translating, weights=config.weights)
    judge = functools.partial(telling, factor=0.5 if config.halved else 1.0)
    of_x, of_y, of_both = (
        functools.partial(judge, domains=domains) for domains in ("x", "y", "xy")
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


# Evaluation -----------------------------------------------------------------------------------------------------------


def places(config: Config, arrays: Arrays) -> dict[str, np.ndarray]:
    """Both images of each place, or as many of each domain, as in training but the middle: {domain: [n, s, s, 3]}"""
    middle = jax.jit(
        functools.partial(centre_crop, load=config.load, pad=config.pad, side=config.side)
    )
    return {name: np.asarray(middle(arrays[name][: size(arrays)])) for name in DOMAINS[config.data]}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Of unseen places, how far a translation is from the truth, and whether it finds it; of atoms, which pairing."""
    if config.data == "atoms":
        found = world(config).judged(
            model(translation.there_and_back, data.test["x"], data.test["y"])[1]
        )
    else:
        true = places(config, data.test)
        made, paired = translation.translated(model, true), config.data in PAIRED
        found = translation.judged(true, made, perceived=config.perceived, paired=paired)
    return {f"test/{name}": value for name, value in found.items()}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Unseen places in rows: the image, its translation, the way back, its partner if any. Of atoms, where they go."""
    if config.data == "atoms":
        x, k = (
            world(config).arrays()[0]["x"],
            np.repeat(np.arange(len(config.masses)), 100 * np.array(config.masses)),
        )
        return {"samples": images.scatter(model(translation.there_and_back, x, x)[1], k, reach=1.5)}
    few = {
        name: array[np.linspace(0, len(array) - 1, 8).astype(int)]
        for name, array in data.test.items()
    }
    true = places(config, few)
    return translation.pages(true, translation.translated(model, true))


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
