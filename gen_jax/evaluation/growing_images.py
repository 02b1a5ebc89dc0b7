"""Images of a progressively grown generator at the current level."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from gen_jax import images
from gen_jax.batching import by_chunks
from gen_jax.game import Trained
from gen_jax.networks.progan import Level
from gen_jax.types import Array

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
