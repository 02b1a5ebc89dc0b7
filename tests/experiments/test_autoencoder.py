"""The autoencoder's file: the closed forms of its measures, and that the two models are alike."""

import json

import numpy as np
import pytest

from experiments import autoencoder
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


def test_kl_of_moments_is_zero_for_the_prior_s_own_moments_and_exact_for_others():
    points = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) * np.sqrt(
        1.5
    )  # mean 0, covariance I
    assert autoencoder.kl_of_moments(points) == pytest.approx(0, abs=1e-12)
    moved = points * np.array([[2.0, 0.5]]) + np.array([[1.0, -3.0]])
    expected = 0.5 * (4 + 0.25 + 10 - 2 - np.log(4 * 0.25))
    assert autoencoder.kl_of_moments(moved) == pytest.approx(expected, rel=1e-12)


def test_in_the_linear_world_the_scale_decides_and_ppca_is_the_truth():
    """Along each eigenvector of W W^T, of eigenvalue l, the distance is (s sqrt(l) - sqrt(l + 1/2))^2."""
    import jax

    measured = autoencoder.linear_world()
    weights = np.asarray(jax.random.normal(jax.random.key(0), (8, 3)), np.float64)
    squares = np.linalg.svd(weights, compute_uv=False) ** 2  # [3]
    for scale in autoencoder.SCALES:
        expected = ((scale * np.sqrt(squares) - np.sqrt(squares + 0.5)) ** 2).sum() + 5 * 0.5
        assert measured[f"linear/frechet_autoencoder_scale_{scale:g}"] == pytest.approx(
            expected, rel=1e-6
        )
    assert (
        measured["linear/frechet_ppca"]
        < 0.01
        < 2
        < min(v for n, v in measured.items() if "scale" in n)
    )
