"""U-nets (Ronneberger et al. 2015) with strided convolutions: that of pix2pix, and two halves.

Lee et al. 2018 use one encoder and two decoders. The second decoder receives the maps of the first.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.errors import UserError
from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.dcgan import normal, normal_around_one
from gen_jax.networks.layers import BatchNorm, InstanceNorm, dropout
from gen_jax.types import Array, Key


class UNet(nn.Module):
    """The generator of pix2pix (Isola et al. 2017): [b, side, side, c], key
    -> [b, side, side, channels], in [-1, 1].

    Each image is normalised by its own statistics, as by batch norm with one image; the innermost
    map, which may be one pixel, is not. The noise is dropout in the first layers of the decoder,
    in training and later. Raises UserError if the side is no multiple of 2^len(widths).
    """

    widths: tuple[int, ...]  # of the encoder, whose layers halve the side
    channels: int = 3
    noisy: int = 3  # layers of the decoder with dropout

    @nn.compact
    def __call__(self, x: Array, key: Key) -> Array:
        if x.shape[1] % 2 ** len(self.widths) or x.shape[1] != x.shape[2]:
            raise UserError(
                f"the images have {x.shape[1]} x {x.shape[2]} pixels; a U-net of "
                f"{len(self.widths)} layers needs a square side, a multiple of {2 ** len(self.widths)}."
            )
        half, double = (
            functools.partial(layer, kernel_size=(4, 4), strides=(2, 2), kernel_init=normal)
            for layer in (Conv, ConvTranspose)
        )
        norm = functools.partial(InstanceNorm, True, scale_init=normal_around_one)
        maps: list[Array] = []
        for i, width in enumerate(self.widths):
            plain = i in (0, len(self.widths) - 1)
            x = half(width, use_bias=plain)(nn.leaky_relu(x, 0.2) if i else x)
            maps.append(x if plain else norm()(x))
            x = maps[-1]
        for i, skip in enumerate(maps[-2::-1]):
            x = norm()(double(skip.shape[-1], use_bias=False)(nn.relu(x)))
            x = dropout(x, jax.random.fold_in(key, i), keep=0.5) if i < self.noisy else x
            x = jnp.concatenate([x, skip], -1)
        return nn.tanh(double(self.channels)(nn.relu(x)))


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
