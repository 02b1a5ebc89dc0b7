"""Placement of arrays: the mesh of devices, the state on all of them, and each batch split among
them.

Programs are written for the global view: a step has the whole batch. Batch statistics, minibatch
features and noise are therefore as in the papers, for any number of devices.

Alternatively, each device runs a step on its own part, and the results are averaged over the
devices. jax.pmap does the same, but it is itself built on jax.shard_map and no longer maintained.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gen_jax.errors import DeviceError, UserError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

AXIS = "data"
MIN_SHARD_SIZE = 4096  # elements; smaller arrays of a state are never divided
JOIN_TIMEOUT_S = 300  # maximum wait for the other processes to start
HEARTBEAT_TIMEOUT_S = 100  # a process without heartbeat is lost, and this one ends


def join(hosts: int) -> None:
    """Connect this process to the others, on one host or several, all started with the same
    command.

    JAX itself detects SLURM, Kubernetes and TPU pods. Otherwise, $JAX_COORDINATOR_ADDRESS is
    HOST:PORT of the first process and $JAX_PROCESS_ID is the number of each process, from 0. Raises
    UserError if not exactly `hosts` processes connect.
    """
    if hosts == 1:
        return
    address, number = os.environ.get("JAX_COORDINATOR_ADDRESS"), os.environ.get("JAX_PROCESS_ID")
    try:
        jax.distributed.initialize(
            address,
            hosts if number else None,
            int(number) if number else None,
            initialization_timeout=JOIN_TIMEOUT_S,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT_S,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(
            f"hosts is {hosts}, but they did not connect ({reason}): start that many processes; "
            "without a scheduler, set $JAX_COORDINATOR_ADDRESS and $JAX_PROCESS_ID."
        ) from error
    if (count := jax.process_count()) != hosts:
        raise UserError(f"hosts is {hosts}, but {count} processes connected: give that number.")


def check_devices() -> None:
    """Raise DeviceError if JAX finds no device of the requested kind."""
    try:
        jax.devices()
    # JAX raises AssertionError if the plugin of a platform is missing.
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip() or "its plugin is missing or finds no device"
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise DeviceError(
            f"JAX finds no device ({reason.splitlines()[0][:200]}): check JAX_PLATFORMS, "
            f"which is {platforms!r}, and the other variables of JAX."
        ) from error


def process_index() -> int:
    """Return the number of this process. Process 0 draws samples, evaluates and reports."""
    return jax.process_index()


def barrier(name: str) -> None:
    """Wait for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def all_reduce_max(value: int, after: object) -> int | None:
    """Return the maximum over all processes, once the arrays of `after` are ready.

    Returns None if there is one process. On a CPU, two programs that communicate at the same time
    may deadlock, hence `after`.
    """
    if jax.process_count() == 1:
        return None
    jax.block_until_ready(after)
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def to_host_local(tree: T) -> T:
    """Return the same tree, complete, on the first device of this process. All processes must call
    it.
    """
    if jax.process_count() == 1:
        return tree
    leaves = jax.tree.leaves(tree)
    if not all(leaf.is_fully_replicated for leaf in leaves):
        everywhere = replicated(leaves[0].sharding.mesh)
        tree = jax.jit(lambda tree: tree, out_shardings=everywhere)(tree)
    local: T = jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
    return local


def mesh(count: int = 0) -> Mesh:
    """Return the first `count` devices along one axis; 0 takes all.

    Raises UserError if there are fewer.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if count and jax.process_count() > 1:
        raise UserError(
            f"devices is {count}; several hosts always use all devices: give --run.devices 0."
        )
    if count > (most := len(devices)):
        raise UserError(f"devices is {count}; this machine has {most}, so give at most that many.")
    return Mesh(np.array(devices[: count or most]), (AXIS,), axis_types=(AxisType.Auto,))


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """Raise UserError if a batch cannot be split evenly."""
    if batch_size % mesh.size:
        raise UserError(
            f"batch-size is {batch_size}; it must be a multiple of the {mesh.size} devices, "
            "or give --run.devices."
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding with a copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Return the sharding that splits an array along one axis."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def fsdp_shardings(tree: T, mesh: Mesh) -> T:
    """Return the sharding of each array: large arrays are divided along their longest divisible
    side.

    FSDP is Rajbhandari et al. 2020 (ZeRO, stage 3). XLA gathers a weight where it is used and
    scatters its gradient.
    """

    def sharding(leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        sides = [axis for axis, n in enumerate(leaf.shape) if n % mesh.size == 0]
        if not sides or leaf.size < MIN_SHARD_SIZE:
            return replicated(mesh)
        return split(mesh, max(sides, key=lambda axis: leaf.shape[axis]))

    shardings: T = jax.tree.map(sharding, tree)
    return shardings


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copy a tree of arrays to each device: the same tree, of JAX arrays."""
    everywhere = replicated(mesh)
    if jax.process_count() == 1:
        return jax.device_put(tree, everywhere)

    def copy(array: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(
            array.shape, everywhere, lambda where: np.asarray(array[where])
        )

    return jax.tree.map(copy, tree)


def process_rows(count: int) -> slice:
    """Return the rows of this process, out of `count` rows split among all devices."""
    size = count // jax.process_count()
    return slice(process_index() * size, (process_index() + 1) * size)


def from_rows(own: Mapping[str, np.ndarray], mesh: Mesh, axis: int) -> dict[str, jax.Array]:
    """Return arrays split along one axis, assembled from the rows of each process."""
    where = split(mesh, axis)
    if jax.process_count() == 1:
        arrays: dict[str, jax.Array] = jax.device_put(dict(own), where)
        return arrays
    return {name: jax.make_array_from_process_local_data(where, rows) for name, rows in own.items()}


def split_batch(batch: T, mesh: Mesh) -> T:
    """Inside a program: split a batch among the devices along its first axis."""
    shared: T = jax.lax.with_sharding_constraint(batch, split(mesh))
    return shared


def per_device(function: F, mesh: Mesh, *, raw_axis: int | None) -> F:
    """Run `function`(state, raw data, first step, key) on each device, with equal results on all.

    The raw data are split along `raw_axis`, or copied to each device for None.
    """
    copied = PartitionSpec()
    raw = copied if raw_axis is None else PartitionSpec(*[None] * raw_axis, AXIS)
    inputs = (copied, raw, copied, copied)
    # With check_vma, JAX would itself sum the gradients of replicated values.
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=copied, check_vma=False)


def local_rows(rows: jax.Array) -> jax.Array:
    """Inside `per_device`: return the part of this device, [b] -> [b / devices]."""
    size = len(rows) // jax.lax.axis_size(AXIS)
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(AXIS) * size, size)


def local_key(key: jax.Array) -> jax.Array:
    """Inside `per_device`: return the key of this device."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))
