"""A few labelled images beside many without labels: chosen once, and held by the state of the run."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.data.pipeline import Arrays
from gen_jax.errors import DataError
from gen_jax.types import Array, Batch, Key


def balanced(train: Arrays, *, count: int, classes: int, seed: int) -> Batch:
    """`count` examples of the training set, as many of each class: what a `Labelled` holds. The `birth` of a source."""
    generator, each = np.random.default_rng(seed), count // classes
    of_class = [np.flatnonzero(np.asarray(train["label"]) == i) for i in range(classes)]
    if count % classes or min(map(len, of_class)) < each:
        least = min(map(len, of_class))
        raise DataError(
            f"{count} labelled images were asked for; give a multiple of {classes}, at most {least} a class."
        )
    chosen = np.concatenate([generator.choice(those, each, replace=False) for those in of_class])
    return {f"labelled_{name}": jnp.asarray(train[name][chosen]) for name in ("image", "label")}


class Labelled(nn.Module):
    """The labelled images that the batch brings when the state is born, or else those of that first batch.

    They are no weights: the collection "labelled" of the state holds them, so that no program is compiled around them.
    """

    @nn.compact
    def __call__(self, batch: Batch, key: Key) -> tuple[Array, Array]:
        """As many as the batch has, each once where there are enough: images [b, h, w, c], labels [b]."""
        born = {name: batch.get(f"labelled_{name}", batch[name]) for name in ("image", "label")}
        image, label = (
            self.variable("labelled", name, lambda a=array: a).value for name, array in born.items()
        )
        b, n = len(batch["image"]), len(image)
        chosen = jax.random.choice(key, n, (b,), replace=b > n)
        return image[chosen], label[chosen].astype(jnp.int32)
