"""GAN against VAE: what is measured of both, that they are alike, and that older configs open."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gan_vs_vae
from experiments.presets.gan_vs_vae import TINY
from gen_jax import Adam
from gen_jax import game as games
from gen_jax.config import from_json, to_json
from gen_jax.data import pipeline
from gen_jax.evaluation import gan_and_vae, likelihood, variational
from gen_jax.game import steps, trained
from tests import golden


@pytest.fixture(scope="module")
def played():
    """The tiny preset, faster, after a few hundred steps."""
    config = TINY.but(adam=Adam(1e-2))
    data, one = pipeline.load(gan_vs_vae.source(config)), games.of(gan_vs_vae, config)
    batch = {"x": jnp.asarray(data.train["x"][:500])}
    state = jax.jit(lambda key: one.init(key, batch))(jax.random.key(0))
    state, _ = jax.jit(lambda state: steps(one, state, lambda step: batch, 300))(state)
    return config, trained(gan_vs_vae.model(config), state), data


def test_importance_weights_agree_with_draws_from_the_prior(played):
    """log E_p(z) N(x; G(z), sigma^2 I) is the Parzen window of the decoder's means of width sigma."""
    config, model, _ = played
    x = jax.random.uniform(jax.random.key(2), (200, 2), minval=-2.5, maxval=2.5)
    log_q = variational.log_evidence(5000, chunk=10, decoder="likelihood")
    found = model(log_q, x, jax.random.key(0))
    z = jax.random.normal(jax.random.key(1), (100_000, config.latents))
    sigma = float(jnp.exp(0.5 * model.variables["params"]["noise"]["log_variance"]))
    assert sigma < 0.9  # it was learnt
    expected = likelihood.parzen(model(gan_and_vae.means, z)["vae"], x, sigma)
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_points_are_measured(played):
    found = gan_vs_vae.evaluate(*played, jax.random.key(3))
    metrics = "modes", "on_a_mode", "kl_from_data_kernel", "kl_to_data_kernel"
    kernels = {f"test/{metric}_{name}" for metric in metrics for name in ("gan", "vae", "truth")}
    importance = {"test/kl_from_data_importance_vae", "test/kl_to_data_importance_vae"}
    assert set(found) == kernels | importance and all(value.unit for value in found.values())
    assert found["test/modes_truth"] == 8 and found["test/on_a_mode_truth"] > 0.9
    assert found["test/on_a_mode_gan"] < 0.9 and found["test/on_a_mode_vae"] < 0.9
    assert found["test/kl_from_data_kernel_truth"] < found["test/kl_from_data_importance_vae"]


def test_images_are_measured():
    sizes = gan_vs_vae.Evaluation(draws=100, images=4, chains=2, steps=8)
    config = TINY.but(data="digits", evaluation=sizes)
    data, one = pipeline.load(gan_vs_vae.source(config)), games.of(gan_vs_vae, config)
    batch = data.prepare({"image": jnp.asarray(data.train["image"][:32])}, jax.random.key(0))
    model = trained(gan_vs_vae.model(config), jax.jit(one.init)(jax.random.key(0), batch))
    found = gan_vs_vae.evaluate(config, model, data, jax.random.key(1))
    metrics = "test/frechet", "test/log_likelihood", "validation/sigma", "simulated/ais_gap"
    names = {f"{metric}_{name}" for metric in metrics for name in ("gan", "vae")}
    assert set(found) == names | {"test/frechet_training_images"}
    assert all(np.isfinite(value) and value.unit for value in found.values())
    assert set(gan_vs_vae.CLAIMS) <= names
    assert found["test/frechet_training_images"] < found["test/frechet_gan"]
    pictures = gan_vs_vae.sample(config, model, data, jax.random.key(2))
    assert set(pictures) == {"samples_gan", "samples_vae"}


def test_generator_and_decoder_are_alike():
    tables = json.loads(golden.path("gan_vs_vae").read_text())
    for table in tables.values():
        parts = [
            {
                path.partition("/")[2]: shape
                for path, shape in table.items()
                if path.startswith(f"{network}/")
            }
            for network in ("generator", "decoder")
        ]
        assert parts[0] == parts[1] and len(parts[0]) >= 4
    assert sum(
        int(np.prod(shape))
        for path, shape in tables["mnist"].items()
        if path.startswith("generator/")
    ) == (50 * 500 + 500 + 500 * 500 + 500 + 500 * 784 + 784)


def test_an_older_config_opens():
    """One learning rate for all players, beside the b1 of the two adversaries."""
    config = gan_vs_vae.MNIST.but(adversarial_b1=0.6)
    values = to_json(config)
    del values["adam"]
    older = {**values, "learning_rate": 2e-4}
    assert from_json(gan_vs_vae.Config, older, "config.json") == config


def test_the_adversaries_have_a_b1_of_their_own():
    """A first step of Adam is the rate whatever b1 is; after a second, opposite gradient it shows."""
    players = gan_vs_vae.players(TINY.but(adversarial_b1=0.5))
    moves = {}
    for name, player in players.items():
        state = player.optimizer.init(jnp.zeros(()))
        _, state = player.optimizer.update(jnp.float32(1), state)
        moves[name], _ = player.optimizer.update(jnp.float32(-1), state)
    expected = {b1: -1e-3 * (b1 * (1 - b1) - (1 - b1)) / (1 - b1**2) for b1 in (0.5, 0.9)}
    for name, b1 in (("discriminator", 0.5), ("generator", 0.5), ("vae", 0.9)):
        assert float(moves[name]) == pytest.approx(expected[b1], rel=1e-3)
