"""What a trained InfoGAN can do."""

from typing import Annotated

import jax.numpy as jnp

from experiments.infogan import PRIOR, Config
from gen_jax import Array, Count, Key, Trained
from gen_jax.config import Range
from gen_jax.data.catalog import sets
from gen_jax.evaluation.mutual_information import traversals
from gen_jax.use import Abilities, Choices, Images

CATEGORIES = tuple(map(str, range(PRIOR.categories)))
Code = Annotated[float, Range("a number from -2 to 2", -2, 2)]


def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
    """Draw images with codes from their prior."""
    x: Array = model.generator(PRIOR.draw(count, key))
    return x


def generate_code(
    config: Config,
    model: Trained,
    key: Key,
    category: Annotated[str, Choices(lambda _: CATEGORIES)],
    first: Code = 0.0,
    second: Code = 0.0,
    count: Count = 16,
) -> Images:
    """Draw images of one category and two continuous codes, which are from -1 to 1 in training."""
    code = PRIOR.draw(count, key)
    one_hot = jnp.tile(jnp.eye(PRIOR.categories)[int(category)], (count, 1))
    continuous = jnp.tile(jnp.array([first, second]), (count, 1))
    x: Array = model.generator(code._replace(category=one_hot, continuous=continuous))
    return x


def traverse(
    config: Config,
    model: Trained,
    key: Key,
    code: Annotated[str, Choices(lambda _: ("category", "continuous_1", "continuous_2"))],
) -> Images:
    """Vary one code from left to right: the category, or a continuous code from -2 to 2."""
    x = model.generator(traversals(PRIOR, key)[f"traversal_{code}"])
    return x.reshape(10, 10, *x.shape[1:])


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return sets.shape(config.data, config.run.data)


def abilities(config: Config) -> Abilities:
    return generate, generate_code, traverse
