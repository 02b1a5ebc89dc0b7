"""Reads the weights of a run from a verified checkpoint, without its data and its optimizers."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gen_jax.errors import CheckpointError, UserError
from gen_jax.run.checkpoint import SEAL, Checkpoints, step_of, verify
from gen_jax.types import Json, Params

# The path of an array that a network computes with.
LEAF = re.compile(r"\.(params|variables|average)((?:\['[^']*'\])+)")


class Weights(NamedTuple):
    """What the networks of a run compute with, at one step."""

    params: Params
    variables: Params  # other collections, such as batch statistics
    average: Params  # running averages of weights, of the networks that have one
    step: int


def load(run: Path, step: int | None = None) -> Weights:
    """Return the weights in a run directory at a step, or at the newest one, on one device.

    Raises UserError if there is no such step, and CheckpointError if it is damaged: no other step
    is taken instead.
    """
    from orbax.checkpoint import v1 as ocp

    checkpoints = Checkpoints(run / "checkpoints", keep=1)
    sealed = {step_of(path.name): path for path in checkpoints.steps() if (path / SEAL).exists()}
    if not run.is_dir():
        raise UserError(f"{run} is no run: give the directory of a run.")
    if not sealed:
        raise UserError(f"{run} has no checkpoint: train it first.")
    if step is not None and step not in sealed:
        known = ", ".join(map(str, sorted(sealed)))
        raise UserError(f"{run} has no checkpoint of step {step}; it has {known}.")
    path = sealed[max(sealed) if step is None else step]
    try:
        seal = verify(path)
        context = ocp.Context()
        context.pytree.loading.partial_load = True
        with context:
            found = ocp.load(path, _target(seal["tree"]))
    except (CheckpointError, OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        others = ", ".join(str(other) for other in sorted(sealed) if sealed[other] != path)
        advice = f"give one of the steps {others}" if others else "train again"
        raise CheckpointError(f"{path} cannot be read ({reason}): {advice}.") from error
    params, variables, average = (found.get(name, {}) for name in Weights._fields[:3])
    return Weights(params, variables, average, int(seal["step"]))


def _target(tree: Json) -> Params:
    """Return the shapes of the weights in a seal, for one device."""
    where = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target: Params = {}
    for path, spec in tree.items():
        if leaf := LEAF.fullmatch(path):
            *outer, last = [leaf[1], *re.findall(r"\['([^']*)'\]", leaf[2])]
            inside = target
            for name in outer:
                inside = inside.setdefault(name, {})
            kind, bracket, shape = spec.partition("[")
            size = tuple(json.loads(bracket + shape))
            inside[last] = jax.ShapeDtypeStruct(size, np.dtype(kind), sharding=where)
    return target
