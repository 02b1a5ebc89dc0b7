"""Densities against SciPy, the closed-form KL against quadrature of its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gen_jax.distributions import Bernoulli, Gaussian, standard_normal

MEAN = np.array([[0.3, -1.2], [2.0, 0.1], [0.0, 0.0]])
LOG_VARIANCE = np.array([[0.5, -2.0], [-0.3, 1.4], [0.0, 0.0]])
X = np.array([[0.0, 1.0], [0.25, 1.0], [1.0, 0.5]])


def test_gaussian_log_probability():
    expected = stats.norm.logpdf(X, MEAN, np.exp(LOG_VARIANCE / 2)).sum(-1)
    ours = Gaussian(jnp.asarray(MEAN), jnp.asarray(LOG_VARIANCE)).log_prob(jnp.asarray(X))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_standard_normal():
    np.testing.assert_allclose(
        standard_normal(jnp.asarray(X)), stats.norm.logpdf(X).sum(-1), rtol=1e-6
    )


@pytest.mark.parametrize(("mean", "log_variance"), [(0.3, 0.5), (-1.2, -2.0), (0.0, 0.0)])
def test_kl_is_the_integral_of_its_definition(mean, log_variance):
    q = stats.norm(mean, np.exp(log_variance / 2))
    expected, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), -12, 12)
    ours = Gaussian(jnp.full((1, 1), mean), jnp.full((1, 1), log_variance)).kl()
    assert float(ours[0]) == pytest.approx(expected, abs=1e-6)


def test_bernoulli_log_probability_of_intensities():
    logits = np.array([[1.0, -2.0], [0.0, 30.0], [0.5, 3.0]])
    p = 1 / (1 + np.exp(-logits))
    expected = (X * np.log(p) + (1 - X) * np.log1p(-p)).sum(-1)
    np.testing.assert_allclose(
        Bernoulli(jnp.asarray(logits)).log_prob(jnp.asarray(X)), expected, rtol=1e-5
    )


def test_bernoulli_stays_finite_at_extreme_logits():
    extreme = Bernoulli(jnp.array([[200.0, -200.0]]))
    np.testing.assert_allclose(extreme.log_prob(jnp.array([[0.0, 1.0]])), [-400.0])
    np.testing.assert_array_equal(extreme.log_prob(jnp.array([[1.0, 0.0]])), [0.0])


def test_samples_have_the_mean_and_variance_and_carry_gradients(key_reuse):
    q = Gaussian(jnp.asarray(MEAN, jnp.float32), jnp.asarray(LOG_VARIANCE, jnp.float32))
    z = q.sample(jax.random.key(0), 40_000)
    assert z.shape == (40_000, 3, 2)
    variance = np.exp(LOG_VARIANCE)
    assert np.all(np.abs(z.mean(0) - MEAN) < 5 * np.sqrt(variance / 40_000))
    assert np.all(np.abs(z.var(0) / variance - 1) < 5 * np.sqrt(2 / 40_000))
    slope = jax.grad(lambda m: Gaussian(m, q.log_variance).sample(jax.random.key(1), 1).sum())(
        q.mean
    )
    np.testing.assert_array_equal(slope, np.ones((3, 2)))
