"""Similarity of sets of images to the training images, by the measures of Karras et al. 2018,
section 5.

The sliced Wasserstein distance and the MS-SSIM of pairs compare pixels. The other measures compare
features of pretrained networks, and their names include the name of the network: ResNet-50, and
Inception if the user has its weights. Only Inception yields FID and the Inception score.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gen_jax.data import pipeline
from gen_jax.data.pipeline import Arrays
from gen_jax.evaluation import feature_distances, inception_score, sliced_wasserstein, ssim
from gen_jax.images import from_uint8, to_uint8
from gen_jax.pretrained import inception, resnet
from gen_jax.types import Array, Batch, Key, Measure

PAIRS = 10_000  # pairs of images for MS-SSIM (section 6.1)
TITLES = {resnet.NAME: resnet.TITLE}
View = Callable[[Batch, Key], Array]
FeatureNetwork = Callable[[Any], tuple[np.ndarray, np.ndarray]]  # images -> features, logits


def feature_networks() -> dict[str, FeatureNetwork]:
    """Return the networks by name. The user's weights are read at the first call."""
    given = inception.load_if_configured()
    return {resnet.NAME: resnet.see, **({given.name: given.see} if given else {})}


def inception_scores() -> list[str]:
    """Return the names of the metrics that are Inception scores: one if the user has Inception's
    weights, else none.
    """
    given = inception.load_if_configured()
    return [f"test/class_score_{given.name}"] if given else []


def evaluate(
    draw: Callable[[int], np.ndarray], train: Arrays, view: View, *, count: int, perceived: int
) -> dict[str, Measure]:
    """Compare images that `draw` generates, and as many other training images, with training
    images: `count` of each, or half of them all if there are fewer.

    `view` maps a batch to images [b, s, s, c] in [-1, 1], and `draw` n to uint8 [n, s, s, c]. See
    `compare` for `perceived`.
    """
    true = real(train, view, 2 * count)
    n = len(true) // 2
    others = {
        "": (draw(n), "generated images"),
        "_of_real": (true[n : 2 * n], "other training images"),
    }
    return compare(true[:n], others, perceived=perceived)


def real(arrays: Arrays, view: View, count: int) -> np.ndarray:
    """Return `count` real images, or all if there are fewer, always the same ones: uint8
    [n, h, w, c].

    `view` maps a batch to images [b, h, w, c] in [-1, 1].
    """
    chosen = np.random.default_rng(0).permutation(pipeline.size(arrays))[:count]
    some = {name: array[np.sort(chosen)] for name, array in arrays.items()}
    seen = jax.jit(lambda batch, key: {"x": view(batch, key)})
    batches = pipeline.batches(some, seen, jax.random.key(0), batch_size=100)
    parts = [batch["x"] for batch, _ in batches]
    shuffled = np.random.default_rng(1).permutation(len(chosen))
    return to_uint8(np.concatenate(parts), low=-1)[shuffled]


def compare(
    true: np.ndarray, others: Mapping[str, tuple[np.ndarray, str]], *, perceived: int
) -> dict[str, Measure]:
    """Compare each of the other sets with the training images `true`: uint8 [n, s, s, c], the same
    number in each.

    `others` maps the suffix of a metric name to a set and its description in units. At most
    `perceived` images of each set are passed to the feature networks, which need three channels.
    """
    count, side, _, channels = true.shape
    few = min(perceived, count) if channels == 3 else 0
    networks = feature_networks() if few else {}
    true_features = {name: see(from_uint8(true[:few]))[0] for name, see in networks.items()}
    metrics = {
        "test/judged": Measure(count, "images in each set"),
        "test/perceived": Measure(few, "of them passed to pretrained networks"),
    }
    keys = jax.random.split(jax.random.key(0), len(others))
    for (end, (some, what)), key in zip(others.items(), keys, strict=True):
        found = sliced_wasserstein.distances(true, some, key, images=count)
        if side >= ssim.LEAST and count > 1:
            value = ssim.diversity(some, span=255, pairs=PAIRS)
            unit = "MS-SSIM of random pairs, lower for more varied images"
            found["ms_ssim"] = Measure(value, unit)
        for name, features in true_features.items():
            seen, logits = networks[name](from_uint8(some[:few]))
            found |= _feature_measures(name, seen, features, logits)
        metrics |= {
            f"test/{name}{end}": Measure(value, f"{value.unit}; {what}")
            for name, value in found.items()
        }
    return metrics


def _feature_measures(
    name: str, seen: np.ndarray, true: np.ndarray, logits: np.ndarray
) -> dict[str, Measure]:
    """Return distances between features [n, d], and the score of logits [n, classes], of the named
    network.
    """
    title = TITLES.get(name, "")
    unit = f"computed like the Inception score, with the classes of {title or name}"
    score = Measure(inception_score.class_score(logits).mean, unit)
    found = {
        **feature_distances.distances(seen, true, name, title),
        f"class_score_{name}": score,
    }
    if name in TITLES:
        return found
    return {
        number: Measure(value, f"{value.unit}; {inception.CONVENTION}")
        for number, value in found.items()
    }
