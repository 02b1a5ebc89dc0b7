"""Convolutions and transposed convolutions whose gradients, of every order, are fast.

All of it comes from one trilinear form, <conv(x, w), y>, which is linear in the image x, the kernel w and the output y,
and the gradients of each of its three derivatives are the two others. A transposed convolution is the derivative by the
image. Derivatives are backward ones (jax.grad, jax.vjp), not jax.jvp.

cuDNN has a kernel for each of the three, which XLA finds in what it writes for a convolution's own gradients, but not
in the gradients of these. XLA's CPU leaves its fast path for a kernel's gradient inside a scan, for what a transposed
convolution dilates and where an output has few features; there, they are written as ordinary NHWC/HWIO convolutions and
matrix products.
"""

import functools
import math
import operator
from collections.abc import Callable
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
FEW = 16  # features of an output, as colours are: below this, on a CPU, a matrix product is many times faster


def conv(x: Array, kernel: Array, *, strides: Pair = (1, 1), padding: Padding = "SAME") -> Array:
    """The convolution of lax.conv_general_dilated: [b, h, w, i], [kh, kw, i, o] -> [b, h', w', o]."""
    sides = x.shape[1:3], kernel.shape[:2], strides
    pads = tuple(lax.padtype_to_pads(*sides, padding)) if isinstance(padding, str) else padding
    return _output(strides, pads, x, kernel)


def conv_transpose(x: Array, kernel: Array, *, strides: Pair = (1, 1), padding: Padding = "SAME") -> Array:
    """The transposed convolution of lax.conv_transpose: [b, h, w, i], [kh, kw, i, o] -> [b, h', w', o].

    With "SAME", h' is h times the stride. As in Flax, pairs are what the dilated image is padded with: PyTorch's
    padding p is the pair (k - 1 - p, k - 1 - p), and its kernel is this one turned by 180 degrees.
    """
    sides = tuple(zip(x.shape[1:3], kernel.shape[:2], strides, strict=True))
    pads = tuple(_dilated(padding, k, s) for _, k, s in sides) if isinstance(padding, str) else padding
    ends = tuple(zip(sides, pads, strict=True))
    size = tuple((n - 1) * s + 2 + lo + hi - k for (n, k, s), (lo, hi) in ends)
    back = tuple((k - 1 - lo, k - 1 - hi) for (_, k, _), (lo, hi) in ends)  # of the convolution that this transposes
    return _image(strides, back, size, x, kernel[::-1, ::-1].swapaxes(2, 3))


def _dilated(padding: str, k: int, s: int) -> Pair:
    """What lax.conv_transpose pads a dilated side with."""
    if padding == "SAME":
        before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
        return before, k + s - 2 - before
    return k - 1, max(k, s) - 1


class Conv(nn.Module):
    """flax.linen.Conv of images: the same parameters and numbers."""

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
    """flax.linen.ConvTranspose of images: the same parameters and numbers, and the fields of Conv."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return _layer(self, conv_transpose, x)


def _layer(layer: Any, operation: Callable[..., Array], x: Array) -> Array:
    kernel = layer.param("kernel", layer.kernel_init, (*layer.kernel_size, x.shape[-1], layer.features))
    y = operation(x, kernel, strides=layer.strides, padding=layer.padding)  # [b, h', w', features]
    if not layer.use_bias:
        return y
    return y + layer.param("bias", layer.bias_init, (layer.features,))[None, None, None]


# The trilinear form: sum over b, m, k, i, o of x[b, m s + k - before, i] w[k, i, o] y[b, m, o] -----------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _output(strides: Pair, pads: Pads, x: Array, w: Array) -> Array:
    """Its derivative by y, the convolution: [b, h, w, i], [kh, kw, i, o] -> [b, h', w', o]."""
    one = _few if jax.default_backend() == "cpu" and _are_few(w.shape[2], w.shape[3], strides) else _plain
    return one(x, w, strides, pads)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _image(strides: Pair, pads: Pads, size: Sizes, y: Array, w: Array) -> Array:
    """Its derivative by an image x of this size: [b, h', w', o], [kh, kw, i, o] -> [b, h, w, i].

    On a CPU by phases: the pixels a, a + s, a + 2s ... see only the values k, k + s, ... of the kernel, so they are an
    ordinary convolution of y.
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

    rows, columns = strides
    x = jnp.stack([jnp.stack([phase(a, b) for b in range(columns)], 3) for a in range(rows)], 2)
    x = x.reshape(len(y), counts[0] * rows, counts[1] * columns, w.shape[3])  # [b, h/s, s, w/s, s, i] before
    return x[:, : size[0], : size[1]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _kernel(strides: Pair, pads: Pads, size: Sizes, x: Array, y: Array) -> Array:
    """Its derivative by a kernel w of this size: [b, h, w, i], [b, h', w', o] -> [kh, kw, i, o].

    On a CPU a convolution of x with y as the kernel, in which the batch is summed over and i takes its place.
    """
    if jax.default_backend() != "cpu":
        kernel = jax.ShapeDtypeStruct((*size, x.shape[3], y.shape[3]), x.dtype)
        return jax.linear_transpose(lambda w: _plain(x, w, strides, pads), kernel)(y)[0]
    sides = zip(size, y.shape[1:3], strides, x.shape[1:3], pads, strict=True)
    used = tuple((before, k + (m - 1) * s - n - before) for k, m, s, n, (before, _) in sides)
    if _are_few(x.shape[3], y.shape[3], strides):
        return _few_kernel(_padded(x, used), y, size)
    w = _plain(x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3), (1, 1), used, dilation=strides)
    return w.transpose(1, 2, 0, 3)


def _plain(x: Array, w: Array, strides: Pair, pads: Pads, dilation: Pair = (1, 1)) -> Array:
    if min(*pads[0], *pads[1]) < 0:
        x = _padded(x, tuple((min(lo, 0), min(hi, 0)) for lo, hi in pads))
        pads = tuple((max(lo, 0), max(hi, 0)) for lo, hi in pads)
    return lax.conv_general_dilated(x, w, strides, pads, rhs_dilation=dilation, dimension_numbers=LAYOUT)


def _are_few(i: int, o: int, strides: Pair) -> bool:
    return o < FEW <= i and strides == (1, 1)


def _few(x: Array, w: Array, strides: Pair, pads: Pads) -> Array:
    """The convolution: each pixel with all values of the kernel in one product, and their sum after moving them."""
    x, (kh, kw, i, o) = _padded(x, pads), w.shape
    every = _product(x.reshape(-1, i), w.transpose(2, 0, 1, 3).reshape(i, -1)).reshape(*x.shape[:3], kh, kw, o)
    moved = _moved(every, (x.shape[1] - kh + 1, x.shape[2] - kw + 1), (kh, kw))
    parts = (part[:, :, :, t, u] for (t, u), part in moved.items())
    return functools.reduce(operator.add, parts).astype(x.dtype)


def _few_kernel(x: Array, y: Array, size: Sizes) -> Array:
    """Its gradient by a kernel, of a padded image: y is moved, and then all is one product."""
    o = y.shape[3]
    y = _padded(y, tuple((k - 1, k - 1) for k in size))
    every = jnp.stack([*_moved(y, x.shape[1:3], size).values()][::-1], 3)  # [b, h, w, kh kw, o]
    w = _product(x.reshape(-1, x.shape[3]).T, every.reshape(-1, math.prod(size) * o))
    return w.reshape(-1, *size, o).transpose(1, 2, 0, 3).astype(x.dtype)


def _moved(x: Array, places: Sizes, size: Sizes) -> dict[Pair, Array]:
    """For each value of a kernel of this size, the part of the image that it sees: [b, *places, ...]."""
    rows, columns = places
    return {(t, u): x[:, t : t + rows, u : u + columns] for t in range(size[0]) for u in range(size[1])}


def _product(a: Array, b: Array) -> Array:
    return lax.dot(a, b, preferred_element_type=jnp.promote_types(a.dtype, jnp.float32))


def _padded(x: Array, pads: Pads) -> Array:
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pair, 0) for pair in pads), (0, 0, 0)])


def _output_backward(strides: Pair, pads: Pads, kept: tuple[Array, Array], y: Array) -> tuple[Array, Array]:
    x, w = kept
    return _image(strides, pads, x.shape[1:3], y, w), _kernel(strides, pads, w.shape[:2], x, y)


def _image_backward(strides: Pair, pads: Pads, size: Sizes, kept: Any, x: Array) -> tuple[Array, Array]:
    y, w = kept
    return _output(strides, pads, x, w), _kernel(strides, pads, w.shape[:2], x, y)


def _kernel_backward(strides: Pair, pads: Pads, size: Sizes, kept: Any, w: Array) -> tuple[Array, Array]:
    x, y = kept
    return _image(strides, pads, x.shape[1:3], y, w), _output(strides, pads, x, w)


_output.defvjp(lambda strides, pads, x, w: (_output(strides, pads, x, w), (x, w)), _output_backward)
_image.defvjp(lambda strides, pads, size, y, w: (_image(strides, pads, size, y, w), (y, w)), _image_backward)
_kernel.defvjp(lambda strides, pads, size, x, y: (_kernel(strides, pads, size, x, y), (x, y)), _kernel_backward)
