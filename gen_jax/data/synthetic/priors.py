"""Priors of a code: samplers (key, labels [n] in 0..9, latents) -> [n, latents]."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.errors import UserError
from gen_jax.types import Array, Key

Sampler = Callable[[Key, Array, int], Array]
CLASSES = 10
UNKNOWN = 10  # the label of an example of unknown class


def gaussian(key: Key, labels: Array, latents: int) -> Array:
    """N(0, I), independent of the labels: [n, latents]."""
    return jax.random.normal(key, (len(labels), latents))


def mixture(key: Key, labels: Array, latents: int) -> Array:
    """Ten Gaussians, one per class, arranged as petals: [n, 2].

    The mean of component i is 1.4 from the origin at the angle 2 pi i / 10. Its standard deviation
    is 0.5 along that direction and 0.1 across it.
    """
    along, across = jax.random.normal(key, (2, len(labels)))
    along, across, angle = 1.4 + 0.5 * along, 0.1 * across, 2 * math.pi * labels / CLASSES
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([along * cos - across * sin, along * sin + across * cos], 1)


def swiss_roll(key: Key, labels: Array, latents: int) -> Array:
    """Two turns of a spiral whose radius is proportional to the angle: [n, 2].

    Class i is the i-th tenth of the draws, counted from the centre.
    """
    t = jnp.sqrt((labels + jax.random.uniform(key, labels.shape)) / CLASSES)
    return jnp.stack([t * jnp.cos(4 * math.pi * t), t * jnp.sin(4 * math.pi * t)], 1)


# Further samplers can be added here.
PRIORS: dict[str, Sampler] = {"gaussian": gaussian, "mixture": mixture, "swiss_roll": swiss_roll}
PLANAR = ("mixture", "swiss_roll")  # those that draw 2 latents


def check(name: str, latents: int) -> None:
    """Raise UserError if there is no such prior, or if it draws another number of latents."""
    if name not in PRIORS:
        raise UserError(
            f"prior is {name!r}; it must be one of {', '.join(PRIORS)}, or added to PRIORS."
        )
    if name in PLANAR and latents != 2:
        raise UserError(f"latents is {latents}; {name} draws 2: set latents to 2.")


def draw(name: str, key: Key, labels: Array, latents: int) -> Array:
    """Draw z ~ p(z|label), or z ~ p(z) if the label is UNKNOWN: [n] -> [n, latents].

    Raises UserError if the sampler draws another number of latents.
    """
    key_label, key_z = jax.random.split(key)
    unknown = labels == UNKNOWN
    labels = jnp.where(unknown, jax.random.randint(key_label, labels.shape, 0, CLASSES), labels)
    z = PRIORS[name](key_z, labels, latents)
    if z.shape != (len(labels), latents):
        raise UserError(f"latents is {latents}; {name} draws {list(z.shape)}: change latents.")
    return z
