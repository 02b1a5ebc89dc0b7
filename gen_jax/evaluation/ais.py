"""Annealed importance sampling (AIS): stochastic lower and upper bounds on log p(x) of a decoder.

The bounds are in nats per image. They follow Wu, Burda, Salakhutdinov & Grosse 2017, "On the
quantitative analysis of decoder-based generative models". The intermediate distributions are f_t(z)
= N(z; 0, I) p(x|z)^beta_t, from the prior to the posterior. Each transition is one step of
Hamiltonian Monte Carlo (Neal 2011).
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
ACCEPTANCE = 0.65  # target acceptance rate of the adapted step sizes
RATE = 0.1  # adaptation rate: change of the log step size per unit of acceptance rate


class HMCState(NamedTuple):
    """Positions of the chains."""

    z: Array  # [c, b, k]
    log_p: Array  # [c, b]  log p(x|z)
    grad: Array  # [c, b, k]  the gradient of log p(x|z)


def schedule(steps: int) -> np.ndarray:
    """beta_0 .. beta_T, gamma_t = sigmoid(4 (2t / T - 1)) scaled to [0, 1]: float64 [steps + 1]."""
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
    """Return the log weights of the chains that start at z [c, b, k]: [c, b].

    Neal 2001; Wu et al. 2017, sections 2.3 and 2.4. Forward chains start at draws from the prior,
    and their weights have the mean p(x). Reverse chains start at draws from the posterior, and
    their weights have the mean 1 / p(x). Both hold for any number of steps. The function can be
    called inside jit, also when `log_likelihood` calls a bound Flax module. Raises UserError for
    fewer than one step or leapfrog step.

    The step sizes are adapted on a separate pilot chain for each image. The authors' code adapts
    them on the chains themselves, but a step size that depends on the position of its chain does
    not leave f_t invariant. In our tests, that biases the means by half a nat.
    """
    if steps < 1 or leapfrogs < 1:
        raise UserError(
            f"{steps} steps of {leapfrogs} leapfrogs are too few: give at least 1 of each."
        )

    def at(z: Array) -> HMCState:
        log_p, pull = jax.vjp(log_likelihood, z)
        return HMCState(z, log_p, pull(jnp.ones_like(log_p))[0])

    def adapt(
        carry: tuple[HMCState, Array], step: tuple[Key, Array]
    ) -> tuple[tuple[HMCState, Array], Array]:
        (state, size), (key, beta) = carry, step
        state, probability = _transition(at, state, key, size, beta, leapfrogs)
        return (state, size * jnp.exp(RATE * (probability - ACCEPTANCE))), size

    def move(
        carry: tuple[HMCState, Array], step: tuple[Key, Array, Array, Array]
    ) -> tuple[tuple[HMCState, Array], None]:
        (state, log_w), (key, size, beta, dbeta) = carry, step
        if reverse:
            state, _ = _transition(at, state, key, size, beta, leapfrogs)
            return (state, log_w - dbeta * state.log_p), None
        log_w = log_w + dbeta * state.log_p
        return (_transition(at, state, key, size, beta, leapfrogs)[0], log_w), None

    pilot_key, adapt_key, path_key = jax.random.split(key, 3)
    betas = jnp.asarray(schedule(steps)[1:], z.dtype)
    dbetas = jnp.asarray(np.diff(schedule(steps)), z.dtype)
    pilot = at(jax.random.normal(pilot_key, (1, *z.shape[1:]), z.dtype))
    start = pilot, jnp.full_like(pilot.log_p, 0.5)
    _, sizes = jax.lax.scan(adapt, start, (jax.random.split(adapt_key, steps), betas))  # [t, 1, b]
    state = at(z)
    path = jax.random.split(path_key, steps), sizes, betas, dbetas
    (_, log_w), _ = jax.lax.scan(move, (state, jnp.zeros_like(state.log_p)), path, reverse=reverse)
    return log_w


def _transition(
    at: Callable[[Array], HMCState],
    state: HMCState,
    key: Key,
    size: Array,
    beta: Array,
    leapfrogs: int,
) -> tuple[HMCState, Array]:
    """One step of Hamiltonian Monte Carlo, which leaves f_t invariant, and its acceptance
    probability [c, b].

    The step size [1, b] of each chain is varied by up to 20 %. With equal step sizes, all chains
    could return to their starting points after a full period of an orbit (Neal 2011, section 3.2).
    """
    momentum_key, size_key, accept_key = jax.random.split(key, 3)
    momentum = jax.random.normal(momentum_key, state.z.shape, state.z.dtype)
    size = size * jax.random.uniform(size_key, state.log_p.shape, size.dtype, 0.8, 1.2)
    size = size[..., None]  # [c, b, 1]

    def force(state: HMCState) -> Array:
        return beta * state.grad - state.z  # the gradient of log f_t

    def leapfrog(carry: tuple[HMCState, Array], _: None) -> tuple[tuple[HMCState, Array], None]:
        state, momentum = carry
        half = momentum + 0.5 * size * force(state)
        state = at(state.z + size * half)
        return (state, half + 0.5 * size * force(state)), None

    def energy(state: HMCState, momentum: Array) -> Array:
        return 0.5 * (state.z**2 + momentum**2).sum(-1) - beta * state.log_p  # [c, b]

    (proposal, end), _ = jax.lax.scan(leapfrog, (state, momentum), length=leapfrogs)
    gain = energy(state, momentum) - energy(proposal, end)
    gain = jnp.where(jnp.isnan(gain), -jnp.inf, gain)  # NaN means that the path diverged
    probability = jnp.exp(jnp.minimum(gain, 0))
    accept = jax.random.uniform(accept_key, probability.shape, probability.dtype) < probability

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(accept.reshape(accept.shape + (1,) * (new.ndim - 2)), new, old)

    return jax.tree.map(choose, proposal, state), probability


def lower(
    log_likelihood: LogLikelihood,
    shape: tuple[int, int],
    key: Key,
    *,
    chains: int,
    steps: int,
    leapfrogs: int = 10,
) -> Array:
    """Return log 1/c sum w over chains that start at draws from the prior: [b].

    In expectation, this is at most log p(x). `shape` is the shape of the latents, (b, k).
    """
    prior_key, path_key = jax.random.split(key)
    z = jax.random.normal(prior_key, (chains, *shape))
    return _log_mean(annealed(log_likelihood, z, path_key, steps=steps, leapfrogs=leapfrogs))


def upper(
    log_likelihood: LogLikelihood,
    z: Array,
    key: Key,
    *,
    chains: int,
    steps: int,
    leapfrogs: int = 10,
) -> Array:
    """Return -log 1/c sum w over reverse chains: [b]. In expectation, this is at least log p(x).

    The chains start at an exact draw from p(z|x). Only simulated images have one: the latents z
    [b, k] that they were generated from (Grosse et al. 2015).
    """
    starts = jnp.repeat(z[None], chains, axis=0)
    return -_log_mean(
        annealed(log_likelihood, starts, key, steps=steps, leapfrogs=leapfrogs, reverse=True)
    )


def _log_mean(log_w: Array) -> Array:
    return jax.nn.logsumexp(log_w, axis=0) - math.log(len(log_w))  # [c, b] -> [b]
