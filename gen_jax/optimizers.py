"""Learning rates as functions of a player's own updates, Adam as frameworks have it, and which weights it holds."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gen_jax.types import Array


def constant_then_linear(rate: float, updates: int) -> optax.Schedule:
    """Constant over the first half of the updates, then linear to 0."""
    half = max(updates // 2, 1)
    return optax.schedules.join_schedules(
        [optax.constant_schedule(rate), optax.linear_schedule(rate, 0, half)], [half]
    )


def linear_tail(
    rate: float, steps: int, *, share: float, period: int, every: int
) -> optax.Schedule:
    """Constant, and in the last share of a game's steps linear to 0, but in one of a period only by what one step does.

    Of a player that plays at the last of each `every` steps. With a period of 1 the rate does reach 0.
    """
    last = max(round(share * steps), 1)  # steps

    def at(count: Array) -> Array:
        late = jnp.maximum((count + 1) * every - 1 - (steps - last), 0)
        return rate * (1 - late // period / last)

    return at


def adam(
    rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    epsilon_hat: bool = False,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) by Algorithm 1, or with `epsilon_hat` by the faster form at the end of its section 2.

    That form, rate sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps), is the one of TensorFlow, Torch and Lasagne: eps
    is not corrected with v, so that the first steps are shorter where gradients are small.
    """
    scaled = _scale_by_epsilon_hat(b1, b2, eps) if epsilon_hat else optax.scale_by_adam(b1, b2, eps)
    return optax.chain(scaled, optax.scale_by_learning_rate(rate))


def _scale_by_epsilon_hat(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count = optax.safe_increment(state.count)
        mu, nu = moments(gradients, state, b1, b2)
        correction = jnp.sqrt(1 - b2**count) / (1 - b1**count)
        moves = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + eps), mu, nu)
        return moves, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def moments(gradients: Any, state: optax.ScaleByAdamState, b1: float, b2: float) -> tuple[Any, Any]:
    """Adam's running means of the gradients and of their squares, with these gradients."""
    mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradients)
    return mu, jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, gradients)


def freeze_conv_biases(descent: optax.GradientTransformation) -> optax.GradientTransformation:
    """Hold the biases of convolutions at 0, where they begin: some Torch codes set them so before each evaluation."""

    def held(params: Any) -> Any:
        def of_convolution(path: Any, _: Array) -> bool:
            return path[-1].key == "bias" and path[-2].key.startswith("Conv")

        return jax.tree_util.tree_map_with_path(of_convolution, params)

    return optax.chain(descent, optax.masked(optax.set_to_zero(), held))
