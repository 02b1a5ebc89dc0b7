"""What categories are worth as labels, and drawn images as their labels."""

import numpy as np
import pytest

from gen_jax.data.catalog import sets
from gen_jax.evaluation import probes

Y = np.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])


def test_a_cluster_takes_the_label_of_the_image_likeliest_to_be_in_it():
    np.testing.assert_array_equal(probes.cluster_labels(Y, np.array([7, 4, 2])), [7, 2, 2])


def test_the_error_is_of_the_likeliest_category():
    error = probes.category_error(Y, np.array([7, 4, 2]), np.array([7, 2, 2]))
    assert error == pytest.approx(100 / 3) and error.unit == "% of images"
    assert probes.category_error(Y, [0, 0, 1], np.arange(3)) == 0


def test_real_images_have_their_labels_and_shuffled_labels_are_wrong():
    test = sets.load("digits", "test", None)
    x, labels = test["image"].reshape(len(test["image"]), -1) / 255, np.asarray(test["label"])
    assert probes.label_accuracy(x, labels, "digits", None) > 0.5
    assert probes.label_accuracy(x, (labels + 1) % 10, "digits", None) < 0.2


def test_impurity_is_the_error_of_the_best_map_of_images_drawn_with_a_category(monkeypatch):
    read = np.array([3, 3, 4, 7, 7, 7])
    monkeypatch.setattr(probes, "read_labels", lambda *_: read)
    found = probes.impurity(np.zeros((6, 64)), [0, 0, 0, 2, 2, 2], "digits", None)
    assert found == pytest.approx(100 / 6)
