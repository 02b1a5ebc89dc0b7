"""InfoGAN's file: parameter counts, the bound in closed form, whom it moves, each switch, and the
matching of codes.
"""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import infogan
from experiments.presets.infogan import TINY
from gen_jax import game as games
from gen_jax.config import from_json, to_json
from gen_jax.distributions import Gaussian
from gen_jax.evaluation import mutual_information
from gen_jax.networks.infogan import Code, QHead
from gen_jax.optimizers import Adam
from gen_jax.run.experiment import presets
from tests import golden

DATA = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)), jnp.uint8)}
BATCH = infogan.source(TINY).prepare(DATA, jax.random.key(0))
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
    code = infogan.PRIOR.draw(50_000, jax.random.key(8))
    assert sum(part.shape[1] for part in code) == 74
    np.testing.assert_array_equal(np.unique(code.category), [0, 1])
    np.testing.assert_array_equal(code.category.sum(1), 1)
    np.testing.assert_allclose(code.category.mean(0), 0.1, atol=0.01)
    for part in (code.noise, code.continuous):
        assert -1 <= part.min() < -0.99 and 0.99 < part.max() <= 1
        np.testing.assert_allclose(part.mean(0), 0, atol=0.02)
        np.testing.assert_allclose(part.var(0), 1 / 3, atol=0.01)


def test_the_bound_is_tight_for_a_perfect_q_and_zero_for_one_that_says_the_prior():
    code = infogan.PRIOR.draw(1000, KEY)
    log_sigma = -3.0
    sharp = Gaussian(code.continuous, jnp.full((1000, 2), 2 * log_sigma))
    nats = infogan.information((1000 * code.category, sharp), code)
    # H(U) - log sigma - log(2 pi) / 2, at the mean
    narrow = math.log(2) - log_sigma - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(nats, [math.log(10), narrow, narrow], rtol=1e-5)
    blind = infogan.information((jnp.zeros((1000, 10)), sharp), code)
    assert float(blind[0]) == pytest.approx(0, abs=1e-6)


def test_the_bound_is_the_mutual_information_at_the_exact_posterior():
    """Of a category seen through a channel that tells it with probability 0.8: I = log 10 + sum p
    log p.
    """
    right, wrong = 0.8, 0.2 / 9
    # each category 80 times as itself, then as the nine others
    seen = np.repeat(np.arange(10), 100)
    others = np.concatenate(
        [np.r_[np.full(80, i), np.resize(np.delete(np.arange(10), i), 20)] for i in range(10)]
    )
    logits = jnp.asarray(np.log(np.where(others[:, None] == np.arange(10), right, wrong)))
    code = Code(jnp.zeros((1000, 62)), jax.nn.one_hot(seen, 10), jnp.zeros((1000, 2)))
    nats = infogan.information((logits, Gaussian(jnp.zeros((1000, 2)), jnp.zeros((1000, 2)))), code)
    expected = math.log(10) + right * math.log(right) + 9 * wrong * math.log(wrong)
    assert float(nats[0]) == pytest.approx(expected, abs=1e-5)
    assert expected < math.log(10) - 0.9


def test_ceilings():
    """Where sigma is 1: a perfect mean gives log 2 - log(2 pi) / 2 < 0, which the official code
    counts as 1/6.
    """
    assert math.log(infogan.PRIOR.categories) == pytest.approx(2.302585, abs=1e-6)
    code = infogan.PRIOR.draw(200_000, KEY)
    perfect = Gaussian(code.continuous, jnp.zeros_like(code.continuous))
    nats = infogan.information((code.category, perfect), code)
    np.testing.assert_allclose(nats[1:], mutual_information.CEILING, atol=1e-5)
    assert pytest.approx(-0.2258, abs=1e-4) == mutual_information.CEILING
    standard = Gaussian(jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    prior = standard.log_prob(code.continuous) / 2  # of one code
    counted = float(perfect.log_prob(code.continuous).mean() / 2 - prior.mean())
    assert counted == pytest.approx(
        mutual_information.CEILING + mutual_information.EXCESS, abs=2e-3
    )
    assert pytest.approx(1 / 6, abs=1e-12) == mutual_information.CEILING + mutual_information.EXCESS
    assert pytest.approx(0.392, abs=1e-3) == mutual_information.EXCESS


@functools.cache
def first(config=TINY):
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
    config = TINY.but(**changes)
    for player, network in (("generator", "generator"), ("discriminator", "trunk")):
        objective, state = infogan.players(config)[player].objective, first()
        module = infogan.model(config)

        @jax.jit
        def slope(own, q, state=state, objective=objective, module=module, network=network):
            def loss(own):
                params = {**state.params, network: own, "q_head": q}
                variables = {"params": params, **state.variables}
                return module.apply(
                    variables, BATCH, KEY, method=objective, mutable=["batch_stats"]
                )[0][0]

            return jax.grad(loss)(own)

        own, q = state.params[network], state.params["q_head"]
        here, elsewhere = slope(own, q), slope(own, jax.tree.map(lambda w: 3 * w + 0.1, q))
        difference = jax.tree.map(jnp.subtract, here, elsewhere)
        assert size(here) > 1e-4
        assert (size(difference) > 1e-4) == reaches
        assert reaches or size(difference) == 0


def stepped(config):
    """The weights after one step from the same state; a passive Q has an optimizer of its own."""
    one, state = games.of(infogan, config), first()
    optimizers = {
        n: p.optimizer.init({m: state.params[m] for m in p.moves})
        for n, p in infogan.players(config).items()
    }
    step = jax.jit(one.step)
    return jax.device_get(step(state.replace(optimizers=optimizers), BATCH)[0].params)


@pytest.mark.long
def test_a_passive_q_is_a_plain_gan_beside_which_q_learns():
    plain = TINY.but(lambda_category=0, lambda_continuous=0)
    passive, without, start = stepped(plain.but(passive=True)), stepped(plain), first().params
    for name in ("generator", "trunk", "discriminator_head"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), passive[name], without[name]
        )
        assert size(jax.tree.map(jnp.subtract, without[name], start[name])) > 1e-5
    # nothing moves it at lambda = 0
    jax.tree.map(np.testing.assert_array_equal, without["q_head"], start["q_head"])
    assert size(jax.tree.map(jnp.subtract, passive["q_head"], start["q_head"])) > 1e-5
    moves = {
        name: player.moves
        for name, player in infogan.players(presets(infogan)["passive"][1]).items()
    }
    assert moves == {
        "discriminator": ("trunk", "discriminator_head"),
        "generator": ("generator",),
        "q": ("q_head",),
    }


class Unchecked:
    """For a config whose numbers are traced."""

    def __post_init__(self):
        pass


class TracedAdam(Unchecked, Adam):
    """Adam with a traced learning rate."""


class TracedConfig(Unchecked, infogan.Config):
    """The config of a program whose switches are arguments."""


@functools.partial(jax.jit, static_argnames="sigma")
def step_with(state, leak, lambda_category, lambda_continuous, rate, generator_rate, sigma):
    """The weights after one step, compiled once for all values of the switches but sigma."""
    switches = {
        "leak": leak,
        "sigma": sigma,
        "lambda_category": lambda_category,
        "lambda_continuous": lambda_continuous,
        "adam": TracedAdam(rate, b1=TINY.adam.b1),
        "generator_rate": generator_rate,
    }
    config = TracedConfig(**{**vars(TINY), **switches})
    return games.of(infogan, config).step(state, BATCH)[0].params


def traced_lambdas(config):
    """`infogan.lambdas` of traced numbers."""
    return jnp.stack([jnp.asarray(config.lambda_category), *2 * [config.lambda_continuous]])


CHANGES = {
    "leak": 0.01,
    "sigma": "one",
    "lambda_category": 2.0,
    "lambda_continuous": 1.0,
    "rate": 1e-4,
    "generator_rate": 1e-4,
}


def test_each_switch_changes_the_update(monkeypatch):
    """The discriminator moves first, so the generator's rate changes its own weights alone."""
    for config in (TINY, TINY.but(lambda_category=2), TINY.but(lambda_continuous=1)):
        np.testing.assert_array_equal(infogan.lambdas(config), traced_lambdas(config))
    monkeypatch.setattr(infogan, "lambdas", traced_lambdas)
    plain = {name: getattr(TINY, name, TINY.adam.learning_rate) for name in CHANGES}
    base = step_with(first(), **plain)
    for name, value in CHANGES.items():
        other = step_with(first(), **{**plain, name: value})
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
        assert (config.batch_size, config.steps) == (128, 5000)
        assert (config.adam.learning_rate, config.adam.b1, config.generator_rate) == (
            2e-4,
            0.5,
            1e-3,
        )
    assert official.adam.epsilon_hat and not paper.adam.epsilon_hat


OLD_OFFICIAL = {
    "data": "mnist",
    "width": 64,
    "leak": 0.01,
    "sigma": "one",
    "lambda_category": 1.0,
    "lambda_continuous": 1,
    "passive": False,
    "batch_size": 128,
    "steps": 5000,
    "discriminator_rate": 2e-4,
    "generator_rate": 1e-3,
    "epsilon_hat": True,
}


def test_a_flat_config_of_an_older_release_opens():
    """Adam was three fields and a constant; before 0.3 it had no `epsilon_hat`."""
    older = {**OLD_OFFICIAL, "run": to_json(infogan.OFFICIAL.run)}
    assert from_json(infogan.Config, older, "config.json") == infogan.OFFICIAL
    older |= {"discriminator_rate": 3e-4}
    del older["epsilon_hat"]
    expected = infogan.OFFICIAL.but(adam=Adam(3e-4, b1=0.5))
    assert from_json(infogan.Config, older, "config.json") == expected


def test_sigma_is_exp_of_q_s_output_or_one():
    h = jax.random.normal(KEY, (6, 32))
    for learned in (True, False):
        head = QHead(2, 0.1, infogan.PRIOR, learned_sigma=learned)
        params = head.init(KEY, h)["params"]
        kernel = jnp.zeros_like(params["Dense_1"]["kernel"])
        output = {"kernel": kernel, "bias": jnp.zeros(14).at[12:].set(jnp.array([0.5, -1.0]))}
        variables = {**head.init(KEY, h), "params": {**params, "Dense_1": output}}
        logits, continuous = head.apply(variables, h)
        assert logits.shape == (6, 10)
        expected = [0.5, -1.0] if learned else [0, 0]
        np.testing.assert_allclose(0.5 * continuous.log_variance, np.tile(expected, (6, 1)))


def test_real_and_fake_images_are_normalised_apart():
    """What Q reads off the fakes does not depend on the real images beside them, in play and when
    judged.
    """
    state, module = first(), infogan.model(TINY)
    variables = {"params": state.params, **state.variables}
    objective = infogan.players(TINY)["discriminator"].objective
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
    rested = module.apply(variables, method=lambda model: infogan.fake_batch(model, 16, KEY)[1])
    assert float(jnp.abs(rested - read[0]).max()) > 1e-4


def test_initial_weights():
    """Normal of 0.02, truncated at twice that in convolutions; gains around 1."""
    config = TINY.but(width=16)
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
