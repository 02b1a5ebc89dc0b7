"""Layers that the papers introduced."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.types import Array, Key

Initializer = nn.initializers.Initializer


class Maxout(nn.Module):
    """The largest of `pieces` affine functions for each unit (Goodfellow et al. 2013): [b, d] -> [b, features]."""

    features: int
    pieces: int
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.Dense(self.features * self.pieces, kernel_init=self.kernel_init)(x)
        return y.reshape(*y.shape[:-1], self.features, self.pieces).max(-1)


def dropout(x: Array, key: Key, *, keep: float) -> Array:
    """Each value with probability `keep`, divided by it, and 0 otherwise; a function of the key, so that it is pure."""
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)


def uniform(limit: float) -> Initializer:
    """Weights from U(-limit, limit)."""

    def init(key: Key, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


class BatchNorm(nn.Module):
    """flax.linen.BatchNorm that learns where "batch_stats" is mutable and rests, on what it learnt, where it is not.

    Ioffe & Szegedy 2015. [b, ..., c] -> the same; `momentum` is the weight of the old statistics.
    """

    scale: bool = True
    bias: bool = True
    eps: float = 1e-5
    momentum: float = 0.9
    scale_init: Initializer = nn.initializers.ones

    def setup(self) -> None:
        self.norm = nn.BatchNorm(
            momentum=self.momentum,
            epsilon=self.eps,
            use_scale=self.scale,
            use_bias=self.bias,
            scale_init=self.scale_init,
        )
        nn.share_scope(self, self.norm)  # so that the parameters lie in this module, not one level below

    def __call__(self, x: Array) -> Array:
        return self.norm(x, use_running_average=not self.is_mutable_collection("batch_stats"))
