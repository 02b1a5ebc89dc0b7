"""Where arrays live: the mesh of devices, the state on all of them, each batch split among them.

The only file that says "device". Programs are written for the global view: the batch that a step sees is the whole
batch, so batch statistics, minibatch features and noise mean what the paper says, however many devices share the work.
Or each device plays a step on its own part, and means over the devices are taken: what jax.pmap does, which is made of
jax.shard_map and is kept up no further.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gen_jax.errors import DeviceError, UserError

AXIS = "data"
SPLIT = 4096  # numbers: smaller arrays of a state are never divided
PATIENCE = 300  # [s] for the other processes to come
HEARTBEAT = 100  # [s] without a sign of life after which another process is lost, and this one ends


def join(hosts: int) -> None:
    """Make the devices of so many processes, on one host or several, those of all: each runs the same command.

    SLURM, Kubernetes and TPU pods are detected by JAX itself. Elsewhere $JAX_COORDINATOR_ADDRESS is HOST:PORT of the
    first process and $JAX_PROCESS_ID the number of each, from 0.
    """
    if hosts == 1:
        return
    address, number = os.environ.get("JAX_COORDINATOR_ADDRESS"), os.environ.get("JAX_PROCESS_ID")
    try:
        jax.distributed.initialize(
            address,
            hosts if number else None,
            int(number) if number else None,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"hosts is {hosts}, but they did not come together ({reason}): start as many processes, with "
            "$JAX_COORDINATOR_ADDRESS and $JAX_PROCESS_ID where no scheduler tells."
        ) from error
    if jax.process_count() != hosts:
        raise UserError(
            f"hosts is {hosts}, but {jax.process_count()} processes came together: give that number."
        )


def check() -> None:
    """Devices of the kind that was asked for must be there."""
    try:
        jax.devices()
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # JAX asserts where the plugin of a platform is missing
        reason = (str(error).strip().splitlines() or ["its plugin is missing or finds no device"])[
            0
        ][:200]
        raise DeviceError(
            f"JAX finds no device ({reason}): look at JAX_PLATFORMS, which is {os.environ.get('JAX_PLATFORMS', '')!r}, "
            "and at JAX's other variables."
        ) from error


def process_index() -> int:
    """Of this process, 0 for the first, which draws, evaluates and reports."""
    return jax.process_index()


def barrier(name: str) -> None:
    """Wait for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def all_reduce_max(value: int, after: Any) -> int | None:
    """Over all processes, asked when some arrays are there: on a CPU two programs that talk at once may deadlock.

    None where there is one process.
    """
    if jax.process_count() == 1:
        return None
    jax.block_until_ready(after)
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def to_host_local(tree: Any) -> Any:
    """A tree, whole and on the first device of this process alone, where there are several; all processes ask."""
    if jax.process_count() == 1:
        return tree
    if not all(leaf.is_fully_replicated for leaf in jax.tree.leaves(tree)):
        own = jax.tree.leaves(tree)[0].sharding.mesh
        tree = jax.jit(lambda tree: tree, out_shardings=replicated(own))(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def mesh(count: int = 0) -> Mesh:
    """The first `count` devices, all of them for 0, in one axis; fewer than asked for is an error."""
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if count and jax.process_count() > 1:
        raise UserError(
            f"devices is {count}; several hosts use all that they have: give --run.devices 0."
        )
    if count > len(devices):
        raise UserError(
            f"devices is {count}; this machine has {len(devices)}, so ask for at most that many."
        )
    used = np.array(devices[: count or len(devices)])
    return Mesh(used, (AXIS,), axis_types=(AxisType.Auto,))


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """A batch is split evenly or not at all."""
    if batch_size % mesh.size:
        raise UserError(
            f"batch-size is {batch_size}; it must be a multiple of the {mesh.size} devices, or give --run.devices."
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Split along one axis of the array."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def fsdp_shardings(tree: Any, mesh: Mesh) -> Any:
    """The place of each array of a state whose large ones are divided, along the longest side that can be (FSDP).

    Rajbhandari et al. 2020 (ZeRO, stage 3). XLA gathers a weight where it is used and scatters its gradient.
    """

    def place(leaf: Any) -> NamedSharding:
        sides = [axis for axis, n in enumerate(leaf.shape) if n % mesh.size == 0]
        if not sides or leaf.size < SPLIT:
            return replicated(mesh)
        return split(mesh, max(sides, key=lambda axis: leaf.shape[axis]))

    return jax.tree.map(place, tree)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy of a tree of arrays on each device."""
    if jax.process_count() == 1:
        return jax.device_put(tree, replicated(mesh))
    place = jax.make_array_from_callback
    return jax.tree.map(
        lambda a: place(a.shape, replicated(mesh), lambda where: np.asarray(a[where])), tree
    )


def rows(count: int) -> slice:
    """Of so many rows that are split among all devices, those of this process."""
    size = count // jax.process_count()
    return slice(process_index() * size, (process_index() + 1) * size)


def from_rows(tree: Any, mesh: Mesh, axis: int) -> Any:
    """Arrays that are split along one axis, of which each process gives its own rows."""
    if jax.process_count() == 1:
        return jax.device_put(tree, split(mesh, axis))
    return jax.tree.map(
        lambda own: jax.make_array_from_process_local_data(split(mesh, axis), own), tree
    )


def split_batch(batch: Any, mesh: Mesh) -> Any:
    """Inside a program: share a batch among the devices along its first axis."""
    return jax.lax.with_sharding_constraint(batch, split(mesh))


def per_device(function: Callable[..., Any], mesh: Mesh, *, raw: int | None) -> Callable[..., Any]:
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
