"""How well features serve a linear classifier of few labelled images (Radford et al. 2015,
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

Features = Callable[[Batch], Array]  # of a prepared batch: [b, d]


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
    """The accuracy on features of the trained model, and of the same model before training.

    `method` is the model's method that gives the features of the batch's fields `inputs`.
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
        unit = f"% of the test images, by {labelled} of each class"
        found[f"test/svm_accuracy_{labelled}{end}"] = Measure(value, unit)
    return found


def accuracy(
    features: Features, data: Data, keys: tuple[Key, Key], *, labelled: int, classes: int
) -> float:
    """% of the test images that an L2-SVM classifies correctly, with `labelled` training images of
    each class.

    Each class has equally many images, no more than the rarest class has. The last quarter chooses
    the SVM's C. One key prepares the training images, the other the test images.
    """
    ranks = [np.flatnonzero(data.train["label"] == label)[:labelled] for label in range(classes)]
    fewest = min(map(len, ranks))
    chosen = np.stack([rank[:fewest] for rank in ranks], 1).ravel()  # the classes in turn
    train = {name: array[chosen] for name, array in data.train.items()}

    def computed(arrays: Arrays, key: Key) -> Iterator[np.ndarray]:
        for batch, _ in pipeline.batches(arrays, data.prepare, key, batch_size=100):
            yield np.asarray(features(batch))

    svm = probes.linear_svm(
        np.concatenate([*computed(train, keys[0])]), train["label"], held_out=fewest // 4 * classes
    )
    predicted = np.concatenate([svm.predict(some) for some in computed(data.test, keys[1])])
    return 100 * float((predicted == data.test["label"]).mean())
