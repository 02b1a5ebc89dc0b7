"""The generator and the patch discriminator of CycleGAN (Zhu et al. 2017, appendix 7.2)."""

import functools

from flax import linen as nn

from gen_jax.errors import UserError
from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.dcgan import normal, normal_around_one
from gen_jax.networks.layers import InstanceNorm, reflect_pad
from gen_jax.networks.mlp import MLP
from gen_jax.types import Array


class Translator(nn.Module):
    """c7s1-64, d128, d256, residual blocks, u128, u64, c7s1-3: [b, h, w, c] -> the same, in
    [-1, 1].

    The sides must be multiples of 4. Strided and transposed convolutions use zero padding, all
    others reflection padding.
    """

    width: int  # of the first layer
    blocks: int
    affine: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv = functools.partial(Conv, padding="VALID", kernel_init=normal)
        norm = functools.partial(InstanceNorm, self.affine, scale_init=normal_around_one)
        channels = x.shape[-1]
        x = nn.relu(norm()(conv(self.width, (7, 7))(reflect_pad(x, 3))))
        for width in (2 * self.width, 4 * self.width):
            x = nn.relu(norm()(conv(width, (3, 3), (2, 2), padding=((1, 1), (1, 1)))(x)))
        for _ in range(self.blocks):
            y = nn.relu(norm()(conv(4 * self.width, (3, 3))(reflect_pad(x, 1))))
            x = x + norm()(conv(4 * self.width, (3, 3))(reflect_pad(y, 1)))
        for width in (2 * self.width, self.width):
            up = ConvTranspose(width, (3, 3), (2, 2), ((1, 2), (1, 2)), kernel_init=normal)
            x = nn.relu(norm()(up(x)))
        return nn.tanh(conv(channels, (7, 7))(reflect_pad(x, 3)))


class PatchDiscriminator(nn.Module):
    """C64-C128-C256-C512, with a score for each patch (Isola et al. 2017): [b, h, w, c]
    -> [b, h', w', 1].

    With 3 halvings, the receptive field of a score is 70 x 70 pixels.
    """

    width: int  # of the first layer
    halvings: int
    affine: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        conv = functools.partial(
            Conv, kernel_size=(4, 4), padding=((1, 1), (1, 1)), kernel_init=normal
        )
        for i, stride in enumerate((2,) * self.halvings + (1,)):
            x = conv(self.width * min(2**i, 8), strides=(stride, stride))(x)
            x = nn.leaky_relu(
                InstanceNorm(self.affine, scale_init=normal_around_one)(x) if i else x, 0.2
            )
        return conv(1)(x)


def perceptron(width: int, outputs: int) -> nn.Module:
    """Two hidden layers of leaky ReLUs: [b, d] -> [b, outputs]."""
    return nn.Sequential((MLP((width,) * 2, nn.leaky_relu), nn.Dense(outputs)))


def check_side(side: int, halvings: int) -> None:
    """Raise UserError if the output of the generator would differ in size, or if no patch would
    remain.
    """
    if side % 4 or side < 3 * 2**halvings:
        least = 3 * 2**halvings
        raise UserError(
            f"side is {side}; {halvings} halvings need a multiple of 4, {least} or above."
        )
