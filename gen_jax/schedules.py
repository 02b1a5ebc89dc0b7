"""Learning rates as functions of a player's own updates, and which weights an optimizer holds."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from gen_jax.types import Array


def falling(rate: float, updates: int) -> optax.Schedule:
    """Constant over the first half of the updates, then linear to 0."""
    half = max(updates // 2, 1)
    return optax.schedules.join_schedules([optax.constant_schedule(rate), optax.linear_schedule(rate, 0, half)], [half])


def ending(rate: float, steps: int, *, share: float, period: int, every: int) -> optax.Schedule:
    """Constant, and in the last share of a game's steps linear to 0, but in one of a period only by what one step does.

    Of a player that plays at the last of each `every` steps. With a period of 1 the rate does reach 0.
    """
    last = max(round(share * steps), 1)  # steps

    def at(count: Array) -> Array:
        late = jnp.maximum((count + 1) * every - 1 - (steps - last), 0)
        return rate * (1 - late // period / last)

    return at


def without_biases(descent: optax.GradientTransformation) -> optax.GradientTransformation:
    """Hold the biases of convolutions at 0, where they begin: some Torch codes set them so before each evaluation."""

    def held(params: Any) -> Any:
        def of_convolution(path: Any, _: Array) -> bool:
            return path[-1].key == "bias" and path[-2].key.startswith("Conv")

        return jax.tree_util.tree_map_with_path(of_convolution, params)

    return optax.chain(descent, optax.masked(optax.set_to_zero(), held))
