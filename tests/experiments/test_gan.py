"""The GAN's file: parameter counts, schedules, each switch of the protocol, and what the theory
says of the optimum.
"""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from experiments import gan
from experiments.presets.gan import TINY
from gen_jax import game as games
from gen_jax.config import from_json, to_json
from gen_jax.errors import UserError
from tests import golden

DATA = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1)), jnp.uint8)}
BATCH = gan.source(TINY).prepare(DATA, jax.random.key(0))


def test_parameter_counts():
    """[C] in the papers' specification."""
    table = json.loads(golden.path("gan").read_text())["paper"]
    sizes = {"generator": 0, "discriminator": 0}
    for name, shape in table.items():
        if name != "total":
            sizes[name.partition("/")[0]] += math.prod(shape)
    assert sizes == {"generator": 2_503_984, "discriminator": 1_231_441}


def played(config, steps=1):
    one = games.of(gan, config)
    state = one.init(jax.random.key(1), BATCH)
    for _ in range(steps):
        state, metrics = one.step(state, BATCH)
    return state.params, metrics


def difference(a, b, network):
    return max(
        float(jnp.abs(x - y).max())
        for x, y in zip(*(jax.tree.leaves(t[network]) for t in (a, b)), strict=True)
    )


@pytest.mark.parametrize(
    ("change", "discriminator", "generator"),
    [
        # The noise of both players is one, and G does not see D's update; D's own is unchanged.
        ({"together": True}, False, True),
        ({"discriminator_factor": 0.5}, True, True),
        ({"generator_loss": "minimax"}, False, True),
    ],
)
def test_each_switch_changes_the_update(change, discriminator, generator):
    # Initial slopes are tiny.
    config = TINY.but(optimizer=gan.MomentumDescent(learning_rate=100.0))
    before, after = played(config)[0], played(config.but(**change))[0]
    changed = {network: difference(before, after, network) > 0 for network in before}
    assert changed == {"discriminator": discriminator, "generator": generator}


def test_half_the_loss_is_half_the_step_of_plain_descent():
    start = games.of(gan, TINY).init(jax.random.key(1), BATCH).params["discriminator"]
    whole, half = (
        jax.tree.map(
            jnp.subtract, played(TINY.but(discriminator_factor=f))[0]["discriminator"], start
        )
        for f in (1.0, 0.5)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 2 * b, atol=1e-6), whole, half)


def test_rate_and_momentum_follow_their_schedules():
    """v <- m v - rate g, with m from 0.5 in epoch 1 to 0.7 in epoch 250 and the rate divided after
    each update.
    """
    config = gan.Config(optimizer=gan.MomentumDescent(saturate=3))
    rule = gan.players(config)["generator"].optimizer
    w, state = jnp.zeros(()), rule.init(jnp.zeros(()))
    move = jax.jit(lambda g, state: rule.update(g, state))
    velocity = expected = 0.0
    for step in range(2200):
        updates, state = move(jnp.float32(math.sin(step)), state)
        w = optax.apply_updates(w, updates)
        # pylearn2 counts epochs from 1, and raises the momentum before each.
        momentum = 0.5 + 0.2 * min((step // 500) / 2, 1)
        velocity = momentum * velocity - 0.1 / 1.000004**step * math.sin(step)
        expected += velocity
    assert float(w) == pytest.approx(expected, abs=1e-4)


def test_the_last_bias_starts_from_the_mean_image():
    """Pixels that are always black start at -16.1, as in pylearn2, and so stay black."""
    mean = BATCH["x"].mean(0).at[0].set(0)
    bias = (
        games.of(gan, TINY)
        .init(jax.random.key(0), {**BATCH, "mean": mean})
        .params["generator"]["out"]["bias"]
    )
    np.testing.assert_allclose(jax.nn.sigmoid(bias)[1:], mean[1:], rtol=1e-5)
    assert float(bias[0]) == pytest.approx(np.log(1e-7), rel=1e-6)
    of_one = np.array([[[[0]]], [[[102]]]], np.uint8)
    assert float(gan.source(TINY).init_extras({"image": of_one})["mean"][0]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (
            gan.Config,
            {"mean_clip": 0.5},
            "mean-clip is 0.5; it must be a number above 0 and below 0.5",
        ),
        (gan.Config, {"mean_clip": 0.0}, "mean-clip is 0.0; it must be"),
        (gan.MomentumDescent, {"start": 250}, "saturate is 250; it must be above start, 250"),
    ],
)
def test_what_has_no_logit_or_no_slope_is_refused(kind, change, words):
    with pytest.raises(UserError, match=words):
        kind(**change)


def test_init_leaves_the_state_that_it_is_given_unchanged(monkeypatch):
    """Like every function of a game, init is pure: it gives a state of its own."""
    inner = games.of(gan, TINY)
    state = inner.init(jax.random.key(0), BATCH)
    given = games.Game(lambda key, batch: state, inner.step)
    monkeypatch.setattr(games, "make", lambda *_, **__: given)
    mean = BATCH["x"].mean(0)
    started = games.of(gan, TINY).init(jax.random.key(0), {**BATCH, "mean": mean})
    out, new = (one.params["generator"]["out"] for one in (state, started))
    assert not out["bias"].any() and new["bias"].any()
    assert new["kernel"] is out["kernel"]


def test_noise_is_uniform_of_unit_variance(key_reuse):
    z = gan.noise(gan.Config(latents=3), 40_000, jax.random.key(0))
    assert z.shape == (40_000, 3)
    assert float(jnp.abs(z).max()) <= math.sqrt(3)
    assert float(z.var()) == pytest.approx(1, abs=0.02)


def test_a_config_of_an_older_release_opens():
    """Fields that it lacks have the values that they had then."""
    older = to_json(TINY)
    del older["mean_clip"], older["optimizer"]["start"]
    expected = TINY.but(mean_clip=1e-3, optimizer=gan.MomentumDescent(start=2))
    assert from_json(gan.Config, older, "config.json") == expected


# Theory, executed (section 4) ---------------------------------------------------------------------


def test_a_discriminator_trained_to_convergence_is_p_over_p_plus_q():
    """Proposition 1 on p = N(-1, 1), q = N(1, 1): log D/(1-D) = log p/q = -2 x, linear, so a linear
    D can reach it.
    """
    p, q = stats.norm(-1, 1), stats.norm(1, 1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)  # expectations under N(0, 1), exact
    weights = jnp.asarray(weights / weights.sum(), jnp.float32)

    def loss(w):
        real, fake = (w[0] * (nodes + centre) + w[1] for centre in (-1, 1))
        return (weights * (jax.nn.softplus(-real) + jax.nn.softplus(fake))).sum()

    newton = jax.jit(lambda w: w - jnp.linalg.solve(jax.hessian(loss)(w), jax.grad(loss)(w)))
    w = jnp.zeros(2)
    for _ in range(20):
        w = newton(w)
    x = np.linspace(-3, 3, 13)
    optimum = p.pdf(x) / (p.pdf(x) + q.pdf(x))
    np.testing.assert_allclose(jax.nn.sigmoid(w[0] * x + w[1]), optimum, atol=1e-3)


@pytest.mark.parametrize("distance", [0.0, 0.5, 2.0, 6.0])
def test_the_value_at_the_optimum_is_twice_the_jensen_shannon_divergence_minus_log_4(distance):
    """Theorem 1, by quadrature; -log 4 exactly where p = q."""
    p, q = stats.norm(0, 1), stats.norm(distance, 1)
    integral = functools.partial(lambda f: integrate.quad(f, -12, 18, epsabs=1e-12, limit=200)[0])

    def mixed(x):
        return 0.5 * (p.pdf(x) + q.pdf(x))

    def log_d(x):  # log D* and log(1 - D*)
        joint = np.logaddexp(p.logpdf(x), q.logpdf(x))
        return p.logpdf(x) - joint, q.logpdf(x) - joint

    value = integral(lambda x: p.pdf(x) * log_d(x)[0] + q.pdf(x) * log_d(x)[1])
    divergence = 0.5 * sum(
        integral(lambda x, r=r: r.pdf(x) * (r.logpdf(x) - np.log(mixed(x)))) for r in (p, q)
    )
    assert value == pytest.approx(2 * divergence - math.log(4), abs=1e-9)
    if distance == 0:
        assert value == pytest.approx(-math.log(4), abs=1e-9)
    else:
        assert value > -math.log(4) + 1e-3
