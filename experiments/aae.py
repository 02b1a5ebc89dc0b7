"""Adversarial Autoencoders.

Alireza Makhzani, Jonathon Shlens, Navdeep Jaitly, Ian Goodfellow, Brendan Frey. 2015. arXiv:1511.05644

Replicated: the two phases of each minibatch as three players (reconstruction; discriminator;
encoder as generator) with deterministic, Gaussian and universal-approximator encoders and any prior
that can be sampled; labels that shape the prior (section 2.3); the likelihood on MNIST (section 3);
style separated from the label (section 4). Sections 5 to 7 are in aae_labels.py.

Not replicated: TFD, and the estimate from 10 million samples. There is no official code, and the
paper was not available: the learning rates are those of an independent replication; the sizes of
the mixture and the roll and the settings of `conditioned` and `supervised` are ours.

Cost: `paper` runs at 13 steps/s on a CPU core; `quick` took 10 to 14 minutes on a busy core.

Run: python -m experiments.aae quick
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Fraction, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.synthetic import priors
from gen_jax.distributions import Gaussian
from gen_jax.evaluation import codes, likelihood, probes
from gen_jax.losses import accuracy, bce_fake, bce_real
from gen_jax.networks import mlp
from gen_jax.optimizers import Adam

# Objectives ---------------------------------------------------------------------------------------


def reconstruction_loss(model: AAE, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Squared error of an image, summed over its pixels."""
    x = batch["x"]
    _, reconstruction = model.autoencode(x, batch["label"], key)
    return ((reconstruction - x) ** 2).sum(1).mean(), {}


def discriminator_loss(
    model: AAE, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-E log D(z) over the prior - E log(1 - D(z)) over codes, both with the same labels."""
    key_code, key_prior = jax.random.split(key)
    label = known_label(config, batch)
    real = model.discriminate(draw_prior(config, key_prior, label), label)
    fake = model.discriminate(model.encode(batch["x"], key_code), label)
    return bce_real(real) + bce_fake(fake), {"accuracy": accuracy(real, fake)}


def generator_loss(model: AAE, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """-E log D(z) over the codes: the encoder is the generator."""
    z = model.encode(batch["x"], key)
    return bce_real(model.discriminate(z, known_label(config, batch))), {}


def players(config: Config) -> dict[str, Player]:
    """The reconstruction phase, and the two updates of the regularisation phase (section 2)."""
    d_loss, g_loss = (partial(f, config=config) for f in (discriminator_loss, generator_loss))
    adam, adversarial = (a.over(config.steps) for a in (config.adam, config.adversarial_adam))
    return {
        "reconstruction": Player(("encoder", "decoder"), reconstruction_loss, adam),
        "discriminator": Player(("discriminator",), d_loss, adversarial),
        "generator": Player(("encoder",), g_loss, adversarial),
    }


def draw_prior(config: Config, key: Key, label: Array) -> Array:
    """z ~ p(z|label), or z ~ p(z) if the label is 10, unknown: [n] -> [n, latents]."""
    return config.prior_scale * priors.draw(config.prior, key, label, config.latents)


def known_label(config: Config, batch: Batch) -> Array:
    """The label if it is known to the discriminator, else 10: [b] (section 2.3).

    The sum of the pixels of an image decides, so that the known labels are always the same.
    """
    known = batch["image"].astype(jnp.int32).sum((1, 2, 3)) % 1000 < 1000 * config.known
    given = config.label_to == "discriminator"
    return jnp.where(known & given, batch["label"].astype(jnp.int32), 10)


# Networks and data --------------------------------------------------------------------------------


class AAE(nn.Module):
    """The autoencoder, and the discriminator of codes."""

    encoder: nn.Module  # [b, d] -> z, or its mean and log variance
    decoder: nn.Module  # [b, latents] -> [b, d] in (0, 1)
    discriminator: nn.Module  # [b, latents] -> logits [b, 1]
    latents: int
    universal: bool = False  # the encoder is a function of x and of Gaussian noise
    gaussian: bool = False  # the encoder outputs a mean and a log variance
    decoder_classes: int = 0  # 10 if the decoder takes the label
    discriminator_classes: int = 0  # 11 if the discriminator takes it, with a class for unknown

    def encode(self, x: Array, key: Key) -> Array:
        """z ~ q(z|x), deterministic by default (section 2): [b, d] -> [b, latents]."""
        if self.universal:
            x = jnp.concatenate([x, jax.random.normal(key, (len(x), self.latents))], 1)
        z = self.encoder(x)
        return Gaussian(*jnp.split(z, 2, 1)).sample(key, 1)[0] if self.gaussian else z

    def decode(self, z: Array, label: Array) -> Array:
        """The image of a code and, if the decoder takes it, a label: [b, d] in (0, 1)."""
        return self.decoder(jnp.concatenate([z, jax.nn.one_hot(label, self.decoder_classes)], 1))

    def discriminate(self, z: Array, label: Array) -> Array:
        """Logits of a code and, if the discriminator takes it, a label: [b, 1]."""
        label = jax.nn.one_hot(label, self.discriminator_classes)
        return self.discriminator(jnp.concatenate([z, label], 1))

    def autoencode(self, x: Array, label: Array, key: Key) -> tuple[Array, Array]:
        """The code of an image, and its reconstruction: [b, latents], [b, d]."""
        z = self.encode(x, key)
        return z, self.decode(z, label)


def model(config: Config) -> AAE:
    """Multilayer perceptrons with ReLU; the code is linear, the pixels are sigmoids (A.1)."""
    pixels = int(np.prod(sets.SOURCES[config.data].fields["image"].shape))
    init = nn.initializers.normal(config.weight_std)

    def perceptron(features: int, *last: Any) -> nn.Module:
        hidden = mlp.MLP(config.hidden, nn.relu, init)
        return nn.Sequential((hidden, nn.Dense(features, kernel_init=init), *last))

    outputs = config.latents * (2 if config.encoder == "gaussian" else 1)
    return AAE(
        *(perceptron(outputs), perceptron(pixels, nn.sigmoid), perceptron(1), config.latents),
        universal=config.encoder == "universal",
        gaussian=config.encoder == "gaussian",
        decoder_classes=10 if config.label_to == "decoder" else 0,
        discriminator_classes=11 if config.label_to == "discriminator" else 0,
    )


def source(config: Config) -> Source:
    """The images as vectors in [0, 1], "x" [b, d], without the validation images."""
    train = f"train[:{sets.SOURCES[config.data].sizes['train'] - config.validation}]"
    return Source(config.data, pipeline.vectors, train=train)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"  # the data set
    # q(z|x): a function of x; a Gaussian; a function of x and a noise vector as long as z (2)
    encoder: Literal["deterministic", "gaussian", "universal"] = "deterministic"
    latents: Count = 8  # dimensions of the code z
    prior: str = "gaussian"  # p(z): gaussian, mixture, swiss_roll, or one added to PRIORS
    prior_scale: Positive = 5.0  # scale of the prior: the Gaussian's standard deviation
    hidden: tuple[Count, ...] = (1000, 1000)  # ReLU units of encoder, decoder and discriminator
    # which networks take the label: none; the prior and discriminator of z (2.3); the decoder (4)
    label_to: Literal["nobody", "discriminator", "decoder"] = "nobody"
    known: Fraction = 0.2  # share of labels known to the discriminator; the rest are class 11
    weight_std: Positive = 0.01  # standard deviation of the initial weights
    batch_size: Count = 100  # images in a batch
    steps: Count = 118_000  # updates of each player; an epoch has 590
    adam: Adam = Adam(2e-4)  # of the reconstruction phase
    adversarial_adam: Adam = Adam(1e-4)  # of both updates of the regularisation phase
    validation: Count = 1000  # last training images, used to choose the width of the Parzen window
    draws: Count = 10_000  # images drawn from the model for evaluation
    run: Run = Run()

    RENAMED: ClassVar = {
        "learning_rate": "adam.learning_rate",
        "adversarial_rate": "adversarial_adam.learning_rate",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        priors.check(self.prior, self.latents)


PAPER = Config(run=Run(log_every=500, checkpoint_every=5900, sample_every=11_800))
CONDITIONED = PAPER.but(latents=2, prior="mixture", label_to="discriminator")
SUPERVISED = PAPER.but(latents=15, label_to="decoder")
PRESETS = {
    "paper": ("section 3: 8 latents, a Gaussian prior of deviation 5; 200 epochs", PAPER),
    "conditioned": ("section 2.3: 10 Gaussians in a plane, 20 % of the labels", CONDITIONED),
    "supervised": ("section 4: 15 latents of style", SUPERVISED),
}

# Evaluation ---------------------------------------------------------------------------------------

WHERE, HOW = "Table 1, as quoted in Epitomic VAE, Table 2", likelihood.PARZEN
CLAIMS = {"test/parzen": Claim(340, 2, WHERE, "unverified", "higher", HOW, data="mnist")}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Distance of codes from the prior; reconstruction; likelihood, or label accuracy."""
    key_test, key_codes, key_prior, key_labels, key_draws = jax.random.split(key, 5)
    test = data.prepare({n: jnp.asarray(a) for n, a in data.test.items()}, key_test)
    z, reconstruction = model.autoencode(test["x"], test["label"], key_codes)
    label = known_label(config.but(known=1), test)
    prior, one_hot = draw_prior(config, key_prior, label), jax.nn.one_hot(label, 10)
    found = codes.reconstruction_error(reconstruction, test["x"])
    found |= codes.compare(z, prior, one_hot, seed=config.run.seed)
    labels = jax.random.randint(key_labels, (config.draws,), 0, 10)
    drawn = model.decode(draw_prior(config, key_draws, labels), labels)  # [draws, d]
    if config.label_to != "nobody":
        right = probes.label_accuracy(drawn, labels, config.data, config.run.data)
        return found | {"test/label_accuracy": right}
    kept = sets.load(config.data, f"train[{pipeline.size(data.train)}:]", config.run.data)
    train, validation = pipeline.flat(data.train), pipeline.flat(kept)
    return found | likelihood.parzen_estimate(drawn, train, validation, test["x"])


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Samples, one label per column (and one style per row, if the decoder takes labels); test
    images with their reconstructions; figure 2 if the codes are in a plane.
    """
    one_style = config.label_to == "decoder"
    return codes.pictures(model, data, key, partial(draw_prior, config), one_style=one_style)


if __name__ == "__main__":
    cli(__spec__)
