"""StarGAN's file: the sizes of the code's networks, each switch of the protocol, labels of both kinds, the measures."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import stargan
from gen_jax import game as games
from gen_jax.convolutional import joined
from gen_jax.data import pipeline
from gen_jax.errors import UserError
from gen_jax.game import Trained
from gen_jax.layers import InstanceNorm
from tests import golden

TINY = dataclasses.replace(stargan.PRESETS["tiny"][1], steps=2)
SEVERAL = dataclasses.replace(TINY, labels="several")


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("labels", "generator", "discriminator"), [(5, 8_430_528, 44_762_048), (8, 8_439_936, 44_786_624)]
)
def test_the_networks_have_as_many_weights_as_the_code_s(labels, generator, discriminator):
    x, c, key = jnp.zeros((1, 128, 128, 3)), jnp.zeros((1, labels)), jax.random.key(0)
    made, judge = stargan.Generator(64, 6), stargan.Discriminator(64, 6, labels)
    counts = [size(jax.eval_shape(made.init, key, x, c)), size(jax.eval_shape(judge.init, key, x))]
    assert counts == [generator, discriminator]
    patches, logits = jax.eval_shape(lambda key: judge.init_with_output(key, x)[0], key)
    assert patches.shape == (1, 2, 2, 1) and logits.shape == (1, labels)


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_the_golden_tables_are_of_the_same_networks_with_three_labels(preset):
    total = json.loads(golden.path("stargan").read_text())[preset]["total"]
    assert total == 8_430_528 - 2 * 7 * 7 * 64 + 44_762_048 - 2 * 2 * 2 * 2048


def test_instance_norm_is_of_each_map_of_each_image():
    x = jax.random.normal(jax.random.key(0), (3, 6, 5, 4)) * jnp.arange(1.0, 5)[None, None, None] + 7
    plain = InstanceNorm(affine=False, eps=0.5)
    assert not plain.init(jax.random.key(1), x)
    by_hand = (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 0.5)
    np.testing.assert_allclose(plain.apply({}, x), by_hand, atol=1e-5)
    learnt = {"params": {"scale": jnp.arange(4.0), "bias": -jnp.arange(4.0)}}
    got = InstanceNorm(affine=True, eps=0.5).apply(learnt, x)
    np.testing.assert_allclose(got, (by_hand - 1) * jnp.arange(4.0)[None, None, None], atol=1e-5)


def test_kernels_are_drawn_as_pytorch_draws_them():
    """U(-1, 1) / sqrt(16 inputs), and by the outputs where the convolution is transposed."""
    for draw, fan in ((stargan.kernel, 16 * 8), (stargan.kernel_up, 16 * 32)):
        drawn = np.abs(draw(jax.random.key(0), (4, 4, 8, 32))) * np.sqrt(fan)
        assert 0.999 < drawn.max() <= 1.0001 and drawn.mean() == pytest.approx(0.5, abs=0.01)


def raw(count=32):
    train = pipeline.load(stargan.source(TINY)).train
    return {name: jnp.asarray(array[:count]) for name, array in train.items()}


@functools.cache
def batch_of(config, key=0):
    return jax.jit(stargan.source(config).prepare)(raw(), jax.random.key(key))


@pytest.mark.parametrize("config", [TINY, SEVERAL])
def test_an_image_is_its_example_in_the_domain_of_its_label(config):
    config = dataclasses.replace(config, flip=False)
    batch, grey = batch_of(config), raw()["image"] / jnp.float32(255)
    labels = np.array(batch["c"])
    np.testing.assert_allclose(batch["x"], 2 * grey * labels[:, None, None] - 1, atol=1e-6)
    assert len(np.unique(labels, axis=0)) == (8 if config.labels == "several" else 3)
    if config.labels == "one":
        assert (labels.sum(1) == 1).all()
    every = 2 * grey[:, None] * stargan.domains(config)[None, :, None, None] - 1
    np.testing.assert_allclose(batch["all"], every, atol=1e-6)


def test_half_of_the_images_are_mirrored():
    batches = [batch_of(dataclasses.replace(TINY, flip=flip))["x"] for flip in (True, False)]
    mirrored = (batches[0] == batches[1][:, :, ::-1]).all((1, 2, 3))
    assert ((batches[0] == batches[1]).all((1, 2, 3)) ^ mirrored).all() and 0.2 < mirrored.mean() < 0.8


def test_emoji_are_stacked_by_vendor_and_resized():
    config = stargan.PRESETS["quick"][1]
    grey = {"google": 0, "twitter": 100, "fluent": 255}
    one = {vendor: jnp.full((2, 64, 64, 3), value, jnp.uint8) for vendor, value in grey.items()}
    seen = stargan.views(config, one)
    assert seen.shape == (2, 3, 32, 32, 3)
    np.testing.assert_allclose(seen[:, :, 5, 7, 1], [[0, 100 / 255, 1]] * 2, atol=1e-6)


LOGITS = jnp.log(jnp.array([[1.0, 2.0, 5.0], [3.0, 4.0, 1.0]]))


def test_one_label_is_classified_by_a_softmax_and_several_by_a_sigmoid_each():
    one = stargan.classification(TINY, LOGITS, jnp.array([[0.0, 0, 1], [1, 0, 0]]))
    assert float(one) == pytest.approx(-np.mean(np.log([5 / 8, 3 / 8])), rel=1e-6)
    several = stargan.classification(SEVERAL, LOGITS, jnp.array([[1.0, 0, 1], [0, 0, 0]]))
    right = [1 / 2, 1 / 3, 5 / 6, 1 / 4, 1 / 5, 1 / 2]  # sigmoid(log a) = a / (a + 1)
    assert float(several) == pytest.approx(-np.log(right).sum() / 2, rel=1e-6)


class Fixed:
    """A generator that adds the label's ink, and a discriminator that is linear: all is known."""

    weights = jnp.array([0.5, -1.0, 2.0])

    def __init__(self):
        self.asked = []

    def generator(self, x, c):
        self.asked.append(c)
        return x + c[:, None, None]

    def discriminator(self, x):
        return (x * self.weights[None, None, None]).sum(-1, keepdims=True)[:, ::4, ::4], x.mean((1, 2))


def test_the_discriminator_s_objective_is_equation_5():
    model, batch = Fixed(), batch_of(TINY)
    config = dataclasses.replace(TINY, lambda_gp=3, lambda_cls=0.25)
    loss, metrics = stargan.discriminator(model, batch, jax.random.key(0), config=config)
    (target,) = model.asked
    assert not (target == batch["c"]).all()
    np.testing.assert_array_equal(target.sum(0), batch["c"].sum(0))  # a permutation of the batch's own
    assert float(metrics["distance"]) == pytest.approx(-float((target @ Fixed.weights).mean()), rel=1e-4)
    norm = np.sqrt(4 * (Fixed.weights**2).sum())  # four patches of a pixel each
    assert float(metrics["penalty"]) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    cls = -(batch["c"] * jax.nn.log_softmax(batch["x"].mean((1, 2)))).sum(-1).mean()
    by_hand = -metrics["distance"] + 3 * metrics["penalty"] + 0.25 * cls
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-5)


def test_the_generator_s_objective_is_equation_6():
    model, batch = Fixed(), batch_of(SEVERAL)
    config = dataclasses.replace(SEVERAL, lambda_rec=3, lambda_cls=0.25)
    loss, metrics = stargan.generator(model, batch, jax.random.key(0), config=config)
    target, back = model.asked
    np.testing.assert_array_equal(back, batch["c"])
    np.testing.assert_array_equal(target.sum(0), batch["c"].sum(0))
    assert float(metrics["reconstruction"]) == pytest.approx(float((target + back).mean()), rel=1e-5)
    fake = batch["x"] + target[:, None, None]
    score = (fake[:, ::4, ::4] * Fixed.weights[None, None, None]).sum(-1).mean()
    p = jax.nn.sigmoid(fake.mean((1, 2)))
    cls = -(target * jnp.log(p) + (1 - target) * jnp.log(1 - p)).sum(-1).mean()
    assert float(loss) == pytest.approx(float(-score + 0.25 * cls + 3 * (target + back).mean()), rel=1e-4)


class Maker(nn.Module):
    @nn.compact
    def __call__(self, x, c):
        return nn.tanh(nn.Dense(3)(joined(x, c)))


class Judge(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.leaky_relu(nn.Dense(8)(x.reshape(len(x), 8, 24)))  # by rows: a mirror image is another
        return nn.Dense(1)(x), nn.Dense(3)(x.mean(1))


@functools.cache
def small(config):
    """The players on small networks, their birth, and a batch."""
    one, batch = games.make(stargan.StarGAN(Maker(), Judge()), stargan.players(config)), batch_of(config)
    return one, one.init(jax.random.key(0), batch_of(TINY)), batch


def played(config):
    """The state after two steps; not compiled, since that takes longer."""
    one, state, batch = small(config)
    for _ in range(2):
        state, _ = one.step(state, batch)
    return state


def moved(before, after, network):
    pairs = zip(jax.tree.leaves(before.params[network]), jax.tree.leaves(after.params[network]), strict=True)
    return float(sum(jnp.abs(a - b).sum() for a, b in pairs))


def test_the_discriminator_plays_at_every_step_and_the_generator_at_every_fifth():
    one, born, batch = small(TINY)
    _, metrics = jax.jit(lambda state: games.steps(one, state, lambda step: batch, 10))(born)
    rests = {name: np.isnan(metrics[f"{name}/loss"]).tolist() for name in ("discriminator", "generator")}
    assert rests == {"discriminator": [False] * 10, "generator": ([True] * 4 + [False]) * 2}
    assert metrics[games.FINITE].all()


ALWAYS = dataclasses.replace(TINY, critics=1, decay=1, learning_rate=0.01)


@pytest.mark.parametrize(
    ("change", "network"),
    [
        ({"labels": "several"}, "discriminator"),
        ({"flip": False}, "discriminator"),
        ({"lambda_gp": 1}, "discriminator"),
        ({"lambda_cls": 10}, "discriminator"),
        ({"lambda_rec": 0}, "generator"),
        ({"lambda_cls": 10}, "generator"),
        ({"critics": 2}, "generator"),
        ({"decay": 0}, "discriminator"),
        ({"period": 2}, "discriminator"),
    ],
)
def test_each_switch_of_the_protocol_changes_the_update(change, network):
    usual, other = (played(config) for config in (ALWAYS, dataclasses.replace(ALWAYS, **change)))
    assert moved(usual, other, network) > 1e-3


def test_the_rate_falls_to_0_in_the_paper_and_by_a_thousandth_in_the_code():
    paper, official = (stargan.PRESETS[name][1] for name in ("paper", "official"))

    def rates(config, steps, every=1):
        counts = [(step + 1) // every - 1 for step in steps]
        return [float(stargan.rate(config, every, jnp.int32(count))) / 1e-4 for count in counts]

    at = [0, 55_800, 83_700, 111_599]
    np.testing.assert_allclose(rates(paper, at), [1, 1, 0.5, 1 / 55_800], atol=1e-6)
    generator = [4, 55_799, 83_704, 111_599]  # its own steps
    np.testing.assert_allclose(rates(paper, generator, 5), [1, 1, 1 - 27_904 / 55_800, 1 / 55_800], atol=1e-6)
    slip = [100_999, 101_000, 151_000, 199_999]
    np.testing.assert_allclose(rates(official, slip), [1, 1 - 1e-5, 1 - 51e-5, 1 - 99e-5], atol=3e-7)
    assert rates(dataclasses.replace(official, period=1), [199_999])[0] < 1e-4


def test_emoji_of_several_vendors_and_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(UserError, match="labels is 'several', but an emoji has one vendor"):
        dataclasses.replace(stargan.PRESETS["quick"][1], labels="several")
    with pytest.raises(UserError, match=r"side is 40; it must be a multiple of 4 and of 2\^layers, 64"):
        stargan.Config(side=40)


def few():
    data = pipeline.load(stargan.source(TINY))
    train, test = ({n: a[:count] for n, a in arrays.items()} for arrays, count in ((data.train, 300), (data.test, 50)))
    return data._replace(train=train, test=test)


def test_what_is_measured_of_a_generator_that_knows_the_truth():
    params = {
        "generator": {"Conv_0": {"kernel": jnp.zeros((7, 7, 6, 4))}, "rest": jnp.zeros(1000)},
        "discriminator": {"domains": {"kernel": jnp.zeros((2, 2, 8, 3))}},
    }

    class Known(Trained):  # it draws digits in the ink that is asked for, a tenth too faint
        def __call__(self, function, x, c):
            ink = (x.max(-1, keepdims=True) + 1) / 2
            return 2 * 0.9 * ink * c[:, None, None] - 1

    data = few()
    measured = stargan.evaluate(TINY, Known(None, {"params": params}), data, jax.random.key(0))
    ink = data.test["image"].mean()
    assert set(measured) == set(stargan.UNITS)
    assert measured["test/domain_error"] == 0 == measured["test/domain_error_of_real"]
    assert measured["test/l1"] == pytest.approx(0.1 * ink / 3, rel=0.02)
    assert measured["test/l1_of_nothing"] == pytest.approx(2 * ink / 3, rel=1e-4)
    assert measured["test/l1_reconstruction"] == pytest.approx(0.19 * ink / 3, rel=0.02)
    weights = 49 * 6 * 4 + 1000 + 96
    assert measured["parameters"] * 1e6 == pytest.approx(weights)
    assert measured["parameters_by_pairs"] * 1e6 == pytest.approx(6 * (weights - 49 * 3 * 4 - 96))


def test_a_generator_that_does_nothing_errs_everywhere():

    class Idle(Trained):
        def __call__(self, function, x, c):
            return x

    params = jax.eval_shape(stargan.game(TINY).init, jax.random.key(0), batch_of(TINY)).params
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params)
    measured = stargan.evaluate(TINY, Idle(None, {"params": params}), few(), jax.random.key(0))
    assert measured["parameters"] == json.loads(golden.path("stargan").read_text())["tiny"]["total"] / 1e6
    assert measured["test/domain_error"] == 100 and measured["test/l1_reconstruction"] == 0
    assert measured["test/l1"] == measured["test/l1_of_nothing"] > 10


@pytest.mark.parametrize("config", [TINY, SEVERAL])
def test_the_picture_has_a_row_of_input_domains_and_truth(config, monkeypatch):
    data, k = pipeline.load(stargan.source(config)), len(stargan.domains(config))
    seen = []
    monkeypatch.setattr(stargan.images, "grid", lambda rows, columns: seen.append((rows, columns)))

    class Idle(Trained):
        def __call__(self, function, x, c):
            return x

    stargan.sample(config, Idle(None, {}), data, jax.random.key(0))
    ((rows, columns),) = seen
    assert columns == 1 + 2 * k and rows.shape == (10 * columns, 8, 8, 3)
    rows = rows.reshape(10, columns, 8, 8, 3)
    for i, row in enumerate(rows):
        given, made, truth = row[0], row[1 : 1 + k], row[1 + k :]
        np.testing.assert_array_equal(made, np.stack([given] * k))
        np.testing.assert_array_equal(given, truth[i % k])
