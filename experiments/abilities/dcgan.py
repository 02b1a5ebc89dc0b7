"""What a trained DCGAN can do."""

from typing import Annotated

import jax.numpy as jnp

from experiments.dcgan import CLASSES, NETWORKS, Config, image_shape, latents
from experiments.dcgan import generate as images_of
from gen_jax import Array, Count, Key, Trained
from gen_jax.evaluation.latent_arithmetic import interpolate as between
from gen_jax.use import Abilities, Choices, Images

ALL = "all"  # the classes in turn, or images without labels


def labels(config: Config) -> tuple[str, ...]:
    """What an image can be generated with: a class, or all in turn."""
    return (ALL, *map(str, range(CLASSES))) if NETWORKS[config.network].conditional else (ALL,)


def generate(
    config: Config,
    model: Trained,
    key: Key,
    count: Count = 64,
    label: Annotated[str, Choices(labels)] = ALL,
) -> Images:
    """Draw images of a class; or with `all` of each in turn, or without labels."""
    label_of = jnp.arange(count) % CLASSES if label == ALL else jnp.full(count, int(label))
    return _images(config, model, latents(config, key, count), label_of)


def interpolate(
    config: Config, model: Trained, key: Key, count: Count = 10, columns: Count = 10
) -> Images:
    """Draw pairs of z; each row goes from one to the other; with labels, each is of one class."""
    z = latents(config, key, 2 * count)
    label = jnp.repeat(jnp.arange(count) % CLASSES, columns)
    x = _images(config, model, between(z[:count], z[count:], columns), label)
    return x.reshape(count, columns, *x.shape[1:])


def _images(config: Config, model: Trained, z: Array, label: Array) -> Array:
    x = images_of(config, model, z, label)
    return x if NETWORKS[config.network].conditional else (x + 1) / 2


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return image_shape(config)


def abilities(config: Config) -> Abilities:
    return generate, interpolate
