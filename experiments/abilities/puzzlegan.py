"""What a trained Puzzle-GAN can do."""

import jax.numpy as jnp

from experiments.puzzlegan import Config
from gen_jax import Key, Trained
from gen_jax.data.key_patches import COUNT
from gen_jax.errors import UserError
from gen_jax.use import Abilities, Images


def complete(config: Config, model: Trained, key: Key, images: Images) -> Images:
    """Draw the whole image of each three parts, which follow one another and fill their squares."""
    if images.shape[0] % COUNT:
        raise UserError(f"there are {len(images)} parts; give {COUNT} for each image.")
    parts = 2 * jnp.reshape(images, (-1, COUNT, *shape(config))) - 1
    x, _ = model.draw(parts, key)
    return (x + 1) / 2


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image, and of an enlarged part."""
    return config.side, config.side, 3


def abilities(config: Config) -> Abilities:
    return (complete,)
