"""DCGAN's file: the sizes of the codes' networks, each switch of their protocols, and the measures."""

import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import dcgan
from gen_jax import config as configs
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.evaluation import image_sets, probes
from gen_jax.networks.dcgan import Norm, pooled_features
from gen_jax.networks.layers import BatchNorm
from gen_jax.run.experiment import presets
from tests import golden

TINY = presets(dcgan)["tiny"][1]
PLAIN = dataclasses.replace(TINY, network="features", width=2, labelled=12)  # unconditional


def generated(model, z, y):
    return model.generator(z, y)


def batch_of(config, count=32, key=0):
    data = pipeline.load(dcgan.source(config))
    raw = {name: jnp.asarray(array[:count]) for name, array in data.train.items()}
    return data.prepare(raw, jax.random.key(key))


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [
        ("paper", 18_885_760, 17_232_768),
        ("theano", 18_885_760, 17_232_768),
        ("official", 3_576_704, 2_765_568),
        ("mnist", 6_820_538, 6_688_202),
    ],
)
def test_the_networks_have_as_many_weights_as_the_codes(preset, generator, discriminator):
    table = json.loads(golden.path("dcgan").read_text())[preset]
    count = {"generator": 0, "discriminator": 0}
    for name, shape in table.items():
        if name != "total":
            count[name.partition("/")[0]] += int(np.prod(shape))
    assert count == {"generator": generator, "discriminator": discriminator}


def test_section_5_s_features_are_28672():
    config = presets(dcgan)["features"][1]
    model = dcgan.model(config)
    x, y = jnp.zeros((2, *dcgan.image_shape(config))), jnp.zeros((2, 0))

    def shapes(key):
        variables = model.init(key, x, y, method="features")
        return model.apply(variables, x, y, method="features")

    assert dcgan.image_shape(config) == (32, 32, 3)
    assert jax.eval_shape(shapes, jax.random.key(0)).shape == (2, 28_672)


def test_the_generator_of_section_5_has_the_discriminator_s_layers_in_reverse():
    """imagenet/load_pretrained.py: a dense layer, then transposed 3x3 convolutions of strides 2, 1,
    2, 1, 2, 1.
    """
    config = dataclasses.replace(PLAIN, mirrored=True)
    model, z, y = (
        dcgan.model(config),
        jax.random.normal(jax.random.key(0), (8, 8)),
        jnp.zeros((8, 0)),
    )
    params = jax.jit(model.init, static_argnames="method")(
        jax.random.key(1), z, y, method=generated
    )["params"]
    own = params["generator"]

    def normed(x, layer):
        """Batch norm by hand, gain and bias included, then a rectifier."""
        axes = tuple(range(x.ndim - 1))
        gain, bias = (
            own[f"LayerNorm_{layer}"][name].reshape(*(1,) * len(axes), -1)
            for name in ("scale", "bias")
        )
        x = (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + 1e-8)
        return jnp.maximum(gain * x + bias, 0)

    def transposed(x, layer, stride):
        """Theano's deconv with border 1: the gradient of a convolution by its image."""
        kernel = own[f"ConvTranspose_{layer}"]["kernel"]  # [3, 3, i, o]
        image = jax.ShapeDtypeStruct(
            (len(x), x.shape[1] * stride, x.shape[2] * stride, kernel.shape[3]), x.dtype
        )

        def convolved(image):
            layout = ("NHWC", "HWIO", "NHWC")
            turned = kernel[::-1, ::-1].swapaxes(2, 3)
            return jax.lax.conv_general_dilated(
                image, turned, (stride,) * 2, ((1, 1),) * 2, dimension_numbers=layout
            )

        return jax.linear_transpose(convolved, image)(x)[0]

    x = normed(z @ own["Dense_0"]["kernel"], 0).reshape(8, 4, 4, 8)
    widths = []
    for layer, stride in enumerate((2, 1, 2, 1, 2, 1)):
        x = transposed(normed(x, layer) if layer else x, layer, stride)
        widths.append(x.shape[1:])
    assert widths == [(8, 8, 8), (8, 8, 4), (16, 16, 4), (16, 16, 2), (32, 32, 2), (32, 32, 1)]
    made = model.apply({"params": params}, z, y, method=generated)
    np.testing.assert_allclose(made, jnp.tanh(x), atol=1e-4)


def test_features_are_the_largest_of_each_map_s_sixteen_parts():
    x = np.random.default_rng(0).normal(size=(3, 16, 16, 2)).astype(np.float32)
    seen = pooled_features([x, 2 * x[:, ::2, ::2]])
    parts = [
        x.reshape(3, 4, 4, 4, 4, 2).max((2, 4)),
        2 * x[:, ::2, ::2].reshape(3, 4, 2, 4, 2, 2).max((2, 4)),
    ]
    np.testing.assert_array_equal(seen, np.concatenate([p.reshape(3, -1) for p in parts], -1))


@pytest.mark.parametrize("network", ["theano", "torch", "features", "conditional"])
def test_samples_are_images_of_the_data_s_size_in_its_range(network):
    config = dataclasses.replace(TINY, network=network, width=2)
    batch, model = batch_of(config), dcgan.model(config)
    z = 100 * dcgan.latents(config, jax.random.key(0), 32)
    fakes, _ = jax.jit(lambda key: model.init_with_output(key, z, batch["y"], method=generated))(
        jax.random.key(1)
    )
    assert fakes.shape == batch["x"].shape == (32, *dcgan.image_shape(config))
    assert batch["y"].shape == (32, 10 if network == "conditional" else 0)
    low = 0 if network == "conditional" else -1
    assert batch["x"].min() == low and 0.9 < batch["x"].max() <= 1
    assert low <= fakes.min() and fakes.max() <= 1
    assert (fakes.min() < 0) == (low < 0)


@pytest.mark.parametrize("running", [False, True])
def test_normalisation_is_by_the_batch_where_it_learns_and_where_nothing_runs(running):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Norm(affine=False, running=running, eps=1e-8)(x)

    x = 3 + 2 * jax.random.normal(jax.random.key(0), (16, 4, 4, 5))
    variables = Layer().init(jax.random.key(1), x)
    learning, _ = Layer().apply(variables, x, mutable=["batch_stats"])
    resting = Layer().apply(variables, x)
    by_hand = (x - x.mean((0, 1, 2), keepdims=True)) / x.std((0, 1, 2), keepdims=True)
    np.testing.assert_allclose(learning, by_hand, atol=2e-5)
    np.testing.assert_allclose(resting, x if running else by_hand, atol=2e-5)


def test_batch_norm_learns_by_its_momentum_and_rests_on_what_it_learnt():
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (64, 5))
    layer = BatchNorm(momentum=0.8, eps=1e-3, bias=False)
    variables = layer.init(jax.random.key(1), x)
    assert {*variables["params"]} == {"scale"}
    _, changed = layer.apply(variables, x, mutable=["batch_stats"])
    mean, variance = 0.2 * x.mean(0), 0.8 + 0.2 * x.var(0)
    resting = layer.apply({**variables, **changed}, x)
    np.testing.assert_allclose(
        resting, (x - mean[None]) / jnp.sqrt(variance + 1e-3)[None], rtol=1e-4, atol=1e-5
    )


@functools.cache
def born(config):
    return jax.jit(games.of(dcgan, config).init)(jax.random.key(0), batch_of(config))


@functools.cache
def played(config, steps=2):
    """TINY's networks at birth, the state after some steps on one batch, and the metrics."""
    state, batch = born(dataclasses.replace(TINY, running=config.running)), batch_of(config)
    optimizers = {
        n: p.optimizer.init({m: state.params[m] for m in p.moves})
        for n, p in dcgan.players(config).items()
    }
    state, one = state.replace(optimizers=optimizers), games.of(dcgan, config)
    return state, *jax.jit(lambda state: games.steps(one, state, lambda step: batch, steps))(state)


def moved(before, after, network):
    pairs = zip(
        jax.tree.leaves(before.params[network]), jax.tree.leaves(after.params[network]), strict=True
    )
    return float(sum(jnp.abs(a - b).sum() for a, b in pairs))


def test_alternate_gives_the_generator_even_batches_and_the_discriminator_odd_ones():
    config = dataclasses.replace(TINY, order="alternate")
    _, _, metrics = played(config, steps=5)
    rests = {
        name: np.isnan(metrics[f"{name}/loss"]).tolist() for name in ("generator", "discriminator")
    }
    assert rests == {
        "generator": [False, True] * 2 + [False],
        "discriminator": [True, False] * 2 + [True],
    }
    first, once, _ = played(config, steps=1)
    assert moved(first, once, "generator") > 0 == moved(first, once, "discriminator")


@pytest.mark.parametrize(
    ("change", "network"),
    [
        ({"order": "together"}, "generator"),
        ({"order": "alternate"}, "discriminator"),
        ({"noise": "normal"}, "generator"),
        ({"adam": dcgan.L2Adam(2e-4, b1=0.5, l2=0.1)}, "discriminator"),
        ({"adam": TINY.adam.but(linear_decay=False)}, "generator"),
    ],
)
def test_each_switch_of_the_protocol_changes_the_update(change, network):
    config = dataclasses.replace(TINY, steps=2)  # the rate is 0 from the third on
    usual, other = (played(c, steps=3)[1] for c in (config, dataclasses.replace(config, **change)))
    assert moved(usual, other, network) > 1e-3


def test_falling_rates_are_constant_for_half_of_a_player_s_updates_and_end_at_zero():
    """Adam's update under equal gradients is the rate itself."""
    config = dataclasses.replace(
        TINY, steps=16, order="alternate", adam=dcgan.L2Adam(2e-4, b1=0.5, linear_decay=True)
    )
    adam = dcgan.players(config)["generator"].optimizer
    params = {"w": jnp.zeros(())}
    state, rates = adam.init(params), []
    for _ in range(9):
        update, state = adam.update({"w": jnp.ones(())}, state, params)
        rates.append(-float(update["w"]) / 2e-4)
    np.testing.assert_allclose(rates, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0], atol=1e-4)


def test_running_statistics_are_those_of_the_player_that_moves():
    first, last, _ = played(dataclasses.replace(TINY, running=True), steps=1)
    changed = jax.tree.map(lambda a, b: bool((a != b).all()), first.variables, last.variables)
    assert all(jax.tree.leaves(changed)) and set(changed["batch_stats"]) == {
        "generator",
        "discriminator",
    }


def test_the_nearest_neighbour_is_counted():
    points = np.array([[[0.0], [0.0]], [[1.0], [0.0]], [[0.0], [5.0]]])
    test = np.array([[[0.1], [0.2]], [[0.9], [0.2]], [[0.4], [3.0]], [[0.6], [0.0]]])
    assert probes.nearest_neighbour_error(points, [0, 1, 2], test, [0, 1, 2, 0]) == 25.0


def test_the_svm_tells_what_a_line_divides_and_no_more():
    draws = np.random.default_rng(0)
    x = draws.normal(size=(400, 3)).astype(np.float32)
    line, ring = (x[:, 0] > 2 * x[:, 1]).astype(int), ((x**2).sum(1) > 2.4).astype(int)
    assert probes.linear_svm(x[:300], line[:300], held_out=100).score(x[300:], line[300:]) > 0.9
    assert probes.linear_svm(x[:300], ring[:300], held_out=100).score(x[300:], ring[300:]) < 0.7


def few(config):
    data = pipeline.load(dcgan.source(config))
    return data._replace(test={name: array[:50] for name, array in data.test.items()})


def test_the_classifier_that_learns_from_images_is_far_better_than_that_from_an_untrained_generator():
    trained = games.trained(dcgan.model(TINY), played(TINY, steps=3)[1])
    measured = dcgan.evaluate(TINY, trained, few(TINY), jax.random.key(3))
    error = "test/nearest_neighbour_error"
    assert {*measured} == {
        f"{error}_200",
        f"{error}_of_200_images",
        "test/label_accuracy",
        "test/thickness",
    }
    assert measured[f"{error}_of_200_images"] < 25 < 60 < measured[f"{error}_200"]
    assert (
        measured[f"{error}_200"].unit
        == "% of the test images, by 1-NN on the same number of samples"
    )
    assert all(value.unit for value in measured.values())
    assert measured["test/label_accuracy"] < 40


def test_features_of_an_untrained_discriminator_already_tell_digits_better_than_chance():
    batch, module = batch_of(PLAIN), dcgan.model(PLAIN)
    variables = jax.jit(lambda key: module.init(key, batch["x"], batch["y"], method="features"))(
        jax.random.key(0)
    )
    measured = dcgan.evaluate(
        PLAIN, games.Trained(module, variables), few(PLAIN), jax.random.key(3)
    )
    assert {*measured} == {"test/svm_accuracy_12", "test/svm_accuracy_12_untrained"}
    assert {value.unit for value in measured.values()} == {
        "% of the test images, with 12 training images per class"
    }
    assert all(30 < value <= 100 for value in measured.values())
    assert len(set(measured.values())) == 2  # not one discriminator twice


def test_without_labels_sets_of_images_are_compared(monkeypatch):
    """A generator of training images is as far from others as they are; noise is further."""
    monkeypatch.setattr(dcgan, "N_IMAGES", 150)
    monkeypatch.setattr(image_sets, "PAIRS", 500)
    data = pipeline.load(dcgan.source(PLAIN))
    train, test = ({"image": split["image"]} for split in (data.train, data.test))
    data = data._replace(train={"image": train["image"][:1000]}, test=test)
    known = data.prepare({"image": train["image"][1000:1160]}, jax.random.key(1))["x"]
    sizes = []

    def measured(images):
        def generator(z, y):
            sizes.append(len(z))
            return images[(len(sizes) - 1) * len(z) :][: len(z)]

        sizes.clear()
        model = types.SimpleNamespace(generator=generator)
        return dcgan.evaluate(PLAIN, model, data, jax.random.key(3))

    found, noise = measured(known), measured(jax.random.uniform(jax.random.key(2), known.shape))
    assert sizes == [PLAIN.batch_size] * 5  # 160, of which 150 are compared
    names = {f"test/{name}" for name in ("swd", "swd_32", "swd_16", "ms_ssim")}
    baselines = {f"{name}_of_real" for name in names}
    assert {*found} == names | baselines | {"test/judged", "test/perceived"}
    assert found["test/judged"] == 150
    assert all(found[name] == noise[name] for name in baselines)
    assert found["test/swd"] == pytest.approx(found["test/swd_of_real"], rel=0.4)
    assert noise["test/swd"] > 3 * noise["test/swd_of_real"]
    assert noise["test/ms_ssim"] < found["test/ms_ssim"]


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (
            {"learning_rate": 1e-3, "b1": 0.4, "l2": 2.5e-5, "falls": True, "epsilon_hat": True},
            dcgan.L2Adam(1e-3, b1=0.4, epsilon_hat=True, l2=2.5e-5, linear_decay=True),
        ),
        (
            {"learning_rate": 2e-4, "b1": 0.5, "l2": 1e-5, "falls": False},
            dcgan.L2Adam(2e-4, b1=0.5, l2=1e-5),
        ),
    ],
)
def test_a_config_of_before_the_fields_were_renamed_still_opens(old, expected):
    values = {**configs.to_json(TINY), "optimizer": old}
    del values["adam"]
    found = configs.from_json(dcgan.Config, values, "config.json")
    assert found == TINY.but(adam=expected)


def test_a_decay_that_is_given_replaces_that_of_the_code():
    """Both read the rate from the moves of Adam after equal gradients: 1 if it is the full rate."""
    w = jnp.ones(1)

    def rates(adam):
        rule = adam.over(10)
        state, moves = rule.init(w), []
        for _ in range(10):
            update, state = rule.update(w, state, w)
            moves.append(-float(update[0]))
        return moves

    adam = dcgan.L2Adam(1.0, linear_decay=True)
    np.testing.assert_allclose(rates(adam), [1] * 6 + [0.8, 0.6, 0.4, 0.2], rtol=1e-4)
    np.testing.assert_allclose(rates(adam.but(decay=0.2)), [1] * 9 + [0.5], rtol=1e-4)
