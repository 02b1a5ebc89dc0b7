"""Evaluation of categories that were learned without labels, as a classifier."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from gen_jax.types import Measure


def confusion(categories: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Count the images of each label in each of `count` categories: [n], [n] -> [count, labels]."""
    counts = np.zeros((count, labels.max() + 1), int)
    np.add.at(counts, (categories, labels), 1)
    return counts


def errors(counts: np.ndarray) -> dict[str, Measure]:
    """Return the errors, in %, of the best map from categories to labels and of the best one-to-one
    map.

    `counts` is the confusion matrix, [categories, labels]. Both maps are chosen on the same images.
    """
    best = counts.max(axis=1).sum()
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    unit = "% of test images; each category represents {}, by the test labels"
    return {
        "test/error_best_map": Measure(
            100 * float(1 - best / counts.sum()), unit.format("its most frequent digit")
        ),
        "test/error_hungarian": Measure(
            100 * float(1 - matched / counts.sum()), unit.format("a different digit")
        ),
    }
