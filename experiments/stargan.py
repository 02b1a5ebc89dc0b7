"""StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation.

Yunjey Choi, Minje Choi, Munyoung Kim, Jung-Woo Ha, Sunghun Kim, Jaegul Choo. CVPR 2018. arXiv:1711.09020

Replicated: the networks of the official code, weight for weight; the critic with gradient penalty,
domain classification and reconstruction; labels of one domain (RaFD) or of several attributes
(CelebA), and both sets at once with a mask vector, on digits: one half has known ink, the other
known paper; the rate decay of the paper, and that of the code, which is tiny; the error of a
classifier on translated test images. The domains are four vendors of emoji: the true translation of
a held-out symbol is the same symbol by another vendor.

Not replicated: RaFD, which may not be redistributed, nor training on it and CelebA; the user study.
CelebA is split as in TFDS, and 2000 images of its test set are evaluated; the paper samples 2000 of
all images. `quick` differs from the paper: it adds an identity loss and a running average of the
generator's weights; it has n_critic = 2 and batches of 8.

Cost: `quick` takes 8 minutes of a CPU core, `joint` 2. The presets at 128x128 were not timed.

Run: python -m experiments.stargan quick
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar

import jax
import numpy as np
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Fraction, NonNegative, Run
from gen_jax.data import domain_folders, multidomain
from gen_jax.errors import UserError
from gen_jax.evaluation import multidomain as translation
from gen_jax.losses import l1
from gen_jax.networks.stargan import Discriminator, Generator, check_side, label_weights
from gen_jax.objectives import gradient_penalty, label_cross_entropy
from gen_jax.optimizers import Adam

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: StarGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-L_adv + lambda_cls L_cls^r (equations 5 and 8); the targets are a permutation of c."""
    (x, c), (key_target, key_penalty) = current_set(batch), jax.random.split(key)
    fake = model.generator(x, jax.random.permutation(key_target, c))
    real_scores, logits = model.discriminator(x)
    distance = real_scores.mean() - model.discriminator(fake)[0].mean()
    penalty = gradient_penalty(lambda x: model.discriminator(x)[0], x, fake, key_penalty)
    cls = label_cross_entropy(logits, c, data_set(config).domains.groups)
    loss = -distance + config.lambda_gp * penalty + config.lambda_cls * cls
    return loss, {"distance": distance, "penalty": penalty, "classification": cls}


def generator_loss(
    model: StarGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """L_adv + lambda_cls L_cls^f + lambda_rec L_rec (equations 3, 4, 6 and 8)."""
    x, c = current_set(batch)
    target = jax.random.permutation(key, c)
    fake = model.generator(x, target)
    scores, logits = model.discriminator(fake)
    rec = l1(x, model.generator(fake, c))
    cls = label_cross_entropy(logits, target, data_set(config).domains.groups)
    loss = -scores.mean() + config.lambda_cls * cls + config.lambda_rec * rec
    if config.lambda_identity:  # not in the paper
        loss += config.lambda_identity * l1(x, model.generator(x, c))
    return loss, {"classification": cls, "reconstruction": rec}


def current_set(batch: Batch) -> tuple[Array, Array]:
    """Images and labels of one data set: steps alternate between the sets (section 3.2)."""
    own = batch["step"] % batch["x"].shape[1]
    return batch["x"][:, own], batch["c"][:, own]


def players(config: Config) -> dict[str, Player]:
    """The discriminator plays at every step, the generator at every n_critic-th step."""
    d_loss, g_loss = (partial(f, config=config) for f in (discriminator_loss, generator_loss))
    n, average, steps = config.n_critic, config.average or None, config.steps
    d_adam, g_adam = config.adam.over(steps), config.adam.over(steps, every=n)
    return {
        "discriminator": Player(("discriminator",), d_loss, d_adam),
        "generator": Player(("generator",), g_loss, g_adam, every=n, at=n - 1, average=average),
    }


# Networks and data --------------------------------------------------------------------------------


class StarGAN(nn.Module):
    """G(x, c), and D with its two outputs: D_src, scores of patches, and D_cls, logits of c."""

    generator: Generator
    discriminator: Discriminator


def model(config: Config) -> StarGAN:
    """The networks of the appendix."""
    labels = sum(group.size for group in data_set(config).domains.groups)
    discriminator = Discriminator(config.width, config.layers, labels)
    return StarGAN(Generator(config.width, config.blocks), discriminator)


def data_set(config: Config) -> multidomain.DataSet:
    """The data with the domains of their images."""
    return domain_folders.find(config.data, config.labels, config.side, config.run.data)


def source(config: Config) -> Source:
    """ "x": one image of each set in a random domain, [b, sets, side, side, 3] in [-1, 1]; "c": its
    label, [b, sets, k].
    """
    directory = config.run.data
    return multidomain.source(data_set(config), config.side, flip=config.flip, directory=directory)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # emoji of four vendors; digits in three inks; CelebA of TFDS; or folder:PATH
    data: multidomain.Name = "emoji"
    # one domain per image (RaFD); several attributes (CelebA); or joint: two sets (section 3.2),
    # where the ink is known for half of the digits and the paper for the others
    labels: multidomain.Labels = "one"
    side: Count = 128  # side in pixels to which images are resized
    width: Count = 64  # channels of the first convolutions, doubled whenever the side is halved
    blocks: Count = 6  # residual blocks of the generator
    layers: Count = 6  # strided convolutions of the discriminator
    n_critic: Count = 5  # discriminator updates per generator update
    lambda_cls: NonNegative = 1  # weight of the classification of domains (section 4)
    lambda_rec: NonNegative = 10  # weight of the reconstruction (section 4)
    lambda_gp: NonNegative = 10  # weight of the gradient penalty (section 4)
    # weight of |x - G(x, c)| for x's own c, not in the paper; without it, colours may be inverted
    lambda_identity: NonNegative = 0
    flip: bool = True  # mirror half of the images
    batch_size: Count = 16  # images in a batch (section 4)
    steps: Count = 148_800  # discriminator updates: 200 epochs of 744 batches, as for RaFD
    # section 4; the rate decays linearly to 0 over the second half of the steps
    adam: Adam = Adam(1e-4, b1=0.5, decay=0.5)
    average: Fraction = 0  # decay of a running average of G's weights, not in the paper; 0: none
    run: Run = Run()  # seed, directories, devices and intervals of a run

    RENAMED: ClassVar = {
        **{name: f"adam.{name}" for name in ("learning_rate", "b1", "decay", "period")},
        "critics": "n_critic",
        "lambda_own": "lambda_identity",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        multidomain.check(self.data, self.labels)
        check_side(self.side, self.layers)
        if self.labels == "joint" and self.n_critic % 2 == 0:
            raise UserError(
                f"n-critic is {self.n_critic}; give an odd number, or G trains on one of two sets."
            )


# In the code, the rate decays once in 1000 steps by the amount for one step: to 0.999 of it.
OFFICIAL = Config(steps=200_000, adam=Adam(1e-4, b1=0.5, decay=0.5, period=1000))
CELEBA = Config(data="celeb_a", labels="several", steps=20 * 10_173)
PRESETS = {
    "paper": ("128x128, 200 epochs, the second half decayed, as for RaFD; for a GPU", Config()),
    "official": ("the official code: 200 000 steps, hardly any decay; for a GPU", OFFICIAL),
    "celeba": ("CelebA, five attributes, 20 epochs; for a GPU, and TFDS's celeb_a", CELEBA),
}

# Evaluation ---------------------------------------------------------------------------------------

ON = "RaFD at 128x128, from neutral to 7 other faces; a ResNet-18, 99.55 % right on real images"
OURS = "128x128, 8 domains"
PLACE = "section 5, classification error on RaFD"
CLAIMS = {
    "test/domain_error": Claim(2.12, None, PLACE, "unverified", protocol=ON, data="rafd"),
    "parameters": Claim(53.2, None, "the same table", "unverified", protocol=OURS, data="rafd"),
}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Classify translations of at most 2000 test images, by classifiers of real images (5)."""
    known, name = data_set(config), f"{config.data}-{config.labels}"
    train = known.real(data.train, config.side, 30_000)
    test = known.real(data.test, config.side, 2000)
    found = translation.evaluate(model.generator, known.tasks(test), train, test, name)
    params = model.variables["params"]
    of_labels = label_weights(params["generator"], params["discriminator"])
    return found | translation.parameters(params, of_labels, known.domains.number)


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Ten rows: a test image, its translation with each label, and the ground truth if known."""
    known = data_set(config)
    return {"samples": translation.grid(model.generator, known, data.test, config.side, rows=10)}


if __name__ == "__main__":
    cli(__spec__)
