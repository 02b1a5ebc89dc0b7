"""SSIM and MS-SSIM of pairs of images, and the rank of an image's partner among many images.

Everything is computed in float64.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from gen_jax.errors import DataError, NonFiniteError

WINDOW, SIGMA = 11, 1.5  # pixels of the Gaussian window, and its standard deviation
K1, K2 = 0.01, 0.03
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # the weight of each scale, fine to coarse
LEAST = 2 ** (len(SCALES) - 1)  # smallest side in pixels; the coarsest scale then has one
CHUNK = 64  # pairs compared at once


def structural(a: ArrayLike, b: ArrayLike, *, span: float) -> np.ndarray:
    """Return the SSIM of each pair of images (Wang et al. 2004, equation 13): [n, h, w, c] x 2
    -> [n].

    `span` is the range of their values. SSIM is averaged over channels and over positions where the
    window lies inside the image. It is 1 only if both images are equal. Raises DataError if the
    shapes differ or are smaller than the window, and NonFiniteError if a pixel is not finite.
    """
    a, b = _checked(a, b)
    if min(a.shape[1:3]) < WINDOW or not span > 0:
        raise DataError(
            f"Images are {list(a.shape[1:3])} and span {span}: give at least {WINDOW} pixels per "
            "side, and a span > 0."
        )
    luminance, contrast = _terms(a, b, span)
    return (luminance * contrast).mean((1, 2, 3))


def multiscale(a: ArrayLike, b: ArrayLike, *, span: float) -> np.ndarray:
    """Return the MS-SSIM of each pair of images (Wang et al. 2003, equation 7): [n, h, w, c] x 2
    -> [n].

    `span` is the range of their values. The contrast is compared at five scales, each of half the
    side of the one before, and the luminance at the last. Each term is averaged over channels and
    positions, and set to 0 if that mean is negative. If a side is shorter than the window, as in
    images of under 161 pixels, the window shrinks to that side and its deviation in proportion. An
    odd side is made even by repeating its last pixels. Raises the errors of `structural`, here for
    images of under 16 pixels.
    """
    a, b = _checked(a, b)
    if min(a.shape[1:3]) < LEAST or not span > 0:
        raise DataError(
            f"Images are {list(a.shape[1:3])} and span {span}: give at least {LEAST} pixels per "
            "side, and a span > 0."
        )
    total = np.ones(len(a))
    for scale, weight in enumerate(SCALES):
        if scale:
            a, b = _halved(a), _halved(b)
        luminance, contrast = _terms(a, b, span)
        similarity = luminance * contrast if scale == len(SCALES) - 1 else contrast
        total *= np.maximum(similarity.mean((1, 2, 3)), 0) ** weight
    return total


def diversity(images: np.ndarray, *, span: float, pairs: int = 10_000, seed: int = 0) -> float:
    """Return the mean MS-SSIM of random pairs of different images of a set (Odena et al. 2017):
    [n, h, w, c] -> [].

    It is lower for more varied images. Karras et al. 2018, section 5, compare it with that of the
    real images. Raises DataError for fewer than 1 pair or 2 images.
    """
    return float(random_pairs(images, span=span, pairs=pairs, seed=seed)[1].mean())


def random_pairs(
    images: np.ndarray, *, span: float, pairs: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs of different images, and return their indices and MS-SSIM: [n, h, w, c]
    -> int [2, pairs], float64 [pairs]. Raises the errors of `diversity`.
    """
    if len(images) < 2 or pairs < 1:
        raise DataError(
            f"{pairs} pairs of {len(images)} images are too few: give at least 1 pair and 2 images."
        )
    generator = np.random.default_rng(seed)
    first = generator.integers(len(images), size=pairs)
    second = (first + generator.integers(1, len(images), size=pairs)) % len(images)
    chunks = ((first[i : i + CHUNK], second[i : i + CHUNK]) for i in range(0, pairs, CHUNK))
    values = [multiscale(images[i], images[j], span=span) for i, j in chunks]
    return np.stack([first, second]), np.concatenate(values)


def _terms(a: np.ndarray, b: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the luminance term, and the product of contrast and structure, where the window lies
    inside the image: -> [n, h', w', c] each.
    """
    mean_a, mean_b = _blurred(a), _blurred(b)
    variances = _blurred(a * a) - mean_a**2 + _blurred(b * b) - mean_b**2
    covariance = _blurred(a * b) - mean_a * mean_b
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _blurred(x: np.ndarray) -> np.ndarray:
    """Return Gaussian-weighted means over windows that lie inside the image: [n, h, w, c]
    -> [n, h - 10, w - 10, c].
    """
    size = min(WINDOW, *x.shape[1:3])
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (offsets / (SIGMA * size / WINDOW)) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        inside = range(size // 2, size // 2 + x.shape[axis] - size + 1)
        x = ndimage.correlate1d(x, weights, axis).take(inside, axis)
    return x


def _halved(x: np.ndarray) -> np.ndarray:
    """Return means over 2 x 2 pixels: [n, h, w, c] -> [n, ceil(h / 2), ceil(w / 2), c]."""
    n, h, w, c = x.shape
    x = np.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), "edge")
    return x.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean((2, 4))


def partner_ranks(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return how many of b are closer to each of a than its partner is, by mean absolute
    difference: [n, ...] x 2 -> [n].

    The rank is 0 if the partner is the closest. An image at the same distance as the partner counts
    as half.
    """
    from scipy.spatial.distance import cdist

    a, b = _checked(a, b)
    distances = cdist(a.reshape(len(a), -1), b.reshape(len(b), -1), "cityblock")  # [n, n]
    own = np.diag(distances)[:, None]
    return (distances < own).sum(1) + 0.5 * ((distances == own).sum(1) - 1)


def to_partners(a: ArrayLike, b: ArrayLike, *, span: float) -> dict[str, float]:
    """Return the mean "l1" and "ssim" of pairs of partners in a and b, and "top_1" and "top_5": the
    % whose partner is among the nearest.

    [n, h, w, c] x 2; `span` is the range of the values.
    """
    a, b = _checked(a, b)
    ranks = partner_ranks(a, b)
    return {
        "l1": float(np.abs(a - b).mean()),
        "ssim": float(structural(a, b, span=span).mean()),
        "top_1": 100 * float((ranks < 1).mean()),
        "top_5": 100 * float((ranks < 5).mean()),
    }


def _checked(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 4 or 0 in a.shape:
        raise DataError(
            f"Images have shapes {list(a.shape)} and {list(b.shape)}, but must both be [n, h, w, "
            "c]."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NonFiniteError(
            "Some pixels are NaN or infinite, but a similarity needs finite ones: check the images."
        )
    return a, b
