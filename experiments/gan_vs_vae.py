"""GAN against VAE.

The lecture's comparison, measured after Yuhuai Wu, Yuri Burda, Ruslan Salakhutdinov, Roger Grosse.
ICLR 2017. arXiv:1611.04273

Replicated: the comparison, by measurement. A GAN and a VAE, whose generator and decoder have the
same architecture, are trained side by side on the same batches. On mixtures with known density:
modes found, samples on a mode, both KL divergences. On images: Frechet distances of samples, and
the likelihood of both under one observation model, N(G(z), sigma^2 I), by annealed importance
sampling, with its bidirectional check on simulated images.

Not replicated: the paper's networks, GMMN and decoders of 10 latents; sigma has a few values.

Cost: `quick` takes 90 seconds on one CPU core, at 120 to 150 steps per second; `mnist_quick` runs
at 10 to 25, and its likelihoods take the same time again.

Run: python -m experiments.gan_vs_vae quick
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import ClassVar, Literal

import jax
import numpy as np
from flax import linen as nn

from gen_jax import Adam, Array, Batch, Data, Key, Metrics, Player, Source, Trained, cli, losses
from gen_jax.config import Checked, Count, Fraction, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.synthetic import worlds
from gen_jax.distributions import Gaussian
from gen_jax.evaluation import gan_and_vae
from gen_jax.networks import mlp
from gen_jax.objectives import evidence_lower_bound
from gen_jax.types import Claim, Measure

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: GANAndVAE, batch: Batch, key: Key, *, latents: int
) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G(z)))."""
    first, second, noise = jax.random.split(key, 3)
    fake = model.discriminator(generate(model, batch, noise, latents), first)
    real = model.discriminator(batch["x"], second)
    return losses.bce_real(real) + losses.bce_fake(fake), {"accuracy": losses.accuracy(real, fake)}


def generator_loss(
    model: GANAndVAE, batch: Batch, key: Key, *, latents: int
) -> tuple[Array, Metrics]:
    """-log D(G(z))."""
    dropout, noise = jax.random.split(key)
    fake = model.discriminator(generate(model, batch, noise, latents), dropout)
    return losses.bce_real(fake), {}


def generate(model: GANAndVAE, batch: Batch, key: Key, latents: int) -> Array:
    """Fakes for a batch: [b, d]."""
    return model.generator(jax.random.normal(key, (len(batch["x"]), latents)))


def negative_elbo(model: GANAndVAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """KL(q(z|x) || p(z)) - log p(x|z)."""
    terms = evidence_lower_bound(model.encoder, model.likelihood, batch["x"], key, 1)
    reconstruction, fitting = (term.mean() for term in terms)
    return fitting - reconstruction, {"reconstruction": reconstruction, "prior_fitting": fitting}


def players(config: Config) -> dict[str, Player]:
    """Discriminator, generator, and the VAE, which shares only the batches with them."""
    d_loss = partial(discriminator_loss, latents=config.latents)
    g_loss = partial(generator_loss, latents=config.latents)
    adam = config.adam.over(config.steps)
    adversary = config.adam.but(b1=config.adversarial_b1).over(config.steps)
    return {
        "discriminator": Player(("discriminator",), d_loss, adversary),
        "generator": Player(("generator",), g_loss, adversary),
        "vae": Player(("encoder", "decoder", "noise"), negative_elbo, adam),
    }


# Networks and data --------------------------------------------------------------------------------


class GANAndVAE(nn.Module):
    """A GAN (generator, discriminator) and a VAE (encoder, decoder, noise)."""

    generator: nn.Sequential
    discriminator: mlp.Discriminator
    encoder: mlp.GaussianMLP
    decoder: nn.Sequential
    noise: mlp.IsotropicNoise

    def likelihood(self, z: Array) -> Gaussian:
        """p(x|z) of the VAE."""
        return self.noise(self.decoder(z))


def model(config: Config) -> GANAndVAE:
    """The encoder has the tanh units of the VAE paper; p(x|z) has one learned sigma, in a separate
    module, so that generator and decoder are equal.
    """
    backwards = config.hidden[::-1]
    return GANAndVAE(
        decoder(config),
        mlp.Discriminator(backwards, config.dropout),
        mlp.GaussianMLP(config.latents, backwards),
        decoder(config),
        mlp.IsotropicNoise(),
    )


def decoder(config: Config) -> nn.Sequential:
    """G(z) of both models: ReLU layers, then a linear one, with sigmoids for pixels."""
    hidden = mlp.MLP(config.hidden, nn.relu)
    if config.data in worlds.MIXTURES:
        return nn.Sequential((hidden, nn.Dense(2)))
    pixels = math.prod(SOURCES[config.data].fields["image"].shape)
    return nn.Sequential((hidden, nn.Dense(pixels), nn.sigmoid))


def source(config: Config) -> Source:
    """Points of a mixture, or images as vectors of grey values in [0, 1]: "x" [b, d]."""
    if config.data in worlds.MIXTURES:
        return Source(config.data, arrays=partial(worlds.points, config.data))
    return Source(config.data, pipeline.vectors)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Evaluation(Checked):
    draws: Count = 10_000  # points or images per model
    samples: Count = 500  # importance samples per point for the VAE
    images: Count = 50  # validation images to choose sigma; also test and simulated images
    chains: Count = 8  # chains of annealed importance sampling per image
    steps: Count = 500  # steps of annealed importance sampling


ADAM = Adam(1e-3)


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # a ring of 8 or a grid of 25 Gaussians in the plane, or images
    data: Literal["ring", "grid", "mnist", "fashion_mnist", "digits"] = "ring"
    latents: Count = 2  # dimensions of z in both models
    # units of generator and decoder; reversed for discriminator and encoder
    hidden: tuple[Count, ...] = (128, 128)
    # dropout rate of the discriminator; at 0, a GAN of MLPs collapses on images
    dropout: Fraction = 0.0
    batch_size: Count = 256  # examples in a batch, shared by both models
    steps: Count = 30_000  # updates of each player
    adam: Adam = ADAM
    adversarial_b1: Fraction = 0.5  # b1 of discriminator and generator instead of adam.b1
    evaluation: Evaluation = Evaluation()
    run: Run = Run()

    RENAMED: ClassVar = {"learning_rate": "adam.learning_rate"}


MIXTURE = Config(run=Run(log_every=500, checkpoint_every=5000, sample_every=5000))
MNIST = MIXTURE.but(
    data="mnist",
    latents=50,
    hidden=(500, 500),
    dropout=0.5,
    batch_size=100,
    steps=60_000,
    adam=Adam(2e-4),
)
PRESETS = {
    "mixture": ("a ring of 8 Gaussians, 30 000 steps", MIXTURE),
    "mnist": ("100 epochs of MNIST, then both likelihoods", MNIST),
}

# Evaluation ---------------------------------------------------------------------------------------

WU = "AIS, 10 000 temperatures, 1000 test images, sigma fixed per model; networks other than ours"
claim = partial(Claim, status="read", better="higher", protocol=WU, data="mnist")
CLAIMS = {
    "test/log_likelihood_vae": claim(991.4, 6.5, "Wu et al., Table 2, VAE-50"),
    "test/log_likelihood_gan": claim(627.3, 8.8, "Wu et al., Table 2, GAN-50"),
}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Modes and both KL divergences if the density of the data is known; Frechet distances and
    likelihoods on images.
    """
    latents, sizes = config.latents, config.evaluation
    if config.data in worlds.MIXTURES:
        world = worlds.MIXTURES[config.data]()
        return gan_and_vae.on_points(world, model, data, key, latents, sizes)
    return gan_and_vae.on_images(config.data, decoder(config), model, data, key, latents, sizes)


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Images of both from the same latents; or data, GAN and VAE side by side in the plane."""
    is_mixture = config.data in worlds.MIXTURES
    pictures = gan_and_vae.planes if is_mixture else gan_and_vae.image_grids
    return pictures(model, data, key, config.latents)


if __name__ == "__main__":
    cli(__spec__)
