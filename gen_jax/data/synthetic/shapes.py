"""Synthetic images of shapes, whose factors, captions and key patches are known and can be
recognised in the images.

The plane is [-1, 1] x [-1, 1], with x to the right and y up, drawn anti-aliased at any resolution.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import DataError
from gen_jax.types import Array, Key

SHAPES = ("circle", "triangle", "square", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan")
GROUNDS = ("black", "grey", "white")
SIZES = ("small", "large")
ROWS, COLUMNS = ("lower", "middle", "upper"), ("left", "centre", "right")
PALETTE = np.array(
    [
        (0.9, 0.1, 0.1),
        (0.1, 0.7, 0.1),
        (0.15, 0.25, 0.95),
        (0.95, 0.85, 0.1),
        (0.9, 0.1, 0.85),
        (0.1, 0.85, 0.9),
    ]
)
GREYS = np.array([0.0, 0.5, 1.0])
RADII = (0.2, 0.5)  # range of the circumradius; below its middle, a shape is small
REACH = 0.45  # maximum offset of the centre in x and y; beyond a third of it: left, right
TURNS = np.array([1, 3, 4, 4, 1])  # order of the rotational symmetry of each shape
POINTS = np.array(
    [
        [[np.cos(a), np.sin(a)] for a in np.pi / 2 + 2 * np.pi * np.arange(3) / n]
        for n in (3, 3, 4, 4, 3)
    ]
)
# areas of shapes of radius 1, in the order of SHAPES
AREAS = np.array([np.pi, 0.75 * np.sqrt(3), 2, 4 * (0.95 * 0.6 - 0.3**2), 0.75 * np.pi])


class Scene(NamedTuple):
    """The factors of n images."""

    shape: Array  # [n] of SHAPES
    colour: Array  # [n] of COLOURS
    ground: Array  # [n] of GROUNDS
    radius: Array  # [n]
    angle: Array  # [n] radians, anti-clockwise
    centre: Array  # [n, 2]


def draw(key: Key, n: int) -> Scene:
    """Draw independent uniform factors."""
    keys = jax.random.split(key, 6)
    shape, colour, ground = (
        jax.random.randint(one, (n,), 0, len(of))
        for one, of in zip(keys[:3], (SHAPES, COLOURS, GROUNDS), strict=True)
    )
    radius = jax.random.uniform(keys[3], (n,), minval=RADII[0], maxval=RADII[1])
    angle = jax.random.uniform(keys[4], (n,), maxval=2 * np.pi)
    return Scene(
        shape,
        colour,
        ground,
        radius,
        angle,
        jax.random.uniform(keys[5], (n, 2), minval=-REACH, maxval=REACH),
    )


def distances(p: Array) -> Array:
    """Return signed distances of points p from each shape of radius 1: [..., 2] -> [..., shapes].

    They are negative inside. Near a corner they are only bounds, but the zero level is exact.
    """
    x, y = jnp.abs(p[..., 0]), jnp.abs(p[..., 1])
    radius = jnp.sqrt((p**2).sum(-1) + 1e-12)
    sides = [
        p @ np.array([np.cos(a), np.sin(a)], np.float32) - 0.5
        for a in np.pi / 2 + np.pi * np.array([1, 3, 5]) / 3
    ]
    bars = jnp.minimum(jnp.maximum(x / 0.95, y / 0.3), jnp.maximum(y / 0.95, x / 0.3))
    return jnp.stack(
        [
            radius - 1,
            functools.reduce(jnp.maximum, sides),
            (x + y - 1) / np.sqrt(2),
            0.3 * (bars - 1),
            jnp.abs(radius - 0.75) - 0.25,
        ],
        -1,
    )


def turned(p: Array, angle: Array) -> Array:
    """Rotate anti-clockwise around the origin: [..., 2], [...] -> [..., 2]."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * p[..., 0] - sin * p[..., 1], sin * p[..., 0] + cos * p[..., 1]], -1)


def coverage(scene: Scene, side: int) -> Array:
    """Return the approximate fraction of each pixel that the shape covers: [n, side, side] in
    [0, 1].
    """
    line = (2 * jnp.arange(side) + 1) / side - 1
    # [n, side, side, 2]
    p = jnp.stack(jnp.meshgrid(line, -line), -1)[None] - scene.centre[:, None, None]
    radius = scene.radius[:, None, None]
    outside = distances(turned(p, -scene.angle[:, None, None]) / radius[..., None])
    kind = jnp.broadcast_to(scene.shape[:, None, None, None], (*outside.shape[:-1], 1))
    distance = jnp.take_along_axis(outside, kind, -1)[..., 0] * radius
    return jnp.clip(0.5 - distance * side / 2, 0, 1)


@functools.partial(jax.jit, static_argnames="side")
def render(scene: Scene, side: int) -> Array:
    """Return images [n, side, side, 3] in [0, 1]."""
    cover = coverage(scene, side)[..., None]
    front, behind = (
        jnp.asarray(of, jnp.float32) for of in (PALETTE, np.repeat(GREYS[:, None], 3, 1))
    )
    return (
        cover * front[scene.colour][:, None, None]
        + (1 - cover) * behind[scene.ground][:, None, None]
    )


def corners(scene: Scene) -> Array:
    """Return three points around each shape, at its radius, at corners if it has any: [n, 3, 2]."""
    own = jnp.asarray(POINTS, jnp.float32)[scene.shape]  # [n, 3, 2] in the frame of the shape
    return scene.radius[:, None, None] * turned(own, scene.angle[:, None]) + scene.centre[:, None]


def boxes(scene: Scene, half: float) -> Array:
    """Return squares (x, y, w, h) around `corners`, as fractions of the image, with y down:
    [n, 3, 4].

    `half` is half the side, in units of the plane.
    """
    first = (corners(scene) * jnp.array([[[1.0, -1.0]]]) - half + 1) / 2
    return jnp.concatenate([first, jnp.full_like(first, half)], -1)


def words(scene: Scene) -> np.ndarray:
    """Return the words of a caption as indices: size, colour, shape, row, column, ground: int
    [n, 6].
    """
    large = np.asarray(scene.radius) >= sum(RADII) / 2
    column, row = np.clip((np.asarray(scene.centre).T / REACH + 1) * 1.5, 0, 2).astype(int)
    colour, shape, ground = (np.asarray(kind) for kind in (scene.colour, scene.shape, scene.ground))
    return np.stack([large, colour, shape, row, column, ground], 1).astype(int)


VOCABULARY = (SIZES, COLOURS, SHAPES, ROWS, COLUMNS, GROUNDS)  # in the order of the words


def captions(said: np.ndarray) -> list[str]:
    """Return sentences such as "a large red ring at the upper left on white": int [n, 6] -> n
    texts.

    Raises DataError if an index is not in VOCABULARY.
    """
    said = np.asarray(said)
    if (
        said.ndim != 2
        or said.shape[1] != len(VOCABULARY)
        or (said < 0).any()
        or (said >= [*map(len, VOCABULARY)]).any()
    ):
        raise DataError(
            f"The words have shape {list(said.shape)}; give indices into VOCABULARY, [n, "
            f"{len(VOCABULARY)}]."
        )
    pattern = "a {} {} {} at the {} {} on {}"
    return [
        pattern.format(*(of[i] for of, i in zip(VOCABULARY, line, strict=True))) for line in said
    ]


def parse(caption: str) -> np.ndarray:
    """Return the words of a caption as indices: int [6]. Raises DataError for other texts."""
    parts = caption.split()
    kept = [parts[i] for i in (1, 2, 3, 6, 7, 9)] if len(parts) == 10 else []
    if not kept or any(word not in of for word, of in zip(kept, VOCABULARY, strict=True)):
        raise DataError(
            f"{caption!r} is not a caption of a shape; an example is "
            f"{captions(np.zeros((1, 6), int))[0]!r}."
        )
    return np.array([of.index(word) for word, of in zip(kept, VOCABULARY, strict=True)])


@functools.partial(jax.jit, static_argnames="turns")
def read(images: Array, *, turns: int = 24) -> Scene:
    """Recognise the factors of images [n, side, side, 3] in [0, 1] by rules, the inverse of
    `render`.

    The ground is the one closest to the median of the border. Colour, centre and size follow from
    the pixels that differ from it. Shape and angle are those of the closest rendering, among
    `turns` angles of each shape. Every image gets a scene.
    """
    side = images.shape[1]
    # [n, 4 side, 3]
    border = jnp.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    greys, palette = (jnp.asarray(of, jnp.float32) for of in (GREYS, PALETTE))
    behind = jnp.median(border, 1)
    ground = jnp.abs(behind.mean(-1)[:, None] - greys[None]).argmin(1)
    different = jnp.abs(images - behind[:, None, None]).sum(-1)  # [n, side, side]
    weight = jnp.where(different > 0.5 * different.max((1, 2), keepdims=True), different, 0) + 1e-6
    weight = weight / weight.sum((1, 2), keepdims=True)
    mean = jnp.einsum("nij,nijc->nc", weight, images)
    colour = ((mean[:, None] - palette[None]) ** 2).sum(-1).argmin(1)
    full = jnp.abs(palette[colour] - behind).sum(-1)[:, None, None] + 1e-6
    cover = jnp.clip(different / full, 0, 1)
    area = cover.mean((1, 2)) * 4
    line = (2 * jnp.arange(side) + 1) / side - 1
    total = cover.sum((1, 2)) + 1e-6
    centre = (
        jnp.stack(
            [(cover * line[None, None]).sum((1, 2)), (cover * -line[None, :, None]).sum((1, 2))], 1
        )
        / total[:, None]
    )

    def drawn(shape: Array, share: Array) -> tuple[Scene, Array]:
        angle = jnp.full(len(images), 1.0) * share * 2 * np.pi / jnp.asarray(TURNS)[shape]
        radius = jnp.clip(jnp.sqrt(area / jnp.asarray(AREAS, jnp.float32)[shape]), 0.05, 1)
        scene = Scene(jnp.full(len(images), shape), colour, ground, radius, angle, centre)
        return scene, ((coverage(scene, side) - cover) ** 2).mean((1, 2))

    kinds, shares = jnp.meshgrid(jnp.arange(len(SHAPES)), jnp.arange(turns) / turns)
    # [k, n, ...]
    scenes, errors = jax.lax.map(lambda pair: drawn(*pair), (kinds.ravel(), shares.ravel()))
    best = errors.argmin(0)
    return jax.tree.map(lambda leaf: leaf[best, jnp.arange(len(images))], scenes)
