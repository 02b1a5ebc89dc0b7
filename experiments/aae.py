"""Adversarial Autoencoders.

Alireza Makhzani, Jonathon Shlens, Navdeep Jaitly, Ian Goodfellow, Brendan Frey. 2015. arXiv:1511.05644

Replicated: each minibatch's two phases as three players (reconstruction; the discriminator; the encoder as generator)
with deterministic, Gaussian and universal-approximator encoders and any prior that can be drawn from; labels that shape
the prior (section 2.3); MNIST's likelihood (3); style beside the label (4). For sections 5 to 7 see aae_labels.py.

Not replicated: TFD, and the estimate by 10 million draws. There is no official code, and the paper's text was not at
hand: the rates are those of an independent replication, and the mixture's and the roll's sizes and the settings of
`conditioned` and `supervised` are ours.

Cost: `paper` makes 13 steps a second on one CPU core: beside other work `quick` took 10 to 14 minutes.

Run: python -m experiments.aae quick
"""

import dataclasses
import math
import sys
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import images, losses
from gen_jax.config import Checked, Count, Fraction, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.pipeline import Data, Source
from gen_jax.distributions import Gaussian
from gen_jax.errors import UserError
from gen_jax.evaluation import classifier, likelihood, two_sample
from gen_jax.game import Player, Trained
from gen_jax.networks import mlp
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

CLASSES = 10
COMPARED = 2000  # codes, with as many draws of the prior

# Priors ---------------------------------------------------------------------------------------------------------------


def gaussian(key: Key, labels: Array, latents: int) -> Array:
    """N(0, I), whatever the labels: [n, latents]."""
    return jax.random.normal(key, (len(labels), latents))


def mixture(key: Key, labels: Array, latents: int) -> Array:
    """Component i of 10 is a petal: 1.4 from the origin at the angle 2 pi i / 10, 0.5 long and 0.1 wide: [n, 2]."""
    along, across = jax.random.normal(key, (2, len(labels)))
    along, across, angle = 1.4 + 0.5 * along, 0.1 * across, 2 * math.pi * labels / CLASSES
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([along * cos - across * sin, along * sin + across * cos], 1)


def swiss_roll(key: Key, labels: Array, latents: int) -> Array:
    """Two turns of a spiral, radius in proportion to the angle; class i is the i-th tenth, from the centre: [n, 2]."""
    way = jnp.sqrt((labels + jax.random.uniform(key, labels.shape)) / CLASSES)
    return jnp.stack([way * jnp.cos(4 * math.pi * way), way * jnp.sin(4 * math.pi * way)], 1)


PRIORS = {
    "gaussian": gaussian,
    "mixture": mixture,
    "swiss_roll": swiss_roll,
}  # any sampler may be added
PLANE = ("mixture", "swiss_roll")  # those that draw 2 latents

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """The data set."""
    encoder: Literal["deterministic", "gaussian", "universal"] = "deterministic"
    """q(z|x): a function of x; a Gaussian; or a function of x and as many Gaussian noises as latents (section 2)."""
    latents: Count = 8
    """Dimensions of the code z."""
    prior: str = "gaussian"
    """p(z): a name in PRIORS."""
    prior_scale: Positive = 5.0
    """Times its draws: the standard deviation of the Gaussian."""
    hidden: tuple[Count, ...] = (1000, 1000)
    """Rectifiers of the encoder, the decoder and the discriminator."""
    label_to: Literal["nobody", "discriminator", "decoder"] = "nobody"
    """Who is given the label: the prior and the discriminator of z (section 2.3), or the decoder (section 4)."""
    known: Fraction = 0.2
    """The share of images whose label the discriminator is given; the others are of an eleventh class."""
    weight_std: Positive = 0.01
    """Initial weights are N(0, this squared)."""
    batch_size: Count = 100
    """Images in a batch."""
    steps: Count = 118_000
    """Updates of each player; 590 are an epoch."""
    learning_rate: Positive = 2e-4
    """Adam's, in the reconstruction phase."""
    adversarial_rate: Positive = 1e-4
    """Adam's, in both moves of the regularisation phase."""
    validation: Count = 1000
    """The last training images, kept to choose the width of the Parzen window."""
    draws: Count = 10_000
    """Images drawn from the model to be measured."""
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prior not in PRIORS:
            raise UserError(
                f"prior is {self.prior!r}; it must be one of {', '.join(PRIORS)}, or be added to PRIORS."
            )
        if self.prior in PLANE and self.latents != 2:
            raise UserError(
                f"latents is {self.latents}; {self.prior} draws 2: set as many latents."
            )


PAPER = Config(run=Run(log_every=500, checkpoint_every=5900, sample_every=11_800))
CONDITIONED = dataclasses.replace(PAPER, latents=2, prior="mixture", label_to="discriminator")
TINY_RUN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = Config(
    data="digits", latents=2, hidden=(16, 16), weight_std=0.1, batch_size=32, steps=40, run=TINY_RUN
)

PRESETS = {
    "paper": ("section 3: 8 latents, a Gaussian prior of deviation 5; 200 epochs", PAPER),
    "conditioned": (
        "section 2.3: a mixture of 10 Gaussians in a plane, a fifth of the labels",
        CONDITIONED,
    ),
    "supervised": (
        "section 4: 15 latents of style",
        dataclasses.replace(PAPER, latents=15, label_to="decoder"),
    ),
    "quick": (
        "as paper, 10 epochs; 10 to 14 minutes on a busy core",
        dataclasses.replace(PAPER, steps=10 * 590, run=Run()),
    ),
    "tiny": (
        "8x8 digits; seconds, for tests",
        dataclasses.replace(TINY, validation=100, draws=100),
    ),
}

CLAIMS = {
    "test/parzen": Claim(
        340, 2, "Table 1", "unverified", better="higher", protocol=likelihood.PARZEN
    )
}
UNITS = {
    "test/reconstruction": "squared error per image",
    "test/mmd": "squared, codes of test images against the prior; Gaussian kernel of the median distance",
    "test/two_sample_accuracy": "of telling codes (with labels, if the prior has them) from the prior; 0.5 is equal",
    "test/label_accuracy": "of our classifier of this set, on images drawn with a label",
}

# Networks -------------------------------------------------------------------------------------------------------------


class AAE(nn.Module):
    """The autoencoder, and the discriminator of codes."""

    config: Config
    encoder: nn.Module  # [b, d] -> z, or its mean and log variance
    decoder: nn.Module  # [b, latents] -> [b, d] in (0, 1)
    discriminator: nn.Module  # [b, latents] -> logits [b, 1]


def model(config: Config) -> AAE:
    """Multilayer perceptrons of rectifiers; the code is linear, the pixels are sigmoids (appendix A.1)."""
    pixels, init = (
        math.prod(SOURCES[config.data].fields["image"].shape),
        nn.initializers.normal(config.weight_std),
    )

    def perceptron(features: int, *last: Any) -> nn.Module:
        hidden = mlp.MLP(config.hidden, nn.relu, init)
        return nn.Sequential((hidden, nn.Dense(features, kernel_init=init), *last))

    outputs = config.latents * (2 if config.encoder == "gaussian" else 1)
    return AAE(config, perceptron(outputs), perceptron(pixels, nn.sigmoid), perceptron(1))


def source(config: Config) -> Source:
    """The images as vectors in [0, 1], [b, d], but for those kept for validation."""
    train = f"train[:{SOURCES[config.data].sizes['train'] - config.validation}]"
    return Source(config.data, pipeline.vectors, train=train)


# Objectives -----------------------------------------------------------------------------------------------------------


def encode(model: Any, x: Array, key: Key) -> Array:
    """A code by any of the three encoders (section 2): [b, d] -> [b, latents]."""
    config = model.config
    if config.encoder == "universal":
        return model.encoder(
            jnp.concatenate([x, jax.random.normal(key, (len(x), config.latents))], 1)
        )
    if config.encoder == "gaussian":
        return Gaussian(*jnp.split(model.encoder(x), 2, 1)).sample(key, 1)[0]
    return model.encoder(x)


def decode(model: Any, z: Array, label: Array) -> Array:
    """An image of a code, and of the label where the decoder is given it: [b, d] in (0, 1)."""
    given = jax.nn.one_hot(label, CLASSES if model.config.label_to == "decoder" else 0)
    return model.decoder(jnp.concatenate([z, given], 1))


def judge(model: Any, z: Array, label: Array) -> Array:
    """The discriminator of z, given the label or the eleventh class where labels shape the prior: logits [b, 1]."""
    given = jax.nn.one_hot(label, CLASSES + 1 if model.config.label_to == "discriminator" else 0)
    return model.discriminator(jnp.concatenate([z, given], 1))


def known_label(config: Config, batch: Batch) -> Array:
    """The label where it is known, else 10: [b]. The sum of an image's pixels decides: it is always the same ones."""
    known = batch["image"].astype(jnp.int32).sum((1, 2, 3)) % 1000 < 1000 * config.known
    return jnp.where(
        known & (config.label_to == "discriminator"), batch["label"].astype(jnp.int32), CLASSES
    )


def draw_prior(config: Config, label: Array, key: Key) -> Array:
    """z ~ p(z|label), or ~ p(z), all of it, where the label is 10: [n] -> [n, latents]."""
    key_label, key_z = jax.random.split(key)
    part = jnp.where(
        label == CLASSES, jax.random.randint(key_label, label.shape, 0, CLASSES), label
    )
    z = config.prior_scale * PRIORS[config.prior](key_z, part, config.latents)
    if z.shape != (len(label), config.latents):
        raise UserError(
            f"latents is {config.latents}; {config.prior} draws {list(z.shape)}: set as many latents."
        )
    return z


def reconstruction(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """The squared error of an image, summed over its pixels."""
    again = decode(model, encode(model, batch["x"], key), batch["label"])
    return ((again - batch["x"]) ** 2).sum(1).mean(), {}


def discrimination(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """-E log D(z) over the prior - E log(1 - D(z)) over the codes; both with the same labels (section 2.3)."""
    key_code, key_prior = jax.random.split(key)
    label = known_label(model.config, batch)
    real = judge(model, draw_prior(model.config, label, key_prior), label)
    fake = judge(model, encode(model, batch["x"], key_code), label)
    return losses.bce_real(real) + losses.bce_fake(fake), {"accuracy": losses.accuracy(real, fake)}


def generation(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """-E log D(z) over the codes: the encoder makes them pass for the prior's."""
    return losses.bce_real(
        judge(model, encode(model, batch["x"], key), known_label(model.config, batch))
    ), {}


def players(config: Config) -> dict[str, Player]:
    """The reconstruction phase, and the two moves of the regularisation phase (section 2)."""
    adversarial = optax.adam(config.adversarial_rate)
    return {
        "reconstruction": Player(
            ("encoder", "decoder"), reconstruction, optax.adam(config.learning_rate)
        ),
        "discriminator": Player(("discriminator",), discrimination, adversarial),
        "generator": Player(("encoder",), generation, adversarial),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def seen(model: Any, batch: Batch, key: Key) -> tuple[Array, Array]:
    """Codes of images, and the images of the codes."""
    z = encode(model, batch["x"], key)
    return z, decode(model, z, batch["label"])


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """How far codes are from the prior, how well they are decoded, and how likely the test images are under draws."""
    key_test, key_codes, key_prior, key_labels, key_draws = jax.random.split(key, 5)
    test = data.prepare({n: jnp.asarray(a) for n, a in data.test.items()}, key_test)
    z, again = model(seen, test, key_codes)
    label = known_label(dataclasses.replace(config, known=1), test)
    codes, prior = (
        np.concatenate([points, jax.nn.one_hot(label, CLASSES)], 1)[:COMPARED]
        for points in (z, draw_prior(config, label, key_prior))
    )
    measures = {
        "test/reconstruction": float(((again - test["x"]) ** 2).sum(1).mean()),
        "test/mmd": two_sample.squared_mmd(z[:COMPARED], prior[:, : config.latents]),
        "test/two_sample_accuracy": two_sample.two_sample_accuracy(
            codes, prior, seed=config.run.seed
        ),
    }
    labels = jax.random.randint(key_labels, (config.draws,), 0, CLASSES)
    drawn = model(decode, draw_prior(config, labels, key_draws), labels)  # [draws, d]
    if config.label_to != "nobody":
        split, truth = (
            sets.load(config.data, "train", config.run.data),
            (data.test["image"], data.test["label"]),
        )
        known = classifier.classifier(split["image"], split["label"], test=truth, name=config.data)
        told = known.logits(np.asarray(drawn).reshape(-1, *known.shape)).argmax(1)
        return {**measures, "test/label_accuracy": float((told == np.asarray(labels)).mean())}
    kept = sets.load(config.data, f"train[{pipeline.size(data.train)}:]", config.run.data)["image"]
    kept = kept.reshape(len(kept), -1).astype(np.float32) / 255
    return {**measures, **likelihood.parzen_estimate(drawn, kept, test["x"])}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Draws, a label to each column (one style to each row where the decoder has labels), and reconstructions."""
    shape, labels = SOURCES[config.data].fields["image"].shape, jnp.tile(jnp.arange(CLASSES), 10)
    key_prior, key_test, key_plane = jax.random.split(key, 3)
    z = draw_prior(config, labels, key_prior)
    if config.label_to == "decoder":
        z = jnp.repeat(z[::CLASSES], CLASSES, axis=0)
    (batch, noise), *_ = pipeline.batches(
        data.test, data.prepare, key_test, batch_size=50, count=50
    )
    pairs = jnp.stack(
        [batch["x"], model(seen, batch, noise)[1]], 1
    )  # original, reconstruction, ...
    vectors = {"samples": model(decode, z, labels), "reconstructions": pairs}
    grids = {name: images.grid(x.reshape(-1, *shape), columns=10) for name, x in vectors.items()}
    return (
        grids if config.latents != 2 else {**grids, "codes": plane(config, model, data, key_plane)}
    )


def plane(config: Config, model: Trained, data: Data, key: Key) -> np.ndarray:
    """Figure 2: the codes of test images, and as many draws of the prior, in the colours of their labels."""
    key_test, key_codes, key_prior = jax.random.split(key, 3)
    test = data.prepare(
        {name: jnp.asarray(array[:COMPARED]) for name, array in data.test.items()}, key_test
    )
    prior = np.asarray(draw_prior(config, test["label"].astype(jnp.int32), key_prior))
    both = model(seen, test, key_codes)[0], prior
    reach = 1.2 * float(np.abs(prior).max())
    return np.concatenate(
        [images.scatter(points, test["label"], reach=reach) for points in both], 1
    )


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
