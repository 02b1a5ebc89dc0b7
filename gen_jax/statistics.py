"""What several runs or images say together."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from gen_jax.errors import UserError


def interval(values: np.ndarray | Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % confidence interval, over images or seeds, by Student's t.

    One value tells nothing of the spread: its half width is infinite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not array.size:
        raise UserError(
            f"The interval was given an array of shape {list(array.shape)}: give one value per image, [n]."
        )
    if array.size == 1:
        return float(array[0]), math.inf
    error = array.std(ddof=1) / math.sqrt(array.size)
    return float(array.mean()), float(special.stdtrit(array.size - 1, 0.975) * error)


def resamples(n: int, *, draws: int = 1000, seed: int | Sequence[int] = 0) -> np.ndarray:
    """How often each of n images is in each bootstrap sample, n draws with replacement (Efron
    1979): float64 [1 + draws, n].

    Row 0 is the sample itself, all ones, so that a statistic of every row gives its value first,
    then its replicates. Raises UserError for fewer than 1 image or draw.
    """
    if n < 1 or draws < 1:
        raise UserError(f"{draws} resamples of {n} images are too few: give at least 1 of each.")
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return np.concatenate([np.ones((1, n)), drawn])


def percentile_interval(replicates: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap interval of replicates [draws]: their 2.5th and 97.5th percentiles."""
    low, high = np.percentile(replicates, (2.5, 97.5))
    return float(low), float(high)
