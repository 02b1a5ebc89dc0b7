"""Independent runs side by side: their states stacked along a first axis and played by one program.

All but the step is stacked: were it too, `lax.cond` would become a select, and a player that rests would play.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.game import State

AXES: Any = State(step=None, key=0, params=0, variables=0, optimizers=0, average=0)  # type: ignore[arg-type]


def configs(config: Any) -> list[Any]:
    """The config of each seed, as if it were run alone; directories end with the seed."""

    if config.run.seeds == 1:
        return [config]
    given = config.run.dir
    if given is not None and not given.name.strip("."):
        raise UserError(
            f"dir is {given}, to whose name no seed can be added: give a directory by its name."
        )

    def path(seed: int) -> Path | None:
        return given and given.with_name(f"{given.name}-s{seed}")

    seeds = range(config.run.seed, config.run.seed + config.run.seeds)
    runs = (dataclasses.replace(config.run, seed=seed, seeds=1, dir=path(seed)) for seed in seeds)
    return [dataclasses.replace(config, run=run) for run in runs]


def stack(states: list[State]) -> State:
    """One state of several; of one, that itself."""
    first = states[0]
    if len(states) == 1:
        return first
    return jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(state.replace(step=None) for state in states)
    ).replace(step=first.step)


def unstack(state: State, count: int) -> list[State]:
    """The states that were stacked."""
    if count == 1:
        return [state]
    rest = state.replace(step=None)
    return [
        jax.tree.map(lambda leaf, i=i: leaf[i], rest).replace(step=jnp.copy(state.step))
        for i in range(count)
    ]


def together(function: Callable[[State], State], count: int) -> Callable[[State], State]:
    """A function of a state for several that are stacked."""
    return function if count == 1 else jax.vmap(function, (AXES,), AXES)


def shapes(state: State, count: int) -> State:
    """Shapes and places of a stacked state, from those of one."""
    if count == 1:
        return state

    def wider(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype, sharding=leaf.sharding)

    return jax.tree.map(wider, state.replace(step=None)).replace(step=state.step)
