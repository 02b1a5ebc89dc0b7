"""The scale of a linear autoencoder's codes decides how far its samples are from the data."""

import jax
import numpy as np
import pytest

from gen_jax.evaluation import linear_autoencoder


def test_in_the_linear_world_the_scale_decides_and_ppca_is_the_truth():
    """Along each eigenvector of W W^T, of eigenvalue l: (s sqrt(l) - sqrt(l + 1/2))^2."""
    measured = linear_autoencoder.evaluate()
    weights = np.asarray(jax.random.normal(jax.random.key(0), (8, 3)), np.float64)
    squares = np.linalg.svd(weights, compute_uv=False) ** 2  # [3]
    for scale in linear_autoencoder.SCALES:
        expected = ((scale * np.sqrt(squares) - np.sqrt(squares + 0.5)) ** 2).sum() + 5 * 0.5
        found = measured[f"linear/frechet_autoencoder_scale_{scale:g}"]
        assert found == pytest.approx(expected, rel=1e-6)
        assert found.unit == "squared Frechet distance, closed form"
    others = min(value for name, value in measured.items() if "scale" in name)
    assert measured["linear/frechet_ppca"] < 0.01 < 2 < others
    assert measured["linear/frechet_ppca"].unit.endswith("of pPCA fitted to 100 000 draws")
