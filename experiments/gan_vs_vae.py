"""GAN against VAE.

The lecture's comparison, measured after Yuhuai Wu, Yuri Burda, Ruslan Salakhutdinov, Roger Grosse. ICLR 2017.
arXiv:1611.04273

Replicated: the comparison, by measurement: a GAN and a VAE whose generator and decoder are one architecture, trained
side by side on the same batches. On mixtures with known density: modes found, samples on a mode, KL both ways. On
images: the Frechet distance of what either draws, and the likelihood of both under one observation model,
N(G(z), sigma^2 I), by annealed importance sampling, with its bidirectional check on simulated images.

Not replicated: the paper's networks, its GMMN, and its decoders of 10 latents; sigma is chosen from a few values.

Cost: `quick` takes 90 seconds on one CPU core, at 120 to 150 steps a second; `mnist_quick` plays 10 to 25 a second, and
then its likelihoods take as long again.

Run: python -m experiments.gan_vs_vae quick
"""

import dataclasses
import functools
import math
import sys
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import images, losses
from gen_jax.config import Checked, Count, Fraction, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.pipeline import Data, Source
from gen_jax.data.synthetic import worlds
from gen_jax.distributions import Gaussian
from gen_jax.evaluation import classifier as classify
from gen_jax.evaluation import decoder_likelihood as observation
from gen_jax.evaluation import feature_distances as frechet
from gen_jax.evaluation import likelihood, mixtures
from gen_jax.game import Player, Trained
from gen_jax.networks import mlp as networks
from gen_jax.networks.layers import dropout
from gen_jax.objectives import evidence_lower_bound, log_weights
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Evaluation(Checked):
    draws: Count = 10_000
    """Points or images from each model."""
    samples: Count = 500
    """Importance samples for each point under the VAE."""
    images: Count = 50
    """Validation images that choose sigma, as many test images, and as many simulated ones."""
    chains: Count = 8
    """Of annealed importance sampling, for each image."""
    steps: Count = 500
    """Of annealed importance sampling."""


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["ring", "grid", "mnist", "fashion_mnist", "digits"] = "ring"
    """A ring of 8 or a grid of 25 Gaussians in the plane, or images."""
    latents: Count = 2
    """Of both models."""
    hidden: tuple[Count, ...] = (128, 128)
    """Rectifiers of generator and decoder; discriminator and encoder have as many in reverse."""
    dropout: Fraction = 0.0
    """Share of the discriminator's units that are left out; on images a GAN of perceptrons collapses without."""
    batch_size: Count = 256
    """Examples in a batch, the same for both models."""
    steps: Count = 30_000
    """Updates of each player."""
    learning_rate: Positive = 1e-3
    """Adam's, of all players."""
    adversarial_b1: Fraction = 0.5
    """Adam's decay of the first moment for the two adversaries; the VAE has 0.9."""
    evaluation: Evaluation = Evaluation()
    run: Run = Run()


MIXTURE = Config(run=Run(log_every=500, checkpoint_every=5000, sample_every=5000))
MNIST = Config(
    data="mnist",
    latents=50,
    hidden=(500, 500),
    dropout=0.5,
    batch_size=100,
    steps=60_000,
    learning_rate=2e-4,
    run=MIXTURE.run,
)
SHORT = dataclasses.replace(
    MNIST, steps=20_000, evaluation=Evaluation(images=20, chains=4, steps=250)
)
TINY = Config(
    hidden=(16,),
    batch_size=32,
    steps=40,
    evaluation=Evaluation(draws=200, samples=10),
    run=Run(log_every=10, checkpoint_every=20, sample_every=20),
)

PRESETS = {
    "mixture": ("a ring of 8 Gaussians, 30 000 steps", MIXTURE),
    "mnist": ("100 epochs of MNIST, then both likelihoods", MNIST),
    "mnist_quick": ("33 epochs of MNIST, and shorter chains; half an hour on a busy core", SHORT),
    "quick": (
        "a ring of 8 Gaussians, 6000 steps; 90 seconds on one core",
        dataclasses.replace(MIXTURE, steps=6000),
    ),
    "tiny": ("40 steps; seconds, for tests", TINY),
}

WU = "MNIST, 50 latents, dequantised, sigma fixed per model, AIS; networks other than ours"
CLAIMS = {
    "test/log_likelihood_vae": Claim(
        991.4, 6.5, "Wu et al., VAE-50", "unverified", better="higher", protocol=WU
    ),
    "test/log_likelihood_gan": Claim(
        627.3, 8.8, "Wu et al., GAN-50", "unverified", better="higher", protocol=WU
    ),
}
MODELS, DISTANCE = (
    ("gan", "vae"),
    "squared Frechet distance, features of our classifier of this set",
)
UNITS = {
    **{
        f"test/{metric}_{name}": unit
        for metric, unit in mixtures.UNITS.items()
        for name in (*MODELS, "truth")
    },
    "test/kl_from_data_importance_vae": "nats, KL(data || model), the model's density importance weighted",
    "test/kl_to_data_importance_vae": "nats, KL(model || data), the model's density importance weighted",
    **{f"test/frechet_{name}": DISTANCE for name in (*MODELS, "training_images")},
    **{f"test/log_likelihood_{name}": "nats per image, lower bound by AIS" for name in MODELS},
    **{f"validation/sigma_{name}": "of pixels in [0, 1]" for name in MODELS},
    **{
        f"simulated/ais_gap_{name}": "nats, upper minus lower bound, on the model's own images"
        for name in MODELS
    },
}

# Networks -------------------------------------------------------------------------------------------------------------


class Noise(nn.Module):
    """p(x|z) = N(mean, sigma^2 I) with one learnt sigma: that generator and decoder are alike, it stands apart."""

    @nn.compact
    def __call__(self, mean: Array) -> Gaussian:
        return Gaussian(
            mean, jnp.full_like(mean, self.param("log_variance", nn.initializers.zeros, ()))
        )


class Discriminator(nn.Module):
    """Leaky rectifiers, under dropout: [b, d] -> logits [b]."""

    hidden: tuple[int, ...]
    dropout: float

    @nn.compact
    def __call__(self, x: Array, key: Key) -> Array:
        for features, own in zip(self.hidden, jax.random.split(key, len(self.hidden)), strict=True):
            x = nn.leaky_relu(nn.Dense(features)(x))
            x = dropout(x, own, keep=1 - self.dropout) if self.dropout else x
        return nn.Dense(1)(x)[:, 0]


class Both(nn.Module):
    """A GAN (generator, discriminator) and a VAE (encoder, decoder, noise)."""

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module
    decoder: nn.Module
    noise: nn.Module

    def likelihood(self, z: Array) -> Gaussian:
        """The VAE's p(x|z)."""
        return self.noise(self.decoder(z))


def decoder(config: Config) -> nn.Module:
    """G(z), of either model: rectifiers, then a linear layer, under sigmoids where it gives pixels."""
    if config.data in worlds.MIXTURES:
        return nn.Sequential((networks.MLP(config.hidden, nn.relu), nn.Dense(2)))
    pixels = math.prod(SOURCES[config.data].fields["image"].shape)
    return nn.Sequential((networks.MLP(config.hidden, nn.relu), nn.Dense(pixels), nn.sigmoid))


def model(config: Config) -> Both:
    """The encoder has the tanh units of the VAE's paper."""
    backwards = config.hidden[::-1]
    judge = Discriminator(backwards, config.dropout)
    return Both(
        decoder(config),
        judge,
        networks.GaussianMLP(config.latents, backwards),
        decoder(config),
        Noise(),
    )


def source(config: Config) -> Source:
    """Points of a world, or images as vectors of grey values in [0, 1]: "x" [b, d]."""
    if config.data in worlds.MIXTURES:
        return Source(config.data, arrays=functools.partial(worlds.points, config.data))
    return Source(config.data, pipeline.vectors)


# Objectives -----------------------------------------------------------------------------------------------------------


def fakes(model: Any, batch: Batch, key: Key, latents: int) -> Array:
    """As many as the batch: [b, d]."""
    return model.generator(jax.random.normal(key, (len(batch["x"]), latents)))


def discriminator(model: Any, batch: Batch, key: Key, *, latents: int) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G(z)))."""
    first, second, noise = jax.random.split(key, 3)
    fake = model.discriminator(fakes(model, batch, noise, latents), first)
    real = model.discriminator(batch["x"], second)
    return losses.bce_real(real) + losses.bce_fake(fake), {"accuracy": losses.accuracy(real, fake)}


def generator(model: Any, batch: Batch, key: Key, *, latents: int) -> tuple[Array, Metrics]:
    """-log D(G(z))."""
    first, noise = jax.random.split(key)
    return losses.bce_real(model.discriminator(fakes(model, batch, noise, latents), first)), {}


def negative_elbo(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """KL(q(z|x) || p(z)) - log p(x|z)."""
    terms = evidence_lower_bound(model.encoder, model.likelihood, batch["x"], key, 1)
    reconstruction, fitting = (term.mean() for term in terms)
    return fitting - reconstruction, {"reconstruction": reconstruction, "prior_fitting": fitting}


def players(config: Config) -> dict[str, Player]:
    """The two adversaries, and the VAE, which shares nothing with them but the batches."""
    rate, latents = config.learning_rate, config.latents
    adversary = optax.adam(rate, b1=config.adversarial_b1)
    return {
        "discriminator": Player(
            ("discriminator",), functools.partial(discriminator, latents=latents), adversary
        ),
        "generator": Player(
            ("generator",), functools.partial(generator, latents=latents), adversary
        ),
        "vae": Player(("encoder", "decoder", "noise"), negative_elbo, optax.adam(rate)),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def means(model: Any, z: Array) -> dict[str, Array]:
    """What either makes of the same latents, without noise: [n, k] -> [n, d]."""
    return {"gan": model.generator(z), "vae": model.decoder(z)}


def draws(model: Any, z: Array, key: Key) -> dict[str, Array]:
    """Draws from either model; the VAE's have its noise."""
    return {"gan": model.generator(z), "vae": model.likelihood(z).sample(key, 1)[0]}


@functools.cache
def log_density(samples: int) -> Any:
    """(model, x [b, d], key) -> the VAE's log q(x), importance weighted by draws from its encoder: [b]."""

    def estimate(model: Any, x: Array, key: Key) -> Array:
        weights = functools.partial(log_weights, model.encoder, model.likelihood, x)
        return likelihood.importance_weighted(weights, key, samples=samples, chunk=10)

    return estimate


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """What can be measured: where the density of the data is known, or where there are images."""
    return (on_points if config.data in worlds.MIXTURES else on_images)(config, model, data, key)


def on_points(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Modes, and KL both ways. `truth` draws from the data's density itself: what the estimates give at best."""
    world, asked = worlds.MIXTURES[config.data](), config.evaluation
    prior, noise, truth, first, second = jax.random.split(key, 5)
    z = jax.random.normal(prior, (asked.draws, config.latents))
    drawn = {**model(draws, z, noise), "truth": world.sample(truth, asked.draws)}
    x, log_q, fake = (
        jnp.asarray(data.test["x"][: asked.draws]),
        log_density(asked.samples),
        drawn["vae"],
    )
    measured = {name: mixtures.measures(world, x, points) for name, points in drawn.items()}
    kl = mixtures.divergences(world, x, model(log_q, x, first), fake, model(log_q, fake, second))
    return {
        **{
            f"test/{metric}_{name}": value
            for name, each in measured.items()
            for metric, value in each.items()
        },
        "test/kl_from_data_importance_vae": kl[0],
        "test/kl_to_data_importance_vae": kl[1],
    }


def on_images(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Frechet distances of G(z) without noise, and likelihoods under N(G(z), sigma^2 I) of dequantised test images.

    As in Wu et al. the first half of the test images is for validation, and the second is tested.
    """
    asked, (image, label) = config.evaluation, (data.test["image"], data.test["label"])
    judge = classify.classifier(
        data.train["image"], data.train["label"], test=(image, label), name=config.data
    )

    def seen(x: Any) -> frechet.Moments:
        return frechet.moments(judge.features(np.asarray(x).reshape(-1, *image.shape[1:])))

    prior, first, second, *paths = jax.random.split(key, 3 + len(MODELS))
    drawn = model(means, jax.random.normal(prior, (asked.draws, config.latents)))
    drawn["training_images"] = data.train["image"][: asked.draws]
    of_test, half = seen(image), len(image) // 2
    metrics = {
        f"test/frechet_{name}": frechet.distance(seen(x), of_test) for name, x in drawn.items()
    }
    validation = observation.dequantised(image[:half][: asked.images], first)
    test = observation.dequantised(image[half:][: asked.images], second)
    measured = functools.partial(
        observation.likelihood, latents=config.latents, chains=asked.chains, steps=asked.steps
    )
    for name, network, path in zip(MODELS, ("generator", "decoder"), paths, strict=True):
        alone = Trained(decoder(config), {"params": model.variables["params"][network]})
        found = measured(alone, validation, test, path)
        metrics[f"validation/sigma_{name}"], metrics[f"test/log_likelihood_{name}"] = (
            found.sigma,
            found.log_p,
        )
        metrics[f"simulated/ais_gap_{name}"] = found.gap
    return metrics


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Images by either from the same latents; or the plane with data, GAN and VAE side by side."""
    prior, noise = jax.random.split(key)
    if config.data in worlds.MIXTURES:
        z = jax.random.normal(prior, (2000, config.latents))
        clouds = {"data": data.test["x"][:2000], **model(draws, z, noise)}
        reach = 1.2 * np.abs(data.test["x"]).max()
        return {
            "samples": images.grid(
                np.stack([mixtures.picture(x, reach) for x in clouds.values()]), columns=3
            )
        }
    drawn = model(means, jax.random.normal(prior, (100, config.latents)))
    shape = SOURCES[config.data].fields["image"].shape
    return {f"samples_{name}": images.grid(x.reshape(-1, *shape)) for name, x in drawn.items()}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
