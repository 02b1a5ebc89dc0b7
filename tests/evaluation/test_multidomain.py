"""What is measured of an image that was changed from one domain to another."""

import numpy as np
import pytest

from gen_jax.data.multidomain import TranslationTask
from gen_jax.evaluation import multidomain


def test_what_is_lost_of_a_class_and_of_a_truth_that_is_not_known():
    """Two translations of four lose their class, one of four the domain."""

    class Reader:  # of the first pixel: its red value
        def logits(self, pictures):
            return np.eye(4)[pictures[:, 0, 0, 0]]

    x = np.zeros((4, 2, 2, 3), np.uint8)
    x[:, 0, 0, 0] = [0, 1, 2, 3]
    made = x.copy()
    made[:, 0, 0, 0] = [0, 2, 2, 1]
    task = TranslationTask(x, np.ones((4, 1)), np.zeros((4, 1)), np.array([0, 2, 2, 3]), None)
    found = multidomain.measured(
        lambda pictures, label: made if label.all() else pictures, task, Reader(), Reader()
    )
    by_hand = {
        "test/domain_error": 25,
        "test/class_lost": 50,
        "test/l1_own": 0,
        "test/l1_reconstruction": (1 + 2) / 48,
    }
    assert found == pytest.approx(by_hand)


def test_the_distance_from_the_truth_beside_that_of_doing_nothing():
    class Reader:
        def logits(self, pictures):
            return np.ones((len(pictures), 1))

    x, truth = np.full((3, 2, 2, 3), 100, np.uint8), np.full((3, 2, 2, 3), 160, np.uint8)
    task = TranslationTask(x, np.full((3, 1), 50), np.full((3, 1), -20), np.zeros(3), truth)
    shift = lambda pictures, label: (pictures + label[0, 0]).astype(np.uint8)  # noqa: E731
    found = multidomain.measured(shift, task, Reader(), None)
    by_hand = {"test/domain_error": 0, "test/l1": 10, "test/l1_of_nothing": 60}
    assert found == {**by_hand, "test/l1_reconstruction": 30, "test/l1_own": 20}
