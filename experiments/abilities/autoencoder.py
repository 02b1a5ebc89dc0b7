"""What a trained autoencoder can do, and the VAE trained beside it."""

import jax
import jax.numpy as jnp

from experiments.autoencoder import Config
from gen_jax import Array, Count, Key, Trained
from gen_jax.data.catalog import sets
from gen_jax.use import Abilities, Codes, Images


def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Decode draws from N(0, I) with the autoencoder's decoder, which was not trained for them."""
    return decode(config, model, jax.random.normal(key, (count, config.latents)))


def generate_vae(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Decode the same draws with the VAE's decoder."""
    z = jax.random.normal(key, (count, config.latents))
    return model.vae_decoder(z).mean.reshape(-1, *shape(config))


def reconstruct(config: Config, model: Trained, images: Images) -> Images:
    """Encode images with the autoencoder and decode their codes."""
    return decode(config, model, encode(config, model, images))


def encode(config: Config, model: Trained, images: Images) -> Codes:
    """Return the autoencoder's code of each image."""
    codes: Array = model.encoder(jnp.reshape(images, (images.shape[0], -1)))
    return codes


def decode(config: Config, model: Trained, codes: Codes) -> Images:
    """Return the autoencoder's image of each code."""
    return model.decoder(codes).mean.reshape(-1, *shape(config))


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    return generate, generate_vae, reconstruct, encode, decode
