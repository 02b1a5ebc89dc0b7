"""SSIM by its closed forms and by the definition at one window; ranks of partners in hand-solved cases."""

import numpy as np
import pytest

from gen_jax.errors import DataError, NonFiniteError
from gen_jax.evaluation import similarity

draws = np.random.default_rng(0)
A, B = draws.random((2, 3, 20, 16, 3))
C1, C2 = 0.01**2, 0.03**2


def test_equal_images_have_1_and_others_less():
    np.testing.assert_allclose(similarity.structural(A, A, span=1), 1, atol=1e-12)
    assert (similarity.structural(A, B, span=1) < 0.2).all()


def test_a_shift_of_the_grey_value_changes_the_luminance_alone():
    """Of flat images g and g + d: (2 g (g + d) + c1) / (g^2 + (g + d)^2 + c1)."""
    g, d = 0.3, 0.4
    flat = np.full((1, 12, 12, 1), g)
    expected = (2 * g * (g + d) + C1) / (g**2 + (g + d) ** 2 + C1)
    assert similarity.structural(flat, flat + d, span=1) == pytest.approx(expected, abs=1e-9)


def test_contrast_and_sign_change_the_structure_alone():
    """With means 0: (2 s v + c2) / ((1 + s^2) v + c2) for b = s a, of the window's variance v."""
    a = np.indices((11, 11)).sum(0)[None, ..., None] % 2 - 0.5
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    mean = weights @ a[0, :, :, 0] @ weights
    a -= mean
    v = weights @ a[0, :, :, 0] ** 2 @ weights
    for s in (0.5, -1.0):
        expected = (2 * s * v + C2) / ((1 + s**2) * v + C2)
        assert similarity.structural(a, s * a, span=1) == pytest.approx(expected, abs=1e-9)


def test_one_window_is_the_definition_and_colours_are_averaged():
    a, b = A[:1, :11, :11], B[:1, :11, :11]
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(weights, weights) / weights.sum() ** 2
    values = []
    for colour in range(3):
        p, q = a[0, ..., colour], b[0, ..., colour]
        m, n = (window * p).sum(), (window * q).sum()
        covariance = (window * (p - m) * (q - n)).sum()
        variances = (window * (p - m) ** 2).sum() + (window * (q - n) ** 2).sum()
        values.append((2 * m * n + C1) * (2 * covariance + C2) / ((m**2 + n**2 + C1) * (variances + C2)))
    assert similarity.structural(a, b, span=1) == pytest.approx(np.mean(values), abs=1e-9)


def test_the_span_is_that_of_the_values():
    np.testing.assert_allclose(
        similarity.structural(255 * A, 255 * B, span=255), similarity.structural(A, B, span=1), rtol=1e-9
    )


def test_ranks_of_partners():
    b = np.array([0.0, 1.0, 4.0, 4.0]).reshape(4, 1, 1, 1)
    a = np.array([0.1, 0.1, 3.0, 9.0]).reshape(4, 1, 1, 1)
    # the second has the first's partner nearer; the last two have partners that are alike
    np.testing.assert_array_equal(similarity.partner_ranks(a, b), [0, 1, 0.5, 0.5])
    np.testing.assert_array_equal(similarity.partner_ranks(A, A), 0)


def test_bad_images_are_refused():
    for function in (similarity.partner_ranks, lambda a, b: similarity.structural(a, b, span=1)):
        with pytest.raises(DataError, match="shapes"):
            function(A, B[:2])
        with pytest.raises(NonFiniteError):
            function(A, np.full_like(A, np.nan))
    with pytest.raises(DataError, match="11 pixels"):
        similarity.structural(A[:, :10], B[:, :10], span=1)
