"""Frechet distances to the test images, in the features of a classifier of the same data set."""

from collections.abc import Mapping

import numpy as np

from gen_jax.data.pipeline import Data
from gen_jax.evaluation import classifier
from gen_jax.evaluation import feature_distances as frechet
from gen_jax.types import Array, Measure

UNIT = "squared Frechet distance to the test images, features of our classifier of this set"


def frechet_to_test(
    name: str, data: Data, sets: Mapping[str, Array | np.ndarray]
) -> dict[str, Measure]:
    """Return {"test/frechet_SET": distance} for each set of images, given as [n, d] or
    [n, h, w, c].

    Images are uint8, or floats in [0, 1]. The classifier of the data set `name` is trained once on
    the training images, or read from the user's cache.
    """
    image = data.test["image"]
    network = classifier.of_data_set(name, data.train, data.test)

    def moments(x: Array | np.ndarray) -> frechet.Moments:
        return frechet.moments(network.features(np.asarray(x).reshape(-1, *image.shape[1:])))

    of_test = moments(image)
    return {
        f"test/frechet_{which}": Measure(frechet.distance(moments(x), of_test), UNIT)
        for which, x in sets.items()
    }
