"""SSIM by its closed forms and at one window, MS-SSIM against other libraries and by hand; ranks of
partners.
"""

import numpy as np
import pytest

from gen_jax.errors import DataError, NonFiniteError
from gen_jax.evaluation import ssim

draws = np.random.default_rng(0)
A, B = draws.random((2, 3, 20, 16, 3))
C1, C2 = 0.01**2, 0.03**2


def test_equal_images_have_1_and_others_less():
    np.testing.assert_allclose(ssim.structural(A, A, span=1), 1, atol=1e-12)
    assert (ssim.structural(A, B, span=1) < 0.2).all()


def test_a_shift_of_the_grey_value_changes_the_luminance_alone():
    """Of flat images g and g + d: (2 g (g + d) + c1) / (g^2 + (g + d)^2 + c1)."""
    g, d = 0.3, 0.4
    flat = np.full((1, 12, 12, 1), g)
    expected = (2 * g * (g + d) + C1) / (g**2 + (g + d) ** 2 + C1)
    assert ssim.structural(flat, flat + d, span=1) == pytest.approx(expected, abs=1e-9)


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
        assert ssim.structural(a, s * a, span=1) == pytest.approx(expected, abs=1e-9)


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
        values.append(
            (2 * m * n + C1) * (2 * covariance + C2) / ((m**2 + n**2 + C1) * (variances + C2))
        )
    assert ssim.structural(a, b, span=1) == pytest.approx(np.mean(values), abs=1e-9)


def test_the_span_is_that_of_the_values():
    np.testing.assert_allclose(
        ssim.structural(255 * A, 255 * B, span=255), ssim.structural(A, B, span=1), rtol=1e-9
    )


def waves(h, w, c):
    """Two images that anyone can make again, in [0.1, 0.95]."""
    y, x, k = np.indices((h, w, c))
    a = np.sin(0.11 * y + 0.07 * x * (k + 1) + np.cos(0.05 * x * y / (k + 2)))
    b = 0.7 * a + 0.3 * np.cos(0.9 * x + 0.4 * y * (k + 1)) + 0.1
    return 0.5 + 0.4 * a[None], 0.5 + 0.4 * b[None]


def test_multiscale_is_that_of_other_libraries():
    """pytorch-msssim 1.0.0 and TensorFlow 2.21 on one channel; torchmetrics 1.9.0, which averages
    over colours as ours does but counts places near the border too; pytorch-msssim's means at each
    scale, averaged so.
    """
    a, b = waves(176, 208, 3)
    for colour, expected in enumerate((0.824760759908806, 0.8748261447519018, 0.9050783133100425)):
        found = ssim.multiscale(a[..., colour, None], b[..., colour, None], span=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(ssim.multiscale(a, b, span=1), 0.8691120734839727, rtol=1e-4)
    np.testing.assert_allclose(
        ssim.multiscale(255 * b, 255 * a, span=255), 0.8691181558879904, rtol=1e-6
    )
    np.testing.assert_allclose(
        ssim.multiscale(*waves(176, 192, 1), span=1), 0.8243518838350309, rtol=1e-6
    )


def by_hand(a, b, window):
    """Mean SSIM and mean contrast of one pair of channels with the window where it lies inside:
    [h, w] x 2.
    """
    size, values = len(window), []
    for i, j in np.ndindex(a.shape[0] - size + 1, a.shape[1] - size + 1):
        p, q = a[i : i + size, j : j + size], b[i : i + size, j : j + size]
        m, n = (window * p).sum(), (window * q).sum()
        spread = (window * (p - m) ** 2).sum() + (window * (q - n) ** 2).sum()
        contrast = (2 * (window * (p - m) * (q - n)).sum() + C2) / (spread + C2)
        values.append(((2 * m * n + C1) / (m**2 + n**2 + C1) * contrast, contrast))
    return np.mean(values, 0)


def halved(x):
    """[h, w], a last odd row or column counted twice."""
    h, w = ((side + 1) // 2 for side in x.shape)
    rows, columns = (
        np.minimum(np.arange(2 * n), side - 1) for n, side in ((h, x.shape[0]), (w, x.shape[1]))
    )
    return x[np.ix_(rows, columns)].reshape(h, 2, w, 2).mean((1, 3))


def test_on_small_images_the_window_shrinks_with_the_image():
    """18 x 22 pixels: windows of 11, 9, 5, 3 and 2."""
    a, b = waves(18, 22, 2)
    channels, expected, sizes = [(a[0, ..., c], b[0, ..., c]) for c in range(2)], 1.0, []
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        size = min(11, *channels[0][0].shape)
        window = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (1.5 * size / 11)) ** 2)
        window = np.outer(window, window) / window.sum() ** 2
        both = np.mean([by_hand(p, q, window) for p, q in channels], 0)
        expected *= both[0 if scale == 4 else 1] ** weight
        channels = [(halved(p), halved(q)) for p, q in channels]
        sizes.append(size)
    assert sizes == [11, 9, 5, 3, 2]
    np.testing.assert_allclose(ssim.multiscale(a, b, span=1), expected, rtol=1e-9)


def test_multiscale_is_1_where_equal_symmetric_and_0_where_opposite():
    a, b = np.concatenate([A] * 2, 2), np.concatenate([B] * 2, 2)  # 20 x 32
    np.testing.assert_allclose(ssim.multiscale(a, a, span=1), 1, atol=1e-12)
    np.testing.assert_allclose(
        ssim.multiscale(a, b, span=1), ssim.multiscale(b, a, span=1), rtol=1e-12
    )
    np.testing.assert_array_equal(ssim.multiscale(a, 1 - a, span=1), 0)  # its contrast is negative


def test_diversity_is_the_mean_over_pairs_of_different_images():
    a, b = (x[0] for x in waves(16, 16, 1))
    one = ssim.multiscale(a[None], b[None], span=1)[0]
    assert ssim.diversity(np.stack([a, b]), span=1, pairs=70) == pytest.approx(one, rel=1e-12)
    assert ssim.diversity(np.stack([a, a, a]), span=1, pairs=5) == pytest.approx(1, rel=1e-12)
    # of six ordered pairs of a, a, b four are of different ones
    many = ssim.diversity(np.stack([a, a, b]), span=1, pairs=4000)
    assert many == pytest.approx((1 + 2 * one) / 3, abs=4 * (1 - one) * np.sqrt(2 / 9 / 4000))
    assert many == ssim.diversity(np.stack([a, a, b]), span=1, pairs=4000)
    assert many != ssim.diversity(np.stack([a, a, b]), span=1, pairs=4000, seed=1)
    for images, pairs in ((a[None], 5), (np.stack([a, b]), 0)):
        with pytest.raises(DataError, match="at least 1 pair and 2 images"):
            ssim.diversity(images, span=1, pairs=pairs)


def test_ranks_of_partners():
    b = np.array([0.0, 1.0, 4.0, 4.0]).reshape(4, 1, 1, 1)
    a = np.array([0.1, 0.1, 3.0, 9.0]).reshape(4, 1, 1, 1)
    # the second has the first's partner nearer; the last two have partners that are alike
    np.testing.assert_array_equal(ssim.partner_ranks(a, b), [0, 1, 0.5, 0.5])
    np.testing.assert_array_equal(ssim.partner_ranks(A, A), 0)


def test_bad_images_are_refused():
    for function in (ssim.partner_ranks, lambda a, b: ssim.structural(a, b, span=1)):
        with pytest.raises(DataError, match="shapes"):
            function(A, B[:2])
        with pytest.raises(NonFiniteError):
            function(A, np.full_like(A, np.nan))
    with pytest.raises(DataError, match="16 pixels"):
        ssim.multiscale(A[:, :15], B[:, :15], span=1)
    with pytest.raises(DataError, match="11 pixels"):
        ssim.structural(A[:, :10], B[:, :10], span=1)


def test_random_pairs_are_of_different_images_and_their_mean_is_the_diversity():
    images = draws.random((6, 16, 16, 1))
    (first, second), values = ssim.random_pairs(images, span=1, pairs=70, seed=2)
    assert (first != second).all() and len({*first}) == len({*second}) == 6
    one = ssim.multiscale(images[first[[69]]], images[second[[69]]], span=1)
    assert values[69] == pytest.approx(one[0], rel=1e-9)
    assert values.mean() == ssim.diversity(images, span=1, pairs=70, seed=2)
