"""The likelihood of images under a decoder, against the one decoder for which it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import stats

from gen_jax.evaluation import decoder_likelihood
from gen_jax.game import Trained


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


def test_the_first_half_of_the_images_chooses_and_the_second_is_measured():
    """Images of grey 1/2, then of 1/4, under a decoder that gives 1/2 whatever its code is."""
    params = {"kernel": jnp.zeros((2, 4)), "bias": jnp.full(4, 0.5)}
    decoder = Trained(nn.Dense(4), {"params": params})
    image = np.repeat(np.array([128, 64], np.uint8), 3).reshape(6, 1, 1, 1)
    keys = list(jax.random.split(jax.random.key(0), 4))
    found = decoder_likelihood.evaluate(
        {"a": decoder, "b": decoder},
        np.tile(image, (1, 2, 2, 1)),
        keys,
        latents=2,
        images=2,
        chains=2,
        steps=4,
    )
    metrics = ("validation/sigma", "test/log_likelihood", "simulated/ais_gap")
    assert [*found] == [f"{metric}_{name}" for name in "ab" for metric in metrics]
    for name in "ab":
        assert found[f"validation/sigma_{name}"] == 0.05  # the least
        expected = 4 * stats.norm(0.5, 0.05).logpdf(64.5 / 256)
        assert found[f"test/log_likelihood_{name}"] == pytest.approx(expected, abs=1)
        assert found[f"simulated/ais_gap_{name}"] == pytest.approx(0, abs=1e-4)
    units = [value.unit for value in found.values()][:3]
    assert units == [
        "of pixels in [0, 1]",
        "nats per image, lower bound by AIS",
        "nats, upper minus lower bound, on images of the model",
    ]
