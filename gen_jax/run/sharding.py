"""Where arrays live: the mesh of devices, the state on all of them, each batch split among them.

Programs are written for the global view: a step sees the whole batch, so batch statistics,
minibatch features and noise mean what the paper says, however many devices share the work.
Alternatively each device runs a step on its own part, and means over the devices are taken. This is
what jax.pmap does; jax.pmap itself is built on jax.shard_map and no longer maintained.
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
MIN_SHARD_SIZE = 4096  # numbers: smaller arrays of a state are never divided
JOIN_TIMEOUT_S = 300  # for the other processes to start
HEARTBEAT_TIMEOUT_S = 100  # without a heartbeat: that process is lost, and this one ends


def join(hosts: int) -> None:
    """Connect this process to the others, on one host or several, each with the same command.

    JAX itself detects SLURM, Kubernetes and TPU pods. Elsewhere $JAX_COORDINATOR_ADDRESS is
    HOST:PORT of the first process and $JAX_PROCESS_ID the number of each, from 0. Raises UserError
    if not exactly `hosts` processes connect.
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
            f"hosts is {hosts}, but they did not come together ({reason}): "
            "start as many processes, with $JAX_COORDINATOR_ADDRESS and $JAX_PROCESS_ID where no scheduler tells."
        ) from error
    if (count := jax.process_count()) != hosts:
        raise UserError(f"hosts is {hosts}, but {count} processes came together: give that number.")


def check_devices() -> None:
    """Raise DeviceError if JAX finds no device of the kind that was asked for."""
    try:
        jax.devices()
    # JAX asserts where the plugin of a platform is missing.
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip() or "its plugin is missing or finds no device"
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise DeviceError(
            f"JAX finds no device ({reason.splitlines()[0][:200]}): look at JAX_PLATFORMS, "
            f"which is {platforms!r}, and at JAX's other variables."
        ) from error


def process_index() -> int:
    """The number of this process. The first one, 0, draws samples, evaluates and reports."""
    return jax.process_index()


def barrier(name: str) -> None:
    """Wait for all processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def all_reduce_max(value: int, after: object) -> int | None:
    """The maximum over all processes, once the arrays of `after` are ready.

    None if there is one process.

    On a CPU two programs that communicate at the same time may deadlock, hence `after`.
    """
    if jax.process_count() == 1:
        return None
    jax.block_until_ready(after)
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def to_host_local(tree: T) -> T:
    """The same tree, whole, on the first device of this process. All processes must call it."""
    if jax.process_count() == 1:
        return tree
    leaves = jax.tree.leaves(tree)
    if not all(leaf.is_fully_replicated for leaf in leaves):
        everywhere = replicated(leaves[0].sharding.mesh)
        tree = jax.jit(lambda tree: tree, out_shardings=everywhere)(tree)
    local: T = jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
    return local


def mesh(count: int = 0) -> Mesh:
    """The first `count` devices along one axis; 0 takes all.

    Raises UserError if there are fewer.
    """
    devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    if count and jax.process_count() > 1:
        raise UserError(
            f"devices is {count}; several hosts use all that they have: give --run.devices 0."
        )
    if count > (most := len(devices)):
        raise UserError(
            f"devices is {count}; this machine has {most}, so ask for at most that many."
        )
    return Mesh(np.array(devices[: count or most]), (AXIS,), axis_types=(AxisType.Auto,))


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """Raise UserError if a batch cannot be split evenly."""
    if batch_size % mesh.size:
        raise UserError(
            f"batch-size is {batch_size}; it must be a multiple of the {mesh.size} devices, "
            "or give --run.devices."
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Split along one axis of the array."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def fsdp_shardings(tree: T, mesh: Mesh) -> T:
    """The sharding of each array: large ones are divided along their longest divisible side.

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
    """The rows of this process, of `count` rows that are split among all devices."""
    size = count // jax.process_count()
    return slice(process_index() * size, (process_index() + 1) * size)


def from_rows(own: Mapping[str, np.ndarray], mesh: Mesh, axis: int) -> dict[str, jax.Array]:
    """Arrays that are split along one axis, made from the rows that each process has."""
    where = split(mesh, axis)
    if jax.process_count() == 1:
        arrays: dict[str, jax.Array] = jax.device_put(dict(own), where)
        return arrays
    return {name: jax.make_array_from_process_local_data(where, rows) for name, rows in own.items()}


def split_batch(batch: T, mesh: Mesh) -> T:
    """Inside a program: share a batch among the devices along its first axis."""
    shared: T = jax.lax.with_sharding_constraint(batch, split(mesh))
    return shared


def per_device(function: F, mesh: Mesh, *, raw_axis: int | None) -> F:
    """`function`(state, raw data, first step, key), run by each device, with equal results on all.

    The raw data are split along `raw_axis`, or copied to each device for None.
    """
    copied = PartitionSpec()
    raw = copied if raw_axis is None else PartitionSpec(*[None] * raw_axis, AXIS)
    inputs = (copied, raw, copied, copied)
    # With check_vma, JAX would itself sum the gradients of what is equal on all devices.
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=copied, check_vma=False)


def local_rows(rows: jax.Array) -> jax.Array:
    """Inside `per_device`: the part of this device, [b] -> [b / devices]."""
    size = len(rows) // jax.lax.axis_size(AXIS)
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(AXIS) * size, size)


def local_key(key: jax.Array) -> jax.Array:
    """Inside `per_device`: the key of this device."""
    return jax.random.fold_in(key, jax.lax.axis_index(AXIS))
