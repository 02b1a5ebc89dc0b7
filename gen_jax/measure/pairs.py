"""Measures of pairs of images, with intervals over the pairs.

Mean absolute error; SSIM (Wang et al. 2004); LPIPS (Zhang et al. 2018).
"""

from collections.abc import Callable

import numpy as np

from gen_jax import console, statistics
from gen_jax.evaluation import ssim
from gen_jax.images import from_uint8
from gen_jax.measure.reader import Sets
from gen_jax.measure.result import Measured, few
from gen_jax.pretrained.lpips import NETWORKS, lpips

BATCH = 32  # pairs per step of the progress bar
OVER = "the pairs"
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # [b, s, s, 3] x 2 in [-1, 1] -> [b]


def measure(
    sets: Sets, *, seed: int = 0, draws: int = 1000, perceptual: Distance = lpips
) -> dict[str, Measured]:
    """Return the means over pairs, images of equal index, by name, with intervals over `draws`
    bootstrap resamples.

    Where images are too small for a measure, a sentence stands in place of a value. Raises
    DataError if the weights of LPIPS are not available.
    """
    n, side = sets.a.shape[:2]
    lack = {
        "ssim": few(side, "pixels", "SSIM", ssim.WINDOW),
        "lpips_alex": few(side, "pixels", "LPIPS", NETWORKS["alex"].least),
    }
    kinds: dict[str, tuple[str, Distance]] = {
        "l1": ("mean absolute error, of 255", _error),
        "ssim": ("structural similarity", _similarity),
        "lpips_alex": (
            "LPIPS 0.1, by AlexNet",
            lambda a, b: perceptual(from_uint8(a), from_uint8(b)),
        ),
    }
    weights = statistics.resamples(n, draws=draws, seed=seed)
    found = {}
    for name, (unit, distance) in kinds.items():
        replicates = lack.get(name) or weights @ _each(distance, sets, name) / n
        found[name] = Measured.of(replicates, unit, n, sets.size, OVER)
    return found


def _each(distance: Distance, sets: Sets, name: str) -> np.ndarray:
    """Return float64 [n]."""
    starts = console.tracked(range(0, len(sets.a), BATCH), name)
    parts = [distance(sets.a[i : i + BATCH], sets.b[i : i + BATCH]) for i in starts]
    return np.concatenate(parts).astype(np.float64)


def _error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.float64) - b).mean((1, 2, 3))


def _similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ssim.structural(a, b, span=255)
