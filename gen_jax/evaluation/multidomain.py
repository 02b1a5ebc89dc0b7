"""How well images are changed from domain to domain: where they come, how far from the truth, and what stays."""

from collections.abc import Callable, Iterator

import numpy as np

from gen_jax import images
from gen_jax.data.multidomain import LabelledImages, TranslationTask
from gen_jax.evaluation.classifier import Classifier, classifier
from gen_jax.types import Array

UNITS = {
    "test/domain_error": "% of the translations that a classifier of real images does not see in the domain asked for",
    "test/domain_error_of_real": "% of the real images that it does not see in their own domain",
    "test/class_lost": "% of the translations that a classifier of real images takes for another class than before",
    "test/class_error_of_real": "% of the real images whose class it does not see",
    "test/l1": "of 255: mean difference of a translation from the same example as it is in that domain",
    "test/l1_of_nothing": "of 255: the same where the image stays as it is",
    "test/l1_reconstruction": "of 255: of an image from itself, there and back",
    "test/l1_own": "of 255: of an image from itself, translated into the domain in which it is",
}


def evaluate(
    translate: Callable[[np.ndarray, np.ndarray], np.ndarray],
    asked: Iterator[TranslationTask],
    learnt: LabelledImages,
    test: LabelledImages,
    name: str,
) -> dict[str, float]:
    """The means of all changes asked for, the classifiers having learnt from real training images."""
    domains = classifier(
        learnt.x, learnt.domain, test=(test.x, test.domain), name=f"{name}-domains", shift=0
    )
    classes = None
    if learnt.label is not None:
        classes = classifier(
            learnt.x, learnt.label, test=(test.x, test.label), name=f"{name}-classes", shift=0
        )
    found = [measured(translate, change, domains, classes) for change in asked]
    means = {number: float(np.mean([one[number] for one in found])) for number in found[0]}
    real = {"test/domain_error_of_real": domains, "test/class_error_of_real": classes}
    return {**means, **{name: 100 * (1 - judge.accuracy) for name, judge in real.items() if judge}}


def measured(
    translate: Callable[[np.ndarray, np.ndarray], np.ndarray],
    change: TranslationTask,
    domains: Classifier,
    classes: Classifier | None,
) -> dict[str, float]:
    """The numbers of `UNITS` that one change has; both classifiers learnt from real images."""
    made = translate(change.x, change.label)
    found = {
        "test/domain_error": 100 * float((domains.logits(made).argmax(1) != change.domain).mean()),
        "test/l1_reconstruction": difference(translate(made, change.back), change.x),
        "test/l1_own": difference(translate(change.x, change.back), change.x),
    }
    if change.truth is not None:
        found |= {
            "test/l1": difference(made, change.truth),
            "test/l1_of_nothing": difference(change.x, change.truth),
        }
    if classes:
        before, after = (classes.logits(images).argmax(1) for images in (change.x, made))
        found["test/class_lost"] = 100 * float((before != after).mean())
    return found


def difference(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(x.astype(np.float32) - y).mean())


def by_hundreds(
    translate: Callable[[np.ndarray, np.ndarray], Array], x: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """A network's translations, of which a hundred fit at once: uint8 [n, h, w, c], [n, k] -> uint8 [n, h, w, c]."""
    count = -(-len(x) // 100)
    parts = zip(np.array_split(x, count), np.array_split(labels, count), strict=True)
    made = [translate(part / np.float32(127.5) - 1, asked) for part, asked in parts]
    return images.to_uint8(np.concatenate(made), low=-1)
