"""Networks that translate an image into the domain of a label, and that judge it (Choi et al. 2018, appendix)."""

from functools import partial

from flax import linen as nn

from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.networks.dcgan import concat_label
from gen_jax.networks.layers import InstanceNorm, uniform
from gen_jax.types import Array

# PyTorch's default, U(-1, 1) / sqrt(h w i); it counts the outputs of a transposed convolution as inputs.
pytorch = partial(nn.initializers.variance_scaling, 1 / 3, "fan_in", "uniform")
kernel, kernel_up = pytorch(), pytorch(in_axis=-1, out_axis=-2)


def normed(x: Array, width: int, size: int) -> Array:
    x = Conv(
        width, (size, size), (2, 2) if size == 4 else (1, 1), use_bias=False, kernel_init=kernel
    )(x)
    return InstanceNorm(affine=True)(x)


class Generator(nn.Module):
    """G(x, c), the image in the domain of the label: [b, h, w, 3], [b, k] -> [b, h, w, 3].

    Padding is with zeros: a mirror's would leave the label the same everywhere, and instance norm would take it out.
    """

    width: int
    blocks: int

    @nn.compact
    def __call__(self, x: Array, c: Array) -> Array:
        x = nn.relu(normed(concat_label(x, c), self.width, 7))
        for factor in (2, 4):
            x = nn.relu(normed(x, factor * self.width, 4))
        for _ in range(self.blocks):
            x = x + normed(
                nn.relu(normed(x, 4 * self.width, 3)), 4 * self.width, 3
            )  # [b, h/4, w/4, 4 width]
        for factor in (2, 1):
            up = ConvTranspose(
                factor * self.width, (4, 4), (2, 2), use_bias=False, kernel_init=kernel_up
            )
            x = nn.relu(InstanceNorm(affine=True)(up(x)))
        return nn.tanh(Conv(3, (7, 7), use_bias=False, kernel_init=kernel)(x))


class Discriminator(nn.Module):
    """D_src, a score of each patch, and D_cls, the logits of the domains: [b, h, w, 3] -> [b, h', w', 1], [b, k]."""

    width: int
    layers: int
    labels: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        for i in range(self.layers):
            biases = uniform((16 * x.shape[-1]) ** -0.5)  # PyTorch's, like the kernel
            strided = Conv(2**i * self.width, (4, 4), (2, 2), kernel_init=kernel, bias_init=biases)
            x = nn.leaky_relu(strided(x), 0.01)
        last = partial(Conv, use_bias=False, kernel_init=kernel)
        logits = last(self.labels, (x.shape[1], x.shape[2]), padding="VALID", name="domains")(x)
        return last(1, (3, 3), name="source")(x), logits[:, 0, 0]
