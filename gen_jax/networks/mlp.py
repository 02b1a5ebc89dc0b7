"""Multilayer perceptrons: plain, with Gaussian or Bernoulli outputs, and a discriminator."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.distributions import Bernoulli, Gaussian
from gen_jax.networks.layers import dropout
from gen_jax.types import Array, Key

Initializer = nn.initializers.Initializer


class MLP(nn.Module):
    """Dense layers with one activation after each: [b, d] -> [b, hidden[-1]]."""

    hidden: Sequence[int]
    activation: Callable[[Array], Array] = nn.tanh
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for features in self.hidden:
            x = self.activation(nn.Dense(features, kernel_init=self.kernel_init)(x))
        return x


class GaussianMLP(nn.Module):
    """h = tanh(W3 x + b3); mean = W4 h + b4; log s^2 = W5 h + b5, or log s: [b, d] -> [b, k].

    Kingma & Welling 2013, appendix C.2: the encoder of both models, and the decoder of the Gaussian
    model, whose means are mapped to (0, 1) by a sigmoid.
    """

    mean_layer: ClassVar[str] = "mean"  # the name of the layer that outputs the means

    features: int
    hidden: Sequence[int]
    squash: bool = False
    scale: Literal["log_variance", "log_sigma"] = "log_variance"
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        h = MLP(self.hidden, kernel_init=self.kernel_init)(x)
        mean = nn.Dense(self.features, kernel_init=self.kernel_init, name=self.mean_layer)(h)
        log_scale = nn.Dense(self.features, kernel_init=self.kernel_init, name=self.scale)(h)
        log_variance = 2 * log_scale if self.scale == "log_sigma" else log_scale
        return Gaussian(jax.nn.sigmoid(mean) if self.squash else mean, log_variance)


class BernoulliMLP(nn.Module):
    """y = sigmoid(W2 tanh(W1 z + b1) + b2): [b, d] -> [b, features].

    Kingma & Welling 2013, appendix C.1.
    """

    # the name of the layer that outputs the logits of the means
    mean_layer: ClassVar[str] = "Dense_0"

    features: int
    hidden: Sequence[int]
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, z: Array) -> Bernoulli:
        h = MLP(self.hidden, kernel_init=self.kernel_init)(z)
        return Bernoulli(nn.Dense(self.features, kernel_init=self.kernel_init)(h))


class IsotropicNoise(nn.Module):
    """p(x|z) = N(mean, sigma^2 I) with one learned sigma, initially 1: [..., d] -> [..., d]."""

    @nn.compact
    def __call__(self, mean: Array) -> Gaussian:
        log_variance = self.param("log_variance", nn.initializers.zeros, ())
        return Gaussian(mean, jnp.full_like(mean, log_variance))


class Discriminator(nn.Module):
    """Leaky ReLU layers with dropout: [b, d] -> logits [b]."""

    hidden: Sequence[int]
    dropout: float  # share of the units that are dropped

    @nn.compact
    def __call__(self, x: Array, key: Key) -> Array:
        keys = jax.random.split(key, len(self.hidden))
        for features, dropout_key in zip(self.hidden, keys, strict=True):
            x = nn.leaky_relu(nn.Dense(features)(x))
            x = dropout(x, dropout_key, keep=1 - self.dropout) if self.dropout else x
        return nn.Dense(1)(x)[:, 0]
