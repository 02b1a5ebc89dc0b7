"""Losses against their formulas, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import losses, objectives


def test_losses_are_cross_entropies():
    logits = np.array([-3.0, 0.0, 2.0, 50.0])
    d = 1 / (1 + np.exp(-logits))
    assert float(losses.bce_real(jnp.asarray(logits))) == pytest.approx(-np.log(d).mean(), rel=1e-5)
    assert float(losses.bce_fake(jnp.asarray(logits[:3]))) == pytest.approx(
        -np.log(1 - d[:3]).mean(), rel=1e-5
    )
    assert float(losses.minimax(jnp.asarray(logits[:3]))) == pytest.approx(
        np.log(1 - d[:3]).mean(), rel=1e-5
    )
    assert float(
        losses.accuracy(jnp.array([1.0, -1.0]), jnp.array([-2.0, -0.5, 3.0, 1.0]))
    ) == pytest.approx(0.5)


def test_least_squares_and_absolute_errors():
    scores = jnp.array([[1.0, 3.0], [0.0, -2.0]])
    assert float(losses.least_squares(scores, 1)) == pytest.approx((0 + 4 + 1 + 9) / 4)
    assert float(losses.least_squares(scores, 0)) == pytest.approx((1 + 9 + 0 + 4) / 4)
    assert float(losses.l1(scores, jnp.array([[0.0, 5.0], [0.0, 1.0]]))) == pytest.approx(
        (1 + 2 + 0 + 3) / 4
    )


@pytest.mark.parametrize(
    "loss",
    [
        lambda: losses.l1(jnp.ones((4, 1)), jnp.ones(4)),  # would broadcast to [4, 4]
        lambda: losses.joint_embedding(jnp.ones((4, 3))),
        lambda: objectives.gradient_penalty(
            lambda x: x.sum(1), jnp.ones((4, 2)), jnp.ones((4, 1)), jax.random.key(0)
        ),
        lambda: objectives.label_cross_entropy(jnp.ones((4, 3)), jnp.ones((4, 2)), [(3, True)]),
        lambda: objectives.label_cross_entropy(jnp.ones((4, 3)), jnp.ones((4, 3)), [(2, True)]),
    ],
)
def test_shapes_are_checked(loss):
    with pytest.raises(AssertionError, match="shape"):
        loss()
