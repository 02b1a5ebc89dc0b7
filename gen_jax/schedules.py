"""Learning rates as functions of a player's own updates."""

import optax


def falling(rate: float, updates: int) -> optax.Schedule:
    """Constant over the first half of the updates, then linear to 0."""
    half = max(updates // 2, 1)
    return optax.schedules.join_schedules([optax.constant_schedule(rate), optax.linear_schedule(rate, 0, half)], [half])
