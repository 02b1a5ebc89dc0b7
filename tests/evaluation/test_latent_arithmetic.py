"""Arithmetic on z by a generator whose ink is known in closed form, and where interpolations begin
and end.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.evaluation import latent_arithmetic

Z = jax.random.uniform(jax.random.key(0), (200, 3), minval=-1, maxval=1)


def generate(z, label):
    """An image of one grey: its first latent and its label, as ink. [n, 3], [n] -> [n, 8, 8, 1]"""
    grey = 0.5 + 0.2 * z[:, :1] + 0.01 * label[:, None]
    return jnp.broadcast_to(grey[:, None, None], (len(z), 8, 8, 1))


def test_arithmetic_carries_thickness_to_the_next_label():
    """Where ink is z_0 and the label's own, thick i - thin i + thin j is as thick as thick j."""
    rows = latent_arithmetic.rows(generate, Z, 10)
    assert rows.shape == (10, 5, 8, 8, 1)
    ink = np.asarray(rows[:, :, 0, 0, 0])
    np.testing.assert_allclose(ink[:, 3], ink[:, 4], atol=1e-6)
    assert (np.abs(ink[:, 0] - ink[:, 1] - 0.32) < 0.05).all()  # 0.2 (0.8 + 0.8) of a uniform z_0
    np.testing.assert_allclose(ink[:9, 2] - ink[:9, 1], 0.01, atol=1e-6)
    assert latent_arithmetic.thickness(rows) == pytest.approx(1, abs=1e-5)
    assert latent_arithmetic.thickness(rows.at[:, 3].set(rows[:, 2])) == 0
    assert latent_arithmetic.picture(generate, Z, 10).shape == (10 * 10 + 2, 5 * 10 + 2, 3)


def test_interpolations_are_lines_from_one_point_to_the_other():
    lines = latent_arithmetic.interpolate(Z[:4], Z[4:8], 6).reshape(4, 6, 3)
    np.testing.assert_array_equal(lines[:, 0], Z[:4])
    np.testing.assert_array_equal(lines[:, -1], Z[4:8])
    np.testing.assert_allclose(np.diff(lines, 2, axis=1), 0, atol=1e-6)


def test_the_grids_show_the_samples_and_lines_between_the_first_twenty():
    labels = jnp.repeat(jnp.arange(10), 10)
    found = latent_arithmetic.grids(generate, Z[:100], labels, low=0)
    assert {*found} == {"samples", "interpolations"}
    samples, lines = (found[name][2::10, 2::10, 0].astype(float) for name in found)
    expected = 255 * np.asarray(generate(Z[:100], labels))[:, 0, 0, 0].reshape(10, 10)
    np.testing.assert_allclose(samples, expected, atol=0.51)
    np.testing.assert_allclose(lines[:, 0] - 2.55 * np.arange(10), samples[0], atol=1.1)
