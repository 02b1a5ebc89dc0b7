"""Generative Adversarial Nets.

Ian J. Goodfellow, Jean Pouget-Abadie, Mehdi Mirza, Bing Xu, David Warde-Farley, Sherjil Ozair,
Aaron Courville, Yoshua Bengio. NIPS 2014. arXiv:1406.2661

Replicated: MNIST, with the maxout discriminator with dropout and the ReLU generator; Algorithm 1
with alternating steps, and the simultaneous step of the official code with half of the
discriminator's loss; the minimax and the non-saturating generator loss; the Parzen-window estimate
of the log-likelihood by the official protocol (Table 1).

Not replicated: TFD, whose images may not be redistributed, and the fully connected and
convolutional CIFAR-10 models. The number of epochs is not published (the official criterion is
commented out); ours is given in each preset.

Cost: `quick` takes 10 minutes of a CPU core (18 steps/s). Run: python -m experiments.gan quick
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax import game as games
from gen_jax.config import Checked, Count, Fraction, Positive, Range, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.folders import Folder
from gen_jax.errors import UserError
from gen_jax.evaluation import likelihood
from gen_jax.images import grid
from gen_jax.losses import accuracy, bce_fake, bce_real, minimax
from gen_jax.networks.gan import Discriminator, Generator

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: GAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """Minus the value of equation 1, -log D(x) - log(1 - D(G(z))), times the factor."""
    key_z, key_real, key_fake = jax.random.split(key, 3)
    real = model.discriminator(batch["x"], key_real)
    fake = model.discriminator(model.generator(noise(config, len(batch["x"]), key_z)), key_fake)
    loss = config.discriminator_factor * (bce_real(real) + bce_fake(fake))
    return loss, {"accuracy": accuracy(real, fake)}


GENERATOR_LOSSES = {"non-saturating": bce_real, "minimax": minimax}


def generator_loss(model: GAN, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """-log D(G(z)) or log(1 - D(G(z))), with dropout in the discriminator."""
    # In simultaneous steps, noise and dropout equal those of the discriminator: the key is shared.
    key_z, _, key_fake = jax.random.split(key, 3)
    fake = model.discriminator(model.generator(noise(config, len(batch["x"]), key_z)), key_fake)
    return GENERATOR_LOSSES[config.generator_loss](fake), {}


def noise(config: Config, count: int, key: Key) -> Array:
    """z ~ U(-sqrt 3, sqrt 3), of unit variance: [count, latents]."""
    limit = math.sqrt(3)
    return jax.random.uniform(key, (count, config.latents), minval=-limit, maxval=limit)


def players(config: Config) -> dict[str, Player]:
    """The discriminator first, k = 1."""
    descent = config.optimizer.over(train_size(config) // config.batch_size)
    return {
        "discriminator": Player(
            ("discriminator",), partial(discriminator_loss, config=config), descent
        ),
        "generator": Player(("generator",), partial(generator_loss, config=config), descent),
    }


def game(config: Config) -> games.Game:
    """Alternating or simultaneous; the last bias of G starts at the logits of the mean image."""
    one = games.make(
        model(config), players(config), together=config.together, precision=config.run.precision
    )
    return games.starting_at_mean(one, ("generator", "out"), config.mean_clip)


# Networks and data --------------------------------------------------------------------------------


class GAN(nn.Module):
    """G(z) and D(x)."""

    generator: Generator
    discriminator: Discriminator


def model(config: Config) -> GAN:
    pixels = math.prod(sets.shape(config.data, config.run.data))
    return GAN(Generator(config.hidden, pixels), Discriminator(config.maxout))


def train_size(config: Config) -> int:
    """The number of training images: the first five sixths. The others are for validation."""
    return sets.size(config.data, "train", config.run.data) * 5 // 6


def source(config: Config) -> Source:
    """ "x": grey values in [0, 1], [b, pixels]; and the mean image, for the initial state."""
    split = f"train[:{train_size(config)}]"
    return Source(config.data, pipeline.vectors, train=split, init_extras=pipeline.mean_image)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MomentumDescent(Checked):
    """Gradient descent with schedules of rate and momentum (mnist.yaml)."""

    learning_rate: Positive = 0.1  # initial learning rate
    decay: Positive = 1.000004  # divisor of the rate after each update, down to 1e-6
    momentum: Fraction = 0.5  # initial momentum
    final_momentum: Fraction = 0.7  # final momentum, reached linearly
    start: Count = 1  # last epoch, counted from 1, with the initial momentum
    saturate: Count = 250  # first epoch, counted from 1, with the final momentum

    FORMERLY: ClassVar = {"start": 2}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.saturate <= self.start:
            raise UserError(f"saturate is {self.saturate}; it must be above start, {self.start}.")

    def over(self, epoch: int) -> optax.GradientTransformation:
        """v <- momentum v - rate g; w <- w + v, both scheduled; `epoch` is in updates."""

        def rate(step: Array) -> Array:
            return jnp.maximum(self.learning_rate / self.decay**step, 1e-6)

        def momentum(step: Array) -> Array:
            passed = (step // epoch + 1 - self.start) / (self.saturate - self.start)
            rise = self.final_momentum - self.momentum
            return self.momentum + rise * jnp.clip(passed, 0, 1)

        trace = optax.inject_hyperparams(optax.trace)(decay=momentum)
        return optax.chain(optax.scale_by_learning_rate(rate), trace)


ClipRange = Annotated[float, Range("a number above 0 and below 0.5", 0, 0.5, open=True)]


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # or folder:PATH[@SIDE]; the last sixth is for validation
    data: Literal["mnist", "fashion_mnist", "digits"] | Folder = "mnist"
    latents: Count = 100  # dimensions of the noise, uniform with unit variance
    hidden: tuple[Count, ...] = (1200, 1200)  # ReLU units of the generator
    maxout: tuple[Count, ...] = (240, 240)  # maxout units of the discriminator, with 5 pieces each
    # -log D(G(z)), as in the code and suggested in section 3, or log(1 - D(G(z))), equation 1.
    generator_loss: Literal["non-saturating", "minimax"] = "non-saturating"
    together: bool = False  # simultaneous steps with the same noise, as in the code
    discriminator_factor: Positive = 1.0  # factor of its loss: 1 in the paper, 0.5 in the code
    batch_size: Count = 100  # m of Algorithm 1
    steps: Count = 100_000  # updates of each player; an epoch has 500
    draws: Count = 10_000  # samples in the Parzen-window estimate
    validation: Count = 1000  # validation images for choosing the width of the Parzen window
    # The generator starts at the mean image, clipped to [this, 1 - this] as in pylearn2.
    mean_clip: ClipRange = 1e-7
    optimizer: MomentumDescent = MomentumDescent()  # of each player (mnist.yaml)
    run: Run = Run()

    FORMERLY: ClassVar = {"mean_clip": 1e-3}


OFFICIAL = Config(together=True, discriminator_factor=0.5)
PRESETS = {
    "paper": ("Algorithm 1, 200 epochs; hours on 2 cores", Config()),
    "official": ("the official code: simultaneous steps, half the loss; 200 epochs", OFFICIAL),
}

# Evaluation ---------------------------------------------------------------------------------------

PARZEN = Claim(225, 2, "Table 1", "read", "higher", likelihood.PARZEN, data="mnist")
CLAIMS = {"test/parzen": PARZEN}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """parzen_ll.py: the best width on validation images, then the test images."""
    rest = sets.load(config.data, f"train[{train_size(config)}:]", config.run.data)
    draws = model.generator(noise(config, config.draws, key))
    train, kept = pipeline.flat(data.train, len(draws)), pipeline.flat(rest, config.validation)
    return likelihood.parzen_estimate(draws, train, kept, pipeline.flat(data.test))


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Figure 2a without the nearest neighbours: 100 samples."""
    draws = model.generator(noise(config, 100, key))
    return {"samples": grid(draws.reshape(-1, *data.test["image"].shape[1:]))}


if __name__ == "__main__":
    cli(__spec__)
