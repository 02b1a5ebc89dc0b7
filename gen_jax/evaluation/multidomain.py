"""Evaluation of image translation among several domains: the domain reached, the distance to the
ground truth, and the content preserved.
"""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import numpy as np

from gen_jax import images
from gen_jax.data import pipeline
from gen_jax.data.catalog.folder_names import as_file
from gen_jax.data.multidomain import DataSet, LabelledImages, TranslationTask
from gen_jax.data.pipeline import Arrays
from gen_jax.evaluation.classifier import Classifier, classifier
from gen_jax.types import Array, Measure, Params

Generator = Callable[[np.ndarray, np.ndarray], Array]  # x [n, h, w, 3] in [-1, 1], c [n, k] -> x
Translate = Callable[[np.ndarray, np.ndarray], np.ndarray]  # the same for uint8 images


def evaluate(
    generator: Generator,
    tasks: Iterable[TranslationTask],
    train: LabelledImages,
    test: LabelledImages,
    name: str,
) -> dict[str, Measure]:
    """Return the means of `measured` over all tasks, and the errors of the classifiers.

    The classifiers are trained on the real images `train`, and cached under the `name` of the data.
    """
    name = as_file(name)
    domains = classifier(
        train.x, train.domain, test=(test.x, test.domain), name=f"{name}-domains", shift=0
    )
    classes = None
    if train.label is not None and test.label is not None:
        classes = classifier(
            train.x, train.label, test=(test.x, test.label), name=f"{name}-classes", shift=0
        )
    translate = partial(by_hundreds, generator)
    found = [measured(translate, task, domains, classes) for task in tasks]
    means = {
        number: Measure(np.mean([one[number] for one in found]), first.unit)
        for number, first in found[0].items()
    }
    means["test/domain_error_of_real"] = Measure(
        100 * (1 - domains.accuracy),
        "% of the real images that it assigns to a wrong domain",
    )
    if classes:
        means["test/class_error_of_real"] = Measure(
            100 * (1 - classes.accuracy), "% of the real images that it assigns to a wrong class"
        )
    return means


def measured(
    translate: Translate, task: TranslationTask, domains: Classifier, classes: Classifier | None
) -> dict[str, Measure]:
    """Return the measures of one task. Both classifiers were trained on real images."""
    made = translate(task.x, task.target_label)
    wrong = domains.logits(made).argmax(1) != task.target_domain
    found = {
        "test/domain_error": Measure(
            100 * float(wrong.mean()),
            "% of the translations that a classifier of real images assigns to a domain other than "
            "the target",
        ),
        "test/l1_reconstruction": Measure(
            difference(translate(made, task.source_label), task.x),
            "of 255: between an image and its cycle reconstruction",
        ),
        "test/l1_own": Measure(
            difference(translate(task.x, task.source_label), task.x),
            "of 255: between an image and its translation into its own domain",
        ),
    }
    if task.truth is not None:
        found["test/l1"] = Measure(
            difference(made, task.truth),
            "of 255: mean difference between a translation and the ground truth in the target "
            "domain",
        )
        found["test/l1_of_nothing"] = Measure(
            difference(task.x, task.truth),
            "of 255: the same for the untranslated image (identity baseline)",
        )
    if classes:
        before, after = (classes.logits(images).argmax(1) for images in (task.x, made))
        found["test/class_lost"] = Measure(
            100 * float((before != after).mean()),
            "% of the translations that a classifier of real images assigns to another class than "
            "the source image",
        )
    return found


def difference(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean absolute difference of uint8 arrays of one shape, on a scale of 0 to 255."""
    return float(np.abs(x.astype(np.float32) - y).mean())


def parameters(params: Params, label_weights: int, domains: int) -> dict[str, Measure]:
    """Count the weights of one model of all domains, and of k (k - 1) models of pairs without
    labels.

    `label_weights` is the number of weights that process labels.
    """
    total = sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6
    pairs = domains * (domains - 1) * (total - label_weights / 1e6)
    unit = "million, for both networks without labels, one pair per ordered pair of domains"
    return {
        "parameters": Measure(total, "million, for all domains"),
        "parameters_by_pairs": Measure(pairs, unit),
    }


def grid(
    generator: Generator, data: DataSet, arrays: Arrays, side: int, *, rows: int
) -> np.ndarray:
    """Return a picture, uint8 [h, w, 3]: each row has an image, its translations, and their ground
    truth, if known.
    """
    few = data.real(pipeline.spread(arrays, rows), side)
    tasks = data.previews(few, rows)
    made = [by_hundreds(generator, task.x, task.target_label) for task in tasks]
    truth = [task.truth for task in tasks if task.truth is not None]
    cells = np.stack([tasks[0].x, *made, *truth], 1)
    return images.grid(cells.reshape(-1, *cells.shape[2:]), columns=cells.shape[1])


def by_hundreds(generator: Generator, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Translate a hundred images at a time: uint8 [n, h, w, 3], [n, k] -> uint8 [n, h, w, 3]."""
    count = -(-len(x) // 100)
    parts = zip(np.array_split(x, count), np.array_split(labels, count), strict=True)
    made = [generator(images.from_uint8(part), label) for part, label in parts]
    return images.to_uint8(np.concatenate(made), low=-1)
