"""What a trained text-to-image GAN can do."""

from collections.abc import Callable
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.text2image import Config, embedding, splits
from gen_jax import Count, Key, Trained
from gen_jax.data import captions
from gen_jax.evaluation import retrieval
from gen_jax.use import Abilities, Images


def draw(config: Config, model: Trained, key: Key, sentence: str, count: Count = 16) -> Images:
    """Draw images of a sentence."""
    text = np.repeat(_encoder(config)(np.array([sentence])), count, 0)
    z = jax.random.normal(key, (count, config.latents))
    return retrieval.generate(model.generator, z, text)


def draw_style(config: Config, model: Trained, images: Images, sentence: str) -> Images:
    """Draw a sentence once in the style of each image."""
    style = model.style(2 * jnp.asarray(images) - 1)
    text = np.repeat(_encoder(config)(np.array([sentence])), len(style), 0)
    return retrieval.generate(model.generator, style, text)


@lru_cache(maxsize=2)
def _encoder(config: Config) -> Callable[[np.ndarray], np.ndarray]:
    """The features of texts, as in training: [n] -> [n, d]."""
    features = config.embedding.features
    encoders = retrieval.encoders(config.encoder, features, partial(embedding, config))
    return captions.normalised(splits(config)["train"].captions, encoders)


def shape(config: Config) -> tuple[int, ...]:
    """(height, width, channels) of an image."""
    return config.side, config.side, 3


def abilities(config: Config) -> Abilities:
    return draw, draw_style
