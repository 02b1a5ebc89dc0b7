"""The score of classes by its closed forms, by entropies, and split by split."""

import numpy as np
import pytest
from scipy import stats

from gen_jax.errors import DataError, NonFiniteError
from gen_jax.evaluation.inception_score import class_score

draws = np.random.default_rng(0)


def test_images_that_all_look_alike_have_1():
    """Whether the classifier is sure or not."""
    for row in (np.zeros(7), 30 * np.eye(7)[2], draws.normal(size=7)):
        assert class_score(np.tile(row, (40, 1))) == pytest.approx((1, 0), abs=1e-12)


@pytest.mark.parametrize("k", [2, 10, 1000])
def test_sure_and_balanced_over_k_classes_has_k(k):
    """Logits this large would overflow an exponential; 0 log 0 is 0."""
    labels = np.tile(np.arange(k), 10)  # each split sees each class once
    assert class_score(5000 * np.eye(1000)[labels]) == pytest.approx((k, 0), rel=1e-12, abs=1e-9)


def test_sure_but_unbalanced_has_the_exponential_of_the_labels_entropy():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    expected = np.exp(stats.entropy([0.6, 0.3, 0.1]))
    assert class_score(2000 * np.eye(5)[labels], splits=1).mean == pytest.approx(
        expected, rel=1e-12
    )


def test_it_is_the_exponential_of_the_mutual_information():
    """H(y) - H(y|x), by SciPy's entropies; and so split by split, of which one has one image more."""
    logits = 3 * draws.normal(size=(103, 6))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def expected(p):
        return np.exp(stats.entropy(p.mean(0)) - np.mean([stats.entropy(row) for row in p]))

    assert class_score(logits, splits=1) == pytest.approx((expected(p), 0), rel=1e-12)
    values = [expected(part) for part in (p[:35], p[35:69], p[69:])]
    assert class_score(logits, splits=3) == pytest.approx(
        (np.mean(values), np.std(values)), rel=1e-12
    )
    assert class_score((logits + 100 * draws.normal(size=(103, 1))), splits=3) == pytest.approx(
        (np.mean(values), np.std(values)), rel=1e-9
    )


@pytest.mark.parametrize(("shape", "splits"), [((5,), 1), ((0, 3), 1), ((5, 3), 6), ((5, 3), 0)])
def test_bad_logits_are_refused(shape, splits):
    with pytest.raises(DataError, match="from 1 to n splits"):
        class_score(np.zeros(shape), splits=splits)
    with pytest.raises(NonFiniteError):
        class_score(np.full((20, 3), np.inf))
