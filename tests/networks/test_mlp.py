"""Multilayer perceptrons: their layers' names, their outputs and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.networks import mlp


def test_the_discriminator_leaves_units_out_where_it_is_told_to():
    x, keys = jnp.ones((3, 4)), jax.random.split(jax.random.key(0))
    for share in (0.0, 0.5):
        discriminator = mlp.Discriminator((16, 16), share)
        variables = discriminator.init(keys[0], x, keys[0])
        one, two = (discriminator.apply(variables, x, key) for key in keys)
        assert one.shape == (3,) and bool((one == two).all()) == (share == 0)


@pytest.mark.parametrize("network", [mlp.GaussianMLP(3, (4,)), mlp.BernoulliMLP(3, (4,))])
def test_the_mean_is_of_the_layer_that_is_named(network):
    x = jnp.ones((2, 5))
    params = network.init(jax.random.key(0), x)["params"]
    layer = {**params[network.mean_layer], "bias": jnp.array([1.0, -2.0, 3.0])}
    before = network.apply({"params": params}, x)
    after = network.apply({"params": {**params, network.mean_layer: layer}}, x)
    means = [getattr(q, "logits", q.mean) for q in (before, after)]
    np.testing.assert_allclose(means[1] - means[0], [[1, -2, 3]] * 2, atol=1e-6)


def test_the_noise_has_one_sigma():
    noise, mean = mlp.IsotropicNoise(), jnp.ones((2, 3))
    params = noise.init(jax.random.key(0), mean)["params"]
    assert params["log_variance"].shape == ()
    density = noise.apply({"params": {"log_variance": jnp.float32(-2)}}, mean)
    np.testing.assert_array_equal(density.mean, mean)
    np.testing.assert_array_equal(density.log_variance, jnp.full((2, 3), -2))
