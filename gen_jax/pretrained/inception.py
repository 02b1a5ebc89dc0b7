"""The Inception-v3 of the Frechet inception distance, with weights from the user.

Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016; Heusel et al.
GANs Trained by a Two Time-Scale Update Rule. NIPS 2017. TensorFlow's graph of 2015-12-05 has 1008
outputs. Its average pooling excludes the padding, and its last block uses max pooling instead. No
package distributes its weights. $GEN_JAX_INCEPTION names a safetensors file with the array names of
PyTorch ports (pt_inception-2015-12-05-6726825d.pth, loaded there with weights_only=True and saved
again). The hash of the weights is part of the name of every metric computed with them.
"""

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import linen as nn
from numpy.typing import ArrayLike
from safetensors import numpy as stored

from gen_jax.batching import by_chunks
from gen_jax.errors import DataError
from gen_jax.images import to_uint8
from gen_jax.pretrained.weights import digest
from gen_jax.types import Array

VARIABLE = "GEN_JAX_INCEPTION"
CONVENTION = "2048 features; 8-bit images, resized to 299 x 299 as in TensorFlow 1 (bilinear, corners not aligned)"
SIDE = 299  # side in pixels to which images are resized
CHUNK = 16  # images per forward pass
EPS = 1e-3  # of batch norm
NORM = ("weight", "bias", "running_mean", "running_var")

# Each layer is name=HEIGHTxWIDTHxFEATURES. The chains of a block are parallel branches; + joins
# layers with the same input. The chain `_pool` starts with pooling; a block without it halves the
# sides.
STEM = "1a_3x3=3x3x32 2a_3x3=3x3x32 2b_3x3=3x3x64 3b_1x1=1x1x80 4a_3x3=3x3x192"
FINE = "1x1=1x1x64; 5x5_1=1x1x48 5x5_2=5x5x64; 3x3dbl_1=1x1x64 3x3dbl_2=3x3x96 3x3dbl_3=3x3x96; _pool=1x1x{}"
MIDDLE = (
    "1x1=1x1x192; 7x7_1=1x1x{0} 7x7_2=1x7x{0} 7x7_3=7x1x192; 7x7dbl_1=1x1x{0} 7x7dbl_2=7x1x{0} "
    "7x7dbl_3=1x7x{0} "
    "7x7dbl_4=7x1x{0} 7x7dbl_5=1x7x192; _pool=1x1x192"
)
COARSE = (
    "1x1=1x1x320; 3x3_1=1x1x384 3x3_2a=1x3x384+3x3_2b=3x1x384; "
    "3x3dbl_1=1x1x448 3x3dbl_2=3x3x384 3x3dbl_3a=1x3x384+3x3dbl_3b=3x1x384; _pool=1x1x192"
)
BLOCKS = {
    "Mixed_5b": FINE.format(32),
    "Mixed_5c": FINE.format(64),
    "Mixed_5d": FINE.format(64),
    "Mixed_6a": "3x3=3x3x384; 3x3dbl_1=1x1x64 3x3dbl_2=3x3x96 3x3dbl_3=3x3x96",
    "Mixed_6b": MIDDLE.format(128),
    "Mixed_6c": MIDDLE.format(160),
    "Mixed_6d": MIDDLE.format(160),
    "Mixed_6e": MIDDLE.format(192),
    "Mixed_7a": "3x3_1=1x1x192 3x3_2=3x3x320; 7x7x3_1=1x1x192 7x7x3_2=1x7x192 7x7x3_3=7x1x192 7x7x3_4=3x3x192",
    "Mixed_7b": COARSE,
    "Mixed_7c": COARSE,
}

Layer = tuple[str, tuple[int, ...]]  # its name; height, width, features
# kernel [h, w, in, out] and bias of each layer, with batch norm folded in
Params = Mapping[str, tuple[Array, Array]]


class Inception(NamedTuple):
    """The network with one set of weights."""

    name: str  # includes the hash of the weights; part of the names of metrics
    params: Params

    def features(self, images: ArrayLike) -> np.ndarray:
        """Return features of images of any size, uint8 or in [-1, 1], rounded to 8 bits:
        [n, h, w, 3] -> float32 [n, 2048].
        """
        return self.see(images)[0]

    def see(self, images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return the features, and logits without their bias for the Inception score: float32
        [n, 2048], [n, 1008].
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
            raise DataError(
                f"Images have shape {list(images.shape)}, but must be [n, h, w, 3]: repeat grey "
                "ones."
            )
        if images.dtype != np.uint8 and not (np.abs(images) <= 1.001).all():
            raise DataError("Some pixels are not in [-1, 1] and not uint8: rescale them.")
        return by_chunks(lambda some: seen(self.params, some), to_uint8(images, low=-1), size=CHUNK)


def chains(prefix: str, table: str) -> list[list[list[Layer]]]:
    """Return chains of stages, each of one layer or of two parallel layers."""
    layers = re.compile(r"(\w+)=(\d+)x(\d+)x(\d+)")
    return [
        [
            [(prefix + name, tuple(map(int, size))) for name, *size in layers.findall(stage)]
            for stage in chain.split()
        ]
        for chain in table.split(";")
    ]


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays, by PyTorch's names; its kernels are [out, in, h, w]."""
    found, features = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}, 3
    for prefix, table in (
        ("Conv2d_", STEM),
        *((f"{name}.branch", table) for name, table in BLOCKS.items()),
    ):
        entering, features = features, 0 if "pool" in table or prefix == "Conv2d_" else features
        for chain in chains(prefix, table):
            inputs = entering
            for stage in chain:
                for name, (*size, outputs) in stage:
                    found[f"{name}.conv.weight"] = (outputs, inputs, *size)
                    found |= {f"{name}.bn.{part}": (outputs,) for part in NORM}
                inputs = sum(outputs for _, (_, _, outputs) in stage)
            features += inputs
    return found


def conv(params: Params, name: str, x: Array, *, stride: int = 1, padding: str = "SAME") -> Array:
    """A layer: a convolution and its ReLU."""
    kernel, bias = params[name]
    numbers, exact = ("NHWC", "HWIO", "NHWC"), jax.lax.Precision.HIGHEST
    x = jax.lax.conv_general_dilated(
        x, kernel, (stride,) * 2, padding, dimension_numbers=numbers, precision=exact
    )
    return nn.relu(x + bias[None, None, None])


def mixed(params: Params, block: str, x: Array) -> Array:
    """Apply a block: the concatenated outputs of its chains and, if it halves the sides, of max
    pooling.
    """
    found, halving = [], "pool" not in BLOCKS[block]
    for chain in chains(f"{block}.branch", BLOCKS[block]):
        y = x
        if chain[0][0][0].endswith("pool"):
            pool = (
                nn.max_pool
                if block == "Mixed_7c"
                else functools.partial(nn.avg_pool, count_include_pad=False)
            )
            y = pool(y, (3, 3), (1, 1), "SAME")
        for i, stage in enumerate(chain, 1):
            options: Any = {"stride": 2, "padding": "VALID"} if halving and i == len(chain) else {}
            y = jnp.concatenate([conv(params, name, y, **options) for name, _ in stage], -1)
        found.append(y)
    return jnp.concatenate([*found, *([nn.max_pool(x, (3, 3), (2, 2))] if halving else [])], -1)


def prepared(images: Array) -> Array:
    """Resize as in TensorFlow 1: 0..255, any size -> [-1, 1): [n, h, w, 3] -> [n, 299, 299, 3]."""
    rows, columns = (_resizing(side) for side in images.shape[1:3])
    x = jnp.einsum("ih,jw,nhwc->nijc", rows, columns, images, precision=jax.lax.Precision.HIGHEST)
    return (x - 128) / 128


def _resizing(side: int) -> np.ndarray:
    """Return the resizing matrix: pixel i of the result is at i side / 299, interpolated between
    two pixels, and the last pixel is repeated: [299, side].
    """
    rows, places = np.arange(SIDE), np.arange(SIDE, dtype=np.float32) * np.float32(side / SIDE)
    below, matrix = places.astype(int), np.zeros((SIDE, side), np.float32)
    matrix[rows, below] = 1 - (places - below)
    matrix[rows, np.minimum(below + 1, side - 1)] += places - below
    return matrix


@jax.jit
def seen(params: Params, images: Array) -> tuple[Array, Array]:
    """Return features, and the logits of the 1008 classes without their bias: [n, h, w, 3]
    -> [n, 2048], [n, 1008].
    """
    x = conv(params, "Conv2d_1a_3x3", prepared(images), stride=2, padding="VALID")
    x = conv(params, "Conv2d_2a_3x3", x, padding="VALID")
    x = nn.max_pool(conv(params, "Conv2d_2b_3x3", x), (3, 3), (2, 2))
    x = conv(params, "Conv2d_4a_3x3", conv(params, "Conv2d_3b_1x1", x), padding="VALID")
    x = nn.max_pool(x, (3, 3), (2, 2))
    for block in BLOCKS:
        x = mixed(params, block, x)
    x = x.mean((1, 2))
    return x, jnp.matmul(x, params["fc"][0], precision=jax.lax.Precision.HIGHEST)


def load_if_configured() -> Inception | None:
    """Return the network with the weights that $GEN_JAX_INCEPTION names, or None if it is unset."""
    return given() if os.environ.get(VARIABLE) else None


def given(path: str | Path | None = None) -> Inception:
    """Return the network with the weights in this file, or else in the file that $GEN_JAX_INCEPTION
    names.
    """
    path = path or os.environ.get(VARIABLE)
    if not path:
        raise DataError(
            f"No weights of Inception are given: set ${VARIABLE} to their file (see {__name__})."
        )
    return _read(Path(path).absolute())


@functools.lru_cache(1)
def _read(path: Path) -> Inception:
    try:
        found = stored.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): give weights of Inception as safetensors."
        ) from error
    arrays = {}
    for name, shape in shapes().items():
        array = found.get(name)
        if (
            array is None
            or array.shape != shape
            or array.dtype != np.float32
            or not np.isfinite(array).all()
        ):
            what = (
                "is missing"
                if array is None
                else f"is {array.dtype}{list(array.shape)}, perhaps not finite"
            )
            raise DataError(
                f"In {path} the array {name} {what}, but it must be finite float32{list(shape)}: "
                "give the weights of "
                "the Inception of 2015-12-05, which has 1008 classes."
            )
        arrays[name] = array
    params = {
        name.removesuffix(".conv.weight"): _folded(arrays, name)
        for name in arrays
        if ".conv." in name
    }
    params["fc"] = arrays["fc.weight"].T, arrays["fc.bias"]
    return Inception(f"inception-{digest(arrays)[:8]}", jax.device_put(params))


def _folded(arrays: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel [h, w, in, out] and bias of a layer, with batch norm folded in."""
    weight, bias, mean, variance = (
        arrays[f"{name.removesuffix('.conv.weight')}.bn.{part}"].astype(np.float64) for part in NORM
    )
    scale = weight / np.sqrt(variance + EPS)
    kernel = arrays[name].transpose(2, 3, 1, 0) * scale
    return kernel.astype(np.float32), (bias - mean * scale).astype(np.float32)
