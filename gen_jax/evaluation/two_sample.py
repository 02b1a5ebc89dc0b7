"""Two-sample statistics: does one distribution generate both sets of points?"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from gen_jax.errors import DataError


def squared_mmd(a: ArrayLike, b: ArrayLike, *, bandwidth: float | None = None) -> float:
    """Return E k(a, a') + E k(b, b') - 2 E k(a, b), k(x, y) = exp(-|x - y|^2 / 2 h^2): [n, d],
    [m, d].

    Gretton et al. 2012, equation 3. Pairs of a point with itself are excluded, so the estimate is
    unbiased and may be negative. By default, the bandwidth h is the median distance between two
    different points of the union of both sets (their section 8). Raises DataError for points of
    wrong shape or not finite, or if that median is 0.
    """
    a, b = _checked(a, b)
    squares = [cdist(x, y, "sqeuclidean") for x, y in ((a, a), (b, b), (a, b))]
    if bandwidth is None:
        pairs = [
            squares[0][np.triu_indices(len(a), 1)],
            squares[1][np.triu_indices(len(b), 1)],
            squares[2].ravel(),
        ]
        bandwidth = float(np.sqrt(np.median(np.concatenate(pairs))))
    if not bandwidth > 0:
        raise DataError(
            f"The bandwidth is {bandwidth}, but must be above 0. Most points coincide: give one."
        )
    within_a, within_b, between = (np.exp(-square / (2 * bandwidth**2)) for square in squares)
    mean_a, mean_b = ((k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (within_a, within_b))
    return float(mean_a + mean_b - 2 * between.mean())


def two_sample_accuracy(a: ArrayLike, b: ArrayLike, *, seed: int) -> float:
    """Return the accuracy of a classifier of the two sets: [n, d], [m, d]; 0.5 if they are equal.

    Lopez-Paz & Oquab 2017: k nearest neighbours, with k about the square root of the number of
    training points. Half of each set is held out, and the same number of points of each set is
    used. Every dimension is first scaled by its standard deviation. Raises DataError for points of
    wrong shape or not finite.
    """
    from sklearn.neighbors import KNeighborsClassifier  # slow to import

    a, b = _checked(a, b)
    half = min(len(a), len(b)) // 2
    generator = np.random.default_rng(seed)
    a, b = (x[generator.permutation(len(x))[: 2 * half]] for x in (a, b))
    # [2 half, d] each
    train, test = (
        np.concatenate([a[:half], b[:half]]),
        np.concatenate([a[half:], b[half:]]),
    )
    deviation = train.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    origin = np.repeat([0, 1], half)
    neighbours = int(np.sqrt(2 * half)) // 2 * 2 + 1  # odd: no ties
    classifier = KNeighborsClassifier(min(neighbours, 2 * half - 1)).fit(train / scale, origin)
    return float(classifier.score(test / scale, origin))


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise DataError(
            f"The sets have shapes {list(a.shape)} and {list(b.shape)}, but must be [n, d] and [m, "
            "d] with at least 2 "
            "points each: reshape them."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError(
            "Some points are NaN or infinite, but a discrepancy needs finite ones: check them."
        )
    return a, b
