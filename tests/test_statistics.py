"""The interval of Student, against SciPy's and by its coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from gen_jax import statistics
from gen_jax.errors import UserError


def test_interval_is_students():
    values = np.array([-86.7, -87.3, -85.9, -86.1])
    mean, half = statistics.interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-12)
    assert statistics.interval([2.5]) == (2.5, math.inf)
    with pytest.raises(UserError, match="one value per image"):
        statistics.interval(np.ones((2, 3)))


def test_interval_covers_the_truth_as_often_as_it_says():
    """19 of 20 times, for three seeds of a normal quantity; with 1.96 for Student's 4.30 it would
    be 81 %.
    """
    runs = np.random.default_rng(0).normal(5, 2, (4000, 3))
    covered = np.mean([abs(mean - 5) < half for mean, half in map(statistics.interval, runs)])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_resamples_are_draws_with_replacement_after_the_sample_itself():
    found = statistics.resamples(50, draws=4000, seed=3)
    assert found.shape == (4001, 50) and (found[0] == 1).all() and (found.sum(1) == 50).all()
    np.testing.assert_array_equal(found, statistics.resamples(50, draws=4000, seed=3))
    assert (found[1:] != statistics.resamples(50, draws=4000, seed=4)[1:]).any()
    # binomial: variance n p (1 - p), and 1 - (1 - 1/n)^n of the images drawn at all
    assert abs(found[1:].var() - 0.98) < 0.02
    assert abs((found[1:] > 0).mean() - (1 - 0.98**50)) < 0.005
    with pytest.raises(UserError, match="0 resamples of 5"):
        statistics.resamples(5, draws=0)


def test_bootstrap_interval_of_a_mean_covers_the_truth_as_often_as_it_says():
    runs = np.random.default_rng(0).exponential(5, (600, 80))
    weights = statistics.resamples(80, seed=1)
    intervals = [statistics.percentile_interval(weights[1:] @ run / 80) for run in runs]
    covered = np.mean([low < 5 < high for low, high in intervals])
    assert abs(covered - 0.94) < 4 * math.sqrt(0.95 * 0.05 / 600)  # 94 %: 80 skew values are few
