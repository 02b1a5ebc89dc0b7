"""The convolutional generator and discriminator of Radford et al. 2015 (DCGAN), on which later papers build.

Either may be given a label, one-hot or any vector, which is joined to the input of each layer, or an empty one, [b, 0].
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
    """What the codes' batch norms differ in."""

    learnt: bool  # gains, from N(1, 0.02), and biases
    running: bool
    eps: float

    def __call__(self, x: Array) -> Array:
        if self.running:
            return BatchNorm(
                scale=self.learnt, bias=self.learnt, eps=self.eps, scale_init=normal_around_one
            )(x)
        return nn.LayerNorm(
            self.eps,
            use_scale=self.learnt,
            use_bias=self.learnt,
            scale_init=normal_around_one,
            reduction_axes=tuple(range(x.ndim - 1)),  # all but the channels
            feature_axes=-1,
            use_fast_variance=False,  # which would lose what so small an eps needs
        )(x)


def concat_label(x: Array, y: Array) -> Array:
    """The label beside each value: [b, ..., c], [b, k] -> [b, ..., c + k]."""
    y = y.reshape(len(y), *(1,) * (x.ndim - 2), y.shape[-1])
    return jnp.concatenate([x, jnp.broadcast_to(y, (*x.shape[:-1], y.shape[-1]))], -1)


def dense(x: Array, y: Array, features: int) -> Array:
    return nn.Dense(features, use_bias=False, kernel_init=normal)(concat_label(x, y))


class Generator(nn.Module):
    """Section 4: z and label, through dense layers to maps of `side` pixels, which each stride of 2 doubles."""

    hidden: tuple[int, ...]
    side: int
    features: tuple[
        int, ...
    ]  # of the first maps, and of all but the last of the transposed convolutions
    strides: tuple[int, ...]  # of these
    channels: int
    kernel: int
    norm: Norm
    each_unit: bool  # the first maps are normalised by unit (Theano) or by channel (Torch)
    squash: Callable[[Array], Array]

    @nn.compact
    def __call__(self, z: Array, y: Array) -> Array:
        x, shape = z, (len(z), self.side, self.side, self.features[0])
        for width in self.hidden:
            x = nn.relu(self.norm(dense(x, y, width)))
        x = dense(x, y, self.side**2 * self.features[0])
        x = nn.relu(
            (self.norm(x) if self.each_unit else self.norm(x.reshape(shape))).reshape(shape)
        )
        before, size = self.kernel // 2, (self.kernel, self.kernel)
        for i, (width, stride) in enumerate(
            zip((*self.features[1:], self.channels), self.strides, strict=True)
        ):
            x = nn.relu(self.norm(x)) if i else x
            pads = (
                (before, self.kernel - 2 + stride - before),
            ) * 2  # the side becomes `stride` times as long
            x = ConvTranspose(
                width, size, (stride, stride), pads, use_bias=False, kernel_init=normal
            )(concat_label(x, y))
        return self.squash(x)


class Discriminator(nn.Module):
    """Section 4: strided convolutions, then dense layers; the logits and the maps of each convolution."""

    features: tuple[int, ...]
    strides: tuple[int, ...]
    kernel: int
    hidden: tuple[int, ...]
    norm: Norm

    @nn.compact
    def __call__(self, x: Array, y: Array) -> tuple[Array, list[Array]]:
        maps: list[Array] = []
        pad, size = (self.kernel - 1) // 2, (self.kernel, self.kernel)
        for width, stride in zip(self.features, self.strides, strict=True):
            x = Conv(
                width, size, (stride, stride), ((pad, pad),) * 2, use_bias=False, kernel_init=normal
            )(concat_label(x, y))
            x = nn.leaky_relu(self.norm(x) if maps else x, 0.2)
            maps.append(x)
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = nn.leaky_relu(self.norm(dense(x, y, width)), 0.2)
        return dense(x, y, 1)[:, 0], maps
