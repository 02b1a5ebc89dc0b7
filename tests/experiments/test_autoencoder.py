"""The autoencoder's file: the two models are alike, and older configs are read."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import autoencoder
from gen_jax.config import from_json, to_json
from gen_jax.distributions import Bernoulli
from tests import golden


def test_both_models_have_the_same_layers_but_for_the_head_of_the_variance():
    table = json.loads(golden.path("autoencoder").read_text())["paper"]
    sizes = {}
    for name, shape in table.items():
        if name != "total":
            network = name.partition("/")[0]
            sizes[network] = sizes.get(network, 0) + int(np.prod(shape))
    assert sizes["decoder"] == sizes["vae_decoder"]
    assert sizes["vae_encoder"] - sizes["encoder"] == 500 * 20 + 20


def test_the_autoencoder_s_loss_is_the_cross_entropy_of_what_it_decodes():
    class Model:
        def encoder(self, x):
            return x[:, :1]

        def decoder(self, z):
            return Bernoulli(jnp.concatenate([z, -z], 1))

    x = jnp.array([[0.2, 0.7], [1.0, 0.0]])
    loss, metrics = autoencoder.reconstruction_loss(Model(), {"x": x}, jax.random.key(0))
    p = 1 / (1 + np.exp(-np.array([[0.2, -0.2], [1.0, -1.0]])))
    x = np.asarray(x, np.float64)
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5) and metrics == {}


def test_an_older_config_opens():
    config = autoencoder.Config(adam=autoencoder.Adam(3e-4))
    values = to_json(config)
    del values["adam"]
    older = {**values, "learning_rate": 3e-4}
    assert from_json(autoencoder.Config, older, "config.json") == config
