"""Interpolation and vector arithmetic on z (Radford et al. 2015, figures 4 and 7).

The arithmetic is on thick and thin images, because their ink can be measured.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from gen_jax.images import grid, to_uint8
from gen_jax.types import Array

Generate = Callable[[Array, Array], Array]  # z [n, d], labels [n] -> images [n, h, w, c]
DRAWS = 200  # latents from which thick and thin images are chosen


def interpolate(a: Array, b: Array, count: int) -> Array:
    """Return `count` points on the line from each a to each b: [n, d] x 2 -> [n * count, d]."""
    t = jnp.linspace(0, 1, count)[None, :, None]
    return ((1 - t) * a[:, None] + t * b[:, None]).reshape(-1, a.shape[1])


def grids(generate: Generate, z: Array, labels: Array, *, low: float) -> dict[str, np.ndarray]:
    """Return two pictures in ten columns, uint8 [h, w, 3]: "samples" of z [100, d], and
    "interpolations", one per row.

    The interpolations run from each of the first ten z to one of the next ten. Images are in
    [low, 1]; labels are [100].
    """
    points = {"samples": z, "interpolations": interpolate(z[:10], z[10:20], 10)}
    return {
        name: grid(to_uint8(generate(some, labels), low=low), columns=10)
        for name, some in points.items()
    }


def rows(generate: Generate, z: Array, classes: int) -> Array:
    """Return one row for each label i and the next label j: z [n, d] -> [classes, 5, h, w, c].

    A row shows thick i, thin i, thin j, the sum z_1 - z_2 + z_3 of these three with label j, and
    thick j. The z of a thick or thin image is the mean of three of the n, from the 90th or the 10th
    percentile of ink.
    """
    labels = jnp.arange(classes)
    drawn = generate(jnp.tile(z, (classes, 1)), jnp.repeat(labels, len(z)))
    order = jnp.argsort(drawn.reshape(classes, len(z), -1).sum(-1))  # [classes, n]
    tenth = len(z) // 10
    thin = z[order[:, tenth : tenth + 3]].mean(1)  # [classes, d]
    thick = z[order[:, -tenth - 3 : -tenth]].mean(1)
    following = (labels + 1) % classes
    total = thick - thin + thin[following]
    points = jnp.stack([thick, thin, thin[following], total, thick[following]], 1)
    asked = jnp.stack([labels, labels, following, following, following], 1)
    images = generate(points.reshape(-1, z.shape[1]), asked.ravel())
    return images.reshape(classes, -1, *images.shape[1:])


def picture(generate: Generate, z: Array, classes: int) -> np.ndarray:
    """Return the images of `rows` as one picture: uint8 [h, w, 3]."""
    images = rows(generate, z, classes)
    return grid(images.reshape(-1, *images.shape[2:]), columns=images.shape[1])


def thickness(images: Array) -> float:
    """Return the ink of the fourth column of `rows`, on a scale where the third is 0 and the fifth
    is 1: [k, 5, h, w, c] -> [].
    """
    ink = images.sum((0, 2, 3, 4))
    return float((ink[3] - ink[2]) / (ink[4] - ink[2]))
