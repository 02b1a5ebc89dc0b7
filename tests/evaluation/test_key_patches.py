"""Drawings from key patches: perfect ones are measured as such, and wrong ones are not."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import key_patches as data
from gen_jax.evaluation import key_patches


def test_of_real_images_no_shape_is_measured():
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8))
    box = jnp.tile(jnp.array([[0.0, 0.0, 1.0, 1.0], [0.25, 0.25, 0.5, 0.5]]), (16, 1, 1))
    batch = data.with_patches({}, image / 127.5 - 1, box, jax.random.key(0))
    found = key_patches.measures(batch, batch["x"], 10 * batch["mask"] - 5, batch["x"])
    names = {"mask_iou", "centre_error", "patch_error", "image_error", "order_difference"}
    assert set(found) == names < set(key_patches.UNITS)
    assert (found["mask_iou"] == 1).all()


def test_a_perfect_drawing_is_measured_as_such_and_a_mirrored_one_is_not():
    source = data.of_shapes(16, 16)
    raw = {name: jnp.asarray(array) for name, array in source.arrays()[0].items()}
    batch = jax.jit(source.prepare)(raw, jax.random.key(0))
    x, mask = batch["x"], batch["mask"]
    right = jax.device_get(key_patches.measures(batch, x, 10 * mask - 5, x))
    assert (
        (right["mask_iou"] == 1).all()
        and right["shape_accuracy"].mean() > 90
        and right["colour_accuracy"].mean() == 100
    )
    assert all(
        right[name].max() < 1e-5
        for name in ("centre_error", "patch_error", "image_error", "order_difference")
    )
    moved = jnp.roll(mask, 2, 1)
    wrong = jax.device_get(key_patches.measures(batch, x[::-1], 10 * moved - 5, x))
    assert 0.4 < wrong["mask_iou"].mean() < 0.9 and wrong["image_error"].mean() > 0.1
    inside = np.abs(np.asarray(mask)[:, -2:]).max((1, 2, 3)) == 0  # nothing went round
    np.testing.assert_allclose(wrong["centre_error"][inside], 2, atol=1e-4)
    assert inside.any() and set(wrong) == set(key_patches.UNITS)
