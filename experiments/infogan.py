"""InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets.

Xi Chen, Yan Duan, Rein Houthooft, John Schulman, Ilya Sutskever, Pieter Abbeel. NIPS 2016. arXiv:1606.03657

Replicated: MNIST, with one categorical and two continuous codes in addition to the noise; the trunk
shared by D and Q; the constants of the paper and of the official code; the bound on the mutual
information, in nats for each code, compared with a plain GAN with a passive Q (figure 1); the error
of the category as a classifier of digits; traversals of the codes.

Not replicated: SVHN, CelebA, Faces and Chairs. The paper gives neither the weight of the continuous
codes on MNIST nor the number of updates: ours are 0.1, and 5000 as in the official code. The 1e-8
inside the logarithms of the official code is omitted.

Cost: `quick` takes 7 minutes of a CPU core (12 steps/s); the widths of the paper take about an hour
(1 to 2 steps/s). Run: python -m experiments.infogan quick
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax.config import Checked, Count, Fraction, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.distributions import Gaussian
from gen_jax.evaluation import clustering, mutual_information, probes
from gen_jax.images import grid
from gen_jax.losses import accuracy, bce_fake, bce_real
from gen_jax.networks.infogan import Code, Dense, Generator, Prior, QHead, Trunk
from gen_jax.optimizers import Adam
from gen_jax.types import Params

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: InfoGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G(z, c))) - lambda L_I (equation 6); Q is updated with D."""
    # Batch norm treats real and fake images as separate batches.
    real = model.discriminator_head(model.trunk(batch["x"]))
    fake, nats = fake_batch(model, len(batch["x"]), key)
    metrics = {"accuracy": accuracy(real, fake), **by_code(nats)}
    return bce_real(real) + bce_fake(fake) - lambdas(config) @ nats, metrics


def generator_loss(
    model: InfoGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(G(z, c)) - lambda L_I (equation 6, non-saturating as in the official code)."""
    fake, nats = fake_batch(model, len(batch["x"]), key)
    return bce_real(fake) - lambdas(config) @ nats, by_code(nats)


def q_loss(model: InfoGAN, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """-L_I, the objective of a passive Q."""
    _, nats = fake_batch(model, len(batch["x"]), key)
    return -nats.sum(), by_code(nats)


def fake_batch(model: InfoGAN, count: int, key: Key) -> tuple[Array, Array]:
    """Discriminator logits of generated images, [count, 1], and L_I of each code, [1 + 2]."""
    code = PRIOR.draw(count, key)
    h = model.trunk(model.generator(code))
    return model.discriminator_head(h), information(model.q_head(h), code)


def information(posterior: tuple[Array, Gaussian], code: Code) -> Array:
    """L_I = E log Q(c|x) + H(c) <= I(c; G(z, c)) of each code, in nats (equation 5): [1 + 2].

    H is log 10 of the category, and log 2 of each continuous code.
    """
    logits, continuous = posterior
    category = (code.category * jax.nn.log_softmax(logits)).sum(-1) + math.log(10)  # [b]
    separate = Gaussian(*(parameter[..., None] for parameter in continuous))  # [b, 2, 1]
    return jnp.append(
        category.mean(), (separate.log_prob(code.continuous[..., None]) + math.log(2)).mean(0)
    )


def by_code(nats: Array) -> Metrics:
    """L_I of each code, by its metric name: [1 + 2] -> [] each."""
    return dict(zip(NAMES, nats, strict=True))


def lambdas(config: Config) -> np.ndarray:
    """The weight of L_I of each code, 0 if Q is passive: [1 + 2]."""
    weights = [config.lambda_category] + PRIOR.continuous * [config.lambda_continuous]
    return np.array(weights, np.float32) * (not config.passive)


def players(config: Config) -> dict[str, Player]:
    """Q is updated with D, as in the official code; a passive Q is a separate player."""
    slow = config.adam.over(config.steps)
    fast = config.adam.but(learning_rate=config.generator_rate).over(config.steps)
    d, g = (partial(loss, config=config) for loss in (discriminator_loss, generator_loss))
    moves, q = ("trunk", "discriminator_head"), ("q_head",)
    both = {
        "discriminator": Player(moves if config.passive else moves + q, d, slow),
        "generator": Player(("generator",), g, fast),
    }
    return {**both, "q": Player(q, q_loss, slow)} if config.passive else both


# Networks and data --------------------------------------------------------------------------------

PRIOR = Prior(noise=62, categories=10, continuous=2)  # appendix C.1
NAMES = ("information_category", "information_continuous_1", "information_continuous_2")


class InfoGAN(nn.Module):
    """G(z, c), and on one trunk D(x) and Q(c|x)."""

    generator: Generator
    trunk: Trunk
    discriminator_head: nn.Dense
    q_head: QHead


def model(config: Config) -> InfoGAN:
    side = sets.SOURCES[config.data].fields["image"].shape[0]
    generator, trunk = Generator(side, config.width), Trunk(config.width, config.leak)
    q_head = QHead(config.width, config.leak, PRIOR, learned_sigma=config.sigma == "learned")
    return InfoGAN(generator, trunk, Dense(1), q_head)


def source(config: Config) -> Source:
    """ "x": grey values in [0, 1], [b, side, side, 1]."""
    return Source(
        config.data, lambda batch, _: {**batch, "x": batch["image"].astype(jnp.float32) / 255}
    )


# Config -------------------------------------------------------------------------------------------

ADAM = Adam(2e-4, b1=0.5)


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"  # 28x28, 28x28 and 8x8 pixels
    width: Count = 64  # filters next to the image; the other layers are multiples of it
    leak: Fraction = 0.1  # slope of the leaky ReLU: 0.1 in appendix C.1, 0.01 in the code
    sigma: Literal["learned", "one"] = "learned"  # of Q's Gaussians; 1 in the official code
    lambda_category: NonNegative = 1.0  # weight of the category's L_I (section 6)
    # Weight of the L_I of each continuous code: "smaller" in section 6, 1 in the official code.
    lambda_continuous: NonNegative = 0.1
    passive: bool = False  # figure 1: D and G are a plain GAN, Q only reads the trunk of D
    batch_size: Count = 128  # real images, and fakes, in a batch
    steps: Count = 5000  # updates of each player (the official code: 50 epochs of 100)
    adam: Adam = ADAM  # of all players; the learning rate is that of D and Q
    generator_rate: Positive = 1e-3  # Adam's learning rate for the generator
    draws: Count = 10_000  # fakes whose digits our classifier reads, in the evaluation
    run: Run = Run()

    RENAMED: ClassVar = {
        "discriminator_rate": "adam.learning_rate",
        "epsilon_hat": "adam.epsilon_hat",
    }
    FORMERLY: ClassVar = {"adam": {"b1": 0.5}}


CODE_ADAM = Adam(2e-4, b1=0.5, epsilon_hat=True)
OFFICIAL = Config(leak=0.01, sigma="one", lambda_continuous=1, adam=CODE_ADAM)
PASSIVE = Config(passive=True)
PRESETS = {
    "paper": ("appendix C.1: learned sigma, leak 0.1; about an hour on one core", Config()),
    "official": ("the official code: sigma 1, leak 0.01; about an hour on one core", OFFICIAL),
    "passive": ("a plain GAN with a passive Q (figure 1); about an hour on one core", PASSIVE),
}

# Evaluation ---------------------------------------------------------------------------------------

MATCHED = "each category matched to a digit; whether one-to-one is not stated"
ERROR = Claim(5, None, "section 7.2", "read", protocol=MATCHED, data="mnist")
CLAIMS = {"test/error_best_map": ERROR, "test/error_hungarian": ERROR}


@partial(jax.jit, static_argnums=0)
def read(module: nn.Module, variables: Params, x: Array, key: Key) -> tuple[Array, Array]:
    """The most likely category of each image, [b], and L_I of each code from b fakes, [1 + 2].

    Batch norm uses the statistics of each batch, as in training: the running averages mix real
    and fake images, and Q hardly works with them.
    """

    def found(model: InfoGAN) -> tuple[Array, Array]:
        return model.q_head(model.trunk(x))[0].argmax(-1), fake_batch(model, len(x), key)[1]

    return module.apply(variables, method=found, mutable=["batch_stats"])[0]


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Error of the category on test images and on fakes, and L_I from as many fakes."""
    batches = pipeline.batches(data.test, data.prepare, key, batch_size=100)
    found = (read(model.module, model.variables, batch["x"], use) for batch, use in batches)
    categories, nats = zip(*found, strict=True)
    counts = clustering.confusion(np.concatenate(categories), data.test["label"], PRIOR.categories)
    bounds = mutual_information.bounds(
        np.mean(nats, axis=0), NAMES, categories=PRIOR.categories, counted=config.sigma == "one"
    )
    code = PRIOR.draw(config.draws, key)
    of_fakes = probes.impurity(
        model.generator(code), code.category.argmax(-1), config.data, config.run.data
    )
    errors = {**clustering.errors(counts), "fakes/error_best_map": of_fakes}
    return {**errors, **clustering.by_label(counts), **bounds}


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Samples, and a traversal of each code."""
    figures = mutual_information.traversals(PRIOR, key)
    return {name: grid(model.generator(code), columns=10) for name, code in figures.items()}


if __name__ == "__main__":
    cli(__spec__)
