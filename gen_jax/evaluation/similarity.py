"""How alike two images of one place are, and whether an image finds its partner among many. In float64."""

from typing import Any

import numpy as np

from gen_jax.errors import DataError, NonFiniteError

WINDOW, SIGMA = 11, 1.5  # pixels of the Gaussian window, and its standard deviation
K1, K2 = 0.01, 0.03


def structural(a: Any, b: Any, *, span: float) -> np.ndarray:
    """SSIM of each pair of images whose values have this span (Wang et al. 2004, equation 13): [n, h, w, c] x 2 -> [n].

    The mean over colours and over the places where the window lies inside the image; 1 only where they are equal.
    """
    a, b = _checked(a, b)
    if min(a.shape[1:3]) < WINDOW or not span > 0:
        raise DataError(
            f"Images are {list(a.shape[1:3])} and span {span}: give at least {WINDOW} pixels a side, and > 0."
        )
    mean_a, mean_b = _blurred(a), _blurred(b)
    variances = _blurred(a * a) - mean_a**2 + _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean((1, 2, 3))


def _blurred(x: np.ndarray) -> np.ndarray:
    """Weighted means under the window, where it lies inside: [n, h, w, c] -> [n, h - 10, w - 10, c]."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        x = np.lib.stride_tricks.sliding_window_view(x, WINDOW, axis=axis) @ weights
    return x


def partner_ranks(a: Any, b: Any) -> np.ndarray:
    """How many of b are nearer to each of a, by the mean absolute difference, than its partner: [n, ...] x 2 -> [n].

    0 where the partner is the nearest; one that is as near as the partner counts as nearer by half.
    """
    from scipy.spatial.distance import cdist

    a, b = _checked(a, b)
    distances = cdist(a.reshape(len(a), -1), b.reshape(len(b), -1), "cityblock")  # [n, n]
    own = np.diag(distances)[:, None]
    return (distances < own).sum(1) + 0.5 * ((distances == own).sum(1) - 1)


def to_partners(a: Any, b: Any, *, span: float) -> dict[str, float]:
    """Of a to its partner in b the mean "l1" and "ssim"; "top_1", "top_5": the % whose partner is among the nearest.

    [n, h, w, c] x 2, values of this span.
    """
    a, b = _checked(a, b)
    ranks = partner_ranks(a, b)
    return {
        "l1": float(np.abs(a - b).mean()),
        "ssim": float(structural(a, b, span=span).mean()),
        "top_1": 100 * float((ranks < 1).mean()),
        "top_5": 100 * float((ranks < 5).mean()),
    }


def _checked(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 4 or 0 in a.shape:
        raise DataError(f"Images have shapes {list(a.shape)} and {list(b.shape)}, but must both be [n, h, w, c].")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NonFiniteError("Some pixels are NaN or infinite, but a similarity needs finite ones: look at the images.")
    return a, b
