"""Puzzle-GAN: the code's counts, patches cut where they are, losses by hand, and an order that does not matter."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import puzzlegan
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.data.synthetic import shapes
from gen_jax.errors import UserError
from gen_jax.run.experiment import presets
from tests import golden

TINY = presets(puzzlegan)["tiny"][1]


@functools.cache
def data():
    return pipeline.load(puzzlegan.source(TINY))


@functools.cache
def batch(key=0):
    return jax.jit(data().prepare)(
        {n: jnp.asarray(a[:16]) for n, a in data().train.items()}, jax.random.key(key)
    )


def test_the_networks_have_as_many_weights_as_the_code_s():
    table = json.loads(golden.path("puzzlegan").read_text())["official"]
    count = dict.fromkeys(("encoder", "mask", "generator", "discriminator"), 0)
    for name, shape in table.items():
        if name != "total":
            count[name.partition("/")[0]] += int(np.prod(shape))
    assert [*count.values()] == [5_357_056, 9_656_257, 15_016_835, 4_316_545]


def test_a_patch_is_its_box_enlarged():
    """An image that grows evenly, a box of a whole number of pixels: cubic interpolation keeps planes as they are."""
    side = 40
    rows, columns = jnp.meshgrid(jnp.arange(side) + 0.5, jnp.arange(side) + 0.5, indexing="ij")
    image = jnp.stack([rows, columns], -1)
    patch = puzzlegan.patch(
        image, jnp.array([0.375, 0.225, 0.35, 0.25])
    )  # 14 x 10 pixels from row 9, column 15
    along = (jnp.arange(side) + 0.5) / side
    np.testing.assert_allclose(
        patch[..., 0], jnp.broadcast_to((9 + 10 * along)[:, None], (side, side)), atol=0.02
    )
    np.testing.assert_allclose(
        patch[..., 1], jnp.broadcast_to((15 + 14 * along)[None], (side, side)), atol=0.02
    )
    np.testing.assert_allclose(
        puzzlegan.patch(image, jnp.array([0.0, 0.0, 1.0, 1.0])), image, atol=1e-4
    )


from_images = jax.jit(functools.partial(puzzlegan.prepare, dataclasses.replace(TINY, data="zoo")))


@functools.cache
def real(key=0):
    """A batch of 16 noisy images of 16 pixels as an experiment on real images prepares it: before, after."""
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 8, (16, 3, 2)) / 16
    box = np.concatenate([corner, rng.integers(2, 8, (16, 3, 2)) / 16], -1).astype(np.float32)
    box[:, 0] = 0, 0, 1, 1
    raw = {
        "image": jnp.asarray(rng.integers(0, 256, (16, 16, 16, 3), np.uint8)),
        "box": jnp.asarray(box),
    }
    return raw, from_images(raw, jax.random.key(key))


def test_real_images_are_cut_by_their_boxes_and_all_is_mirrored_together():
    seen = {}
    for key in range(8):
        raw, batch = real(key)
        x = raw["image"] / 127.5 - 1
        mirrored = np.abs(batch["x"] - x).max() > 1e-5
        seen[bool(mirrored)] = batch
        np.testing.assert_allclose(batch["x"], x[:, :, ::-1] if mirrored else x, atol=1e-5)
        np.testing.assert_allclose(
            batch["patch"][:, 0], batch["x"], atol=1e-4
        )  # the box of the whole image
    assert set(seen) == {False, True}
    np.testing.assert_allclose(seen[True]["patch"], seen[False]["patch"][:, :, :, ::-1], atol=1e-4)
    assert np.abs(seen[True]["patch"] - seen[False]["patch"]).max() > 0.5
    assert seen[True]["mask"].all()  # of the whole image
    for i, (x, y, w, h) in enumerate((16 * np.asarray(raw["box"][:, 1])).astype(int)):
        part = (raw["image"][i, y : y + h, x : x + w] / 127.5 - 1)[None]
        large = jax.image.resize(part, (1, 16, 16, 3), "cubic")[0]
        inner = slice(7, -7)  # beyond the box the image goes on, which resize does not see
        if min(w, h) > 4:
            np.testing.assert_allclose(
                seen[False]["patch"][i, 1][inner, inner], large[inner, inner], atol=1e-4
            )


def test_of_real_images_no_shape_is_measured():
    _, batch = real()
    found = puzzlegan.measures(batch, batch["x"], 10 * batch["mask"] - 5, batch["x"])
    names = {"mask_iou", "centre_error", "patch_error", "image_error", "order_difference"}
    assert set(found) == names and {f"test/{name}" for name in names} < set(puzzlegan.UNITS)
    assert (found["mask_iou"] == 1).all()


def test_the_mask_is_where_the_patches_are_and_mirrors_with_the_image():
    seen, known = (
        {},
        shapes.Scene(*(jnp.asarray(data().train[name][:16]) for name in shapes.Scene._fields)),
    )
    original = 2 * shapes.render(known, 16) - 1
    for key in range(8):
        prepared = batch(key)
        mirrored = bool((np.abs(prepared["x"] - original[:, :, ::-1]) < 1e-5).all())
        assert mirrored or np.abs(prepared["x"] - original).max() < 1e-5
        seen[mirrored] = prepared
    assert set(seen) == {False, True}
    np.testing.assert_array_equal(seen[True]["mask"], seen[False]["mask"][:, :, ::-1])
    pixels = np.asarray(seen[False]["mask"]).sum(
        (1, 2, 3)
    )  # of three boxes of 5 or 6 pixels a side, apart or not
    assert (pixels <= 3 * 36).all() and (pixels >= 2 * 25).all()


class Known:
    """A generator of one grey, a mask of one logit, and logits that are an image's mean: all losses are then known."""

    latents = 1

    @staticmethod
    def draw(patch, key):
        return jnp.full((2, 4, 4, 3), 0.5), jnp.zeros((2, 4, 4, 1))

    @staticmethod
    def judge(x):
        return x.mean((1, 2, 3))


def softplus(x):
    return float(np.log1p(np.exp(x)))


def test_losses_in_closed_form():
    """Two images, of 1 and of -1 throughout; the mask is their upper half."""
    x = jnp.broadcast_to(jnp.array([1.0, -1.0])[:, None, None, None], (2, 4, 4, 3))
    mask = jnp.zeros((2, 4, 4, 1)).at[:, :2].set(1)
    given = {"x": x, "mask": mask, "patch": None, "step": 3}
    loss, metrics = puzzlegan.telling(Known, given, jax.random.key(0), negatives="released")
    real = (softplus(-1) + softplus(1)) / 2
    released = real + softplus(0.5) + 2 * softplus(0)  # halves of 1 and -1 have the mean 0
    assert float(loss) == pytest.approx(released, rel=1e-6)
    assert float(metrics["accuracy"]) == 0.25  # one of two images, and no fake
    loss, _ = puzzlegan.telling(Known, given, jax.random.key(0), negatives="all")
    assert float(loss) == pytest.approx(released + softplus(0.75) + softplus(-0.25), rel=1e-6)
    loss, metrics = puzzlegan.drawing(
        Known, given, jax.random.key(0), weight=lambda step: 0.1 * step
    )
    assert float(metrics["spatial"]) == pytest.approx(2 * 16 * 0.5)
    appearance = (
        8 * 3 * (0.75 + 1.25) + 2 * 8 * 3 * 0.25
    )  # in the mask |0.25 - +-1|, beside it |0.25 - 0|
    assert float(metrics["appearance"]) == pytest.approx(appearance)
    assert float(loss) == pytest.approx(softplus(-0.5) + 0.3 * (16 + appearance), rel=1e-5)


def test_weights_fall_log_linearly_by_epochs():
    config = dataclasses.replace(TINY, epochs=3, steps=30)
    weight = puzzlegan.players(config)["generator"].objective.keywords["weight"]
    found = [float(weight(jnp.int32(step))) for step in (0, 9, 10, 19, 20, 29, 40)]
    np.testing.assert_allclose(found, [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4], rtol=1e-5)
    with pytest.raises(UserError, match="epochs"):
        dataclasses.replace(TINY, epochs=50)


@functools.cache
def played(config=TINY):
    """Two steps from seed 0: the state before, after, and the metrics."""
    one = games.of(puzzlegan, config)
    state = jax.jit(one.init)(jax.random.key(0), batch())
    return state, *jax.jit(lambda state: games.steps(one, state, lambda step: batch(), 2))(state)


def test_the_generator_plays_every_second_step_and_more_negatives_change_the_update():
    _, last, metrics = played()
    assert np.isnan(metrics["generator/loss"]).tolist() == [False, True]
    assert np.isfinite(metrics["discriminator/loss"]).all()
    _, other, _ = played(dataclasses.replace(TINY, negatives="all"))
    pairs = zip(
        *(jax.tree.leaves(state.params["discriminator"]) for state in (last, other)), strict=True
    )
    assert max(float(jnp.abs(a - b).max()) for a, b in pairs) > 1e-4  # Adam's steps are 2e-4


def test_the_order_of_the_patches_does_not_matter_and_the_patches_do():
    state = played()[1]
    model, z = games.trained(puzzlegan.model(TINY), state), jax.random.key(3)
    fake, mask = model(puzzlegan.PuzzleGAN.draw, batch()["patch"], z)
    again = model(puzzlegan.PuzzleGAN.draw, batch()["patch"][:, jnp.array([2, 0, 1])], z)
    assert fake.shape == (16, 16, 16, 3) and mask.shape == (16, 16, 16, 1)
    for one, other in zip((fake, mask), again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    others = model(puzzlegan.PuzzleGAN.draw, batch()["patch"][::-1], z)
    assert np.abs(others[1] - mask).max() > 1e-3


def test_a_perfect_drawing_is_measured_as_such_and_a_mirrored_one_is_not():
    x, mask = batch()["x"], batch()["mask"]
    right = jax.device_get(puzzlegan.measures(batch(), x, 10 * mask - 5, x))
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
    wrong = jax.device_get(puzzlegan.measures(batch(), x[::-1], 10 * moved - 5, x))
    assert 0.4 < wrong["mask_iou"].mean() < 0.9 and wrong["image_error"].mean() > 0.1
    inside = np.abs(np.asarray(mask)[:, -2:]).max((1, 2, 3)) == 0  # nothing went round
    np.testing.assert_allclose(wrong["centre_error"][inside], 2, atol=1e-4)
    assert inside.any() and set(f"test/{name}" for name in wrong) == set(puzzlegan.UNITS)
