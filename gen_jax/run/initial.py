"""The start of a run from the networks of another run, or from published weights.

Each network gets the weights that the other run trains, and its variables, such as batch
statistics. A running average gets the other run's average of that network, or else a copy of the
weights. Everything else is as in any new run.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gen_jax.config import Run
from gen_jax.errors import UserError
from gen_jax.game import State
from gen_jax.run import weights
from gen_jax.run.checkpoint import tree_spec
from gen_jax.types import Json, Params

Published = Mapping[str, Callable[[], Params]]  # name -> the weights, by network


class Initial(NamedTuple):
    """Weights to start from."""

    params: Params  # by network
    variables: dict[str, Params]  # by collection, then by network
    average: Params  # of the networks that have one in both runs
    record: Json  # for config.json: "from", "step", "networks", "sha256" of the weights


def load(run: Run, shapes: State, published: Published, known: Json | None = None) -> Initial:
    """Return the networks that a run starts from, for a state of these shapes.

    `known` is the record of an earlier start of the same run, which must get the same weights.
    Raises UserError if the other run, its step or a network does not exist, if an array has another
    shape, or if the weights have changed since `known`; CheckpointError if they are damaged.
    """
    name = str(run.init_from)
    if name in published and not Path(name).exists():
        found = weights.Weights(published[name](), {}, {}, 0)
    else:
        path, step = _place(name, known)
        if published and not path.exists():
            named = ", ".join(published)
            raise UserError(f"init-from is {name}: give the directory of a run, or {named}.")
        found = weights.load(path, step)
    names = _networks(run, name, _names(shapes), _names(found))
    theirs = _parts(found, names)
    theirs["average"] = _of(found.average, [n for n in names if n in shapes.average])
    ours = _parts(shapes, names)
    ours["average"] = _of(shapes.average, theirs["average"])
    _check_same(name, tree_spec(theirs), tree_spec(ours))
    record = {"from": name, "step": found.step, "networks": names, "sha256": _digest(theirs)}
    if known and known.get("sha256") != record["sha256"]:
        raise UserError(
            f"{name} has other weights than when this run began, at step {known.get('step')}: "
            "give another --run.dir."
        )
    return Initial(theirs["params"], theirs["variables"], theirs["average"], record)


def start_from(state: State, initial: Initial) -> State:
    """Return the state before the first step, with these networks, on the devices of the state."""

    def put(old: jax.Array, new: np.ndarray) -> jax.Array:
        value = np.asarray(new)
        # Copied, since a shared buffer cannot be donated twice.
        return jax.make_array_from_callback(
            value.shape, old.sharding, lambda where: value[where].copy()
        )

    def taken(old: Params, new: Params) -> Params:
        return {**old, **{n: jax.tree.map(put, old[n], new[n]) for n in new if n in old}}

    return state.replace(
        params=taken(state.params, initial.params),
        variables={n: taken(v, initial.variables.get(n, {})) for n, v in state.variables.items()},
        average=taken(state.average, {**initial.params, **initial.average}),
    )


def _place(name: str, known: Json | None) -> tuple[Path, int | None]:
    """Return the directory and the step in DIRECTORY or DIRECTORY@STEP."""
    if not Path(name).exists() and (parts := re.fullmatch(r"(.+)@(\d+)", name)):
        return Path(parts[1]), int(parts[2])
    return Path(name), known["step"] if known else None


def _names(part: State | weights.Weights) -> list[str]:
    return sorted({*part.params}.union(*part.variables.values()))


def _networks(run: Run, name: str, ours: list[str], theirs: list[str]) -> list[str]:
    """Return the networks to take. Raises UserError if there are none, or not those asked for."""
    have = f"{name} has {', '.join(theirs)}, and this run {', '.join(ours)}"
    for network in run.init_networks or ():
        if network not in ours or network not in theirs:
            raise UserError(f"init-networks has {network}, which is not in both runs: {have}.")
    if both := [n for n in run.init_networks or ours if n in theirs]:
        return sorted({*both})
    raise UserError(f"init-from is {name}, of which no network has a name of this run: {have}.")


def _of(tree: Params, names: Iterable[str]) -> Params:
    return {name: tree[name] for name in names if name in tree}


def _parts(part: State | weights.Weights, names: list[str]) -> dict[str, Params]:
    inside = {collection: _of(tree, names) for collection, tree in part.variables.items()}
    return {
        "params": _of(part.params, names),
        "variables": {collection: tree for collection, tree in inside.items() if tree},
    }


def _check_same(name: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raise UserError with the first array that differs."""
    for path in {**theirs, **ours}:
        there, here = theirs.get(path, "nothing"), ours.get(path, "nothing")
        if there != here:
            array = "/".join(re.findall(r"\['([^']*)'\]", path)[1:])
            raise UserError(
                f"{array} is {there} in {name}, but {here} here: give the same shapes, "
                "or choose other networks by --run.init-networks."
            )


def _digest(tree: Params) -> str:
    """Return the SHA-256 of the paths, types, shapes and values of all arrays."""
    digest = hashlib.sha256()
    for (path, spec), leaf in zip(tree_spec(tree).items(), jax.tree.leaves(tree), strict=True):
        digest.update(f"{path} {spec}\n".encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
