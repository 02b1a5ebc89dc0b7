"""Generative Adversarial Text to Image Synthesis.

Scott Reed, Zeynep Akata, Xinchen Yan, Lajanugen Logeswaran, Bernt Schiele, Honglak Lee. ICML 2016. arXiv:1605.05396

Replicated: GAN, GAN-CLS, GAN-INT and GAN-INT-CLS; the networks of the code, weight for weight, with the bottlenecks
that the paper does not mention; text by the char-CNN-RNN and its structured joint embedding, trained here, or by a
frozen sentence encoder (MiniLM); the style encoder of section 4.4, its verification and its transfer. On drawn shapes,
whether an image shows what its caption says is read back without learning, for pairs of shape and colour that were
never seen together; on emoji, whose names are the captions, by retrieval among a hundred names.

Not replicated: the captions and class splits of birds and flowers, which no package carries: `--data birds`, flowers
and coco take what TFDS has prepared, class names and COCO's captions. The paper has no table; the Inception scores 2.88
(birds) and 2.66 (flowers, unverified) are StackGAN's measurements, through networks that cannot be had, so there is no
claim. The wrong image of a caption is another one of the batch; text is scaled to the variance of z; Torch's running
variance in batch norm is the unbiased one, n / (n - 1) of ours. `quick` is not the
paper's in three things, without which it shows colours and places but no shapes: a discriminator without batch norm,
with a gradient penalty; a running average of G; and MiniLM beside the char-CNN-RNN, which from so few captions hardly
learns the shape (a linear reader of its features tells 46 % where the pair of shape and colour is new). Its G ignores
z, so that no style is moved: `noisy`, which is nearer to the paper, moves it and shows no shape.

Cost: `quick` and `gan_cls` took 17 to 24 minutes of a shared CPU core each, `noisy` 9. `emoji_quick`, `gan`, `gan_int`
and the presets for a GPU have not been played.

Run: python -m experiments.text2image quick
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

from gen_jax import images, losses, objectives, optimizers
from gen_jax.batching import by_chunks
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import captions as captioned
from gen_jax.data import crops as parts
from gen_jax.data.augmentation import random_crop, random_flip
from gen_jax.data.captions import Captioned
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.errors import UserError
from gen_jax.evaluation import classifier as classify
from gen_jax.evaluation import joint_embedding as descriptions
from gen_jax.evaluation import retrieval
from gen_jax.evaluation.joint_embedding import Embedding
from gen_jax.game import Player, Trained
from gen_jax.networks.text2image import Discriminator, Generator, PlainDiscriminator, Style
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["emoji", "shapes", "birds", "flowers", "coco"] = "emoji"
    """Emoji of four vendors with their names, drawn shapes with sentences, or photographs that TFDS has prepared."""
    count: Count = 20_000
    """Shapes to train on."""
    encoder: Literal["characters", "minilm", "both"] = "characters"
    """Text by the char-CNN-RNN, or by a frozen sentence encoder (not the paper's), or both side by side."""
    embedding: Embedding = Embedding()
    """Of the char-CNN-RNN, which is the judge of retrieval in any case."""
    captions: Count = 4
    """So many of an image's captions, drawn anew, are averaged: in the code's scripts 4 of 10; here there is one."""
    load: Count = 76
    """Side in pixels to which an image is resized ..."""
    side: Literal[16, 32, 64] = 64
    """... before a random part of this side is taken."""
    flip: bool = True
    """Half of the images are mirrored."""
    latents: Count = 100
    """z, from N(0, I)."""
    text: Count = 128
    """Features to which either player compresses the text."""
    generator_width: Count = 128
    """Channels of its last maps; they double whenever the side is halved."""
    discriminator_width: Count = 64
    """Channels of its first maps; they double likewise."""
    bottleneck: Literal["both", "generator"] = "both"
    """Who has residual bottlenecks: the released script asks for D's by a name that nothing defines, and has none."""
    penalty: NonNegative = 0
    """Of D's squared gradient at real images, R1 (Mescheder et al. 2018, not the paper's): D then has no batch norm."""
    biases: bool = True
    """Convolutions learn biases; the code sets them to 0 before each evaluation."""
    wrong: Fraction = 0.5
    """Of real images with the caption of another, CLS; 1 less this, of fakes; 0 is a plain GAN."""
    between: NonNegative = 1
    """Of images for texts between two captions, INT."""
    beyond: bool = False
    """Texts are drawn from beside the middle of two captions too, to beyond either (interp_type 2 of the code)."""
    noise: NonNegative = 0
    """Deviation of what is added to all that D sees: not the paper's, but drawn shapes are too clean for it to miss."""
    fading: bool = False
    """The noise falls to 0 over the steps, in a straight line: not the paper's, but Sonderby et al. 2016."""
    average: Fraction = 0.0
    """Decay of a running average of G's weights, which makes the images: not the paper's; 0 for none."""
    batch_size: Count = 64
    """Section 5."""
    steps: Count = 600 * 186
    """Batches: 600 epochs of the emoji."""
    halvings: Natural = 6
    """How often the rate is halved, in equal parts of the steps: in the code every 100 epochs."""
    learning_rate: Positive = 2e-4
    """Adam's (section 5)."""
    b1: Fraction = 0.5
    """Adam's decay of the first moment (section 5)."""
    epsilon_hat: bool = False
    """Adam adds epsilon before the bias correction, as Torch does, not after it (optimizers.adam)."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side > self.load:
            raise UserError(
                f"side is {self.side} and load is {self.load}; give a side of at most {self.load}."
            )


OFFICIAL = Config(bottleneck="generator", biases=False, epsilon_hat=True)
SMALL = Embedding(
    features=128, length=64, widths=(64, 96, 128), image_widths=(16, 32, 64), steps=4000, epoch=500
)
QUICK = Config(
    data="shapes", encoder="both", embedding=SMALL, load=16, side=16, flip=False, generator_width=64,
    discriminator_width=32, penalty=0.05, average=0.995, batch_size=32, learning_rate=4e-4, steps=10_000, halvings=3,
    run=Run(sample_every=2000),
)  # fmt: skip
NOISY = dataclasses.replace(
    QUICK, encoder="characters", penalty=0, noise=0.3, average=0.0, batch_size=64, learning_rate=2e-4, steps=4000
)  # fmt: skip
EMOJI = dataclasses.replace(QUICK, data="emoji", load=32, side=32)
SMALLEST = Embedding(
    features=16, length=48, widths=(8, 8), image_widths=(8,), batch_size=20, steps=100, epoch=50
)
TINY = dataclasses.replace(
    QUICK, encoder="characters", count=200, embedding=SMALLEST, latents=8, text=8, generator_width=4,
    discriminator_width=4, penalty=0.5, noise=0.3, fading=True, batch_size=16, steps=40,
    run=Run(log_every=10, checkpoint_every=20, sample_every=20),
)  # fmt: skip

PRESETS = {
    "paper": ("GAN-INT-CLS on emoji, 64x64, 600 epochs; for a GPU", Config()),
    "official": ("the same, as the released script runs; for a GPU", OFFICIAL),
    "minilm": (
        "the same as the paper's, text by a frozen sentence encoder; for a GPU",
        Config(encoder="minilm"),
    ),
    "quick": (
        "GAN-INT-CLS on shapes, 16x16, half as wide, 16 epochs; 17 to 24 minutes of a shared core",
        QUICK,
    ),
    "gan": (
        "quick without either: the text may be ignored",
        dataclasses.replace(QUICK, wrong=0.0, between=0.0),
    ),
    "gan_cls": ("quick without INT", dataclasses.replace(QUICK, between=0.0)),
    "gan_int": ("quick without CLS", dataclasses.replace(QUICK, wrong=0.0)),
    "noisy": (
        "the paper's, but for noise on all that D sees; 9 minutes of a core; no shapes, but styles",
        NOISY,
    ),
    "emoji_quick": ("quick on emoji, 32x32", EMOJI),
    "tiny": ("16x16 shapes; seconds, for tests", TINY),
}
CLAIMS: dict[str, Claim] = {}
AMONG, TESTED, CHUNK, ROWS, COLUMNS = 100, 1000, 100, 8, 8
WORDS = {
    "": "all",
    **{f"_{word}": f"the {word}" for word in ("size", "colour", "shape", "row", "column")},
}
KINDS = {f"match{word}": f"show {what} that the caption says" for word, what in WORDS.items()}
KINDS["r_precision"] = f"find their caption first among {AMONG}, {100 // AMONG} by chance"
UNITS = {
    **{
        f"{split}/{kind}{real}": f"% of {pictures} that {do}; {whose}"
        for split, whose in (("test", "unseen captions"), ("seen", "captions to learn from"))
        for real, pictures in (("", "images made"), ("_of_real", "real images"))
        for kind, do in KINDS.items()
    },
    "test/style_auc": "area under the ROC of the cosine of two images' styles, for telling whether it is one style",
    "test/style_auc_of_pixels": "the same of the pixels",
    "test/style_kept": "% of images in the style of another that are seen to have it; by chance 33, of emoji 25",
    "test/style_match": "% of those that show all that the caption says",
}

# Networks -------------------------------------------------------------------------------------------------------------


class Text2Image(nn.Module):
    generator: Generator
    discriminator: Discriminator | PlainDiscriminator
    style: Style


def model(config: Config) -> Text2Image:
    generator = Generator(config.side, config.generator_width, config.text)
    normed = Discriminator(config.discriminator_width, config.text, config.bottleneck == "both")
    plain = PlainDiscriminator(config.discriminator_width, config.text)
    return Text2Image(
        generator,
        plain if config.penalty else normed,
        Style(config.discriminator_width, config.latents),
    )


# Data -----------------------------------------------------------------------------------------------------------------


def source(config: Config) -> Source:
    """ "x": images in [-1, 1]; "wrong": for each an image of another class; "text": [b, d], of its captions."""

    def prepare(batch: Batch, key: Key) -> Batch:
        where, coin, which = jax.random.split(key, 3)
        x = random_crop(batch["image"].astype(jnp.float32) / 127.5 - 1, where, config.side)
        x = random_flip(x, coin) if config.flip else x
        n, k, _ = batch["text"].shape
        chosen = jax.random.randint(which, (n, config.captions, 1), 0, k)
        text = jnp.take_along_axis(batch["text"], chosen, 1).mean(1)
        return {**batch, "x": x, "text": text, "wrong": x[others(batch["class"])]}

    features = sum(
        {"characters": config.embedding.features, "minilm": 384}[encoder]
        for encoder in encoders(config)
    )
    fields = {
        "image": ((config.load, config.load, 3), "uint8"),
        "text": ((5 if config.data == "coco" else 1, features), "float32"),
        "class": ((), "int32"),
        "style": ((), "int32"),
    }
    return Source(
        config.data,
        prepare,
        arrays=lambda: (arrays(config, "train"), arrays(config, "test")),
        fields=fields,
    )


def others(label: Array) -> Array:
    """For each of a batch the next one of another class, and itself's next where there is none: [b] -> [b]."""
    n = len(label)
    order = (jnp.arange(n)[:, None] + 1 + jnp.arange(n - 1)[None]) % n  # [b, b - 1]
    first = (label[order] != label[:, None]).argmax(1)
    return order[jnp.arange(n), first]


@functools.lru_cache(maxsize=2)
def captioned_of(config: Config) -> dict[str, Captioned]:
    """Both splits."""
    return captioned.load(config.data, config.load, count=config.count, directory=config.run.data)


@functools.lru_cache(maxsize=2)
def judge(config: Config) -> descriptions.TextImageEmbedding:
    """The embedding of captions and images, trained on the training set."""
    known = captioned_of(config)["train"]
    shown = parts.middle(known.image, config.side)
    return descriptions.load_or_train(
        shown, known.captions, known.label, name=config.data, embedding=config.embedding
    )


def arrays(config: Config, split: str) -> Arrays:
    """ "image" [n, load, load, 3], "text" [n, k, d], "class" [n], "style" [n]

    Text of the training set has mean 0 and, by one factor for all features of an encoder, variance 1, as z has.
    """
    texts, given = [], captioned_of(config)[split]
    for encoder in encoders(config):
        known = embedded(config, encoder, "train")
        texts.append(
            (embedded(config, encoder, split) - known.mean((0, 1))) / known.std((0, 1)).mean()
        )
    return {
        "image": given.image,
        "text": np.concatenate(texts, -1),
        "class": given.label,
        "style": given.style,
    }


def encoders(config: Config) -> tuple[str, ...]:
    return ("characters", "minilm") if config.encoder == "both" else (config.encoder,)


@functools.lru_cache(maxsize=4)
def embedded(config: Config, encoder: str, split: str) -> np.ndarray:
    """[n, k, d]"""
    captions = captioned_of(config)[split].captions
    if encoder == "minilm":
        from gen_jax.pretrained import minilm

        distinct, place = np.unique(captions, return_inverse=True)
        text = minilm.embed(distinct.tolist())[place.ravel()]
    else:
        text = judge(config).text(captions.ravel())
    return text.reshape(*captions.shape, -1)


# Objectives -----------------------------------------------------------------------------------------------------------


def latents(model: Any, key: Key, count: int) -> Array:
    return jax.random.normal(key, (count, model.style.latents))


def judged(model: Any, x: Array, text: Array, key: Key, noise: Any) -> Array:
    """Where there is noise, of this deviation, on what is judged."""
    return model.discriminator(
        x if noise is None else x + noise * jax.random.normal(key, x.shape), text
    )


def telling(
    model: Any,
    batch: Batch,
    key: Key,
    *,
    wrong: float,
    noise: optax.Schedule | None,
    penalty: float,
) -> tuple[Array, Metrics]:
    """-log D(x, t) - w log(1 - D(x', t)) - (1 - w) log(1 - D(G(z, t), t)): algorithm 1, with w = 1/2."""
    x, text, keys = batch["x"], batch["text"], jax.random.split(key, 6)
    level = noise and noise(batch["step"])
    right = judged(model, x, text, keys[0], level)
    loss = losses.bce_real(right)
    if wrong:
        loss += wrong * losses.bce_fake(judged(model, batch["wrong"], text, keys[1], level))
    fake = judged(
        model, model.generator(latents(model, keys[2], len(text)), text), text, keys[3], level
    )
    loss += (1 - wrong) * losses.bce_fake(fake)
    if penalty:

        def critic(x: Array) -> Array:
            return judged(model, x, text, keys[4], level)

        loss += penalty * objectives.gradient_penalty(critic, x, x, keys[5], target=0)
    return loss, {"accuracy": losses.accuracy(right, fake)}


def fooling(
    model: Any,
    batch: Batch,
    key: Key,
    *,
    between: float,
    beyond: bool,
    noise: optax.Schedule | None,
) -> tuple[Array, Metrics]:
    """-log D(G(z, t), t), for the captions and, weighted, for texts between two of them (equation 5)."""
    text, (draw, way, blur) = batch["text"], jax.random.split(key, 3)
    weights = jnp.ones(len(text))
    if between:
        amid = middles(text, way if beyond else None)
        text, weights = (
            jnp.concatenate([text, amid]),
            jnp.append(weights, jnp.full(len(amid), between)),
        )
    fake = model.generator(latents(model, draw, len(text)), text)
    logits = judged(model, fake, text, blur, noise and noise(batch["step"]))
    return (weights * nn.softplus(-logits)).mean(), {}


def middles(text: Array, key: Key | None) -> Array:
    """(t_i + t_j) / 2 of the batch's halves, and with a key a random part of t_j - t_i more: [b, d] -> [b / 2, d]."""
    half = len(text) // 2
    first, second = text[:half], text[half : 2 * half]
    share = 0.5 if key is None else 0.5 + jax.random.uniform(key, (half, 1), minval=-1, maxval=1)
    return first + share * (second - first)


def inverting(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """|z - S(G(z, t))|^2 (equation 6)."""
    z = latents(model, key, len(batch["text"]))
    return ((z - model.style(model.generator(z, batch["text"]))) ** 2).sum(-1).mean(), {}


def players(config: Config) -> dict[str, Player]:
    """In the code's order; the style encoder, in the paper trained when all is done, learns along."""
    part = max(config.steps // max(config.halvings, 1), 1)
    rate = optax.exponential_decay(config.learning_rate, part, 0.5, staircase=True)
    rate = rate if config.halvings else config.learning_rate
    adam = optimizers.adam(rate, b1=config.b1, epsilon_hat=config.epsilon_hat)
    descent = adam if config.biases else optimizers.freeze_conv_biases(adam)
    last = 0 if config.fading else config.noise
    noise = optax.linear_schedule(config.noise, last, config.steps) if config.noise else None
    critic = functools.partial(telling, wrong=config.wrong, noise=noise, penalty=config.penalty)
    artist = functools.partial(fooling, between=config.between, beyond=config.beyond, noise=noise)
    return {
        "discriminator": Player(("discriminator",), critic, descent),
        "generator": Player(("generator",), artist, descent, average=config.average or None),
        "style": Player(("style",), inverting, descent),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def drawn(model: Any, z: Array, text: Array) -> Array:
    """[n, latents], [n, d] -> [n, side, side, 3]"""
    return model.generator(z, text)


def styled(model: Any, x: Array) -> Array:
    """[n, side, side, 3] -> [n, latents]"""
    return model.style(x)


def made(config: Config, model: Trained, z: Any, text: np.ndarray) -> np.ndarray:
    """uint8 [n, side, side, 3]"""
    return images.to_uint8(
        by_chunks(lambda z, text: model(drawn, z, text), np.asarray(z), text, size=CHUNK), low=-1
    )


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Whether images made for captions show what these say, and whether a style is known and can be moved."""
    metrics: dict[str, float] = {}
    *keys, key_style = jax.random.split(key, 3)
    for split, arrays, own in (("test", data.test, keys[0]), ("seen", data.train, keys[1])):
        given = captioned_of(config)["test" if split == "test" else "train"]
        captions, label = given.captions[:TESTED, 0], given.label[:TESTED]
        z = jax.random.normal(own, (len(captions), config.latents))
        fakes = made(config, model, z, arrays["text"][:TESTED, 0])
        for real, pictures in (
            ("", fakes),
            ("_of_real", parts.middle(given.image[:TESTED], config.side)),
        ):
            tell = judge(config)
            found = retrieval.r_precision(
                tell.images(pictures), tell.text(captions), label, among=AMONG
            )
            metrics[f"{split}/r_precision{real}"] = 100 * found
            if config.data == "shapes":
                right = captioned.matches(pictures, captions)  # [n, words]
                shares = dict(zip(WORDS, (right.all(1).mean(), *right.mean(0)), strict=True))
                metrics |= {
                    f"{split}/match{word}{real}": 100 * float(share)
                    for word, share in shares.items()
                }
    return metrics | of_style(config, model, data, key_style)


def of_style(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Section 5.2: whether the styles of two test images tell if these are alike; one's style with another's text."""
    real, group = parts.middle(data.test["image"], config.side), data.test["style"]
    if not group.any():
        return {}
    style = by_chunks(lambda x: model(styled, x), real / np.float32(127.5) - 1, size=CHUNK)
    other = np.asarray(jax.random.permutation(key, len(real)))
    moved = made(config, model, style, data.test["text"][other, 0])
    metrics = {
        "test/style_auc": retrieval.verification(style, group),
        "test/style_auc_of_pixels": retrieval.verification(real.reshape(len(real), -1), group),
        "test/style_kept": 100 * float((style_of(config, data, moved) == group).mean()),
    }
    if config.data == "shapes":
        right = captioned.matches(moved, captioned_of(config)["test"].captions[other, 0]).all(1)
        metrics["test/style_match"] = 100 * float(right.mean())
    return metrics


def style_of(config: Config, data: Data, pictures: np.ndarray) -> np.ndarray:
    """The ground of shapes, or the vendor that a classifier of real images sees: [n]"""
    if config.data == "shapes":
        return captioned.read_back(pictures)[:, -1]
    splits = ((parts.middle(a["image"], config.side), a["style"]) for a in (data.train, data.test))
    (x, y), test = splits
    return (
        classify.classifier(x, y, test=test, name="emoji-vendors", shift=0)
        .logits(pictures)
        .argmax(1)
    )


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Test captions with images of several z; and the styles of the first column's images with each caption."""
    rows = np.linspace(0, len(data.test["text"]) - 1, ROWS).astype(int)
    captions, text = captioned_of(config)["test"].captions[rows, 0], data.test["text"][rows, 0]
    real = parts.middle(data.test["image"][rows], config.side)
    z = jnp.tile(jax.random.normal(key, (COLUMNS, config.latents)), (ROWS, 1))
    fakes = made(config, model, z, np.repeat(text, COLUMNS, 0)).reshape(
        ROWS, COLUMNS, *real.shape[1:]
    )
    style = np.tile(np.asarray(model(styled, real / np.float32(127.5) - 1)), (ROWS, 1))
    moved = made(config, model, style, np.repeat(text, ROWS, 0)).reshape(
        ROWS, ROWS, *real.shape[1:]
    )
    header = np.concatenate(
        [real[None], moved]
    )  # the images whose styles are moved, then a row for each caption
    return {
        "samples": images.captioned(fakes, captions),
        "styles": images.captioned(header, ["the style of", *captions]),
    }


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
