"""The networks of Chen et al. 2016 for MNIST (appendix C.1), and their codes.

The side of an image must be a multiple of 4.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.distributions import Gaussian
from gen_jax.networks import layers
from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.types import Array, Key

# As in the official code, the layers before batch norm have biases, which batch norm cancels.
normal = nn.initializers.normal(0.02)
truncated_normal = nn.initializers.truncated_normal(0.02)
Dense = partial(nn.Dense, kernel_init=normal)
Up = partial(ConvTranspose, kernel_size=(4, 4), strides=(2, 2), kernel_init=normal)
Down = partial(Conv, kernel_size=(4, 4), strides=(2, 2), kernel_init=truncated_normal)
Norm = partial(layers.BatchNorm, scale_init=lambda *like: 1 + normal(*like))


class Code(NamedTuple):
    """The input of the generator."""

    noise: Array  # [b, noise]
    category: Array  # [b, categories], one-hot
    continuous: Array  # [b, continuous]


class Prior(NamedTuple):
    """The dimensions of each part of a code. Noise and continuous codes are U(-1, 1)."""

    noise: int
    categories: int  # of one categorical code, equally likely
    continuous: int

    def draw(self, count: int, key: Key) -> Code:
        """Draw `count` codes."""
        key_noise, key_category, key_continuous = jax.random.split(key, 3)
        uniform = partial(jax.random.uniform, minval=-1, maxval=1)
        noise = uniform(key_noise, (count, self.noise))
        category = jax.random.randint(key_category, (count,), 0, self.categories)
        category = jax.nn.one_hot(category, self.categories)
        continuous = uniform(key_continuous, (count, self.continuous))
        return Code(noise, category, continuous)


class Generator(nn.Module):
    """Means of Bernoulli pixels from a code -> [b, side, side, 1]."""

    side: int
    width: int

    @nn.compact
    def __call__(self, code: Code) -> Array:
        base = self.side // 4
        x = nn.relu(Norm()(Dense(16 * self.width)(jnp.concatenate(code, axis=-1))))
        x = nn.relu(Norm()(Dense(base * base * 2 * self.width)(x)))
        x = x.reshape(-1, base, base, 2 * self.width)
        x = nn.relu(Norm()(Up(self.width)(x)))  # [b, side / 2, side / 2, width]
        return nn.sigmoid(Up(1)(x))


class Trunk(nn.Module):
    """The layers shared by the discriminator and Q: [b, side, side, 1] -> [b, 16 width]."""

    width: int
    leak: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.leaky_relu(Down(self.width)(x), self.leak)
        x = nn.leaky_relu(Norm()(Down(2 * self.width)(x)), self.leak)  # [b, side / 4, side / 4, c]
        return nn.leaky_relu(Norm()(Dense(16 * self.width)(x.reshape(len(x), -1))), self.leak)


class QHead(nn.Module):
    """Q(c|x): [b, 16 width] -> logits of the category [b, categories], Gaussians [b, continuous].

    If sigma is not learned, it is 1 and its outputs are unused, as in the official code.
    """

    width: int
    leak: float
    prior: Prior
    learned_sigma: bool

    @nn.compact
    def __call__(self, h: Array) -> tuple[Array, Gaussian]:
        h = nn.leaky_relu(Norm()(Dense(2 * self.width)(h)), self.leak)
        categories, continuous = self.prior.categories, self.prior.continuous
        out = Dense(categories + 2 * continuous)(h)
        logits, mean, log_sigma = jnp.split(out, (categories, categories + continuous), axis=-1)
        return logits, Gaussian(mean, (2 if self.learned_sigma else 0) * log_sigma)
