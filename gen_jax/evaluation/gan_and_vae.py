"""Comparison of a GAN and a VAE: on points with a known density, and on images.

The model is a module with the networks `generator` of the GAN and `encoder` and `decoder` of the
VAE. Its method `likelihood`, z -> p(x|z), adds the VAE's noise to the output of the decoder.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import images
from gen_jax.data.pipeline import Data
from gen_jax.data.synthetic.worlds import Mixture
from gen_jax.distributions import Gaussian
from gen_jax.evaluation import decoder_likelihood, mixtures, variational
from gen_jax.evaluation.classifier_frechet import frechet_to_test
from gen_jax.game import Trained
from gen_jax.types import Array, Key, Measure


class GANAndVAE(Protocol):
    """The bound module."""

    def generator(self, z: Array) -> Array: ...
    def decoder(self, z: Array) -> Array: ...
    def likelihood(self, z: Array) -> Gaussian: ...


class Sizes(Protocol):
    """The sample sizes of the evaluation."""

    @property
    def draws(self) -> int: ...  # points or images per model
    @property
    def samples(self) -> int: ...  # importance samples per point
    @property
    def images(self) -> int: ...  # validation and test images each, for the likelihoods
    @property
    def chains(self) -> int: ...  # of annealed importance sampling, per image
    @property
    def steps(self) -> int: ...  # of annealed importance sampling


def means(model: GANAndVAE, z: Array) -> dict[str, Array]:
    """Decode the same latents with both models, without noise: [n, k] -> [n, d]."""
    return {"gan": model.generator(z), "vae": model.decoder(z)}


def draws(model: GANAndVAE, z: Array, key: Key) -> dict[str, Array]:
    """Sample both models, the VAE with its noise: [n, k] -> [n, d]."""
    return {"gan": model.generator(z), "vae": model.likelihood(z).sample(key, 1)[0]}


def on_points(
    world: Mixture, model: Trained, data: Data, key: Key, latents: int, sizes: Sizes
) -> dict[str, Measure]:
    """Return modes and both KL divergences of points drawn from the models.

    For the VAE, the divergences are also computed with its density by importance weights. Those of
    `truth` are of draws from the data distribution itself: the best values that the estimates can
    reach.
    """
    prior, noise, truth, first, second = jax.random.split(key, 5)
    z = jax.random.normal(prior, (sizes.draws, latents))
    drawn = {**model(draws, z, noise), "truth": world.sample(truth, sizes.draws)}
    x = jnp.asarray(data.test["x"][: sizes.draws])
    log_q = variational.log_evidence(sizes.samples, chunk=10, decoder="likelihood")
    log_q_vae = model(log_q, x, first), model(log_q, drawn["vae"], second)
    return mixtures.evaluate(world, x, drawn, {"vae": log_q_vae})


def on_images(
    name: str,
    decoder: nn.Module,
    model: Trained,
    data: Data,
    key: Key,
    latents: int,
    sizes: Sizes,
) -> dict[str, Measure]:
    """Return Frechet distances of images without noise, and likelihoods under N(G(z), sigma^2 I).

    The distances use the classifier of the data set `name`; `decoder` is the module of G.
    """
    prior, *keys = jax.random.split(key, 5)
    drawn = model(means, jax.random.normal(prior, (sizes.draws, latents)))
    sets = {**drawn, "training_images": data.train["image"][: sizes.draws]}
    params = model.variables["params"]
    networks = {"gan": params["generator"], "vae": params["decoder"]}
    likelihoods = decoder_likelihood.evaluate(
        {which: Trained(decoder, {"params": own}) for which, own in networks.items()},
        data.test["image"],
        keys,
        latents=latents,
        images=sizes.images,
        chains=sizes.chains,
        steps=sizes.steps,
    )
    return {**frechet_to_test(name, data, sets), **likelihoods}


def planes(model: Trained, data: Data, key: Key, latents: int) -> dict[str, np.ndarray]:
    """Plot 2000 test points, and 2000 of each model, side by side in the plane."""
    prior, noise = jax.random.split(key)
    drawn = model(draws, jax.random.normal(prior, (2000, latents)), noise)
    reach = 1.2 * np.abs(data.test["x"]).max()
    points = data.test["x"][:2000], *drawn.values()
    cells = np.stack([mixtures.picture(x, reach) for x in points])
    return {"samples": images.grid(cells, columns=3)}


def image_grids(model: Trained, data: Data, key: Key, latents: int) -> dict[str, np.ndarray]:
    """Draw 100 images of both models from the same latents."""
    prior, _ = jax.random.split(key)
    drawn = model(means, jax.random.normal(prior, (100, latents)))
    shape = data.test["image"].shape[1:]
    return {f"samples_{name}": images.grid(x.reshape(-1, *shape)) for name, x in drawn.items()}
