"""The convolutional generator and discriminator of Radford et al. 2015 (DCGAN), on which later papers build.

Either may be given a label, one-hot or any vector, which is joined to the input of each layer, or an empty one, [b, 0].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.convolutions import Conv, ConvTranspose
from gen_jax.layers import BatchNorm
from gen_jax.types import Array, Key

normal = nn.initializers.normal(0.02)


def gains(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """N(1, 0.02)"""
    return 1 + normal(key, shape, dtype)


class Norm(NamedTuple):
    """What the codes' batch norms differ in."""

    learnt: bool  # gains, from N(1, 0.02), and biases
    running: bool
    eps: float

    def __call__(self, x: Array) -> Array:
        if self.running:
            return BatchNorm(scale=self.learnt, bias=self.learnt, eps=self.eps, scale_init=gains)(x)
        return nn.LayerNorm(
            self.eps,
            use_scale=self.learnt,
            use_bias=self.learnt,
            scale_init=gains,
            reduction_axes=tuple(range(x.ndim - 1)),  # all but the channels
            feature_axes=-1,
            use_fast_variance=False,  # which would lose what so small an eps needs
        )(x)


def joined(x: Array, y: Array) -> Array:
    """The label beside each value: [b, ..., c], [b, k] -> [b, ..., c + k]."""
    y = y.reshape(len(y), *(1,) * (x.ndim - 2), y.shape[-1])
    return jnp.concatenate([x, jnp.broadcast_to(y, (*x.shape[:-1], y.shape[-1]))], -1)


def dense(x: Array, y: Array, features: int) -> Array:
    return nn.Dense(features, use_bias=False, kernel_init=normal)(joined(x, y))


class Generator(nn.Module):
    """Section 4: z and label, through dense layers, maps of `side` pixels and twice as many from layer to layer."""

    hidden: tuple[int, ...]
    side: int
    features: tuple[int, ...]
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
        x = nn.relu((self.norm(x) if self.each_unit else self.norm(x.reshape(shape))).reshape(shape))
        before = self.kernel // 2  # and `kernel` in all, which doubles the side: the transpose of the code's stride 2
        pads, size = ((before, self.kernel - before),) * 2, (self.kernel, self.kernel)
        for width in (*self.features[1:], self.channels):
            if x.shape[1] > self.side:
                x = nn.relu(self.norm(x))
            x = ConvTranspose(width, size, (2, 2), pads, use_bias=False, kernel_init=normal)(joined(x, y))
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
            x = Conv(width, size, (stride, stride), ((pad, pad),) * 2, use_bias=False, kernel_init=normal)(joined(x, y))
            x = nn.leaky_relu(self.norm(x) if maps else x, 0.2)
            maps.append(x)
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = nn.leaky_relu(self.norm(dense(x, y, width)), 0.2)
        return dense(x, y, 1)[:, 0], maps
