"""The convolutional generator and discriminator of Radford et al. 2015 (DCGAN), also used by later
papers.

Both take a label [b, k], one-hot or any vector, which is concatenated to the input of each layer.
With an empty label [b, 0] they are unconditional.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.layers import BatchNorm
from gen_jax.types import Array, Key

normal = nn.initializers.normal(0.02)


def normal_around_one(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """N(1, 0.02)"""
    return 1 + normal(key, shape, dtype)


class Norm(NamedTuple):
    """Batch norm of the official codes."""

    affine: bool  # has gains, initialised from N(1, 0.02), and biases
    running: bool  # evaluates with running statistics instead of those of the batch
    eps: float

    def __call__(self, x: Array) -> Array:
        if self.running:
            return BatchNorm(
                scale=self.affine, bias=self.affine, eps=self.eps, scale_init=normal_around_one
            )(x)
        return nn.LayerNorm(
            self.eps,
            use_scale=self.affine,
            use_bias=self.affine,
            scale_init=normal_around_one,
            reduction_axes=tuple(range(x.ndim - 1)),  # all but the channels
            feature_axes=-1,
            use_fast_variance=False,  # too imprecise for such a small eps
        )(x)


class Network(NamedTuple):
    """Settings in which the networks of the official codes differ."""

    kernel: int
    strides: tuple[int, ...]  # of the discriminator's convolutions
    side: int | None = 64  # side of an image in pixels; None is the side of the data
    conditional: bool = False  # receives labels, has one more dense layer, and images in [0, 1]
    affine: bool = True  # batch norm has gains and biases
    eps: float = 1e-8  # of batch norm
    per_unit_norm: bool = True  # of the first maps of the generator; else per channel


def concat_label(x: Array, y: Array) -> Array:
    """Concatenate the label at each position: [b, ..., c], [b, k] -> [b, ..., c + k]."""
    y = y.reshape(y.shape[0], *(1,) * (x.ndim - 2), y.shape[-1])
    return jnp.concatenate([x, jnp.broadcast_to(y, (*x.shape[:-1], y.shape[-1]))], -1)


def doubled_widths(width: int, strides: tuple[int, ...]) -> tuple[int, ...]:
    """Return the channels of convolutions with these strides: first `width`, doubled after each
    stride of 2.
    """
    return tuple(width * 2 ** strides[:i].count(2) for i in range(len(strides)))


def dense(x: Array, y: Array, features: int) -> Array:
    """A dense layer without bias, applied to values and label: [b, d], [b, k] -> [b, features]."""
    return nn.Dense(features, use_bias=False, kernel_init=normal)(concat_label(x, y))


class Generator(nn.Module):
    """Section 4: z [b, d] and label [b, k] to images [b, side, side, channels].

    Dense layers lead to the smallest maps; each transposed convolution of stride 2 doubles their
    side.
    """

    width: int  # channels of the largest maps before the image, doubled at each smaller side
    strides: tuple[int, ...]  # of the transposed convolutions
    kernel: int
    hidden: tuple[int, ...]  # units of the dense layers before the maps
    norm: Norm
    side: int
    channels: int
    per_unit_norm: bool  # the first maps are normalised per unit (Theano) or per channel (Torch)
    output: Callable[[Array], Array]

    @nn.compact
    def __call__(self, z: Array, y: Array) -> Array:
        features = doubled_widths(self.width, self.strides[::-1])[::-1]  # of inputs
        side = self.side // 2 ** self.strides.count(2)
        x, shape = z, (len(z), side, side, features[0])
        for width in self.hidden:
            x = nn.relu(self.norm(dense(x, y, width)))
        x = dense(x, y, side**2 * features[0])
        x = self.norm(x) if self.per_unit_norm else self.norm(x.reshape(shape))
        x = nn.relu(x.reshape(shape))
        before, size = self.kernel // 2, (self.kernel, self.kernel)
        widths = (*features[1:], self.channels)
        for i, (width, stride) in enumerate(zip(widths, self.strides, strict=True)):
            x = nn.relu(self.norm(x)) if i else x
            pads = ((before, self.kernel - 2 + stride - before),) * 2  # output side = stride * side
            up = ConvTranspose(
                width, size, (stride, stride), pads, use_bias=False, kernel_init=normal
            )
            x = up(concat_label(x, y))
        return self.output(x)


class Discriminator(nn.Module):
    """Section 4: images [b, h, w, c] and label [b, k] to logits [b] and the maps of each
    convolution.
    """

    width: int  # channels of the first convolution, doubled after each stride of 2
    strides: tuple[int, ...]
    kernel: int
    hidden: tuple[int, ...]  # units of the dense layers after the convolutions
    norm: Norm

    @nn.compact
    def __call__(self, x: Array, y: Array) -> tuple[Array, list[Array]]:
        maps: list[Array] = []
        pad, size = (self.kernel - 1) // 2, (self.kernel, self.kernel)
        for width, stride in zip(
            doubled_widths(self.width, self.strides), self.strides, strict=True
        ):
            down = Conv(
                width, size, (stride, stride), ((pad, pad),) * 2, use_bias=False, kernel_init=normal
            )
            x = down(concat_label(x, y))
            x = nn.leaky_relu(self.norm(x) if maps else x, 0.2)
            maps.append(x)
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = nn.leaky_relu(self.norm(dense(x, y, width)), 0.2)
        return dense(x, y, 1)[:, 0], maps

    def features(self, x: Array, y: Array) -> Array:
        """Section 5.1: the maps of each convolution, max-pooled to 4x4 and concatenated:
        [b, 16 * channels].
        """
        return pooled_features(self(x, y)[1])


def pooled_features(maps: list[Array]) -> Array:
    """Max-pool maps [n, h, w, c_i] to 4x4 and concatenate them -> [n, 16 * sum of c_i]."""
    pooled = []
    for one in maps:
        size = (one.shape[1] // 4,) * 2
        pooled.append(nn.max_pool(one, size, strides=size).reshape(len(one), -1))
    return jnp.concatenate(pooled, -1)
