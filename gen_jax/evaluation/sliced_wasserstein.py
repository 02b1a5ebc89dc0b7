"""Sliced Wasserstein distance of two sets of images, one per level of detail (Karras et al. 2018,
section 5).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import DataError, NonFiniteError
from gen_jax.types import Array, Key, Measure

PROTOCOL = "16 384 images of each set, 128 patches of 7 x 7 of each at each level, 512 directions, times 1000"
COARSEST = 16  # pixels per side of the last level of the pyramid
PATCH = 7  # pixels per side
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # the filter of Burt & Adelson 1983
CHUNK = 256  # images processed at once
AT_ONCE = 32  # directions


def distances(
    real: Array | np.ndarray,
    fake: Array | np.ndarray,
    key: Key,
    *,
    images: int = 16384,
    patches: int = 128,
    directions: int = 512,
) -> dict[str, Measure]:
    """Return 1000 times the distance at each level, "swd_128", "swd_64" and so on by its side, and
    their mean "swd".

    The first `images` of both sets are compared, [n, s, s, c] with values in any common range: each
    channel of a set's patches is normalised to mean 0 and standard deviation 1. Images of under 32
    pixels have one level. The draws depend on the key only. The patches of one level are in memory
    at once, 4 * images * patches * 49 * c bytes for each set.

    Raises DataError if the images are not square, differ in size or are too few, and NonFiniteError
    if a pixel is not finite.
    """
    _check(real, fake, images=images, patches=patches, directions=directions)
    found = {}
    *key_sets, key_directions = [jax.random.fold_in(key, i) for i in range(3)]
    for level, side in enumerate(sides(real.shape[1])):
        a, b = (
            normalised(descriptors(some[:images], own, level=level, patches=patches))
            for some, own in zip((real, fake), key_sets, strict=True)
        )
        axes = jax.random.normal(
            jax.random.fold_in(key_directions, level), (directions, a.shape[1])
        )
        unit = f"the same for details at {side} pixels"
        found[f"swd_{side}"] = Measure(1000 * wasserstein(a, b, axes), unit)
    mean = float(np.mean([*found.values()]))
    unit = "1000 times the sliced Wasserstein distance to training images, mean over levels"
    return {**found, "swd": Measure(mean, unit)}


def sides(side: int) -> list[int]:
    """Return the sides of the pyramid's levels, halved while even and the half is at least 16."""
    found = [side]
    while found[-1] % 2 == 0 and found[-1] // 2 >= COARSEST:
        found.append(found[-1] // 2)
    return found


def pyramid(x: Array, levels: int) -> list[Array]:
    """Return the Laplacian pyramid: the difference of each level from the enlarged next level, then
    the coarsest level: -> [n, h/2^i, w/2^i, c].
    """
    found = []
    for _ in range(levels - 1):
        smaller = downsample(x)
        found.append(x - upsample(smaller))
        x = smaller
    return [*found, x]


def downsample(x: Array) -> Array:
    """Smooth, and keep every second pixel: [n, h, w, c] -> [n, h/2, w/2, c]."""
    return _smoothed(x)[:, ::2, ::2]


def upsample(x: Array) -> Array:
    """Insert zeros between the pixels, smooth, and restore the brightness: [n, h, w, c]
    -> [n, 2h, 2w, c].
    """
    n, h, w, c = x.shape
    return 4 * _smoothed(jnp.zeros((n, 2 * h, 2 * w, c), x.dtype).at[:, ::2, ::2].set(x))


def _smoothed(x: Array) -> Array:
    """Apply the filter along rows and columns, with reflection at the border."""
    for axis in (1, 2):
        width = [(2, 2) if i == axis else (0, 0) for i in range(4)]
        padded, end = jnp.pad(x, width, mode="reflect"), x.shape[axis]
        shifted = [
            weight * jax.lax.slice_in_dim(padded, i, i + end, axis=axis)
            for i, weight in enumerate(BINOMIAL)
        ]
        x = functools.reduce(jnp.add, shifted)
    return x


def descriptors(images: Array | np.ndarray, key: Key, *, level: int, patches: int) -> np.ndarray:
    """Draw random patches of a level of each image's pyramid, seeded by the index of the image:
    -> [n, patches, 49, c].
    """
    n, side, _, channels = images.shape
    found = np.empty((n, patches, PATCH**2, channels), np.float32)
    levels, key = sides(side), jax.random.fold_in(key, level)
    for i in range(0, n, CHUNK):
        some = jnp.asarray(images[i : i + CHUNK], jnp.float32)
        numbers = jnp.arange(i, i + len(some))
        found[i : i + CHUNK] = _drawn(
            some, numbers, key, min(level + 2, len(levels)), level, patches
        )
    if not np.isfinite(found).all():
        raise NonFiniteError(
            "Some pixels are NaN or infinite, but a distance needs finite ones: check the images."
        )
    return found


@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def _drawn(images: Array, numbers: Array, key: Key, levels: int, level: int, patches: int) -> Array:
    def draw(image: Array, number: Array) -> Array:
        corners = jax.random.randint(
            jax.random.fold_in(key, number), (patches, 2), 0, len(image) - PATCH + 1
        )
        size = (PATCH, PATCH, image.shape[-1])
        cut = jax.vmap(lambda corner: jax.lax.dynamic_slice(image, (*corner, 0), size))(corners)
        return cut.reshape(patches, PATCH**2, -1)

    return jax.vmap(draw)(pyramid(images, levels)[level], numbers)


def normalised(found: np.ndarray) -> np.ndarray:
    """Normalise each channel to mean 0 and deviation 1 over the set, in place; a constant channel
    to 0: -> [n * patches, 49 * c].
    """
    for channel in np.moveaxis(found, -1, 0):
        channel -= channel.mean(dtype=np.float64)
        deviation = np.sqrt(np.square(channel).mean(dtype=np.float64))
        channel /= deviation if deviation > 0 else 1
    return found.reshape(found.shape[0] * found.shape[1], -1)


def wasserstein(
    a: Array | np.ndarray, b: Array | np.ndarray, directions: Array | np.ndarray
) -> float:
    """Return E |F^-1(t) - G^-1(t)| of the projections of both sets, averaged over directions:
    [n, d] x 2, [k, d] -> [].

    For sets of equal size, this is the mean absolute difference of the sorted projections (Rabin
    et al. 2011).
    """
    a, b = jax.device_put(a), jax.device_put(b)
    # NumPy sorts: on a CPU, XLA's sort takes thirty times as long.
    order = np.sort if jax.default_backend() == "cpu" else jnp.sort
    parts = []
    for i in range(0, len(directions), AT_ONCE):
        some = directions[i : i + AT_ONCE]
        parts.append(_distance(order(_projected(a, some)), order(_projected(b, some))))
    return float(np.concatenate(parts).mean(dtype=np.float64))


@jax.jit
def _projected(points: Array, directions: Array) -> Array:
    """Project along directions, which are first scaled to length 1: [n, d], [k, d] -> [k, n]."""
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    return jnp.matmul(directions, points.T, precision=jax.lax.Precision.HIGHEST)


@jax.jit
def _distance(a: Array, b: Array) -> Array:
    """[k, n] x 2 -> [k]."""
    return jnp.abs(a - b).mean(1)


def _check(real: Array | np.ndarray, fake: Array | np.ndarray, **numbers: int) -> None:
    shapes = real.shape, fake.shape
    if (
        any(len(shape) != 4 or shape[1] != shape[2] for shape in shapes)
        or real.shape[1:] != fake.shape[1:]
    ):
        raise DataError(
            f"Images have shapes {list(shapes[0])} and {list(shapes[1])}, but must be square and "
            "of one size, "
            "[n, s, s, c]: crop them."
        )
    if (
        min(numbers.values()) < 1
        or min(len(real), len(fake)) < numbers["images"]
        or real.shape[1] < PATCH
    ):
        raise DataError(
            f"The sets have {len(real)} and {len(fake)} images of {real.shape[1]} pixels, with "
            f"{numbers}: "
            f"give at least 1 of each, that many images in both sets, and at least {PATCH} pixels "
            "per side."
        )
