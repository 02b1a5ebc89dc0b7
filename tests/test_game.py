"""The engine against closed forms: whose turn it is, what moves, what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from gen_jax import game
from gen_jax.errors import UserError
from gen_jax.game import Player
from gen_jax.optimizers import Adam


class Scalar(nn.Module):
    """A network of one weight, born at `start`; it counts its uses where the collection is mutable."""

    start: float

    @nn.compact
    def __call__(self):
        if self.is_mutable_collection("uses") and not self.is_initializing():
            self.variable("uses", "count", lambda: jnp.zeros(())).value += 1
        elif self.is_initializing():
            self.variable("uses", "count", lambda: jnp.zeros(()))
        return self.param("w", nn.initializers.constant(self.start), ())


class Pair(nn.Module):
    a: nn.Module
    b: nn.Module


MODEL = Pair(Scalar(1.0), Scalar(2.0))
SGD = optax.sgd(0.5)


def product(model, batch, key):
    """a * b: the gradient of each is the other."""
    return model.a() * model.b(), {}


def players(**changes):
    return {
        "first": Player(("a",), product, SGD)._replace(**changes.get("first", {})),
        "second": Player(("b",), product, SGD)._replace(**changes.get("second", {})),
    }


def play(steps, **options):
    one = game.make(MODEL, options.pop("players", players()), **options)
    state = one.init(jax.random.key(0), {})
    return jax.jit(game.steps, static_argnums=(0, 2, 3))(one, state, lambda step: {}, steps)


def weights(state):
    return float(state.params["a"]["w"]), float(state.params["b"]["w"])


def test_in_turn_the_second_player_sees_the_move_of_the_first():
    state, metrics = play(1)  # a = 1 - 2/2 = 0, then b = 2 - 0/2
    assert weights(state) == (0.0, 2.0)
    np.testing.assert_array_equal([metrics["first/loss"], metrics["second/loss"]], [[2.0], [0.0]])


def test_together_both_gradients_are_taken_at_the_same_point():
    state, _ = play(1, together=True)  # a = 1 - 2/2 = 0, b = 2 - 1/2
    assert weights(state) == (0.0, 1.5)


def test_the_order_of_players_is_the_order_of_the_dict():
    state, _ = play(1, players=dict(reversed(players().items())))  # b = 2 - 1/2, then a = 1 - 1.5/2
    assert weights(state) == (0.25, 1.5)


def test_every_third_step_and_rest_is_nan():
    state, metrics = play(7, players=players(second={"every": 3}))
    played = ~np.isnan(metrics["second/loss"])
    np.testing.assert_array_equal(played, [True, False, False, True, False, False, True])
    assert int(state.step) == 7
    assert np.all(metrics[game.FINITE] == 1)


def test_odd_and_even_steps():
    _, metrics = play(4, players=players(first={"every": 2}, second={"every": 2, "at": 1}))
    played = [~np.isnan(metrics[f"{name}/loss"]) for name in ("first", "second")]
    np.testing.assert_array_equal(played, [[True, False, True, False], [False, True, False, True]])


def test_a_network_that_the_player_does_not_move_keeps_its_variables():
    one = game.make(MODEL, {"first": players()["first"]})
    state, _ = one.step(one.init(jax.random.key(0), {}), {})
    assert float(state.variables["uses"]["a"]["count"]) == 1
    assert float(state.variables["uses"]["b"]["count"]) == 0


def test_running_average_follows_its_definition():
    state, _ = play(3, players=players(first={"average": 0.9}))
    a, average, b = 1.0, 1.0, 2.0
    for _ in range(3):
        a, average = a - 0.5 * b, 0.9 * average + 0.1 * (a - 0.5 * b)
        b -= 0.5 * a
    assert float(state.average["a"]["w"]) == pytest.approx(average, abs=1e-6)
    trained = game.trained(MODEL, state)
    assert float(trained(lambda model: model.a())) == pytest.approx(average, abs=1e-6)
    assert float(trained(lambda model: model.b())) == weights(state)[1]


def test_each_step_and_player_has_noise_of_its_own_but_together_shares_it():
    def noisy(model, batch, key):
        return model.a() * model.b(), {"noise": jax.random.normal(key)}

    both = {name: player._replace(objective=noisy) for name, player in players().items()}
    _, turns = play(3, players=both)
    noise = np.concatenate([turns["first/noise"], turns["second/noise"]])
    assert len(set(noise.tolist())) == 6
    _, shared = play(3, players=both, together=True)
    np.testing.assert_array_equal(shared["first/noise"], shared["second/noise"])


def test_objectives_read_the_step():
    def objective(model, batch, key):
        return model.a() * model.b(), {"step": batch["step"]}

    _, metrics = play(3, players={"first": Player(("a",), objective, SGD)})
    np.testing.assert_array_equal(metrics["first/step"], [0, 1, 2])


@pytest.mark.parametrize(("where", "marked"), [("loss", 0), ("a", -1), ("b", -2)])
def test_what_is_not_finite_is_marked(where, marked):
    def objective(model, batch, key):
        bad = batch["step"] == 1
        if where == "loss":
            return jnp.where(bad, jnp.inf, model.a() + model.b()), {}
        own, other = (model.a(), model.b()) if where == "a" else (model.b(), model.a())
        # 0, with slope infinity times 0
        return other + jnp.sqrt(jnp.where(bad, 0.0, 1.0) * own**2), {}

    _, metrics = play(2, players={"first": Player(("a", "b"), objective, SGD)})
    np.testing.assert_array_equal(metrics[game.FINITE], [1, marked])


def test_a_network_without_weights_has_no_average():
    class Activated(nn.Module):
        a: Scalar
        act: nn.Module

    def objective(model, batch, key):
        return model.act(model.a()), {}

    player = Player(("a", "act"), objective, SGD, average=0.5)
    one = game.make(Activated(Scalar(1.0), nn.Sequential((nn.relu,))), {"one": player})
    state, _ = one.step(one.init(jax.random.key(0), {}), {})
    assert [*state.average] == ["a"]


def test_an_unknown_network_is_named():
    wrong = game.make(MODEL, {"first": Player(("c",), product, SGD)})
    with pytest.raises(
        UserError,
        match=r"a player moves 'c', which is not a network of Pair, which has \['a', 'b'\]",
    ):
        wrong.init(jax.random.key(0), {})


@pytest.mark.parametrize(
    ("players", "sentence"),
    [
        ([Player(("a",), product, SGD)], "are a list; they must be a dictionary"),
        ({"one": Player("a", product, SGD)}, r"moves the string 'a'; give a tuple, \('a',\)"),
        ({"one": Player(("a",), product, Adam(1e-3))}, "of type Adam; give one of Optax"),
        ({}, "there are no players"),
        ({"one": Player((), product, SGD)}, "moves no network"),
        ({"one": Player(("a",), product, SGD, every=5, at=5)}, "every=5 and at=5, so it never"),
        ({"one": Player(("a",), product, SGD, every=0)}, "every=0 and at=0, so it never"),
        ({"one": Player(("a",), product, SGD, average=1.5)}, "average=1.5; give 0 <= average < 1"),
    ],
)
def test_players_that_are_none_are_refused(players, sentence):
    with pytest.raises(UserError, match=sentence):
        game.make(MODEL, players)


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda x: x, "objective of player 'one' returned a .*; it must return"),
        (lambda x: (x, x), "objective of player 'one' returned a tuple"),
        (lambda x: (x[None], {}), r"one/loss has shape \[1\]; it must be a scalar"),
        (lambda x: (x, {"score": x[None]}), r"one/score has shape \[1\]"),
        (lambda x: (x, {"score": "large"}), "one/score is of type str; it must be a number"),
        (lambda x: (x, {"loss": x + 1}), "'loss' is the loss of player 'one'"),
    ],
)
def test_objectives_that_return_something_else_are_refused(returned, sentence):
    one = game.make(MODEL, {"one": Player(("a",), lambda m, batch, key: returned(m.a()), SGD)})
    with pytest.raises(UserError, match=sentence):
        one.init(jax.random.key(0), {})


def test_seeds_as_a_batch_axis_equal_solo_runs():
    def objective(model, batch, key):
        return (model.a() - jax.random.normal(key)) ** 2 * model.b(), {}

    one = game.make(MODEL, {"first": Player(("a",), objective, optax.sgd(0.1))})
    keys = jax.random.split(jax.random.key(1), 4)
    many = jax.vmap(
        lambda key: game.steps(one, one.init(key, {}), lambda step: {}, 5)[0].params["a"]["w"]
    )(keys)
    solo = [
        game.steps(one, one.init(key, {}), lambda step: {}, 5)[0].params["a"]["w"] for key in keys
    ]
    np.testing.assert_allclose(many, jnp.stack(solo), rtol=1e-6)


def test_gradients_flow_through_a_network_inside_an_objective(key_reuse):
    """A linear critic's gradient penalty is (|w| - 1)^2, in init and in step."""

    class Critic(nn.Module):
        critic: nn.Module

    def penalty(model, batch, key):
        slope = jax.grad(lambda x: model.critic(x).sum())(batch["x"])  # [b, 3]
        return ((jnp.linalg.norm(slope, axis=-1) - 1) ** 2).mean(), {}

    one = game.make(
        Critic(nn.Dense(1, use_bias=False)), {"critic": Player(("critic",), penalty, SGD)}
    )
    batch = {"x": jnp.ones((4, 3))}
    state = one.init(jax.random.key(0), batch)
    _, metrics = one.step(state, batch)
    norm = np.linalg.norm(state.params["critic"]["kernel"])
    assert float(metrics["critic/loss"]) == pytest.approx((norm - 1) ** 2, rel=1e-5)
