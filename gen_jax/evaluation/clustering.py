"""Evaluation of categories that were learned without labels, as a classifier."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from gen_jax.types import Measure


def confusion(categories: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Count the images of each label in each of `count` categories: [n], [n] -> [count, labels]."""
    counts = np.zeros((count, labels.max() + 1), int)
    np.add.at(counts, (categories, labels), 1)
    return counts


def by_label(counts: np.ndarray) -> dict[str, Measure]:
    """Return the error of the best map for the images of each label, and how many labels no category
    represents: the confusion matrix, [categories, labels].
    """
    best = counts.argmax(axis=1)  # label of each category
    right = [counts[best == label, label].sum() for label in range(counts.shape[1])]
    total = np.maximum(counts.sum(axis=0), 1)
    unit = "% of the test images of this digit, by the best map"
    found = {
        f"test/error_of_digit_{label}": Measure(100 * (1 - right[label] / total[label]), unit)
        for label in range(counts.shape[1])
    }
    missing = counts.shape[1] - len({*best})
    return {**found, "test/digits_without_category": Measure(missing, "digits, by the best map")}


def best_map_error(counts: np.ndarray) -> float:
    """Return the error, in %, of the best map from categories to labels: [categories, labels]."""
    return 100 * float(1 - counts.max(axis=1).sum() / counts.sum())


def errors(counts: np.ndarray) -> dict[str, Measure]:
    """Return the errors, in %, of the best map from categories to labels and of the best one-to-one
    map.

    `counts` is the confusion matrix, [categories, labels]. Both maps are chosen on the same images.
    """
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    unit = "% of test images; each category represents {}, by the test labels"
    return {
        "test/error_best_map": Measure(
            best_map_error(counts), unit.format("its most frequent digit")
        ),
        "test/error_hungarian": Measure(
            100 * float(1 - matched / counts.sum()), unit.format("a different digit")
        ),
    }
