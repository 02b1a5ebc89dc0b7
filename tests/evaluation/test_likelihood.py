"""The importance-weighted bound against one log-sum-exp in NumPy, and intervals against SciPy's and
their promise.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gen_jax.errors import UserError
from gen_jax.evaluation import likelihood


@pytest.mark.parametrize("samples, chunk", [(1, 1), (7, 10), (60, 10), (60, 7)])
def test_streaming_is_one_log_sum_exp(samples, chunk):
    """Whatever the chunk: exactly k draws, none twice, and log 1/k sum w of them, where w itself
    would overflow.
    """
    drawn = []

    def log_weights(key, m):
        log_w = 50 * jax.random.normal(key, (m, 3)) + jnp.array([[0.0, 900.0, -900.0]])
        jax.debug.callback(lambda values: drawn.append(np.asarray(values, np.float64)), log_w)
        return log_w

    bound = jax.jit(
        lambda key: likelihood.importance_weighted(log_weights, key, samples=samples, chunk=chunk)
    )
    bound = bound(jax.random.key(0))
    jax.effects_barrier()
    log_w = np.concatenate(drawn)  # [k, 3]
    assert log_w.shape == (samples, 3)
    assert len(np.unique(log_w)) == log_w.size
    most = log_w.max(axis=0)
    np.testing.assert_allclose(
        bound, most + np.log(np.mean(np.exp(log_w - most), axis=0)), rtol=1e-6
    )


def normal(key, m):
    return jax.random.normal(key, (m, 100))


def test_it_works_inside_jit():
    """log E[exp(n)] = 1/2 for standard normal n; 5 standard errors of 1/k sum w, whose variance is
    (e^2 - e) / k.
    """
    bound = jax.jit(
        lambda key: likelihood.importance_weighted(normal, key, samples=5000, chunk=64)
    )(jax.random.key(3))
    assert bound.shape == (100,)
    np.testing.assert_allclose(bound, 0.5, atol=5 * math.sqrt((math.e - 1) / 5000))
    assert np.std(bound) > 0.5 * math.sqrt((math.e - 1) / 5000)


def test_only_a_chunk_is_held():
    """The compiled program for 100 times as many samples needs no more memory."""

    def bytes_for(samples):
        bound = jax.jit(
            lambda key: likelihood.importance_weighted(normal, key, samples=samples, chunk=50)
        )
        return bound.lower(jax.random.key(0)).compile().memory_analysis().temp_size_in_bytes

    assert bytes_for(50_000) < 1.5 * bytes_for(500)


@pytest.mark.parametrize("samples, chunk", [(0, 1), (10, 0), (-5, 5)])
def test_nothing_to_draw_is_refused(samples, chunk):
    with pytest.raises(UserError, match="at least 1"):
        likelihood.importance_weighted(
            lambda key, m: None, jax.random.key(0), samples=samples, chunk=chunk
        )


def test_parzen_window_against_scipy():
    generator = np.random.default_rng(0)
    samples, x = generator.uniform(size=(40, 6)), generator.uniform(size=(701, 6))
    for width in (0.1, 0.5):
        # [n][m]
        each = [stats.multivariate_normal(s, width**2 * np.eye(6)).logpdf(x) for s in samples]
        expected = special.logsumexp(each, axis=0) - np.log(40)
        np.testing.assert_allclose(
            likelihood.parzen(samples, x, width), expected, rtol=1e-4, atol=1e-3
        )


def test_the_window_s_width_is_the_likeliest():
    """Of many draws from N(0, 1) in one dimension the narrow window is best; of one draw at 0,
    width 1.
    """
    generator = np.random.default_rng(1)
    x = generator.normal(size=(4000, 1))
    assert likelihood.parzen_width(np.zeros((1, 1)), x, [0.1, 0.5, 1.0, 2.0]) == 1.0
    assert likelihood.parzen_width(generator.normal(size=(4000, 1)), x, [0.1, 0.5, 1.0, 2.0]) == 0.1


def test_the_estimate_of_training_images_stands_beside_that_of_samples():
    """Both by the widths that are best for them: N(0, 1) has its entropy, -1.419 nats; one repeated
    sample has the best single Gaussian.
    """
    generator = np.random.default_rng(2)
    train, validation, test = (generator.normal(size=(n, 1)) for n in (6000, 2000, 4000))
    same = np.zeros((3000, 1))
    found = likelihood.parzen_estimate(same, train, validation, test, widths=(0.1, 0.3, 1.0))
    one = stats.norm.logpdf(test).mean()
    assert abs(found["test/parzen"] - one) < 1e-3 and found["validation/parzen_width"] == 1.0
    kept = stats.norm.logpdf(validation).mean()
    assert abs(found["validation/parzen"] - kept) < 1e-3
    expected = {}
    for width in (0.1, 0.3, 1.0):
        each = stats.norm.logpdf(test, train[:3000, 0], width)  # [test, train]
        expected[width] = (special.logsumexp(each, axis=1) - np.log(3000)).mean()
    assert abs(found["test/parzen_of_real"] - max(expected.values())) < 1e-3
    assert max(expected, key=expected.get) != 1.0
