"""Mixtures of Gaussians with known density, and the points that are drawn from them."""

import jax
import numpy as np
import pytest
from scipy import special, stats

from gen_jax.data.synthetic import worlds

RING = worlds.ring(8, radius=2.0, std=0.1)


def test_the_mixture_is_the_density_that_it_says():
    world = worlds.grid(3, spacing=1.0, std=0.3)
    x = np.asarray(world.sample(jax.random.key(0), 100_000))
    each = [
        stats.multivariate_normal(mean, 0.09 * np.eye(2)).logpdf(x[:50])
        for mean in np.asarray(world.means)
    ]
    np.testing.assert_allclose(
        world.log_density(x[:50]), special.logsumexp(each, axis=0) - np.log(9), rtol=1e-4
    )
    variance = 2 / 3 + 0.09  # of -1, 0, 1 and of the noise
    np.testing.assert_allclose(
        np.cov(x.T), variance * np.eye(2), atol=5 * variance * np.sqrt(2 / 100_000)
    )
    np.testing.assert_allclose(np.sort(world.means.sum(1)), [-2, -1, -1, 0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(np.linalg.norm(RING.means, axis=1), 2, rtol=1e-6)
    assert np.linalg.norm(RING.means[0] - RING.means[1]) == pytest.approx(
        4 * np.sin(np.pi / 8), rel=1e-6
    )


def test_a_source_of_points_is_always_the_same_and_split():
    train, test = worlds.points("grid")
    assert (
        train["x"].shape == (50_000, 2)
        and test["x"].shape == (10_000, 2)
        and train["x"].dtype == np.float32
    )
    np.testing.assert_array_equal(train["x"], worlds.points("grid")[0]["x"])
    assert not np.isin(test["x"][:, 0], train["x"][:, 0]).all()
