"""Unsupervised Holistic Image Generation from Key Local Patches.

Donghoon Lee, Sangdoo Yun, Sungjoon Choi, Hwiyeon Yoo, Ming-Hsuan Yang, Songhwai Oh. ECCV 2018. arXiv:1703.10730

Replicated: an image from three key patches without their places: the part encoder, whose features of all patches are
summed; the mask that says where they go; the doubled U-net that draws the image; the discriminator with the hard
negatives of the released code, and with those mixes too that it leaves out; weights that fall over training. Patches of
real images are EdgeBoxes, the best three of middling size and shape (pip install 'gen_jax[proposals]'), or a file's.

Not replicated: cars and other photographs, which no package carries; which sizes and shapes the authors leave out. Of
drawn shapes all is known to the pixel. No table could be read. All patches go through one batch norm, not one each;
PyTorch's running variance is the unbiased one, n / (n - 1) of ours.

Cost: `quick` takes 5 to 6 minutes of a CPU core. `emoji_quick` took 18 of one that did much else, and is too short:
colours are those of the patches, the masks stay below 1/2 (intersection over union 0.001). The others are not timed.

Run: python -m experiments.puzzlegan quick
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import images, losses
from gen_jax.config import Checked, Count, Fraction, Natural, Positive, Run
from gen_jax.data import key_patches, pipeline
from gen_jax.data.augmentation import crop_and_resize, resized
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.data.synthetic import shapes
from gen_jax.errors import UserError
from gen_jax.evaluation import masks
from gen_jax.game import Player, Trained
from gen_jax.networks.unet import Doubling, Halving
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

TEST = 1000  # images, at most
RADIUS, BOX = 0.6, 0.35  # of a shape, and half of a patch's side, in a plane of side 2

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: str = "shapes"
    """Drawn shapes, or a set of colour images by name: emoji, cifar10, tfds:celeb_a."""
    crop: Natural = 0
    """Pixels of an image's middle that are kept either way; 0: its largest square."""
    boxes: Path | None = None
    """A file of key patches, of the authors' format; without one they are proposed by the edges that they enclose."""
    boxes_side: Positive = 128
    """Of the image in whose pixels they are in that file; 1 if they are shares of it."""
    side: Literal[16, 32, 64, 128] = 64
    """Pixels of an image, and of a patch once it is enlarged."""
    width: Count = 64
    """Channels of the largest maps; they double whenever the side is halved, up to 8 times as many."""
    latents: Count = 128
    """z, from U(-1, 1); and as many features of the patches."""
    negatives: Literal["released", "all"] = "released"
    """Mixes of two real images alone, or mixes of real and generated images too, which the code computes and leaves."""
    first_weight: Positive = 1e-2
    """Of the mask's and the patches' errors, summed over pixels and images, in the first epoch."""
    last_weight: Positive = 1e-4
    """In the last; log-linearly between."""
    every: Count = 2
    """The generator plays once in so many steps."""
    learning_rate: Positive = 2e-4
    """Adam's."""
    b1: Fraction = 0.5
    """Adam's decay of the first moment."""
    batch_size: Count = 64
    """Images in a batch."""
    count: Count = 50_000
    """Images in the training set, at most."""
    epochs: Count = 25
    """Over which the weights fall."""
    steps: Count = 19_525
    """Batches: 25 epochs."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < self.epochs:
            raise UserError(
                f"steps is {self.steps}, epochs {self.epochs}; give at least a step to each epoch."
            )


FACES = Config(data="tfds:celeb_a", crop=108, count=162_770, steps=63_575, negatives="all")
EMOJI = Config(
    data="emoji", side=32, width=16, count=2979, epochs=30, steps=1380, run=Run(sample_every=230)
)
QUICK = Config(side=32, width=16, count=10_000, epochs=10, steps=1560, run=Run(sample_every=520))
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = Config(side=16, width=4, latents=8, count=100, batch_size=16, epochs=4, steps=40, run=OFTEN)

PRESETS = {
    "paper": ("64x64, all mixes are negatives; 25 epochs; for a GPU", Config(negatives="all")),
    "official": ("64x64, the released code's negatives; 25 epochs; for a GPU", Config()),
    "faces": ("CelebA, which TFDS must have prepared, 64x64; 25 epochs; for a GPU", FACES),
    "quick": ("32x32, a quarter as wide, 10 epochs; 5 minutes of a core", QUICK),
    "emoji_quick": ("emoji, 32x32, a quarter as wide, 30 epochs; for a CPU", EMOJI),
    "tiny": ("16x16; seconds, for tests", TINY),
}
CLAIMS: dict[str, Claim] = {}
UNITS = {
    "test/mask_iou": "intersection over union of the mask (above 1/2) and the patches' true places",
    "test/centre_error": "pixels, from the middle of the mask to that of the true places",
    "test/patch_error": "of pixels in [0, 1], mean absolute, where the patches truly are",
    "test/image_error": "of pixels in [0, 1], mean absolute, all of the image",
    "test/shape_accuracy": "% of images in which the true shape is read back",
    "test/colour_accuracy": "% of images in which the true colour is read back",
    "test/order_difference": "of pixels in [0, 1], the largest change where the patches come in another order",
}

# Data -----------------------------------------------------------------------------------------------------------------


def source(config: Config) -> Source:
    """Shapes in the middle, at any angle, with their three corners as patches; or real images with theirs."""
    shown = {
        "image": ((config.side, config.side, 3), "uint8"),
        "box": ((key_patches.COUNT, 4), "float32"),
    }
    fields, ready = None if config.data == "shapes" else shown, functools.partial(prepare, config)
    return Source(config.data, ready, arrays=functools.partial(arrays, config), fields=fields)


def arrays(config: Config) -> tuple[Arrays, Arrays]:
    """What `count` images to train on and 1000 to test are made of, always the same."""
    if config.data != "shapes":
        found, most = (
            key_patches.images(config.data, config.crop, config.run.data),
            (config.count, TEST),
        )
        if config.boxes:
            return key_patches.given(found, config.boxes, config.boxes_side, most)
        return key_patches.proposed(found, most, config.run.data)

    def drawn(n: int, key: Key) -> Arrays:
        scene = shapes.draw(key, n)._replace(centre=jnp.zeros((n, 2)), radius=jnp.full(n, RADIUS))
        return {name: np.asarray(factor) for name, factor in scene._asdict().items()}

    first, second = jax.random.split(jax.random.key(0))
    return drawn(config.count, first), drawn(TEST, second)


def prepare(config: Config, batch: Batch, key: Key) -> Batch:
    """ "x": images in [-1, 1]; "patch": [b, 3, side, side, 3], enlarged; "mask": where they are, [b, side, side, 1].

    The whole batch is mirrored, or it is not.
    """
    if config.data == "shapes":
        scene = shapes.Scene(*(batch[name] for name in shapes.Scene._fields))
        x, point = 2 * shapes.render(scene, config.side) - 1, shapes.corners(scene)
        first = (point * jnp.array([[[1.0, -1.0]]]) - BOX + 1) / 2
        box = jnp.concatenate([first, jnp.full_like(first, BOX)], -1)
    else:
        x, box = resized(batch["image"], config.side), batch["box"]
    mirrored = jax.random.bernoulli(key)
    x, box = (
        jnp.where(mirrored, x[:, :, ::-1], x),
        jnp.where(mirrored, key_patches.mirrored(box), box),
    )
    patches = jax.vmap(jax.vmap(patch, (None, 0)))(x, box)
    return {**batch, "x": x, "patch": patches, "mask": key_patches.mask(box, config.side)}


def patch(image: Array, box: Array) -> Array:
    """What is in a box (x, y, w, h), enlarged to the image's size: [s, s, c], [4] -> [s, s, c]."""
    side = len(image)
    return crop_and_resize(image, side * box[1::-1], side * box[:1:-1], side)


# Networks -------------------------------------------------------------------------------------------------------------


def widths(config: Config) -> tuple[int, ...]:
    """Channels of each halving, the largest maps first."""
    return tuple(config.width * 2 ** min(3, i) for i in range(config.side.bit_length() - 3))


class PuzzleGAN(nn.Module):
    """The part encoder, the two halves of the generator, and the discriminator."""

    latents: int
    encoder: nn.Module
    mask: nn.Module
    generator: nn.Module
    discriminator: nn.Module

    def draw(self, patch: Array, key: Key) -> tuple[Array, Array]:
        """[b, 3, s, s, c] -> images [b, s, s, c] in (-1, 1) and logits of masks [b, s, s, 1]; any order of patches."""
        b, n = patch.shape[:2]
        maps = self.encoder(patch.reshape(b * n, *patch.shape[2:]))
        *maps, code = (
            each.reshape(b, n, *each.shape[1:]).sum(1)
            for each in (*maps[:-1], nn.leaky_relu(maps[-1], 0.2))
        )
        beside, mask = self.mask(code, maps)
        z = jax.random.uniform(key, (b, 1, 1, self.latents), minval=-1, maxval=1)
        return nn.tanh(self.generator(jnp.concatenate([code, z], -1), beside)[1]), mask

    def judge(self, x: Array) -> Array:
        """Logits: [b]."""
        return self.discriminator(x)[-1].ravel()


def model(config: Config) -> PuzzleGAN:
    """As the released code has them at 64 pixels: weights, biases and batch norms are equal in number."""
    sizes = widths(config)
    networks = (
        Halving(sizes, config.latents),
        Doubling(sizes, 1),
        Doubling(sizes, 3),
        Halving(sizes, 1),
    )
    return PuzzleGAN(config.latents, *networks)


# Objectives -----------------------------------------------------------------------------------------------------------


def mixed(mask: Array, inside: Array, outside: Array) -> Array:
    """The one where the mask is, the other around it."""
    return mask * inside + (1 - mask) * outside


def telling(model: Any, batch: Batch, key: Key, *, negatives: str) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G)) - log(1 - D(mix)) for each mix: parts of one image in another, as real as they look."""
    x, mask = batch["x"], batch["mask"]
    fake, other = model.draw(batch["patch"], key)[0], jnp.roll(x, 1, 0)
    mixes = [mixed(mask, other, x), mixed(mask, x, other)]
    if negatives == "all":
        mixes += [mixed(mask, fake, x), mixed(mask, x, fake)]
    real, told = model.judge(x), model.judge(fake)
    loss = (
        losses.bce_real(real)
        + losses.bce_fake(told)
        + sum(losses.bce_fake(model.judge(mix)) for mix in mixes)
    )
    return loss, {"accuracy": losses.accuracy(real, told)}


def drawing(model: Any, batch: Batch, key: Key, *, weight: Any) -> tuple[Array, Metrics]:
    """-log D(G) + lambda sum |m - M| + lambda sum |m G - M x|: realism, where the patches are, and what is on them."""
    fake, logits = model.draw(batch["patch"], key)
    mask = nn.sigmoid(logits)
    spatial = jnp.abs(mask - batch["mask"]).sum()
    appearance = jnp.abs(mask * fake - batch["mask"] * batch["x"]).sum()
    realism = losses.bce_real(model.judge(fake))
    metrics = {"realism": realism, "spatial": spatial, "appearance": appearance}
    return realism + weight(batch["step"]) * (spatial + appearance), metrics


def players(config: Config) -> dict[str, Player]:
    """The discriminator, and every second step the generator with its encoder and mask."""
    adam = optax.adam(config.learning_rate, b1=config.b1)
    log_weights = np.linspace(
        np.log(config.first_weight), np.log(config.last_weight), config.epochs
    )

    def weight(step: Array) -> Array:
        epoch = jnp.minimum(step * config.epochs // config.steps, config.epochs - 1)
        return jnp.exp(jnp.asarray(log_weights, jnp.float32))[epoch]

    critic, artist = (
        functools.partial(telling, negatives=config.negatives),
        functools.partial(drawing, weight=weight),
    )
    return {
        "discriminator": Player(("discriminator",), critic, adam),
        "generator": Player(("encoder", "mask", "generator"), artist, adam, config.every),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Whether the patches are put where they were, and whether what is drawn around them is what was there."""
    found: list[dict[str, Any]] = []
    for batch, noise in pipeline.batches(data.test, data.prepare, key, batch_size=100):
        fake, logits = model(PuzzleGAN.draw, batch["patch"], noise)
        again, _ = model(
            PuzzleGAN.draw, batch["patch"][:, ::-1], jax.random.clone(noise)
        )  # the same on purpose
        found.append(jax.device_get(measures(batch, fake, logits, again)))
    together = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    return {
        f"test/{name}": float(v.max() if name == "order_difference" else v.mean())
        for name, v in together.items()
    }


@jax.jit
def measures(batch: Batch, fake: Array, logits: Array, again: Array) -> dict[str, Array]:
    """Of each image, by the names of UNITS, those of its shape if it is drawn: [b]."""
    mask, placed = batch["mask"][..., 0], logits[..., 0] > 0
    error = jnp.abs(fake - batch["x"]).mean(-1) / 2
    found = {
        "mask_iou": masks.overlap(placed, mask > 0),
        "centre_error": masks.distance(placed, mask),
        "patch_error": (error * mask).sum((1, 2)) / mask.sum((1, 2)),
        "image_error": error.mean((1, 2)),
        "order_difference": jnp.abs(fake - again).max((1, 2, 3)) / 2,
    }
    if "shape" not in batch:
        return found
    scene = shapes.read((fake + 1) / 2)
    right = {"shape": scene.shape == batch["shape"], "colour": scene.colour == batch["colour"]}
    return {**found, **{f"{name}_accuracy": 100.0 * told for name, told in right.items()}}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """A row for each test image: its patches, the mask and the image that are made of them, and itself."""
    some = {
        name: array[np.linspace(0, len(array) - 1, 20).astype(int)]
        for name, array in data.test.items()
    }
    (batch, noise), *_ = pipeline.batches(some, data.prepare, key, batch_size=20)
    fake, logits = model(PuzzleGAN.draw, batch["patch"], noise)
    mask = jnp.broadcast_to(2 * nn.sigmoid(logits) - 1, fake.shape)
    row = jnp.concatenate(
        [batch["patch"], jnp.stack([mask, fake, batch["x"]], 1)], 1
    )  # [20, 6, s, s, 3]
    return {
        "samples": images.grid(
            images.to_uint8(row.reshape(-1, *fake.shape[1:]), low=-1), columns=12
        )
    }


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
