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
