"""The two densities of the papers: log-probabilities in nats, summed over the last axis."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.types import Array, Key

LOG_2PI = 1.8378770664093453


class Gaussian(NamedTuple):
    """N(mean, diag(exp(log_variance)))."""

    mean: Array  # [..., d]
    log_variance: Array  # [..., d]

    def sample(self, key: Key, count: int) -> Array:
        """mean + sigma * noise (Kingma & Welling 2013, section 2.4): [count, ..., d],
        differentiable in both.
        """
        noise = jax.random.normal(key, (count, *self.mean.shape), self.mean.dtype)
        return self.mean[None] + jnp.exp(0.5 * self.log_variance)[None] * noise

    def log_prob(self, x: Array) -> Array:
        """log N(x; mean, variance): [..., d] -> [...]."""
        squares = (x - self.mean) ** 2 * jnp.exp(-self.log_variance)
        return -0.5 * (LOG_2PI + self.log_variance + squares).sum(-1)

    def kl(self) -> Array:
        """KL(self || N(0, I)) = -1/2 sum(1 + log s^2 - m^2 - s^2) (Kingma & Welling 2013,
        appendix B): [...].
        """
        return -0.5 * (1 + self.log_variance - self.mean**2 - jnp.exp(self.log_variance)).sum(-1)


class Bernoulli(NamedTuple):
    """Independent Bernoulli variables, given by their logits so that no logarithm of zero is ever
    taken.
    """

    logits: Array  # [..., d]

    @property
    def mean(self) -> Array:
        """The probability of a one: [..., d]."""
        return jax.nn.sigmoid(self.logits)

    def log_prob(self, x: Array) -> Array:
        """sum x log y + (1 - x) log(1 - y) (Kingma & Welling 2013, appendix C.1): [..., d]
        -> [...]; x in [0, 1].
        """
        return (x * self.logits - jax.nn.softplus(self.logits)).sum(-1)


def standard_normal(z: Array) -> Array:
    """log N(z; 0, I): [..., d] -> [...]."""
    return -0.5 * (LOG_2PI + z**2).sum(-1)
