"""Generative Adversarial Nets.

Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, Bing Xu, David Warde-Farley, Sherjil Ozair, Aaron Courville, Yoshua
Bengio. NIPS 2014. arXiv:1406.2661

Replicated: MNIST, with the maxout discriminator under dropout and the rectifier generator; Algorithm 1 in turns, and
the official code's simultaneous step with half of the discriminator's loss; the minimax and the non-saturating
generator; the Parzen-window estimate of the log-likelihood by the official protocol (Table 1).

Not replicated: TFD, whose images no package carries, and the fully connected and convolutional CIFAR-10 models. The
number of epochs is not published (the official criterion is commented out): we state ours.

Cost: `quick` plays 18 steps a second on one CPU core, and takes 10 minutes.

Run: python -m experiments.gan quick
"""

import dataclasses
import functools
import math
import sys
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import game as games
from gen_jax import images, losses
from gen_jax.config import Checked, Count, Fraction, Positive, Range, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.pipeline import Data, Source
from gen_jax.errors import UserError
from gen_jax.evaluation import likelihood
from gen_jax.game import Game, Player, Trained
from gen_jax.networks.layers import Maxout, dropout, uniform
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Measure, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Optimizer(Checked):
    learning_rate: Positive = 0.1
    """Of stochastic gradient descent (mnist.yaml)."""
    decay: Positive = 1.000004
    """What the rate is divided by after each update, down to 1e-6."""
    momentum: Fraction = 0.5
    """At first."""
    final_momentum: Fraction = 0.7
    """In the end; it rises linearly."""
    start: Count = 1
    """Last epoch, counted from 1, with the first momentum."""
    saturate: Count = 250
    """First epoch, counted from 1, with the final momentum."""

    FORMERLY: ClassVar = {"start": 2}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.saturate <= self.start:
            raise UserError(f"saturate is {self.saturate}; it must be above start, {self.start}.")


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """The data set; its last sixth (mnist: 10 000 images) is kept for validation."""
    latents: Count = 100
    """Noise, uniform on (-sqrt 3, sqrt 3), of unit variance."""
    hidden: tuple[Count, ...] = (1200, 1200)
    """Rectifiers of the generator."""
    maxout: tuple[Count, ...] = (240, 240)
    """Maxout units of the discriminator, of 5 pieces each."""
    generator_loss: Literal["non-saturating", "minimax"] = "non-saturating"
    """-log D(G(z)), as the code has it and section 3 advises, or log(1 - D(G(z))), as equation 1 has it."""
    together: bool = False
    """Both gradients at the same point and noise, as in the official code, or in turns as in Algorithm 1."""
    discriminator_factor: Positive = 1.0
    """Of the discriminator's loss: 1 in the paper, 0.5 in the code; under plain descent it matters."""
    batch_size: Count = 100
    """m."""
    steps: Count = 100_000
    """Updates of each player; 500 are an epoch."""
    draws: Count = 10_000
    """Samples in the Parzen-window estimate."""
    validation: Count = 1000
    """Validation images that choose its width."""
    mean_clip: Annotated[float, Range("a number above 0 and below 0.5", 0, 0.5, open=True)] = 1e-7
    """The generator's last bias starts at the logits of the mean image, clipped to [this, 1 - this]: pylearn2's."""
    optimizer: Optimizer = Optimizer()
    run: Run = Run()

    FORMERLY: ClassVar = {"mean_clip": 1e-3}


OFFICIAL = Config(together=True, discriminator_factor=0.5)
TINY = Config(
    data="digits",
    latents=8,
    hidden=(32, 32),
    maxout=(16, 16),
    batch_size=32,
    steps=40,
    draws=100,
    validation=100,
    run=Run(log_every=10, checkpoint_every=20, sample_every=20),
)

PRESETS = {
    "paper": ("Algorithm 1, 200 epochs; hours on 2 cores", Config()),
    "official": (
        "the official code: simultaneous steps, half the loss; 200 epochs",
        OFFICIAL,
    ),
    "quick": (
        "the official code, 20 epochs; 10 minutes on one core",
        dataclasses.replace(OFFICIAL, steps=10_000),
    ),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}

CLAIMS = {
    "test/parzen": Claim(225, 2, "Table 1", "read", better="higher", protocol=likelihood.PARZEN)
}

# Networks -------------------------------------------------------------------------------------------------------------


class Generator(nn.Module):
    """Rectifiers, then sigmoids: [b, latents] -> [b, pixels] in (0, 1)."""

    hidden: tuple[int, ...]
    pixels: int

    @nn.compact
    def __call__(self, z: Array) -> Array:
        for features in self.hidden:
            z = nn.relu(nn.Dense(features, kernel_init=uniform(0.05))(z))
        return nn.sigmoid(nn.Dense(self.pixels, kernel_init=uniform(0.05), name="out")(z))


class Discriminator(nn.Module):
    """Maxout layers under dropout, of a fifth of the pixels and half of the units: [b, pixels] -> logits [b]."""

    maxout: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, key: Key) -> Array:
        keys = jax.random.split(key, len(self.maxout) + 1)
        for i, features in enumerate(self.maxout):
            x = dropout(x, keys[i], keep=0.5 if i else 0.8)
            x = Maxout(features, 5, kernel_init=uniform(0.005))(x)
        return nn.Dense(1, kernel_init=uniform(0.005))(dropout(x, keys[-1], keep=0.5))[..., 0]


class GAN(nn.Module):
    """The two players."""

    generator: nn.Module
    discriminator: nn.Module
    latents: int

    def draw(self, count: int, key: Key) -> Array:
        """Samples from noise of unit variance: [count, pixels]."""
        limit = math.sqrt(3)
        return self.generator(
            jax.random.uniform(key, (count, self.latents), minval=-limit, maxval=limit)
        )


def model(config: Config) -> GAN:
    pixels = math.prod(SOURCES[config.data].fields["image"].shape)
    return GAN(Generator(config.hidden, pixels), Discriminator(config.maxout), config.latents)


def source(config: Config) -> Source:
    """Grey values in [0, 1] of the first five sixths of the training images."""
    count = SOURCES[config.data].sizes["train"] * 5 // 6
    return Source(
        config.data, pipeline.vectors, train=f"train[:{count}]", init_extras=pipeline.mean_image
    )


# Objectives -----------------------------------------------------------------------------------------------------------


def discriminator(model: Any, batch: Batch, key: Key, *, factor: float) -> tuple[Array, Metrics]:
    """Minus equation 1: -log D(x) - log(1 - D(G(z))), times the factor."""
    noise, first, second = jax.random.split(key, 3)
    real = model.discriminator(batch["x"], first)
    fake = model.discriminator(model.draw(len(batch["x"]), noise), second)
    return factor * (losses.bce_real(real) + losses.bce_fake(fake)), {
        "accuracy": losses.accuracy(real, fake)
    }


def generator(model: Any, batch: Batch, key: Key, *, loss: Any) -> tuple[Array, Metrics]:
    """-log D(G(z)) or log(1 - D(G(z))), through the discriminator under dropout."""
    noise, _, second = jax.random.split(key, 3)  # together, the same noise as the discriminator's
    return loss(model.discriminator(model.draw(len(batch["x"]), noise), second)), {}


def optimizer(config: Config) -> optax.GradientTransformation:
    """v <- momentum v - rate g; w <- w + v, both scheduled."""
    o = config.optimizer
    epoch = SOURCES[config.data].sizes["train"] * 5 // 6 // config.batch_size  # steps

    def rate(step: Array) -> Array:
        return jnp.maximum(o.learning_rate / o.decay**step, 1e-6)

    def momentum(step: Array) -> Array:
        share = jnp.clip((step // epoch + 1 - o.start) / (o.saturate - o.start), 0, 1)
        return o.momentum + (o.final_momentum - o.momentum) * share

    return optax.chain(
        optax.scale_by_learning_rate(rate), optax.inject_hyperparams(optax.trace)(decay=momentum)
    )


def players(config: Config) -> dict[str, Player]:
    """The discriminator first, k = 1."""
    critic = functools.partial(discriminator, factor=config.discriminator_factor)
    loss = losses.bce_real if config.generator_loss == "non-saturating" else losses.minimax
    return {
        "discriminator": Player(("discriminator",), critic, optimizer(config)),
        "generator": Player(
            ("generator",), functools.partial(generator, loss=loss), optimizer(config)
        ),
    }


def game(config: Config) -> Game:
    """The players' game; the generator's last bias starts where sigmoids give the mean image, if that is known."""
    one = games.make(
        model(config), players(config), together=config.together, precision=config.run.precision
    )
    return games.starting_at_mean(one, ("generator", "out"), config.mean_clip)


# Evaluation -----------------------------------------------------------------------------------------------------------


@functools.cache
def drawn(count: int) -> Any:
    """(model, key) -> `count` samples."""
    return lambda model, key: model.draw(count, key)


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """parzen_ll.py: the width that suits validation images best, then the test images under that window."""
    count = SOURCES[config.data].sizes["train"] * 5 // 6
    kept = sets.load(config.data, f"train[{count}:]", config.run.data)
    validation, test = (pipeline.flat(arrays) for arrays in (kept, data.test))
    return likelihood.parzen_estimate(
        model(drawn(config.draws), key), validation[: config.validation], test
    )


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Figure 2a without its neighbours: 100 samples."""
    shape = SOURCES[config.data].fields["image"].shape
    return {"samples": images.grid(model(drawn(100), key).reshape(-1, *shape))}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
