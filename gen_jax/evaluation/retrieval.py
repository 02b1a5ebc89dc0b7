"""Whether an image finds its caption among others, and whether the likeness of two vectors tells their group."""

import numpy as np

from gen_jax.errors import DataError


def r_precision(
    images: np.ndarray, texts: np.ndarray, labels: np.ndarray, *, among: int = 100, seed: int = 0
) -> float:
    """How often an image's own text scores highest among itself and others: [n, d], [n, d], [n] -> a share.

    The `among` - 1 others are drawn from those of other labels; a score is an inner product (R-precision with one right
    caption, Xu et al. 2018, section 4). A tie is lost. 1 / `among` by chance.
    """
    images, texts = np.asarray(images, np.float64), np.asarray(texts, np.float64)
    if images.shape != texts.shape or images.ndim != 2 or labels.shape != images.shape[:1]:
        raise DataError(
            f"Images have features {list(images.shape)}, texts {list(texts.shape)}, labels {list(labels.shape)}; "
            "give [n, d], [n, d] and [n]."
        )
    generator, found = np.random.default_rng(seed), []
    for image, text, label in zip(images, texts, labels, strict=True):
        others = np.flatnonzero(labels != label)
        if len(others) < among - 1:
            raise DataError(
                f"{len(others)} texts have other labels; {among - 1} are needed: give more, or ask less."
            )
        wrong = texts[generator.choice(others, among - 1, replace=False)]
        found.append(image @ text > (wrong @ image).max())
    return float(np.mean(found))


def verification(features: np.ndarray, groups: np.ndarray) -> float:
    """The area under the ROC of the cosine of two vectors for telling whether they are of one group: [n, d], [n].

    Over all pairs; 0.5 by chance (Reed et al. 2016, section 5.2, where the groups are clusters of pose or background).
    """
    from sklearn.metrics import roc_auc_score  # slow to import

    unit = np.asarray(features, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    first, second = np.triu_indices(len(unit), 1)
    same = groups[first] == groups[second]
    if same.all() or not same.any():
        raise DataError(
            f"The {len(unit)} vectors are of one group or of as many as there are: give two of one at least."
        )
    return float(roc_auc_score(same, (unit @ unit.T)[first, second]))
