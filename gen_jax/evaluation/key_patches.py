"""Evaluation of images that are drawn from key patches: the placement of the patches and the drawn
image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import images
from gen_jax.data import pipeline
from gen_jax.data.pipeline import Data
from gen_jax.data.synthetic import shapes
from gen_jax.evaluation import masks
from gen_jax.types import Array, Batch, Key, Measure

# (patches [b, k, s, s, c], key) -> images [b, s, s, c] in [-1, 1] and logits of masks [b, s, s, 1]
Draw = Callable[[Array, Key], tuple[Array, Array]]

UNITS = {
    "mask_iou": "intersection over union of the mask (above 1/2) and the true patch positions",
    "centre_error": "pixels, between the centres of the mask and of the true patch positions",
    "patch_error": "mean absolute error at the true patch positions, of pixels in [0, 1]",
    "image_error": "mean absolute error of the whole image, of pixels in [0, 1]",
    "shape_accuracy": "% of images in which the true shape is recognised",
    "colour_accuracy": "% of images in which the true colour is recognised",
    "order_difference": "largest change when the patches are reordered, of pixels in [0, 1]",
}


def evaluate(draw: Draw, data: Data, key: Key) -> dict[str, Measure]:
    """Return the means of `measures` over the test images, and the largest "order_difference"."""
    parts = []
    for batch, noise in pipeline.batches(data.test, data.prepare, key, batch_size=100):
        fake, logits = draw(batch["patch"], noise)
        reordered, _ = draw(batch["patch"][:, ::-1], jax.random.clone(noise))  # the same latents
        parts.append(jax.device_get(measures(batch, fake, logits, reordered)))
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {
        f"test/{name}": Measure(v.max() if name == "order_difference" else v.mean(), UNITS[name])
        for name, v in values.items()
    }


@jax.jit
def measures(batch: Batch, fake: Array, logits: Array, reordered: Array) -> dict[str, Array]:
    """Measure each drawing [b, s, s, 3], by the names in UNITS: [b]. Shape and colour are only for
    the shapes data.
    """
    mask, placed = batch["mask"][..., 0], logits[..., 0] > 0
    error = jnp.abs(fake - batch["x"]).mean(-1) / 2
    found = {
        "mask_iou": masks.overlap(placed, mask > 0),
        "centre_error": masks.distance(placed, mask),
        "patch_error": (error * mask).sum((1, 2)) / mask.sum((1, 2)),
        "image_error": error.mean((1, 2)),
        "order_difference": jnp.abs(fake - reordered).max((1, 2, 3)) / 2,
    }
    if "shape" not in batch:
        return found
    scene = shapes.read((fake + 1) / 2)
    found["shape_accuracy"] = 100.0 * (scene.shape == batch["shape"])
    found["colour_accuracy"] = 100.0 * (scene.colour == batch["colour"])
    return found


def grid(draw: Draw, data: Data, key: Key) -> np.ndarray:
    """Draw 20 test images: the patches, the drawn mask and image, and the true image: uint8
    [h, w, 3].
    """
    some = pipeline.spread(data.test, 20)
    (batch, noise), *_ = pipeline.batches(some, data.prepare, key, batch_size=20)
    fake, logits = draw(batch["patch"], noise)
    mask = jnp.broadcast_to(2 * nn.sigmoid(logits) - 1, fake.shape)
    # [20, 6, s, s, 3]
    rows = jnp.concatenate([batch["patch"], jnp.stack([mask, fake, batch["x"]], 1)], 1)
    return images.grid(images.to_uint8(rows.reshape(-1, *fake.shape[1:]), low=-1), columns=12)
