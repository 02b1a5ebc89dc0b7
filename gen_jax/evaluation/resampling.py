"""Bootstrap replicates of measures of two sets of images, without another look at the images.

The weights of a set, [draws, n], say how often each image is in each resample; each row sums to n
(`statistics.resamples`). Every function returns the measure of each resample. Networks are not
asked again, so the replicates take seconds.
"""

import jax
import numpy as np
from numpy.typing import ArrayLike

from gen_jax.evaluation import sliced_wasserstein
from gen_jax.evaluation.feature_distances import moments
from gen_jax.types import Key

BLOCK = 1024  # rows of a kernel matrix in memory
BINS = 256  # of the projected patches
DIRECTIONS = 64


def frechet(a: ArrayLike, b: ArrayLike, of_a: np.ndarray, of_b: np.ndarray) -> np.ndarray:
    """Return replicates of the squared Frechet distance, linear in the weights: features [n, d],
    [m, d], weights [draws, n], [draws, m] -> [draws], at least 0.

    A distance recomputed for a resample would have a larger bias than that of the sets themselves,
    since only 63 % of their points are distinct.
    """
    value, change_a, change_b = influences(a, b)
    linear = of_a @ change_a / len(change_a) + of_b @ change_b / len(change_b)
    return np.maximum(value + linear, 0)


def influences(a: ArrayLike, b: ArrayLike) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the squared Frechet distance, and its derivative by the share of each point in its
    set: [n, d], [m, d] -> [], [n], [m], both with mean 0.

    The derivative is 2 (x - m).(m - m') + |x - m|^2 - (x - m).M (x - m), minus the mean of that,
    with the optimal map M from one Gaussian to the other: M C M = C' (Dowson & Landau 1982).
    """
    sets = [np.asarray(points, np.float64) for points in (a, b)]
    first, second = map(moments, sets)
    values, vectors = _positive(first.covariance)
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    values, vectors = _positive(root @ second.covariance @ root)
    scales = values**0.25
    maps = inverse @ (vectors * scales), root @ (vectors / scales)  # factors of both M
    off = first.mean - second.mean
    total = np.trace(first.covariance) + np.trace(second.covariance)
    value = max(float(off @ off + total - 2 * np.sqrt(values).sum()), 0.0)
    found = []
    for points, factor, sign in zip(sets, maps, (1, -1), strict=True):
        centred = points - points.mean(0)
        change = sign * 2 * centred @ off + (centred**2).sum(1) - ((centred @ factor) ** 2).sum(1)
        found.append(change - change.mean())
    return value, found[0], found[1]


def _positive(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the k eigenvalues above rounding, and their vectors: [d, d] -> [k], [d, k]."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    return values[kept], vectors[:, kept]


def kernel(a: ArrayLike, b: ArrayLike, of_a: np.ndarray, of_b: np.ndarray) -> np.ndarray:
    """Return replicates of the kernel distance (`feature_distances.squared_discrepancy`, Binkowski
    et al. 2018): features [n, d], [m, d], weights [draws, n], [draws, m] -> [draws].

    A pair of an image and its own copy does not count, so the mean of replicates has no bias. Takes
    memory for 1024 rows of the kernel matrix at a time.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    within = [_within(a, of_a), _within(b, of_b)]
    between = _sums(a, b, of_a, of_b) / (len(a) * len(b))
    return within[0] + within[1] - 2 * between


def _within(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the kernel over pairs of different points: [draws]."""
    own = ((x * x).sum(1) / x.shape[1] + 1) ** 3
    squares = weights**2
    pairs = len(x) ** 2 - squares.sum(1)
    return (_sums(x, x, weights, weights) - squares @ own) / np.maximum(pairs, 1)


def _sums(x: np.ndarray, y: np.ndarray, of_x: np.ndarray, of_y: np.ndarray) -> np.ndarray:
    """Return the weighted sums of the kernel over all pairs: [draws]."""
    found = np.zeros(len(of_x))
    for i in range(0, len(x), BLOCK):
        base = x[i : i + BLOCK] @ y.T / x.shape[1] + 1
        found += ((of_x[:, i : i + BLOCK] @ (base**2 * base)) * of_y).sum(1)
    return found


def wasserstein(
    a: np.ndarray,
    b: np.ndarray,
    key: Key,
    of_a: np.ndarray,
    of_b: np.ndarray,
    *,
    patches: int = 128,
) -> dict[str, np.ndarray]:
    """Return replicates of 1000 times the sliced Wasserstein distances, by their names in
    `sliced_wasserstein.distances`, linear in the weights: images [n, s, s, c] x 2, weights
    [draws, n] x 2 -> [draws] each, at least 0.

    All patches of an image are drawn with it. The derivatives are of 64 directions.
    """
    values = sliced_wasserstein.distances(a, b, key, images=len(a), patches=patches)
    *key_sets, key_directions = [jax.random.fold_in(key, i) for i in range(3)]
    found = {}
    for level, side in enumerate(sliced_wasserstein.sides(a.shape[1])):
        x, y = (
            sliced_wasserstein.descriptors(some, own, level=level, patches=patches)
            for some, own in zip((a, b), key_sets, strict=True)
        )
        for points in (x, y):
            sliced_wasserstein.normalised(points)  # in place
        shape = DIRECTIONS, *x.shape[2:]
        axes = np.array(jax.random.normal(jax.random.fold_in(key_directions, level), shape))
        axes /= np.linalg.norm(axes, axis=(1, 2), keepdims=True)
        change_a, change_b = potentials(x, y, axes)
        linear = (of_a @ change_a + of_b @ change_b) / len(a)
        found[f"swd_{side}"] = np.maximum(values[f"swd_{side}"] + 1000 * linear, 0)
    return {**found, "swd": np.mean([*found.values()], 0)}


def potentials(a: np.ndarray, b: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivative of the Wasserstein distance along axes, their mean, by the share of
    each image in its set: patches [n, p, 49, c], [m, p, 49, c] whose channels have mean 0 and
    deviation 1, [k, 49, c] -> [n], [m], both with mean 0.

    It is the mean over an image's patches of the potential of Kantorovich, whose slope is 1 where
    fewer of the own set's patches than of the other's lie below, and -1 elsewhere. The image also
    changes the mean and the deviation by which its set is normalised. Projections are rounded to
    256 bins.
    """
    channels, sets = a.shape[-1], (a, b)
    means = [x.mean((1, 2)) for x in sets]  # [n, c]
    excess = [np.square(x).mean((1, 2)) - 1 for x in sets]
    rows = [x.reshape(len(x) * x.shape[1], -1) for x in sets]  # [n * p, 49 * c]
    found = [np.zeros(len(x)) for x in sets]
    for axis in axes:
        apart = (axis[:, :, None] * np.eye(channels, dtype=axis.dtype)).reshape(-1, channels)
        parts = [x @ apart for x in rows]  # projections by channel
        lines = [part.sum(1) for part in parts]
        low = min(line.min() for line in lines)
        width = (max(line.max() for line in lines) - low) / BINS or 1
        bins = [np.minimum((line - low) / width, BINS - 1).astype(int) for line in lines]
        below = [np.bincount(own, minlength=BINS).cumsum() / own.size for own in bins]
        slope = np.sign(below[1] - below[0])
        for i, sign in enumerate((1, -1)):
            slopes = sign * slope[bins[i]]
            shift = means[i] @ (slopes.mean() * axis.sum(0))
            scale = excess[i] @ (slopes @ parts[i] / len(slopes) / 2)
            along = (sign * width * slope.cumsum())[bins[i]].reshape(len(found[i]), -1).mean(1)
            found[i] += (along - shift - scale) / len(axes)
    return found[0] - found[0].mean(), found[1] - found[1].mean()
