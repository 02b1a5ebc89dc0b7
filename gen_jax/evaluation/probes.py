"""Simple classifiers of scikit-learn that tell what images or features are good for, in % of the test examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # the values of C that are tried


def nearest_neighbour_error(images: Any, labels: Any, test_images: Any, test_labels: Any) -> float:
    """How many test images another label has than the nearest, in Euclidean distance, of the others: [n, ...] each."""
    from sklearn.neighbors import KNeighborsClassifier

    flat = [np.asarray(x, np.float32).reshape(len(x), -1) for x in (images, test_images)]
    fitted = KNeighborsClassifier(1, algorithm="brute").fit(flat[0], np.asarray(labels))
    return 100 * float((fitted.predict(flat[1]) != np.asarray(test_labels)).mean())


def linear_svm(
    features: Any, labels: Any, *, held_out: int, penalties: Sequence[float] = PENALTIES
) -> Any:
    """The linear L2-SVM (squared hinge, each class against the rest) of features [n, d], each divided by its largest.

    C is the one of `penalties` that serves the last `held_out` examples best when the others are learnt from.
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
