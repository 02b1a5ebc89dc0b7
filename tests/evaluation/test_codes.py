"""Codes beside their prior: which points are compared, entropies in closed form, what is drawn
where.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data import pipeline
from gen_jax.data.pipeline import Source
from gen_jax.evaluation import codes, two_sample


def test_the_first_codes_are_compared_and_the_classifier_also_sees_labels():
    z, prior = np.random.default_rng(0).normal(size=(2, 2500, 3))
    found = codes.compare(z, prior, seed=0)
    some = z[: codes.COMPARED], prior[: codes.COMPARED]
    assert found["test/mmd"] == two_sample.squared_mmd(*some)
    assert found["test/two_sample_accuracy"] == two_sample.two_sample_accuracy(*some, seed=0)
    label = np.eye(2)[np.arange(2500) % 2]
    shaped = prior + 4 * label[:, :1]  # shifted by the label
    assert codes.compare(shaped, shaped[::-1], seed=0)["test/two_sample_accuracy"] < 0.6
    told = codes.compare(shaped, shaped[::-1], label, seed=0)["test/two_sample_accuracy"]
    assert told > 0.9  # the reversed points have the other label


def test_entropies_in_closed_form():
    found = codes.entropies(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    assert found["test/category_entropy"] == pytest.approx(np.log(2))
    assert found["test/mean_entropy"] == pytest.approx(np.log(2) / 3)


def test_the_reconstruction_error_is_summed_over_pixels():
    x = jnp.zeros((4, 3))
    assert codes.reconstruction_error(x + 2, x)["test/reconstruction"] == 12


@functools.cache
def data():
    return pipeline.load(Source("digits", pipeline.vectors))


class Labelled:
    """An image whose grey value is its label, or the mean of its code."""

    def decode(self, z, label):
        return jnp.broadcast_to(label[:, None] / 10 + 0 * z[:, :1], (len(z), 64))

    def autoencode(self, x, label, key):
        return jnp.stack([label, -label], 1) / 10.0, 1 - x


def test_draws_have_a_label_per_column_and_reconstructions_stand_beside_images():
    def prior(key, labels):
        return jax.random.normal(key, (len(labels), 2))

    found = codes.pictures(Labelled(), data(), jax.random.key(0), prior, one_style=True)
    assert {*found} == {"samples", "reconstructions", "codes"}
    np.testing.assert_array_equal(found["samples"][5, 2:102:10, 0], np.rint(np.arange(10) * 25.5))
    image = data().test["image"][0, :, :, 0]
    np.testing.assert_array_equal(found["reconstructions"][2:10, 2:10, 0], image)
    np.testing.assert_array_equal(found["reconstructions"][2:10, 12:20, 0], 255 - image)
    assert found["codes"].shape == (400, 800, 3)
    found = codes.pictures(
        Labelled(),
        data(),
        jax.random.key(0),
        lambda key, labels: jax.random.normal(key, (len(labels), 3)),
        one_style=False,
    )
    assert {*found} == {"samples", "reconstructions"}


class Categories:
    """An image whose grey value is the category's number; the code is the first two pixels."""

    def decode(self, y, z):
        return z, jnp.broadcast_to(y.argmax(1)[:, None] / 3 + 0 * z[:, :1], (len(y), 64))

    def autoencode(self, x):
        return None, None, x[:, 20:22] - 0.5, jnp.asarray(x)


def test_draws_have_a_category_per_column_and_neighbours_are_of_the_training_images():
    y, z = jnp.eye(3), jnp.zeros((5, 2))
    found = codes.category_pictures(Categories(), data(), y, z, plane=True)
    assert found["samples"].shape == (52, 32, 3) and found["codes"].shape == (600, 600, 3)
    np.testing.assert_array_equal(found["samples"][5, 2:32:10, 0], np.rint(np.arange(3) * 85.0))
    assert "codes" not in codes.category_pictures(Categories(), data(), y, z, plane=False)
    own = Categories().autoencode(codes.vectors(data().test))[2]
    error = codes.nearest_neighbours(Categories(), data(), own)["test/nearest_neighbour_error"]
    assert 0 < error < 90 and "codes of the training images" in error.unit
