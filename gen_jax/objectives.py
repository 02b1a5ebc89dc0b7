"""Objectives that two papers share, as functions of networks and arrays."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from gen_jax.distributions import Bernoulli, Gaussian, standard_normal
from gen_jax.types import Array, Key

Encoder = Callable[[Array], Gaussian]  # x [b, d] -> q(z|x)
Decoder = Callable[[Array], Bernoulli | Gaussian]  # z [..., k] -> p(x|z)
Critic = Callable[[Array], Array]  # x [b, ...] -> scores [b, ...]


def evidence_lower_bound(
    encoder: Encoder, decoder: Decoder, x: Array, key: Key, samples: int
) -> tuple[Array, Array]:
    """Both terms of the bound, in nats: E log p(x|z) by L draws of z from q(z|x), and KL(q || N(0,
    I)): [b] each.

    Kingma & Welling 2013, equation 10.
    """
    q = encoder(x)
    z = q.sample(key, samples)  # [L, b, k]
    return decoder(z).log_prob(x[None]).mean(0), q.kl()


def log_weights(encoder: Encoder, decoder: Decoder, x: Array, key: Key, samples: int) -> Array:
    """log p(x, z) - log q(z|x) of `samples` draws from q(z|x): [samples, b]."""
    q = encoder(x)
    z = q.sample(key, samples)  # [samples, b, k]
    each: Gaussian = jax.tree.map(lambda leaf: leaf[None], q)  # [1, b, k]
    return decoder(z).log_prob(x[None]) + standard_normal(z) - each.log_prob(z)


def gradient_penalty(
    critic: Critic, real: Array, fake: Array, key: Key, *, target: float = 1, shrink: float = 1
) -> Array:
    """E(||grad C(x)||_2 / shrink - target)^2 at a random point between each image and its fake:
    [b, ...] each -> [].

    Gulrajani et al. 2017, Algorithm 1. Where the critic scores patches, C(x) is the sum of those of
    x. Each score must be of its own image alone: no batch norm. A `shrink` of f gives the penalty
    of a critic that is shown each pixel f x f times and averages them: each then has 1 / f^2 of the
    gradient, and all of them 1 / f of its length.
    """
    share = jax.random.uniform(key, (len(real), *(1,) * (real.ndim - 1)))
    between = share * real + (1 - share) * fake
    gradients = jax.grad(lambda x: critic(x).sum())(between).reshape(len(real), -1)
    norms = jnp.sqrt((gradients**2).sum(-1) + 1e-12)  # the root has no derivative at 0
    return ((norms / shrink - target) ** 2).mean()


def label_cross_entropy(logits: Array, c: Array, groups: Sequence[tuple[int, bool]]) -> Array:
    """-log p(c|x) of labels whose groups are (size, whether one of them holds): [b, k], [b, k] ->
    [].

    A group of which one holds has a softmax; of others the cross-entropies of a sigmoid each are
    summed. With several groups c is [b, k + groups], and the last columns are a mask: 1 where an
    image's labels of a group are known, else 0 (Choi et al. 2018, equations 2 and 3, section 3.2).
    """
    mask = c[:, logits.shape[1] :] if len(groups) > 1 else jnp.ones((len(c), 1))  # [b, groups]
    total, first = jnp.zeros(()), 0
    for i, (size, exclusive) in enumerate(groups):
        own = slice(first, first + size)
        loss = optax.softmax_cross_entropy if exclusive else optax.sigmoid_binary_cross_entropy
        losses = loss(logits[:, own], c[:, own]).reshape(len(c), -1).sum(-1)  # [b]
        total, first = total + (mask[:, i] * losses).mean(), first + size
    return total
