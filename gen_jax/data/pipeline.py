"""Batches as a pure function of seed and step, so that a resumed run gets the same batches.

The order of an epoch is a keyed bijection of the indices, evaluated only where it is needed:
nothing is shuffled or stored. Data sets that fit stay on the device, and a batch is a gather.
Larger sets are streamed: the host gathers the next chunk while the device computes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.catalog import sets
from gen_jax.errors import UserError
from gen_jax.types import Array, Batch, Key

Arrays = Mapping[str, np.ndarray]  # {"image": uint8 [n, h, w, c], "label": [n], ...}, memory-mapped
PART = 2**24  # values of images that are converted at once


def identity(batch: Batch, key: Key) -> Batch:
    """Return the batch unchanged: no preparation."""
    return batch


def no_extras(train: Arrays) -> Batch:
    """The training set provides nothing to the initial state."""
    return {}


def vectors(batch: Batch, key: Key) -> Batch:
    """Add "x": the grey values of "image", uint8 [b, h, w, c] -> float [b, h*w*c] in [0, 1]."""
    image = batch["image"]
    return {**batch, "x": image.reshape(len(image), -1).astype(jnp.float32) / 255}


def binary_vectors(batch: Batch, key: Key) -> Batch:
    """Add "x" as `vectors` does, but each value is sampled as 0 or 1 with the grey value as its
    probability, anew at each step.
    """
    return {**batch, "x": jax.random.bernoulli(key, vectors(batch, key)["x"]).astype(jnp.float32)}


def flat(arrays: Arrays, count: int | None = None) -> np.ndarray:
    """Return the grey values of the first `count` or all of "image" in [0, 1], like `vectors`:
    [n, d].
    """
    image = arrays["image"][:count]
    return image.reshape(len(image), -1) / np.float32(255)


def mean_image(train: Arrays) -> Batch:
    """Return the mean of each pixel: {"mean": [d]}. For the `init_extras` of a source.

    At most PART values at a time are in memory. The images are added in order, as `mean` does, so
    the result has the same bits.
    """
    image = train["image"]
    total = np.zeros(image[0].size, np.float32)
    count = max(1, PART // image[0].size)
    for first in range(0, len(image), count):
        total = np.vstack([total, flat({"image": image[first : first + count]})]).sum(0)
    return {"mean": jnp.asarray(total / np.float32(len(image)))}


class Source(NamedTuple):
    """The data of an experiment, and the preparation of a batch within the step."""

    name: str  # in gen_jax.data.catalog.sets
    # Maps raw uint8 values to the inputs of the objective; includes augmentation.
    prepare: Callable[[Batch, Key], Batch] = identity
    train: str = "train"
    test: str = "test"
    # Values from the whole training set for the initial state.
    init_extras: Callable[[Arrays], Batch] = no_extras
    # Both splits, if they are computed instead of loaded by name.
    arrays: Callable[[], tuple[Arrays, Arrays]] | None = None
    # Fields that are drawn independently in training: unpaired domains.
    unpaired: tuple[str, ...] = ()
    # Shape and type of each field of an example, if the arrays take long to compute.
    fields: Mapping[str, tuple[tuple[int, ...], str]] | None = None


class Data(NamedTuple):
    """Both splits of a source, opened."""

    train: Arrays
    test: Arrays
    prepare: Callable[[Batch, Key], Batch]
    init_extras: Callable[[Arrays], Batch] = no_extras
    unpaired: tuple[str, ...] = ()
    hashes: Mapping[str, str] = {}  # SHA-256 of each field, by split


def load(source: Source, directory: Path | None = None) -> Data:
    """Open the data of a source; prepare them on first use.

    Raises UserError if paired fields differ in length.
    """
    hashes: dict[str, str]
    if source.arrays:
        train, test = source.arrays()
        hashes = {
            f"{s}/{n}": _digest(a)
            for s, fields in (("train", train), ("test", test))
            for n, a in fields.items()
        }
    else:
        train, test = (
            sets.load(source.name, split, directory) for split in (source.train, source.test)
        )
        hashes = sets.hashes(source.name, (source.train, source.test), directory)
    if (
        len(
            lengths := {
                len(array) for field, array in train.items() if field not in source.unpaired
            }
        )
        > 1
    ):
        raise UserError(
            f"{source.name} has fields of {min(lengths)} to {max(lengths)} examples; fields of "
            "different lengths are "
            "domains without pairs: name them in `unpaired`."
        )
    return Data(train, test, source.prepare, source.init_extras, source.unpaired, hashes)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(
        f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).data
    ).hexdigest()


def size(arrays: Arrays) -> int:
    """Return the number of examples, or of the smallest domain if they differ."""
    return min(len(array) for array in arrays.values())


def spread(arrays: Arrays, count: int) -> Arrays:
    """Return `count` evenly spaced examples of each field: [n, ...] -> [count, ...]."""
    return {
        name: array[np.linspace(0, len(array) - 1, count).astype(int)]
        for name, array in arrays.items()
    }


def megabytes(arrays: Arrays) -> float:
    """Return the size in memory, in 10^6 bytes."""
    return sum(a.nbytes for a in arrays.values()) / 1e6


def check_batch(arrays: Arrays, batch_size: int) -> None:
    """Raise UserError if a batch is larger than the data."""
    if batch_size > size(arrays):
        raise UserError(
            f"batch-size is {batch_size}; the data have {size(arrays)} examples, so give at most "
            "that many."
        )


def permute(index: Array, count: int, key: Key) -> Array:
    """Return a random bijection of 0 .. count-1, evaluated only at `index` [b].

    It is a Feistel network of 8 rounds on the next larger power of four, iterated until the value
    is in range (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking).
    """
    half = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = jnp.uint32((1 << half) - 1)
    keys = jax.random.bits(key, (8,), jnp.uint32)

    def mix(x: Array) -> Array:  # the finaliser of MurmurHash3 (Appleby 2011)
        x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
        x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
        return x ^ (x >> 16)

    def encipher(x: Array) -> Array:
        left, right = x >> half, x & mask
        for i in range(8):
            left, right = right, left ^ (mix(right + keys[i]) & mask)
        return (left << half) | right

    def walk(x: Array) -> Array:
        return jnp.where(x >= count, encipher(x), x)

    outside = jax.lax.while_loop(
        lambda x: (x >= count).any(), walk, encipher(index.astype(jnp.uint32))
    )
    return outside.astype(jnp.int32)


def indices(key: Key, step: Array, *, count: int, batch_size: int) -> Array:
    """Return the examples in the batch of a step: [batch_size].

    Each epoch has a new order. Its last batch is dropped if it is incomplete.
    """
    per_epoch = count // batch_size
    epoch, batch = step // per_epoch, step % per_epoch
    return permute(
        batch * batch_size + jnp.arange(batch_size), count, jax.random.fold_in(key, epoch)
    )


def _order(key: Key) -> Key:
    return jax.random.fold_in(key, 0)


def _augmentation(key: Key, step: Array) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, 1), step)


# (raw arrays, key, step, first step of the chunk) -> batch
BatchOf = Callable[[Batch, Key, Array, Array], Batch]


def _chosen(
    arrays: Arrays, key: Key, step: Array, batch_size: int, unpaired: tuple[str, ...]
) -> Batch:
    """Return the indices of each field in the batch of a step; each unpaired field has its own
    order.
    """
    orders = {name: jax.random.fold_in(key, 2 + i) for i, name in enumerate(unpaired)}
    paired = {name: array for name, array in arrays.items() if name not in unpaired} or arrays
    together = indices(_order(key), step, count=size(paired), batch_size=batch_size)
    alone = {
        n: indices(order, step, count=len(arrays[n]), batch_size=batch_size)
        for n, order in orders.items()
    }
    return {name: alone.get(name, together) for name in arrays}


class Shard(NamedTuple):
    """The part of a batch to prepare: all of it, unless each device has its own part."""

    rows: Callable[[Array], Array] = lambda rows: rows
    key: Callable[[Key], Key] = lambda key: key


ALL = Shard()


def resident(
    arrays: Arrays,
    prepare: Callable[[Batch, Key], Batch],
    *,
    batch_size: int,
    unpaired: tuple[str, ...] = (),
    part: Shard = ALL,
) -> BatchOf:
    """Return the batch function for raw arrays that are the whole set, [n, ...], on the device."""

    def batch_of(raw: Batch, key: Key, step: Array, first: Array) -> Batch:
        chosen = {
            n: part.rows(rows)
            for n, rows in _chosen(arrays, key, step, batch_size, unpaired).items()
        }
        return prepare(
            {n: a[chosen[n]] for n, a in raw.items()}, part.key(_augmentation(key, step))
        )

    return batch_of


def streamed(prepare: Callable[[Batch, Key], Batch], part: Shard = ALL) -> BatchOf:
    """Return the same batch function for raw arrays of one chunk, [steps, batch, ...], from
    `stream`.
    """

    def batch_of(raw: Batch, key: Key, step: Array, first: Array) -> Batch:
        return prepare(
            {n: a[step - first] for n, a in raw.items()}, part.key(_augmentation(key, step))
        )

    return batch_of


def stream(
    arrays: Arrays,
    key: Key,
    chunks: Iterator[tuple[int, int]],
    *,
    batch_size: int,
    unpaired: tuple[str, ...] = (),
    rows: slice = slice(None),
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the raw batches of each chunk (first step, number of steps): [steps, batch, ...].

    They are gathered one chunk ahead. `rows` selects the rows of each batch for this host.
    """
    chosen_by = jax.jit(
        jax.vmap(lambda key, step: _chosen(arrays, key, step, batch_size, unpaired), (None, 0))
    )

    def gather(first: int, steps: int) -> dict[str, np.ndarray]:
        # by field: [steps, batch]
        whole = jax.device_get(chosen_by(key, jnp.arange(first, first + steps)))
        chosen = {n: each[:, rows] for n, each in whole.items()}
        return {
            n: np.asarray(a[chosen[n].ravel()]).reshape(*chosen[n].shape, *a.shape[1:])
            for n, a in arrays.items()
        }

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        ahead = None
        for chunk in chunks:
            ready, ahead = ahead, pool.submit(gather, *chunk)
            if ready:
                yield ready.result()
        if ahead:
            yield ahead.result()


def batches(
    arrays: Arrays,
    prepare: Callable[[Batch, Key], Batch],
    key: Key,
    *,
    batch_size: int,
    count: int = 0,
) -> Iterator[tuple[Batch, Key]]:
    """Yield pairs (prepared batch, key) in the order of the data, for evaluation.

    They cover the first `count` examples, or all if it is 0. Domains of different sizes are cut to
    the smallest: give `arrays` of equal lengths to use all examples.
    """
    count = count or size(arrays)
    for first in range(0, count, batch_size):
        raw = {n: jnp.asarray(a[first : min(first + batch_size, count)]) for n, a in arrays.items()}
        augment, use = jax.random.split(jax.random.fold_in(key, first))
        yield prepare(raw, augment), use
