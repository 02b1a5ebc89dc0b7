"""Annealed importance sampling against the linear-Gaussian world and quadrature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import integrate, special, stats

from gen_jax.data.synthetic.worlds import LinearGaussian
from gen_jax.distributions import Gaussian
from gen_jax.errors import UserError
from gen_jax.evaluation import ais

RANDOM = np.random.default_rng(0)
WORLD = LinearGaussian(
    *(
        np.asarray(part, np.float32)
        for part in (RANDOM.normal(size=(6, 3)), RANDOM.normal(size=6), 0.5)
    )
)


def likelihood(x):
    def log_likelihood(z):  # [c, b, k] -> [c, b]
        mean = z @ WORLD.weights.T + WORLD.mean[None, None]
        return Gaussian(mean, jnp.full_like(mean, np.log(WORLD.variance))).log_prob(x[None])

    return log_likelihood


def pairs(n):
    return jax.jit(WORLD.sample, static_argnums=1)(jax.random.key(0), n)


def test_both_bounds_meet_the_evidence():
    @jax.jit
    def bounds(x, z, key):
        forward, back = jax.random.split(key)
        low = ais.lower(likelihood(x), z.shape, forward, chains=200, steps=1000)
        return low, ais.upper(likelihood(x), z, back, chains=200, steps=1000)

    x, z = pairs(5)
    evidence = np.asarray(WORLD.log_evidence(x))
    low, high = bounds(x, z, jax.random.key(1))
    assert np.ptp(evidence) > 1  # the images differ
    np.testing.assert_allclose(low, evidence, atol=0.1)
    np.testing.assert_allclose(high, evidence, atol=0.1)
    np.testing.assert_allclose(low, high, atol=0.1)


def test_few_steps_leave_a_gap_in_the_mean_logarithm_but_none_in_the_mean():
    """E w = p(x) for any number of steps if each transition leaves its f_t as it is; E log w is
    below by the path.
    """
    chains, n = 2000, 4

    @jax.jit
    def weights(x, key):
        keys = jax.random.split(key, 4)
        mean, covariance = WORLD.posterior(x)
        noise = jax.random.normal(keys[0], (2, chains, n, 3))
        start = mean[None] + noise[1] @ jnp.linalg.cholesky(covariance).T
        forward = ais.annealed(likelihood(x), noise[0], keys[2], steps=100)
        return forward, ais.annealed(likelihood(x), start, keys[3], steps=100, reverse=True)

    x, _ = pairs(n)
    evidence = np.asarray(WORLD.log_evidence(x))
    forward, back = (np.asarray(w) for w in weights(x, jax.random.key(2)))
    np.testing.assert_allclose(
        special.logsumexp(forward, axis=0) - np.log(chains), evidence, atol=0.1
    )
    np.testing.assert_allclose(
        special.logsumexp(back, axis=0) - np.log(chains), -evidence, atol=0.1
    )
    assert (forward.mean(0) < evidence - 0.1).all() and (-back.mean(0) > evidence + 0.1).all()


def test_the_schedule_is_the_paper_s():
    betas = ais.schedule(8)
    sigmoid = 1 / (1 + np.exp(-4 * (2 * np.arange(9) / 8 - 1)))
    np.testing.assert_allclose(
        betas, (sigmoid - sigmoid[0]) / (sigmoid[8] - sigmoid[0]), rtol=1e-12
    )
    assert betas[0] == 0 and betas[4] == pytest.approx(0.5) and betas[8] == 1


class Curved(nn.Module):
    """x = tanh(2 z) + noise of variance 0.1: the evidence is an integral."""

    @nn.compact
    def __call__(self, z):
        return nn.tanh(nn.Dense(1, kernel_init=nn.initializers.constant(2.0))(z))


class Model(nn.Module):
    decoder: nn.Module


def test_a_bound_module_inside_jit_against_quadrature():
    x = jnp.array([[0.3], [-0.9], [1.4]])

    def evidence(model, x, key):
        def log_likelihood(z):
            mean = model.decoder(z)
            return Gaussian(mean, jnp.full_like(mean, np.log(0.1))).log_prob(x[None])

        return ais.lower(log_likelihood, (3, 1), key, chains=1000, steps=100)

    model = Model(Curved())
    variables = model.init(jax.random.key(0), x, method=lambda model, x: model.decoder(x))
    found = jax.jit(functools.partial(model.apply, method=evidence))(
        variables, x, jax.random.key(1)
    )
    line = np.linspace(-8, 8, 20_001)
    # [3, 20001]
    joint = stats.norm.pdf(line) * stats.norm.pdf(
        np.asarray(x), np.tanh(2 * line)[None], np.sqrt(0.1)
    )
    np.testing.assert_allclose(found, np.log(integrate.simpson(joint, x=line)), atol=0.1)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"steps": 5, "leapfrogs": 0}])
def test_nothing_to_do_is_refused(settings):
    with pytest.raises(UserError, match="at least 1"):
        ais.annealed(
            likelihood(jnp.zeros((1, 6))), jnp.zeros((1, 1, 3)), jax.random.key(0), **settings
        )
