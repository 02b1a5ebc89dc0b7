"""The error of categories as a classifier in cases solved by hand, and against all matchings."""

import itertools

import numpy as np
import pytest

from gen_jax.evaluation import clustering


def test_confusion_counts_pairs():
    categories, labels = np.array([0, 2, 2, 2]), np.array([1, 0, 0, 1])
    found = clustering.confusion(categories, labels, 3)
    np.testing.assert_array_equal(found, [[0, 1], [0, 0], [2, 1]])


def test_matching_one_to_one_and_best_map():
    # the second category is better off with a taken class
    counts = np.array([[50, 0, 0], [40, 10, 0], [0, 0, 30]])
    found = clustering.errors(counts)
    assert found["test/error_best_map"] == pytest.approx(100 * 10 / 130)
    assert found["test/error_hungarian"] == pytest.approx(100 * 40 / 130)
    permuted = clustering.errors(np.diag([5, 6, 7])[[2, 0, 1]])
    assert permuted == {"test/error_best_map": 0, "test/error_hungarian": 0}


def test_the_hungarian_matching_is_the_best_of_all():
    counts = np.random.default_rng(3).integers(0, 100, (5, 5))
    best = max(counts[range(5), order].sum() for order in itertools.permutations(range(5)))
    found = clustering.errors(counts)
    assert found["test/error_hungarian"] == pytest.approx(100 * (1 - best / counts.sum()))
    assert found["test/error_best_map"] < found["test/error_hungarian"]


def test_errors_by_label_and_labels_that_no_category_represents():
    counts = np.array([[50, 0, 0], [40, 10, 0], [0, 0, 30]])  # 1 is always read as 0
    found = clustering.by_label(counts)
    assert found == {
        "test/error_of_digit_0": 0,
        "test/error_of_digit_1": 100,
        "test/error_of_digit_2": 0,
        "test/digits_without_category": 1,
    }
    weights = counts.sum(axis=0) / counts.sum()
    each = [found[f"test/error_of_digit_{label}"] for label in range(3)]
    assert weights @ each == pytest.approx(clustering.errors(counts)["test/error_best_map"])
