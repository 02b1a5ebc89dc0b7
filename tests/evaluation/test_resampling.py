"""Bootstrap replicates: they start with the measure, differ as its differences do, and
spread as the measure does over fresh sets.
"""

import jax
import numpy as np
import pytest

from gen_jax import statistics
from gen_jax.evaluation import feature_distances as distances
from gen_jax.evaluation import resampling, sliced_wasserstein

draws = np.random.default_rng(0)


def weights(n, m, count=200):
    return statistics.resamples(n, draws=count, seed=1), statistics.resamples(
        m, draws=count, seed=2
    )


def sets(n, shift=0.3, d=6):
    scales = np.arange(1, d + 1) / d
    return draws.normal(size=(n, d)) * scales, 1.3 * draws.normal(size=(n, d)) * scales + shift


@pytest.mark.parametrize(
    ("replicate", "measure"),
    [
        (
            resampling.frechet,
            lambda a, b: distances.distance(distances.moments(a), distances.moments(b)),
        ),
        (resampling.kernel, distances.squared_discrepancy),
    ],
)
def test_replicates_start_with_the_measure_and_spread_as_it_does(replicate, measure):
    a, b = sets(200)
    found = replicate(a, b[:150], *weights(200, 150))
    assert found.shape == (201,) and found[0] == pytest.approx(measure(a, b[:150]), rel=1e-9)
    fresh = np.std([measure(*sets(200)) for _ in range(200)])
    spreads = [replicate(*sets(200), *weights(200, 200))[1:].std() for _ in range(10)]
    assert 0.8 * fresh < np.mean(spreads) < 1.25 * fresh


def test_kernel_replicates_are_of_the_images_drawn():
    """By brute force: pairs of an image and its copy do not count."""
    a, b = sets(5)
    of_a, of_b = weights(5, 5, count=3)
    for i, found in enumerate(resampling.kernel(a, b, of_a, of_b)):
        rows = [np.repeat(np.arange(5), w[i].astype(int)) for w in (of_a, of_b)]
        means = []
        for x, y, p, q in ((a, a, rows[0], rows[0]), (b, b, rows[1], rows[1]), (a, b, *rows)):
            k = (x[p] @ y[q].T / 6 + 1) ** 3
            means.append(k[p[:, None] != q[None]].mean() if x is y else k.mean())
        assert found == pytest.approx(means[0] + means[1] - 2 * means[2], rel=1e-9)


def test_kernel_of_many_rows_is_computed_in_blocks(monkeypatch):
    a, b = sets(30)
    whole = resampling.kernel(a, b, *weights(30, 30))
    monkeypatch.setattr(resampling, "BLOCK", 7)
    np.testing.assert_allclose(resampling.kernel(a, b, *weights(30, 30)), whole, rtol=1e-9)


@pytest.mark.parametrize("dead", [False, True])
def test_influences_are_derivatives_of_the_frechet_distance(dead):
    """By differences: a point with a little more weight; also if a feature is always 0."""
    n, step = 2000, 1e-5
    both = sets(n)
    if dead:
        for points in both:
            points[:, 2] = 0
    value, *found = resampling.influences(*both)
    moments = [distances.moments(points) for points in both]
    assert value == pytest.approx(distances.distance(*moments), rel=1e-9)
    for points, other, changes in zip(both, moments[::-1], found, strict=True):

        def distance(i, extra, points=points, other=other):
            share = np.full(n, (1 - extra) / n)
            share[i] += extra
            mean = share @ points
            covariance = (points - mean).T * share @ (points - mean)
            return distances.distance(distances.Moments(mean, covariance, n), other)

        slopes = [(distance(i, step) - distance(i, -step)) / (2 * step) for i in range(5)]
        np.testing.assert_allclose(changes[:5], slopes, atol=0.01 * changes.std())
        assert abs(changes.mean()) < 1e-12


def images(n, smooth):
    found = draws.normal(size=(n, 16, 16, 1))
    for _ in range(smooth):
        found = (found + np.roll(found, 1, 1) + np.roll(found, 1, 2)) / 3
    return found + draws.normal(size=(n, 1, 1, 1))


def test_sliced_replicates_start_with_the_distances_and_spread_as_they_do():
    key, a, b = jax.random.key(0), images(60, 2), images(60, 1)
    found = resampling.wasserstein(a, b, key, *weights(60, 60), patches=32)
    values = sliced_wasserstein.distances(a, b, key, images=60, patches=32)
    assert {name: one[0] for name, one in found.items()} == pytest.approx(values, rel=1e-9)
    options = {"images": 60, "patches": 32, "directions": 64}
    fresh = np.std(
        [
            sliced_wasserstein.distances(images(60, 2), images(60, 1), key, **options)["swd"]
            for _ in range(40)
        ]
    )
    spreads = [
        resampling.wasserstein(images(60, 2), images(60, 1), key, *weights(60, 60), patches=32)[
            "swd"
        ]
        for _ in range(5)
    ]
    assert 0.7 * fresh < np.mean([one[1:].std() for one in spreads]) < 1.8 * fresh


def test_potentials_are_derivatives_of_the_normalised_distance(monkeypatch):
    """By a difference: an image with a little more weight, the set normalised again."""
    monkeypatch.setattr(resampling, "BINS", 100_000)

    def normalised(x, share):
        share = np.repeat(share / x.shape[1], x.shape[1])
        points = x.reshape(-1, *x.shape[2:])
        mean = np.einsum("n,njc->c", share, points) / points.shape[1]
        variance = np.einsum("n,njc->c", share, (points - mean) ** 2) / points.shape[1]
        return (points - mean) / np.sqrt(variance), share

    a, b = draws.normal(size=(2, 12, 2000, 4, 2))
    b = b**3 + draws.normal(size=(12, 1, 1, 1))
    axis, equal = draws.normal(size=(4, 2)), np.full(12, 1 / 12)

    def distance(i, extra):
        share = (1 - extra) * equal + extra * (np.arange(12) == i)
        (x, p), (y, q) = normalised(a, share), normalised(b, equal)
        line = np.concatenate([np.einsum("njc,jc->n", z, axis) for z in (x, y)])
        order = np.argsort(line)
        gap = np.cumsum(np.concatenate([p, -q])[order])[:-1]
        return np.abs(gap) @ np.diff(line[order])

    step = 1e-4
    slopes = [(distance(i, step) - distance(i, -step)) / (2 * step) for i in range(12)]
    standard = [normalised(x, equal)[0].reshape(x.shape) for x in (a, b)]
    found, _ = resampling.potentials(*standard, axis[None])
    np.testing.assert_allclose(found, slopes, atol=0.01 * np.std(slopes))
    back, _ = resampling.potentials(*standard[::-1], axis[None])
    np.testing.assert_allclose(resampling.potentials(*standard, axis[None])[1], back, atol=1e-3)
