"""What a trained progressive GAN can do."""

import jax
import jax.numpy as jnp

from experiments.progan import Config, levels
from gen_jax import Count, Key, Trained
from gen_jax.data import square_images
from gen_jax.evaluation import growing_images
from gen_jax.evaluation.latent_arithmetic import interpolate as between
from gen_jax.use import Abilities, Codes, Images


def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Draw images at the side that was reached in training."""
    return decode(config, model, jax.random.normal(key, (count, config.latents)))


def decode(config: Config, model: Trained, codes: Codes) -> Images:
    """Return the image of each z."""
    n = codes.shape[0]
    if config.style.batch_norm:  # takes its statistics over as many codes as in evaluation
        size = growing_images.CHUNK
        codes = jnp.asarray(codes)[jnp.arange(-(-n // size) * size) % n]
    return (growing_images.forward(model, levels(config), codes, config.side)[:n] + 1) / 2


def interpolate(
    config: Config, model: Trained, key: Key, count: Count = 8, columns: Count = 10
) -> Images:
    """Draw pairs of z; each row goes from one to the other."""
    first, last = jax.random.normal(key, (2, count, config.latents))
    x = decode(config, model, between(first, last, columns))
    return x.reshape(count, columns, *x.shape[1:])


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return config.side, config.side, square_images.channels(config.data)


def abilities(config: Config) -> Abilities:
    return generate, decode, interpolate
