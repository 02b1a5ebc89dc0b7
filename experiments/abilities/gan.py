"""What a trained GAN can do."""

from experiments.gan import Config, noise
from gen_jax import Count, Key, Trained
from gen_jax.data.catalog import sets
from gen_jax.evaluation.latent_arithmetic import interpolate as between
from gen_jax.use import Abilities, Codes, Images


def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Draw images."""
    return decode(config, model, noise(config, count, key))


def decode(config: Config, model: Trained, codes: Codes) -> Images:
    """Return the image of each z, whose values are from -1.73 to 1.73 in training."""
    return model.generator(codes).reshape(-1, *shape(config))


def interpolate(
    config: Config, model: Trained, key: Key, count: Count = 8, columns: Count = 10
) -> Images:
    """Draw pairs of z; each row goes from one to the other."""
    z = noise(config, 2 * count, key)
    codes = between(z[:count], z[count:], columns)
    return decode(config, model, codes).reshape(count, columns, *shape(config))


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    return generate, decode, interpolate
