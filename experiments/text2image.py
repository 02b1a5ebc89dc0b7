"""Generative Adversarial Text to Image Synthesis.

Scott Reed, Zeynep Akata, Xinchen Yan, Lajanugen Logeswaran, Bernt Schiele, Honglak Lee. ICML 2016. arXiv:1605.05396

Replicated: GAN, GAN-CLS, GAN-INT and GAN-INT-CLS; the networks of the code, weight for weight, with
bottlenecks that the paper omits; text encoded by the char-CNN-RNN and its joint embedding, trained
here, or by a frozen MiniLM; the style encoder of section 4.4, its verification and transfer. Drawn
shapes are recognised by fixed rules, for unseen pairs of shape and colour. Emoji, whose names are
the captions, are evaluated by retrieval among a hundred names.

Not replicated: captions and class splits of birds and flowers, which no package distributes (TFDS
has class names; `--data coco` has captions). No claims: the paper has no table; StackGAN's
Inception scores, 2.88 (birds) and 2.66 (flowers, unverified), need unavailable networks. Wrong
images are from the batch; text has z's variance; Torch's running variance is n / (n - 1) of ours.

Cost: `quick` (with three changes: see its preset) and `gan_cls` took 17 to 24 minutes of a CPU core
each, `noisy` 9; others, but `tiny`, were not run. Run: python -m experiments.text2image quick
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache, partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Run
from gen_jax.data import captions as captioned
from gen_jax.data.catalog.folder_names import as_file
from gen_jax.errors import UserError
from gen_jax.evaluation import joint_embedding, retrieval
from gen_jax.losses import accuracy, bce_fake, bce_real
from gen_jax.networks.text2image import Discriminator, Generator, PlainDiscriminator, StyleEncoder
from gen_jax.objectives import gradient_penalty
from gen_jax.optimizers import Adam, freeze_conv_biases

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: Text2Image, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(x, t) - w log(1 - D(x', t)) - (1 - w) log(1 - D(G(z, t), t)), w = 1/2: Algorithm 1."""
    x, text, keys = batch["x"], batch["text"], jax.random.split(key, 6)
    logits = partial(noisy_logits, model, text, noise_std(config, batch["step"]))
    real = logits(x, keys[0])
    loss = bce_real(real)
    if config.cls_weight:
        loss += config.cls_weight * bce_fake(logits(batch["wrong"], keys[1]))
    fake = logits(model.generator(draw_z(model, keys[2], len(text)), text), keys[3])
    loss += (1 - config.cls_weight) * bce_fake(fake)
    if config.penalty:  # R1 (Mescheder et al. 2018), not in the paper
        r1 = gradient_penalty(lambda x: logits(x, keys[4]), x, x, keys[5], target=0)
        loss += config.penalty * r1
    return loss, {"accuracy": accuracy(real, fake)}


def generator_loss(
    model: Text2Image, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(G(z, t), t) of captions and, weighted, of interpolated texts (equation 5)."""
    text, (key_z, key_text, key_noise) = batch["text"], jax.random.split(key, 3)
    weights = jnp.ones(len(text))
    if config.interp_weight:
        between = interpolate(text, key_text if config.extrapolate else None)
        text = jnp.concatenate([text, between])
        weights = jnp.append(weights, jnp.full(len(between), config.interp_weight))
    fake = model.generator(draw_z(model, key_z, len(text)), text)
    logits = noisy_logits(model, text, noise_std(config, batch["step"]), fake, key_noise)
    return (weights * nn.softplus(-logits)).mean(), {}


def style_loss(model: Text2Image, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """|z - S(G(z, t))|^2 (equation 6)."""
    z = draw_z(model, key, len(batch["text"]))
    return ((z - model.style(model.generator(z, batch["text"]))) ** 2).sum(-1).mean(), {}


def interpolate(text: Array, key: Key | None) -> Array:
    """t_i + s (t_j - t_i) of the batch's halves, s = 1/2, or with a key from U(-1/2, 3/2)."""
    half = len(text) // 2
    first, second = text[:half], text[half : 2 * half]
    s = 0.5 if key is None else 0.5 + jax.random.uniform(key, (half, 1), minval=-1, maxval=1)
    return first + s * (second - first)


def draw_z(model: Text2Image, key: Key, count: int) -> Array:
    """From N(0, I): [count, latents]."""
    return jax.random.normal(key, (count, model.style.latents))


def noise_std(config: Config, step: Array) -> Array | None:
    """Standard deviation of the noise on inputs of D, not in the paper; None for no noise."""
    last = 0 if config.fading else config.noise
    return optax.linear_schedule(config.noise, last, config.steps)(step) if config.noise else None


def noisy_logits(model: Text2Image, text: Array, std: Array | None, x: Array, key: Key) -> Array:
    """log D - log(1 - D) of texts and images with noise of this deviation: [b]."""
    noisy = x if std is None else x + std * jax.random.normal(key, x.shape)
    return model.discriminator(noisy, text)


def players(config: Config) -> dict[str, Player]:
    """In the order of the code. The style encoder is trained with the others, not afterwards."""
    d_loss, g_loss = (partial(f, config=config) for f in (discriminator_loss, generator_loss))
    part, rate = max(config.steps // max(config.halvings, 1), 1), config.adam.learning_rate
    halved = optax.exponential_decay(rate, part, 0.5, staircase=True)
    adam = config.adam.at(halved if config.halvings else rate)
    optimizer = adam if config.biases else freeze_conv_biases(adam)
    return {
        "discriminator": Player(("discriminator",), d_loss, optimizer),
        "generator": Player(("generator",), g_loss, optimizer, average=config.average or None),
        "style": Player(("style",), style_loss, optimizer),
    }


# Networks and data --------------------------------------------------------------------------------


class Text2Image(nn.Module):
    """G(z, t), D(x, t) and the style encoder S(x)."""

    generator: Generator
    discriminator: Discriminator | PlainDiscriminator
    style: StyleEncoder


def model(config: Config) -> Text2Image:
    """The networks of section 4; with a gradient penalty, a discriminator without batch norm."""
    text, width = config.text, config.discriminator_width
    normed = Discriminator(width, text, config.bottleneck == "both")
    discriminator = PlainDiscriminator(width, text) if config.penalty else normed
    generator = Generator(config.side, config.generator_width, text)
    return Text2Image(generator, discriminator, StyleEncoder(width, config.latents))


@lru_cache(maxsize=2)
def splits(config: Config) -> dict[str, captioned.Captioned]:
    """ "train" and "test": resized images and their captions."""
    return captioned.load(config.data, config.load, count=config.count, directory=config.run.data)


def cropped(config: Config) -> dict[str, captioned.Captioned]:
    """Both splits, with images cropped to the side of the networks."""
    return {split: known.middle(config.side) for split, known in splits(config).items()}


@lru_cache(maxsize=2)
def embedding(config: Config) -> joint_embedding.TextImageEmbedding:
    """The embedding of text and images, from the cache or trained on the training set."""
    name, (*known, _) = as_file(config.data), cropped(config)["train"]
    return joint_embedding.load_or_train(*known, name=name, embedding=config.embedding)


def source(config: Config) -> Source:
    """ "x", "wrong": images, and images of another class; "text": [b, d], features of captions.

    Opening the data trains the embedding, if its text encoder is used and it is not in the cache.
    """
    features, trained = config.embedding.features, partial(embedding, config)
    return captioned.source(
        config.data, partial(splits, config), retrieval.encoders(config.encoder, features, trained),
        load=config.load, side=config.side, average=config.captions, flip=config.flip,
    )  # fmt: skip


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # emoji of four vendors and their names, drawn shapes, photographs of TFDS, or folder:PATH
    data: captioned.Name = "emoji"
    count: Count = 20_000  # training images of shapes
    # text encoder: char-CNN-RNN, a frozen sentence encoder (not in the paper), or both
    encoder: retrieval.EncoderName = "characters"
    # embedding of the char-CNN-RNN with images; retrieval is always measured with it
    embedding: joint_embedding.Embedding = joint_embedding.Embedding()
    captions: Count = 4  # averaged captions per image: 4 of 10 in the scripts of the code
    load: Count = 76  # side in pixels to which an image is resized
    side: Literal[16, 32, 64] = 64  # side in pixels of the random crop of a resized image
    flip: bool = True  # mirror half of the images
    latents: Count = 100  # dimensions of z, from N(0, I)
    text: Count = 128  # features to which G and D compress the text
    generator_width: Count = 128  # channels of G's last maps, doubled as the side is halved
    discriminator_width: Count = 64  # channels of D's first maps, doubled as the side is halved
    # networks with bottlenecks; in the released script, D has none due to an undefined name
    bottleneck: Literal["both", "generator"] = "both"
    penalty: NonNegative = 0  # weight of R1, not in the paper; D then has no batch norm
    biases: bool = True  # learn the biases of convolutions; the code holds them at 0
    cls_weight: Fraction = 0.5  # CLS: weight of wrong images; fakes have 1 - weight; 0: a plain GAN
    interp_weight: NonNegative = 1  # INT: weight of images of interpolated texts
    extrapolate: bool = False  # INT also extrapolates: interp_type 2 of the code
    noise: NonNegative = 0  # standard deviation of noise on images for D, not in the paper
    fading: bool = False  # the noise decays linearly to 0 (Sonderby et al. 2016, not in the paper)
    average: Fraction = 0.0  # decay of a running average of G's weights, not in the paper; 0: none
    batch_size: Count = 64  # images in a batch (section 5)
    steps: Count = 600 * 186  # batches: 600 epochs of the emoji
    halvings: Natural = 6  # halvings of the rate, at equal intervals: every 100 epochs in the code
    adam: Adam = Adam(2e-4, b1=0.5)  # of all players (section 5)
    run: Run = Run()  # seed, directories, devices and intervals of a run

    RENAMED: ClassVar = {
        **{name: f"adam.{name}" for name in ("learning_rate", "b1", "epsilon_hat")},
        **{"wrong": "cls_weight", "between": "interp_weight", "beyond": "extrapolate"},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        captioned.check_side(self.side, self.load)
        if self.adam.decay:
            raise UserError(f"adam.decay is {self.adam.decay}; give 0: --halvings lowers the rate.")


OFFICIAL = Config(bottleneck="generator", biases=False, adam=Adam(2e-4, b1=0.5, epsilon_hat=True))
PRESETS = {
    "paper": ("GAN-INT-CLS on emoji, 64x64, 600 epochs; for a GPU", Config()),
    "official": ("the same, as the released script runs; for a GPU", OFFICIAL),
}

# Evaluation ---------------------------------------------------------------------------------------

CLAIMS: dict[str, Claim] = {}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Agreement of images with captions; verification and transfer of styles."""
    texts, trained = (data.train["text"], data.test["text"]), embedding(config)
    return retrieval.evaluate(
        model, cropped(config), texts, trained, latents=config.latents, key=key, name=config.data
    )


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Eight test captions: with images of eight z, and with the styles of eight test images."""
    test, text = cropped(config)["test"], data.test["text"]
    return retrieval.grids(model, test, text, jax.random.normal(key, (8, config.latents)))


if __name__ == "__main__":
    cli(__spec__)
