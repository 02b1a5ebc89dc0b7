"""Accuracy of a classifier trained on samples of a conditional generator (Radford et al. 2015,
section 8.1).
"""

from collections.abc import Callable

import jax
import numpy as np

from gen_jax.data.pipeline import Data
from gen_jax.evaluation import classifier, latent_arithmetic, probes
from gen_jax.evaluation.latent_arithmetic import Generate
from gen_jax.types import Array, Key, Measure

Latents = Callable[[Key, int], Array]  # (key, n) -> z [n, d]
THICKNESS = (
    "of thick - thin + thin digit: 0 as thin as the last, 1 as thick as a thick digit of its label"
)


def evaluate(
    generate: Generate,
    latents: Latents,
    data: Data,
    key: Key,
    *,
    name: str,
    count: int,
    batch_size: int,
    classes: int,
) -> dict[str, Measure]:
    """Return the 1-NN error on the test images, when trained on `count` samples and on `count` real
    images.

    Also returns how often a classifier trained on the data set `name` assigns a sample its label,
    and the thickness of `latent_arithmetic`. `generate` returns images in [0, 1].
    """
    images, asked = [], []
    batches = -(-count // batch_size)
    for i in range(batches):
        key_z, key_label = jax.random.split(jax.random.fold_in(key, i))
        label = jax.random.randint(key_label, (batch_size,), 0, classes)
        images.append(generate(latents(key_z, batch_size), label))
        asked.append(label)
    x, y = np.concatenate(images)[:count], np.concatenate(asked)[:count]
    train, train_label = data.train["image"], data.train["label"]
    test, test_label = data.test["image"], data.test["label"]
    real = classifier.of_data_set(name, data.train, data.test)
    test = test / np.float32(255)
    by_samples = probes.nearest_neighbour_error(x, y, test, test_label)
    by_images = probes.nearest_neighbour_error(
        train[:count] / np.float32(255), train_label[:count], test, test_label
    )
    z = latents(jax.random.fold_in(key, batches), latent_arithmetic.DRAWS)
    rows = latent_arithmetic.rows(generate, z, classes)
    return {
        f"test/nearest_neighbour_error_{count}": Measure(
            by_samples, "% of the test images, by 1-NN on the same number of samples"
        ),
        f"test/nearest_neighbour_error_of_{count}_images": Measure(
            by_images, "% of the test images, by 1-NN on training images"
        ),
        "test/label_accuracy": Measure(
            100 * float((real.logits(x).argmax(-1) == y).mean()),
            "% of the samples that our classifier assigns their label",
        ),
        "test/thickness": Measure(latent_arithmetic.thickness(rows), THICKNESS),
    }
