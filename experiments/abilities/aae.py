"""What a trained adversarial autoencoder can do."""

import jax
import jax.numpy as jnp

from experiments.aae import Config, draw_prior
from gen_jax import Array, Count, Key, Trained
from gen_jax.data.catalog import sets
from gen_jax.evaluation.latent_arithmetic import interpolate as between
from gen_jax.use import Abilities, Codes, Images


def generate(config: Config, model: Trained, key: Key, count: Count = 60) -> Images:
    """Decode draws from the prior; if it has labels, the digits in turn."""
    labels = jnp.arange(count) % 10
    x = model.decode(draw_prior(config, key, labels), labels)
    return x.reshape(-1, *shape(config))


def reconstruct(config: Config, model: Trained, images: Images) -> Images:
    """Encode images and decode their codes."""
    return decode(config, model, encode(config, model, images))


def encode(config: Config, model: Trained, images: Images) -> Codes:
    """Return the code of each image."""
    codes: Array = model.encode(jnp.reshape(images, (images.shape[0], -1)), jax.random.key(0))
    return codes


def decode(config: Config, model: Trained, codes: Codes) -> Images:
    """Return the image of each code."""
    label = jnp.full(codes.shape[0], 10)  # unknown
    return model.decode(codes, label).reshape(-1, *shape(config))


def interpolate(
    config: Config, model: Trained, key: Key, count: Count = 8, columns: Count = 10
) -> Images:
    """Draw pairs of codes from the prior; each row goes from one to the other."""
    first, second = jax.random.split(key)
    label = jnp.full(count, 10)
    a, b = draw_prior(config, first, label), draw_prior(config, second, label)
    return decode(config, model, between(a, b, columns)).reshape(count, columns, *shape(config))


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    if config.label_to == "decoder":  # which needs the label of each image
        return (generate,)
    return generate, reconstruct, encode, decode, interpolate
