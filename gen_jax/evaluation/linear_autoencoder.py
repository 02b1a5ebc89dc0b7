"""A linear autoencoder as a generative model: in a linear-Gaussian world, its quality is known
exactly.
"""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.synthetic.worlds import LinearGaussian, principal_components
from gen_jax.evaluation.feature_distances import Moments, distance
from gen_jax.types import Measure

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the decoder
DRAWS = 100_000  # training points of pPCA
CLOSED_FORM = "squared Frechet distance, closed form"


def evaluate() -> dict[str, Measure]:
    """Return distances to x in R^8, which has 3 latents and noise of variance 0.5.

    Every decoder (s W, m), with its inverse as encoder, reconstructs equally well for any s: the
    objective of an autoencoder does not relate the scale of its codes to the prior. The optimum of
    a VAE is pPCA, which recovers the true distribution.
    """
    weights = jax.random.normal(jax.random.key(0), (8, 3))
    truth = LinearGaussian(weights, jnp.ones(8), jnp.float32(0.5))
    decoder = np.asarray(truth.weights, np.float64)
    exact = Moments(np.ones(8), decoder @ decoder.T + 0.5 * np.eye(8), n=DRAWS)
    distances = {  # of s W z + m, z ~ N(0, I), which has no noise
        scale: distance(Moments(exact.mean, scale**2 * decoder @ decoder.T, n=DRAWS), exact)
        for scale in SCALES
    }
    optimum = principal_components(truth.sample(jax.random.key(1), DRAWS)[0], 3)
    return {
        **{
            f"linear/frechet_autoencoder_scale_{scale:g}": Measure(value, CLOSED_FORM)
            for scale, value in distances.items()
        },
        "linear/frechet_ppca": Measure(
            optimum.frechet_to(truth), f"{CLOSED_FORM}, of pPCA fitted to 100 000 draws"
        ),
    }
