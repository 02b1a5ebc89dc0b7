"""Distances between two sets of images in a feature space.

Every function takes features [n, d] of any network. A distance depends on its feature map, so the
name of a metric includes the name of the map: `frechet/mnist-cnn-s0-1a2b3c4d`. Only distances in
Inception features may be called FID. Everything is computed in float64.
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gen_jax.errors import DataError, NonFiniteError
from gen_jax.types import Measure


class Moments(NamedTuple):
    """The statistics of a set of features that the Frechet distance needs."""

    mean: np.ndarray  # [d]
    covariance: np.ndarray  # [d, d], divided by n - 1
    n: int


def moments(features: ArrayLike) -> Moments:
    """Return the mean and unbiased covariance of features [n, d]; the covariance of one point is
    zero.
    """
    features = _checked(features)
    mean = features.mean(axis=0)
    centred = features - mean
    return Moments(mean, centred.T @ centred / max(len(features) - 1, 1), len(features))


def merge(a: Moments, b: Moments) -> Moments:
    """Return the exact moments of the union of two sets (Chan, Golub & LeVeque 1983)."""
    _same_dimension(a.mean, b.mean)
    n = a.n + b.n
    off = b.mean - a.mean
    scatter = (
        a.covariance * (a.n - 1) + b.covariance * (b.n - 1) + np.outer(off, off) * (a.n * b.n / n)
    )
    return Moments(a.mean + off * (b.n / n), scatter / (n - 1), n)


def streamed(batches: Iterable[ArrayLike]) -> Moments:
    """Return the moments of all batches of features [b, d], read one batch at a time."""
    return functools.reduce(merge, map(moments, batches))


def distance(a: Moments, b: Moments) -> float:
    """Return |m - m'|^2 + tr(C + C') - 2 tr((C C')^1/2), the squared Frechet distance of two
    Gaussians (Dowson & Landau 1982).

    tr((C^1/2 C' C^1/2)^1/2) is the sum of the singular values of C^1/2 C'^1/2. This form takes no
    square root of a product, so no value becomes complex, and a singular covariance (fewer images
    than features) loses no accuracy. Raises DataError for sets of fewer than 2 points.
    """
    _same_dimension(a.mean, b.mean)
    if min(a.n, b.n) < 2:
        raise DataError(
            f"The sets have {a.n} and {b.n} points, but a covariance needs at least 2: give more."
        )
    cross = np.linalg.norm(_root(a.covariance) @ _root(b.covariance), "nuc")
    squared = (
        np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    )
    return max(float(squared), 0.0)  # only rounding can make it negative


def distances(a: ArrayLike, b: ArrayLike, seen_by: str, title: str = "") -> dict[str, Measure]:
    """Return the squared Frechet distance and 1000 times the kernel distance, with the feature map
    in their names.
    """
    title = title or seen_by
    frechet = f"squared Frechet distance of {title} features, larger for few images"
    kid = f"1000 times the kernel distance of {title} features"
    return {
        f"frechet_{seen_by}": Measure(distance(moments(a), moments(b)), frechet),
        f"kid_{seen_by}": Measure(1000 * squared_discrepancy(a, b), kid),
    }


class KernelDistance(NamedTuple):
    """Mean and standard deviation over subsets."""

    mean: float
    deviation: float


def kernel_distance(
    a: ArrayLike, b: ArrayLike, *, subsets: int = 100, size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Return the kernel distance (KID; Binkowski et al. 2018, section 4), the mean of
    `squared_discrepancy` over random subsets.

    Raises DataError for an invalid number or size of subsets.
    """
    a, b = _checked(a), _checked(b)
    if not 1 < size <= min(len(a), len(b)) or subsets < 1:
        raise DataError(
            f"{subsets} subsets of {size} points are not possible with sets of {len(a)} and "
            f"{len(b)}: "
            "give at least 1 subset, of at least 2 points and at most the size of the smaller set."
        )
    generator = np.random.default_rng(seed)
    values = [
        squared_discrepancy(
            generator.choice(a, size, replace=False), generator.choice(b, size, replace=False)
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def squared_discrepancy(a: ArrayLike, b: ArrayLike) -> float:
    """Return E k(a, a') + E k(b, b') - 2 E k(a, b) with k(x, y) = (x.y / d + 1)^3 (Gretton et al.
    2012, eq. 3).

    Pairs of a point with itself are excluded, so the estimate is unbiased and may be negative.
    """
    a, b = _checked(a), _checked(b)
    _same_dimension(a[0], b[0])
    if min(len(a), len(b)) < 2:
        raise DataError(
            f"The sets have {len(a)} and {len(b)} points, but pairs need at least 2: give more."
        )
    base = (x @ y.T / a.shape[1] + 1 for x, y in ((a, a), (b, b), (a, b)))
    within_a, within_b, between = (k**2 * k for k in base)  # k**3 is twenty times slower
    pairs_a, pairs_b = len(a) * (len(a) - 1), len(b) * (len(b) - 1)
    mean_a, mean_b = (
        (k.sum() - k.trace()) / pairs for k, pairs in ((within_a, pairs_a), (within_b, pairs_b))
    )
    return float(mean_a + mean_b - 2 * between.mean())


def precision_recall(
    real: ArrayLike, fake: ArrayLike, *, neighbours: int = 3
) -> tuple[float, float]:
    """Return the share of fakes inside the balls of real images, and the reverse (Kynkaanniemi
    et al. 2019, eq. 1-2).

    The ball of a point reaches to its k-th nearest neighbour in its own set.
    """
    real, fake = _checked(real), _checked(fake)
    around_fake, _ = balls(real, fake, neighbours)
    around_real, _ = balls(fake, real, neighbours)
    return float(np.mean(around_fake > 0)), float(np.mean(around_real > 0))


def density_coverage(
    real: ArrayLike, fake: ArrayLike, *, neighbours: int = 5
) -> tuple[float, float]:
    """Return the mean number of real balls around a fake, divided by k, and the share of real balls
    with a fake inside (Naeem et al. 2020, section 3).

    For two sets of n points of one distribution, the expected density is 1 and the expected
    coverage is 1 - (n-1)...(n-k) / (2n-1)...(2n-k).
    """
    around_fake, filled = balls(_checked(real), _checked(fake), neighbours)
    return float(np.mean(around_fake) / neighbours), float(np.mean(filled))


def balls(
    centres: np.ndarray, points: np.ndarray, neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many balls of the centres [n, d] each point [m, d] lies in, int [m], and whether
    each ball holds any point, bool [n].

    The ball of a centre reaches to its k-th nearest neighbour among the centres. Raises DataError
    if there is none.
    """
    from sklearn.metrics import pairwise_distances_chunked  # slow to import

    _same_dimension(centres[0], points[0])
    if not 0 < neighbours < len(centres):
        raise DataError(
            f"Neighbour {neighbours} of {len(centres)} points does not exist: give 1 to "
            f"{len(centres) - 1}."
        )
    # working_memory is in MiB; each point is its own neighbour 0
    own = pairwise_distances_chunked(centres, working_memory=256)
    # [n]
    radii = np.concatenate(
        [np.partition(block, neighbours, axis=1)[:, neighbours] for block in own]
    )
    counts, filled = [], np.zeros(len(centres), bool)
    for block in pairwise_distances_chunked(points, centres, working_memory=256):
        inside = block <= radii  # [chunk, n]
        counts.append(inside.sum(axis=1))
        filled |= inside.any(axis=0)
    return np.concatenate(counts), filled


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    if values[0] < -1e-6 * abs(values[-1]):
        raise DataError(
            f"A covariance has the eigenvalue {values[0]:.3g}, but none may be negative: recompute "
            "it."
        )
    # removes rounding noise, whose square root would not be small
    values[values < len(values) * np.finfo(float).eps * values[-1]] = 0
    return (vectors * np.sqrt(values)) @ vectors.T


def _checked(features: ArrayLike) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(
            f"Features have shape {list(features.shape)}, but must be [n, d], not empty: flatten "
            "them first."
        )
    if not np.isfinite(features).all():
        raise NonFiniteError(
            "Some features are NaN or infinite, but a distance needs finite ones: check the images."
        )
    return features


def _same_dimension(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise DataError(
            f"The two sets have features of {len(a)} and {len(b)} dimensions: use one feature map "
            "for both."
        )
