"""What a trained adversarial autoencoder with a categorical code can do."""

import jax
import jax.numpy as jnp

from experiments.aae_labels import Config
from gen_jax import Array, Count, Key, Trained
from gen_jax.data.catalog import sets
from gen_jax.use import Abilities, Images


def generate(config: Config, model: Trained, key: Key, rows: Count = 10) -> Images:
    """Draw styles; each row has one style, in every category."""
    n = config.categories
    z = jnp.repeat(jax.random.normal(key, (rows, config.latents)), n, 0)
    _, x = model.decode(jnp.tile(jnp.eye(n), (rows, 1)), z)
    return x.reshape(rows, n, *shape(config))


def reconstruct(config: Config, model: Trained, images: Images) -> Images:
    """Encode images and decode their codes."""
    *_, x = model.autoencode(jnp.reshape(images, (images.shape[0], -1)))
    return x.reshape(-1, *shape(config))


def classify(config: Config, model: Trained, images: Images) -> Array:
    """Return the most likely category of each image: the class, or a cluster."""
    y, _ = model.encode(jnp.reshape(images, (images.shape[0], -1)))
    return y.argmax(1)


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    return generate, reconstruct, classify
