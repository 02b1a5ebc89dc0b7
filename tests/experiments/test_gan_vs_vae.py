"""The comparison's file: the known density, its measures against closed forms, and that the models are alike."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import special, stats

from experiments import gan_vs_vae
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.data.synthetic import worlds
from gen_jax.evaluation import decoder_likelihood, likelihood, mixtures
from gen_jax.game import Trained, steps, trained
from tests import golden

RING = worlds.ring(8, radius=2.0, std=0.1)


def test_the_mixture_is_the_density_that_it_says():
    world = worlds.grid(3, spacing=1.0, std=0.3)
    x = np.asarray(world.sample(jax.random.key(0), 100_000))
    each = [
        stats.multivariate_normal(mean, 0.09 * np.eye(2)).logpdf(x[:50])
        for mean in np.asarray(world.means)
    ]
    np.testing.assert_allclose(
        world.log_density(x[:50]), special.logsumexp(each, axis=0) - np.log(9), rtol=1e-4
    )
    variance = 2 / 3 + 0.09  # of -1, 0, 1 and of the noise
    np.testing.assert_allclose(
        np.cov(x.T), variance * np.eye(2), atol=5 * variance * np.sqrt(2 / 100_000)
    )
    np.testing.assert_allclose(np.sort(world.means.sum(1)), [-2, -1, -1, 0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(np.linalg.norm(RING.means, axis=1), 2, rtol=1e-6)
    assert np.linalg.norm(RING.means[0] - RING.means[1]) == pytest.approx(
        4 * np.sin(np.pi / 8), rel=1e-6
    )


def test_modes_are_counted_where_draws_are():
    truth = RING.sample(jax.random.key(0), 20_000)
    found, share = mixtures.modes(RING, truth)
    assert found == 8 and share == pytest.approx(1 - np.exp(-4.5), abs=0.004)
    few = jnp.concatenate(
        [RING.means[:3] + 0.2, RING.means[3:4] + 0.3, jnp.zeros((1, 2))]
    )  # 0.28 and 0.42 away
    assert mixtures.modes(RING, few) == (3, 0.6)
    stray = jnp.concatenate(
        [jnp.repeat(RING.means[:1], 999, axis=0), RING.means[1:2]]
    )  # 125 are a mode's share
    assert mixtures.modes(RING, stray) == (1, 1.0)


def test_divergences_are_those_of_two_gaussians():
    """KL between N(0, 1) and N(m, s^2) in each of two dimensions, by exact densities and by kernels."""
    world, other = (
        worlds.Mixture(jnp.zeros((1, 2)), jnp.float32(1)),
        worlds.Mixture(jnp.full((1, 2), 0.5), jnp.float32(0.7)),
    )
    x, draws = world.sample(jax.random.key(0), 10_000), other.sample(jax.random.key(1), 10_000)
    forward = 2 * (np.log(0.7) + (1 + 0.25) / (2 * 0.49) - 0.5)
    back = 2 * (-np.log(0.7) + (0.49 + 0.25) / 2 - 0.5)
    exact = mixtures.divergences(world, x, other.log_density(x), draws, other.log_density(draws))
    np.testing.assert_allclose(exact, (forward, back), atol=0.06)
    kernel = mixtures.kernel_divergences(world, x, draws)
    np.testing.assert_allclose(kernel, (forward, back), atol=0.25)
    np.testing.assert_allclose(mixtures.kernel_divergences(world, x, x[::-1]), 0, atol=0.1)


@pytest.fixture(scope="module")
def played():
    """The tiny preset, faster, after a few hundred steps."""
    config = dataclasses.replace(gan_vs_vae.TINY, learning_rate=1e-2)
    data, one = pipeline.load(gan_vs_vae.source(config)), games.of(gan_vs_vae, config)
    batch = {"x": jnp.asarray(data.train["x"][:500])}
    state = jax.jit(lambda key: one.init(key, batch))(jax.random.key(0))
    state, _ = jax.jit(lambda state: steps(one, state, lambda step: batch, 300))(state)
    return config, trained(gan_vs_vae.model(config), state), data


def test_importance_weights_agree_with_draws_from_the_prior(played):
    """log E_p(z) N(x; G(z), sigma^2 I) is the Parzen window of the decoder's means whose width is sigma."""
    config, model, _ = played
    x = jax.random.uniform(jax.random.key(2), (200, 2), minval=-2.5, maxval=2.5)
    found = model(gan_vs_vae.log_density(5000), x, jax.random.key(0))
    z = jax.random.normal(jax.random.key(1), (100_000, config.latents))
    sigma = float(jnp.exp(0.5 * model.variables["params"]["noise"]["log_variance"]))
    assert sigma < 0.9  # it was learnt
    expected = likelihood.parzen(model(gan_vs_vae.means, z)["vae"], x, sigma)
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_points_are_measured(played):
    found = gan_vs_vae.evaluate(*played, jax.random.key(3))
    asked = {
        name
        for name in gan_vs_vae.UNITS
        if name.startswith("test/") and ("kl" in name or "mode" in name)
    }
    assert set(found) == asked
    assert found["test/modes_truth"] == 8 and found["test/on_a_mode_truth"] > 0.9
    assert found["test/on_a_mode_gan"] < 0.9 and found["test/on_a_mode_vae"] < 0.9
    assert found["test/kl_from_data_kernel_truth"] < found["test/kl_from_data_importance_vae"]


def test_images_are_measured():
    config = dataclasses.replace(
        gan_vs_vae.TINY,
        data="digits",
        evaluation=gan_vs_vae.Evaluation(draws=100, images=4, chains=2, steps=8),
    )
    data, one = pipeline.load(gan_vs_vae.source(config)), games.of(gan_vs_vae, config)
    batch = data.prepare({"image": jnp.asarray(data.train["image"][:32])}, jax.random.key(0))
    model = trained(gan_vs_vae.model(config), jax.jit(one.init)(jax.random.key(0), batch))
    found = gan_vs_vae.evaluate(config, model, data, jax.random.key(1))
    assert set(found) <= set(gan_vs_vae.UNITS) and len(found) == 9
    assert all(np.isfinite(value) for value in found.values())
    assert found["test/frechet_training_images"] < found["test/frechet_gan"]
    pictures = gan_vs_vae.sample(config, model, data, jax.random.key(2))
    assert set(pictures) == {"samples_gan", "samples_vae"}


def test_the_likelihood_of_an_affine_decoder_is_its_gaussian_s():
    """N(b, W W^T + sigma^2 I); and the sigma that made the images is the one that is chosen."""
    params = {
        "kernel": 0.3 * jax.random.normal(jax.random.key(0), (2, 5)),
        "bias": jnp.arange(5) / 5,
    }
    w, mean = (np.asarray(part, np.float64) for part in params.values())
    density = stats.multivariate_normal(mean, w.T @ w + 0.1**2 * np.eye(5))
    x = density.rvs(40, random_state=0).astype(np.float32)
    decoder = Trained(nn.Dense(5), {"params": params})
    found = decoder_likelihood.likelihood(
        decoder,
        x[:20],
        x[20:],
        jax.random.key(1),
        latents=2,
        chains=64,
        steps=200,
        sigmas=(0.02, 0.1, 0.5),
    )
    assert found.sigma == 0.1
    assert found.log_p == pytest.approx(density.logpdf(x[20:]).mean(), abs=0.1)
    assert found.gap == pytest.approx(0, abs=0.1)


def test_dequantised_pixels_lie_in_their_bins():
    image = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    x = decoder_likelihood.dequantised(image, jax.random.key(0))
    assert x.shape == (4, 64) and float(x.min()) >= 0 and float(x.max()) < 1
    np.testing.assert_array_equal(np.floor(np.asarray(x) * 256), image.reshape(4, 64))
    assert np.std(np.asarray(x) * 256 % 1) == pytest.approx(np.sqrt(1 / 12), rel=0.1)


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


def test_points_become_a_picture():
    """A point at the upper right is there; one more in the same place makes it brighter."""
    image = mixtures.picture(np.array([[0.9, 0.9], [-0.9, -0.9], [-0.9, -0.9]]), 1.0)
    assert (
        image.shape == (200, 200, 1)
        and image[:20, 180:].max() == 0.5
        and image[180:, :20].max() == 0.75
    )
    assert image.sum() == 1.25


def test_a_source_of_points_is_always_the_same_and_split():
    train, test = worlds.points("grid")
    assert (
        train["x"].shape == (50_000, 2)
        and test["x"].shape == (10_000, 2)
        and train["x"].dtype == np.float32
    )
    np.testing.assert_array_equal(train["x"], worlds.points("grid")[0]["x"])
    assert not np.isin(test["x"][:, 0], train["x"][:, 0]).all()


def test_the_discriminator_leaves_units_out_where_it_is_told_to():
    x, keys = jnp.ones((3, 4)), jax.random.split(jax.random.key(0))
    for share in (0.0, 0.5):
        judge = gan_vs_vae.Discriminator((16, 16), share)
        variables = judge.init(keys[0], x, keys[0])
        one, two = (judge.apply(variables, x, key) for key in keys)
        assert one.shape == (3,) and bool((one == two).all()) == (share == 0)
