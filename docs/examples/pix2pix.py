"""Image-to-Image Translation with Conditional Adversarial Networks.

Phillip Isola, Jun-Yan Zhu, Tinghui Zhou, Alexei A. Efros. CVPR 2017. arXiv:1611.07004

Replicated: the objective with a conditional discriminator and L1, the U-net with dropout as its
noise, the 70x70 PatchGAN, jitter and Adam, by the authors' code (phillipi/pix2pix); sections of the
paper are unverified. The data are photographs and maps of the same places of the earth.

Not replicated: the data and the numbers of the paper, 256 pixels, and the ablations.

Cost: `small` takes a minute on 2 CPU cores, `quick` 5 minutes.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import Adam, Array, Claim, Data, Key, Measure, Player, Run, Source, Trained, cli
from gen_jax import images as pictures
from gen_jax.config import Checked, Count, NonNegative
from gen_jax.data import crops, pipeline
from gen_jax.data.synthetic import worlds
from gen_jax.losses import accuracy, bce_fake, bce_real, l1
from gen_jax.networks.cyclegan import PatchDiscriminator
from gen_jax.networks.unet import UNet
from gen_jax.use import Abilities, Images


def discriminator_loss(model: Pix2Pix, batch, key):
    """Half of -E log D(x, y) - E log(1 - D(x, G(x))), so that D learns more slowly (section 3.3)."""
    real = model.scores(batch["x"], batch["y"])
    fake = model.scores(batch["x"], model.generator(batch["x"], key))
    return (bce_real(real) + bce_fake(fake)) / 2, {"accuracy": accuracy(real, fake)}


def generator_loss(model: Pix2Pix, batch, key, *, weight: float):
    """-E log D(x, G(x)) + weight E |y - G(x)| (equation 4)."""
    made = model.generator(batch["x"], key)
    adversarial = bce_real(model.scores(batch["x"], made))
    distance = l1(made, batch["y"])
    return adversarial + weight * distance, {"adversarial": adversarial, "l1": distance}


def players(config: Config) -> dict[str, Player]:
    adam = config.adam.over(config.steps)
    generator = partial(generator_loss, weight=config.weight)
    return {
        "discriminator": Player(("discriminator",), discriminator_loss, adam),
        "generator": Player(("generator",), generator, adam),
    }


class Pix2Pix(nn.Module):
    """G(x), with noise, and D(x, y)."""

    generator: UNet
    discriminator: PatchDiscriminator

    def scores(self, x, y):
        """The logits of D for each patch: two images [b, h, w, 3] -> [b, h', w', 1]."""
        return self.discriminator(jnp.concatenate([x, y], -1))


def model(config: Config) -> Pix2Pix:
    return Pix2Pix(UNet(config.widths), PatchDiscriminator(config.widths[0], config.halvings, True))


def pairs(config: Config, arrays, crop) -> list[Array]:
    """Crops x, of the images that are given, and y, of the others: [n, side, side, 3] in [-1, 1]."""
    names = ("map", "photo") if config.given == "map" else ("photo", "map")
    return [crop(arrays[name], load=config.load, pad=0, side=config.side) for name in names]


def source(config: Config) -> Source:
    """ "x" and "y": one key gives both the same random crop and flip."""

    def prepare(batch, key):
        x, y = pairs(config, batch, partial(crops.random_crop, key=key))
        return {"x": x, "y": y}

    discs = partial(worlds.discs, config.load) if config.data == "discs" else None
    return Source(config.data, prepare, arrays=discs)


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["earth", "discs"] = "earth"  # images of the earth, or of discs in two colours
    given: Literal["map", "photo"] = "map"  # the images that are translated into the others
    load: Count = 72  # side in pixels to which images are resized
    side: Count = 64  # side in pixels of the random crops; the authors crop 256 of 286
    widths: tuple[Count, ...] = (64, 128, 256, 512, 512, 512)  # of the encoder
    halvings: Count = 3  # strided layers of the discriminator; 3 give patches of 70 x 70
    weight: NonNegative = 100  # lambda, the weight of L1
    adam: Adam = Adam(2e-4, b1=0.5)
    batch_size: Count = 1
    steps: Count = 200 * 935  # 200 epochs
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        crops.check(self.load, 0, self.side)


QUICK = Config(widths=(16, 32, 64, 128, 128, 128), steps=10 * 935)
SMALL = QUICK.but(load=36, side=32, widths=(16, 32, 64, 128, 128), halvings=1, steps=5 * 935)
TINY = SMALL.but(data="discs", widths=(4, 4), batch_size=8, steps=40, run=Run.tiny())
PRESETS = {
    "paper": ("the authors' networks, for 64x64; 200 epochs; for a GPU", Config()),
    "quick": ("64x64, a quarter as wide, 10 epochs; 5 minutes", QUICK),
    "small": ("32x32, crops and epochs of CycleGAN's `small`; a minute", SMALL),
    "tiny": ("discs; seconds", TINY),
}
CLAIMS: dict[str, Claim] = {}  # none can be measured on these data


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """The error of translations of test images, and of untranslated ones: the identity baseline."""
    x, y = pairs(config, data.test, crops.centre_crop)
    errors = {"test/l1": l1(model.generator(x, key), y), "test/l1_untranslated": l1(x, y)}
    return {name: Measure(127.5 * e, "mean difference, of 255") for name, e in errors.items()}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Rows of a test image, its translation and the true image."""
    x, y = pairs(config, pipeline.spread(data.test, 8), crops.centre_crop)
    rows = jnp.stack([x, model.generator(x, key), y], 1)
    return {"samples": pictures.grid((rows.reshape(-1, *x.shape[1:]) + 1) / 2, columns=3)}


def translate(config: Config, model: Trained, key: Key, images: Images) -> Images:
    """Translate images: maps into photographs, or the other way, as the model has learned."""
    return (model.generator(2 * jnp.asarray(images) - 1, key) + 1) / 2


def shape(config: Config) -> tuple[int, int, int]:
    return config.side, config.side, 3


def abilities(config: Config) -> Abilities:
    return (translate,)


if __name__ == "__main__":
    cli(__spec__)
