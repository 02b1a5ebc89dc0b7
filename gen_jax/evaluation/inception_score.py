"""The Inception score with any classifier: high if it is sure of each image and its labels vary
over the images.

It is called Inception score only if the classifier is Inception. With another network, the name of
the score includes the name of that network: `class_score_resnet50`.
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
    """Return exp(E KL(p(y|x) || p(y))) of logits [n, classes], where p(y) is the mean over the
    images of a split.

    Salimans et al. 2016, section 4. The score is 1 if all images have the same class probabilities.
    It is the number of classes if the classifier is sure of each image and all classes are equally
    frequent. Splits follow the order of the images, and their sizes differ by at most one. Few
    images bias the score down: the papers use 50 000. Computed in float64.

    Raises DataError for a wrong shape or number of splits, and NonFiniteError if a logit is not
    finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or 0 in logits.shape or not 0 < splits <= len(logits):
        raise DataError(
            f"Logits have shape {list(logits.shape)} and there are {splits} splits: give [n, "
            "classes], and "
            "from 1 to n splits."
        )
    if not np.isfinite(logits).all():
        raise NonFiniteError(
            "Some logits are NaN or infinite, but a score needs finite ones: check the images."
        )
    values = [_score(special.log_softmax(part, 1)) for part in np.array_split(logits, splits)]
    return Score(float(np.mean(values)), float(np.std(values)))


def _score(log_p: np.ndarray) -> float:
    """Return the score of one split: log p(y|x) [n, classes] -> []."""
    log_mean = special.logsumexp(log_p, 0) - np.log(len(log_p))  # log p(y)
    return float(np.exp((np.exp(log_p) * (log_p - log_mean)).sum(1).mean()))
