"""Where arrays live: the mesh of devices, the state on all of them, each batch split among them.

The only file that says "device". Programs are written for the global view: the batch that a step sees is the whole
batch, so batch statistics, minibatch features and noise mean what the paper says, however many devices share the work.
"""

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
