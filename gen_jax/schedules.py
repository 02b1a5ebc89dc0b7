"""Learning rates as functions of a player's own updates."""

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
