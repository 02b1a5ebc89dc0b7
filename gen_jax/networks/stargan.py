"""StarGAN's networks: a translator that takes a label, and a discriminator with two outputs.

Choi et al. 2018, appendix.
"""

from functools import partial

from flax import linen as nn

from gen_jax.errors import UserError
from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.dcgan import concat_label
from gen_jax.networks.layers import InstanceNorm, uniform
from gen_jax.types import Array, Params

# PyTorch's default, U(-1, 1) / sqrt(h w i). For a transposed convolution, i is the number of
# its outputs.
pytorch = partial(nn.initializers.variance_scaling, 1 / 3, "fan_in", "uniform")
kernel, kernel_up = pytorch(), pytorch(in_axis=-1, out_axis=-2)


def conv_norm(x: Array, width: int, size: int) -> Array:
    """A convolution, of stride 2 if its size is 4, and instance norm: [b, h, w, c]
    -> [b, h', w', width].
    """
    strides = (2, 2) if size == 4 else (1, 1)
    x = Conv(width, (size, size), strides, use_bias=False, kernel_init=kernel)(x)
    return InstanceNorm(affine=True)(x)


class Generator(nn.Module):
    """G(x, c), the image translated to the domain of the label: [b, h, w, 3], [b, k]
    -> [b, h, w, 3].

    It uses zero padding: with reflection padding the label would have the same effect everywhere,
    and instance norm would remove it.
    """

    width: int
    blocks: int

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        wide = 4 * self.width
        x = nn.relu(conv_norm(concat_label(x, c), self.width, 7))
        for factor in (2, 4):
            x = nn.relu(conv_norm(x, factor * self.width, 4))
        for _ in range(self.blocks):  # [b, h/4, w/4, 4 width]
            x = x + conv_norm(nn.relu(conv_norm(x, wide, 3)), wide, 3)
        for factor in (2, 1):
            up = ConvTranspose(
                factor * self.width, (4, 4), (2, 2), use_bias=False, kernel_init=kernel_up
            )
            x = nn.relu(InstanceNorm(affine=True)(up(x)))
        return nn.tanh(Conv(3, (7, 7), use_bias=False, kernel_init=kernel)(x))


class Discriminator(nn.Module):
    """D_src, scores of patches, [b, h', w', 1], and D_cls, logits of the domains, [b, k]."""

    width: int
    layers: int
    labels: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:  # [b, h, w, 3]
        for i in range(self.layers):
            biases = uniform((16 * x.shape[-1]) ** -0.5)  # PyTorch's default, as for the kernel
            strided = Conv(2**i * self.width, (4, 4), (2, 2), kernel_init=kernel, bias_init=biases)
            x = nn.leaky_relu(strided(x), 0.01)
        last = partial(Conv, use_bias=False, kernel_init=kernel)
        logits = last(self.labels, (x.shape[1], x.shape[2]), padding="VALID", name="domains")(x)
        return last(1, (3, 3), name="source")(x), logits[:, 0, 0]


def label_weights(generator: Params, discriminator: Params) -> int:
    """Count the weights that process labels in the generator and that classify them in the
    discriminator.
    """
    seen = generator["Conv_0"]["kernel"][:, :, 3:]  # after red, green and blue
    return seen.size + discriminator["domains"]["kernel"].size


def check_side(side: int, layers: int) -> None:
    """Raise UserError if the networks cannot halve a side, in pixels, `layers` times."""
    if side % (multiple := 2 ** max(layers, 2)):
        raise UserError(
            f"side is {side}; it must be a multiple of 4 and of 2^layers, so of {multiple}."
        )
