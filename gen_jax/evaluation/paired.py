"""How good translations between two domains are, where the truth is known: each image has a partner in the other.

Images are [n, h, w, 3] in [-1, 1], by the names of their domains; partners stand in the same rows.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_jax import images
from gen_jax.errors import UserError
from gen_jax.evaluation import feature_distances, ssim
from gen_jax.game import Trained
from gen_jax.pretrained import resnet
from gen_jax.pretrained.lpips import NETWORKS, lpips
from gen_jax.types import Array

BATCH = 32
Images = Mapping[str, np.ndarray]

NEAREST = "% whose true image is the nearest"
ERROR = "mean absolute error, of 255"
TO_PARTNERS = {
    "l1": ERROR,
    "ssim": "structural similarity",
    "top_1": NEAREST,
    "top_5": NEAREST + " 5",
}
PERCEIVED = {
    "lpips_alex": "LPIPS 0.1, by AlexNet, as many as test/perceived",
    **{
        name: f"{unit}; as many as test/perceived"
        for name, unit in feature_distances.units(resnet.NAME, resnet.TITLE).items()
    },
}
PAIRING = {  # what Atoms.judged gives
    "fits": "1 if the atoms go one to one to atoms of their mass",
    "true_pairing": "1 if each atom goes to its partner",
    "chance": "of the true pairing, if all that fit were equally likely",
    "distance": "of the atoms, moved, to the nearest atoms; the circle has radius 1",
}
FROM = {"": "of the {0} made from the {1}", "_untranslated": "of the {1} as it is, beside the {0}"}


def there_and_back(model: Any, x: Array, y: Array) -> tuple[Array, ...]:
    """F(y), G(x), F(G(x)) and G(F(y))"""
    fake_x, fake_y = model.to_x(y), model.to_y(x)
    return fake_x, fake_y, model.to_x(fake_y), model.to_y(fake_x)


def translated(model: Trained, true: Images) -> Images:
    """What a model with G, `to_y`, and F, `to_x`, makes of images of its domains x and y, and the ways back.

    By domain, and by "cycle_" and the domain.
    """
    x, y = true
    rows = range(0, len(true[x]), BATCH)
    parts = [model(there_and_back, true[x][i : i + BATCH], true[y][i : i + BATCH]) for i in rows]
    names = (x, y, f"cycle_{x}", f"cycle_{y}")
    return {
        name: np.concatenate(part)
        for name, part in zip(names, zip(*parts, strict=True), strict=True)
    }


def pages(true: Images, made: Images) -> dict[str, np.ndarray]:
    """Of each domain a picture whose rows are an image, its translation, the way back, and the truth."""
    shown = {}
    for name, other in (tuple(true), tuple(true)[::-1]):
        rows = np.stack(
            [true[name], made[other], made[f"cycle_{name}"], true[other]], 1
        )  # [n, 4, h, w, 3]
        shown[f"samples_of_{name}s"] = images.grid(
            0.5 * (rows.reshape(-1, *rows.shape[2:]) + 1), columns=4
        )
    return shown


def check_side(side: int, perceived: int) -> None:
    """Images that LPIPS can see, if any."""
    if perceived and side < (least := NETWORKS["alex"].least):
        raise UserError(
            f"side is {side}; LPIPS needs {least} pixels: give as many, or --perceived 0."
        )


def judged(true: Images, made: Images, *, perceived: int, paired: bool = True) -> dict[str, float]:
    """What was made by `translated`, beside the partners; and beside each measure, what it is where nothing is done.

    So many images at most are seen through pretrained networks. Where nothing is known to be a pair, sets are compared.
    """
    count = len(next(iter(true.values())))
    some = np.linspace(0, count - 1, min(perceived, count)).astype(int)
    metrics = {"places": float(count), "perceived": float(len(some))}
    features = (
        {name: resnet.features(image[some]) for name, image in true.items()} if perceived else {}
    )
    for name, other in (tuple(true), tuple(true)[::-1]):
        metrics[f"cycle_{name}"] = 127.5 * float(np.abs(made[f"cycle_{name}"] - true[name]).mean())
        for which, image in (("", made[name]), ("_untranslated", true[other])):
            found: dict[str, float] = {}
            if paired:
                found |= ssim.to_partners(127.5 * (image + 1), 127.5 * (true[name] + 1), span=255)
            if paired and perceived:
                found["lpips_alex"] = float(lpips(image[some], true[name][some]).mean())
            if perceived:
                seen = features[other] if which else resnet.features(image[some])
                found |= feature_distances.distances(seen, features[name], resnet.NAME)
            metrics |= {f"{kind}_{name}{which}": value for kind, value in found.items()}
    return metrics


def units(a: str, b: str, *, paired: bool = True) -> dict[str, str]:
    """What each of these numbers means, for two domains of these names, and for atoms."""
    kinds = TO_PARTNERS | PERCEIVED
    kinds = (
        kinds
        if paired
        else {kind: unit for kind, unit in PERCEIVED.items() if kind != "lpips_alex"}
    )
    return {
        **{
            f"test/{kind}_{name}{which}": f"{unit}; {whose.format(name, other)}"
            for name, other in ((a, b), (b, a))
            for which, whose in FROM.items()
            for kind, unit in kinds.items()
        },
        **{
            f"test/cycle_{name}": f"{ERROR}; {name} to {other} and back"
            for name, other in ((a, b), (b, a))
        },
        "test/places": "images of either domain",
        "test/perceived": "of them seen through pretrained networks",
        **{f"test/{name}": unit for name, unit in PAIRING.items()},
    }
