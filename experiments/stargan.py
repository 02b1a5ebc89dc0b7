"""StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation.

Yunjey Choi, Minje Choi, Munyoung Kim, Jung-Woo Ha, Sunghun Kim, Jaegul Choo. CVPR 2018. arXiv:1711.09020

Replicated: the networks of the official code, weight for weight; the critic with gradient penalty, classification of
domains and reconstruction; labels of one domain (RaFD) or of several attributes (CelebA); the paper's decay, and the
code's, which hardly decays; the error of a classifier on translated test images. The domains are three vendors of
emoji, so that the true translation is known: that of a symbol unseen in any domain is its picture by the other vendor.

Not replicated: CelebA and RaFD, which no package carries, so neither training on both at once with a mask vector nor
the votes of people. Discriminator biases start at 0, not as in PyTorch.

Cost: `quick` takes 0.07 seconds of one CPU core a step, estimated 5 minutes for 4000; 20 minutes on one that did much
else. The 128x128 presets are for a GPU and have not been timed.

Run: python -m experiments.stargan quick
"""

import dataclasses
import itertools
import sys
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import game as games
from gen_jax import images, train
from gen_jax.config import Checked, Count, Fraction, NonNegative, Positive, Run
from gen_jax.convolutional import joined
from gen_jax.convolutions import Conv, ConvTranspose
from gen_jax.data import emoji, pipeline
from gen_jax.data.augmentation import mirrored
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.errors import UserError
from gen_jax.evaluation import classify
from gen_jax.game import Game, Player, Trained
from gen_jax.layers import InstanceNorm
from gen_jax.objectives import gradient_penalty
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["emoji", "digits"] = "emoji"
    """Emoji of three vendors, or digits in red, green and blue ink."""
    labels: Literal["one", "several"] = "one"
    """An image has one domain (RaFD: softmax), or attributes (CelebA: a sigmoid each), which the inks of digits are."""
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
    lambda_gp: NonNegative = 10
    """Weight of the gradient penalty (section 4)."""
    flip: bool = True
    """Half of the images are mirrored."""
    batch_size: Count = 16
    """Section 4."""
    steps: Count = 111_600
    """Of the discriminator: 200 epochs of 558 batches, as many epochs as for RaFD."""
    decay: Fraction = 0.5
    """The share of the steps, the last ones, in which the rate falls linearly to 0."""
    period: Count = 1
    """The rate falls in these steps once, by what it should in one step: in the code in 1000, and so to 0.999 only."""
    learning_rate: Positive = 1e-4
    """Adam's (section 4)."""
    b1: Fraction = 0.5
    """Adam's decay of the first moment (section 4)."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data == "emoji" and self.labels == "several":
            raise UserError("labels is 'several', but an emoji has one vendor: give --labels one, or --data digits.")
        if self.side % 2 ** max(self.layers, 2):
            raise UserError(f"side is {self.side}; it must be a multiple of 4 and of 2^layers, {2**self.layers}.")


OFFICIAL = Config(steps=200_000, period=1000)
QUICK = Config(
    side=32, width=16, blocks=3, layers=4, flip=False, learning_rate=5e-4, steps=4000, run=Run(sample_every=500)
)
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = Config(data="digits", side=8, width=4, blocks=1, layers=2, batch_size=16, steps=40, run=OFTEN)

PRESETS = {
    "paper": ("128x128, 200 epochs, the second half decayed, as for RaFD; for a GPU", Config()),
    "official": ("the same by the official code: 200 000 steps, which hardly decay; for a GPU", OFFICIAL),
    "quick": ("32x32, a quarter as wide, 4000 steps; minutes on a CPU", QUICK),
    "tiny": ("8x8 digits in three inks; seconds, for tests", TINY),
}

ON = "RaFD at 128x128, from the neutral face to 7 others; a ResNet-18 that tells 99.55 % of real images right"
CLAIMS = {
    "test/domain_error": Claim(2.12, None, "section 5, classification error on RaFD", "unverified", protocol=ON),
    "parameters": Claim(53.2, None, "the same table", "unverified", protocol="128x128, 8 domains; ours: 3"),
}
UNITS = {
    "test/domain_error": "% of the translations that a classifier of real images does not see in the domain asked for",
    "test/domain_error_of_real": "% of the real images that it does not see in their own domain",
    "test/l1": "of 255: mean difference of a translation from the same symbol by the other vendor",
    "test/l1_of_nothing": "of 255: the same where the image stays as it is",
    "test/l1_reconstruction": "of 255: of an image from itself, there and back",
    "parameters": "million, for all domains",
    "parameters_by_pairs": "million, of both networks without labels for each ordered pair of domains",
}

# Networks -------------------------------------------------------------------------------------------------------------

# PyTorch's default, U(-1, 1) / sqrt(h w i); it counts the outputs of a transposed convolution as inputs.
pytorch = partial(nn.initializers.variance_scaling, 1 / 3, "fan_in", "uniform")
kernel, kernel_up = pytorch(), pytorch(in_axis=-1, out_axis=-2)


def normed(x: Array, width: int, size: int) -> Array:
    x = Conv(width, (size, size), (2, 2) if size == 4 else (1, 1), use_bias=False, kernel_init=kernel)(x)
    return InstanceNorm(affine=True)(x)


class Generator(nn.Module):
    """G(x, c), the image in the domain of the label: [b, h, w, 3], [b, k] -> [b, h, w, 3].

    Padding is with zeros: a mirror's would leave the label the same everywhere, and instance norm would take it out.
    """

    width: int
    blocks: int

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        x = nn.relu(normed(joined(x, c), self.width, 7))
        for factor in (2, 4):
            x = nn.relu(normed(x, factor * self.width, 4))
        for _ in range(self.blocks):
            x = x + normed(nn.relu(normed(x, 4 * self.width, 3)), 4 * self.width, 3)  # [b, h/4, w/4, 4 width]
        for factor in (2, 1):
            up = ConvTranspose(factor * self.width, (4, 4), (2, 2), use_bias=False, kernel_init=kernel_up)
            x = nn.relu(InstanceNorm(affine=True)(up(x)))
        return nn.tanh(Conv(3, (7, 7), use_bias=False, kernel_init=kernel)(x))


class Discriminator(nn.Module):
    """D_src, a score of each patch, and D_cls, the logits of the domains: [b, h, w, 3] -> [b, h', w', 1], [b, k]."""

    width: int
    layers: int
    labels: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        for i in range(self.layers):
            x = nn.leaky_relu(Conv(2**i * self.width, (4, 4), (2, 2), kernel_init=kernel)(x), 0.01)
        last = partial(Conv, use_bias=False, kernel_init=kernel)
        logits = last(self.labels, (x.shape[1], x.shape[2]), padding="VALID", name="domains")(x)
        return last(1, (3, 3), name="source")(x), logits[:, 0, 0]


class StarGAN(nn.Module):
    generator: Generator
    discriminator: Discriminator


def domains(config: Config) -> np.ndarray:
    """The labels that there are: [domains, k]."""
    if config.labels == "several":
        return np.array([*itertools.product((0, 1), repeat=3)], np.float32)
    return np.eye(3, dtype=np.float32)


def model(config: Config) -> StarGAN:
    generator = Generator(config.width, config.blocks)
    return StarGAN(generator, Discriminator(config.width, config.layers, domains(config).shape[1]))


def views(config: Config, batch: Batch) -> Array:
    """An example as each vendor draws it, or its ink in each colour: [b, 3, side, side, 3], in [0, 1]."""
    if config.data == "emoji":
        views = jnp.stack([batch[vendor] for vendor in emoji.VENDORS], 1)
    else:
        views = batch["image"][:, None] * jnp.eye(3, dtype=jnp.uint8)[None, :, None, None]
    shape = (*views.shape[:2], config.side, config.side, 3)
    return jax.image.resize(views.astype(jnp.float32) / 255, shape, "bilinear")


def source(config: Config) -> Source:
    """ "x": an image [b, h, w, 3] in [-1, 1] of a random domain; "c": its label; "all": the example in each domain."""

    def prepare(batch: Batch, key: Key) -> Batch:
        number, mirror = jax.random.split(key)
        labels = jnp.asarray(domains(config))
        every = 2 * jnp.einsum("dk,bkhwc->bdhwc", labels, views(config, batch)) - 1  # inks add up
        domain = jax.random.randint(number, (len(every),), 0, len(labels))
        x = every[jnp.arange(len(every)), domain]
        return {"x": mirrored(x, mirror) if config.flip else x, "c": labels[domain], "all": every}

    return Source(config.data, prepare)


# Objectives -----------------------------------------------------------------------------------------------------------


def classification(config: Config, logits: Array, c: Array) -> Array:
    """-log D_cls(c|x), equations 2 and 3; of several attributes the sum: [b, k], [b, k] -> []."""
    if config.labels == "several":
        return optax.sigmoid_binary_cross_entropy(logits, c).sum(-1).mean()
    return optax.softmax_cross_entropy(logits, c).mean()


def discriminator(model: Any, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """-L_adv + lambda_cls L_cls^r (equations 5 and 8); the target domains are a permutation of the batch's own."""
    x, order, between = batch["x"], *jax.random.split(key)
    fake = model.generator(x, jax.random.permutation(order, batch["c"]))
    real, logits = model.discriminator(x)
    distance = real.mean() - model.discriminator(fake)[0].mean()
    penalty = gradient_penalty(lambda x: model.discriminator(x)[0], x, fake, between)
    cls = classification(config, logits, batch["c"])
    loss = -distance + config.lambda_gp * penalty + config.lambda_cls * cls
    return loss, {"distance": distance, "penalty": penalty, "classification": cls}


def generator(model: Any, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """L_adv + lambda_cls L_cls^f + lambda_rec L_rec (equations 3, 4, 6 and 8)."""
    x, c = batch["x"], batch["c"]
    target = jax.random.permutation(key, c)
    fake = model.generator(x, target)
    scores, logits = model.discriminator(fake)
    rec = jnp.abs(x - model.generator(fake, c)).mean()
    cls = classification(config, logits, target)
    loss = -scores.mean() + config.lambda_cls * cls + config.lambda_rec * rec
    return loss, {"classification": cls, "reconstruction": rec}


def rate(config: Config, every: int, count: Array) -> Array:
    """Of a player's update number `count`, from 0, at the last of each `every` steps."""
    falling = max(round(config.decay * config.steps), 1)  # steps
    late = jnp.maximum((count + 1) * every - 1 - (config.steps - falling), 0)
    return config.learning_rate * (1 - late // config.period / falling)


def players(config: Config) -> dict[str, Player]:
    """The discriminator at every step, the generator at every fifth."""

    judge, maker, n = partial(discriminator, config=config), partial(generator, config=config), config.critics
    adams = [optax.adam(partial(rate, config, every), b1=config.b1) for every in (1, n)]
    return {
        "discriminator": Player(("discriminator",), judge, adams[0]),
        "generator": Player(("generator",), maker, adams[1], every=n, at=n - 1),
    }


def game(config: Config) -> Game:
    return games.make(model(config), players(config))


# Evaluation -----------------------------------------------------------------------------------------------------------


def translated(model: Any, x: Array, c: Array) -> Array:
    """[n, h, w, 3], [n, k] -> [n, h, w, 3]"""
    return model.generator(x, c)


def translate(model: Trained, pictures: np.ndarray, c: np.ndarray) -> np.ndarray:
    """All of them into one domain: uint8 [n, h, w, 3], [k] -> uint8 [n, h, w, 3]."""
    parts = np.array_split(pictures, -(-len(pictures) // 100))
    made = [model(translated, part / np.float32(127.5) - 1, np.tile(c, (len(part), 1))) for part in parts]
    return images.to_uint8(np.concatenate(made), low=-1)


def everywhere(arrays: Arrays, data: Data) -> np.ndarray:
    """All examples, each in all domains: uint8 [n, domains, h, w, 3]."""
    batches = pipeline.batches(arrays, data.prepare, jax.random.key(0), batch_size=100)
    return np.concatenate([images.to_uint8(batch["all"], low=-1) for batch, _ in batches])


def difference(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(x.astype(np.float32) - y).mean())


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Each test symbol from each domain to each other one, judged by a classifier of real training images."""
    labels, known, truth = domains(config), everywhere(data.train, data), everywhere(data.test, data)

    def split(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # by domains
        return pictures.reshape(-1, *pictures.shape[2:]), np.tile(np.arange(len(labels)), len(pictures))

    judge, rows = classify.classifier(*split(known), test=split(truth), name=f"{config.data}-domains", shift=0), []
    for i, j in itertools.permutations(range(len(labels)), 2):
        made = translate(model, truth[:, i], labels[j])
        wrong = 100 * float((judge.logits(made).argmax(1) != j).mean())
        still, back = difference(truth[:, i], truth[:, j]), translate(model, made, labels[i])
        rows.append((wrong, difference(made, truth[:, j]), still, difference(back, truth[:, i])))
    names = ("test/domain_error", "test/l1", "test/l1_of_nothing", "test/l1_reconstruction")
    measured = dict(zip(names, np.mean(rows, 0).tolist(), strict=True))
    return {**measured, "test/domain_error_of_real": 100 * (1 - judge.accuracy), **parameters(config, model)}


def parameters(config: Config, model: Trained) -> dict[str, float]:
    """In millions: ours, and those of k (k - 1) pairs of networks that see no label."""
    k, params = len(domains(config)), model.variables["params"]
    total = sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6
    first, last = params["generator"]["Conv_0"]["kernel"], params["discriminator"]["domains"]["kernel"]
    labels = (first[:, :, 3:].size + last.size) / 1e6  # what is there for the labels
    return {"parameters": total, "parameters_by_pairs": k * (k - 1) * (total - labels)}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """A row for each of ten test symbols: itself, from the domains in turn; it made in each domain; the truth."""
    labels, chosen = domains(config), np.linspace(0, pipeline.size(data.test) - 1, 10).astype(int)
    truth = everywhere({name: array[chosen] for name, array in data.test.items()}, data)  # [10, domains, h, w, 3]
    x = truth[np.arange(10), np.arange(10) % len(labels)]
    made = np.stack([translate(model, x, c) for c in labels], 1)
    rows = np.concatenate([x[:, None], made, truth], 1)
    return {"samples": images.grid(rows.reshape(-1, *x.shape[1:]), columns=rows.shape[1])}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
