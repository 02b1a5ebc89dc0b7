"""Evaluation of translations between two domains with known ground truth: each image has a partner
in the other domain.

Images are [n, h, w, 3] in [-1, 1], by the names of their domains. Partners have the same index.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gen_jax import images
from gen_jax.data import pipeline, unpaired
from gen_jax.data.pipeline import Arrays
from gen_jax.data.synthetic.worlds import Atoms
from gen_jax.errors import UserError
from gen_jax.evaluation import feature_distances, ssim
from gen_jax.game import Trained
from gen_jax.pretrained import resnet
from gen_jax.pretrained.lpips import NETWORKS, lpips
from gen_jax.types import Array, Measure

BATCH = 32
Images = Mapping[str, np.ndarray]

ERROR = "mean absolute error, of 255"
NEAREST = "% whose true image is the nearest"
TO_PARTNERS = {
    "l1": ERROR,
    "ssim": "structural similarity",
    "top_1": NEAREST,
    "top_5": NEAREST + " 5",
}
LPIPS = "LPIPS 0.1, by AlexNet"
SOME = "on test/perceived images"
PAIRING = {
    "fits": "1 if the map is one-to-one between atoms of equal mass",
    "true_pairing": "1 if each atom is mapped to its partner",
    "chance": "probability of the true pairing, if all that fit were equally likely",
    "distance": "from mapped atoms to the nearest atoms; the circle has radius 1",
}


def evaluate(
    domains: unpaired.Images | unpaired.Points, model: Trained, test: Arrays, feature_images: int
) -> dict[str, Measure]:
    """Return the measures of a model's translations of test images (see `compare`), or of atoms
    (see `pairing`).
    """
    if isinstance(domains, unpaired.Points):
        return pairing(domains.atoms(), model.to_y(test["x"]))
    true = domains.centre(test)
    made = translate(model, true)
    return compare(true, made, feature_images=feature_images, paired=domains.paired)


def pictures(
    domains: unpaired.Images | unpaired.Points, model: Trained, test: Arrays
) -> dict[str, np.ndarray]:
    """Return rows of eight test images of each domain (see `grids`), or a scatter plot of points
    (see `scatter`).
    """
    if isinstance(domains, unpaired.Points):
        return {"samples": scatter(domains.atoms(), model.to_y)}
    true = domains.centre(pipeline.spread(test, 8))
    return grids(true, translate(model, true))


def cycle(model: Any, x: Array, y: Array) -> tuple[Array, ...]:
    """Return F(y), G(x), F(G(x)) and G(F(y)) of a model with G, `to_y`, and F, `to_x`."""
    fake_x, fake_y = model.to_x(y), model.to_y(x)
    return fake_x, fake_y, model.to_x(fake_y), model.to_y(fake_x)


def translate(model: Trained, true: Images) -> Images:
    """Return translations into each domain, by its name, and cycle reconstructions, by "cycle_" and
    its name.
    """
    x, y = true
    rows = range(0, len(true[x]), BATCH)
    parts = [model(cycle, true[x][i : i + BATCH], true[y][i : i + BATCH]) for i in rows]
    names = (x, y, f"cycle_{x}", f"cycle_{y}")
    return {
        name: np.concatenate(part)
        for name, part in zip(names, zip(*parts, strict=True), strict=True)
    }


def grids(true: Images, made: Images) -> dict[str, np.ndarray]:
    """Return a picture for each domain, whose rows show an image, its translation, its cycle
    reconstruction and the ground truth: uint8 [h, w, 3].
    """
    pictures = {}
    for name, other in _directions(true):
        # [n, 4, h, w, 3]
        rows = np.stack([true[name], made[other], made[f"cycle_{name}"], true[other]], 1)
        pixels = 0.5 * (rows.reshape(-1, *rows.shape[2:]) + 1)
        pictures[f"samples_of_{name}s"] = images.grid(pixels, columns=4)
    return pictures


def check_side(side: int, feature_images: int) -> None:
    """Raise UserError if LPIPS is to be computed and images of this side are too small for it."""
    if feature_images and side < (least := NETWORKS["alex"].least):
        raise UserError(
            f"side is {side}; LPIPS needs {least} pixels: give as many, or --feature-images 0."
        )


def compare(
    true: Images, made: Images, *, feature_images: int, paired: bool = True
) -> dict[str, Measure]:
    """Return measures of the output of `translate`, and of the untranslated images as identity
    baseline.

    At most `feature_images` images are passed to pretrained networks. Translations are compared
    with their partners if these are known (`paired`), and always as sets.
    """
    count = len(next(iter(true.values())))
    some = np.linspace(0, count - 1, min(feature_images, count)).astype(int)
    features = {
        name: resnet.features(image[some]) for name, image in true.items() if feature_images
    }

    def compared(image: np.ndarray, name: str, seen: np.ndarray | None) -> dict[str, Measure]:
        """Compare these images with those of a domain; `seen` holds features of some."""
        found: dict[str, Measure] = {}
        if paired:
            values = ssim.to_partners(127.5 * (image + 1), 127.5 * (true[name] + 1), span=255)
            found |= {kind: Measure(value, TO_PARTNERS[kind]) for kind, value in values.items()}
        if paired and feature_images:
            distance = lpips(image[some], true[name][some]).mean()
            found["lpips_alex"] = Measure(distance, f"{LPIPS}, {SOME}")
        if seen is not None:
            sets = feature_distances.distances(seen, features[name], resnet.NAME, resnet.TITLE)
            found |= {kind: Measure(value, f"{value.unit}; {SOME}") for kind, value in sets.items()}
        return found

    measures = {
        "test/places": Measure(count, "images of each domain"),
        "test/perceived": Measure(len(some), "of them passed to pretrained networks"),
    }
    for name, other in _directions(true):
        error = 127.5 * float(np.abs(made[f"cycle_{name}"] - true[name]).mean())
        unit = f"{ERROR}; cycle reconstruction, {name} to {other} to {name}"
        measures[f"test/cycle_{name}"] = Measure(error, unit)
        seen = resnet.features(made[name][some]) if feature_images else None
        for kind, value in compared(made[name], name, seen).items():
            unit = f"{value.unit}; of {name} translated from {other}"
            measures[f"test/{kind}_{name}"] = Measure(value, unit)
        for kind, value in compared(true[other], name, features.get(other)).items():
            unit = f"{value.unit}; identity baseline: untranslated {other} in place of {name}"
            measures[f"test/{kind}_{name}_untranslated"] = Measure(value, unit)
    return measures


def _directions(true: Images) -> tuple[tuple[str, str], tuple[str, str]]:
    x, y = true
    return (x, y), (y, x)


def pairing(atoms: Atoms, moved: Array) -> dict[str, Measure]:
    """Identify the pairing of atoms of a map that moves those of x to these positions: [k, 2]."""
    found = atoms.scores(moved)
    return {f"test/{name}": Measure(value, PAIRING[name]) for name, value in found.items()}


def scatter(atoms: Atoms, to_y: Callable[[np.ndarray], Array]) -> np.ndarray:
    """Plot where a map moves the points around each atom of x, one colour per atom: uint8
    [h, w, 3].
    """
    train, _ = atoms.arrays()
    counts = len(train["x"]) // sum(atoms.masses) * np.array(atoms.masses)
    labels = np.repeat(np.arange(len(atoms.masses)), counts)
    return images.scatter(to_y(train["x"]), labels, reach=1.5)
