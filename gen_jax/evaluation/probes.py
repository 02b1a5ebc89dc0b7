"""Simple classifiers that measure the quality of images, features and codes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gen_jax.data.catalog import sets
from gen_jax.evaluation import classifier, clustering
from gen_jax.types import Measure

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # candidate values of C


def nearest_neighbour_error(
    images: np.ndarray, labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray
) -> float:
    """Return the 1-NN error by Euclidean distance, in %: [n, ...], [n], test [m, ...], [m]."""
    from sklearn.neighbors import KNeighborsClassifier

    flat = [np.asarray(x, np.float32).reshape(len(x), -1) for x in (images, test_images)]
    fitted = KNeighborsClassifier(1, algorithm="brute").fit(flat[0], np.asarray(labels))
    return 100 * float((fitted.predict(flat[1]) != np.asarray(test_labels)).mean())


def linear_svm(
    features: ArrayLike, labels: ArrayLike, *, held_out: int, penalties: Sequence[float] = PENALTIES
) -> Any:
    """Fit a linear L2-SVM (squared hinge, one against the rest) to features [n, d] scaled to
    [-1, 1].

    C is the value in `penalties` with the highest accuracy on the last `held_out` examples, after
    training on the others.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler
    from sklearn.svm import LinearSVC

    features, labels = np.asarray(features), np.asarray(labels)
    machines = [
        make_pipeline(MaxAbsScaler(), LinearSVC(C=c, max_iter=20_000, random_state=0))
        for c in penalties
    ]
    kept = len(labels) - held_out
    scores = [
        m.fit(features[:kept], labels[:kept]).score(features[kept:], labels[kept:])
        for m in machines
    ]
    return machines[int(np.argmax(scores))].fit(features, labels)


def read_labels(drawn: ArrayLike, name: str, directory: Path | None) -> np.ndarray:
    """Return the labels that our classifier reads in images: [n, ...] in [0, 1] -> [n].

    The classifier is trained on the data set `name`, in `directory` (None: the default one).
    """
    train, test = (sets.load(name, split, directory) for split in ("train", "test"))
    trained = classifier.of_data_set(name, train, test)
    return trained.logits(np.asarray(drawn).reshape(-1, *trained.shape)).argmax(1)


def label_accuracy(
    drawn: ArrayLike, labels: ArrayLike, name: str, directory: Path | None
) -> Measure:
    """Return how often images drawn with a label are read as that label: [n, ...] in [0, 1], [n]."""
    right = (read_labels(drawn, name, directory) == np.asarray(labels)).mean()
    return Measure(right, "of our classifier of this set, on images drawn with a label")


def impurity(drawn: ArrayLike, categories: ArrayLike, name: str, directory: Path | None) -> Measure:
    """Return how many images drawn with a category are not read as its most frequent label, in %:
    [n, ...] in [0, 1], [n].
    """
    labels = read_labels(drawn, name, directory)
    counts = clustering.confusion(np.asarray(categories), labels, int(np.max(categories)) + 1)
    unit = "% of images drawn with a category; labels by our classifier of this set"
    return Measure(clustering.best_map_error(counts), unit)


def cluster_labels(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return the label of each cluster from q(y|x) and labels: [n, clusters], [n] -> [clusters].

    Cluster i gets the label of the image x with the largest q(y = i|x) (Makhzani et al. 2015,
    section 6).
    """
    return np.asarray(labels)[np.asarray(probabilities).argmax(0)]


def category_error(probabilities: ArrayLike, labels: ArrayLike, of_category: ArrayLike) -> Measure:
    """Return how often the most likely category does not match the label: [n, k], [n], [k] -> in %.

    `of_category` holds the label of each category.
    """
    predicted = np.asarray(of_category)[np.asarray(probabilities).argmax(1)]
    return Measure(100 * float((predicted != np.asarray(labels)).mean()), "% of images")
