"""The U-net of pix2pix: the layers and weights of the authors' code, its noise and its norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.errors import UserError
from gen_jax.networks.unet import UNet

KEY = jax.random.key(0)


def test_as_many_weights_as_the_authors_network():
    """models.lua, without a norm in the innermost layer, and with the biases that no norm removes."""
    x = jnp.zeros((1, 256, 256, 3))
    widths = (64, 128, 256, 512, 512, 512, 512, 512)
    tree = jax.eval_shape(UNet(widths).init, KEY, x, KEY)
    down = [3, *widths]
    up = [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    kernels = [16 * i * o for i, o in zip(down, widths, strict=False)]
    kernels += [16 * i * o for i, o in zip(up, [*widths[-2::-1], 3], strict=True)]
    norms = 2 * sum(widths[1:-1]) + 2 * sum(widths[:-1])
    assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == sum(kernels) + norms + 64 + 512 + 3


def test_equals_layers_of_flax():
    net, x = UNet((4, 6, 8), noisy=0), jax.random.normal(KEY, (2, 8, 8, 3))
    variables = net.init(jax.random.key(1), x, KEY)
    params = variables["params"]

    def layer(kind, name, features, x):
        bias = "bias" in params[name]
        module = kind(features, (4, 4), (2, 2), use_bias=bias)
        return module.apply({"params": params[name]}, x)

    def norm(name, x):
        module = nn.InstanceNorm(epsilon=1e-5)
        return module.apply({"params": params[name]}, x)

    first = layer(nn.Conv, "Conv_0", 4, x)
    second = norm("InstanceNorm_0", layer(nn.Conv, "Conv_1", 6, nn.leaky_relu(first, 0.2)))
    inner = layer(nn.Conv, "Conv_2", 8, nn.leaky_relu(second, 0.2))
    y = norm("InstanceNorm_1", layer(nn.ConvTranspose, "ConvTranspose_0", 6, nn.relu(inner)))
    y = nn.relu(jnp.concatenate([y, second], -1))
    y = norm("InstanceNorm_2", layer(nn.ConvTranspose, "ConvTranspose_1", 4, y))
    y = nn.relu(jnp.concatenate([y, first], -1))
    y = jnp.tanh(layer(nn.ConvTranspose, "ConvTranspose_2", 3, y))
    np.testing.assert_allclose(net.apply(variables, x, KEY), y, atol=1e-5)


def test_noise_is_dropout_by_the_key():
    net, x = UNet((4, 4)), jax.random.normal(KEY, (2, 8, 8, 3))
    variables = net.init(jax.random.key(1), x, KEY)
    once, again, other = (net.apply(variables, x, jax.random.key(k)) for k in (2, 2, 3))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_a_side_that_cannot_be_halved_is_one_sentence():
    with pytest.raises(UserError, match=r"12 x 12 pixels.* a multiple of 8"):
        UNet((4, 4, 4)).init(KEY, jnp.zeros((1, 12, 12, 3)), KEY)
