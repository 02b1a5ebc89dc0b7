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
