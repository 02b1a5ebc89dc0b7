"""Architectures that two papers share."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
from flax import linen as nn

from gen_jax.distributions import Bernoulli, Gaussian
from gen_jax.types import Array

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
    """h = tanh(W3 x + b3); mean = W4 h + b4; log s^2 = W5 h + b5 (Kingma & Welling 2013, appendix C.2), or log s.

    As the encoder of either model, and as the decoder of the Gaussian one, whose means a sigmoid squashes into (0, 1).
    """

    features: int
    hidden: Sequence[int]
    squash: bool = False
    scale: Literal["log_variance", "log_sigma"] = "log_variance"
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        h = MLP(self.hidden, kernel_init=self.kernel_init)(x)
        mean = nn.Dense(self.features, kernel_init=self.kernel_init, name="mean")(
            h
        )  # [b, features]
        log_scale = nn.Dense(self.features, kernel_init=self.kernel_init, name=self.scale)(h)
        log_variance = 2 * log_scale if self.scale == "log_sigma" else log_scale
        return Gaussian(jax.nn.sigmoid(mean) if self.squash else mean, log_variance)


class BernoulliMLP(nn.Module):
    """y = sigmoid(W2 tanh(W1 z + b1) + b2) (Kingma & Welling 2013, appendix C.1): [b, d] -> [b, features]."""

    features: int
    hidden: Sequence[int]
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, z: Array) -> Bernoulli:
        h = MLP(self.hidden, kernel_init=self.kernel_init)(z)
        return Bernoulli(nn.Dense(self.features, kernel_init=self.kernel_init)(h))
