"""Square images: emoji by random vendors, CelebA's crop, sizes, and what a source gives its first
state.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data import square_images
from gen_jax.data.catalog import emoji
from gen_jax.networks.progan import downsample

KEY = jax.random.key(0)


def test_emoji_are_of_all_vendors_and_faces_are_cut_as_in_the_code():
    grey = {
        vendor: np.full((40, 64, 64, 3), 50 * i, np.uint8) for i, vendor in enumerate(emoji.VENDORS)
    }
    x = square_images.images("emoji", grey, KEY, 32)
    assert x.shape == (40, 32, 32, 3)
    expected = [50 * i / 127.5 - 1 for i in range(len(emoji.VENDORS))]
    np.testing.assert_allclose(np.unique(x), expected, rtol=1e-5)
    face = np.zeros((1, 218, 178, 3), np.uint8)
    face[:, 57:185, 25:153] = 255
    assert (square_images.images("celeb_a", {"image": jnp.asarray(face)}, KEY, 64) == 1).all()


@pytest.mark.parametrize("side", [8, 4, 6])
def test_images_are_resized_by_means_and_else_by_cubic_interpolation(side):
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8))
    x = square_images.images("digits", {"image": image}, KEY, side)
    assert x.shape == (3, side, side, 1) and x.min() >= -1 and x.max() <= 1
    if side != 6:
        np.testing.assert_allclose(x, downsample(image / 127.5 - 1, side), atol=1e-6)


def test_half_of_the_images_are_mirrored_and_first_images_are_small():
    image = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), np.uint8)
    plain, mirrored = (square_images.source("digits", 8, mirror=m) for m in (False, True))
    x, y = (
        np.asarray(s.prepare({"image": jnp.asarray(image)}, KEY)["x"]) for s in (plain, mirrored)
    )
    turned = (y == x[:, :, ::-1]).all((1, 2, 3))
    assert ((y == x).all((1, 2, 3)) | turned).all() and 200 < turned.sum() < 400
    assert plain.init_extras({"image": image}) == {}
    first = square_images.source("digits", 8, mirror=False, first=4).init_extras({"image": image})
    np.testing.assert_allclose(first["first"], downsample(x[:500], 4), atol=1e-6)
    assert square_images.channels("digits") == 1 and square_images.channels("emoji") == 3


def test_drawn_shapes_are_the_same_each_time():
    source = square_images.source("shapes", 16, mirror=False)
    (train, test), (again, _) = source.arrays(), source.arrays()
    assert {len(a) for a in train.values()} == {50_000} and {len(a) for a in test.values()} == {
        1000
    }
    assert all((train[name] == again[name]).all() for name in train)
    some = {name: jnp.asarray(array[:4]) for name, array in test.items()}
    assert source.prepare(some, KEY)["x"].shape == (4, 16, 16, 3)
