"""log p(x) of a decoder under p(x|z) = N(G(z), sigma^2 I), by which GANs and VAEs are compared.

Wu et al. 2017, sections 4 and 5. In nats per image of pixels in [0, 1].
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.distributions import Gaussian
from gen_jax.evaluation import ais
from gen_jax.game import Trained
from gen_jax.types import Array, Key, Measure

Decoder = Callable[[Array], Array]  # z [..., k] -> G(z) [..., d]
SIGMAS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4)  # of pixels in [0, 1]


class Likelihood(NamedTuple):
    """What is measured of one decoder, in nats per image."""

    sigma: float  # the value that makes the validation images most likely
    log_p: float  # of the test images, a lower bound
    gap: float  # the upper minus the lower bound, on images drawn from the decoder itself


def evaluate(
    decoders: Mapping[str, Trained],
    image: np.ndarray,
    keys: Sequence[Key],
    *,
    latents: int,
    images: int,
    chains: int,
    steps: int,
) -> dict[str, Measure]:
    """Sigma, log p(x) and the gap of each decoder, by its name, on uint8 test images [n, h, w, c].

    As in Wu et al., the first half of the test images is for validation, and the second is tested;
    `images` of each half are used. Of the keys, the first two are for the noise of the pixels, and
    then there is one for each decoder.
    """
    half = len(image) // 2
    validation = dequantised(image[:half][:images], keys[0])
    test = dequantised(image[half:][:images], keys[1])
    measured: dict[str, Measure] = {}
    for (name, decoder), key in zip(decoders.items(), keys[2:], strict=True):
        found = likelihood(
            decoder, validation, test, key, latents=latents, chains=chains, steps=steps
        )
        lower, gap = "lower bound by AIS", "upper minus lower bound, on the model's own images"
        measured |= {
            f"validation/sigma_{name}": Measure(found.sigma, "of pixels in [0, 1]"),
            f"test/log_likelihood_{name}": Measure(found.log_p, f"nats per image, {lower}"),
            f"simulated/ais_gap_{name}": Measure(found.gap, f"nats, {gap}"),
        }
    return measured


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
    """Means over images [b, d] under a decoder; one lower bound chooses sigma and is the result."""
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


def dequantised(image: np.ndarray, key: Key) -> Array:
    """(v + U(0, 1)) / 256 of the grey values: [b, h, w, c] -> [b, d].

    Without the noise the density is unbounded on the discrete values.
    """
    grey = jnp.asarray(image, jnp.float32).reshape(len(image), -1)
    return (grey + jax.random.uniform(key, grey.shape)) / 256


def observed(decoder: Decoder, x: Array, sigma: Array) -> ais.LogLikelihood:
    """log N(x; G(z), sigma^2 I) of latents z [c, b, k] for images x [b, d]: [c, b]."""

    def log_likelihood(z: Array) -> Array:
        mean = decoder(z)
        return Gaussian(mean, jnp.full_like(mean, 2 * jnp.log(sigma))).log_prob(x[None])

    return log_likelihood


# The functions below are cached, so that each compiles once; `decoder` is the bound module.


@functools.cache
def lower(latents: int, chains: int, steps: int) -> Callable[..., Array]:
    """(decoder, x [b, d], sigma, key) -> a lower bound of log p(x): [b]."""

    def estimate(decoder: Decoder, x: Array, sigma: Array, key: Key) -> Array:
        return ais.lower(
            observed(decoder, x, sigma), (len(x), latents), key, chains=chains, steps=steps
        )

    return estimate


@functools.cache
def upper(chains: int, steps: int) -> Callable[..., Array]:
    """(decoder, x [b, d], z [b, k] that x was drawn from, sigma, key) -> an upper bound: [b]."""

    def estimate(decoder: Decoder, x: Array, z: Array, sigma: Array, key: Key) -> Array:
        return ais.upper(observed(decoder, x, sigma), z, key, chains=chains, steps=steps)

    return estimate


@functools.cache
def simulated(count: int, latents: int) -> Callable[..., tuple[Array, Array]]:
    """(decoder, sigma, key) -> draws of z and of x|z: [b, k], [b, d]."""

    def draw(decoder: Decoder, sigma: Array, key: Key) -> tuple[Array, Array]:
        prior, noise = jax.random.split(key)
        z = jax.random.normal(prior, (count, latents))
        mean = decoder(z)
        return z, mean + sigma * jax.random.normal(noise, mean.shape)

    return draw
