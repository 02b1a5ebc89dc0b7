"""What a trained CycleGAN can do."""

from collections.abc import Callable

import jax.numpy as jnp

from experiments.cyclegan import Config, domains
from gen_jax import Array, Trained
from gen_jax.data.unpaired import Images as Domains
from gen_jax.use import Abilities, Images


def to_y(config: Config, model: Trained, images: Images) -> Images:
    """Translate images of domain x, such as photographs, into domain y, such as maps."""
    return _translated(model.to_y, images)


def to_x(config: Config, model: Trained, images: Images) -> Images:
    """Translate images of domain y, such as maps, into domain x, such as photographs."""
    return _translated(model.to_x, images)


def cycle_x(config: Config, model: Trained, images: Images) -> Images:
    """Translate images of domain x into domain y and back."""
    return to_x(config, model, to_y(config, model, images))


def cycle_y(config: Config, model: Trained, images: Images) -> Images:
    """Translate images of domain y into domain x and back."""
    return to_y(config, model, to_x(config, model, images))


def _translated(network: Callable[[Array], Array], images: Images) -> Array:
    return (network(2 * jnp.asarray(images) - 1) + 1) / 2


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return config.side, config.side, 3


def abilities(config: Config) -> Abilities:
    return (to_y, to_x, cycle_x, cycle_y) if isinstance(domains(config), Domains) else ()
