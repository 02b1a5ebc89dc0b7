"""What a trained VAE can do."""

import jax
import jax.numpy as jnp

from experiments.vae import Config
from gen_jax import Array, Count, Key, Trained
from gen_jax.data.catalog import sets
from gen_jax.evaluation.latent_arithmetic import interpolate as between
from gen_jax.use import Abilities, Codes, Images


def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Draw images from the prior, as the means of p(x|z)."""
    return decode(config, model, jax.random.normal(key, (count, config.latents)))


def reconstruct(config: Config, model: Trained, images: Images) -> Images:
    """Encode images and decode the means of their codes."""
    return decode(config, model, encode(config, model, images))


def encode(config: Config, model: Trained, images: Images) -> Codes:
    """Return the mean of q(z|x) of each image."""
    codes: Array = model.encoder(jnp.reshape(images, (images.shape[0], -1))).mean
    return codes


def decode(config: Config, model: Trained, codes: Codes) -> Images:
    """Return the mean of p(x|z) of each code."""
    return model.decoder(codes).mean.reshape(-1, *shape(config))


def interpolate(
    config: Config, model: Trained, key: Key, count: Count = 8, columns: Count = 10
) -> Images:
    """Draw pairs of codes; each row goes from one to the other."""
    first, last = jax.random.normal(key, (2, count, config.latents))
    x = decode(config, model, between(first, last, columns))
    return x.reshape(count, columns, *shape(config))


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    return generate, reconstruct, encode, decode, interpolate
