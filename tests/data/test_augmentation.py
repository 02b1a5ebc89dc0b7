"""Augmentation: what is kept, what is cut, and that every choice is as likely."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import augmentation


def test_resized_maps_bytes_to_both_ends_and_keeps_a_flat_image():
    image = np.array([[0, 255], [51, 204]], np.uint8)[None, ..., None]
    np.testing.assert_allclose(
        augmentation.resized(image, 2)[0, ..., 0], [[-1, 1], [-0.6, 0.6]], atol=1e-6
    )
    flat = np.full((2, 9, 9, 3), 204, np.uint8)
    np.testing.assert_allclose(augmentation.resized(flat, 5), np.full((2, 5, 5, 3), 0.6), atol=1e-5)
    checks = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)[None, ..., None]
    assert abs(augmentation.resized(checks, 16)).max() <= 1  # cubic interpolation would overshoot


def test_crops_are_parts_and_every_corner_is_as_likely(key_reuse):
    places = np.stack(np.indices((6, 6)), -1).astype(np.float32)
    x = jnp.broadcast_to(places[None], (4000, 6, 6, 2))
    parts = np.asarray(jax.jit(augmentation.random_crop, static_argnums=2)(x, jax.random.key(0), 4))
    assert parts.shape == (4000, 4, 4, 2)
    corners = parts[:, 0, 0].astype(int)
    np.testing.assert_array_equal(
        parts - parts[:, :1, :1], np.broadcast_to(places[:4, :4], parts.shape)
    )
    shares = np.bincount(corners[:, 0] * 3 + corners[:, 1], minlength=9) / 4000
    np.testing.assert_allclose(shares, 1 / 9, atol=0.02)  # 4 deviations


def test_half_of_the_images_are_mirrored_left_to_right(key_reuse):
    x = jnp.broadcast_to(jnp.arange(6.0).reshape(1, 2, 3, 1), (2000, 2, 3, 1))
    seen = np.asarray(augmentation.random_flip(x, jax.random.key(0)))[..., 0]
    turned = seen[:, 0, 0] == 2
    np.testing.assert_array_equal(
        seen[turned], np.broadcast_to([[2, 1, 0], [5, 4, 3]], seen[turned].shape)
    )
    np.testing.assert_array_equal(seen[~turned], x[~turned, ..., 0])
    assert abs(turned.mean() - 0.5) < 0.045  # 4 deviations
