"""What a trained GAN and the VAE beside it can do."""

import jax
import jax.numpy as jnp

from experiments.gan_vs_vae import Config
from gen_jax import Count, Key, Trained
from gen_jax.data.catalog import sets
from gen_jax.data.synthetic import worlds
from gen_jax.use import Abilities, Images


def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Draw images of the GAN."""
    z = jax.random.normal(key, (count, config.latents))
    return model.generator(z).reshape(-1, *shape(config))


def generate_vae(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Draw images of the VAE, as means of p(x|z)."""
    z = jax.random.normal(key, (count, config.latents))
    return model.decoder(z).reshape(-1, *shape(config))


def reconstruct(config: Config, model: Trained, images: Images) -> Images:
    """Encode images with the VAE and decode the means of their codes."""
    z = model.encoder(jnp.reshape(images, (images.shape[0], -1))).mean
    return model.decoder(z).reshape(-1, *shape(config))


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    points = config.data in worlds.MIXTURES  # and not images
    return () if points else (generate, generate_vae, reconstruct)
