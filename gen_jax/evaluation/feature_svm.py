"""Accuracy of a linear classifier of features, trained on few labelled images (Radford et al. 2015,
section 5.1).
"""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from gen_jax.data import pipeline
from gen_jax.data.pipeline import Arrays, Data
from gen_jax.evaluation import probes
from gen_jax.game import Trained
from gen_jax.types import Array, Batch, Key, Measure

Features = Callable[[Batch], Array]  # prepared batch -> [b, d]


def evaluate(
    model: Trained,
    method: str,
    inputs: tuple[str, ...],
    data: Data,
    key: Key,
    *,
    labelled: int,
    classes: int,
) -> dict[str, Measure]:
    """Return the accuracy on features of the trained model, and of the same model before training.

    `method` names the method of the model that returns the features of the batch fields `inputs`.
    """
    key_init, *keys = jax.random.split(key, 5)
    some = {name: array[:1] for name, array in data.train.items()}
    example = jax.eval_shape(data.prepare, some, key_init)
    black = [np.zeros(example[name].shape, example[name].dtype) for name in inputs]
    variables = model.module.init(key_init, *black, method=method)
    models = {"": model, "_untrained": Trained(model.module, dict(variables))}
    found = {}
    for i, (end, one) in enumerate(models.items()):
        features = getattr(one, method)

        def features_of(batch: Batch, features: Callable[..., Array] = features) -> Array:
            return features(*(batch[name] for name in inputs))

        own = keys[2 * i], keys[2 * i + 1]
        value = accuracy(features_of, data, own, labelled=labelled, classes=classes)
        unit = f"% of the test images, with {labelled} training images per class"
        found[f"test/svm_accuracy_{labelled}{end}"] = Measure(value, unit)
    return found


def accuracy(
    features: Features, data: Data, keys: tuple[Key, Key], *, labelled: int, classes: int
) -> float:
    """Return the % of test images that an L2-SVM classifies correctly, after training on `labelled`
    images per class.

    Each class has the same number of images, at most that of the rarest class. The SVM's C is
    chosen on the last quarter of them. One key prepares the training images, the other the test
    images.
    """
    ranks = [np.flatnonzero(data.train["label"] == label)[:labelled] for label in range(classes)]
    fewest = min(map(len, ranks))
    chosen = np.stack([rank[:fewest] for rank in ranks], 1).ravel()  # cycles through the classes
    train = {name: array[chosen] for name, array in data.train.items()}

    def computed(arrays: Arrays, key: Key) -> Iterator[np.ndarray]:
        for batch, _ in pipeline.batches(arrays, data.prepare, key, batch_size=100):
            yield np.asarray(features(batch))

    svm = probes.linear_svm(
        np.concatenate([*computed(train, keys[0])]), train["label"], held_out=fewest // 4 * classes
    )
    predicted = np.concatenate([svm.predict(some) for some in computed(data.test, keys[1])])
    return 100 * float((predicted == data.test["label"]).mean())
