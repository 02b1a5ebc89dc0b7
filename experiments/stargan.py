"""StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation.

Yunjey Choi, Minje Choi, Munyoung Kim, Jung-Woo Ha, Sunghun Kim, Jaegul Choo. CVPR 2018. arXiv:1711.09020

Replicated: the networks of the official code, weight for weight; the critic with gradient penalty, classification of
domains and reconstruction; labels of one domain (RaFD) or of several attributes (CelebA), and both sets at once with a
mask vector, on digits of which one half says its ink and the other its paper; the paper's decay, and the code's, which
hardly decays; the error of a classifier on translated test images. The domains are four vendors of emoji, so that the
true translation is known: that of a symbol unseen in any domain is its picture by another vendor.

Not replicated: RaFD, which no package carries, and so training on it and CelebA; the votes of people. CelebA is split
as TFDS splits it, 2000 images of whose test set are judged, where the paper takes 2000 of all at random. `quick` adds
what the paper has not: to the objective, that an image in its own domain stays as it is; a running average of the
generator's weights; and it has 2 steps of the discriminator for one of the generator, and batches of 8.

Cost: `quick` takes 8 minutes of a CPU core, `joint` took 2. The 128x128 presets are for a GPU and have not been timed.

Run: python -m experiments.stargan quick
"""

import dataclasses
import sys
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import images
from gen_jax.config import Checked, Count, Fraction, NonNegative, Positive, Run
from gen_jax.data import multidomain as domains
from gen_jax.data import pipeline
from gen_jax.data.augmentation import random_flip
from gen_jax.data.catalog import emoji
from gen_jax.data.multidomain import Domains, LabelGroup, LabelledImages
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.errors import UserError
from gen_jax.evaluation import multidomain as changes
from gen_jax.game import Player, Trained
from gen_jax.networks.stargan import Discriminator, Generator
from gen_jax.objectives import gradient_penalty
from gen_jax.optimizers import linear_tail
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["emoji", "digits", "mnist", "celeb_a"] = "emoji"
    """Emoji of four vendors, digits in red, green and blue ink, or CelebA as TFDS has prepared it."""
    labels: Literal["one", "several", "joint"] = "one"
    """An image has one domain (RaFD: softmax), or attributes (CelebA: a sigmoid each), which the inks of digits are;
    or two sets are learnt from (section 3.2): of half of the digits the ink is known, of the others the paper."""
    side: Count = 128
    """Of the images, in pixels, to which the data are resized."""
    width: Count = 64
    """Channels of the first convolution of either network; they double whenever the side is halved."""
    blocks: Count = 6
    """Residual blocks of the generator."""
    layers: Count = 6
    """Strided convolutions of the discriminator."""
    critics: Count = 5
    """Steps of the discriminator for one of the generator."""
    lambda_cls: NonNegative = 1
    """Weight of the classification of domains (section 4)."""
    lambda_rec: NonNegative = 10
    """Weight of the reconstruction (section 4)."""
    lambda_own: NonNegative = 0
    """Weight of |x - G(x, c)|, the image in its own domain: not the paper's; colours may be inverted without it."""
    lambda_gp: NonNegative = 10
    """Weight of the gradient penalty (section 4)."""
    flip: bool = True
    """Half of the images are mirrored."""
    batch_size: Count = 16
    """Section 4."""
    steps: Count = 148_800
    """Of the discriminator: 200 epochs of 744 batches, as many epochs as for RaFD."""
    decay: Fraction = 0.5
    """The share of the steps, the last ones, in which the rate falls linearly to 0."""
    period: Count = 1
    """The rate falls in these steps once, by what it should in one step: in the code in 1000, and so to 0.999 only."""
    learning_rate: Positive = 1e-4
    """Adam's (section 4)."""
    b1: Fraction = 0.5
    """Adam's decay of the first moment (section 4)."""
    average: Fraction = 0
    """Decay of a running average of the generator's weights, which then draws and is judged: not the paper's."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {"emoji": ("one",), "celeb_a": ("several",)}.get(
            self.data, ("one", "several", "joint")
        )
        if self.labels not in known:
            raise UserError(
                f"labels is {self.labels!r}; {self.data} has --labels {' or '.join(known)}."
            )
        if self.labels == "joint" and self.critics % 2 == 0:
            raise UserError(
                f"critics is {self.critics}; give an odd number, or G sees one of two sets."
            )
        if self.side % 2 ** max(self.layers, 2):
            raise UserError(
                f"side is {self.side}; it must be a multiple of 4 and of 2^layers, {2**self.layers}."
            )


OFFICIAL = Config(steps=200_000, period=1000)
# The critic's slope is 1 by Euclidean distance, which between images grows with the side, so that at 32x32 the paper's
# weights hold an image faster than at 128x128: that is what so short a training needs. Multiplied by side / 128, noise
# is all there is after 300 steps; without `lambda_own` colours come out inverted.
SMALL = Config(
    side=32, width=16, blocks=3, layers=4, flip=False, learning_rate=5e-4, run=Run(sample_every=500)
)
QUICK = dataclasses.replace(
    SMALL, lambda_own=10, critics=2, batch_size=8, average=0.998, steps=4000
)
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = Config(
    data="digits", side=8, width=4, blocks=1, layers=2, batch_size=16, steps=40, run=OFTEN
)
JOINT = dataclasses.replace(SMALL, data="digits", labels="joint", side=16, layers=3, steps=4000)
CELEBA = Config(data="celeb_a", labels="several", steps=20 * 10_173)

PRESETS = {
    "paper": ("128x128, 200 epochs, the second half decayed, as for RaFD; for a GPU", Config()),
    "official": (
        "the same by the official code: 200 000 steps, which hardly decay; for a GPU",
        OFFICIAL,
    ),
    "celeba": (
        "CelebA, five attributes, 20 epochs, the second half decayed; for a GPU, and TFDS's celeb_a",
        CELEBA,
    ),
    "quick": ("32x32, a quarter as wide, 3 epochs; 8 minutes of a core", QUICK),
    "joint": (
        "digits at 16x16, the ink of one half known, the paper of the other; minutes on a CPU",
        JOINT,
    ),
    "tiny": ("8x8 digits in three inks; seconds, for tests", TINY),
}

ON = "RaFD at 128x128, from the neutral face to 7 others; a ResNet-18 that tells 99.55 % of real images right"
CLAIMS = {
    "test/domain_error": Claim(
        2.12, None, "section 5, classification error on RaFD", "unverified", protocol=ON
    ),
    "parameters": Claim(
        53.2, None, "the same table", "unverified", protocol="128x128, 8 domains; ours: 4"
    ),
}
UNITS = {
    **changes.UNITS,
    "parameters": "million, for all domains",
    "parameters_by_pairs": "million, of both networks without labels for each ordered pair of domains",
}
LEARNT, JUDGED = (
    30_000,
    2000,
)  # images at most: from which the classifiers learn, and to be translated (section 5)

# Networks -------------------------------------------------------------------------------------------------------------


class StarGAN(nn.Module):
    generator: Generator
    discriminator: Discriminator


def known(config: Config) -> Domains:
    """The domains that there are, and how each data set labels them."""
    if config.labels == "joint":
        return domains.joint(len(domains.INKS), len(domains.PAPERS))
    if config.labels == "several":
        return domains.multi_label(
            len(domains.ATTRIBUTES) if config.data == "celeb_a" else len(domains.INKS)
        )
    return domains.exclusive(len(emoji.VENDORS) if config.data == "emoji" else len(domains.INKS))


def model(config: Config) -> StarGAN:
    generator, labels = (
        Generator(config.width, config.blocks),
        sum(part.size for part in known(config).parts),
    )
    return StarGAN(generator, Discriminator(config.width, config.layers, labels))


def views(config: Config, batch: Batch) -> Array:
    """An example as each vendor draws it, or in each ink: [b, domains, side, side, 3] in [-1, 1]."""
    if config.data == "emoji":
        return domains.scaled(
            jnp.stack([batch[vendor] for vendor in emoji.VENDORS], 1), config.side
        )
    inks, papers = known(config).labels[0, :, :3], np.zeros((1, 3), np.float32)  # inks add up
    if config.labels == "joint":
        papers = np.tile(domains.PAPERS, (len(domains.INKS), 1))
    return domains.scaled(domains.colourize(batch["image"], inks, papers), config.side)


def source(config: Config) -> Source:
    """ "x": of each data set an image [b, sets, h, w, 3] in [-1, 1] of a random domain; "c": its label."""
    labels = known(config).labels  # [sets, domains, k]

    def prepare(batch: Batch, key: Key) -> Batch:
        number, mirror = jax.random.split(key)
        if config.data == "celeb_a":
            x, c = domains.faces(batch, config.side)
        else:
            every = views(config, batch)  # [b * sets, domains, h, w, 3]
            domain, each = (
                jax.random.randint(number, (len(every),), 0, labels.shape[1]),
                jnp.arange(len(every)),
            )
            x, c = every[each, domain], jnp.asarray(labels)[each % len(labels), domain]
        x = random_flip(x, mirror) if config.flip else x
        return {name: a.reshape(-1, len(labels), *a.shape[1:]) for name, a in (("x", x), ("c", c))}

    if config.labels == "joint":
        return Source(
            config.data, prepare, arrays=partial(domains.two_sets, config.data, config.run.data)
        )
    return Source("tfds:celeb_a" if config.data == "celeb_a" else config.data, prepare)


# Objectives -----------------------------------------------------------------------------------------------------------


def turn(batch: Batch) -> tuple[Array, Array]:
    """Images and labels of the data set whose turn it is: they alternate (section 3.2)."""
    own = batch["step"] % batch["x"].shape[1]
    return batch["x"][:, own], batch["c"][:, own]


def classification(parts: tuple[LabelGroup, ...], logits: Array, c: Array) -> Array:
    """-log D_cls(c|x), equations 2 and 3, of what the mask says is known; of several attributes the sum: -> []."""
    mask = c[:, logits.shape[1] :] if len(parts) > 1 else jnp.ones((len(c), 1))  # [b, sets]
    total, first = jnp.zeros(()), 0
    for i, part in enumerate(parts):
        own = slice(first, first + part.size)
        one = optax.softmax_cross_entropy if part.exclusive else optax.sigmoid_binary_cross_entropy
        each = one(logits[:, own], c[:, own]).reshape(len(c), -1).sum(-1)  # [b]
        total, first = total + (mask[:, i] * each).mean(), first + part.size
    return total


def discriminator(model: Any, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """-L_adv + lambda_cls L_cls^r (equations 5 and 8); the target domains are a permutation of the batch's own."""
    (x, c), (order, between) = turn(batch), jax.random.split(key)
    fake = model.generator(x, jax.random.permutation(order, c))
    real, logits = model.discriminator(x)
    distance = real.mean() - model.discriminator(fake)[0].mean()
    penalty = gradient_penalty(lambda x: model.discriminator(x)[0], x, fake, between)
    cls = classification(known(config).parts, logits, c)
    loss = -distance + config.lambda_gp * penalty + config.lambda_cls * cls
    return loss, {"distance": distance, "penalty": penalty, "classification": cls}


def generator(model: Any, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """L_adv + lambda_cls L_cls^f + lambda_rec L_rec (equations 3, 4, 6 and 8)."""
    x, c = turn(batch)
    target = jax.random.permutation(key, c)
    fake = model.generator(x, target)
    scores, logits = model.discriminator(fake)
    rec = jnp.abs(x - model.generator(fake, c)).mean()
    cls = classification(known(config).parts, logits, target)
    loss = -scores.mean() + config.lambda_cls * cls + config.lambda_rec * rec
    if config.lambda_own:
        loss += config.lambda_own * jnp.abs(x - model.generator(x, c)).mean()
    return loss, {"classification": cls, "reconstruction": rec}


def players(config: Config) -> dict[str, Player]:
    """The discriminator at every step, the generator at every fifth."""
    judge, maker, n = (
        partial(discriminator, config=config),
        partial(generator, config=config),
        config.critics,
    )
    rate = partial(
        linear_tail, config.learning_rate, config.steps, share=config.decay, period=config.period
    )
    adams = [optax.adam(rate(every=every), b1=config.b1) for every in (1, n)]
    return {
        "discriminator": Player(("discriminator",), judge, adams[0]),
        "generator": Player(("generator",), maker, adams[1], n, n - 1, config.average or None),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def real(config: Config, arrays: Arrays, count: int) -> LabelledImages:
    """About as many images; where their examples are known in all domains, in all of them one after another."""
    labels = known(config).labels[0]
    if config.data == "celeb_a":
        return domains.real_faces(arrays, config.side, labels, count)
    return domains.rendered(arrays, partial(views, config), len(labels), count)


def translated(model: Any, x: Array, c: Array) -> Array:
    """[n, h, w, 3], [n, k] -> [n, h, w, 3]"""
    return model.generator(x, c)


def translate(model: Trained, pictures: np.ndarray, c: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w, 3], [n, k] -> uint8 [n, h, w, 3]"""
    return changes.by_hundreds(lambda x, c: model(translated, x, c), pictures, c)


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Test images, translated and judged by classifiers of real training images."""
    learnt, test, every = (
        real(config, data.train, LEARNT),
        real(config, data.test, JUDGED),
        known(config),
    )
    asked = (
        domains.changes_of_faces(test, every.labels[0])
        if config.data == "celeb_a"
        else every.changes(test)
    )
    name = f"{config.data}-{config.labels}"
    return {
        **changes.evaluate(partial(translate, model), asked, learnt, test, name),
        **parameters(config, model),
    }


def parameters(config: Config, model: Trained) -> dict[str, float]:
    """In millions: ours, and those of k (k - 1) pairs of networks that see no label."""
    k, params = known(config).labels.shape[1], model.variables["params"]
    total = sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6
    first, last = (
        params["generator"]["Conv_0"]["kernel"],
        params["discriminator"]["domains"]["kernel"],
    )
    labels = (first[:, :, 3:].size + last.size) / 1e6  # what is there for the labels
    return {"parameters": total, "parameters_by_pairs": k * (k - 1) * (total - labels)}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Ten rows of a test image, from the domains in turn, all that can be asked for, and the truth if it is known."""
    every, chosen = known(config), np.linspace(0, pipeline.size(data.test) - 1, 10).astype(int)
    few = real(config, {name: array[chosen] for name, array in data.test.items()}, JUDGED)
    if config.data == "celeb_a":
        x, truth = few.x, []
        made = [
            translate(model, x, change.label)
            for change in domains.changes_of_faces(few, every.labels[0])
        ]
    else:
        pictures, row = few.each(every.labels.shape[1]), np.arange(10)
        x = pictures[row, domain := row % pictures.shape[1]]
        made = [translate(model, x, np.tile(label, (10, 1))) for label in every.asked]
        truth = [pictures[row, every.after(label)[0][domain]] for label in every.asked]
    rows = np.stack([x, *made, *truth], 1)
    return {"samples": images.grid(rows.reshape(-1, *x.shape[1:]), columns=rows.shape[1])}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
