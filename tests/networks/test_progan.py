"""Networks that grow: counts of the released code, growth that changes nothing at first, and layers
by hand.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.networks import progan
from gen_jax.networks.progan import Growing, Style, downsample, sides, upsample

PLAIN = Style(group=4)
STYLES = {
    "paper": PLAIN,
    "TensorFlow": dataclasses.replace(PLAIN, fused=True),
    "Gulrajani": Style(
        equalized=False, pixel_norm=False, normalize_latents=False, leaky=False, batch_norm=True,
        layer_norm=True, tanh=True, variation="none",
    ),
    "discrimination": dataclasses.replace(PLAIN, variation="discrimination"),
}  # fmt: skip


def network(side=16, style=PLAIN, channels=3):
    return Growing(side, channels, 32, 8, 6, style)


def born(model, count=4):
    z = jax.random.normal(jax.random.key(1), (count, model.latents))
    return model.init(jax.random.key(0), z, method="touch_all"), z


@pytest.mark.parametrize(
    ("side", "generator", "critic"),
    [(32, 20_719_628, 20_726_785), (128, 22_933_394, 22_941_313), (1024, 23_079_115, 23_087_249)],
)
def test_weights_are_as_many_as_in_the_released_code(side, generator, critic):
    model = Growing(side, 3, 8192, 512, 512)
    params = jax.eval_shape(lambda key: born(model)[0], jax.random.key(0))["params"]
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(own)) for name, own in params.items()}
    parts = [progan.active_networks(s, False) for s in sides(side)]
    for number, total in enumerate((generator, critic)):
        assert (
            sum(counts[name] for name in {name for part in parts for name in part[number]}) == total
        )


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("side", [8, 16])
def test_a_network_that_grows_is_at_first_what_it_was_bit_for_bit(style, side):
    model = network(style=style)
    variables, z = born(model)
    x = jax.random.normal(jax.random.key(2), (4, side, side, 3))

    def play(method, *args):
        return model.apply(variables, *args, method=method)

    old = (
        upsample(play("generate", z, side // 2)),
        play("score", downsample(x, side // 2), side // 2),
    )
    for fade, expected in ((0.0, old), (1.0, (play("generate", z, side), play("score", x, side)))):
        image, score = (
            play("generate", z, side, jnp.float32(fade)),
            play("score", x, side, jnp.float32(fade)),
        )
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(score, expected[1])
    assert np.abs(play("generate", z, side) - old[0]).max() > 1e-2  # the new one is another
    assert np.abs(play("score", x, side) - old[1]).max() > 1e-3


def test_half_way_images_are_the_mean_of_both():
    model = network()
    variables, z = born(model)
    old, new = (model.apply(variables, z, side, method="generate") for side in (8, 16))
    half = model.apply(variables, z, 16, jnp.float32(0.5), method="generate")
    np.testing.assert_allclose(half, (upsample(old) + new) / 2, atol=1e-6)


@pytest.mark.parametrize("equalized", [True, False])
def test_doubling_and_averaging_within_a_convolution_are_exact(equalized):
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
    plain, up, down = (progan.Conv(5, 3, equalized, step=step) for step in ("", "up", "down"))
    variables = plain.init(jax.random.key(1), x)
    np.testing.assert_allclose(
        up.apply(variables, x), plain.apply(variables, upsample(x)), atol=2e-5
    )
    np.testing.assert_allclose(
        down.apply(variables, x), downsample(plain.apply(variables, x), 3), atol=2e-5
    )


def test_equalized_weights_are_born_alike_and_work_with_he_s_deviation():
    x = jax.random.normal(jax.random.key(0), (64, 200))
    layers = [progan.Dense(300, math.sqrt(2), equalized) for equalized in (True, False)]
    kernels = [layer.init(jax.random.key(1), x)["params"]["kernel"] for layer in layers]
    deviation = math.sqrt(2 / 200)
    np.testing.assert_allclose([k.std() for k in kernels], [1, deviation], rtol=0.02)
    same = layers[1].apply({"params": {"kernel": deviation * kernels[0], "bias": jnp.ones(300)}}, x)
    np.testing.assert_allclose(
        layers[0].apply({"params": {"kernel": kernels[0], "bias": jnp.ones(300)}}, x),
        same,
        rtol=1e-4,
        atol=1e-4,
    )


def test_pixel_norm_leaves_the_direction_and_makes_the_mean_square_one():
    x = jnp.array([[3.0, 4.0], [-6.0, 8.0]])
    np.testing.assert_allclose(
        progan.pixel_norm(x), x / np.array([[np.sqrt(12.5)], [np.sqrt(50)]]), rtol=1e-6
    )


@pytest.mark.parametrize("group", [2, 4, 100])
def test_the_deviation_of_a_group_by_hand(group):
    x = np.random.default_rng(0).normal(size=(8, 3, 3, 5)).astype(np.float32)
    got = progan.minibatch_stddev(jnp.asarray(x), group)
    np.testing.assert_array_equal(got[..., :5], x)
    size = min(group, 8)
    for i in range(8):
        members = x[i % (8 // size) :: 8 // size]
        assert len(members) == size
        np.testing.assert_allclose(
            got[i, ..., 5], np.full((3, 3), members.std(0).mean()), rtol=1e-5
        )


def seen(model, variables, x, style, name="critic_8"):
    """What a block of the critic makes of features, without Flax: [b, 8, 8, c] -> [b, 4, 4, c']."""
    own = variables["params"][name]

    def convolved(x, layer):
        kernel, bias = (own[f"Conv_{layer}"][part] for part in ("kernel", "bias"))
        scale = math.sqrt(2 / math.prod(kernel.shape[:3]))
        y = jax.lax.conv_general_dilated(
            x, scale * kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return y, bias[None, None, None]

    y, bias = convolved(x, 0)
    y, bias = convolved(nn.leaky_relu(y + bias, 0.2), 1)
    if style.fused:
        return nn.leaky_relu(downsample(y, 4) + bias, 0.2)
    return downsample(nn.leaky_relu(y + bias, 0.2), 4)


def test_the_critic_averages_after_its_activation_in_theano_and_before_it_in_tensorflow():
    x, found = jax.random.normal(jax.random.key(3), (4, 8, 8, 8)), {}
    for name in ("paper", "TensorFlow"):
        model = network(side=8, style=STYLES[name])
        variables, _ = born(model)
        variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)  # so that biases matter
        found[name] = model.apply(variables, x, method=lambda model, x: model.critic["8"](x))
        np.testing.assert_allclose(found[name], seen(model, variables, x, STYLES[name]), atol=2e-5)
    assert np.abs(found["paper"] - found["TensorFlow"]).mean() > 0.1 * np.abs(found["paper"]).mean()


def test_images_are_squashed_after_they_are_blended():
    linear, squashed = network(style=PLAIN), network(style=dataclasses.replace(PLAIN, tanh=True))
    variables, z = born(linear)
    variables = jax.tree.map(lambda leaf: 2 * leaf, variables)
    for fade in (None, jnp.float32(0.3)):
        image, tanh = (
            model.apply(variables, z, 16, fade, method="generate") for model in (linear, squashed)
        )
        np.testing.assert_allclose(tanh, np.tanh(image), atol=1e-6)
    assert np.abs(image).max() > 1


def test_layer_norm_has_one_gain_and_takes_the_bias_over_in_the_last_dense_layer_too():
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (5, 4, 4, 3))
    bias = jnp.array([1.0, -2.0, 0.5])
    got = progan.LayerNorm().apply({"params": {"scale": jnp.float32(1.5), "bias": bias}}, x)
    rows = np.asarray(x, np.float64).reshape(5, -1)
    normed = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-4)
    np.testing.assert_allclose(
        got, 1.5 * normed.reshape(x.shape) + bias[None, None, None], rtol=1e-4, atol=1e-5
    )
    model = network(side=8, style=STYLES["Gulrajani"])
    shapes = jax.tree.map(jnp.shape, born(model)[0]["params"])
    normal = {
        "LayerNorm_0": {"scale": (), "bias": (8,)},
        "LayerNorm_1": {"scale": (), "bias": (8,)},
    }
    for critic in ("critic_8", "critic_4"):
        assert {name: own for name, own in shapes[critic].items() if "Norm" in name} == normal
    last = {name: {*own} for name, own in shapes["critic_4"].items() if "Norm" not in name}
    assert last == {"Conv_0": {"kernel"}, "Dense_0": {"kernel"}, "Dense_1": {"kernel", "bias"}}
    assert {*shapes["reading_8"]["Conv_0"]} == {"kernel", "bias"}


def test_batch_norm_is_by_its_own_batch_at_all_times():
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (8, 4, 4, 3))
    variables = progan.BatchNorm().init(jax.random.key(1), x)
    assert {*variables} == {"params"}
    by_hand = (x - x.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(
        x.var((0, 1, 2), keepdims=True) + 1e-4
    )
    np.testing.assert_allclose(progan.BatchNorm().apply(variables, x), by_hand, atol=1e-5)


def discriminated(x, kernel, log_scale, bias):
    """Minibatch discrimination image by image: [b, d] -> [b, kernels]."""
    columns = kernel * np.exp(log_scale) / np.sqrt((kernel**2).sum(0))
    m = np.einsum("bd,dks->bks", x, columns)
    others = [
        [np.exp(-np.abs(m[i] - m[j]).sum(-1)) for j in range(len(x)) if j != i]
        for i in range(len(x))
    ]
    return np.array(others).sum(1) + bias


def test_minibatch_discrimination_by_hand():
    draw = np.random.default_rng(0)
    x, kernel, log_scale = (
        draw.normal(size=(6, 7)),
        draw.normal(size=(7, 3, 2)),
        draw.normal(size=(3, 2)),
    )
    bias = np.array([0.5, -1.0, 2.0])
    params = {
        "kernel": jnp.asarray(kernel),
        "log_scale": jnp.asarray(log_scale),
        "bias": jnp.asarray(bias),
    }
    got = progan.MinibatchDiscrimination(3, 2).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(got[:, :7], x, rtol=1e-6)
    np.testing.assert_allclose(
        got[:, 7:], discriminated(x, kernel, log_scale, bias), rtol=2e-5, atol=1e-5
    )
    fresh = progan.MinibatchDiscrimination(50, 5).init(jax.random.key(0), jnp.zeros((2, 400)))[
        "params"
    ]
    assert float(fresh["kernel"].std()) == pytest.approx(0.05, rel=0.02)
    assert not fresh["log_scale"].any() and (fresh["bias"] == -1).all()


def test_minibatch_discrimination_starts_at_the_scale_of_the_images():
    """Half of the mean distance to the nearest other image is 1 then, and the mean output 0."""
    x = 30 * np.random.default_rng(1).normal(size=(40, 9)).astype(np.float32)
    layer = progan.MinibatchDiscrimination(4, 3)
    params = layer.init(jax.random.key(0), x)["params"]

    def distances(params):
        return layer.apply({"params": params}, x, mutable="intermediates")[1]["intermediates"][
            "distances"
        ][0]

    started = progan.calibrated(params, distances(params))
    unpaired = (
        np.asarray(distances(started)) + np.where(np.eye(40, dtype=bool), np.inf, 0)[..., None]
    )
    np.testing.assert_allclose(unpaired.min(1).mean(0) / 2, np.ones(4), rtol=1e-4)
    np.testing.assert_allclose(
        layer.apply({"params": started}, x)[:, 9:].mean(0), np.zeros(4), atol=1e-5
    )
    assert np.abs(np.asarray(distances(params)).max()) > 10


def test_a_generator_without_a_norm_of_latents_sees_their_length():
    for sphere, same in ((True, True), (False, False)):
        model = network(
            style=dataclasses.replace(PLAIN, normalize_latents=sphere, pixel_norm=False)
        )
        variables, z = born(model)
        a, b = (model.apply(variables, times * z, 4, method="generate") for times in (1, 3))
        assert np.allclose(a, b, atol=1e-4) == same


def test_which_networks_are_in_use():
    assert progan.active_networks(8, True) == (
        ("generator_4", "generator_8", "image_8", "image_4"),
        ("critic_4", "critic_8", "reading_8", "reading_4"),
    )
    assert progan.active_networks(4, False) == (
        ("generator_4", "image_4"),
        ("critic_4", "reading_4"),
    )
    assert sides(32) == (4, 8, 16, 32) and sides(16, 16) == (16,)
