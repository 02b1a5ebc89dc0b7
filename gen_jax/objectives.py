"""Objectives that two papers share, as functions of networks and arrays."""

from collections.abc import Callable

from gen_jax.distributions import Bernoulli, Gaussian
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
