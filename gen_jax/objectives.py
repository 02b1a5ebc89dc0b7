"""Objectives shared by several papers, as functions of networks and arrays."""

from collections.abc import Callable, Sequence

import chex
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
    """Both terms of the bound, in nats: E log p(x|z) over L draws of z from q(z|x), and KL(q ||
    N(0, I)): [b] each.

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

    Gulrajani et al. 2017, Algorithm 1. If the critic scores patches, C(x) is the sum of the scores
    of x. Each score must depend on its own image only: no batch norm. With `shrink` f, the penalty
    is that of a critic that receives each pixel repeated f x f times and averages the repeats: the
    gradient of each repeat is 1 / f^2 of the original one, and the norm of all is 1 / f of the
    original norm.
    """
    chex.assert_equal_shape((real, fake))
    share = jax.random.uniform(key, (len(real), *(1,) * (real.ndim - 1)))
    between = share * real + (1 - share) * fake
    gradients = jax.grad(lambda x: critic(x).sum())(between).reshape(len(real), -1)
    norms = jnp.sqrt((gradients**2).sum(-1) + 1e-12)  # the root has no derivative at 0
    return ((norms / shrink - target) ** 2).mean()


def label_cross_entropy(logits: Array, c: Array, groups: Sequence[tuple[int, bool]]) -> Array:
    """-log p(c|x) of labels in groups of (size, whether exactly one is 1): [b, k], [b, k] -> [].

    A group with exactly one positive label uses a softmax. In other groups, the sigmoid
    cross-entropies of all labels are summed. With several groups, c is [b, k + groups], and its
    last columns are a mask: 1 if the labels of a group are known for the image, else 0 (Choi et al.
    2018, equations 2 and 3, section 3.2).
    """
    masked = len(groups) if len(groups) > 1 else 0
    chex.assert_shape(logits, (len(c), sum(size for size, _ in groups)))
    chex.assert_shape(c, (len(c), logits.shape[1] + masked))
    mask = c[:, logits.shape[1] :] if len(groups) > 1 else jnp.ones((len(c), 1))  # [b, groups]
    total, first = jnp.zeros(()), 0
    for i, (size, exclusive) in enumerate(groups):
        own = slice(first, first + size)
        loss = optax.softmax_cross_entropy if exclusive else optax.sigmoid_binary_cross_entropy
        losses = loss(logits[:, own], c[:, own]).reshape(len(c), -1).sum(-1)  # [b]
        total, first = total + (mask[:, i] * losses).mean(), first + size
    return total
