"""Both two-sample measures against their closed forms for Gaussians."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from gen_jax.errors import DataError
from gen_jax.evaluation import two_sample


def drawn(seed, n, shift=0.0, scale=1.0, d=2):
    return shift + scale * np.random.default_rng(seed).normal(size=(n, d))


def kernel_mean(squared_distance, variance, h, d):
    """E exp(-|x - y|^2 / 2 h^2) for x - y ~ N(m, v I): (h^2 / (h^2 + v))^(d/2) exp(-|m|^2 / 2 (h^2
    + v)).
    """
    return (h**2 / (h**2 + variance)) ** (d / 2) * np.exp(
        -squared_distance / (2 * (h**2 + variance))
    )


@pytest.mark.parametrize(
    ("shift", "scale", "h"), [(0.0, 1.0, 1.0), (1.0, 1.0, 0.7), (0.5, 2.0, 1.5)]
)
def test_mmd_of_gaussians_is_the_closed_form(shift, scale, h):
    within = kernel_mean(0, 2, h, 2) + kernel_mean(0, 2 * scale**2, h, 2)
    exact = within - 2 * kernel_mean(2 * shift**2, 1 + scale**2, h, 2)
    a, b = drawn(0, 2000), drawn(1, 2000, shift, scale)
    assert two_sample.squared_mmd(a, b, bandwidth=h) == pytest.approx(exact, abs=0.01)


def test_mmd_has_no_bias_and_takes_the_median_distance():
    values = [
        two_sample.squared_mmd(drawn(2 * i, 20), drawn(2 * i + 1, 30), bandwidth=1)
        for i in range(300)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)
    a, b = drawn(0, 20), drawn(1, 30, 1)
    median = np.median(pdist(np.concatenate([a, b])))
    assert two_sample.squared_mmd(a, b) == pytest.approx(
        two_sample.squared_mmd(a, b, bandwidth=median), rel=1e-9
    )


def test_the_classifier_is_as_right_as_the_best_one_and_guesses_where_the_sets_are_equal():
    """For N(0, I) and N(m, I) the best accuracy is Phi(|m| / 2); scaling a dimension changes
    nothing.
    """
    a, b, equal = drawn(0, 6000), drawn(1, 5000, np.array([2.0, 0.0])), drawn(2, 5000)
    assert two_sample.two_sample_accuracy(a, b, seed=0) == pytest.approx(
        stats.norm.cdf(1), abs=0.02
    )
    wide = np.array([1.0, 100.0])
    assert two_sample.two_sample_accuracy(
        a * wide, b * wide, seed=0
    ) == two_sample.two_sample_accuracy(a, b, seed=0)
    assert two_sample.two_sample_accuracy(a, equal, seed=0) == pytest.approx(
        0.5, abs=4 * np.sqrt(0.25 / 5000)
    )


def test_the_classifier_sees_what_the_moments_do_not():
    """A ring and a Gaussian of the same mean and covariance."""
    angle = np.random.default_rng(3).uniform(0, 2 * np.pi, 2000)
    ring = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], 1)
    # a linear classifier: 0.5
    assert two_sample.two_sample_accuracy(ring, drawn(0, 2000), seed=0) > 0.75


def test_bad_points_are_refused():
    for bad in (np.zeros(3), np.zeros((1, 2)), np.zeros((5, 3)), np.full((5, 2), np.nan)):
        with pytest.raises(DataError):
            two_sample.squared_mmd(bad, np.zeros((5, 2)))
    with pytest.raises(DataError, match="bandwidth"):
        two_sample.squared_mmd(np.zeros((5, 2)), np.zeros((5, 2)))
