"""Networks that generate an image from a text, and score whether an image matches a text.

Reed et al. 2016, section 4, and its official code. The networks are those of DCGAN, with residual
bottlenecks that are in the code but not in the paper.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.dcgan import normal, normal_around_one
from gen_jax.networks.layers import BatchNorm, uniform
from gen_jax.types import Array


def norm(x: Array) -> Array:
    """Batch norm with gains from N(1, 0.02)."""
    return BatchNorm(scale_init=normal_around_one)(x)


def leaky(x: Array) -> Array:
    """The leaky ReLU of DCGAN."""
    return nn.leaky_relu(x, 0.2)


def project_text(text: Array, features: int) -> Array:
    """[b, d] -> [b, features]"""
    limit = uniform(text.shape[-1] ** -0.5)  # Torch's default
    return nn.Dense(features, kernel_init=limit, bias_init=limit)(text)


def residual(x: Array, activation: Callable[[Array], Array]) -> Array:
    """x plus a bottleneck with a quarter of its channels: [b, h, w, c] -> the same."""
    y, width = x, x.shape[-1]
    for features, size in ((width // 4, 1), (width // 4, 3)):
        y = activation(norm(Conv(features, (size, size), kernel_init=normal)(y)))
    return x + norm(Conv(width, (3, 3), kernel_init=normal)(y))


def features_4x4(x: Array, width: int) -> Array:
    """4x4 maps before the activation: [b, s, s, 3] -> [b, 4, 4, width s / 8]."""
    for i in range((x.shape[1] // 4).bit_length() - 1):
        x = leaky(x) if i else x
        x = Conv(width * 2**i, (4, 4), (2, 2), ((1, 1), (1, 1)), kernel_init=normal)(x)
        x = norm(x) if i else x
    return x


class Generator(nn.Module):
    """G(z, t): [b, latents], [b, d] -> [b, side, side, 3] in (-1, 1)."""

    side: int
    width: int
    text: int

    @nn.compact
    def __call__(self, z: Array, text: Array) -> Array:
        x = jnp.concatenate([z, leaky(project_text(text, self.text))], -1)[:, None, None]
        widths = [self.width * 2**i for i in reversed(range((self.side // 4).bit_length() - 1))]
        x = norm(ConvTranspose(widths[0], (4, 4), (1, 1), ((3, 3), (3, 3)), kernel_init=normal)(x))
        for i, width in enumerate([*widths[1:], 3]):
            x = nn.relu(residual(x, nn.relu) if i < 2 else x)
            x = ConvTranspose(width, (4, 4), (2, 2), ((2, 2), (2, 2)), kernel_init=normal)(x)
            x = norm(x) if i < len(widths) - 1 else x
        return nn.tanh(x)


class Discriminator(nn.Module):
    """The logit of "real image, with matching caption": [b, side, side, 3], [b, d] -> [b]."""

    width: int
    text: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: Array, text: Array) -> Array:
        x = features_4x4(x, self.width)
        x = leaky(residual(x, leaky) if self.bottleneck else x)
        t = leaky(norm(project_text(text, self.text)))[:, None, None]
        x = jnp.concatenate([x, jnp.broadcast_to(t, (*x.shape[:3], self.text))], -1)
        x = leaky(norm(Conv(x.shape[-1] - self.text, (1, 1), kernel_init=normal)(x)))
        return Conv(1, (4, 4), padding="VALID", kernel_init=normal)(x).ravel()


class PlainDiscriminator(nn.Module):
    """The same without normalisation or bottleneck, and with He initialisation.

    It is for a gradient penalty and is not in the paper.
    """

    width: int
    text: int

    @nn.compact
    def __call__(self, x: Array, text: Array) -> Array:
        he = nn.initializers.he_normal()
        for i in range((x.shape[1] // 4).bit_length() - 1):
            x = leaky(Conv(self.width * 2**i, (4, 4), (2, 2), ((1, 1), (1, 1)), kernel_init=he)(x))
        x = leaky(Conv(x.shape[-1], (3, 3), kernel_init=he)(x))  # [b, 4, 4, width s / 8]
        t = leaky(nn.Dense(self.text)(text))[:, None, None]
        x = jnp.concatenate([x, jnp.broadcast_to(t, (*x.shape[:3], self.text))], -1)
        x = leaky(Conv(4 * self.width, (1, 1), kernel_init=he)(x))
        return Conv(1, (4, 4), padding="VALID", kernel_init=he)(x).ravel()


class StyleEncoder(nn.Module):
    """S(x), the latents of an image (section 4.4): [b, side, side, 3] -> [b, latents]."""

    width: int
    latents: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        last = Conv(self.latents, (4, 4), padding="VALID", kernel_init=normal)  # Conv_0
        return last(leaky(features_4x4(x, self.width)))[:, 0, 0]
