"""Evaluation of a variational autoencoder on the test set: the bound, log p(x), active units and
pictures.

The model is a module with the networks `encoder`, x -> q(z|x), and `decoder`, z -> p(x|z).
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from gen_jax import images
from gen_jax.data import pipeline
from gen_jax.data.pipeline import Data
from gen_jax.evaluation import feature_distances, likelihood
from gen_jax.evaluation.latent_arithmetic import interpolate
from gen_jax.game import Trained
from gen_jax.objectives import Decoder, Encoder, evidence_lower_bound, log_weights
from gen_jax.types import Array, Key, Measure

NATS = "nats per image"
ACTIVE = 0.01  # a unit is active if the variance of E[z|x] over images is above (Burda et al., 5.2)


class LatentVariableModel(Protocol):
    """A bound module with an inference network and a generative network."""

    @property
    def encoder(self) -> Encoder: ...
    @property
    def decoder(self) -> Decoder: ...


def evaluate(
    model: Trained, data: Data, key: Key, *, samples: int, images: int = 0
) -> dict[str, Measure]:
    """Return the bound and its two terms, active units, and -log p(x) by `samples` importance
    weights.

    -log p(x) is estimated on the first `images` test images, or on all if `images` is 0 or too
    large. Both numbers are part of its name: test/nll_k500_of_1000.
    """
    bound_key, weights_key = jax.random.split(key)
    test = functools.partial(pipeline.batches, data.test, data.prepare, batch_size=100)
    terms = [model(_bound_terms, batch["x"], key) for batch, key in test(bound_key)]
    reconstruction, prior_fitting, means = map(np.concatenate, zip(*terms, strict=True))
    total = pipeline.size(data.test)
    count = min(images or total, total)
    estimate = log_evidence(samples)
    log_p = np.concatenate(
        [model(estimate, batch["x"], key) for batch, key in test(weights_key, count=count)]
    )
    name, unit = f"test/nll_k{samples}", NATS
    if count < total:
        name, unit = f"{name}_of_{count}", f"{NATS}, k = {samples}, first {count} test images"
    return {
        "test/elbo": Measure((reconstruction - prior_fitting).mean(), NATS),
        "test/reconstruction": Measure(reconstruction.mean(), NATS),
        "test/prior_fitting": Measure(prior_fitting.mean(), NATS),
        "test/active_units": Measure((means.var(axis=0) > ACTIVE).sum(), "latents"),
        name: Measure(-log_p.mean(), unit),
    }


def _bound_terms(model: LatentVariableModel, x: Array, key: Key) -> tuple[Array, Array, Array]:
    """Return both terms of the bound from one draw, [b], and the mean of q(z|x), [b, k]."""
    return *evidence_lower_bound(model.encoder, model.decoder, x, key, 1), model.encoder(x).mean


@functools.cache
def log_evidence(
    samples: int, chunk: int | None = None, decoder: str = "decoder"
) -> Callable[[Any, Array, Key], Array]:
    """Return a function (model, x [b, d], key) -> log p(x) [b], estimated by importance weights
    (Burda et al. 2015).

    `chunk` of the draws are in memory at once; by default, the largest divisor of `samples` up to
    50. `decoder` names the network or method of the model that returns p(x|z).
    """
    chunk = chunk or max(m for m in range(1, 51) if samples % m == 0)

    def estimate(model: Any, x: Array, key: Key) -> Array:
        weights = functools.partial(log_weights, model.encoder, getattr(model, decoder), x)
        return likelihood.importance_weighted(weights, key, samples=samples, chunk=chunk)

    return estimate


def kl_of_moments(z: np.ndarray) -> float:
    """Return KL(N(m, C) || N(0, I)) in nats, where m and C are the mean and covariance of codes z
    [n, k].

    It is (tr C + m.m - k - log det C) / 2.
    """
    mean, covariance, _ = feature_distances.moments(z)
    _, log_determinant = np.linalg.slogdet(covariance)
    return 0.5 * float(np.trace(covariance) + mean @ mean - len(mean) - log_determinant)


def pictures(model: Trained, data: Data, key: Key, *, latents: int) -> dict[str, np.ndarray]:
    """Return grids of images: draws from the prior, test images with their reconstructions, and
    interpolations between codes of test images. With 2 latents, also the manifold of the decoder's
    means.
    """
    prior_key, data_key = jax.random.split(key)
    draws = jax.random.normal(prior_key, (100, latents))
    (batch, _), *_ = pipeline.batches(data.test, data.prepare, data_key, batch_size=50, count=50)
    z = model.encoder(batch["x"]).mean  # [50, k]
    # With fewer images, the first ones come again.
    first, second = z[jnp.arange(20) % len(z)].reshape(2, 10, -1)
    pairs = jnp.stack([batch["x"], model.decoder(z).mean], 1)  # [50, 2, d]
    vectors = {
        "samples": model.decoder(draws).mean,
        "reconstructions": pairs.reshape(2 * len(z), -1),
        "interpolations": model.decoder(interpolate(first, second, 10)).mean,
    }
    if latents == 2:
        line = ndtri(np.linspace(0.025, 0.975, 20))  # equal masses of the prior
        plane = jnp.stack(jnp.meshgrid(line, line), -1).reshape(400, 2).astype(jnp.float32)
        vectors["manifold"] = model.decoder(plane).mean
    shape = data.test["image"].shape[1:]
    return {name: images.grid(x.reshape(-1, *shape)) for name, x in vectors.items()}
