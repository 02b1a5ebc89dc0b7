"""What a trained StarGAN can do."""

from typing import Annotated

import jax.numpy as jnp

from experiments.stargan import Config, data_set
from gen_jax import Trained
from gen_jax.data import multidomain
from gen_jax.use import Abilities, Choices, Images


def targets(config: Config) -> tuple[str, ...]:
    """The name of each label that a translation can be given."""
    return multidomain.label_names(data_set(config))


def translate(
    config: Config, model: Trained, images: Images, domain: Annotated[str, Choices(targets)]
) -> Images:
    """Translate images into a domain."""
    label = data_set(config).domains.target_labels[targets(config).index(domain)]
    x = 2 * jnp.asarray(images) - 1
    return (model.generator(x, jnp.tile(label, (x.shape[0], 1))) + 1) / 2


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return config.side, config.side, 3


def abilities(config: Config) -> Abilities:
    return (translate,)
