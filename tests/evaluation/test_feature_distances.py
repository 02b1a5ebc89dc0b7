"""Distances between sets of features, against closed forms for Gaussians and against brute force."""

import jax
import numpy as np
import pytest
from scipy import linalg

from gen_jax.data.synthetic.worlds import LinearGaussian
from gen_jax.errors import DataError, NonFiniteError
from gen_jax.evaluation import feature_distances as frechet
from gen_jax.evaluation.feature_distances import Moments


def gaussian(seed, d=6):
    random = np.random.default_rng(seed)
    factor = random.normal(size=(d, d))
    return Moments(random.normal(size=d), factor @ factor.T, 1000)


def points(seed, n, d=3, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


# Moments.


def test_moments_are_numpys():
    x = 1e3 + points(0, 50)
    mean, covariance, n = frechet.moments(x.astype(np.float32))  # summed in float64 all the same
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(
        covariance, np.cov(x.astype(np.float32).astype(np.float64).T), rtol=1e-10
    )
    assert n == 50


@pytest.mark.parametrize("sizes", [(50,), (1, 49), (20, 1, 1, 28), (1,) * 50])
def test_moments_of_batches_are_those_of_the_whole(sizes):
    x = 1e3 + points(1, 50)
    whole = frechet.moments(x)
    parts = frechet.streamed(np.split(x, np.cumsum(sizes)[:-1]))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-8)
    assert parts.n == whole.n


# The Frechet distance.


def test_distance_of_commuting_gaussians():
    """C and C' with the same axes: |m - m'|^2 + sum (sqrt(l) - sqrt(l'))^2."""
    axes = np.linalg.qr(points(2, 5, 5))[0]
    a, b = np.array([4.0, 1.0, 9.0, 0.0, 2.0]), np.array([1.0, 1.0, 16.0, 4.0, 3.0])
    shift = np.array([1.0, -2.0, 0.0, 0.0, 0.5])
    found = frechet.distance(
        Moments(shift, axes * a @ axes.T, 9), Moments(0 * shift, axes * b @ axes.T, 9)
    )
    np.testing.assert_allclose(
        found, shift @ shift + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rtol=1e-13
    )


@pytest.mark.parametrize(
    ("n", "d", "expected"), [(300, 16, 7.7233441808570955), (40, 64, 598.6572274028784)]
)
def test_distance_of_sets_is_that_of_another_implementation(n, d, expected):
    """pytorch-fid 0.3.0 on SciPy 1.17.1; of 40 points in 64 dimensions the covariance is singular."""
    a = np.random.default_rng(n).random((n, d))
    mixing = np.eye(d) + 0.3 * np.random.default_rng(1).random((d, d))
    b = np.random.default_rng(d).random((n + 50, d)) ** 2 @ mixing
    np.testing.assert_allclose(
        frechet.distance(frechet.moments(a), frechet.moments(b)), expected, rtol=1e-8
    )


@pytest.mark.parametrize("seed", range(5))
def test_distance_of_any_gaussians_is_scipys(seed):
    a, b = gaussian(seed), gaussian(seed + 100)
    product = linalg.sqrtm(a.covariance @ b.covariance).real
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance - 2 * product)
    np.testing.assert_allclose(frechet.distance(a, b), expected, rtol=1e-10)
    np.testing.assert_allclose(frechet.distance(b, a), expected, rtol=1e-10)


def test_distance_to_itself_is_zero():
    for d, n in [(6, 1000), (64, 10)]:  # 10 points in 64 dimensions: a covariance of rank 9
        own = frechet.moments(points(3, n, d))
        assert frechet.distance(own, own) < 1e-12 * np.trace(own.covariance)
        moved = own._replace(mean=own.mean + 0.5)
        np.testing.assert_allclose(frechet.distance(own, moved), 0.25 * d, rtol=1e-12)


def test_distance_of_singular_gaussians():
    """Rank one each: a + b - 2 sqrt(a b) |u.v|.

    The product C C' has no square root that is easy to take.
    """
    u, v = (x / np.linalg.norm(x) for x in points(4, 2, 40))
    a, b = Moments(0 * u, 3 * np.outer(u, u), 9), Moments(0 * u, 5 * np.outer(v, v), 9)
    np.testing.assert_allclose(frechet.distance(a, b), 8 - 2 * np.sqrt(15) * abs(u @ v), rtol=1e-12)


def test_distance_is_that_of_the_linear_gaussian_worlds():
    with jax.enable_x64(True):
        w = points(12, 14).reshape(2, 7, 3)
        ours = [LinearGaussian(w[i], w[i, :, 0] + i, 0.3 + w[i, 0, 0] ** 2) for i in range(2)]
        known = jax.jit(LinearGaussian.frechet_to)(*ours)
        a, b = (Moments(*map(np.asarray, world.moments()), 9) for world in ours)
    np.testing.assert_allclose(frechet.distance(a, b), known, rtol=1e-12)


def test_what_has_no_distance_is_refused():
    a = gaussian(0)
    with pytest.raises(DataError, match="6 and 5 dimensions"):
        frechet.distance(a, gaussian(0, 5))
    with pytest.raises(DataError, match="eigenvalue"):
        frechet.distance(a, a._replace(covariance=-a.covariance))
    with pytest.raises(DataError, match="at least 2"):
        frechet.distance(a, frechet.moments(points(0, 1, 6)))
    with pytest.raises(NonFiniteError, match="NaN"):
        frechet.moments([[1.0, float("nan")]])
    with pytest.raises(DataError, match="flatten"):
        frechet.moments(np.zeros((4, 2, 2)))


# The kernel distance.


def test_discrepancy_by_brute_force():
    a, b = points(5, 4), points(6, 3)

    def k(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / 3 + 1) ** 3

    def within(s):
        return np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])

    expected = within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b])
    np.testing.assert_allclose(frechet.squared_discrepancy(a, b), expected, rtol=1e-12)


@pytest.mark.parametrize("shift, expected", [(0.0, 0.0), (1.0, 22.0)])
def test_discrepancy_has_no_bias(shift, expected):
    """In one dimension it is 3 dm1^2 + 3 dm2^2 + dm3^2, with the differences of the raw moments:
    N(0, 1) has 0, 1, 0 and N(1, 1) has 1, 2, 4. Ten points suffice; the biased estimate would be
    off by more than 3.
    """
    found = [
        frechet.squared_discrepancy(points(i, 10, 1), points(9000 + i, 10, 1, shift))
        for i in range(2000)
    ]
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / np.sqrt(len(found))
    assert np.std(found) / np.sqrt(len(found)) < 0.75


def test_kernel_distance_is_over_subsets():
    a, b = points(7, 30), points(8, 40, shift=0.5)
    # every subset is the whole, in another order
    whole = frechet.kernel_distance(a, b[:30], subsets=3, size=30)
    np.testing.assert_allclose(whole.mean, frechet.squared_discrepancy(a, b[:30]), rtol=1e-10)
    assert whole.deviation < 1e-10
    some = frechet.kernel_distance(a, b, subsets=50, size=10)
    assert some.deviation > 0
    assert some == frechet.kernel_distance(a, b, subsets=50, size=10)
    assert some != frechet.kernel_distance(a, b, subsets=50, size=10, seed=1)
    with pytest.raises(DataError, match="smaller set"):
        frechet.kernel_distance(a, b, size=31)


# Precision, recall, density, coverage.


def brute_force(real, fake, k):
    """The four numbers by their definitions, one distance at a time."""

    def far(x, y):
        return np.sqrt(sum((p - q) ** 2 for p, q in zip(x, y, strict=True)))

    def radius(i, s):
        return sorted(far(s[i], s[j]) for j in range(len(s)) if j != i)[k - 1]

    def inside(x, s):
        return [far(x, s[i]) <= radius(i, s) for i in range(len(s))]

    fakes, reals = [inside(x, real) for x in fake], [inside(x, fake) for x in real]
    precision, recall = (np.mean([any(row) for row in rows]) for rows in (fakes, reals))
    return precision, recall, np.sum(fakes) / (k * len(fake)), np.mean(np.any(fakes, axis=0))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_balls_by_brute_force(k):
    real, fake = points(9, 25, 2), points(10, 18, 2, shift=0.8)
    found = (
        *frechet.precision_recall(real, fake, neighbours=k),
        *frechet.density_coverage(real, fake, neighbours=k),
    )
    np.testing.assert_allclose(found, brute_force(real, fake, k), rtol=1e-12)
    assert min(found) > 0 and found[0] != found[1] and found[1] != found[3]


def test_equal_and_distant_sets():
    real = points(11, 40)
    assert frechet.precision_recall(real, real) == (1, 1)
    assert frechet.precision_recall(real, real + 100) == (0, 0)
    assert frechet.density_coverage(real, real + 100) == (0, 0)
    # one mode, well drawn,
    assert frechet.precision_recall(real, np.tile(real[:1], (40, 1)))[0] == 1
    assert frechet.density_coverage(real, np.tile(real[:1], (40, 1)))[1] < 0.5  # covers little
    with pytest.raises(DataError, match="1 to 39"):
        frechet.precision_recall(real, real, neighbours=40)


def test_density_and_coverage_of_one_distribution():
    """Naeem et al. 2020, section 3: their expectations depend on n and k alone."""
    n, k = 12, 3
    found = np.array(
        [
            frechet.density_coverage(points(i, n), points(9000 + i, n), neighbours=k)
            for i in range(400)
        ]
    )
    missed = np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - [1, 1 - missed]) < 4 * error).all()
    assert (error < 0.03).all()
