"""Parts of images: white around them, at random in training, the middle in tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.crops import centre_crop, check, middle, random_crop, resize_and_pad
from gen_jax.errors import UserError

IMAGE = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4, 1)
VALUES = IMAGE.astype(np.float32) / 127.5 - 1


def test_frames_are_white():
    found = np.asarray(resize_and_pad(jnp.asarray(IMAGE), 4, 2))
    np.testing.assert_allclose(found[:, 2:6, 2:6], VALUES, atol=1e-6)
    inside = np.zeros((8, 8), bool)
    inside[2:6, 2:6] = True
    assert (found[0, ~inside] == 1).all()
    assert resize_and_pad(jnp.asarray(IMAGE), 6, 0).shape == (1, 6, 6, 1)


def test_the_middle_of_a_frame_is_the_image():
    for pad in (0, 1, 3):
        np.testing.assert_allclose(
            centre_crop(jnp.asarray(IMAGE), load=4, pad=pad, side=4), VALUES, atol=1e-6
        )
    np.testing.assert_allclose(
        centre_crop(jnp.asarray(IMAGE), load=4, pad=0, side=2), VALUES[:, 1:3, 1:3], atol=1e-6
    )


def test_each_part_of_a_frame_and_its_mirror_image_is_drawn():
    images = jnp.asarray(np.repeat(IMAGE, 400, axis=0))
    found = np.asarray(random_crop(images, jax.random.key(0), load=4, pad=1, side=4))
    whole = np.pad(VALUES[0], ((1, 1), (1, 1), (0, 0)), constant_values=1)
    parts = [whole[i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
    parts += [part[:, ::-1] for part in parts]
    near = np.abs(found[:, None] - np.stack(parts)[None]).max((2, 3, 4)) < 1e-6  # [400, 18]
    assert (near.sum(1) == 1).all()
    counts = near.sum(0)
    assert counts.min() > 0 and np.abs(counts - 400 / 18).max() < 5 * np.sqrt(400 / 18)


def test_the_middle():
    image = np.arange(36).reshape(1, 6, 6, 1)
    assert middle(image, 2)[0, :, :, 0].tolist() == [[14, 15], [20, 21]]


def test_a_crop_is_at_most_the_whole():
    check(16, 2, 20)
    with pytest.raises(UserError, match="side is 21; images have 20 pixels"):
        check(16, 2, 21)
