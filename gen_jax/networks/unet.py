"""The two halves of a U-net (Ronneberger et al. 2015) with strided convolutions.

Lee et al. 2018 use one encoder and two decoders. The second decoder receives the maps of the first.
"""

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.layers import BatchNorm
from gen_jax.types import Array


class Encoder(nn.Module):
    """Convolutions of stride 2, then one of 4x4 that reduces the maps to one pixel.

    [b, side, side, c] -> maps [b, side / 2, side / 2, widths[0]] and so on, and
    [b, 1, 1, features].
    """

    widths: tuple[int, ...]
    features: int

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        maps: list[Array] = []
        for width in self.widths:
            x = Conv(width, (5, 5), (2, 2), ((2, 2), (2, 2)))(x)
            x = nn.leaky_relu(BatchNorm()(x) if maps else x, 0.2)
            maps.append(x)
        return [*maps, Conv(self.features, (4, 4), (1, 1), "VALID")(x)]


class Decoder(nn.Module):
    """The reverse of the encoder, with skip connections.

    [b, 1, 1, d] and maps of the encoder's sizes -> its own maps, each concatenated with the
    corresponding input map, the largest first; and [b, side, side, channels].
    """

    widths: tuple[int, ...]
    channels: int

    @nn.compact
    def __call__(self, x: Array, skips: list[Array]) -> tuple[list[Array], Array]:
        maps: list[Array] = []
        x = ConvTranspose(self.widths[-1], (4, 4), (1, 1), ((3, 3), (3, 3)))(x)
        for width, skip in zip((*self.widths[-2::-1], self.channels), skips[::-1], strict=True):
            maps.insert(0, jnp.concatenate([nn.relu(BatchNorm()(x)), skip], -1))
            x = ConvTranspose(width, (5, 5), (2, 2), ((2, 3), (2, 3)))(maps[0])
        return maps, x
