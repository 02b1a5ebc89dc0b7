"""StarGAN: the sizes of the code's networks, each switch of the protocol, labels, measures."""

import functools
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from flax import linen as nn
from PIL import Image

from experiments import stargan
from gen_jax import game as games
from gen_jax import images
from gen_jax.config import Run, from_json
from gen_jax.data import multidomain, pipeline
from gen_jax.data.multidomain import LabelGroup
from gen_jax.errors import UserError
from gen_jax.game import Trained
from gen_jax.networks.dcgan import concat_label
from gen_jax.networks.layers import InstanceNorm
from gen_jax.networks.stargan import Discriminator, Generator, kernel, kernel_up
from gen_jax.objectives import label_cross_entropy
from gen_jax.optimizers import Adam, linear_tail
from gen_jax.run.experiment import presets
from tests import golden

TINY = presets(stargan)["tiny"][1].but(steps=2)
SEVERAL = TINY.but(labels="several")
JOINT = TINY.but(labels="joint")


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("labels", "generator", "discriminator"),
    [(5, 8_430_528, 44_762_048), (8, 8_439_936, 44_786_624)],
)
def test_the_networks_have_as_many_weights_as_the_code_s(labels, generator, discriminator):
    x, c, key = jnp.zeros((1, 128, 128, 3)), jnp.zeros((1, labels)), jax.random.key(0)
    made, judge = Generator(64, 6), Discriminator(64, 6, labels)
    counts = [size(jax.eval_shape(made.init, key, x, c)), size(jax.eval_shape(judge.init, key, x))]
    assert counts == [generator, discriminator]
    patches, logits = jax.eval_shape(lambda key: judge.init_with_output(key, x)[0], key)
    assert patches.shape == (1, 2, 2, 1) and logits.shape == (1, labels)


@pytest.mark.parametrize("preset", ["paper", "official"])
def test_the_golden_tables_are_of_the_same_networks_with_four_labels(preset):
    total = json.loads(golden.path("stargan").read_text())[preset]["total"]
    assert total == 8_430_528 - 7 * 7 * 64 + 44_762_048 - 2 * 2 * 2048


def test_instance_norm_is_of_each_map_of_each_image():
    x = (
        jax.random.normal(jax.random.key(0), (3, 6, 5, 4)) * jnp.arange(1.0, 5)[None, None, None]
        + 7
    )
    plain = InstanceNorm(affine=False, eps=0.5)
    assert not plain.init(jax.random.key(1), x)
    by_hand = (x - x.mean((1, 2), keepdims=True)) / jnp.sqrt(x.var((1, 2), keepdims=True) + 0.5)
    np.testing.assert_allclose(plain.apply({}, x), by_hand, atol=1e-5)
    learnt = {"params": {"scale": jnp.arange(4.0), "bias": -jnp.arange(4.0)}}
    got = InstanceNorm(affine=True, eps=0.5).apply(learnt, x)
    np.testing.assert_allclose(got, (by_hand - 1) * jnp.arange(4.0)[None, None, None], atol=1e-5)


def test_kernels_are_drawn_as_pytorch_draws_them():
    """U(-1, 1) / sqrt(16 inputs), and by the outputs where the convolution is transposed."""
    for draw, fan in ((kernel, 16 * 8), (kernel_up, 16 * 32)):
        drawn = np.abs(draw(jax.random.key(0), (4, 4, 8, 32))) * np.sqrt(fan)
        assert 0.999 < drawn.max() <= 1.0001 and drawn.mean() == pytest.approx(0.5, abs=0.01)


def test_biases_are_drawn_as_pytorch_draws_them():
    network = Discriminator(64, 2, 3)
    params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))["params"]
    for name, inputs in (("Conv_0", 16 * 3), ("Conv_1", 16 * 64)):
        drawn = np.abs(params[name]["bias"]) * np.sqrt(inputs)
        assert 0.9 < drawn.max() <= 1.0001 and drawn.mean() == pytest.approx(0.5, abs=0.15)


def raw(config=TINY, count=32):
    train = pipeline.load(stargan.source(config)).train
    return {name: jnp.asarray(array[:count]) for name, array in train.items()}


def batch_of(config, key=0, step=0):
    return {**prepared(config.labels, config.flip, key), "step": jnp.int32(step)}


@functools.cache
def prepared(labels, flip, key):
    config = TINY.but(labels=labels, flip=flip)
    return jax.jit(stargan.source(config).prepare)(raw(config), jax.random.key(key))


@pytest.mark.parametrize("config", [TINY, SEVERAL])
def test_an_image_is_its_example_in_the_domain_of_its_label(config):
    config = config.but(flip=False)
    batch, grey = batch_of(config), raw()["image"] / jnp.float32(255)
    labels = np.array(batch["c"])[:, 0]
    np.testing.assert_allclose(batch["x"][:, 0], 2 * grey * labels[:, None, None] - 1, atol=1e-6)
    assert len(np.unique(labels, axis=0)) == (8 if config.labels == "several" else 3)
    if config.labels == "one":
        assert (labels.sum(1) == 1).all()
    every = 2 * grey[:, None] * stargan.data_set(config).domains.labels[0, None, :, None, None] - 1
    np.testing.assert_allclose(stargan.data_set(config).views(raw(), config.side), every, atol=1e-6)


def test_of_two_sets_each_knows_the_ink_or_the_paper_and_says_which():
    config = JOINT.but(flip=False)
    batch, grey = batch_of(config), raw(config)["image"] / jnp.float32(255)
    x, c = np.asarray(batch["x"]), np.asarray(batch["c"])
    assert x.shape == (32, 2, 8, 8, 3) and c.shape == (32, 2, 3 + 2 + 2)
    np.testing.assert_array_equal(c[:, 0, 3:], np.tile([0, 0, 1, 0], (32, 1)))
    np.testing.assert_array_equal(c[:, 1, [0, 1, 2, 5, 6]], np.tile([0, 0, 0, 0, 1], (32, 1)))
    np.testing.assert_array_equal(np.unique(c[:, 0, :3], axis=0), np.eye(3)[::-1])
    np.testing.assert_array_equal(np.unique(c[:, 1, 3:5], axis=0), np.eye(2)[::-1])
    white = x[:, :, :1, :1] == 1  # the first pixel of every digit is paper
    assert 0.3 < white[:, 0].mean() < 0.7  # which the first set does not say
    np.testing.assert_array_equal(white[:, 1].all((1, 2, 3)), c[:, 1, 4] == 1)
    ink = c[:, 0, :3][:, None, None]
    paper = white[:, 0].astype(np.float32)
    np.testing.assert_allclose(x[:, 0], 2 * (paper + grey[:, 0] * (ink - paper)) - 1, atol=1e-6)
    whole = pipeline.load(stargan.source(TINY)).train["image"]
    np.testing.assert_array_equal(raw(config)["image"][:, 1], whole[len(whole) // 2 :][:32])


def test_sets_play_in_turn_and_one_set_always():
    for config, sets in ((TINY, [0, 0, 0]), (JOINT, [0, 1, 0])):
        for step, own in enumerate(sets):
            x, c = stargan.current_set(batch_of(config, step=step))
            np.testing.assert_array_equal(x, batch_of(config)["x"][:, own])
            np.testing.assert_array_equal(c, batch_of(config)["c"][:, own])


def test_half_of_the_images_are_mirrored():
    batches = [batch_of(TINY.but(flip=flip))["x"][:, 0] for flip in (True, False)]
    mirrored = (batches[0] == batches[1][:, :, ::-1]).all((1, 2, 3))
    assert (
        (batches[0] == batches[1]).all((1, 2, 3)) ^ mirrored
    ).all() and 0.2 < mirrored.mean() < 0.8


def test_emoji_are_stacked_by_vendor_and_resized():
    config = presets(stargan)["quick"][1]
    grey = {"google": 0, "twitter": 100, "fluent": 255, "openmoji": 51}
    one = {vendor: jnp.full((2, 64, 64, 3), value, jnp.uint8) for vendor, value in grey.items()}
    seen = stargan.data_set(config).views(one, config.side)
    assert (
        seen.shape == (2, 4, 32, 32, 3) and len(stargan.data_set(config).domains.target_labels) == 4
    )
    np.testing.assert_allclose(seen[:, :, 5, 7, 1], [[-1, 200 / 255 - 1, 1, -0.6]] * 2, atol=1e-6)


LOGITS = jnp.log(jnp.array([[1.0, 2.0, 5.0], [3.0, 4.0, 1.0]]))


def test_one_label_is_classified_by_a_softmax_and_several_by_a_sigmoid_each():
    groups = stargan.data_set(TINY).domains.groups
    one = label_cross_entropy(LOGITS, jnp.array([[0.0, 0, 1], [1, 0, 0]]), groups)
    assert float(one) == pytest.approx(-np.mean(np.log([5 / 8, 3 / 8])), rel=1e-6)
    groups = stargan.data_set(SEVERAL).domains.groups
    several = label_cross_entropy(LOGITS, jnp.array([[1.0, 0, 1], [0, 0, 0]]), groups)
    right = [1 / 2, 1 / 3, 5 / 6, 1 / 4, 1 / 5, 1 / 2]  # sigmoid(log a) = a / (a + 1)
    assert float(several) == pytest.approx(-np.log(right).sum() / 2, rel=1e-6)


def test_what_the_mask_hides_is_not_classified_and_has_no_gradient():
    """CelebA's attributes and RaFD's expressions: each loss is that of the known part alone."""
    groups = (LabelGroup(5, False), LabelGroup(8, True))
    logits = 2 * jax.random.normal(jax.random.key(0), (4, 13))
    attributes, expressions = (
        jnp.array([[1.0, 0, 0, 1, 1]] * 4),
        jnp.eye(8)[jnp.array([7, 0, 3, 3])],
    )
    for own, part, label, other in (
        (0, slice(0, 5), attributes, 8),
        (1, slice(5, 13), expressions, 5),
    ):
        mask = jnp.eye(2)[jnp.full(4, own)]
        sides = (label, jnp.zeros((4, other))) if own == 0 else (jnp.zeros((4, other)), label)
        c = jnp.concatenate([*sides, mask], 1)
        loss, gradient = jax.value_and_grad(
            lambda logits, c=c: label_cross_entropy(logits, c, groups)
        )(logits)
        alone = label_cross_entropy(logits[:, part], label, (groups[own],))
        assert float(loss) == pytest.approx(float(alone), rel=1e-6) and float(loss) > 1
        p = jax.nn.softmax(logits[:, part]) if own else jax.nn.sigmoid(logits[:, part])
        by_hand = jnp.zeros((4, 13)).at[:, part].set((p - label) / 4)
        np.testing.assert_allclose(gradient, by_hand, atol=1e-6)
        assert (np.delete(np.asarray(gradient), np.r_[part], 1) == 0).all()


def test_trained_on_celeba_and_rafd_at_once_the_networks_have_the_code_s_labels():
    """c_dim 5 and c2_dim 8: the generator sees 5 + 8 + 2 labels, the discriminator tells 5 + 8."""
    x, key = jnp.zeros((1, 128, 128, 3)), jax.random.key(0)
    generator = jax.eval_shape(Generator(64, 6).init, key, x, jnp.zeros((1, 5 + 8 + 2)))
    discriminator = jax.eval_shape(Discriminator(64, 6, 5 + 8).init, key, x)
    assert generator["params"]["Conv_0"]["kernel"].shape == (7, 7, 3 + 15, 64)
    assert size(generator) == 8_430_528 + (15 - 5) * 7 * 7 * 64 == 8_461_888
    assert size(discriminator) == 44_762_048 + 8 * 2 * 2 * 2048 == 44_827_584


class Fixed:
    """A generator that adds the label's ink, and a discriminator that is linear: all is known."""

    weights = jnp.array([0.5, -1.0, 2.0])

    def __init__(self):
        self.asked = []

    def generator(self, x, c):
        self.asked.append(c)
        return x + c[:, None, None]

    def discriminator(self, x):
        return (x * self.weights[None, None, None]).sum(-1, keepdims=True)[:, ::4, ::4], x.mean(
            (1, 2)
        )


def test_the_discriminator_s_objective_is_equation_5():
    model, batch = Fixed(), batch_of(TINY)
    x, c = stargan.current_set(batch)
    config = TINY.but(lambda_gp=3, lambda_cls=0.25)
    loss, metrics = stargan.discriminator_loss(model, batch, jax.random.key(0), config=config)
    (target,) = model.asked
    assert not (target == c).all()
    np.testing.assert_array_equal(target.sum(0), c.sum(0))  # a permutation of the batch's own
    assert float(metrics["distance"]) == pytest.approx(
        -float((target @ Fixed.weights).mean()), rel=1e-4
    )
    norm = np.sqrt(4 * (Fixed.weights**2).sum())  # four patches of a pixel each
    assert float(metrics["penalty"]) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    cls = -(c * jax.nn.log_softmax(x.mean((1, 2)))).sum(-1).mean()
    by_hand = -metrics["distance"] + 3 * metrics["penalty"] + 0.25 * cls
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-5)


def test_the_generator_s_objective_is_equation_6():
    model, batch = Fixed(), batch_of(SEVERAL)
    x, c = stargan.current_set(batch)
    config = SEVERAL.but(lambda_rec=3, lambda_cls=0.25)
    loss, metrics = stargan.generator_loss(model, batch, jax.random.key(0), config=config)
    target, back = model.asked
    np.testing.assert_array_equal(back, c)
    np.testing.assert_array_equal(target.sum(0), c.sum(0))
    assert float(metrics["reconstruction"]) == pytest.approx(
        float((target + back).mean()), rel=1e-5
    )
    fake = x + target[:, None, None]
    score = (fake[:, ::4, ::4] * Fixed.weights[None, None, None]).sum(-1).mean()
    p = jax.nn.sigmoid(fake.mean((1, 2)))
    cls = -(target * jnp.log(p) + (1 - target) * jnp.log(1 - p)).sum(-1).mean()
    by_hand = float(-score + 0.25 * cls + 3 * (target + back).mean())
    assert float(loss) == pytest.approx(by_hand, rel=1e-4)
    keeping = config.but(lambda_identity=2)
    loss, _ = stargan.generator_loss(Fixed(), batch, jax.random.key(0), config=keeping)
    assert float(loss) == pytest.approx(by_hand + 2 * float(c.mean()), rel=1e-4)


class SmallGenerator(nn.Module):
    @nn.compact
    def __call__(self, x, c):
        return nn.tanh(nn.Dense(3)(concat_label(x, c)))


class SmallDiscriminator(nn.Module):
    @nn.compact
    def __call__(self, x):
        rows = x.reshape(len(x), 8, 24)  # so that a mirror image is another
        x = nn.leaky_relu(nn.Dense(8)(rows))
        return nn.Dense(1)(x), nn.Dense(3)(x.mean(1))


SMALL = stargan.StarGAN(SmallGenerator(), SmallDiscriminator())


@functools.cache
def first_state():
    """Of small networks under the players of TINY."""
    return games.make(SMALL, stargan.players(TINY)).init(jax.random.key(0), batch_of(TINY))


def small(config):
    """The game of the config's players on small networks, and its first state."""
    players = stargan.players(config)
    return games.make(SMALL, players), games.reset_optimizers(players)(first_state())


@functools.cache
def played(config):
    """The state after two steps; not compiled, since that takes longer."""
    one, state = small(config)
    for _ in range(2):
        state, _ = one.step(state, batch_of(config))
    return state


def moved(before, after, network):
    pairs = zip(
        jax.tree.leaves(before.params[network]), jax.tree.leaves(after.params[network]), strict=True
    )
    return float(sum(jnp.abs(a - b).sum() for a, b in pairs))


def test_the_discriminator_plays_at_every_step_and_the_generator_at_every_fifth():
    (one, state), batch = small(TINY), batch_of(TINY)
    _, metrics = jax.jit(lambda state: games.steps(one, state, lambda step: batch, 10))(state)
    rests = {
        name: np.isnan(metrics[f"{name}/loss"]).tolist() for name in ("discriminator", "generator")
    }
    assert rests == {"discriminator": [False] * 10, "generator": ([True] * 4 + [False]) * 2}
    assert (metrics[games.FINITE] == 1).all()


def test_an_average_is_of_the_generator_and_only_where_it_is_asked_for():
    for decay, networks in ((0, set()), (0.5, {"generator"})):
        one = games.of(stargan, TINY.but(average=decay))
        assert set(jax.eval_shape(one.init, jax.random.key(0), batch_of(TINY)).average) == networks


ALWAYS = TINY.but(n_critic=1, adam=Adam(0.01, b1=0.5, decay=1))


@pytest.mark.parametrize(
    ("change", "network"),
    [
        ({"labels": "several"}, "discriminator"),
        ({"flip": False}, "discriminator"),
        ({"lambda_gp": 1}, "discriminator"),
        ({"lambda_cls": 10}, "discriminator"),
        ({"lambda_rec": 0}, "generator"),
        ({"lambda_identity": 1}, "generator"),
        ({"lambda_cls": 10}, "generator"),
        ({"n_critic": 2}, "generator"),
        ({"adam": Adam(0.01, b1=0.5)}, "discriminator"),
        ({"adam": Adam(0.01, b1=0.5, decay=1, period=2)}, "discriminator"),
    ],
)
def test_each_switch_of_the_protocol_changes_the_update(change, network):
    usual, other = (played(config) for config in (ALWAYS, ALWAYS.but(**change)))
    assert moved(usual, other, network) > 1e-3


def test_the_rate_falls_to_0_in_the_paper_and_by_a_thousandth_in_the_code():
    paper, official = (presets(stargan)[name][1] for name in ("paper", "official"))

    def rates(config, steps, every=1):
        counts = [(step + 1) // every - 1 for step in steps]
        rate = linear_tail(
            1e-4, config.steps, share=config.adam.decay, period=config.adam.period, every=every
        )
        return [float(rate(jnp.int32(count))) / 1e-4 for count in counts]

    at = [0, 74_400, 111_600, 148_799]
    np.testing.assert_allclose(rates(paper, at), [1, 1, 0.5, 1 / 74_400], atol=1e-6)
    generator = [4, 74_399, 111_604, 148_799]  # its own steps
    np.testing.assert_allclose(
        rates(paper, generator, 5), [1, 1, 1 - 37_204 / 74_400, 1 / 74_400], atol=1e-6
    )
    slip = [100_999, 101_000, 151_000, 199_999]
    np.testing.assert_allclose(
        rates(official, slip), [1, 1 - 1e-5, 1 - 51e-5, 1 - 99e-5], atol=3e-7
    )
    assert rates(official.but(adam=paper.adam), [199_999])[0] < 1e-4


def test_labels_that_the_data_have_not_and_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(UserError, match="labels is 'several'; emoji has --labels one"):
        presets(stargan)["quick"][1].but(labels="several")
    with pytest.raises(UserError, match="labels is 'joint'; celeb_a has --labels several"):
        presets(stargan)["celeba"][1].but(labels="joint")
    with pytest.raises(UserError, match="n-critic is 4; give an odd number"):
        JOINT.but(n_critic=4)
    with pytest.raises(
        UserError, match=r"side is 40; it must be a multiple of 4 and of 2\^layers, so of 64"
    ):
        stargan.Config(side=40)


OLD = {  # of a config.json before fields were renamed and grouped
    "data": "digits", "labels": "joint", "side": 16, "width": 4, "blocks": 1, "layers": 3,
    "critics": 3, "lambda_cls": 2, "lambda_rec": 5, "lambda_own": 7, "lambda_gp": 9, "flip": False,
    "batch_size": 8, "steps": 100, "decay": 0.25, "period": 10, "learning_rate": 0.001, "b1": 0.6, "average": 0.9,
    "run": {"seed": 3},
}  # fmt: skip


def test_an_older_config_file_is_read():
    expected = stargan.Config(
        data="digits", labels="joint", side=16, width=4, blocks=1, layers=3, n_critic=3,
        lambda_cls=2, lambda_rec=5, lambda_identity=7, lambda_gp=9, flip=False, batch_size=8, steps=100,
        adam=Adam(0.001, b1=0.6, decay=0.25, period=10), average=0.9, run=Run(seed=3),
    )  # fmt: skip
    assert from_json(stargan.Config, OLD, "config.json") == expected


def few():
    data = pipeline.load(stargan.source(TINY))
    train, test = (
        {n: a[:count] for n, a in arrays.items()}
        for arrays, count in ((data.train, 300), (data.test, 50))
    )
    return data._replace(train=train, test=test)


MEASURES = {
    "test/domain_error", "test/domain_error_of_real", "test/class_lost", "test/class_error_of_real",
    "test/l1", "test/l1_of_nothing", "test/l1_reconstruction", "test/l1_own", "parameters",
    "parameters_by_pairs",
}  # fmt: skip


def test_what_is_measured_of_a_generator_that_knows_the_truth():
    params = {
        "generator": {"Conv_0": {"kernel": jnp.zeros((7, 7, 6, 4))}, "rest": jnp.zeros(1000)},
        "discriminator": {"domains": {"kernel": jnp.zeros((2, 2, 8, 3))}},
    }

    class Known(Trained):  # it draws digits in the ink that is asked for, a tenth too faint
        def generator(self, x, c):
            ink = (x.max(-1, keepdims=True) + 1) / 2
            return 2 * 0.9 * ink * c[:, None, None] - 1

    data = few()
    measured = stargan.evaluate(TINY, Known(None, {"params": params}), data, jax.random.key(0))
    ink = data.test["image"].mean()
    assert set(measured) == MEASURES and all(number.unit for number in measured.values())
    assert measured["test/l1_own"] == measured["test/l1"]
    assert measured["test/domain_error"] == 0 == measured["test/domain_error_of_real"]
    assert measured["test/l1"] == pytest.approx(0.1 * ink / 3, rel=0.02)
    assert measured["test/l1_of_nothing"] == pytest.approx(2 * ink / 3, rel=1e-4)
    assert measured["test/l1_reconstruction"] == pytest.approx(0.19 * ink / 3, rel=0.02)
    weights = 49 * 6 * 4 + 1000 + 96
    assert measured["parameters"] * 1e6 == pytest.approx(weights)
    assert measured["parameters_by_pairs"] * 1e6 == pytest.approx(6 * (weights - 49 * 3 * 4 - 96))


def test_a_generator_that_does_nothing_errs_everywhere():

    class Idle(Trained):
        def generator(self, x, c):
            return x

    params = jax.eval_shape(games.of(stargan, TINY).init, jax.random.key(0), batch_of(TINY)).params
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params)
    measured = stargan.evaluate(TINY, Idle(None, {"params": params}), few(), jax.random.key(0))
    assert (
        measured["parameters"]
        == json.loads(golden.path("stargan").read_text())["tiny"]["total"] / 1e6
    )
    assert measured["test/domain_error"] == 100
    assert (
        measured["test/l1_reconstruction"]
        == measured["test/l1_own"]
        == measured["test/class_lost"]
        == 0
    )
    assert measured["test/l1"] == measured["test/l1_of_nothing"] > 10


@pytest.mark.parametrize("config", [TINY, SEVERAL])
def test_the_picture_has_a_row_of_input_domains_and_truth(config, monkeypatch):
    data, k = (
        pipeline.load(stargan.source(config)),
        stargan.data_set(config).domains.labels.shape[1],
    )
    seen = []
    monkeypatch.setattr(images, "grid", lambda rows, columns: seen.append((rows, columns)))

    class Idle(Trained):
        def generator(self, x, c):
            return x

    stargan.sample(config, Idle(None, {}), data, jax.random.key(0))
    ((rows, columns),) = seen
    assert columns == 1 + 2 * k and rows.shape == (10 * columns, 8, 8, 3)
    rows = rows.reshape(10, columns, 8, 8, 3)
    for i, row in enumerate(rows):
        given, made, truth = row[0], row[1 : 1 + k], row[1 + k :]
        np.testing.assert_array_equal(made, np.stack([given] * k))
        np.testing.assert_array_equal(given, truth[i % k])


def test_the_picture_of_two_sets_has_what_each_can_change(monkeypatch):
    seen = []
    monkeypatch.setattr(
        images,
        "grid",
        lambda rows, columns: seen.append(rows.reshape(10, columns, 8, 8, 3)),
    )

    class Idle(Trained):
        def generator(self, x, c):
            return x

    stargan.sample(JOINT, Idle(None, {}), pipeline.load(stargan.source(JOINT)), jax.random.key(0))
    (rows,) = seen
    assert rows.shape[1] == 1 + 2 * (3 + 2)
    paper = rows[:, :, 0, 0]  # of the first pixel, which no digit covers
    np.testing.assert_array_equal(paper[:, 0, 0], np.tile([0, 255], 5))  # domains are ink by ink
    own = np.tile([0, 255], 5)[:, None].repeat(3, 1)
    np.testing.assert_array_equal(paper[:, 6:9, 0], own)  # as it is
    np.testing.assert_array_equal(paper[:, 9:, 0], [[0, 255]] * 10)  # as asked
    inks = np.arange(10) // 2 % 3
    on_black = rows[::2, 9].reshape(5, -1, 3).max(1)  # asked for black paper, in its own ink
    np.testing.assert_array_equal(on_black.argmax(-1), inks[::2])


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """CelebA as TFDS declares it: 48 faces, hair above, Male to the left, Young to the right."""
    place = tmp_path_factory.mktemp("faces")
    stock = tfds.builder("celeb_a", data_dir=place / "nowhere")
    rng = np.random.default_rng(0)
    hair, male, young = rng.integers(0, 4, 48), rng.integers(0, 2, 48), rng.integers(0, 2, 48)
    # [n, 5]
    said = np.concatenate([np.eye(4)[hair][:, :3], male[:, None], young[:, None]], 1).astype(bool)

    def example(i):
        # what lies outside the middle square is white
        picture = np.full((218, 178, 3), 255, np.uint8)
        picture[20:100] = np.array([[0, 0, 0], [240, 240, 0], [120, 60, 0], [60, 60, 240]])[hair[i]]
        picture[100:198, :89], picture[100:198, 89:] = 200 * male[i], 200 * young[i]
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        known = dict(zip(multidomain.ATTRIBUTES, said[i].tolist(), strict=True))
        features = stock.info.features
        return {
            "image": stream.getvalue(),
            "attributes": {name: known.get(name, False) for name in features["attributes"]},
            "landmarks": dict.fromkeys(features["landmarks"], 0),
            **({"identity": {"Identity_No": i}} if "identity" in features else {}),
        }

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION, name = stock.version, "celeb_a"

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=stock.info.features, disable_shuffling=True
            )

        def _split_generators(self, manager):
            return {
                "train": self._generate_examples(range(36)),
                "test": self._generate_examples(range(36, 48)),
            }

        def _generate_examples(self, numbers):
            for i in numbers:
                yield i, example(i)

    Builder(data_dir=place, file_format="array_record").download_and_prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(place))
        config = presets(stargan)["celeba"][1].but(
            side=8, width=4, blocks=1, layers=2, batch_size=8
        )
        yield config, pipeline.load(stargan.source(config), place / "base"), said


def test_celeba_is_its_middle_square_with_five_attributes(faces):
    config, data, said = faces
    raw = {name: jnp.asarray(array[:36]) for name, array in data.train.items()}
    assert set(raw) > set(golden.PUBLISHED["tfds:celeb_a"])
    config = config.but(side=16, flip=False)
    batch = jax.jit(stargan.source(config).prepare)(raw, jax.random.key(0))
    np.testing.assert_array_equal(batch["c"][:, 0], said[:36])
    x = (batch["x"][:, 0] + 1) * 255 / 2
    assert x.shape == (36, 16, 16, 3)
    np.testing.assert_allclose(x[:, 13, 3, 0], 200 * said[:36, 3], atol=1e-3)
    np.testing.assert_allclose(x[:, 13, 12, 1], 200 * said[:36, 4], atol=1e-3)
    assert x[:, 0].max() < 241 and x[:, -1].max() < 201  # nothing white from outside
    blond = x[said[:36, 1]]
    np.testing.assert_allclose(blond[:, 0, :, :2], 240, atol=1e-3)  # to the upper edge


def test_faces_are_judged_and_drawn(faces, monkeypatch):
    config, data, said = faces
    seen = []
    monkeypatch.setattr(
        images,
        "grid",
        lambda rows, columns: seen.append(rows.reshape(10, columns, 8, 8, 3)),
    )
    params = {
        "generator": {"Conv_0": {"kernel": jnp.zeros((7, 7, 8, 4))}},
        "discriminator": {"domains": {"kernel": jnp.zeros((2, 2, 8, 5))}},
    }

    class Idle(Trained):
        def generator(self, x, c):
            return x

    idle = Idle(None, {"params": params})
    measured = stargan.evaluate(config, idle, data, jax.random.key(0))
    assert (
        "test/l1" not in measured
        and measured["test/l1_own"] == measured["test/l1_reconstruction"] == 0
    )
    # one in three hair colours may be asked for and is there
    changed = np.concatenate([1 - said[36:, :3], np.ones((12, 2))], 1).mean()
    assert (
        measured["test/domain_error"]
        >= 100 * changed - 1e-6 - measured["test/domain_error_of_real"]
    )
    stargan.sample(config, idle, data, jax.random.key(0))
    (rows,) = seen
    assert (
        rows.shape[1] == 1 + 5
        and (rows == rows[:, :1]).all()
        and len(np.unique(rows[:, 0], axis=0)) > 3
    )
