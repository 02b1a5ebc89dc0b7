"""The two halves of a U-net (Ronneberger et al. 2015) with strided convolutions, as Lee et al. 2018 double them."""

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.layers import BatchNorm
from gen_jax.types import Array


class Halving(nn.Module):
    """Convolutions of stride 2, then one of 4x4 that leaves one pixel: [b, side, side, c] -> maps of every size."""

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


class Doubling(nn.Module):
    """The way back, beside maps of the same sizes: [b, 1, 1, d] -> the maps with what stood beside, and the last."""

    widths: tuple[int, ...]
    channels: int

    @nn.compact
    def __call__(self, x: Array, beside: list[Array]) -> tuple[list[Array], Array]:
        both: list[Array] = []
        x = ConvTranspose(self.widths[-1], (4, 4), (1, 1), ((3, 3), (3, 3)))(x)
        for width, other in zip((*self.widths[-2::-1], self.channels), beside[::-1], strict=True):
            both.insert(0, jnp.concatenate([nn.relu(BatchNorm()(x)), other], -1))
            x = ConvTranspose(width, (5, 5), (2, 2), ((2, 3), (2, 3)))(both[0])
        return both, x
