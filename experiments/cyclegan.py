"""Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks.

Jun-Yan Zhu, Taesung Park, Phillip Isola, Alexei A. Efros. ICCV 2017. arXiv:1703.10593

Replicated: generators and 70x70 PatchGANs, weight for weight; least squares, cycle and identity
losses, pools, schedule; the Torch and PyTorch codes; the ablations of section 5.1.3. The data are
photographs and maps of the earth, or emoji of two vendors; pairs are known, and used only in tests:
errors, nearest partners, LPIPS, set distances. For atoms with masses: the pairing found; all
mass-preserving ones are cycle-consistent (benchmarks.pairings).

Not replicated: the data of the paper, which may not be redistributed (TFDS has some: --data maps),
and so its numbers. Cityscapes, per-pixel and per-class accuracy and IoU of a segmentation: labels
to photo 0.52, 0.17, 0.11, back 0.58, 0.22, 0.16. Google Maps, people fooled: to photo 26.8 +- 2.8
%, to map 23.2 +- 3.4 %. Set distances use ResNet-50, not FID.

Cost: seconds per step of a CPU core: `small` 0.025, `emoji_quick` 0.077, `quick` 0.089. On a shared
core they took 4, 7 and 15 to 40 minutes; ResNet-50 0.11 s per image. No GPU was timed.
Run: python -m experiments.cyclegan quick
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Natural, NonNegative, Run
from gen_jax.data import crops, unpaired
from gen_jax.errors import UserError
from gen_jax.evaluation import paired
from gen_jax.losses import l1, least_squares
from gen_jax.networks.cyclegan import PatchDiscriminator, Translator, check_side, perceptron
from gen_jax.networks.layers import ImagePool
from gen_jax.optimizers import Adam, constant_then_linear, freeze_conv_biases

# Objectives ---------------------------------------------------------------------------------------


def generator_loss(
    model: CycleGAN, batch: Batch, key: Key, *, weights: Weights
) -> tuple[Array, Metrics]:
    """Equation 3, with the least squares of section 4 and the identity loss of section 5.2."""
    x, y = batch["x"], batch["y"]
    fake_x, fake_y = model.to_x(y), model.to_y(x)
    terms = {
        "adversarial": least_squares(model.d_x(fake_x), 1) + least_squares(model.d_y(fake_y), 1),
        "forward": l1(model.to_x(fake_y), x),
        "backward": l1(model.to_y(fake_x), y),
        "identity": l1(model.to_x(x), x) + l1(model.to_y(y), y),
    }
    used = {name: terms[name] for name, weight in dataclasses.asdict(weights).items() if weight}
    return jnp.stack([getattr(weights, name) * term for name, term in used.items()]).sum(), used


def discriminator_loss(
    model: CycleGAN, batch: Batch, key: Key, *, factor: float, domains: tuple[str, ...] = ("x", "y")
) -> tuple[Array, Metrics]:
    """(D(real) - 1)^2 + D(fake)^2 in each domain; the fakes come from its pool (section 4)."""
    networks = {
        "x": (model.d_x, model.pool_x, model.to_x, batch["y"]),
        "y": (model.d_y, model.pool_y, model.to_y, batch["x"]),
    }
    metrics = {}
    for domain in domains:
        discriminator, pool, translator, other = networks[domain]
        key, pool_key = jax.random.split(key)
        fake = pool(translator(other), pool_key)
        metrics[f"real_{domain}"] = least_squares(discriminator(batch[domain]), 1)
        metrics[f"fake_{domain}"] = least_squares(discriminator(fake), 0)
    return factor * jnp.stack([*metrics.values()]).sum(), metrics


def players(config: Config) -> dict[str, Player]:
    """Both generators, then both discriminators (PyTorch); or G, D_Y, F, D_X in turn (Torch)."""
    adam = config.adam.at(constant_then_linear(config.adam.learning_rate, config.steps))
    optimizer = adam if config.biases else freeze_conv_biases(adam)
    generator = partial(generator_loss, weights=config.weights)
    discriminator = partial(discriminator_loss, factor=0.5 if config.halved else 1.0)
    if config.order == "both":
        return {
            "generators": Player(("to_y", "to_x"), generator, optimizer),
            "discriminators": Player(("d_x", "d_y", "pool_x", "pool_y"), discriminator, optimizer),
        }
    d_x, d_y = partial(discriminator, domains=("x",)), partial(discriminator, domains=("y",))
    return {
        "to_y": Player(("to_y",), generator, optimizer),
        "d_y": Player(("d_y", "pool_y"), d_y, optimizer),
        "to_x": Player(("to_x",), generator, optimizer),
        "d_x": Player(("d_x", "pool_x"), d_x, optimizer),
    }


# Networks and data --------------------------------------------------------------------------------


class CycleGAN(nn.Module):
    """G and F, here `to_y` and `to_x`; D_X and D_Y; the pool of fakes of each."""

    to_y: nn.Module
    to_x: nn.Module
    d_x: nn.Module
    d_y: nn.Module
    pool_x: nn.Module
    pool_y: nn.Module


def model(config: Config) -> CycleGAN:
    """The networks of appendix 7.2; perceptrons for atoms."""
    networks: list[nn.Module]
    width, affine = config.width, config.affine
    if config.data == "atoms":
        networks = [perceptron(width, outputs) for outputs in (2, 2, 1, 1)]
    else:
        networks = [Translator(width, config.blocks, affine) for _ in range(2)]
        networks += [PatchDiscriminator(width, config.halvings, affine) for _ in range(2)]
    to_y, to_x, d_x, d_y = networks
    return CycleGAN(to_y, to_x, d_x, d_y, ImagePool(config.pool), ImagePool(config.pool))


def domains(config: Config) -> unpaired.Images | unpaired.Points:
    """Domains x and y: images, or points around atoms in the plane, which depend on the seed."""
    if config.data == "atoms":
        return unpaired.Points(config.masses, config.run.seed)
    return unpaired.Images(config.data, config.load, config.pad, config.side)


def source(config: Config) -> Source:
    """ "x" and "y", drawn independently: images [b, side, side, 3] in [-1, 1], or points [b, 2]."""
    return domains(config).source()


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Weights(Checked):
    """Weights of equation 3. Each ablation of section 5.1.3 sets one or two of them to 0."""

    adversarial: NonNegative = 1  # weight of both adversarial losses
    forward: NonNegative = 10  # weight of |F(G(x)) - x|, lambda (section 4)
    backward: NonNegative = 10  # weight of |G(F(y)) - y|, lambda (section 4)
    # weight of |G(y) - y| and |F(x) - x|: 5 for paintings (section 5.2), and in both codes for all
    identity: NonNegative = 0


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # earth, emoji, discs or atoms, with known pairs; a set of the paper by TFDS; or folder:PATH
    data: unpaired.Name | Literal["atoms"] = "earth"
    masses: tuple[Count, ...] = (1, 1, 1, 1)  # masses of the atoms
    load: Count = 143  # side in pixels to which images are resized
    pad: Natural = 0  # white pixels added at each border of resized images
    side: Count = 128  # side in pixels of the random crops of resized and padded images
    width: Count = 64  # channels of the first layers of all networks; units for atoms
    blocks: Count = 6  # residual blocks: 6 for 128 pixels, 9 for 256 and more (section 4)
    halvings: Count = 3  # strided layers of the discriminators; 3 give patches of 70 x 70
    affine: bool = True  # gains and biases in instance norm, as in Torch; off in PyTorch
    biases: bool = True  # learn the biases of convolutions; the Torch code sets them to 0
    # both generators, then both discriminators (PyTorch); or one by one: G, D_Y, F, D_X (Torch)
    order: Literal["both", "each"] = "both"
    halved: bool = True  # halve the discriminators' losses (section 4); little effect with Adam
    pool: Natural = 50  # images in each pool (section 4)
    weights: Weights = Weights()
    batch_size: Count = 1  # images of each domain in a batch (section 4)
    steps: Count = 187_000  # batches: 200 epochs of 935 images
    adam: Adam = Adam(2e-4, b1=0.5)  # section 4; the rate falls to 0 over the second half
    feature_images: Natural = 1000  # maximum number of test images for LPIPS and ResNet-50; 0: none
    run: Run = Run()

    RENAMED: ClassVar = {"perceived": "feature_images"} | {
        name: f"adam.{name}" for name in ("learning_rate", "b1", "epsilon_hat")
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(dataclasses.astuple(self.weights)):
            raise UserError("all weights are 0; give the generators at least one above 0.")
        if self.adam.decay:
            raise UserError("adam.decay is not 0; the rate always decays over the second half.")
        if self.data != "atoms":
            crops.check(self.load, self.pad, self.side)
            check_side(self.side, self.halvings)
            paired.check_side(self.side, self.feature_images)


CODES = Weights(identity=5)
TORCH = Adam(2e-4, b1=0.5, epsilon_hat=True)
OFFICIAL = Config(weights=CODES, order="each", biases=False, halved=False, adam=TORCH)
PYTORCH = Config(weights=CODES, load=286, side=256, blocks=9, affine=False)
PRESETS = {
    "paper": ("128x128, 6 blocks; 200 epochs; for a GPU", Config()),
    "official": ("the Torch code: alternating, identity, gains, no biases; for a GPU", OFFICIAL),
    "pytorch": ("the PyTorch code: 256x256, 9 blocks, identity, no gains; for a GPU", PYTORCH),
}

# Evaluation ---------------------------------------------------------------------------------------

CLAIMS: dict[str, Claim] = {}  # none can be measured on these data


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Errors of translations of test images and of the identity; for atoms, the pairing of G."""
    return paired.evaluate(domains(config), model, data.test, config.feature_images)


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Rows of test image, translation, cycle reconstruction and partner; for atoms, G(x)."""
    return paired.pictures(domains(config), model, data.test)


if __name__ == "__main__":
    cli(__spec__)
