"""Images of a progressively grown generator at the current level, and real images to compare."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import images
from gen_jax.batching import by_chunks
from gen_jax.data import pipeline
from gen_jax.data.pipeline import Arrays
from gen_jax.game import Trained
from gen_jax.networks.progan import Level
from gen_jax.types import Array, Batch, Key

CHUNK = 64  # images per forward pass; batch norm, if used, takes statistics over these


@functools.cache
def generator(side: int, fading: bool) -> Callable[..., Array]:
    """Return a function of the bound module: z [n, latents], fade [n] -> [n, side, side, c]."""
    return lambda model, z, fade: model.generate(z, side, fade[0] if fading else None)


def forward(model: Trained, levels: tuple[Level, ...], z: Array | np.ndarray, side: int) -> Array:
    """Generate images at the last trained level, enlarged to `side`, in one pass: z [n, d] ->
    [n, side, side, c] in [-1, 1].
    """
    level = next(level for level in levels if model.step <= level.end)
    faded = level.fade(jnp.int32(model.step), 1)
    fade = jnp.full(z.shape[0], 0 if faded is None else faded, jnp.float32)
    x: Array = model(generator(level.side, level.fading), z, fade)
    times = side // level.side
    return x.repeat(times, 1).repeat(times, 2)


def generate(
    model: Trained, levels: tuple[Level, ...], z: Array | np.ndarray, side: int
) -> np.ndarray:
    """Generate images at the last trained level, enlarged to `side`: z [n, d] -> uint8
    [n, side, side, c].
    """
    # Latents are repeated, not padded with zeros, which would enter the statistics of batch norm.
    filled = np.resize(z, (-(-len(z) // CHUNK) * CHUNK, z.shape[1]))
    fakes = by_chunks(lambda z: forward(model, levels, z, side), filled, size=CHUNK)
    return images.to_uint8(fakes[: len(z)], low=-1)


def picture(
    model: Trained, levels: tuple[Level, ...], z: Array | np.ndarray, side: int
) -> np.ndarray:
    """Return the images of `generate` as one picture: uint8 [h, w, 3]."""
    return images.grid(generate(model, levels, z, side))


def real(arrays: Arrays, view: Callable[[Batch, Key], Array], count: int) -> np.ndarray:
    """Return `count` real images, or all if there are fewer, always the same ones: uint8
    [n, h, w, c].

    `view` maps a batch to images [b, h, w, c] in [-1, 1].
    """
    chosen = np.random.default_rng(0).permutation(pipeline.size(arrays))[:count]
    some = {name: array[np.sort(chosen)] for name, array in arrays.items()}
    seen = jax.jit(lambda batch, key: {"x": view(batch, key)})
    batches = pipeline.batches(some, seen, jax.random.key(0), batch_size=100)
    parts = [batch["x"] for batch, _ in batches]
    shuffled = np.random.default_rng(1).permutation(len(chosen))
    return images.to_uint8(np.concatenate(parts), low=-1)[shuffled]
