"""Adversarial Autoencoders: few labels, or none.

Alireza Makhzani, Jonathon Shlens, Navdeep Jaitly, Ian Goodfellow, Brendan Frey. 2015. arXiv:1511.05644

Replicated: semi-supervised classification (section 5) of MNIST with 100 or 1000 labels: a category
y and a style z, a discriminator of each, and a fourth player that classifies the labelled images;
clustering (section 6), the same without labels; dimensionality reduction (section 7), whose code is
the sum of a cluster head and the style. Likelihood, priors and style are in aae.py.

Not replicated: SVHN. There is no official code, and the paper was not available: everything follows
secondary sources; the distance between heads and their initialisation (section 7) are ours.

Cost: `paper` runs at 8 to 10 steps/s on a CPU core; `quick` took 19 minutes on a busy core.

Run: python -m experiments.aae_labels quick
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import few_labels, pipeline
from gen_jax.data.catalog import sets
from gen_jax.errors import UserError
from gen_jax.evaluation import codes, probes
from gen_jax.losses import accuracy, bce_fake, bce_real
from gen_jax.networks.aae import Affine, Corruption, Labelled, perceptron

# Objectives ---------------------------------------------------------------------------------------


def reconstruction_loss(model: AAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Half the squared error of the reconstruction from a corrupted image, summed over pixels."""
    *_, reconstruction = model.autoencode(model.corrupt(batch["x"], key))
    return 0.5 * ((reconstruction - batch["x"]) ** 2).sum(1).mean(), {}


def discriminator_loss(model: AAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Both discriminators: draws from Cat(y) and N(z; 0, I) are real, q(y|x) and z are fake."""
    key_x, key_y, key_z = jax.random.split(key, 3)
    y, z = model.encode(model.corrupt(batch["x"], key_x))
    prior_y = jax.nn.one_hot(jax.random.randint(key_y, y.shape[:1], 0, y.shape[1]), y.shape[1])
    real_y, fake_y = model.category_discriminator(prior_y), model.category_discriminator(y)
    prior_z = jax.random.normal(key_z, z.shape)
    real_z, fake_z = model.style_discriminator(prior_z), model.style_discriminator(z)
    loss = bce_real(real_y) + bce_fake(fake_y) + bce_real(real_z) + bce_fake(fake_z)
    return loss, {"category": accuracy(real_y, fake_y), "style": accuracy(real_z, fake_z)}


def generator_loss(model: AAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """-E log D(y) - E log D(z) over the codes: the encoder is the generator of both."""
    y, z = model.encode(model.corrupt(batch["x"], key))
    loss = bce_real(model.category_discriminator(y)) + bce_real(model.style_discriminator(z))
    return loss, {}


def classification_loss(model: AAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Cross-entropy of q(y|x) on labelled images."""
    key_chosen, key_vectors, key_x = jax.random.split(key, 3)
    image, label = model.labelled(batch, key_chosen)
    x = model.corrupt(pipeline.vectors({"image": image}, key_vectors)["x"], key_x)
    logits = model.category(model.encoder(x))
    return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean(), {}


def separation_loss(model: AAE, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """max(0, separation - |W_i - W_j|), summed over pairs of cluster heads (section 7)."""
    assert model.heads is not None
    i, j = jnp.triu_indices(config.categories, 1)
    heads = model.heads(jnp.eye(config.categories))
    distance = jnp.sqrt(((heads[i] - heads[j]) ** 2).sum(1) + 1e-12)
    return nn.relu(config.separation - distance).sum(), {"least": distance.min()}


def players(config: Config) -> dict[str, Player]:
    """Reconstruction, both updates of regularisation, classification, separation of heads."""
    encoder, heads = ("encoder", "category", "style"), ("heads",) if config.separation else ()
    discriminators = ("category_discriminator", "style_discriminator")
    first, last = sgd(config, config.reconstruction_rate), sgd(config, config.classification_rate)
    adversarial = sgd(config, config.adversarial_rate, momentum=0.1)
    phases = {
        "reconstruction": Player((*encoder, *heads, "decoder"), reconstruction_loss, first),
        "discriminators": Player(discriminators, discriminator_loss, adversarial),
        "generator": Player(encoder, generator_loss, adversarial),
    }
    if config.labels:
        phases["classifier"] = Player(encoder[:2], classification_loss, last)
    if heads:
        phases["heads"] = Player(heads, partial(separation_loss, config=config), first)
    return phases


def sgd(config: Config, rate: float, momentum: float = 0.9) -> optax.GradientTransformation:
    """Gradient descent with momentum, whose rate is divided by ten after the given epochs."""
    epoch = (sets.SOURCES[config.data].sizes["train"] - config.validation) // config.batch_size
    drops = {drop * epoch: 0.1 for drop in config.drops}
    return optax.sgd(optax.piecewise_constant_schedule(rate, drops), momentum)


# Networks and data --------------------------------------------------------------------------------


class AAE(nn.Module):
    """An encoder of y and z, the decoder, a discriminator of each, and the labelled images."""

    encoder: nn.Module  # [b, d] -> [b, hidden]
    category: nn.Module  # -> logits of q(y|x)
    style: nn.Module  # -> z
    heads: nn.Module | None  # y -> its head, in the space of z
    decoder: nn.Module  # y and z, or the sum of head and z -> [b, d] in (0, 1)
    category_discriminator: nn.Module  # y -> logits [b, 1]
    style_discriminator: nn.Module  # z -> logits [b, 1]
    labelled: Labelled
    corrupt: Corruption  # of the input of the encoder in training

    def encode(self, x: Array) -> tuple[Array, Array]:
        """The probabilities q(y|x) [b, categories] and the style z [b, latents]."""
        h = self.encoder(x)
        return nn.softmax(self.category(h)), self.style(h)

    def decode(self, y: Array, z: Array) -> tuple[Array, Array]:
        """The code, [y, z] or W_C^T y + z (section 7), and its image: [b, d] in (0, 1)."""
        code = self.heads(y) + z if self.heads else jnp.concatenate([y, z], 1)
        return code, self.decoder(code)

    def autoencode(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """q(y|x), z, the code of both, and the reconstruction."""
        y, z = self.encode(x)
        return y, z, *self.decode(y, z)


def model(config: Config) -> AAE:
    """Perceptrons with ReLU; the style is linear, y a softmax, the pixels are sigmoids."""
    pixels = int(np.prod(sets.SOURCES[config.data].fields["image"].shape))
    affine, norm = partial(Affine, std=config.weight_std), config.batch_norm
    mlp = partial(perceptron, config.hidden, affine)
    init = nn.initializers.normal(config.separation)
    return AAE(
        encoder=mlp(norm=norm),
        category=affine(config.categories, norm=norm),
        style=affine(config.latents, norm=norm),
        heads=nn.Dense(config.latents, False, kernel_init=init) if config.separation else None,
        decoder=mlp(affine(pixels), nn.sigmoid),
        category_discriminator=mlp(affine(1)),
        style_discriminator=mlp(affine(1)),
        labelled=Labelled(),
        corrupt=Corruption(config.noise, config.dropout),
    )


def source(config: Config) -> Source:
    """The images as vectors in [0, 1], "x" [b, d]; the first batch also has the labelled images."""
    few = partial(few_labels.balanced, count=config.labels, classes=10, seed=config.run.seed)
    extras = few if config.labels else pipeline.no_extras
    train = f"train[:{sets.SOURCES[config.data].sizes['train'] - config.validation}]"
    return Source(config.data, pipeline.vectors, train=train, init_extras=extras)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"  # the data set
    categories: Count = 10  # values of y: the classes, or clusters
    labels: Natural = 100  # labelled images, balanced, chosen by the seed; 0: clustering
    latents: Count = 10  # dimensions of the style z, whose prior is N(0, I)
    separation: NonNegative = 0.0  # minimum distance of cluster heads (7); 0: the code is [y, z]
    hidden: tuple[Count, ...] = (1000, 1000)  # ReLU units of encoder, decoder and discriminators
    batch_norm: bool = False  # in all encoder layers, also the softmax; crucial for clustering
    noise: NonNegative = 0.3  # standard deviation of the noise on the encoder input in training
    dropout: Fraction = 0  # share of the encoder input that is set to 0 in training
    weight_std: Positive = 0.01  # standard deviation of the initial weights
    batch_size: Count = 100  # images in a batch, and labelled images in a batch
    steps: Count = 5000 * 590  # updates of each player; an epoch has 590
    reconstruction_rate: Positive = 0.01  # learning rate of SGD with momentum 0.9
    adversarial_rate: Positive = 0.1  # learning rate of SGD with momentum 0.1, for both updates
    classification_rate: Positive = 0.1  # rate of SGD with momentum 0.9, for the classifier
    drops: tuple[Count, ...] = (50, 1000)  # epochs after which all rates are divided by ten
    validation: Count = 1000  # last training images, used to assign labels to clusters
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels % 10 or (self.labels and self.categories != 10):
            given = f"labels is {self.labels} with {self.categories} categories"
            raise UserError(f"{given}; give a multiple of 10, and 10 categories.")


PAPER = Config(run=Run(log_every=590, checkpoint_every=5900, sample_every=59_000))
NORMALISED = PAPER.but(hidden=(3000, 3000), batch_norm=True, noise=0, dropout=0.2)
CLUSTERING = NORMALISED.but(categories=30, labels=0, latents=5, steps=1500 * 590, drops=(50,))
REDUCTION = PAPER.but(latents=2, separation=6)
PRESETS = {
    "paper": ("section 5: 100 labels; 5000 epochs", PAPER),
    "labels1000": ("section 5: 1000 labels; 5000 epochs", PAPER.but(labels=1000)),
    "clustering": ("section 6: 30 clusters, 3000 units; 1500 epochs", CLUSTERING),
    "clustering16": ("section 6: 16 clusters", CLUSTERING.but(categories=16)),
    "reduction": ("section 7: a plane, 100 labels; 5000 epochs", REDUCTION),
}

# Evaluation ---------------------------------------------------------------------------------------

OF = "5000 epochs; test images"
BY = "a cluster takes the label of its most probable validation image; test images"
CLAIMS = {
    "test/error_100_labels": Claim(1.90, 0.10, "Table 2", "unverified", protocol=OF, data="mnist"),
    "test/error_1000_labels": Claim(1.60, 0.08, "Table 2", "unverified", protocol=OF, data="mnist"),
    "test/error_16_clusters": Claim(9.55, 2.05, "Table 3", "unverified", protocol=BY, data="mnist"),
    "test/error_30_clusters": Claim(4.10, 1.13, "Table 3", "unverified", protocol=BY, data="mnist"),
}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Error of y on test images; distances of y and z from their priors; 1-NN on the codes."""
    x, of_category = codes.vectors(data.test), np.arange(10)
    y, z, code, reconstruction = map(np.asarray, model.autoencode(x))
    if not config.labels:
        kept = sets.load(config.data, f"train[{pipeline.size(data.train)}:]", config.run.data)
        of_category = probes.cluster_labels(model.autoencode(codes.vectors(kept))[0], kept["label"])
    kind = f"{config.labels}_labels" if config.labels else f"{config.categories}_clusters"
    prior, names = jax.random.normal(key, z.shape), ("styles", "N(0, I)")
    return {
        f"test/error_{kind}": probes.category_error(y, data.test["label"], of_category),
        **codes.reconstruction_error(reconstruction, x),
        **codes.compare(z, prior, seed=config.run.seed, names=names),
        **codes.entropies(y),
        **(codes.nearest_neighbours(model, data, code) if config.separation else {}),
    }


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Samples, one category per column and style per row; reconstructions; planar codes."""
    y, z = jnp.eye(config.categories), jax.random.normal(key, (10, config.latents))
    plane = config.separation > 0 and config.latents == 2
    return codes.category_pictures(model, data, y, z, plane=plane)


if __name__ == "__main__":
    cli(__spec__)
