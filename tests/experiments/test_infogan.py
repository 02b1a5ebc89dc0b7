"""InfoGAN's file: parameter counts, the bound in closed form, whom it moves, each switch, and the matching of codes."""

import dataclasses
import functools
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import infogan
from gen_jax import game as games
from gen_jax.distributions import Gaussian
from gen_jax.run.experiment import presets
from tests import golden

DATA = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)), jnp.uint8)}
BATCH = infogan.source(infogan.TINY).prepare(DATA, jax.random.key(0))
KEY = jax.random.key(7)


@pytest.mark.parametrize("preset", ["paper", "official", "passive"])
def test_parameter_counts(preset):
    """[C] in the papers' specification."""
    sizes = {"generator": 0, "trunk": 0, "discriminator_head": 0, "q_head": 0}
    for name, shape in json.loads(golden.path("infogan").read_text())[preset].items():
        if name != "total":
            sizes[name.partition("/")[0]] += math.prod(shape)
    assert sizes == {
        "generator": 6_652_481,
        "trunk": 6_558_144,
        "discriminator_head": 1025,
        "q_head": 133_262,
    }


def test_codes_are_drawn_from_the_prior(key_reuse):
    code = infogan.draw(50_000, jax.random.key(8))
    assert sum(part.shape[1] for part in code) == 74
    np.testing.assert_array_equal(np.unique(code.category), [0, 1])
    np.testing.assert_array_equal(code.category.sum(1), 1)
    np.testing.assert_allclose(code.category.mean(0), 0.1, atol=0.01)
    for part in (code.noise, code.continuous):
        assert -1 <= part.min() < -0.99 and 0.99 < part.max() <= 1
        np.testing.assert_allclose(part.mean(0), 0, atol=0.02)
        np.testing.assert_allclose(part.var(0), 1 / 3, atol=0.01)


def test_the_bound_is_tight_for_a_perfect_q_and_zero_for_one_that_says_the_prior():
    code = infogan.draw(1000, KEY)
    log_sigma = -3.0
    sharp = Gaussian(code.continuous, jnp.full((1000, 2), 2 * log_sigma))
    nats = infogan.information((1000 * code.category, sharp), code)
    narrow = (
        math.log(2) - log_sigma - 0.5 * math.log(2 * math.pi)
    )  # H(U) - log sigma - log(2 pi) / 2, at the mean
    np.testing.assert_allclose(nats, [math.log(10), narrow, narrow], rtol=1e-5)
    blind = infogan.information((jnp.zeros((1000, 10)), sharp), code)
    assert float(blind[0]) == pytest.approx(0, abs=1e-6)


def test_the_bound_is_the_mutual_information_at_the_exact_posterior():
    """Of a category seen through a channel that tells it with probability 0.8: I = log 10 + sum p log p."""
    right, wrong = 0.8, 0.2 / 9
    seen = np.repeat(
        np.arange(10), 100
    )  # each category 80 times as itself, then as the nine others
    others = np.concatenate(
        [np.r_[np.full(80, i), np.resize(np.delete(np.arange(10), i), 20)] for i in range(10)]
    )
    logits = jnp.asarray(np.log(np.where(others[:, None] == np.arange(10), right, wrong)))
    code = infogan.Code(jnp.zeros((1000, 62)), jax.nn.one_hot(seen, 10), jnp.zeros((1000, 2)))
    nats = infogan.information((logits, Gaussian(jnp.zeros((1000, 2)), jnp.zeros((1000, 2)))), code)
    expected = math.log(10) + right * math.log(right) + 9 * wrong * math.log(wrong)
    assert float(nats[0]) == pytest.approx(expected, abs=1e-5)
    assert expected < math.log(10) - 0.9


def test_ceilings():
    """Where sigma is 1: a perfect mean gives log 2 - log(2 pi) / 2 < 0, which the official code counts as 1/6."""
    assert math.log(infogan.CATEGORIES) == pytest.approx(2.302585, abs=1e-6)
    code = infogan.draw(200_000, KEY)
    perfect = Gaussian(code.continuous, jnp.zeros_like(code.continuous))
    nats = infogan.information((code.category, perfect), code)
    np.testing.assert_allclose(nats[1:], infogan.CEILING, atol=1e-5)
    assert pytest.approx(-0.2258, abs=1e-4) == infogan.CEILING
    prior = (
        Gaussian(jnp.zeros((1, 2)), jnp.zeros((1, 2))).log_prob(code.continuous) / 2
    )  # of one code
    counted = float(perfect.log_prob(code.continuous).mean() / 2 - prior.mean())
    assert counted == pytest.approx(infogan.CEILING + infogan.EXCESS, abs=2e-3)
    assert pytest.approx(1 / 6, abs=1e-12) == infogan.CEILING + infogan.EXCESS
    assert pytest.approx(0.392, abs=1e-3) == infogan.EXCESS


@functools.cache
def first(config=infogan.TINY):
    return jax.jit(games.of(infogan, config).init)(jax.random.key(1), BATCH)


def size(tree):
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "reaches"),
    [
        ({}, True),
        ({"passive": True}, False),
        ({"lambda_category": 0, "lambda_continuous": 0}, False),
    ],
)
def test_the_bound_reaches_generator_and_trunk_only_where_lambda_is_above_0_and_q_is_not_passive(
    changes, reaches
):
    """Another Q changes their gradients exactly there."""
    config = dataclasses.replace(infogan.TINY, **changes)
    for player, network in (("generator", "generator"), ("discriminator", "trunk")):
        objective, state, module = (
            infogan.players(config)[player].objective,
            first(),
            infogan.model(config),
        )

        def slope(own, q, state=state, objective=objective, module=module, network=network):
            def loss(own):
                variables = {
                    "params": {**state.params, network: own, "q_head": q},
                    **state.variables,
                }
                return module.apply(
                    variables, BATCH, KEY, method=objective, mutable=["batch_stats"]
                )[0][0]

            return jax.grad(loss)(own)

        own, q = state.params[network], state.params["q_head"]
        difference = jax.tree.map(
            jnp.subtract, slope(own, q), slope(own, jax.tree.map(lambda w: 3 * w + 0.1, q))
        )
        assert size(slope(own, q)) > 1e-4
        assert (size(difference) > 1e-4) == reaches
        assert reaches or size(difference) == 0


def stepped(config):
    """The weights after one step from the same birth; a passive Q has an optimizer of its own."""
    one, state = games.of(infogan, config), first()
    optimizers = {
        n: p.optimizer.init({m: state.params[m] for m in p.moves})
        for n, p in infogan.players(config).items()
    }
    return jax.device_get(one.step(state.replace(optimizers=optimizers), BATCH)[0].params)


@pytest.mark.long
def test_a_passive_q_is_a_plain_gan_beside_which_q_learns():
    plain = dataclasses.replace(infogan.TINY, lambda_category=0, lambda_continuous=0)
    passive, without, born = (
        stepped(dataclasses.replace(plain, passive=True)),
        stepped(plain),
        first().params,
    )
    for name in ("generator", "trunk", "discriminator_head"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), passive[name], without[name]
        )
        assert size(jax.tree.map(jnp.subtract, without[name], born[name])) > 1e-5
    jax.tree.map(
        np.testing.assert_array_equal, without["q_head"], born["q_head"]
    )  # nothing moves it at lambda = 0
    assert size(jax.tree.map(jnp.subtract, passive["q_head"], born["q_head"])) > 1e-5
    moves = {
        name: player.moves
        for name, player in infogan.players(presets(infogan)["passive"][1]).items()
    }
    assert moves == {
        "discriminator": ("trunk", "discriminator_head"),
        "generator": ("generator",),
        "q": ("q_head",),
    }


CHANGES = {
    "leak": 0.01,
    "sigma": "one",
    "lambda_category": 2,
    "lambda_continuous": 1,
    "discriminator_rate": 1e-4,
    "generator_rate": 1e-4,
}


def test_each_switch_changes_the_update():
    """The discriminator's turn comes first, so the generator's rate changes its own weights alone."""
    base = stepped(infogan.TINY)
    for name, value in CHANGES.items():
        other = stepped(dataclasses.replace(infogan.TINY, **{name: value}))
        changed = {
            net for net in base if size(jax.tree.map(jnp.subtract, base[net], other[net])) > 1e-5
        }
        if name == "generator_rate":
            assert changed == {"generator"}
        else:
            assert changed >= {"trunk", "q_head", "generator"}, name


def test_presets_are_the_two_protocols():
    paper, official = presets(infogan)["paper"][1], presets(infogan)["official"][1]
    assert (paper.leak, paper.sigma, paper.lambda_category) == (0.1, "learned", 1)
    assert (
        official.leak,
        official.sigma,
        official.lambda_category,
        official.lambda_continuous,
    ) == (0.01, "one", 1, 1)
    for config in (paper, official):
        assert (
            config.batch_size,
            config.steps,
            config.discriminator_rate,
            config.generator_rate,
        ) == (
            128,
            5000,
            2e-4,
            1e-3,
        )


def test_sigma_is_exp_of_q_s_output_or_one():
    h = jax.random.normal(KEY, (6, 32))
    for sigma in ("learned", "one"):
        head = infogan.QHead(width=2, leak=0.1, sigma=sigma)
        variables = head.init(KEY, h)
        raw = variables["params"]["Dense_1"]
        raw["bias"] = jnp.zeros(14).at[12:].set(jnp.array([0.5, -1.0]))
        raw["kernel"] = jnp.zeros_like(raw["kernel"])
        logits, continuous = head.apply(variables, h)
        assert logits.shape == (6, 10)
        expected = [0.5, -1.0] if sigma == "learned" else [0, 0]
        np.testing.assert_allclose(0.5 * continuous.log_variance, np.tile(expected, (6, 1)))


def test_real_and_fake_images_are_normalised_apart():
    """What Q reads off the fakes does not depend on the real images beside them, in play and when judged."""
    state, module = first(), infogan.model(infogan.TINY)
    variables = {"params": state.params, **state.variables}
    objective = infogan.players(infogan.TINY)["discriminator"].objective
    ends, read = [], []
    for x in (BATCH["x"], BATCH["x"] ** 3):
        ends.append(
            module.apply(variables, {"x": x}, KEY, method=objective, mutable=["batch_stats"])[0]
        )
        read.append(infogan.read(module, variables, x, KEY)[1])
    (loss, metrics), (other_loss, other) = ends
    assert abs(float(loss - other_loss)) > 5e-6
    np.testing.assert_allclose(
        metrics["information_category"], other["information_category"], atol=1e-6
    )
    np.testing.assert_allclose(read[0], [metrics[name] for name in infogan.NAMES], atol=1e-4)
    np.testing.assert_allclose(*read, atol=1e-6)
    rested = module.apply(variables, method=lambda model: infogan.fake(model, 16, KEY)[1])
    assert float(jnp.abs(rested - read[0]).max()) > 1e-4


def test_initial_weights():
    """Normal of 0.02, truncated at twice that in convolutions; gains around 1."""
    config = dataclasses.replace(infogan.TINY, width=16)
    params = first(config).params
    dense, conv = params["generator"]["Dense_1"]["kernel"], params["trunk"]["Conv_1"]["kernel"]
    assert (
        float(dense.std()) == pytest.approx(0.02, rel=0.05) and float(jnp.abs(dense).max()) > 0.05
    )
    assert 0.015 < float(conv.std()) < 0.019 and float(jnp.abs(conv).max()) <= 0.04
    gains = params["trunk"]["BatchNorm_1"]["scale"]
    assert float(gains.mean()) == pytest.approx(1, abs=0.01) and float(
        gains.std()
    ) == pytest.approx(0.02, rel=0.3)


def test_matching_one_to_one_and_best_map():
    counts = np.array(
        [[50, 0, 0], [40, 10, 0], [0, 0, 30]]
    )  # the second category is better off with a taken class
    found = infogan.errors(counts)
    assert found["test/error_best_map"] == pytest.approx(100 * 10 / 130)
    assert found["test/error_hungarian"] == pytest.approx(100 * 40 / 130)
    permuted = infogan.errors(np.diag([5, 6, 7])[[2, 0, 1]])
    assert permuted == {"test/error_best_map": 0, "test/error_hungarian": 0}


def test_the_hungarian_matching_is_the_best_of_all():
    counts = np.random.default_rng(3).integers(0, 100, (5, 5))
    best = max(counts[range(5), order].sum() for order in itertools.permutations(range(5)))
    found = infogan.errors(counts)
    assert found["test/error_hungarian"] == pytest.approx(100 * (1 - best / counts.sum()))
    assert found["test/error_best_map"] < found["test/error_hungarian"]


def test_figures_move_one_code_at_a_time(key_reuse):
    codes = infogan.figures(jax.random.key(8))
    square = {
        name: jax.tree.map(lambda x: np.asarray(x).reshape(10, 10, -1), code)
        for name, code in codes.items()
    }
    category = square["traversal_category"]
    np.testing.assert_array_equal(category.category, np.tile(np.eye(10), (10, 1, 1)))
    assert (category.noise == category.noise[:, :1]).all() and (
        category.noise[0, 0] != category.noise[1, 0]
    ).all()
    for i in range(2):
        moved = square[f"traversal_continuous_{i + 1}"]
        np.testing.assert_allclose(
            moved.continuous[..., i], np.tile(np.linspace(-2, 2, 10), (10, 1)), atol=1e-6
        )
        assert (moved.continuous[..., 1 - i] == 0).all() and (
            moved.noise == moved.noise[0, 0]
        ).all()
        np.testing.assert_array_equal(moved.category, np.repeat(np.eye(10)[:, None], 10, axis=1))
    assert len(np.unique(codes["samples"].noise, axis=0)) == 100
