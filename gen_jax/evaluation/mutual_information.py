"""Mutual information between codes and generated images, and pictures in which one code varies."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.distributions import LOG_2PI
from gen_jax.networks.infogan import Code, Prior
from gen_jax.types import Key, Measure

# With Gaussians of sigma 1, L_I of a continuous code is at most CEILING, reached with the right
# mean. The official code of InfoGAN uses E -log N(c; 0, 1) instead of the entropy of U(-1, 1),
# which adds EXCESS.
CEILING = math.log(2) - LOG_2PI / 2  # nats
EXCESS = (LOG_2PI + 1 / 3) / 2 - math.log(2)  # nats
CONTINUOUS = f"nats; at most {CEILING:.4f} if sigma is 1, unbounded if sigma is learned"
COUNTED = f"nats as in the official code, {EXCESS:.4f} too high; at most {CEILING + EXCESS:.4f}"


def bounds(
    nats: np.ndarray, names: Sequence[str], *, categories: int, counted: bool
) -> dict[str, Measure]:
    """Return L_I of the category, then of each continuous code, by name: [codes] in nats.

    With `counted`, also returns those of the continuous codes as the official code computes them.
    """
    units = [f"nats; at most log {categories} = {math.log(categories):.4f}"]
    units += (len(names) - 1) * [CONTINUOUS]
    named = [*zip(names, nats, units, strict=True)]
    found = {f"fakes/{name}": Measure(value, unit) for name, value, unit in named}
    for name, value, _ in named[1:] if counted else ():
        found[f"fakes/counted_{name}"] = Measure(float(value) + EXCESS, COUNTED)
    return found


def traversals(prior: Prior, key: Key) -> dict[str, Code]:
    """Return the codes of ten rows of ten images for each picture: 100 draws, and a traversal of
    each code.

    The category varies from left to right, with one draw per row. A continuous code varies from -2
    to 2, with one category per row (Chen et al. 2016, figure 2). Pictures of the category need a
    prior with ten categories.
    """
    key_samples, key_rows = jax.random.split(key)
    rows = jax.tree.map(lambda x: jnp.repeat(x, 10, axis=0), prior.draw(10, key_rows))
    category, line = jnp.eye(10), jnp.tile(jnp.linspace(-2, 2, 10), 10)
    codes = {
        "samples": prior.draw(100, key_samples),
        "traversal_category": rows._replace(category=jnp.tile(category, (10, 1))),
    }
    noise, category = jnp.tile(rows.noise[:1], (100, 1)), jnp.repeat(category, 10, axis=0)
    for i, axis in enumerate(jnp.eye(prior.continuous), 1):
        codes[f"traversal_continuous_{i}"] = Code(noise, category, line[:, None] * axis[None])
    return codes
