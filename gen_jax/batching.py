"""A compiled function on more rows than fit at once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def by_chunks(function: Callable[..., Any], *arrays: np.ndarray, size: int) -> Any:
    """Apply `function` to `size` rows at a time: arrays [n, ...] -> a tree of NumPy arrays
    [n, ...].

    The last chunk is padded with zeros, so that one compiled program serves all; the results of the
    padding are cut off.
    """
    n = len(arrays[0])
    rows = max(-(-n // size), 1) * size
    filled = [np.pad(array, ((0, rows - n), *((0, 0),) * (array.ndim - 1))) for array in arrays]
    parts = [function(*(array[i : i + size] for array in filled)) for i in range(0, rows, size)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:n], *parts)
