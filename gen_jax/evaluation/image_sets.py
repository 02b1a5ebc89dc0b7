"""How near a set of images is to the training images, by the measures of Karras et al. 2018, section 5.

The sliced Wasserstein distance and MS-SSIM of pairs look at pixels; the rest through pretrained networks, whose names
are in those of the numbers: ResNet-50, and Inception where the user has its weights. Only the latter's are FID and
Inception score.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gen_jax.evaluation import feature_distances, inception_score, sliced_wasserstein, ssim
from gen_jax.pretrained import inception, resnet

PAIRS = 10_000  # of images, for MS-SSIM (section 6.1)
TITLES = {resnet.NAME: resnet.TITLE}
See = Callable[[Any], tuple[np.ndarray, np.ndarray]]  # images -> features, logits


def feature_networks() -> dict[str, See]:
    """The networks by their names; the user's weights are read when this is first asked for."""
    given = inception.load_if_configured()
    return {resnet.NAME: resnet.see, **({given.name: given.see} if given else {})}


def units(largest: int, whose: Mapping[str, str]) -> dict[str, str]:
    """Of the numbers of images of up to that many pixels a side; `whose` maps the end of a name to what is measured."""
    names, given = feature_networks(), inception.load_if_configured()
    levels = [side for side in (2**i for i in range(3, 11)) if side <= largest]
    found = {
        "swd": "1000 times the sliced Wasserstein distance to training images, mean over levels",
        **{f"swd_{side}": f"the same of details at {side} pixels" for side in levels},
        "ms_ssim": "MS-SSIM of random pairs, lower where they vary more",
        **{
            name: unit
            for judge in names
            for name, unit in feature_distances.units(judge, TITLES.get(judge, "")).items()
        },
        **{
            f"class_score_{j}": f"as the Inception score is made, of {TITLES.get(j, j)}'s classes"
            for j in names
        },
    }
    if given:
        found = {
            name: f"{unit}; {inception.CONVENTION}" if given.name in name else unit
            for name, unit in found.items()
        }
    return {
        **{
            f"test/{name}{end}": f"{unit}; {what}"
            for end, what in whose.items()
            for name, unit in found.items()
        },
        "test/judged": "images of either kind",
        "test/perceived": "of them seen through pretrained networks",
    }


def judged(
    true: np.ndarray, others: Mapping[str, np.ndarray], *, perceived: int
) -> dict[str, float]:
    """Each of the others beside the training images, as many: uint8 [n, s, s, c]; colour images through networks too.

    So many, at most, are seen through networks. The names of the numbers end as the others are called.
    """
    count, side, _, channels = true.shape
    few = min(perceived, count) if channels == 3 else 0
    networks = feature_networks() if few else {}
    known = {judge: see(_scaled(true[:few]))[0] for judge, see in networks.items()}
    metrics = {"test/judged": float(count), "test/perceived": float(few)}
    keys = jax.random.split(jax.random.key(0), len(others))
    for (end, some), key in zip(others.items(), keys, strict=True):
        found = sliced_wasserstein.distances(true, some, key, images=count)
        if side >= ssim.LEAST:
            found["ms_ssim"] = ssim.diversity(some, span=255, pairs=PAIRS)
        for judge, features in known.items():
            seen, logits = networks[judge](_scaled(some[:few]))
            found |= feature_distances.distances(seen, features, judge)
            found[f"class_score_{judge}"] = inception_score.class_score(logits).mean
        metrics |= {f"test/{name}{end}": value for name, value in found.items()}
    return metrics


def _scaled(images: np.ndarray) -> np.ndarray:
    """uint8 -> [-1, 1]"""
    return images / np.float32(127.5) - 1
