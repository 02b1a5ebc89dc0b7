"""The Inception score through any classifier: how sure it is of each image, and how its labels vary
over all images.

It is called Inception score only through Inception; the name of a score through another network has
that network's name: `class_score_resnet50`.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from gen_jax.errors import DataError, NonFiniteError


class Score(NamedTuple):
    """Mean and standard deviation over splits."""

    mean: float
    deviation: float


def class_score(logits: Any, *, splits: int = 10) -> Score:
    """exp(E KL(p(y|x) || p(y))) of logits [n, classes], with p(y) the mean over a split's images.

    Salimans et al. 2016, section 4. It is 1 if all images look alike to the classifier, and the
    number of classes if it is sure of each image and sees all classes equally often. Splits are
    equal, or one image larger, in the order given. Few images bias the score down: the papers take
    50 000. In float64.

    DataError for another shape or number of splits; NonFiniteError if a logit is not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or 0 in logits.shape or not 0 < splits <= len(logits):
        raise DataError(
            f"Logits have shape {list(logits.shape)} and {splits} splits were asked for: give [n, classes], and from 1 "
            "to n splits."
        )
    if not np.isfinite(logits).all():
        raise NonFiniteError(
            "Some logits are NaN or infinite, but a score needs finite ones: look at the images."
        )
    values = [_score(special.log_softmax(part, 1)) for part in np.array_split(logits, splits)]
    return Score(float(np.mean(values)), float(np.std(values)))


def _score(log_p: np.ndarray) -> float:
    """Of one split: log p(y|x) [n, classes] -> []"""
    log_mean = special.logsumexp(log_p, 0) - np.log(len(log_p))  # log p(y)
    return float(np.exp((np.exp(log_p) * (log_p - log_mean)).sum(1).mean()))
