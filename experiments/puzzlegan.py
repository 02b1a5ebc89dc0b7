"""Unsupervised Holistic Image Generation from Key Local Patches.

Donghoon Lee, Sangdoo Yun, Sungjoon Choi, Hwiyeon Yoo, Ming-Hsuan Yang, Songhwai Oh. ECCV 2018.
arXiv:1703.10730

Replicated: an image from three key patches without their positions: the part encoder, whose
features are summed over patches; the mask of their positions; the doubled U-net that draws the
image; hard negatives for the discriminator, those of the released code or also those that it omits;
weights that decrease during training. Patches of real images are the best three EdgeBoxes of medium
size and shape (pip install -e '.[proposals]'), or read from a file.

Not replicated: cars and other photographs, which no package distributes; the authors' limits on
sizes and shapes. No table was available; drawn shapes have known ground truth. All patches share
one batch norm, not one each; PyTorch's running variance is n / (n - 1) of ours.

Cost: `quick` takes 5 to 6 minutes of a CPU core. `emoji_quick` takes 18 on a shared core and is too
short: colours match the patches, masks stay below 1/2 (IoU 0.001). Others were not timed.
Run: python -m experiments.puzzlegan quick
"""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Natural, Positive, Run
from gen_jax.data import key_patches
from gen_jax.errors import UserError
from gen_jax.evaluation import key_patches as measures
from gen_jax.losses import accuracy, bce_fake, bce_real
from gen_jax.networks.unet import Decoder, Encoder
from gen_jax.optimizers import Adam

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: PuzzleGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G)) - log(1 - D(mix)), with a mix of two images."""
    x, mask = batch["x"], batch["mask"]
    fake, _ = model.draw(batch["patch"], key)
    other = jnp.roll(x, 1, 0)
    mixes = [mix(mask, other, x), mix(mask, x, other)]
    if config.negatives == "all":
        mixes += [mix(mask, fake, x), mix(mask, x, fake)]
    real_logits, fake_logits = model.logits(x), model.logits(fake)
    loss = bce_real(real_logits) + bce_fake(fake_logits)
    loss += sum(bce_fake(model.logits(image)) for image in mixes)
    return loss, {"accuracy": accuracy(real_logits, fake_logits)}


def mix(mask: Array, inside: Array, outside: Array) -> Array:
    """Combine one image inside the mask with another outside."""
    return mask * inside + (1 - mask) * outside


def generator_loss(
    model: PuzzleGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(G) + lambda (sum |m - M| + sum |m G - M x|): realism, positions and appearance."""
    fake, logits = model.draw(batch["patch"], key)
    mask = nn.sigmoid(logits)
    spatial = jnp.abs(mask - batch["mask"]).sum()
    appearance = jnp.abs(mask * fake - batch["mask"] * batch["x"]).sum()
    realism = bce_real(model.logits(fake))
    loss = realism + weight(config, batch["step"]) * (spatial + appearance)
    return loss, {"realism": realism, "spatial": spatial, "appearance": appearance}


def weight(config: Config, step: Array) -> Array:
    """lambda in the epoch of a step: []."""
    logs = np.linspace(np.log(config.first_weight), np.log(config.last_weight), config.epochs)
    epoch = jnp.minimum(step * config.epochs // config.steps, config.epochs - 1)
    return jnp.exp(jnp.asarray(logs, jnp.float32))[epoch]


def players(config: Config) -> dict[str, Player]:
    """The discriminator, and every n_critic-th step the generator with encoder and mask."""
    adam, steps, n = config.adam, config.steps, config.n_critic
    d_loss = partial(discriminator_loss, config=config)
    g_loss = partial(generator_loss, config=config)
    return {
        "discriminator": Player(("discriminator",), d_loss, adam.over(steps)),
        "generator": Player(("encoder", "mask", "generator"), g_loss, adam.over(steps, n), every=n),
    }


# Networks and data --------------------------------------------------------------------------------


class PuzzleGAN(nn.Module):
    """The part encoder, the two halves of the generator, and the discriminator."""

    latents: int  # of z
    encoder: nn.Module
    mask: nn.Module
    generator: nn.Module
    discriminator: nn.Module

    def draw(self, patch: Array, key: Key) -> tuple[Array, Array]:
        """Patches [b, k, s, s, c] -> images [b, s, s, c] and logits of masks [b, s, s, 1].

        They do not depend on the order of the patches.
        """
        b, k = patch.shape[:2]
        *maps, code = self.encoder(patch.reshape(b * k, *patch.shape[2:]))
        features = (*maps, nn.leaky_relu(code, 0.2))
        *maps, code = (x.reshape(b, k, *x.shape[1:]).sum(1) for x in features)
        maps, mask = self.mask(code, maps)
        z = jax.random.uniform(key, (b, 1, 1, self.latents), minval=-1, maxval=1)
        return nn.tanh(self.generator(jnp.concatenate([code, z], -1), maps)[1]), mask

    def logits(self, x: Array) -> Array:
        """Logits of the discriminator for images: [b, s, s, c] -> [b]."""
        return self.discriminator(x)[-1].ravel()


def model(config: Config) -> PuzzleGAN:
    """At 64 pixels, the same weights, biases and batch norms as in the released code."""
    halvings = config.side.bit_length() - 3  # down to 4 x 4 pixels
    widths = tuple(config.width * 2 ** min(3, i) for i in range(halvings))
    encoder, discriminator = Encoder(widths, config.latents), Encoder(widths, 1)
    return PuzzleGAN(config.latents, encoder, Decoder(widths, 1), Decoder(widths, 3), discriminator)


def source(config: Config) -> Source:
    """Images "x" [b, s, s, 3] in [-1, 1], "patch" [b, 3, s, s, 3] and "mask" [b, s, s, 1]."""
    if config.data == "shapes":
        return key_patches.of_shapes(config.count, config.side)
    boxes = key_patches.File(config.boxes, config.boxes_side) if config.boxes else None
    square = key_patches.Square(config.crop, config.side)
    return key_patches.of_images(config.data, square, boxes, config.count, config.run.data)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: str = "shapes"  # drawn shapes, or a set of colour images: emoji, cifar10, tfds:celeb_a
    crop: Natural = 0  # side in pixels of the central square; 0 for the largest
    boxes: Path | None = None  # a file of key patches in the authors' format; none: from edges
    boxes_side: Positive = 128  # side in pixels of the images of --boxes; 1 if boxes are fractions
    side: Literal[16, 32, 64, 128] = 64  # side in pixels of images and of enlarged patches
    width: Count = 64  # channels of the largest maps, doubled at half the side, up to 8 times
    latents: Count = 128  # dimensions of z, from U(-1, 1), and of the patch features
    # mixes of two real images, as in the released code; or all, also of real and generated images
    negatives: Literal["released", "all"] = "released"
    first_weight: Positive = 1e-2  # lambda in the first epoch; errors are summed over the batch
    last_weight: Positive = 1e-4  # lambda in the last epoch; log-linear in between
    n_critic: Count = 2  # discriminator updates per generator update
    adam: Adam = Adam(2e-4, b1=0.5)
    batch_size: Count = 64  # images in a batch
    count: Count = 50_000  # maximum number of training images
    epochs: Count = 25  # number of decreases of lambda
    steps: Count = 19_525  # batches: 25 epochs
    run: Run = Run()

    RENAMED: ClassVar = {
        "every": "n_critic",
        "b1": "adam.b1",
        "learning_rate": "adam.learning_rate",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < self.epochs:
            raise UserError(
                f"steps is {self.steps}, epochs {self.epochs}; give at least one step per epoch."
            )


FACES = Config(data="tfds:celeb_a", crop=108, count=162_770, steps=63_575, negatives="all")
PRESETS = {
    "paper": ("64x64, all mixes are negatives; 25 epochs; for a GPU", Config(negatives="all")),
    "official": ("64x64, the negatives of the released code; 25 epochs; for a GPU", Config()),
    "faces": ("CelebA, prepared by TFDS, 64x64; 25 epochs; for a GPU", FACES),
}

# Evaluation ---------------------------------------------------------------------------------------

CLAIMS: dict[str, Claim] = {}  # no table was available


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Accuracy of the positions of patches, and differences from the true images."""
    return measures.evaluate(model.draw, data, key)


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Rows of patches of a test image, the generated mask and image, and the true image."""
    return {"samples": measures.grid(model.draw, data, key)}


if __name__ == "__main__":
    cli(__spec__)
