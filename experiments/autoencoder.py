"""Is an autoencoder a generative model?

The lecture's question, after Hinton, Salakhutdinov. Science 2006.

Replicated: the answer, no, by measurement. An autoencoder and a VAE with the same networks are
trained side by side on the same batches and decode the same draws from N(0, I). The Frechet
distance to the data shows which of the two can be sampled from. In the linear-Gaussian world, the
result has a closed form.

Not replicated: the stacked restricted Boltzmann machines that initialise the networks of Hinton and
Salakhutdinov.

Cost: `quick` trains both in about 3 minutes on 2 CPU cores.

Run: python -m experiments.autoencoder quick
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import Adam, Array, Batch, Data, Key, Metrics, Player, Source, Trained, cli, images
from gen_jax.config import Checked, Count, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.evaluation import linear_autoencoder, variational
from gen_jax.evaluation.classifier_frechet import frechet_to_test
from gen_jax.networks import mlp
from gen_jax.objectives import evidence_lower_bound
from gen_jax.types import Claim, Measure

# Objectives ---------------------------------------------------------------------------------------


def reconstruction_loss(model: AutoencoderAndVAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Loss of the autoencoder: -log p(x|z) at z = f(x)."""
    return -model.decoder(model.encoder(batch["x"])).log_prob(batch["x"]).mean(), {}


def negative_elbo(model: AutoencoderAndVAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Loss of the VAE: -log p(x|z) at z ~ q(z|x), plus the KL of q(z|x) from the prior."""
    terms = evidence_lower_bound(model.vae_encoder, model.vae_decoder, batch["x"], key, 1)
    reconstruction, fitting = (term.mean() for term in terms)
    return fitting - reconstruction, {"reconstruction": reconstruction, "prior_fitting": fitting}


def players(config: Config) -> dict[str, Player]:
    """Two players that share only the batches."""
    adam = config.adam.over(config.steps)
    return {
        "autoencoder": Player(("encoder", "decoder"), reconstruction_loss, adam),
        "vae": Player(("vae_encoder", "vae_decoder"), negative_elbo, adam),
    }


# Networks and data --------------------------------------------------------------------------------


class AutoencoderAndVAE(nn.Module):
    """An autoencoder and a VAE with the same layers."""

    encoder: nn.Sequential
    decoder: mlp.BernoulliMLP
    vae_encoder: mlp.GaussianMLP
    vae_decoder: mlp.BernoulliMLP


def model(config: Config) -> AutoencoderAndVAE:
    """One hidden layer of tanh units in each network; the VAE's encoder has a second head, for the
    variance.
    """
    hidden, pixels = config.hidden, math.prod(SOURCES[config.data].fields["image"].shape)
    return AutoencoderAndVAE(
        nn.Sequential((mlp.MLP(hidden), nn.Dense(config.latents))),
        mlp.BernoulliMLP(pixels, hidden[::-1]),
        mlp.GaussianMLP(config.latents, hidden),
        mlp.BernoulliMLP(pixels, hidden[::-1]),
    )


def source(config: Config) -> Source:
    """The images as vectors of grey values in [0, 1]: "x" [b, d]."""
    return Source(config.data, pipeline.vectors)


# Config -------------------------------------------------------------------------------------------

ADAM = Adam(1e-3)


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"  # the data set
    latents: Count = 20  # dimensions of the code
    hidden: tuple[Count, ...] = (500,)  # units of the encoder; reversed for the decoder
    batch_size: Count = 100  # images in a batch, shared by both models
    steps: Count = 60_000  # updates of each model
    adam: Adam = ADAM
    draws: Count = 10_000  # images sampled from each model for evaluation
    run: Run = Run()

    RENAMED: ClassVar = {"learning_rate": "adam.learning_rate"}


PRESETS = {"paper": ("100 epochs; about 12 minutes on 2 cores", Config())}

# Evaluation ---------------------------------------------------------------------------------------

CLAIMS: dict[str, Claim] = {}
CODE_KL = "nats, KL(N(m, C) || N(0, I)) with the moments m, C of the codes"


def decode(model: AutoencoderAndVAE, z: Array) -> dict[str, Array]:
    """Decode the same codes with both decoders: [n, k] -> [n, d]."""
    return {"autoencoder": model.decoder(z).mean, "vae": model.vae_decoder(z).mean}


def encode(model: AutoencoderAndVAE, x: Array, key: Key) -> dict[str, Array]:
    """Encode the same images with both encoders, the VAE with its noise: [n, d] -> [n, k]."""
    return {"autoencoder": model.encoder(x), "vae": model.vae_encoder(x).sample(key, 1)[0]}


def reconstruct(model: AutoencoderAndVAE, x: Array, key: Key) -> dict[str, Array]:
    """Reconstruct the same images with both models: [n, d] -> [n, d]."""
    return {name: decode(model, z)[name] for name, z in encode(model, x, key).items()}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Frechet distances of samples and reconstructions to the test images; distance of the codes
    from the prior; the linear-Gaussian world.
    """
    prior, pixels, first, second = jax.random.split(key, 4)
    x = data.prepare({"image": jnp.asarray(data.test["image"])}, pixels)["x"]
    draws = model(decode, jax.random.normal(prior, (config.draws, config.latents)))
    reconstructions, codes = model(reconstruct, x, first), model(encode, x, second)
    sets = {**draws, **{f"{name}_reconstructions": y for name, y in reconstructions.items()}}
    sets["training_images"] = data.train["image"][: config.draws]
    kl = {name: variational.kl_of_moments(np.asarray(z)) for name, z in codes.items()}
    return {
        **frechet_to_test(config.data, data, sets),
        **{f"test/code_kl_{name}": Measure(value, CODE_KL) for name, value in kl.items()},
        **linear_autoencoder.evaluate(),
    }


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """The same draws from N(0, I), decoded by both models, and reconstructions by both."""
    (batch, noise), *_ = pipeline.batches(data.test, data.prepare, key, batch_size=100, count=100)
    z = jax.random.normal(jax.random.fold_in(key, 1), (100, config.latents))
    pictures = {
        **{f"samples_{name}": x for name, x in model(decode, z).items()},
        **{f"reconstructions_{n}": x for n, x in model(reconstruct, batch["x"], noise).items()},
    }
    shape = data.test["image"].shape[1:]
    return {name: images.grid(x.reshape(-1, *shape)) for name, x in pictures.items()}


if __name__ == "__main__":
    cli(__spec__)
