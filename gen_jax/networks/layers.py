"""Layers introduced by the papers, and normalisation layers with a common rule for their
statistics.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.types import Array, Key

Initializer = nn.initializers.Initializer


class Maxout(nn.Module):
    """The maximum of `pieces` affine functions for each unit: [b, d] -> [b, features].

    Goodfellow et al. 2013, "Maxout networks".
    """

    features: int
    pieces: int
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = nn.Dense(self.features * self.pieces, kernel_init=self.kernel_init)(x)
        return y.reshape(*y.shape[:-1], self.features, self.pieces).max(-1)


def dropout(x: Array, key: Key, *, keep: float) -> Array:
    """Divide each value by `keep` with probability `keep`, else set it to 0: x of any shape -> the
    same.

    The mask depends on the key only, so that an objective can use one mask twice.
    """
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)


def uniform(limit: float) -> Initializer:
    """An initializer of weights from U(-limit, limit)."""

    def init(key: Key, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return init


class BatchNorm(nn.Module):
    """flax.linen.BatchNorm without a flag for training: [b, ..., c] -> the same.

    If the collection "batch_stats" is mutable, it uses the statistics of the batch and updates the
    running statistics; otherwise it uses the running statistics (Ioffe & Szegedy 2015).
    """

    scale: bool = True
    bias: bool = True
    eps: float = 1e-5
    momentum: float = 0.9  # the weight of the old running statistics in an update
    scale_init: Initializer = nn.initializers.ones

    def setup(self) -> None:
        self.norm = nn.BatchNorm(
            momentum=self.momentum,
            epsilon=self.eps,
            use_scale=self.scale,
            use_bias=self.bias,
            scale_init=self.scale_init,
        )
        # Parameters get the path of this module, not of a submodule.
        nn.share_scope(self, self.norm)

    def __call__(self, x: Array) -> Array:
        return self.norm(x, use_running_average=not self.is_mutable_collection("batch_stats"))


class InstanceNorm(nn.Module):
    """Normalise each channel of each image to mean 0 and variance 1, in float32: [b, h, w, c]
    -> the same.

    Ulyanov et al. 2016. The rounding differs from flax.linen.InstanceNorm, which first multiplies
    the gain into the reciprocal deviation.
    """

    affine: bool  # learn a gain and a bias for each channel
    eps: float = 1e-5
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array) -> Array:
        given, x = jnp.result_type(x), jnp.asarray(x, jnp.float32)
        centred = x - x.mean((1, 2), keepdims=True)
        x = centred * jax.lax.rsqrt((centred**2).mean((1, 2), keepdims=True) + self.eps)
        if self.affine:
            scale = self.param("scale", self.scale_init, (x.shape[-1],))
            bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
            x = x * scale[None, None, None] + bias[None, None, None]
        return x.astype(given)


def reflect_pad(x: Array, width: int) -> Array:
    """Reflection padding without repeating the edge: [b, h, w, c] -> [b, h + 2 width, ..., c]."""
    return jnp.pad(x, ((0, 0), (width, width), (width, width), (0, 0)), mode="reflect")


class ImagePool(nn.Module):
    """A history of generated images for the discriminator: [b, h, w, c], key -> the same shape.

    While the pool fills, each image is stored and returned. Then, with probability 1/2, an image
    replaces a stored one, and the stored one is returned. Otherwise the image is returned
    unchanged, as all images are if the collection "pool" is not mutable (Shrivastava et al. 2017).
    """

    size: int  # images; 0 for no history

    @nn.compact
    def __call__(self, images: Array, key: Key) -> Array:
        if not self.size:
            return images
        stored = self.variable(
            "pool", "images", jnp.zeros, (self.size, *images.shape[1:]), images.dtype
        )
        count = self.variable("pool", "count", jnp.zeros, (), jnp.int32)
        if self.is_initializing() or not self.is_mutable_collection("pool"):
            return images

        def offer(
            held: tuple[Array, Array], new: tuple[Array, Key]
        ) -> tuple[tuple[Array, Array], Array]:
            (kept, n), (image, key) = held, new
            which, coin = jax.random.split(key)
            full = n == self.size
            swap = full & jax.random.bernoulli(coin)
            slot = jnp.where(full, jax.random.randint(which, (), 0, self.size), n)
            old = kept[slot]
            kept = kept.at[slot].set(jnp.where(full & ~swap, old, image))
            return (kept, jnp.minimum(n + 1, self.size)), jnp.where(swap, old, image)

        keys = jax.random.split(key, len(images))
        (stored.value, count.value), given = jax.lax.scan(
            offer, (stored.value, count.value), (images, keys)
        )
        return given
