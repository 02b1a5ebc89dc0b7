"""Sliced Wasserstein distances: closed forms in one dimension, each step and the whole against
SciPy, sets.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, special, stats

from gen_jax.errors import DataError, NonFiniteError
from gen_jax.evaluation import sliced_wasserstein as sliced

draws = np.random.default_rng(0)
KEY = jax.random.key(0)
FILTER = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def halved(x):  # [h, w] -> [h/2, w/2], by SciPy
    return ndimage.convolve(x, FILTER, mode="mirror")[::2, ::2]


def doubled(x):
    filled = np.zeros((2 * x.shape[0], 2 * x.shape[1]))
    filled[::2, ::2] = x
    return ndimage.convolve(filled, 4 * FILTER, mode="mirror")


def test_the_distance_of_a_shifted_set_is_the_shift_along_each_direction():
    points, shift = (
        draws.normal(size=(300, 5)).astype(np.float32),
        np.array([1, -2, 0.5, 0, 3], np.float32),
    )
    directions = draws.normal(size=(40, 5)).astype(np.float32)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    expected = np.abs(unit @ shift).mean()
    assert sliced.wasserstein(points, points + shift, directions) == pytest.approx(
        expected, rel=1e-5
    )


def test_the_distance_of_gaussians_is_their_quantiles():
    """Along a unit vector N(0, s^2 I) is N(0, s^2); at the same levels t its quantiles are |s - s'|
    |z_t| apart.
    """
    z = special.ndtri((np.arange(4001) + 0.5) / 4001).astype(np.float32)[:, None]
    found = sliced.wasserstein(3 * z, z[::-1], np.array([[-2.0]], np.float32))
    assert found == pytest.approx(2 * np.sqrt(2 / np.pi), rel=1e-3)
    a, b = (s * draws.normal(size=(20000, 4)).astype(np.float32) for s in (3, 1))
    directions = draws.normal(size=(33, 4)).astype(np.float32)  # more than one chunk
    assert sliced.wasserstein(a, b, directions) == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.02)


@pytest.mark.parametrize(
    "backend", ["cpu", "gpu"]
)  # the points are sorted by NumPy on the one, by JAX on the other
def test_the_distance_is_scipys(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    a, b = draws.normal(size=(2, 200, 6)).astype(np.float32)
    b = b**3
    directions = draws.normal(size=(50, 6)).astype(np.float32)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    expected = np.mean([stats.wasserstein_distance(a @ axis, b @ axis) for axis in unit])
    assert sliced.wasserstein(a, b, directions) == pytest.approx(expected, rel=1e-5)


def test_the_levels_are_scipys_and_add_up_to_the_image():
    image = draws.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    levels = [np.asarray(level) for level in sliced.pyramid(jnp.asarray(image), 3)]
    assert [level.shape for level in levels] == [(2, 64, 64, 3), (2, 32, 32, 3), (2, 16, 16, 3)]
    for n, c in np.ndindex(2, 3):
        x = image[n, :, :, c].astype(np.float64)
        for level in levels[:-1]:
            np.testing.assert_allclose(level[n, :, :, c], x - doubled(halved(x)), atol=1e-6)
            x = halved(x)
        np.testing.assert_allclose(levels[-1][n, :, :, c], x, atol=1e-6)
    whole = levels[-1]
    for level in levels[-2::-1]:
        whole = np.asarray(sliced.upsample(jnp.asarray(whole))) + level
    np.testing.assert_allclose(whole, image, atol=1e-6)


def test_a_flat_image_has_no_detail():
    *details, coarsest = sliced.pyramid(jnp.full((1, 32, 32, 1), 0.7), 2)
    np.testing.assert_allclose(details[0], 0, atol=1e-6)
    np.testing.assert_allclose(coarsest, 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("side", "sides"),
    [(128, [128, 64, 32, 16]), (32, [32, 16]), (28, [28]), (8, [8]), (96, [96, 48, 24])],
)
def test_sides_of_the_levels(side, sides):
    assert sliced.sides(side) == sides


def test_patches_lie_in_their_image_anywhere_and_are_the_same_in_any_chunks(monkeypatch):
    side = 10  # so that a patch has 16 places, all of which 400 draws find
    images = np.arange(3 * side * side * 2, dtype=np.float32).reshape(3, side, side, 2)
    found = sliced.descriptors(images, KEY, level=0, patches=400)
    assert found.shape == (3, 400, 49, 2)
    for image, cut in zip(images, found, strict=True):
        windows = (
            np.lib.stride_tricks.sliding_window_view(image, (7, 7), (0, 1))
            .reshape(16, 2, 49)
            .swapaxes(1, 2)
        )
        places = (cut[:, None] == windows[None]).all((2, 3))  # [patches, places]
        assert (places.sum(1) == 1).all() and (places.sum(0) > 5).all()
    # each image has its own
    assert not np.array_equal(found[0] - images[0, 0, 0, 0], found[1] - images[1, 0, 0, 0])
    monkeypatch.setattr(sliced, "CHUNK", 2)
    np.testing.assert_array_equal(sliced.descriptors(images, KEY, level=0, patches=400), found)


def test_channels_are_normalised_over_the_set():
    found = draws.normal(size=(20, 5, 49, 3)) * np.array([1, 5, 0]) + np.array([0, 100, 7])
    flat = sliced.normalised(found.astype(np.float32)).reshape(100, 49, 3)
    expected = (found - found.mean((0, 1, 2))) / np.where(
        found.std((0, 1, 2)) > 0, found.std((0, 1, 2)), 1
    )
    np.testing.assert_allclose(flat, expected.reshape(100, 49, 3), atol=2e-5)


def test_the_whole_is_its_definition_by_scipy():
    """Patches and directions are ours, drawn as documented; all else is NumPy's and SciPy's, in
    float64.
    """
    real, fake = draws.integers(0, 256, (2, 12, 32, 32, 3)).astype(np.uint8)
    fake = fake // 2 + np.arange(12, dtype=np.uint8)[:, None, None, None]
    found = sliced.distances(real, fake, KEY, images=12, patches=8, directions=16)
    assert [*found] == ["swd_32", "swd_16", "swd"]
    for level, name in enumerate(("swd_32", "swd_16")):
        sets = []
        for i, images in enumerate((real, fake)):
            # [n, c, h, w]
            smaller = np.stack(
                [[halved(x[..., c]) for c in range(3)] for x in images.astype(float)]
            )
            if level == 0:
                x = images.astype(float).transpose(0, 3, 1, 2) - [
                    [doubled(y) for y in each] for each in smaller
                ]
            else:
                x = smaller
            ours = sliced.descriptors(images, jax.random.fold_in(KEY, i), level=level, patches=8)
            # [n, c, h, w, 7, 7]
            windows = np.lib.stride_tricks.sliding_window_view(x, (7, 7), (2, 3))
            windows = windows.reshape(12, 3, -1, 49).transpose(0, 2, 3, 1)  # [n, places, 49, c]
            nearest = [
                [np.abs(places - cut).max((1, 2)).argmin() for cut in cuts]
                for places, cuts in zip(windows, ours, strict=True)
            ]
            patches = np.stack(
                [places[chosen] for places, chosen in zip(windows, nearest, strict=True)]
            )
            assert np.abs(patches - ours).max() < 1e-3  # of 255
            patches = (patches - patches.mean((0, 1, 2))) / patches.std((0, 1, 2))
            sets.append(patches.reshape(96, 147))
        axes = np.asarray(
            jax.random.normal(jax.random.fold_in(jax.random.fold_in(KEY, 2), level), (16, 147))
        )
        axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
        expected = np.mean(
            [stats.wasserstein_distance(sets[0] @ axis, sets[1] @ axis) for axis in axes]
        )
        assert found[name] == pytest.approx(1000 * expected, rel=1e-4)
    assert found["swd"] == pytest.approx((found["swd_32"] + found["swd_16"]) / 2)


def test_one_distribution_is_near_and_another_far_at_the_level_that_differs():
    """Smooth images, and the same with a checkerboard, of which the filter leaves nothing: (1 - 4 +
    6 - 4 + 1) = 0.
    """

    def smooth(n):
        return ndimage.zoom(draws.normal(size=(n, 4, 4, 1)), (1, 8, 8, 1), order=1).astype(
            np.float32
        )

    real, same = smooth(150), smooth(150)
    checks = (-1.0) ** np.indices((32, 32)).sum(0)[None, :, :, None].astype(np.float32)
    near, far = (
        sliced.distances(real, fake, KEY, images=150, patches=16, directions=32)
        for fake in (same, same + checks)
    )
    assert near["swd_32"] < 60 and near["swd_16"] < 90  # of patches with deviation 1, times 1000
    assert far["swd_32"] > 10 * near["swd_32"]
    assert far["swd_16"] == pytest.approx(near["swd_16"], rel=1e-4)


def test_grey_and_small_images_have_one_level():
    real, fake = draws.uniform(0, 1, (2, 6, 8, 8, 1))
    found = sliced.distances(real, fake**2, KEY, images=6, patches=4, directions=8)
    assert [*found] == ["swd_8", "swd"] and found["swd_8"] == found["swd"] > 0
    assert sliced.distances(real, fake**2, KEY, images=6, patches=4, directions=8) == found
    assert (
        sliced.distances(real, fake**2, jax.random.key(1), images=6, patches=4, directions=8)
        != found
    )
    scaled = sliced.distances(255 * real, 3 * fake**2 - 1, KEY, images=6, patches=4, directions=8)
    # neither brightness nor contrast counts
    assert scaled["swd"] == pytest.approx(found["swd"], rel=1e-4)


@pytest.mark.parametrize(
    ("real", "fake"),
    [((5, 8, 8, 3), (6, 8, 8, 1)), ((6, 8, 9, 1), (6, 8, 9, 1)), ((6, 8, 8), (6, 8, 8))],
)
def test_images_that_do_not_match_are_refused(real, fake):
    with pytest.raises(DataError, match="square and of one size"):
        sliced.distances(np.zeros(real), np.ones(fake), KEY, images=5)


@pytest.mark.parametrize(
    "change", [{"images": 7}, {"images": 0}, {"patches": 0}, {"directions": 0}]
)
def test_too_few_images_or_draws_are_refused(change):
    with pytest.raises(DataError, match="6 and 8 images of 8 pixels"):
        sliced.distances(
            np.zeros((6, 8, 8, 1)), np.ones((8, 8, 8, 1)), KEY, **{"images": 6, **change}
        )
    with pytest.raises(DataError, match="at least 7 pixels"):
        sliced.distances(np.zeros((6, 6, 6, 1)), np.ones((6, 6, 6, 1)), KEY, images=6)
    with pytest.raises(NonFiniteError):
        sliced.distances(np.zeros((6, 8, 8, 1)), np.full((6, 8, 8, 1), np.nan), KEY, images=6)
