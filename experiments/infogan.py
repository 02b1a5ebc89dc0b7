"""InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets.

Xi Chen, Yan Duan, Rein Houthooft, John Schulman, Ilya Sutskever, Pieter Abbeel. NIPS 2016. arXiv:1606.03657

Replicated: MNIST, with one category and two continuous codes beside the noise; the trunk that D and Q share; the
constants of the paper and of the official code; the bound on the mutual information, in nats for each code, beside a
plain GAN with a passive Q (figure 1); the error of the category as a classifier of digits; traversals of the codes.

Not replicated: SVHN, CelebA, Faces and Chairs. The paper gives neither the weight of the continuous codes on MNIST nor
the number of updates: ours are 0.1, and 5000 as in the official code, whose 1e-8 inside the logarithms ours do without.

Cost: on one CPU core `quick` plays 12 steps a second, and takes 7 minutes; with the paper's widths 1 to 2, so that 5000
take about an hour.

Run: python -m experiments.infogan quick
"""

import dataclasses
import math
import sys
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from scipy.optimize import linear_sum_assignment

from gen_jax import images, losses, optimizers
from gen_jax.config import Checked, Count, Fraction, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.distributions import LOG_2PI, Gaussian
from gen_jax.game import Player, Trained
from gen_jax.networks import layers
from gen_jax.networks.conv import Conv, ConvTranspose
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------

NOISE, CATEGORIES, CONTINUOUS = (
    62,
    10,
    2,
)  # U(-1, 1) each; one code of ten equally likely values; U(-1, 1) each


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """The data set."""
    width: Count = 64
    """Filters nearest the image; all other layers are multiples of it."""
    leak: Fraction = 0.1
    """Slope of the leaky rectifiers below 0: 0.1 in appendix C.1, 0.01 in the official code."""
    sigma: Literal["learned", "one"] = "learned"
    """Of Q's Gaussians: exp of an output of Q (section 6), or 1 as in the official code."""
    lambda_category: NonNegative = 1.0
    """Weight of the category's L_I (section 6)."""
    lambda_continuous: NonNegative = 0.1
    """Weight of each continuous code's L_I: "smaller" in section 6, 1 in the official code."""
    passive: bool = False
    """Figure 1's comparison: D and G play the plain game, and Q learns to read G's codes off a trunk that it holds."""
    batch_size: Count = 128
    """Images, and fakes, in a batch."""
    steps: Count = 5000
    """Updates of each player (the official code: 50 epochs of 100)."""
    discriminator_rate: Positive = 2e-4
    """Adam's step of the trunk and of both heads."""
    generator_rate: Positive = 1e-3
    """Adam's step of the generator."""
    epsilon_hat: bool = False
    """Adam adds epsilon before the bias correction, as TensorFlow does, not after it (schedules.adam)."""
    run: Run = Run()


OFFICIAL = Config(leak=0.01, sigma="one", lambda_continuous=1, epsilon_hat=True)
QUICK = dataclasses.replace(OFFICIAL, width=16, run=Run(sample_every=1000))
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = Config(data="digits", width=8, batch_size=32, steps=40, run=OFTEN)

PRESETS = {
    "paper": ("appendix C.1: learned sigma, leak 0.1; about an hour on one core", Config()),
    "official": ("the official code: sigma 1, leak 0.01; about an hour on one core", OFFICIAL),
    "passive": (
        "a plain GAN, which Q only watches (figure 1); about an hour on one core",
        Config(passive=True),
    ),
    "quick": (
        "the official code, all of its 5000 updates, a quarter as wide; 7 minutes on one core",
        QUICK,
    ),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}

CLAIM = Claim(
    5,
    None,
    "section 7.2",
    "read",
    protocol="each category matched to a digit; one to one or not is not said",
)
CLAIMS = {"test/error_best_map": CLAIM, "test/error_hungarian": CLAIM}
NAMES = ("information_category", *(f"information_continuous_{i + 1}" for i in range(CONTINUOUS)))
H_UNIFORM = math.log(2)  # nats: the entropy of U(-1, 1)
CEILING = (
    H_UNIFORM - LOG_2PI / 2
)  # nats: of a continuous code's L_I where sigma is 1, at the right mean
EXCESS = (
    LOG_2PI + 1 / 3
) / 2 - H_UNIFORM  # nats: the official code has E -log N(c; 0, 1) in the place of the entropy
TRUE = f"nats; at most {CEILING:.4f} where sigma is 1, without a ceiling where it is learned"
COUNTED = (
    f"nats as the official code counts them, {EXCESS:.4f} too many; at most {CEILING + EXCESS:.4f}"
)
UNITS = {
    "test/error_best_map": "% of test images; each category stands for its most frequent digit, by the test labels",
    "test/error_hungarian": "% of test images; each category stands for a digit of its own, by the test labels",
    "fakes/information_category": f"nats; at most log 10 = {math.log(CATEGORIES):.4f}",
    **{f"fakes/{name}": TRUE for name in NAMES[1:]},
    **{f"fakes/counted_{name}": COUNTED for name in NAMES[1:]},
}

# Networks -------------------------------------------------------------------------------------------------------------


class Code(NamedTuple):
    """What the generator is given."""

    noise: Array  # [b, 62]
    category: Array  # [b, 10], one-hot
    continuous: Array  # [b, 2]


def draw(count: int, key: Key) -> Code:
    """`count` codes from the prior."""
    noise, category, continuous = jax.random.split(key, 3)
    return Code(
        jax.random.uniform(noise, (count, NOISE), minval=-1, maxval=1),
        jax.nn.one_hot(jax.random.randint(category, (count,), 0, CATEGORIES), CATEGORIES),
        jax.random.uniform(continuous, (count, CONTINUOUS), minval=-1, maxval=1),
    )


# The official code keeps biases below batch norms, which undo them; the published counts of weights have them too.
normal = nn.initializers.normal(0.02)
Dense = partial(nn.Dense, kernel_init=normal)
Up = partial(ConvTranspose, kernel_size=(4, 4), strides=(2, 2), kernel_init=normal)
Down = partial(
    Conv, kernel_size=(4, 4), strides=(2, 2), kernel_init=nn.initializers.truncated_normal(0.02)
)
Norm = partial(layers.BatchNorm, scale_init=lambda *like: 1 + normal(*like))


class Generator(nn.Module):
    """G(z, c) with means of Bernoulli pixels: a code -> [b, side, side, 1]."""

    side: int
    width: int

    @nn.compact
    def __call__(self, code: Code) -> Array:
        base = self.side // 4
        x = nn.relu(Norm()(Dense(16 * self.width)(jnp.concatenate(code, axis=-1))))
        x = nn.relu(Norm()(Dense(base * base * 2 * self.width)(x)))
        x = x.reshape(-1, base, base, 2 * self.width)
        x = nn.relu(Norm()(Up(self.width)(x)))  # [b, side / 2, side / 2, width]
        return nn.sigmoid(Up(1)(x))


class Trunk(nn.Module):
    """What D and Q share: [b, side, side, 1] -> [b, 16 width]."""

    width: int
    leak: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.leaky_relu(Down(self.width)(x), self.leak)
        x = nn.leaky_relu(
            Norm()(Down(2 * self.width)(x)), self.leak
        )  # [b, side / 4, side / 4, 2 width]
        return nn.leaky_relu(Norm()(Dense(16 * self.width)(x.reshape(len(x), -1))), self.leak)


class QHead(nn.Module):
    """Q(c|x), of the category by its logits and of the continuous codes: [b, 16 width] -> [b, 10] and of [b, 2]."""

    width: int
    leak: float
    sigma: Literal["learned", "one"]

    @nn.compact
    def __call__(self, h: Array) -> tuple[Array, Gaussian]:
        h = nn.leaky_relu(Norm()(Dense(2 * self.width)(h)), self.leak)
        out = Dense(CATEGORIES + 2 * CONTINUOUS)(h)
        # Where sigma is 1 its outputs are there, as in the official code, and not read.
        logits, mean, log_sigma = jnp.split(out, (CATEGORIES, CATEGORIES + CONTINUOUS), axis=-1)
        return logits, Gaussian(mean, (2 if self.sigma == "learned" else 0) * log_sigma)


class InfoGAN(nn.Module):
    """The generator, and the discriminator and Q on one trunk."""

    generator: nn.Module
    trunk: nn.Module
    discriminator_head: nn.Module
    q_head: nn.Module

    def generated(self, code: Code) -> Array:
        """[n] codes -> [n, side, side, 1]."""
        return self.generator(code)


def model(config: Config) -> InfoGAN:
    """Appendix C.1, for images of any side that 4 divides."""
    side, width, leak = SOURCES[config.data].fields["image"].shape[0], config.width, config.leak
    return InfoGAN(
        Generator(side, width), Trunk(width, leak), Dense(1), QHead(width, leak, config.sigma)
    )


def source(config: Config) -> pipeline.Source:
    """Adds "x": the grey values of "image" in [0, 1], [b, side, side, 1]."""
    return pipeline.Source(
        config.data, lambda batch, key: {**batch, "x": batch["image"].astype(jnp.float32) / 255}
    )


# Objectives -----------------------------------------------------------------------------------------------------------


def information(posterior: tuple[Array, Gaussian], code: Code) -> Array:
    """L_I of each code, E log Q(c|x) + H(c) <= I(c; G(z, c)) in nats (equation 5): the category first, [1 + 2]."""
    logits, continuous = posterior
    category = (code.category * jax.nn.log_softmax(logits)).sum(-1) + math.log(CATEGORIES)  # [b]
    alone = Gaussian(*(each[..., None] for each in continuous))  # [b, 2, 1]: the codes one by one
    return jnp.append(
        category.mean(), (alone.log_prob(code.continuous[..., None]) + H_UNIFORM).mean(0)
    )


def fake(model: Any, count: int, key: Key) -> tuple[Array, Array]:
    """The discriminator's logits of `count` images drawn from the generator, and L_I of each code."""
    code = draw(count, key)
    h = model.trunk(model.generator(code))
    return model.discriminator_head(h), information(model.q_head(h), code)


def discriminator(
    model: Any, batch: Batch, key: Key, *, weights: np.ndarray
) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G(z, c))) - lambda L_I (equation 6); real and fake images are normalised apart."""
    logits_real = model.discriminator_head(model.trunk(batch["x"]))
    logits_fake, nats = fake(model, len(batch["x"]), key)
    metrics = {
        "accuracy": losses.accuracy(logits_real, logits_fake),
        **dict(zip(NAMES, nats, strict=True)),
    }
    return losses.bce_real(logits_real) + losses.bce_fake(logits_fake) - weights @ nats, metrics


def generator(model: Any, batch: Batch, key: Key, *, weights: np.ndarray) -> tuple[Array, Metrics]:
    """-log D(G(z, c)) - lambda L_I (equation 6, non-saturating as in the official code)."""
    logits, nats = fake(model, len(batch["x"]), key)
    return losses.bce_real(logits) - weights @ nats, dict(zip(NAMES, nats, strict=True))


def recognition(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """-L_I, all that a passive Q descends."""
    _, nats = fake(model, len(batch["x"]), key)
    return -nats.sum(), dict(zip(NAMES, nats, strict=True))


def players(config: Config) -> dict[str, Player]:
    """Q is moved with D, as in the official code; a passive Q moves alone, and lambda is 0 for the two others."""
    adam = partial(optimizers.adam, b1=0.5, epsilon_hat=config.epsilon_hat)
    slow, fast = adam(config.discriminator_rate), adam(config.generator_rate)
    lambdas = np.array(
        [config.lambda_category] + CONTINUOUS * [config.lambda_continuous], np.float32
    )
    critic, maker = (
        partial(each, weights=lambdas * (not config.passive)) for each in (discriminator, generator)
    )
    judges, makers, q = ("trunk", "discriminator_head"), ("generator",), ("q_head",)
    if config.passive:
        two = {
            "discriminator": Player(judges, critic, slow),
            "generator": Player(makers, maker, fast),
        }
        return {**two, "q": Player(q, recognition, slow)}
    return {
        "discriminator": Player(judges + q, critic, slow),
        "generator": Player(makers, maker, fast),
    }


# Evaluation -----------------------------------------------------------------------------------------------------------


def errors(counts: np.ndarray) -> dict[str, float]:
    """In %, by the best map of categories to classes, and by the best that is one to one: [10, classes] images."""
    matched = {
        "best_map": counts.max(axis=1),
        "hungarian": counts[linear_sum_assignment(counts, maximize=True)],
    }
    return {
        f"test/error_{name}": 100 * float(1 - right.sum() / counts.sum())
        for name, right in matched.items()
    }


@partial(jax.jit, static_argnums=0)
def read(module: InfoGAN, variables: dict[str, Any], x: Array, key: Key) -> tuple[Array, Array]:
    """The likeliest category of each image, [b], and L_I of each code by as many fakes, normalised apart as in play."""

    def look(model: Any) -> tuple[Array, Array]:
        return model.q_head(model.trunk(x))[0].argmax(-1), fake(model, len(x), key)[1]

    # The trunk's running averages mix real and fake images and suit neither: with them Q reads next to nothing.
    return module.apply(variables, method=look, mutable=["batch_stats"])[0]


def evaluate(config: Config, model: Trained, data: pipeline.Data, key: Key) -> dict[str, float]:
    """The error of the category on test images, by batches of 100, and L_I by as many fakes."""
    batches = pipeline.batches(data.test, data.prepare, key, batch_size=100)
    categories, nats = zip(
        *(read(model.module, model.variables, batch["x"], key) for batch, key in batches),
        strict=True,
    )
    counts = np.zeros((CATEGORIES, data.test["label"].max() + 1), int)
    np.add.at(counts, (np.concatenate(categories), data.test["label"]), 1)
    bounds = {
        f"fakes/{name}": float(value)
        for name, value in zip(NAMES, np.mean(nats, axis=0), strict=True)
    }
    if config.sigma == "one":
        bounds |= {f"fakes/counted_{name}": bounds[f"fakes/{name}"] + EXCESS for name in NAMES[1:]}
    return {**errors(counts), **bounds}


def figures(key: Key) -> dict[str, Code]:
    """100 draws; figure 2: the category from left to right, a draw a row; a code from -2 to 2, a category a row."""
    free, fixed = jax.random.split(key)
    draws = jax.tree.map(lambda x: jnp.repeat(x, 10, axis=0), draw(10, fixed))
    every, line = jnp.eye(CATEGORIES), jnp.tile(jnp.linspace(-2, 2, 10), CATEGORIES)
    codes = {
        "samples": draw(100, free),
        "traversal_category": draws._replace(category=jnp.tile(every, (10, 1))),
    }
    noise, category = jnp.tile(draws.noise[:1], (100, 1)), jnp.repeat(every, 10, axis=0)
    for i in range(CONTINUOUS):
        codes[f"traversal_continuous_{i + 1}"] = Code(
            noise, category, line[:, None] * jnp.eye(CONTINUOUS)[i][None]
        )
    return codes


def sample(config: Config, model: Trained, data: pipeline.Data, key: Key) -> dict[str, np.ndarray]:
    """Draws, and a traversal of each code."""
    return {
        name: images.grid(model(InfoGAN.generated, code), columns=10)
        for name, code in figures(key).items()
    }


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
