"""Networks that grow: counts of the released code, growth that changes nothing at first, and layers by hand."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import growing
from gen_jax.growing import Growing, Style, averaged, doubled, sides

PLAIN = Style(group=4)
STYLES = {
    "paper": PLAIN,
    "Gulrajani": Style(False, False, False, False, True, True, True, "none"),
    "discrimination": dataclasses.replace(PLAIN, variation="discrimination"),
}


def network(side=16, style=PLAIN, channels=3):
    return Growing(side, channels, 32, 8, 6, style)


def born(model, count=4):
    z = jax.random.normal(jax.random.key(1), (count, model.latents))
    return model.init(jax.random.key(0), z, method="born"), z


@pytest.mark.parametrize(
    ("side", "generator", "critic"),
    [(32, 20_719_628, 20_726_785), (128, 22_933_394, 22_941_313), (1024, 23_079_115, 23_087_249)],
)
def test_weights_are_as_many_as_in_the_released_code(side, generator, critic):
    model = Growing(side, 3, 8192, 512, 512)
    params = jax.eval_shape(lambda key: born(model)[0], jax.random.key(0))["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(own)) for name, own in params.items()}
    parts = [growing.networks(s, False) for s in sides(side)]
    for number, total in enumerate((generator, critic)):
        assert sum(counts[name] for name in {name for part in parts for name in part[number]}) == total


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("side", [8, 16])
def test_a_network_that_grows_is_at_first_what_it_was_bit_for_bit(style, side):
    model = network(style=style)
    variables, z = born(model)
    x = jax.random.normal(jax.random.key(2), (4, side, side, 3))

    def play(method, *args):
        return model.apply(variables, *args, method=method)

    old = doubled(play("generate", z, side // 2)), play("score", averaged(x, side // 2), side // 2)
    for fade, expected in ((0.0, old), (1.0, (play("generate", z, side), play("score", x, side)))):
        image, score = play("generate", z, side, jnp.float32(fade)), play("score", x, side, jnp.float32(fade))
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(score, expected[1])
    assert np.abs(play("generate", z, side) - old[0]).max() > 1e-2  # the new one is another
    assert np.abs(play("score", x, side) - old[1]).max() > 1e-3


def test_half_way_images_are_the_mean_of_both():
    model = network()
    variables, z = born(model)
    old, new = (model.apply(variables, z, side, method="generate") for side in (8, 16))
    half = model.apply(variables, z, 16, jnp.float32(0.5), method="generate")
    np.testing.assert_allclose(half, (doubled(old) + new) / 2, atol=1e-6)


@pytest.mark.parametrize("equalized", [True, False])
def test_doubling_and_averaging_within_a_convolution_are_exact(equalized):
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
    plain, up, down = (growing.Conv(5, 3, equalized, step=step) for step in ("", "up", "down"))
    variables = plain.init(jax.random.key(1), x)
    np.testing.assert_allclose(up.apply(variables, x), plain.apply(variables, doubled(x)), atol=2e-5)
    np.testing.assert_allclose(down.apply(variables, x), averaged(plain.apply(variables, x), 3), atol=2e-5)


def test_equalized_weights_are_born_alike_and_work_with_he_s_deviation():
    x = jax.random.normal(jax.random.key(0), (64, 200))
    layers = [growing.Dense(300, math.sqrt(2), equalized) for equalized in (True, False)]
    kernels = [layer.init(jax.random.key(1), x)["params"]["kernel"] for layer in layers]
    deviation = math.sqrt(2 / 200)
    np.testing.assert_allclose([k.std() for k in kernels], [1, deviation], rtol=0.02)
    same = layers[1].apply({"params": {"kernel": deviation * kernels[0], "bias": jnp.ones(300)}}, x)
    np.testing.assert_allclose(
        layers[0].apply({"params": {"kernel": kernels[0], "bias": jnp.ones(300)}}, x), same, rtol=1e-4, atol=1e-4
    )


def test_pixel_norm_leaves_the_direction_and_makes_the_mean_square_one():
    x = jnp.array([[3.0, 4.0], [-6.0, 8.0]])
    np.testing.assert_allclose(growing.pixel_norm(x), x / np.array([[np.sqrt(12.5)], [np.sqrt(50)]]), rtol=1e-6)


@pytest.mark.parametrize("group", [2, 4, 100])
def test_the_deviation_of_a_group_by_hand(group):
    x = np.random.default_rng(0).normal(size=(8, 3, 3, 5)).astype(np.float32)
    got = growing.deviation(jnp.asarray(x), group)
    np.testing.assert_array_equal(got[..., :5], x)
    size = min(group, 8)
    for i in range(8):
        members = x[i % (8 // size) :: 8 // size]
        assert len(members) == size
        np.testing.assert_allclose(got[i, ..., 5], np.full((3, 3), members.std(0).mean()), rtol=1e-5)


def test_minibatch_discrimination_counts_near_neighbours():
    layer = growing.Discrimination(kernels=2, size=1)
    x = jnp.array([[0.0], [0.0], [3.0]])
    got = layer.apply({"params": {"kernel": jnp.array([[[1.0], [2.0]]])}}, x)
    far = np.exp([-3.0, -6.0])
    np.testing.assert_allclose(got, [[0, *(1 + far)], [0, *(1 + far)], [3, *(2 * far)]], rtol=1e-5, atol=1e-6)


def test_a_generator_without_a_norm_of_latents_sees_their_length():
    for sphere, same in ((True, True), (False, False)):
        model = network(style=dataclasses.replace(PLAIN, sphere=sphere, pixel_norm=False))
        variables, z = born(model)
        a, b = (model.apply(variables, times * z, 4, method="generate") for times in (1, 3))
        assert np.allclose(a, b, atol=1e-4) == same


def test_which_networks_are_in_use():
    assert growing.networks(8, True) == (
        ("generator_4", "generator_8", "image_8", "image_4"),
        ("critic_4", "critic_8", "reading_8", "reading_4"),
    )
    assert growing.networks(4, False) == (("generator_4", "image_4"), ("critic_4", "reading_4"))
    assert sides(32) == (4, 8, 16, 32) and sides(16, 16) == (16,)
