"""A decoder as a density of images, p(x|z) = N(G(z), sigma^2 I), so that GANs and VAEs can be compared by log p(x).

Wu et al. 2017, sections 4 and 5. In nats per image of pixels in [0, 1].
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.distributions import Gaussian
from gen_jax.evaluation import ais
from gen_jax.game import Trained
from gen_jax.types import Array, Key

SIGMAS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)  # of pixels in [0, 1]


class Likelihood(NamedTuple):
    """What a decoder's density is worth."""

    sigma: float  # the likeliest of those tried, on validation images
    log_p: float  # of the test images, a lower bound
    gap: float  # the upper minus the lower bound on images of the decoder itself: how far to trust the above


def likelihood(
    decoder: Trained,
    validation: Array,
    test: Array,
    key: Key,
    *,
    latents: int,
    chains: int,
    steps: int,
    sigmas: Sequence[float] = SIGMAS,
) -> Likelihood:
    """Means over images [b, d] under a trained decoder; the same lower bound chooses sigma and measures."""
    measure, simulate, path, back, *choose = jax.random.split(key, 4 + len(sigmas))
    low = lower(latents, chains, steps)
    found = [
        float(decoder(low, validation, sigma, own).mean())
        for sigma, own in zip(sigmas, choose, strict=True)
    ]
    sigma = sigmas[int(np.argmax(found))]
    log_p = decoder(low, test, sigma, measure)
    z, x = decoder(simulated(len(test), latents), sigma, simulate)
    gap = decoder(upper(chains, steps), x, z, sigma, back) - decoder(low, x, sigma, path)
    return Likelihood(sigma, float(log_p.mean()), float(gap.mean()))


def dequantised(image: Any, key: Key) -> Array:
    """(v + U(0, 1)) / 256 of the grey values: [b, h, w, c] -> [b, d]; a density of whole numbers has no bound."""
    grey = jnp.asarray(image, jnp.float32).reshape(len(image), -1)
    return (grey + jax.random.uniform(key, grey.shape)) / 256


def observed(decoder: Callable[[Array], Array], x: Array, sigma: Array) -> ais.LogLikelihood:
    """log N(x; G(z), sigma^2 I) of latents z [c, b, k] for images x [b, d]: [c, b]."""

    def log_likelihood(z: Array) -> Array:
        mean = decoder(z)
        return Gaussian(mean, jnp.full_like(mean, 2 * jnp.log(sigma))).log_prob(x[None])

    return log_likelihood


# The functions below are cached, so that each is compiled once; their `decoder` is the bound module.


@functools.cache
def lower(latents: int, chains: int, steps: int) -> Any:
    """(decoder, x [b, d], sigma, key) -> log p(x) from below: [b]."""

    def low(decoder: Any, x: Array, sigma: Array, key: Key) -> Array:
        return ais.lower(
            observed(decoder, x, sigma), (len(x), latents), key, chains=chains, steps=steps
        )

    return low


@functools.cache
def upper(chains: int, steps: int) -> Any:
    """(decoder, x [b, d], the z [b, k] that x was drawn from, sigma, key) -> log p(x) from above: [b]."""

    def high(decoder: Any, x: Array, z: Array, sigma: Array, key: Key) -> Array:
        return ais.upper(observed(decoder, x, sigma), z, key, chains=chains, steps=steps)

    return high


@functools.cache
def simulated(count: int, latents: int) -> Any:
    """(decoder, sigma, key) -> draws of z and of x|z: [b, k], [b, d]."""

    def draw(decoder: Any, sigma: Array, key: Key) -> tuple[Array, Array]:
        prior, noise = jax.random.split(key)
        z = jax.random.normal(prior, (count, latents))
        mean = decoder(z)
        return z, mean + sigma * jax.random.normal(noise, mean.shape)

    return draw
