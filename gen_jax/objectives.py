"""Objectives that two papers share, as functions of networks and arrays."""

from collections.abc import Callable

import jax

from gen_jax.distributions import Bernoulli, Gaussian, standard_normal
from gen_jax.types import Array, Key

Encoder = Callable[[Array], Gaussian]  # x [b, d] -> q(z|x)
Decoder = Callable[[Array], Bernoulli | Gaussian]  # z [..., k] -> p(x|z)


def evidence_lower_bound(encoder: Encoder, decoder: Decoder, x: Array, key: Key, samples: int) -> tuple[Array, Array]:
    """Both terms of the bound, in nats: E log p(x|z) by L draws of z from q(z|x), and KL(q || N(0, I)): [b] each.

    Kingma & Welling 2013, equation 10.
    """
    q = encoder(x)
    z = q.sample(key, samples)  # [L, b, k]
    return decoder(z).log_prob(x[None]).mean(0), q.kl()


def log_weights(encoder: Encoder, decoder: Decoder, x: Array, key: Key, samples: int) -> Array:
    """log p(x, z) - log q(z|x) of `samples` draws from q(z|x): [samples, b]."""
    q = encoder(x)
    z = q.sample(key, samples)  # [samples, b, k]
    q = jax.tree.map(lambda leaf: leaf[None], q)
    return decoder(z).log_prob(x[None]) + standard_normal(z) - q.log_prob(z)
