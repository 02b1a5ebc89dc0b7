"""log p(x) of a decoder between two stochastic bounds: annealed importance sampling, there and back, in nats per image.

Wu, Burda, Salakhutdinov & Grosse 2017, "On the quantitative analysis of decoder-based generative models". The path is
f_t(z) = N(z; 0, I) p(x|z)^beta_t, from the prior to the posterior, each step by Hamiltonian Monte Carlo (Neal 2011).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.types import Array, Key

LogLikelihood = Callable[[Array], Array]  # z [c, b, k] -> log p(x|z) of the b fixed images [c, b]
ACCEPTANCE = 0.65  # of proposals, what step sizes are adapted to
RATE = 0.1  # of the adaptation: log step size for an acceptance of one more


class Point(NamedTuple):
    """Where the chains are."""

    z: Array  # [c, b, k]
    log_p: Array  # [c, b]  log p(x|z)
    slope: Array  # [c, b, k]  its gradient


def schedule(steps: int) -> np.ndarray:
    """beta_0 .. beta_T: gamma_t = sigmoid(4 (2t / T - 1)), scaled to [0, 1]: [steps + 1], float64."""
    gamma = 1 / (1 + np.exp(-4 * np.linspace(-1, 1, steps + 1)))
    return (gamma - gamma[0]) / (gamma[-1] - gamma[0])


def annealed(
    log_likelihood: LogLikelihood,
    z: Array,
    key: Key,
    *,
    steps: int,
    leapfrogs: int = 10,
    reverse: bool = False,
) -> Array:
    """Log weights of the chains that start at z [c, b, k]: [c, b] (Neal 2001; Wu et al. 2017, sections 2.3 and 2.4).

    Forward from draws of the prior the weights have the mean p(x); in reverse from draws of the posterior, 1 / p(x).
    Both hold for any number of steps. Works inside jit, also where `log_likelihood` calls a bound Flax module.

    The step sizes are those of a pilot chain for each image, not, as in the authors' code, of the chains themselves: a
    step size that knows where its chain is does not leave f_t as it is, and bends the means by half a nat in our tests.
    """
    if steps < 1 or leapfrogs < 1:
        raise UserError(
            f"{steps} steps of {leapfrogs} leapfrogs were asked for: give at least 1 of each."
        )

    def at(z: Array) -> Point:
        log_p, pull = jax.vjp(log_likelihood, z)
        return Point(z, log_p, pull(jnp.ones_like(log_p))[0])

    def adapt(
        carry: tuple[Point, Array], now: tuple[Key, Array]
    ) -> tuple[tuple[Point, Array], Array]:
        (point, size), (key, beta) = carry, now
        point, chance = _transition(at, point, key, size, beta, leapfrogs)
        return (point, size * jnp.exp(RATE * (chance - ACCEPTANCE))), size

    def move(
        carry: tuple[Point, Array], now: tuple[Key, Array, Array, Array]
    ) -> tuple[tuple[Point, Array], None]:
        (point, log_w), (key, size, beta, rise) = carry, now
        if reverse:
            point, _ = _transition(at, point, key, size, beta, leapfrogs)
            return (point, log_w - rise * point.log_p), None
        log_w = log_w + rise * point.log_p
        return (_transition(at, point, key, size, beta, leapfrogs)[0], log_w), None

    first, ahead, path = jax.random.split(key, 3)
    betas, rises = (
        jnp.asarray(part, z.dtype) for part in (schedule(steps)[1:], np.diff(schedule(steps)))
    )
    pilot = at(jax.random.normal(first, (1, *z.shape[1:]), z.dtype))
    start = pilot, jnp.full_like(pilot.log_p, 0.5)
    _, sizes = jax.lax.scan(adapt, start, (jax.random.split(ahead, steps), betas))  # [steps, 1, b]
    point = at(z)
    each = jax.random.split(path, steps), sizes, betas, rises
    (_, log_w), _ = jax.lax.scan(move, (point, jnp.zeros_like(point.log_p)), each, reverse=reverse)
    return log_w


def _transition(
    at: Callable[[Array], Point], point: Point, key: Key, size: Array, beta: Array, leapfrogs: int
) -> tuple[Point, Array]:
    """One Metropolis step along Hamilton's equations, which leaves f_t as it is, and its chance to be accepted [c, b].

    Each chain varies its step size [1, b] by a fifth, or all would walk whole periods of an orbit together (Neal 2011,
    section 3.2).
    """
    towards, vary, toss = jax.random.split(key, 3)
    momentum = jax.random.normal(towards, point.z.shape, point.z.dtype)
    size = (size * jax.random.uniform(vary, point.log_p.shape, size.dtype, 0.8, 1.2))[
        ..., None
    ]  # [c, b, 1]

    def force(point: Point) -> Array:
        return beta * point.slope - point.z  # the gradient of log f_t

    def leap(carry: tuple[Point, Array], _: None) -> tuple[tuple[Point, Array], None]:
        point, momentum = carry
        half = momentum + 0.5 * size * force(point)
        point = at(point.z + size * half)
        return (point, half + 0.5 * size * force(point)), None

    def energy(point: Point, momentum: Array) -> Array:
        return 0.5 * (point.z**2 + momentum**2).sum(-1) - beta * point.log_p  # [c, b]

    (proposal, end), _ = jax.lax.scan(leap, (point, momentum), length=leapfrogs)
    gain = energy(point, momentum) - energy(proposal, end)
    chance = jnp.exp(
        jnp.minimum(jnp.where(jnp.isnan(gain), -jnp.inf, gain), 0)
    )  # NaN: the path has diverged
    accept = jax.random.uniform(toss, chance.shape, chance.dtype) < chance

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(accept.reshape(accept.shape + (1,) * (new.ndim - 2)), new, old)

    return jax.tree.map(choose, proposal, point), chance


def lower(
    log_likelihood: LogLikelihood,
    shape: tuple[int, int],
    key: Key,
    *,
    chains: int,
    steps: int,
    leapfrogs: int = 10,
) -> Array:
    """At most log p(x) in expectation: log 1/c sum w over chains from draws of the prior, for shape (b, k): [b]."""
    first, path = jax.random.split(key)
    z = jax.random.normal(first, (chains, *shape))
    return _log_mean(annealed(log_likelihood, z, path, steps=steps, leapfrogs=leapfrogs))


def upper(
    log_likelihood: LogLikelihood,
    z: Array,
    key: Key,
    *,
    chains: int,
    steps: int,
    leapfrogs: int = 10,
) -> Array:
    """At least log p(x) in expectation: -log 1/c sum w over reverse chains from one exact draw of p(z|x) each: [b].

    Only simulated images have such a draw: the latents z [b, k] that they were made of (Grosse et al. 2015).
    """
    starts = jnp.repeat(z[None], chains, axis=0)
    return -_log_mean(
        annealed(log_likelihood, starts, key, steps=steps, leapfrogs=leapfrogs, reverse=True)
    )


def _log_mean(log_w: Array) -> Array:
    return jax.nn.logsumexp(log_w, axis=0) - math.log(len(log_w))  # [c, b] -> [b]
