"""Unsupervised Holistic Image Generation from Key Local Patches.

Donghoon Lee, Sangdoo Yun, Sungjoon Choi, Hwiyeon Yoo, Ming-Hsuan Yang, Songhwai Oh. ECCV 2018. arXiv:1703.10730

Replicated: an image from three key patches without their places: the part encoder, whose features of all patches are
summed; the mask that says where they go; the doubled U-net that draws the image; the discriminator with the hard
negatives of the released code, and with those mixes too that it leaves out; weights that fall over training.

Not replicated: faces, cars and the other photographs with their proposals: no package carries them. Ours is a world of
drawn shapes in the middle of the image, whose patches are corners: what is right is known to the pixel. The paper has
no table that could be read: there is no claim. All patches go through one batch norm, in the code each through its own.

Cost: only `tiny` has been played, most of it compiling; the others have not been timed.

Run: python -m experiments.puzzlegan quick
"""

import dataclasses
import functools
import sys
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import game as games
from gen_jax import images, losses, train
from gen_jax.config import Checked, Count, Fraction, Positive, Run
from gen_jax.convolutions import Conv, ConvTranspose
from gen_jax.data import pipeline, shapes
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.errors import UserError
from gen_jax.game import Game, Player, Trained
from gen_jax.layers import BatchNorm
from gen_jax.types import Array, Batch, Claim, Key, Metrics

PATCHES = 3  # of an image
RADIUS, BOX = 0.6, 0.35  # of a shape, and half of a patch's side, in a plane of side 2

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
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
    """Images in the training set."""
    epochs: Count = 25
    """Over which the weights fall."""
    steps: Count = 19_525
    """Batches: 25 epochs."""
    run: Run = Run()


QUICK = Config(side=32, width=16, count=10_000, epochs=10, steps=1560, run=Run(sample_every=520))
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = Config(side=16, width=4, latents=8, count=100, batch_size=16, epochs=4, steps=40, run=OFTEN)

PRESETS = {
    "paper": ("64x64, all mixes are negatives; 25 epochs; for a GPU", Config(negatives="all")),
    "official": ("64x64, the released code's negatives; 25 epochs; for a GPU", Config()),
    "quick": ("32x32, a quarter as wide, 10 epochs; for a CPU", QUICK),
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
    """Shapes in the middle, at any angle, with their three corners as patches."""
    if config.steps < config.epochs:
        raise UserError(f"steps is {config.steps}, epochs {config.epochs}; give at least a step to each epoch.")
    return Source("shapes", functools.partial(prepare, config), arrays=functools.partial(arrays, config))


def arrays(config: Config) -> tuple[Arrays, Arrays]:
    """The factors of `count` images to train on and of 1000 to test, always the same."""

    def drawn(n: int, key: Key) -> Arrays:
        scene = shapes.draw(key, n)._replace(centre=jnp.zeros((n, 2)), radius=jnp.full(n, RADIUS))
        return {name: np.asarray(factor) for name, factor in scene._asdict().items()}

    first, second = jax.random.split(jax.random.key(0))
    return drawn(config.count, first), drawn(1000, second)


def prepare(config: Config, batch: Batch, key: Key) -> Batch:
    """ "x": images in [-1, 1]; "patch": [b, 3, side, side, 3], enlarged; "mask": where they are, [b, side, side, 1].

    The whole batch is mirrored, or it is not.
    """
    scene = shapes.Scene(*(batch[name] for name in shapes.Scene._fields))
    x, point = 2 * shapes.render(scene, config.side) - 1, shapes.corners(scene)
    mirrored = jax.random.bernoulli(key)
    x = jnp.where(mirrored, x[:, :, ::-1], x)
    point = jnp.where(mirrored, point * jnp.array([[[-1.0, 1.0]]]), point)
    line = (2 * jnp.arange(config.side) + 1) / config.side - 1
    across, down = (jnp.abs(line[None, None] - at[..., None]) < BOX for at in (point[..., 0], -point[..., 1]))
    mask = (across[:, :, None, :] & down[:, :, :, None]).any(1)[..., None]  # [b, side, side, 1]
    patch = jax.vmap(jax.vmap(cut, (None, 0)))(x, point)
    return {**batch, "x": x, "patch": patch, "mask": mask.astype(jnp.float32)}


def cut(image: Array, point: Array) -> Array:
    """The box around a point, enlarged to the image's size by cubic interpolation: [s, s, c], [2] -> [s, s, c]."""
    side = image.shape[0]
    first = ((point * jnp.array([1.0, -1.0]) - BOX + 1) / 2 * side)[::-1]  # row and column of the box's upper left
    scale = jnp.full(2, 1 / BOX)
    return jax.image.scale_and_translate(image, image.shape, (0, 1), scale, -first * scale, "cubic", antialias=False)


# Networks -------------------------------------------------------------------------------------------------------------


def widths(config: Config) -> tuple[int, ...]:
    """Channels of each halving, the largest maps first."""
    return tuple(config.width * 2 ** min(3, i) for i in range(config.side.bit_length() - 3))


class Halving(nn.Module):
    """Convolutions of stride 2, then one of 4x4 that leaves one pixel: [b, side, side, c] -> maps of every size."""

    widths: tuple[int, ...]
    features: int

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        maps: list[Array] = []
        for width in self.widths:
            x = Conv(width, (5, 5), (2, 2), ((2, 2), (2, 2)))(x)
            x = nn.leaky_relu(BatchNorm()(x) if maps else x, 0.2)
            maps.append(x)
        return [*maps, Conv(self.features, (4, 4), (1, 1), "VALID")(x)]


class Doubling(nn.Module):
    """The way back, beside maps of the same sizes: [b, 1, 1, d] -> the maps with what stood beside, and the last."""

    widths: tuple[int, ...]
    channels: int

    @nn.compact
    def __call__(self, x: Array, beside: list[Array]) -> tuple[list[Array], Array]:
        both: list[Array] = []
        x = ConvTranspose(self.widths[-1], (4, 4), (1, 1), ((3, 3), (3, 3)))(x)
        for width, other in zip((*self.widths[-2::-1], self.channels), beside[::-1], strict=True):
            both.insert(0, jnp.concatenate([nn.relu(BatchNorm()(x)), other], -1))
            x = ConvTranspose(width, (5, 5), (2, 2), ((2, 3), (2, 3)))(both[0])
        return both, x


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
            each.reshape(b, n, *each.shape[1:]).sum(1) for each in (*maps[:-1], nn.leaky_relu(maps[-1], 0.2))
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
    networks = Halving(sizes, config.latents), Doubling(sizes, 1), Doubling(sizes, 3), Halving(sizes, 1)
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
    loss = losses.real(real) + losses.fake(told) + sum(losses.fake(model.judge(mix)) for mix in mixes)
    return loss, {"accuracy": losses.accuracy(real, told)}


def drawing(model: Any, batch: Batch, key: Key, *, weight: Any) -> tuple[Array, Metrics]:
    """-log D(G) + lambda sum |m - M| + lambda sum |m G - M x|: realism, where the patches are, and what is on them."""
    fake, logits = model.draw(batch["patch"], key)
    mask = nn.sigmoid(logits)
    spatial = jnp.abs(mask - batch["mask"]).sum()
    appearance = jnp.abs(mask * fake - batch["mask"] * batch["x"]).sum()
    realism = losses.real(model.judge(fake))
    metrics = {"realism": realism, "spatial": spatial, "appearance": appearance}
    return realism + weight(batch["step"]) * (spatial + appearance), metrics


def players(config: Config) -> dict[str, Player]:
    """The discriminator, and every second step the generator with its encoder and mask."""
    adam = optax.adam(config.learning_rate, b1=config.b1)
    log_weights = np.linspace(np.log(config.first_weight), np.log(config.last_weight), config.epochs)

    def weight(step: Array) -> Array:
        epoch = jnp.minimum(step * config.epochs // config.steps, config.epochs - 1)
        return jnp.exp(jnp.asarray(log_weights, jnp.float32))[epoch]

    critic = functools.partial(telling, negatives=config.negatives)
    artist = functools.partial(drawing, weight=weight)
    return {
        "discriminator": Player(("discriminator",), critic, adam),
        "generator": Player(("encoder", "mask", "generator"), artist, adam, config.every),
    }


def game(config: Config) -> Game:
    return games.make(model(config), players(config))


# Evaluation -----------------------------------------------------------------------------------------------------------


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Whether the patches are put where they were, and whether what is drawn around them is what was there."""
    found: list[dict[str, Any]] = []
    for batch, noise in pipeline.batches(data.test, data.prepare, key, batch_size=100):
        fake, logits = model(PuzzleGAN.draw, batch["patch"], noise)
        again, _ = model(PuzzleGAN.draw, batch["patch"][:, ::-1], noise)
        found.append(jax.device_get(measures(batch, fake, logits, again)))
    together = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
    return {f"test/{name}": float(v.max() if name == "order_difference" else v.mean()) for name, v in together.items()}


@jax.jit
def measures(batch: Batch, fake: Array, logits: Array, again: Array) -> dict[str, Array]:
    """Of each image, by the names of UNITS: [b]."""
    mask, placed = batch["mask"][..., 0], logits[..., 0] > 0
    error = jnp.abs(fake - batch["x"]).mean(-1) / 2
    scene = shapes.read((fake + 1) / 2)
    return {
        "mask_iou": (placed & (mask > 0)).sum((1, 2)) / (placed | (mask > 0)).sum((1, 2)),
        "centre_error": jnp.linalg.norm(middle(placed) - middle(mask), axis=-1),
        "patch_error": (error * mask).sum((1, 2)) / mask.sum((1, 2)),
        "image_error": error.mean((1, 2)),
        "shape_accuracy": 100.0 * (scene.shape == batch["shape"]),
        "colour_accuracy": 100.0 * (scene.colour == batch["colour"]),
        "order_difference": jnp.abs(fake - again).max((1, 2, 3)) / 2,
    }


def middle(mask: Array) -> Array:
    """The mean row and column, those of the image's own where the mask is empty: [b, s, s] -> [b, 2]."""
    line = jnp.arange(mask.shape[1], dtype=jnp.float32)
    weight = jnp.where(mask.any((1, 2), keepdims=True), mask, 1).astype(jnp.float32)
    total = weight.sum((1, 2))
    return jnp.stack([jnp.einsum("bij,i->b", weight, line), jnp.einsum("bij,j->b", weight, line)], 1) / total[:, None]


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """A row for each test image: its patches, the mask and the image that are made of them, and itself."""
    (batch, noise), *_ = pipeline.batches(data.test, data.prepare, key, batch_size=20, count=20)
    fake, logits = model(PuzzleGAN.draw, batch["patch"], noise)
    mask = jnp.broadcast_to(2 * nn.sigmoid(logits) - 1, fake.shape)
    row = jnp.concatenate([batch["patch"], jnp.stack([mask, fake, batch["x"]], 1)], 1)  # [20, 6, s, s, 3]
    return {"samples": images.grid(images.to_uint8(row.reshape(-1, *fake.shape[1:]), low=-1), columns=12)}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
