"""Independent runs side by side: their states are stacked, and one program runs them all.

Everything except the step is stacked. If the step were stacked, `lax.cond` would become a select,
and the updates of idle players would still be computed.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.game import State
from gen_jax.run.experiment import C

# The axes for jax.vmap: None for the step, 0 for each stacked field.
AXES = State(None, 0, 0, 0, 0, 0)  # type: ignore[arg-type]


def configs(config: C) -> list[C]:
    """Return the config of each seed, as if it ran alone.

    The names of their directories end with the seed. Raises UserError if no seed can be appended to
    the name of the directory.
    """
    run = config.run
    if run.seeds == 1:
        return [config]
    if run.dir is not None and not run.dir.name.strip("."):
        raise UserError(
            f"dir is {run.dir}; no seed can be appended to this name: give a directory by its name."
        )

    def directory(seed: int) -> Path | None:
        return run.dir and run.dir.with_name(f"{run.dir.name}-s{seed}")

    seeds = range(run.seed, run.seed + run.seeds)
    runs = [run.but(seed=seed, seeds=1, dir=directory(seed)) for seed in seeds]
    return [dataclasses.replace(config, run=one) for one in runs]


def stack(states: list[State]) -> State:
    """Stack several states, [seeds, ...] each array; a single state is returned unchanged."""
    first = states[0]
    if len(states) == 1:
        return first
    rest = [state.replace(step=None) for state in states]
    stacked: State = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rest)
    return stacked.replace(step=first.step)


def unstack(state: State, count: int) -> list[State]:
    """Return the states that were stacked."""
    if count == 1:
        return [state]
    rest = state.replace(step=None)

    def part(i: int) -> State:
        own: State = jax.tree.map(lambda leaf: leaf[i], rest)
        return own.replace(step=jnp.copy(state.step))

    return [part(i) for i in range(count)]


def vmap_seeds(function: Callable[[State], State], count: int) -> Callable[[State], State]:
    """Convert a function of a state to a function of a stacked state."""
    return function if count == 1 else jax.vmap(function, (AXES,), AXES)


def stack_structs(state: State, count: int) -> State:
    """Return shapes and shardings of a stacked state, from those of a single state."""
    if count == 1:
        return state

    def stacked(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype, sharding=leaf.sharding)

    rest: State = jax.tree.map(stacked, state.replace(step=None))
    return rest.replace(step=state.step)
