"""Measures of two sets of images, in features of a network and in pixels, each with an interval.

- Frechet distance: Heusel et al. 2017. Only in Inception features is it called FID.
- Kernel distance, KID: Binkowski et al. 2018.
- Precision, the share of A in the neighbourhoods of B, and recall, the reverse: Kynkaanniemi et al.
  2019, equations 1 and 2, with their k = 3.
- Density, the mean number of neighbourhoods of B around an image of A, divided by k, and coverage,
  the share of neighbourhoods of B with an image of A: Naeem et al. 2020, section 3, with their
  k = 5.
- Sliced Wasserstein distance of patches, and MS-SSIM of random pairs of a set: Karras et al. 2018,
  section 5.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from gen_jax import console, statistics
from gen_jax.errors import DataError, NonFiniteError, UserError
from gen_jax.evaluation import feature_distances, resampling, sliced_wasserstein, ssim
from gen_jax.images import from_uint8
from gen_jax.measure.reader import Sets
from gen_jax.measure.result import Measured, few
from gen_jax.pretrained import inception, resnet

BATCH = 64  # images per step of the progress bar
NEIGHBOURS = 3  # of precision and recall
NEIGHBOURS_COVERED = 5  # of density and coverage
LEAST = NEIGHBOURS_COVERED + 1  # images of each set
PAIRS = 2000  # random pairs of a set
BIAS = "Intervals leave out the bias of few images: compare numbers of one count only"
LINEAR = "the images of both sets, linear in how often each is drawn"
OF_A, OF_B = (f"the images of {one}, all neighbourhoods held" for one in "AB")
# what each measure is, and what its interval is over
FEATURES = {
    "frechet": ("squared Frechet distance, larger for fewer images", LINEAR),
    "kid": ("1000 times the kernel distance, unbiased", "the images of both sets"),
    "precision": ("share of A near B, depends on the count", OF_A),
    "recall": ("share of B near A, depends on the count", OF_B),
    "density": ("how densely B surrounds A, 1 if they are alike", OF_A),
    "coverage": ("share of B with A around, depends on the count", OF_B),
}


class Network(NamedTuple):
    """A feature network."""

    name: str  # in the names of measures
    title: str  # for people, with its own resizing
    features: Callable[[np.ndarray], np.ndarray]  # float32 [b, s, s, 3] in [-1, 1] -> [b, d]


def network(name: str) -> Network:
    """Return the network "resnet50", or "inception" with the user's weights, whose hash is in its
    name.

    Raises UserError for another name, and DataError if no weights of Inception are given.
    """
    if name == resnet.NAME:
        return Network(name, f"{resnet.TITLE} at {resnet.SIDE} px, bilinear", resnet.features)
    if name == "inception":
        given = inception.given()
        return Network(given.name, f"Inception, {inception.CONVENTION}", given.features)
    raise UserError(f"There are no features {name!r}: choose {resnet.NAME} or inception.")


def measure(sets: Sets, net: Network, *, seed: int = 0, draws: int = 1000) -> dict[str, Measured]:
    """Return the measures of two sets by name, with intervals over `draws` bootstrap resamples.

    Where images are too small, or too few for a covariance, a sentence stands in place of a value.
    Raises DataError for fewer than 6 images, and NonFiniteError if a feature is not finite.
    """
    n = len(sets.a)
    if n < LEAST:
        raise DataError(f"{n} images of each set are too few: give at least {LEAST}.")
    of_a, of_b = (statistics.resamples(n, draws=draws, seed=(seed, i)) for i in range(2))
    a, b = (_features(images, net, at) for images, at in ((sets.a, "A"), (sets.b, "B")))
    found = {}
    for name, replicates in _of_features(a, b, of_a, of_b).items():
        unit, over = FEATURES[name]
        unit = f"{unit}; features of {net.title}"
        found[f"{name}_{net.name}"] = Measured.of(replicates, unit, n, sets.size, over)
    for name, (replicates, unit, over) in _of_pixels(sets, of_a, of_b, seed).items():
        found[name] = Measured.of(replicates, unit, n, sets.size, over)
    return found


def _features(images: np.ndarray, net: Network, of: str) -> np.ndarray:
    """Return float64 [n, d]."""
    starts = console.tracked(range(0, len(images), BATCH), f"Features of {of}")
    batches = [net.features(from_uint8(images[i : i + BATCH])) for i in starts]
    found = np.concatenate(batches).astype(np.float64)
    if not np.isfinite(found).all():
        raise NonFiniteError(
            f"Some features of {of} by {net.name} are NaN or infinite: use another network."
        )
    return found


def _of_features(
    a: np.ndarray, b: np.ndarray, of_a: np.ndarray, of_b: np.ndarray
) -> dict[str, np.ndarray | str]:
    """Return replicates by name, or a sentence: [n, d] x 2, [1 + draws, n] x 2."""
    n, d = a.shape
    in_b, _ = feature_distances.balls(b, a, NEIGHBOURS)
    in_a, _ = feature_distances.balls(a, b, NEIGHBOURS)
    around, filled = feature_distances.balls(b, a, NEIGHBOURS_COVERED)
    return {
        "frechet": few(n, "images", f"a covariance of {d:,} features", d + 1)
        or resampling.frechet(a, b, of_a, of_b),
        "kid": 1000 * resampling.kernel(a, b, of_a, of_b),
        "precision": of_a @ (in_b > 0) / n,
        "recall": of_b @ (in_a > 0) / n,
        "density": of_a @ around / (n * NEIGHBOURS_COVERED),
        "coverage": of_b @ filled / n,
    }


def _of_pixels(
    sets: Sets, of_a: np.ndarray, of_b: np.ndarray, seed: int
) -> dict[str, tuple[np.ndarray | str, str, str]]:
    """Return replicates or a sentence, a unit, and what the interval is over, by name."""
    side = sets.a.shape[1]
    lack = few(side, "pixels", "patches of 7 x 7", sliced_wasserstein.PATCH)
    key = jax.random.key(seed)
    swd = {} if lack else resampling.wasserstein(sets.a, sets.b, key, of_a, of_b)
    unit = "1000 times the sliced Wasserstein distance, {}, larger for fewer images"
    found: dict[str, tuple[np.ndarray | str, str, str]] = {
        f"swd_{level}": (lack or swd[f"swd_{level}"], unit.format(f"details at {level} px"), LINEAR)
        for level in sliced_wasserstein.sides(side)
    }
    found["swd"] = (lack or swd["swd"], unit.format("mean of its levels"), LINEAR)
    lack = few(side, "pixels", "MS-SSIM", ssim.LEAST)
    for of, images, weights in (("A", sets.a, of_a), ("B", sets.b, of_b)):
        unit = f"MS-SSIM of {PAIRS:,} random pairs of {of}, lower for more varied images"
        value = lack or _similarity(images, weights, seed)
        found[f"ms_ssim_{of.lower()}"] = (value, unit, f"the images of {of}, with their pairs")
    return found


def _similarity(images: np.ndarray, weights: np.ndarray, seed: int) -> np.ndarray:
    """Return replicates of the mean MS-SSIM: [1 + draws, n] -> [1 + draws].

    A resample has a pair as often as its first image times as often as its second.
    """
    (first, second), values = ssim.random_pairs(images, span=255, pairs=PAIRS, seed=seed)
    times = weights[:, first] * weights[:, second]
    return times @ values / np.maximum(times.sum(1), 1)  # of 6 images, 1 in 6^5 has no pair
