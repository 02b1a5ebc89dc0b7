"""Objectives that papers share: the gradient penalty of critics whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from gen_jax import game as games
from gen_jax.game import Player
from gen_jax.networks.conv import Conv
from gen_jax.objectives import gradient_penalty

SHAPE = (8, 5, 4, 3)
W = 0.3 * jax.random.normal(jax.random.key(0), SHAPE[1:])
REAL, FAKE = (s * jax.random.normal(jax.random.key(k), SHAPE) for s, k in ((1, 1), (3, 2)))


@pytest.mark.parametrize("target", [1.0, 750.0])
def test_a_linear_critic_s_penalty_is_the_square_of_its_norm_s_distance_from_the_target(target):
    linear = gradient_penalty(
        lambda x: (x * W[None]).sum((1, 2, 3)), REAL, FAKE, jax.random.key(3), target=target
    )
    assert linear == pytest.approx((float(jnp.linalg.norm(W.ravel())) - target) ** 2, rel=1e-5)
    # scores, summed
    patches = gradient_penalty(lambda x: x * W[None], REAL, FAKE, jax.random.key(3), target=target)
    assert float(patches) == pytest.approx(float(linear), rel=1e-6)


def test_the_gradient_is_taken_between_an_image_and_its_own_fake():
    """Of |x|^2 / 2 it is x itself, so that the penalty of images at 2 and fakes at 5 tells the
    points.
    """
    real, fake = 2 * jnp.ones((4000, 1)), 5 * jnp.ones((4000, 1))
    penalty = gradient_penalty(
        lambda x: (x**2 / 2).sum(-1), real, fake, jax.random.key(0), target=0
    )
    assert penalty == pytest.approx(13, rel=0.02)  # the mean of t^2 from 2 to 5
    same = gradient_penalty(lambda x: (x**2 / 2).sum(-1), real, real, jax.random.key(0))
    assert same == pytest.approx(1, rel=1e-5)


def test_a_flat_critic_has_a_penalty_and_a_gradient_that_is_finite():
    value, gradient = jax.value_and_grad(
        lambda w: gradient_penalty(lambda x: w * x.sum((1, 2, 3)), REAL, FAKE, jax.random.key(0))
    )(0.0)
    assert value == pytest.approx(1, abs=1e-4) and np.isfinite(gradient)


class Pair(nn.Module):
    generator: nn.Module
    critic: nn.Module


def test_it_composes_inside_a_player_s_objective():
    """A critic with no more than the penalty ends with a gradient of norm 1, second derivatives and
    all.
    """

    def objective(model, batch, key):
        fake = model.generator(batch["x"])
        penalty = gradient_penalty(model.critic, batch["x"], fake, key)
        return penalty, {"scores": model.critic(batch["x"]).mean()}

    pair = Pair(Conv(3, (3, 3)), Conv(1, SHAPE[1:3], padding="VALID", use_bias=False))
    players = {"critic": Player(("critic",), objective, optax.sgd(0.1))}
    one = games.make(pair, players)
    state = jax.jit(one.init)(jax.random.key(0), {"x": REAL})
    last, metrics = jax.jit(lambda state: games.steps(one, state, lambda step: {"x": REAL}, 60))(
        state
    )
    before, after = (
        float(jnp.linalg.norm(s.params["critic"]["kernel"].ravel())) for s in (state, last)
    )
    assert abs(before - 1) > 0.01 and after == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(metrics["critic/loss"][0], (before - 1) ** 2, rtol=1e-4)
    assert (metrics[games.FINITE] == 1).all()
