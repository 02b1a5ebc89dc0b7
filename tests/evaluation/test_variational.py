"""What is measured of a VAE, against a model whose every quantity is known."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import stats

from gen_jax.data.pipeline import Data, vectors
from gen_jax.distributions import Bernoulli, Gaussian
from gen_jax.evaluation import variational
from gen_jax.game import Trained

X = jnp.array([[0.5], [-2.0], [1.0]])
EVIDENCE = stats.norm(0, np.sqrt(2)).logpdf(X[:, 0])


def exact():
    """z ~ N(0, 1), x|z ~ N(z, 1), with the exact posterior, z|x ~ N(x/2, 1/2)."""
    return types.SimpleNamespace(
        encoder=lambda x: Gaussian(x / 2, jnp.full_like(x, np.log(0.5))),
        decoder=lambda z: Gaussian(z, jnp.zeros_like(z)),
    )


@pytest.mark.parametrize("samples", [1, 7, 50, 60, 5000])
def test_log_evidence_takes_its_draws_in_chunks(samples):
    log_evidence = variational.log_evidence(samples)
    found = jax.jit(lambda x, key: log_evidence(exact(), x, key))(X, jax.random.key(0))
    np.testing.assert_allclose(found, EVIDENCE, atol=1e-4)


def test_log_evidence_may_decode_by_another_name():
    model = exact()
    model.likelihood = model.__dict__.pop("decoder")
    found = variational.log_evidence(20, chunk=10, decoder="likelihood")(
        model, X, jax.random.key(0)
    )
    np.testing.assert_allclose(found, EVIDENCE, atol=1e-4)


class Encoder(nn.Module):
    """q(z|x) = N(s x_0, 1) in the first latent, and the prior in the second."""

    @nn.compact
    def __call__(self, x):
        mean = jnp.stack([self.param("s", nn.initializers.ones, ()) * x[:, 0], 0 * x[:, 0]], 1)
        return Gaussian(mean, 0 * mean)


class Decoder(nn.Module):
    """Pixels that are on with probability 1/2, whatever the code is."""

    @nn.compact
    def __call__(self, z):
        bias = self.param("bias", nn.initializers.zeros, (4,))
        return Bernoulli(jnp.broadcast_to(bias, (*z.shape[:-1], 4)))


class VAE(nn.Module):
    encoder: nn.Module
    decoder: nn.Module


@pytest.fixture(scope="module")
def trained():
    module = VAE(Encoder(), Decoder())
    params = {"encoder": {"s": jnp.float32(1)}, "decoder": {"bias": jnp.zeros(4)}}
    test = {"image": np.random.default_rng(0).choice([0, 255], (150, 2, 2, 1)).astype(np.uint8)}
    return Trained(module, {"params": params}), Data(test, test, vectors)


def test_the_bound_and_active_units_of_a_decoder_that_ignores_its_code(trained):
    """log p(x) = -4 log 2; KL(N(x_0, 1) || N(0, 1)) = x_0^2 / 2 in the first latent alone."""
    _, data = trained
    found = variational.evaluate(*trained, jax.random.key(0), samples=500, images=60)
    log_p, kl = -4 * np.log(2), 0.5 * (data.test["image"][:, 0, 0, 0] / 255).mean()
    assert [*found] == [
        "test/elbo",
        "test/reconstruction",
        "test/prior_fitting",
        "test/active_units",
        "test/nll_k500_of_60",
    ]
    assert found["test/reconstruction"] == pytest.approx(log_p, rel=1e-5)
    assert found["test/prior_fitting"] == pytest.approx(kl, rel=1e-5)
    assert found["test/elbo"] == pytest.approx(log_p - kl, rel=1e-5)
    assert found["test/active_units"] == 1 and found["test/active_units"].unit == "latents"
    assert found["test/nll_k500_of_60"] == pytest.approx(-log_p, abs=0.1)
    few = "nats per image, k = 500, first 60 test images"
    assert found["test/nll_k500_of_60"].unit == few


@pytest.mark.parametrize("images", [0, 150, 1000])
def test_all_test_images_are_not_named(trained, images):
    found = variational.evaluate(*trained, jax.random.key(0), samples=5, images=images)
    assert found["test/nll_k5"].unit == "nats per image"


def test_pictures_show_test_images_beside_their_reconstructions(trained):
    found = variational.pictures(*trained, jax.random.key(0), latents=2)
    assert set(found) == {"samples", "reconstructions", "interpolations", "manifold"}
    assert found["samples"].shape == (10 * 4 + 2, 10 * 4 + 2, 3)  # 10 x 10 images, 2 pixels between
    assert found["manifold"].shape == (20 * 4 + 2, 20 * 4 + 2, 3)
    assert set(np.unique(found["samples"])) == {0, 128}  # the lines and the means, 1/2
    left, right = found["reconstructions"][2:4, 2:4], found["reconstructions"][2:4, 6:8]
    assert set(np.unique(left)) <= {0, 255} and (right == 128).all()


def test_a_manifold_needs_two_latents(trained):
    model, data = trained

    class Three(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Gaussian(jnp.tile(x[:, :1], 3), jnp.zeros((len(x), 3)))

    model = model._replace(module=VAE(Three(), Decoder()))
    assert "manifold" not in variational.pictures(model, data, jax.random.key(0), latents=3)


def test_kl_of_moments_is_zero_for_the_prior_s_own_moments_and_exact_for_others():
    # mean 0, covariance I
    points = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) * np.sqrt(1.5)
    assert variational.kl_of_moments(points) == pytest.approx(0, abs=1e-12)
    moved = points * np.array([[2.0, 0.5]]) + np.array([[1.0, -3.0]])
    expected = 0.5 * (4 + 0.25 + 10 - 2 - np.log(4 * 0.25))
    assert variational.kl_of_moments(moved) == pytest.approx(expected, rel=1e-12)
