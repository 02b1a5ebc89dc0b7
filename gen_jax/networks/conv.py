"""Convolutions and transposed convolutions with fast gradients of every order.

Everything derives from one trilinear form, <conv(x, w), y>, of the image x, the kernel w and the
output y. It has three derivatives, and the gradients of each are the two others. A transposed
convolution is the derivative with respect to the image. Only reverse-mode derivatives (jax.grad,
jax.vjp) are supported, not jax.jvp.

cuDNN has a kernel for each of the three. XLA finds it for the gradients that it derives from a
convolution, but not for the gradients of these. On the CPU, XLA leaves its fast path for dilated
convolutions and for outputs with few features. There, all operations are undilated NHWC/HWIO
convolutions, one for each phase of a stride, and matrix products. With many features, convolutions
with kernels of width three use half as many multiplications (Winograd).
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.types import Array

Initializer = nn.initializers.Initializer
Pair = tuple[int, int]
Sizes = tuple[int, ...]  # of height and width
Pads = tuple[Pair, ...]  # (before, after) of height and width; below 0 they crop
Padding = Literal["SAME", "VALID"] | Pads
LAYOUT = ("NHWC", "HWIO", "NHWC")
# output features, such as colours: below this number, a matrix product is much faster on a CPU
FEW = 16
# input and output features: from this number on, Winograd's algorithm is faster on a CPU
MANY = 128


def conv(x: Array, kernel: Array, *, strides: Pair = (1, 1), padding: Padding = "SAME") -> Array:
    """Equal to lax.conv_general_dilated: [b, h, w, i], [kh, kw, i, o] -> [b, h', w', o]."""
    sides = x.shape[1:3], kernel.shape[:2], strides
    pads = tuple(lax.padtype_to_pads(*sides, padding)) if isinstance(padding, str) else padding
    return _output(strides, pads, x, kernel)


def conv_transpose(
    x: Array, kernel: Array, *, strides: Pair = (1, 1), padding: Padding = "SAME"
) -> Array:
    """Equal to lax.conv_transpose: [b, h, w, i], [kh, kw, i, o]
    -> [b, h', w', o].

    With "SAME", h' is h times the stride. As in Flax, pairs are the padding of the dilated image:
    PyTorch's padding p is the pair (k - 1 - p, k - 1 - p), and its kernel is this one rotated by
    180 degrees.
    """
    sides = tuple(zip(x.shape[1:3], kernel.shape[:2], strides, strict=True))
    pads = (
        tuple(_dilated(padding, k, s) for _, k, s in sides) if isinstance(padding, str) else padding
    )
    ends = tuple(zip(sides, pads, strict=True))
    size = tuple((n - 1) * s + 2 + lo + hi - k for (n, k, s), (lo, hi) in ends)
    # padding of the convolution whose transpose this is
    back = tuple((k - 1 - lo, k - 1 - hi) for (_, k, _), (lo, hi) in ends)
    return _image(strides, back, size, x, kernel[::-1, ::-1].swapaxes(2, 3))


def _dilated(padding: str, k: int, s: int) -> Pair:
    """The padding of a dilated side in lax.conv_transpose."""
    if padding == "SAME":
        before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
        return before, k + s - 2 - before
    return k - 1, max(k, s) - 1


class Conv(nn.Module):
    """Equivalent of flax.linen.Conv for images, with the same parameters and outputs."""

    features: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _layer(self, conv, x)


class ConvTranspose(Conv):
    """Equivalent of flax.linen.ConvTranspose for images, with the fields of Conv."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _layer(self, conv_transpose, x)


def _layer(layer: Any, operation: Callable[..., Array], x: Array) -> Array:
    kernel = layer.param(
        "kernel", layer.kernel_init, (*layer.kernel_size, x.shape[-1], layer.features)
    )
    y = operation(x, kernel, strides=layer.strides, padding=layer.padding)  # [b, h', w', features]
    if not layer.use_bias:
        return y
    return y + layer.param("bias", layer.bias_init, (layer.features,))[None, None, None]


# The trilinear form: sum over b, m, k, i, o of x[b, m s + k - before, i] w[k, i, o] y[b, m, o] ----


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _output(strides: Pair, pads: Pads, x: Array, w: Array) -> Array:
    """The derivative with respect to y, the convolution: [b, h, w, i], [kh, kw, i, o]
    -> [b, h', w', o].
    """
    if jax.default_backend() == "cpu" and strides == (1, 1):
        if _are_few(w.shape[2], w.shape[3]):
            return _few(x, w, pads)
        if w.shape[1] == 3 and min(w.shape[2:]) >= MANY and x.dtype != jnp.bfloat16:
            return _three_wide(x, w, pads)
    return _plain(x, w, strides, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _image(strides: Pair, pads: Pads, size: Sizes, y: Array, w: Array) -> Array:
    """The derivative with respect to an image x of this size: [b, h', w', o], [kh, kw, i, o]
    -> [b, h, w, i].

    On a CPU, it is computed by phases: the pixels a, a + s, a + 2s ... depend only on the values k,
    k + s, ... of the kernel, so they are an ordinary convolution of y.
    """
    if jax.default_backend() != "cpu":
        image = jax.ShapeDtypeStruct((len(y), *size, w.shape[2]), y.dtype)
        return jax.linear_transpose(lambda x: _plain(x, w, strides, pads), image)(y)[0]
    w = w.swapaxes(2, 3)  # [kh, kw, o, i]
    counts = [-(-n // s) for n, s in zip(size, strides, strict=True)]  # pixels in a phase

    def phase(*offsets: int) -> Array:
        taps, around = [], []
        for axis, (offset, (before, _)) in enumerate(zip(offsets, pads, strict=True)):
            first, stride = (offset + before) % strides[axis], strides[axis]
            taps.append(slice(first, None, stride))
            k = len(range(first, w.shape[axis], stride))
            lead = k - 1 - (offset + before) // stride
            around.append((lead, counts[axis] - 1 + k - y.shape[1 + axis] - lead))
        part = w[tuple(taps)]
        if 0 in part.shape:
            return jnp.zeros((len(y), *counts, w.shape[3]), y.dtype)
        return _output((1, 1), tuple(around), y, part[::-1, ::-1])

    return _interleaved(phase, strides, 1)[:, : size[0], : size[1]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _kernel(strides: Pair, pads: Pads, size: Sizes, x: Array, y: Array) -> Array:
    """The derivative with respect to a kernel w of this size: [b, h, w, i], [b, h', w', o]
    -> [kh, kw, i, o].

    On a CPU, it is computed by phases: the values k, k + s, ... of the kernel depend only on the
    pixels k, k + s, ... of a padded image.
    """
    if jax.default_backend() != "cpu":
        kernel = jax.ShapeDtypeStruct((*size, x.shape[3], y.shape[3]), x.dtype)
        return jax.linear_transpose(lambda w: _plain(x, w, strides, pads), kernel)(y)[0]
    sides = zip(size, y.shape[1:3], strides, x.shape[1:3], pads, strict=True)
    used = tuple((before, k + (m - 1) * s - n - before) for k, m, s, n, (before, _) in sides)
    x = _padded(x, used)
    if strides == (1, 1):
        return _kernel_alone(x, y)
    counts = [-(-k // s) for k, s in zip(size, strides, strict=True)]  # values in a phase

    def phase(*offsets: int) -> Array:
        own = tuple(
            len(range(first, k, s)) for first, k, s in zip(offsets, size, strides, strict=True)
        )
        if 0 in own:
            return jnp.zeros((*counts, x.shape[3], y.shape[3]), x.dtype)
        sides = zip(offsets, own, y.shape[1:3], strides, strict=True)
        rows, columns = (slice(first, first + s * (m + k - 1), s) for first, k, m, s in sides)
        w = _kernel_alone(x[:, rows, columns], y)
        return jnp.pad(
            w, [*((0, count - k) for count, k in zip(counts, own, strict=True)), (0, 0), (0, 0)]
        )

    return _interleaved(phase, strides, 0)[: size[0], : size[1]]


def _kernel_alone(x: Array, y: Array) -> Array:
    """The derivative for stride 1 and a padded x: a convolution of x with y that sums over the
    batch.

    The batch axis takes the role of i. x and y are exchanged, and the kernel rotated by 180
    degrees, if that gives i few features.
    """
    if _are_few(x.shape[3], y.shape[3]):
        around = tuple((n - m, n - m) for n, m in zip(x.shape[1:3], y.shape[1:3], strict=True))
        return _kernel_alone(_padded(y, around), x)[::-1, ::-1].swapaxes(2, 3)
    return _plain(x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)).transpose(1, 2, 0, 3)


def _interleaved(phase: Callable[[int, int], Array], strides: Pair, axis: int) -> Array:
    """Interleave all phases of an image or a kernel; `axis` is the axis of heights, followed by
    that of widths.
    """
    rows, columns = strides
    x = jnp.stack(
        [jnp.stack([phase(a, b) for b in range(columns)], axis + 2) for a in range(rows)], axis + 1
    )
    before, (h, _, w, _), after = x.shape[:axis], x.shape[axis : axis + 4], x.shape[axis + 4 :]
    return x.reshape(*before, h * rows, w * columns, *after)


def _plain(x: Array, w: Array, strides: Pair = (1, 1), pads: Pads = ((0, 0), (0, 0))) -> Array:
    if min(*pads[0], *pads[1]) < 0:
        x = _padded(x, tuple((min(lo, 0), min(hi, 0)) for lo, hi in pads))
        pads = tuple((max(lo, 0), max(hi, 0)) for lo, hi in pads)
    return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=LAYOUT)


def _are_few(i: int, o: int) -> bool:
    return o < FEW <= i


def _few(x: Array, w: Array, pads: Pads) -> Array:
    """The convolution of few features: one matrix product of each pixel with the whole kernel, and
    the sum of the shifted products.
    """
    x, (kh, kw, i, o) = _padded(x, pads), w.shape
    values, exact = w.transpose(2, 0, 1, 3).reshape(i, -1), jnp.promote_types(x.dtype, jnp.float32)
    every = lax.dot(x.reshape(-1, i), values, preferred_element_type=exact).reshape(
        *x.shape[:3], kh, kw, o
    )
    rows, columns = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    parts = (every[:, t : t + rows, u : u + columns, t, u] for t in range(kh) for u in range(kw))
    return functools.reduce(operator.add, parts).astype(x.dtype)


# Winograd's F(4, 3), as in Lavin and Gray (2016, arXiv 1509.09308): four outputs of a kernel of
# three values depend on six pixels and equal OUTPUTS ((VALUES w) * (PIXELS x)), with six
# multiplications instead of twelve.
PIXELS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
VALUES = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
OUTPUTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _three_wide(x: Array, w: Array, pads: Pads) -> Array:
    """The convolution by F(4, 3) along the width. Its rounding error is four times as large, 2e-6
    of the largest output.
    """
    columns = x.shape[2] + sum(pads[1]) - 2
    tiles = -(-columns // 4)
    x = _padded(x, ((0, 0), (pads[1][0], pads[1][1] + 4 * tiles - columns)))
    pixels = _sums(PIXELS, [x[:, :, k : k + 4 * tiles - 3 : 4] for k in range(6)])
    values = _sums(VALUES, [w[:, k : k + 1] for k in range(3)])
    products = [_plain(*pair, pads=(pads[0], (0, 0))) for pair in zip(pixels, values, strict=True)]
    y = jnp.stack(_sums(OUTPUTS, products), 3)  # [b, h', tiles, 4, o]
    return y.reshape(*y.shape[:2], 4 * tiles, -1)[:, :, :columns]


def _sums(matrix: Sequence[Sequence[float]], parts: Sequence[Array]) -> list[Array]:
    """Return matrix @ parts, without the zero terms."""
    rows = ([c * part for c, part in zip(row, parts, strict=True) if c] for row in matrix)
    return [functools.reduce(operator.add, terms) for terms in rows]


def _padded(x: Array, pads: Pads) -> Array:
    return lax.pad(
        x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pair, 0) for pair in pads), (0, 0, 0)]
    )


def _output_backward(
    strides: Pair, pads: Pads, kept: tuple[Array, Array], y: Array
) -> tuple[Array, Array]:
    x, w = kept
    return _image(strides, pads, x.shape[1:3], y, w), _kernel(strides, pads, w.shape[:2], x, y)


def _image_backward(
    strides: Pair, pads: Pads, size: Sizes, kept: Any, x: Array
) -> tuple[Array, Array]:
    y, w = kept
    return _output(strides, pads, x, w), _kernel(strides, pads, w.shape[:2], x, y)


def _kernel_backward(
    strides: Pair, pads: Pads, size: Sizes, kept: Any, w: Array
) -> tuple[Array, Array]:
    x, y = kept
    return _image(strides, pads, x.shape[1:3], y, w), _output(strides, pads, x, w)


_output.defvjp(lambda strides, pads, x, w: (_output(strides, pads, x, w), (x, w)), _output_backward)
_image.defvjp(
    lambda strides, pads, size, y, w: (_image(strides, pads, size, y, w), (y, w)), _image_backward
)
_kernel.defvjp(
    lambda strides, pads, size, x, y: (_kernel(strides, pads, size, x, y), (x, y)), _kernel_backward
)
