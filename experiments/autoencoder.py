"""Is an autoencoder a generative model?

The lecture's question, after Hinton, Salakhutdinov. Science 2006.

Replicated: the answer, no, by measurement: an autoencoder and a VAE of the same networks, trained side by side on the
same batches, decode the same draws from N(0, I); the Frechet distance to the data says which of the two can be drawn
from. In the linear-Gaussian world the same is known in closed form.

Not replicated: the stacked restricted Boltzmann machines that Hinton and Salakhutdinov start their networks from.

Cost: `quick` trains both in about 3 minutes on 2 CPU cores.

Run: python -m experiments.autoencoder quick
"""

import dataclasses
import math
import sys
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import images
from gen_jax.config import Checked, Count, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.pipeline import Data, Source
from gen_jax.data.synthetic.worlds import LinearGaussian, principal_components
from gen_jax.evaluation import classifier as classify
from gen_jax.evaluation import feature_distances as frechet
from gen_jax.game import Player, Trained
from gen_jax.networks import mlp as networks
from gen_jax.objectives import evidence_lower_bound
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """The data set."""
    latents: Count = 20
    """Dimensions of the code."""
    hidden: tuple[Count, ...] = (500,)
    """Hidden units of the encoder; the decoder has the same in reverse."""
    batch_size: Count = 100
    """Images in a batch, the same for both models."""
    steps: Count = 60_000
    """Updates of each model."""
    learning_rate: Positive = 1e-3
    """Adam's."""
    draws: Count = 10_000
    """Images drawn from each model to be measured."""
    run: Run = Run()


PRESETS = {
    "paper": ("100 epochs; about 12 minutes on 2 cores", Config()),
    "quick": ("15 epochs; 3 minutes on 2 cores", Config(steps=9_000)),
    "tiny": (
        "8x8 digits; seconds, for tests",
        Config(
            data="digits",
            latents=2,
            hidden=(16,),
            batch_size=32,
            steps=40,
            draws=100,
            run=Run(log_every=10, checkpoint_every=20, sample_every=20),
        ),
    ),
}

CLAIMS: dict[str, Claim] = {}
DRAWS = 100_000  # of the linear-Gaussian world, for pPCA
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the decoder in the linear-Gaussian world
DISTANCE = "squared Frechet distance to the test images, features of our classifier of this set"
UNITS = {
    "test/frechet_autoencoder": DISTANCE,
    "test/frechet_vae": DISTANCE,
    "test/frechet_autoencoder_reconstructions": DISTANCE,
    "test/frechet_vae_reconstructions": DISTANCE,
    "test/frechet_training_images": DISTANCE,
    "test/code_kl_autoencoder": "nats, KL from N(0, I) of the Gaussian with the moments of the codes",
    "test/code_kl_vae": "nats, KL from N(0, I) of the Gaussian with the moments of the codes",
    **{
        f"linear/frechet_autoencoder_scale_{scale:g}": "squared Frechet distance, closed form"
        for scale in SCALES
    },
    "linear/frechet_ppca": "squared Frechet distance, closed form, of pPCA fitted to 100 000 draws",
}

# Networks -------------------------------------------------------------------------------------------------------------


class Both(nn.Module):
    """An autoencoder and a VAE of the same layers."""

    encoder: nn.Module
    decoder: nn.Module
    vae_encoder: nn.Module
    vae_decoder: nn.Module


def model(config: Config) -> Both:
    """One hidden layer of tanh units on either side; the VAE's encoder has a second head for the variance."""
    pixels, backwards = math.prod(SOURCES[config.data].fields["image"].shape), config.hidden[::-1]
    return Both(
        nn.Sequential((networks.MLP(config.hidden), nn.Dense(config.latents))),
        networks.BernoulliMLP(pixels, backwards),
        networks.GaussianMLP(config.latents, config.hidden),
        networks.BernoulliMLP(pixels, backwards),
    )


def source(config: Config) -> Source:
    """The images as vectors of grey values, [b, d] in [0, 1]."""
    return Source(config.data, pipeline.vectors)


# Objectives -----------------------------------------------------------------------------------------------------------


def reconstruction(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """The autoencoder: -log p(x|z) at z = f(x), and nothing else."""
    return -model.decoder(model.encoder(batch["x"])).log_prob(batch["x"]).mean(), {}


def negative_elbo(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """The VAE: the same, of noisy codes, and their divergence from the prior."""
    terms = evidence_lower_bound(model.vae_encoder, model.vae_decoder, batch["x"], key, 1)
    likelihood, fitting = (term.mean() for term in terms)
    return fitting - likelihood, {"reconstruction": likelihood, "prior_fitting": fitting}


def players(config: Config) -> dict[str, Player]:
    """Two players who share nothing but the batches."""
    adam = optax.adam(config.learning_rate)
    return {
        "autoencoder": Player(("encoder", "decoder"), reconstruction, adam),
        "vae": Player(("vae_encoder", "vae_decoder"), negative_elbo, adam),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def decoded(model: Any, z: Array) -> dict[str, Array]:
    """What each decoder makes of the same codes: [n, k] -> [n, d]."""
    return {"autoencoder": model.decoder(z).mean, "vae": model.vae_decoder(z).mean}


def coded(model: Any, x: Array, key: Key) -> dict[str, Array]:
    """What each encoder makes of the same images: [n, d] -> [n, k]; the VAE's is a draw from q(z|x)."""
    return {"autoencoder": model.encoder(x), "vae": model.vae_encoder(x).sample(key, 1)[0]}


def own_codes(model: Any, x: Array, key: Key) -> dict[str, Array]:
    """Reconstructions by each model: [n, d]."""
    codes = coded(model, x, key)
    return {name: decoded(model, z)[name] for name, z in codes.items()}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """How far from the test images each model's draws and reconstructions are, and its codes from the prior."""
    truth = (data.test["image"], data.test["label"])
    judge = classify.classifier(
        data.train["image"], data.train["label"], test=truth, name=config.data
    )
    shape = data.test["image"].shape[1:]

    def seen(x: Array | np.ndarray) -> frechet.Moments:
        return frechet.moments(judge.features(np.asarray(x).reshape(-1, *shape)))

    prior, pixels, first, second = jax.random.split(key, 4)
    of_test, x = (
        seen(data.test["image"]),
        data.prepare({"image": jnp.asarray(data.test["image"])}, pixels)["x"],
    )
    draws = model(decoded, jax.random.normal(prior, (config.draws, config.latents)))
    again, codes = model(own_codes, x, first), model(coded, x, second)
    return {
        **{f"test/frechet_{name}": frechet.distance(seen(x), of_test) for name, x in draws.items()},
        **{
            f"test/frechet_{name}_reconstructions": frechet.distance(seen(x), of_test)
            for name, x in again.items()
        },
        "test/frechet_training_images": frechet.distance(
            seen(data.train["image"][: config.draws]), of_test
        ),
        **{f"test/code_kl_{name}": kl_of_moments(np.asarray(z)) for name, z in codes.items()},
        **linear_world(),
    }


def kl_of_moments(z: np.ndarray) -> float:
    """KL(N(m, C) || N(0, I)) = (tr C + m.m - k - log det C) / 2 of the mean and covariance of codes [n, k], in nats."""
    mean, covariance, _ = frechet.moments(z)
    _, log_determinant = np.linalg.slogdet(covariance)
    return 0.5 * float(np.trace(covariance) + mean @ mean - len(mean) - log_determinant)


def linear_world() -> dict[str, float]:
    """The same question where everything is exact: x in R^8 of 3 latents and noise of variance 0.5.

    Every decoder (s W, m), with the encoder that undoes it, reconstructs equally well, whatever s: nothing in the
    objective of an autoencoder ties the scale of its codes to the prior. The VAE's optimum is pPCA, which is the truth.
    """
    truth = LinearGaussian(
        jax.random.normal(jax.random.key(0), (8, 3)), jnp.ones(8), jnp.float32(0.5)
    )
    decoder = np.asarray(truth.weights, np.float64)
    exact = frechet.Moments(np.ones(8), decoder @ decoder.T + 0.5 * np.eye(8), n=DRAWS)

    def distance(scale: float) -> float:  # of s W z + m, z ~ N(0, I), which has no noise
        return frechet.distance(
            frechet.Moments(exact.mean, scale**2 * decoder @ decoder.T, n=DRAWS), exact
        )

    optimum = principal_components(truth.sample(jax.random.key(1), DRAWS)[0], 3)
    return {
        **{f"linear/frechet_autoencoder_scale_{scale:g}": distance(scale) for scale in SCALES},
        "linear/frechet_ppca": float(optimum.frechet_to(truth)),
    }


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """The same draws from N(0, I) through both decoders, and reconstructions by both."""
    shape = SOURCES[config.data].fields["image"].shape
    (batch, noise), *_ = pipeline.batches(data.test, data.prepare, key, batch_size=100, count=100)
    draws = model(decoded, jax.random.normal(jax.random.fold_in(key, 1), (100, config.latents)))
    again = model(own_codes, batch["x"], noise)
    pictures = {f"samples_{name}": x for name, x in draws.items()}
    pictures |= {f"reconstructions_{name}": x for name, x in again.items()}
    return {name: images.grid(x.reshape(-1, *shape)) for name, x in pictures.items()}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
