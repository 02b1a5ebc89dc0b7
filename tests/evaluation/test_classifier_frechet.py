"""Distances to the test images through the classifier of the digits."""

import numpy as np

from gen_jax.data import pipeline
from gen_jax.evaluation import classifier_frechet


def test_the_test_images_are_at_no_distance_and_noise_is_farthest():
    data = pipeline.load(pipeline.Source("digits"))
    test, train = data.test["image"], data.train["image"]
    noise = np.random.default_rng(0).uniform(size=(len(test), 64)).astype(np.float32)
    sets = {"same": test, "vectors": test.reshape(len(test), -1) / np.float32(255)}
    found = classifier_frechet.frechet_to_test(
        "digits", data, {**sets, "training_images": train, "noise": noise}
    )
    names = ["same", "vectors", "training_images", "noise"]
    assert [*found] == [f"test/frechet_{name}" for name in names]
    same, vectors, training, noise = found.values()
    assert same < 1e-6 and vectors < 1e-4 and 10 * training < noise
    assert all(value.unit == classifier_frechet.UNIT for value in found.values())
