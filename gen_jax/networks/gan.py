"""The networks of Goodfellow et al. 2014 for MNIST, as in mnist.yaml of the official code."""

import jax
from flax import linen as nn

from gen_jax.networks.layers import Maxout, dropout, uniform
from gen_jax.types import Array, Key


class Generator(nn.Module):
    """ReLU layers, then sigmoids: z [b, latents] -> pixels [b, pixels] in (0, 1)."""

    hidden: tuple[int, ...]
    pixels: int

    @nn.compact
    def __call__(self, z: Array) -> Array:
        for features in self.hidden:
            z = nn.relu(nn.Dense(features, kernel_init=uniform(0.05))(z))
        return nn.sigmoid(nn.Dense(self.pixels, kernel_init=uniform(0.05), name="out")(z))


class Discriminator(nn.Module):
    """Maxout layers of 5 pieces, with dropout of a fifth of the pixels and half of the units.

    pixels [b, pixels], key of the dropout -> logits [b].
    """

    maxout: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, key: Key) -> Array:
        keys = jax.random.split(key, len(self.maxout) + 1)
        for i, features in enumerate(self.maxout):
            x = dropout(x, keys[i], keep=0.5 if i else 0.8)
            x = Maxout(features, 5, kernel_init=uniform(0.005))(x)
        return nn.Dense(1, kernel_init=uniform(0.005))(dropout(x, keys[-1], keep=0.5))[..., 0]
