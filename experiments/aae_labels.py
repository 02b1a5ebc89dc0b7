"""Adversarial Autoencoders: few labels, or none.

Alireza Makhzani, Jonathon Shlens, Navdeep Jaitly, Ian Goodfellow, Brendan Frey. 2015. arXiv:1511.05644

Replicated: semi-supervised classification (section 5) of MNIST with 100 or 1000 labels: a category y and a style z, a
discriminator of each, and a fourth player who classifies the labelled images; clustering (section 6), the same without
labels; dimension reduction (section 7), with the sum of a cluster's head and the style as the code. Likelihood, priors
and style are in aae.py.

Not replicated: SVHN. There is no official code, and the paper's text was not at hand: all follows secondary sources,
and of section 7 the distance of the heads, and how they begin, are ours.

Cost: `paper` makes 8 to 10 steps a second on one CPU core; beside other work `quick` took 19 minutes.

Run: python -m experiments.aae_labels quick
"""

import dataclasses
import functools
import math
import sys
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from scipy.special import entr

from gen_jax import images, losses
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.few_labels import Labelled, balanced
from gen_jax.data.pipeline import Data, Source
from gen_jax.errors import UserError
from gen_jax.evaluation import probes, two_sample
from gen_jax.game import Player, Trained
from gen_jax.networks import layers
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

CLASSES = 10
COMPARED = 2000  # styles, with as many draws of the prior

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """The data set."""
    categories: Count = 10
    """Values of y: the classes, or clusters."""
    labels: Natural = 100
    """Labelled images, as many of each class, chosen by the run's seed; 0 is none: clustering."""
    latents: Count = 10
    """Dimensions of the style z, whose prior is N(0, I)."""
    separation: NonNegative = 0.0
    """Least distance of two clusters' heads W_c, which are added to z for the decoder (section 7); 0: y stands by z."""
    hidden: tuple[Count, ...] = (1000, 1000)
    """Rectifiers of the encoder, the decoder and both discriminators."""
    batch_norm: bool = False
    """In all layers of the encoder, that of the softmax included ("crucial" for clustering)."""
    noise: NonNegative = 0.3
    """Standard deviation of the noise on the encoder's input, in training."""
    dropout: Fraction = 0
    """Share of the encoder's input that is set to 0, in training."""
    weight_std: Positive = 0.01
    """Initial weights are N(0, this squared)."""
    batch_size: Count = 100
    """Images in a batch, and as many labelled ones."""
    steps: Count = 5000 * 590
    """Updates of each player; 590 are an epoch."""
    reconstruction_rate: Positive = 0.01
    """Of gradient descent with momentum 0.9."""
    adversarial_rate: Positive = 0.1
    """Of gradient descent with momentum 0.1."""
    classification_rate: Positive = 0.1
    """Of gradient descent with momentum 0.9."""
    drops: tuple[Count, ...] = (50, 1000)
    """The epochs after which all rates fall tenfold."""
    validation: Count = 1000
    """The last training images, kept to name the clusters."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels % CLASSES or (self.labels and self.categories != CLASSES):
            raise UserError(
                f"labels is {self.labels} with {self.categories} categories; give a multiple of 10, and 10 categories."
            )


PAPER = Config(run=Run(log_every=590, checkpoint_every=5900, sample_every=59_000))
NORMALISED = dataclasses.replace(PAPER, hidden=(3000, 3000), batch_norm=True, noise=0, dropout=0.2)
CLUSTERING = dataclasses.replace(
    NORMALISED, categories=30, labels=0, latents=5, steps=1500 * 590, drops=(50,)
)
REDUCTION = dataclasses.replace(PAPER, latents=2, separation=6)
SHORT = dataclasses.replace(CLUSTERING, hidden=(1000, 1000), steps=10 * 590, run=Run())
PLANE = dataclasses.replace(REDUCTION, steps=10 * 590, run=Run())
SMALL = Config(
    data="digits",
    labels=40,
    latents=2,
    hidden=(16, 16),
    weight_std=0.1,
    batch_size=32,
    validation=100,
)
TINY = dataclasses.replace(
    SMALL, steps=40, run=Run(log_every=10, checkpoint_every=20, sample_every=20)
)

PRESETS = {
    "paper": ("section 5: 100 labels; 5000 epochs", PAPER),
    "labels1000": ("section 5: 1000 labels; 5000 epochs", dataclasses.replace(PAPER, labels=1000)),
    "clustering": ("section 6: 30 clusters, 3000 units; 1500 epochs", CLUSTERING),
    "clustering16": ("section 6: 16 clusters", dataclasses.replace(CLUSTERING, categories=16)),
    "reduction": ("section 7: a plane, 100 labels; 5000 epochs", REDUCTION),
    "quick": (
        "as paper, 10 epochs; 19 minutes on a busy core",
        dataclasses.replace(PAPER, steps=10 * 590, run=Run()),
    ),
    "clustering_quick": (
        "30 clusters, a third as wide, 10 epochs; 17 minutes on a busy core",
        SHORT,
    ),
    "reduction_quick": ("as reduction, 10 epochs; not timed", PLANE),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}

CLUSTERS = (
    "a cluster takes the label of the validation image that is likeliest to be in it; test images"
)
CLAIMS = {
    "test/error_100_labels": Claim(
        1.90, 0.10, "Table 2", "unverified", protocol="5000 epochs; test images"
    ),
    "test/error_1000_labels": Claim(
        1.60, 0.08, "Table 2", "unverified", protocol="5000 epochs; test images"
    ),
    "test/error_16_clusters": Claim(9.55, 2.05, "Table 3", "unverified", protocol=CLUSTERS),
    "test/error_30_clusters": Claim(4.10, 1.13, "Table 3", "unverified", protocol=CLUSTERS),
}
UNITS = {
    **dict.fromkeys(CLAIMS, "% of images"),
    "test/reconstruction": "squared error per image",
    "test/mmd": "squared, styles of test images against N(0, I); Gaussian kernel of the median distance",
    "test/two_sample_accuracy": "of telling styles of test images from N(0, I); 0.5 is equal",
    "test/category_entropy": "nats, of the mean of q(y|x); the prior's is log of the categories",
    "test/nearest_neighbour_error": "% of test images, by 1-NN on the codes of the training images",
    "test/mean_entropy": "nats, of q(y|x), mean; a category has 0",
}


def error_name(config: Config) -> str:
    """Of the error on test images, after how many labels or clusters there are."""
    return (
        f"test/error_{config.labels}_labels"
        if config.labels
        else f"test/error_{config.categories}_clusters"
    )


def units(config: Config) -> dict[str, str]:
    """UNITS, and those of the names that these fields give."""
    return {**UNITS, error_name(config): "% of images"}


# Networks -------------------------------------------------------------------------------------------------------------


class Affine(nn.Module):
    """W x + b, or W x in a batch normalisation: [b, d] -> [b, features]."""

    features: int
    std: float
    norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.Dense(
            self.features, use_bias=not self.norm, kernel_init=nn.initializers.normal(self.std)
        )(x)
        return layers.BatchNorm()(x) if self.norm else x


class AAE(nn.Module):
    """An encoder of y and z, the decoder, a discriminator of each, and the labelled images."""

    config: Config
    encoder: nn.Module  # [b, d] -> [b, hidden]
    category: nn.Module  # -> logits of q(y|x)
    style: nn.Module  # -> z
    heads: nn.Module | None  # y -> its head, in the space of z
    decoder: nn.Module  # y and z, or their sum there -> [b, d] in (0, 1)
    category_discriminator: nn.Module  # y -> logits [b, 1]
    style_discriminator: nn.Module  # z -> logits [b, 1]
    labelled: Labelled


def model(config: Config) -> AAE:
    """Multilayer perceptrons of rectifiers; the style is linear, y a softmax, the pixels are sigmoids."""
    pixels, norm = math.prod(SOURCES[config.data].fields["image"].shape), config.batch_norm
    affine = functools.partial(Affine, std=config.weight_std)

    def perceptron(*last: Any, norm: bool = False) -> nn.Module:
        return nn.Sequential(
            (*(part for n in config.hidden for part in (affine(n, norm=norm), nn.relu)), *last)
        )

    category, style = (affine(n, norm=norm) for n in (config.categories, config.latents))
    heads = nn.Dense(
        config.latents, use_bias=False, kernel_init=nn.initializers.normal(config.separation)
    )
    encoder, decoder = perceptron(norm=norm), perceptron(affine(pixels), nn.sigmoid)
    judges = perceptron(affine(1)), perceptron(affine(1))
    return AAE(
        config,
        encoder,
        category,
        style,
        heads if config.separation else None,
        decoder,
        *judges,
        Labelled(),
    )


def source(config: Config) -> Source:
    """The images as vectors in [0, 1], [b, d], but for those kept for validation; the labelled ones at birth."""
    train = f"train[:{SOURCES[config.data].sizes['train'] - config.validation}]"
    few = functools.partial(balanced, count=config.labels, classes=CLASSES, seed=config.run.seed)
    return Source(
        config.data,
        pipeline.vectors,
        train=train,
        init_extras=few if config.labels else pipeline.no_extras,
    )


# Objectives -----------------------------------------------------------------------------------------------------------


def encode(model: Any, x: Array) -> tuple[Array, Array]:
    """The probabilities q(y|x) [b, categories] and the style z [b, latents]."""
    h = model.encoder(x)
    return nn.softmax(model.category(h)), model.style(h)


def code(model: Any, y: Array, z: Array) -> Array:
    """Both as one: y beside z, [b, categories + latents], or W_C^T y + z (section 7), [b, latents]."""
    return model.heads(y) + z if model.config.separation else jnp.concatenate([y, z], 1)


def decode(model: Any, y: Array, z: Array) -> Array:
    """The image of a category and a style: [b, d] in (0, 1)."""
    return model.decoder(code(model, y, z))


def corrupted(config: Config, x: Array, key: Key) -> Array:
    """What the encoder sees in training: noise added, pixels left out."""
    key_noise, key_dropout = jax.random.split(key)
    x = x + config.noise * jax.random.normal(key_noise, x.shape)
    return layers.dropout(x, key_dropout, keep=1 - config.dropout) if config.dropout else x


def reconstruction(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Half the squared error of an image, summed over its pixels, from its corrupted self."""
    again = decode(model, *encode(model, corrupted(model.config, batch["x"], key)))
    return 0.5 * ((again - batch["x"]) ** 2).sum(1).mean(), {}


def nearness(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """What is missing to the least distance of two clusters' heads, summed over pairs (section 7)."""
    one, other = jnp.triu_indices(model.config.categories, 1)
    heads = model.heads(jnp.eye(model.config.categories))
    distance = jnp.sqrt(((heads[one] - heads[other]) ** 2).sum(1) + 1e-12)
    return nn.relu(model.config.separation - distance).sum(), {"least": distance.min()}


def discrimination(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Both discriminators: draws from Cat(y) and N(z; 0, I) are real, q(y|x) and z of images fake."""
    config, (key_x, key_y, key_z) = model.config, jax.random.split(key, 3)
    y, z = encode(model, corrupted(config, batch["x"], key_x))
    prior_y = jax.nn.one_hot(
        jax.random.randint(key_y, (len(y),), 0, config.categories), config.categories
    )
    real_y, fake_y = model.category_discriminator(prior_y), model.category_discriminator(y)
    real_z, fake_z = (model.style_discriminator(z) for z in (jax.random.normal(key_z, z.shape), z))
    loss = (
        losses.bce_real(real_y)
        + losses.bce_fake(fake_y)
        + losses.bce_real(real_z)
        + losses.bce_fake(fake_z)
    )
    return loss, {
        "category": losses.accuracy(real_y, fake_y),
        "style": losses.accuracy(real_z, fake_z),
    }


def generation(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """The encoder makes both pass for the priors': -E log D(y) - E log D(z)."""
    y, z = encode(model, corrupted(model.config, batch["x"], key))
    return losses.bce_real(model.category_discriminator(y)) + losses.bce_real(
        model.style_discriminator(z)
    ), {}


def classification(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """The cross-entropy of q(y|x) on labelled images."""
    key_chosen, key_vectors, key_x = jax.random.split(key, 3)
    image, label = model.labelled(batch, key_chosen)
    x = corrupted(model.config, pipeline.vectors({"image": image}, key_vectors)["x"], key_x)
    logits = model.category(model.encoder(x))
    return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean(), {}


def descent(config: Config, rate: float, momentum: float) -> optax.GradientTransformation:
    """Gradient descent with momentum, at a rate that falls tenfold after the given epochs."""
    epoch = (SOURCES[config.data].sizes["train"] - config.validation) // config.batch_size
    return optax.sgd(
        optax.piecewise_constant_schedule(rate, {drop * epoch: 0.1 for drop in config.drops}),
        momentum,
    )


def players(config: Config) -> dict[str, Player]:
    """The reconstruction phase, both moves of the regularisation phase, and with labels the semi-supervised phase.

    Where clusters have heads, these move with the reconstruction, and then apart.
    """
    encoder, discriminators = (
        ("encoder", "category", "style"),
        ("category_discriminator", "style_discriminator"),
    )
    heads = ("heads",) if config.separation else ()
    adversarial = descent(config, config.adversarial_rate, 0.1)
    first, last = (
        descent(config, rate, 0.9)
        for rate in (config.reconstruction_rate, config.classification_rate)
    )
    phases = {
        "reconstruction": Player((*encoder, *heads, "decoder"), reconstruction, first),
        "discriminators": Player(discriminators, discrimination, adversarial),
        "generator": Player(encoder, generation, adversarial),
    }
    phases |= {"classifier": Player(encoder[:2], classification, last)} if config.labels else {}
    return {**phases, "heads": Player(heads, nearness, first)} if heads else phases


# Evaluation -----------------------------------------------------------------------------------------------------------


def seen(model: Any, x: Array) -> tuple[Array, Array, Array, Array]:
    """q(y|x), z, the code that they make, and the image that it decodes to."""
    y, z = encode(model, x)
    both = code(model, y, z)
    return y, z, both, model.decoder(both)


def names(y: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cluster i takes the label of the image n with the largest q(y_i|x_n) (section 6): [n, k], [n] -> [k]."""
    return labels[y.argmax(0)]


def vectors(arrays: Any) -> Array:
    """Grey values in [0, 1]: [n, d]."""
    return pipeline.vectors({"image": jnp.asarray(arrays["image"])}, jax.random.key(0))["x"]


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """The share of test images that y labels wrong, how far y and z are from their priors, and what the code keeps."""
    kept = sets.load(config.data, f"train[{pipeline.size(data.train)}:]", config.run.data)
    x, label = vectors(data.test), np.asarray(data.test["label"])
    y, z, codes, again = map(np.asarray, model(seen, x))
    in_validation = np.asarray(model(seen, vectors(kept))[0])
    of_category = (
        np.arange(CLASSES) if config.labels else names(in_validation, np.asarray(kept["label"]))
    )
    styles = z[:COMPARED], np.asarray(jax.random.normal(key, z.shape))[:COMPARED]
    metrics = {
        error_name(config): 100 * float((of_category[y.argmax(1)] != label).mean()),
        "test/reconstruction": float(((again - x) ** 2).sum(1).mean()),
        "test/mmd": two_sample.squared_mmd(*styles),
        "test/two_sample_accuracy": two_sample.two_sample_accuracy(*styles, seed=config.run.seed),
        "test/category_entropy": float(entr(y.mean(0)).sum()),
        "test/mean_entropy": float(entr(y).sum(1).mean()),
    }
    if config.separation:
        near = model(seen, vectors(data.train))[2], data.train["label"]
        metrics["test/nearest_neighbour_error"] = probes.nearest_neighbour_error(
            *near, codes, label
        )
    return metrics


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """A category to each column and a draw of the style to each row; reconstructions; the codes, if in a plane."""
    shape, rows = SOURCES[config.data].fields["image"].shape, 10
    y = jnp.tile(jnp.eye(config.categories), (rows, 1))
    z = jnp.repeat(jax.random.normal(key, (rows, config.latents)), config.categories, axis=0)
    x = vectors(data.test)
    _, _, codes, again = model(seen, x)
    pairs = jnp.stack([x, again], 1)[:50]  # original, reconstruction, ...
    drawn = {"samples": (model(decode, y, z), config.categories), "reconstructions": (pairs, 10)}
    grids = {
        name: images.grid(x.reshape(-1, *shape), columns=columns)
        for name, (x, columns) in drawn.items()
    }
    if config.separation and config.latents == 2:
        reach = 1.1 * float(jnp.abs(codes).max())
        grids["codes"] = images.scatter(codes, data.test["label"], reach=reach, side=600)
    return grids


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
