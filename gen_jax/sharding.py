"""Where arrays live: the mesh of devices, the state on all of them, each batch split among them.

The only file that says "device". Programs are written for the global view: the batch that a step sees is the whole
batch, so batch statistics, minibatch features and noise mean what the paper says, however many devices share the work.
Or each device plays a step on its own part, and means over the devices are taken: what jax.pmap does, which is made of
jax.shard_map and is kept up no further.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gen_jax.errors import UserError

AXIS = "data"


def mesh(count: int = 0) -> Mesh:
    """The first `count` devices, all of them for 0, in one axis; fewer than asked for is an error."""
    devices = jax.devices()
    if count > len(devices):
        raise UserError(f"devices is {count}; this machine has {len(devices)}, so ask for at most that many.")
    used = np.array(devices[: count or len(devices)])
    return Mesh(used, (AXIS,), axis_types=(AxisType.Auto,))


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """A batch is split evenly or not at all."""
    if batch_size % mesh.size:
        raise UserError(
            f"batch-size is {batch_size}; it must be a multiple of the {mesh.size} devices, or give --run.devices."
        )


def everywhere(mesh: Mesh) -> NamedSharding:
    """A copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Split along one axis of the array."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy of a tree of arrays on each device."""
    return jax.device_put(tree, everywhere(mesh))


def split_batch(batch: Any, mesh: Mesh) -> Any:
    """Inside a program: share a batch among the devices along its first axis."""
    return jax.lax.with_sharding_constraint(batch, split(mesh))


def each(function: Callable[..., Any], mesh: Mesh, *, raw: int | None) -> Callable[..., Any]:
    """(state, raw data, first step, key) -> what each device makes of its part, which must be the same on all.

    The raw data are split along the axis `raw`, or not at all.
    """
    whole = PartitionSpec()
    given = (whole, whole if raw is None else PartitionSpec(*[None] * raw, AXIS), whole, whole)
    # Not checked for what varies: it would sum the gradients of what is the same on all devices by itself.
    return jax.shard_map(function, mesh=mesh, in_specs=given, out_specs=whole, check_vma=False)


def own(rows: jax.Array) -> jax.Array:
    """Inside `each`: the part of this device, [b] -> [b / devices]."""
    size = len(rows) // jax.lax.axis_size(AXIS)
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(AXIS) * size, size)


def own_key(key: jax.Array) -> jax.Array:
    """Inside `each`: the key of this device."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))
