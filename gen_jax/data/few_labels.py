"""A few labelled images for semi-supervised training."""

import jax.numpy as jnp
import numpy as np

from gen_jax.data.pipeline import Arrays
from gen_jax.errors import DataError
from gen_jax.types import Batch


def balanced(train: Arrays, *, count: int, classes: int, seed: int) -> Batch:
    """Return `count` random training examples, the same number of each class: `init_extras` of a
    source.

    "labelled_image" uint8 [count, h, w, c] and "labelled_label" [count]. Raises DataError if
    `count` is not a multiple of `classes`, or if a class has too few examples.
    """
    generator, per_class = np.random.default_rng(seed), count // classes
    of_class = [np.flatnonzero(np.asarray(train["label"]) == i) for i in range(classes)]
    least = min(map(len, of_class))
    if count % classes or least < per_class:
        raise DataError(
            f"{count} labelled images are not possible; give a multiple of {classes}, "
            f"at most {least} per class."
        )
    chosen = np.concatenate([generator.choice(n, per_class, replace=False) for n in of_class])
    return {f"labelled_{name}": jnp.asarray(train[name][chosen]) for name in ("image", "label")}
