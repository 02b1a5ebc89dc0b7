"""Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks.

Alec Radford, Luke Metz, Soumith Chintala. ICLR 2016. arXiv:1511.06434

Replicated: the 64x64 networks of the Theano code (5x5 kernels) and of the Torch code (4x4), weight for weight, with
either code's protocol; the class-conditional MNIST model of section 8.1, judged by a nearest-neighbour classifier that
learns from its samples; the discriminator of section 5.1, whose 28 672 features an L2-SVM classifies; interpolations;
vector arithmetic (figure 7), of thick and thin digits where people chose faces by eye, so that it can be measured.

Not replicated: LSUN, faces and ImageNet-1k, whose images no package carries: the 64x64 networks learn from CIFAR-10,
enlarged from 32x32 in `prepare`, and the features are of CIFAR-10 itself. Their generator has the layers and strides of
the Theano code's imagenet/load_pretrained.py, with the widths of the discriminator mirrored (unverified: they stand in
files of weights alone). Torch's running variance is the unbiased one, n / (n - 1) of ours. SVHN (22.48 % error by 1000
labels), which no package carries either, and 10 million samples are left out.

Cost: `quick` plays 3 to 4 steps a second on one busy CPU core, 3900 in 17 to 25 minutes; `mnist` 2, so that its 78 000
take 11 hours. The 64x64 presets and `features` are for a GPU and have not been timed.

Run: python -m experiments.dcgan quick
"""

import dataclasses
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import game as games
from gen_jax import images, losses, optimizers
from gen_jax.config import Checked, Count, Fraction, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.evaluation import classifier, probes
from gen_jax.game import Game, Player, Trained
from gen_jax.networks.dcgan import Discriminator, Generator, Norm
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Optimizer(Checked):
    learning_rate: Positive = 2e-4
    """Adam's (section 4)."""
    b1: Fraction = 0.5
    """Adam's decay of the first moment (section 4)."""
    l2: NonNegative = 0
    """Decay added to the gradients, before Adam: 1e-5 or 2.5e-5 (MNIST) in the Theano code."""
    falls: bool = False
    """The rate falls linearly to 0 over the second half, as in the MNIST code (there once an epoch)."""
    epsilon_hat: bool = False
    """Adam adds epsilon before the bias correction, as Torch does, not after it (schedules.adam)."""


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["cifar10", "mnist", "fashion_mnist", "digits"] = "cifar10"
    """The data set; of mnist the first 50 000 images, as in the code."""
    network: Literal["theano", "torch", "features", "conditional"] = "theano"
    """64x64 with 5x5 kernels, 64x64 with 4x4, section 5.1's discriminator at 32x32, or the model of section 8.1."""
    mirrored: bool = False
    """The generator has section 5.1's layers in reverse (imagenet/load_pretrained.py), not one layer for each side."""
    width: Count = 128
    """Channels of the largest maps; they double whenever the side is halved."""
    hidden: Count = 1024
    """Units of the dense layer of section 8.1."""
    latents: Count = 100
    """Dimensions of z."""
    noise: Literal["uniform", "normal"] = "uniform"
    """z from U(-1, 1), or from N(0, 1) as in the Torch code."""
    running: bool = False
    """Evaluation with running statistics in batch norm, as in Torch, or with those of its batch, as in Theano."""
    order: Literal["turns", "alternate", "together"] = "turns"
    """On each batch D and then G; or G on even and D on odd batches, as in the Theano code; or both from one point.

    The Torch code moves G by D's new weights but by its activations from before: "together" has both from before.
    """
    batch_size: Count = 128
    """Section 4."""
    steps: Count = 9750
    """Batches: 25 epochs of CIFAR-10, as many epochs as the codes have."""
    optimizer: Optimizer = Optimizer()
    draws: Count = 50_000
    """Labelled samples that the nearest-neighbour classifier learns from (section 8.1)."""
    labelled: Count = 400
    """Images of each class, or all, that the L2-SVM learns from (section 5.1), the last quarter to choose its C."""
    run: Run = Run()


THEANO = Config(order="alternate", optimizer=Optimizer(l2=1e-5))
OFFICIAL = Config(
    network="torch", width=64, noise="normal", running=True, order="together", batch_size=64, steps=19_525,
    optimizer=Optimizer(epsilon_hat=True),
)  # fmt: skip
FEATURES = Config(network="features", mirrored=True, latents=256, steps=11_700)
NARROW = dataclasses.replace(FEATURES, width=32, latents=100, steps=780, run=Run(sample_every=390))
DECAYING = Optimizer(l2=2.5e-5, falls=True)
MNIST = Config(
    data="mnist",
    network="conditional",
    width=64,
    order="alternate",
    steps=78_000,
    optimizer=DECAYING,
)
QUICK = dataclasses.replace(MNIST, width=32, hidden=512, steps=3900, run=Run(sample_every=1300))
OFTEN = Run(log_every=10, checkpoint_every=20, sample_every=20)
TINY = dataclasses.replace(
    QUICK,
    order="turns",
    data="digits",
    width=4,
    hidden=16,
    latents=8,
    batch_size=32,
    steps=40,
    draws=200,
    run=OFTEN,
)

PRESETS = {
    "paper": ("64x64, D and G in turns; 25 epochs of CIFAR-10; for a GPU", Config()),
    "theano": (
        "64x64, the Theano code: batches for D and G alternate, L2; 25 epochs; for a GPU",
        THEANO,
    ),
    "official": (
        "64x64, the Torch code: 4x4 kernels, normal noise; 25 epochs; for a GPU",
        OFFICIAL,
    ),
    "features": ("32x32, section 5.1's discriminator; 30 epochs; for a GPU", FEATURES),
    "features_quick": (
        "the same, a quarter as wide, 2 epochs; over a second a step on one core",
        NARROW,
    ),
    "mnist": ("section 8.1, the Theano code: 200 epochs; about 11 hours on one core", MNIST),
    "quick": ("the same, half as wide, 10 epochs; 17 to 25 minutes on a busy core", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}

CLASSES = 10  # of every set that it knows
NEIGHBOUR = "test/nearest_neighbour_error"
SAMPLED = "1-NN, Euclidean, on 50 000 samples of the conditional MNIST model; all test images"
BY = (
    "",
    "_untrained",
)  # features of the discriminator, and of the one that it was before it learnt
LEARNT = "features of ImageNet-1k (ours are of CIFAR-10 itself), L2-SVM on CIFAR-10"
SVM = "test/svm_accuracy"
CLAIMS = {
    f"{NEIGHBOUR}_50000": Claim(2.98, None, "Table 3", "unverified", protocol=SAMPLED),
    f"{NEIGHBOUR}_of_50000_images": Claim(
        3.1, None, "Table 3", "unverified", protocol="1-NN on training images"
    ),
    f"{SVM}_400": Claim(
        73.8, 0.4, "Table 1, 400 images of each class", "unverified", "higher", LEARNT
    ),
    f"{SVM}_5000": Claim(82.8, None, "Table 1, all images", "read", "higher", LEARNT),
}


def by_draws(count: int) -> dict[str, str]:
    """The names of the nearest-neighbour errors by so many samples or images, with their units."""
    return {
        f"{NEIGHBOUR}_{count}": "% of the test images, by 1-NN on as many samples",
        f"{NEIGHBOUR}_of_{count}_images": "% of the test images, by 1-NN on training images",
    }


def by_labelled(count: int) -> dict[str, str]:
    """The names of the L2-SVM's accuracies by so many images of each class, in the order of BY, with their units."""
    return {f"{SVM}_{count}{by}": f"% of the test images, by {count} of each class" for by in BY}


UNITS = {
    **by_draws(50_000),
    **by_draws(200),
    "test/label_accuracy": "% of the samples that our classifier gives the label they were asked for",
    **by_labelled(5000),
    **by_labelled(400),
    **by_labelled(12),
    "test/thickness": "of thick - thin + thin digit: 0 is as thin as the last, 1 as thick as a thick one of its label",
}


def units(config: Config) -> dict[str, str]:
    """UNITS, and those of the names that these fields give."""
    return {**UNITS, **by_draws(config.draws), **by_labelled(config.labelled)}


# Networks -------------------------------------------------------------------------------------------------------------


class DCGAN(nn.Module):
    generator: Generator
    discriminator: Discriminator


def image_shape(config: Config) -> tuple[int, ...]:
    """[h, w, c] of what the networks see."""
    own = SOURCES[config.data].fields["image"].shape
    side = {"theano": 64, "torch": 64, "features": 32}.get(config.network, own[0])
    return (side, side, own[2])


def model(config: Config) -> DCGAN:
    """The networks of the codes; in the Torch code the first and last convolutions, of 4x4 on 4x4, are dense layers."""
    side, _, channels = image_shape(config)
    norm = Norm(
        config.network != "conditional", config.running, 1e-5 if config.network == "torch" else 1e-8
    )
    kernel = {"torch": 4, "features": 3}.get(config.network, 5)
    halvings = {"features": 3, "conditional": 2}.get(config.network, 4)
    widths = tuple(config.width * 2**i for i in range(halvings))
    hidden, squash = (
        ((config.hidden,), nn.sigmoid) if config.network == "conditional" else ((), nn.tanh)
    )
    each = (1, 2) if config.network == "features" else (2,)
    repeated = tuple(width for width in widths for _ in each)
    up, sides = (repeated, each * halvings) if config.mirrored else (widths, (2,) * halvings)
    first, by_unit = side // 2**halvings, config.network != "torch"
    generator = Generator(
        hidden, first, up[::-1], sides[::-1], channels, kernel, norm, by_unit, squash
    )
    return DCGAN(generator, Discriminator(repeated, each * halvings, kernel, hidden, norm))


def source(config: Config) -> Source:
    """ "x": images [b, h, w, c] in the range of G, enlarged where it has more pixels; "y": their labels, or none."""
    shape, conditional = image_shape(config), config.network == "conditional"

    def prepare(batch: Batch, key: Key) -> Batch:
        x = batch["image"].astype(jnp.float32) / 255
        x = jax.image.resize(x, (len(x), *shape), "bilinear")
        return {**batch, "x": x if conditional else 2 * x - 1, "y": labels(config, batch["label"])}

    return Source(
        config.data, prepare, train="train[:50000]" if config.data == "mnist" else "train"
    )


def labels(config: Config, label: Array) -> Array:
    """[b] -> one-hot [b, 10], or nothing, [b, 0], where the networks see none."""
    return (
        jax.nn.one_hot(label, CLASSES)
        if config.network == "conditional"
        else jnp.zeros((len(label), 0))
    )


def latents(config: Config, key: Key, count: int) -> Array:
    """[count, latents]"""
    if config.noise == "normal":
        return jax.random.normal(key, (count, config.latents))
    return jax.random.uniform(key, (count, config.latents), minval=-1, maxval=1)


# Objectives -----------------------------------------------------------------------------------------------------------


def telling(model: Any, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G(z))); images and samples go through batch norm apart."""
    x, y = batch["x"], batch["y"]
    fakes = model.generator(latents(config, key, len(x)), y)
    real, fake = model.discriminator(x, y)[0], model.discriminator(fakes, y)[0]
    return losses.bce_real(real) + losses.bce_fake(fake), {"accuracy": losses.accuracy(real, fake)}


def fooling(model: Any, batch: Batch, key: Key, *, config: Config) -> tuple[Array, Metrics]:
    """-log D(G(z))."""
    y = batch["y"]
    fakes = model.generator(latents(config, key, len(y)), y)
    return losses.bce_real(model.discriminator(fakes, y)[0]), {}


def players(config: Config) -> dict[str, Player]:
    """D and G, each with its own Adam."""
    o, every = config.optimizer, 2 if config.order == "alternate" else 1
    rate = (
        optimizers.constant_then_linear(o.learning_rate, config.steps // every)
        if o.falls
        else o.learning_rate
    )
    adam = optimizers.adam(rate, b1=o.b1, epsilon_hat=o.epsilon_hat)
    descent = optax.chain(optax.add_decayed_weights(o.l2), adam)
    return {
        "discriminator": Player(
            ("discriminator",), partial(telling, config=config), descent, every, every - 1
        ),
        "generator": Player(("generator",), partial(fooling, config=config), descent, every),
    }


def game(config: Config) -> Game:
    return games.make(
        model(config),
        players(config),
        together=config.order == "together",
        precision=config.run.precision,
    )


# Evaluation -----------------------------------------------------------------------------------------------------------


def decoded(model: Any, z: Array, y: Array) -> Array:
    """[n, latents], [n, k] -> [n, h, w, c]"""
    return model.generator(z, y)


def features(model: Any, x: Array, y: Array) -> Array:
    """Each convolution's maps, max-pooled to 4x4, side by side (section 5.1): [n, h, w, c] -> [n, 16 * channels]."""
    maps = model.discriminator(x, y)[1]
    pooled = [
        nn.max_pool(m, (s := (m.shape[1] // 4,) * 2), strides=s) for m in maps
    ]  # [n, 4, 4, channels]
    return jnp.concatenate([m.reshape(len(m), -1) for m in pooled], -1)


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """Section 8.1 where there are labels to ask for, and section 5.1 where there are not."""
    measured = by_samples if config.network == "conditional" else by_features
    return measured(config, model, data, key)


def by_samples(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """How well a nearest-neighbour classifier, given labelled samples alone, tells test images (section 8.1)."""
    count, samples, asked = config.draws, [], []
    batches = -(-count // config.batch_size)
    for i in range(batches):
        noise, choice = jax.random.split(jax.random.fold_in(key, i))
        label = jax.random.randint(choice, (config.batch_size,), 0, CLASSES)
        samples.append(
            model(decoded, latents(config, noise, config.batch_size), labels(config, label))
        )
        asked.append(label)
    x, y = (np.concatenate(parts)[:count] for parts in (samples, asked))
    truth = (data.test["image"], data.test["label"])
    judge = classifier.classifier(
        data.train["image"], data.train["label"], test=truth, name=config.data
    )
    test, real = truth[0] / np.float32(255), data.train["image"][:count] / np.float32(255)
    samples_name, images_name = by_draws(count)
    return {
        samples_name: probes.nearest_neighbour_error(x, y, test, truth[1]),
        images_name: probes.nearest_neighbour_error(
            real, data.train["label"][:count], test, truth[1]
        ),
        "test/label_accuracy": 100 * float((judge.logits(x).argmax(-1) == y).mean()),
        "test/thickness": thickness(arithmetic(config, model, jax.random.fold_in(key, batches))),
    }


def arithmetic(config: Config, model: Trained, key: Key) -> Array:
    """Figure 7, a row for each label i and the next one, j: [10, 5, h, w, c].

    In a row thick i, thin i, thin j, the z of the first less that of the second plus that of the third as j, thick j;
    each z but the fourth is the mean of three of 200 draws, those with more ink than 90 % of them, or than 10 %.
    """
    z, label = latents(config, key, 200), jnp.arange(CLASSES)
    drawn = model(decoded, jnp.tile(z, (CLASSES, 1)), labels(config, jnp.repeat(label, len(z))))
    order = jnp.argsort(drawn.reshape(CLASSES, len(z), -1).sum(-1))  # [10, 200]
    thin, thick = (
        z[rank].mean(1) for rank in (order[:, 20:23], order[:, -23:-20])
    )  # [10, latents]
    following = (label + 1) % CLASSES
    shown = jnp.stack(
        [thick, thin, thin[following], thick - thin + thin[following], thick[following]], 1
    )
    asked = jnp.stack([label, label, following, following, following], 1)
    made = model(decoded, shown.reshape(-1, config.latents), labels(config, asked.ravel()))
    return made.reshape(CLASSES, -1, *made.shape[1:])


def thickness(digits: Array) -> float:
    """Of the fourth column of `arithmetic`, between the third, 0, and the fifth, 1, by the ink of all rows."""
    ink = digits.sum((0, 2, 3, 4))
    return float((ink[3] - ink[2]) / (ink[4] - ink[2]))


def by_features(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """What an L2-SVM on the features of D, given a few hundred labels of each class, tells right (section 5.1)."""
    ranks = [
        np.flatnonzero(data.train["label"] == label)[: config.labelled] for label in range(CLASSES)
    ]
    fewest = min(map(len, ranks))
    chosen = np.stack([rank[:fewest] for rank in ranks], 1).ravel()  # the classes in turn

    def seen(model: Trained, arrays: Arrays, key: Key) -> Iterator[Array]:
        for batch, _ in pipeline.batches(arrays, data.prepare, key, batch_size=100):
            yield model(features, batch["x"], batch["y"])

    learnt, held_out = (
        {name: array[chosen] for name, array in data.train.items()},
        fewest // 4 * CLASSES,
    )
    shape = (1, *image_shape(config)), (1, 0)
    born, *keys = jax.random.split(key, 1 + 2 * len(BY))
    untrained = Trained(
        model.module, dict(model.module.init(born, *map(jnp.zeros, shape), method=features))
    )
    accuracy = {}
    names = by_labelled(config.labelled)
    for name, one, first, second in zip(
        names, (model, untrained), keys[::2], keys[1::2], strict=True
    ):
        machine = probes.linear_svm(
            np.concatenate([*seen(one, learnt, first)]), learnt["label"], held_out=held_out
        )
        told = np.concatenate(
            [machine.predict(np.asarray(part)) for part in seen(one, data.test, second)]
        )
        accuracy[name] = 100 * float((told == data.test["label"]).mean())
    return accuracy


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Samples and ways between two z in each row (figure 4); with labels, a row for each, and the arithmetic."""
    key_ends, key_rows = jax.random.split(key)
    ends = latents(config, key_ends, 100)
    way = jnp.linspace(0, 1, 10)[None, :, None]
    between = (1 - way) * ends[:10, None] + way * ends[10:20, None]  # [10, 10, latents]
    y = labels(config, jnp.repeat(jnp.arange(CLASSES), 10))
    low = 0 if config.network == "conditional" else -1
    drawn = {
        name: model(decoded, z, y)
        for name, z in {"samples": ends, "interpolations": between.reshape(100, -1)}.items()
    }
    grids = {
        name: images.grid(images.to_uint8(x, low=low), columns=10) for name, x in drawn.items()
    }
    if config.network != "conditional":
        return grids
    rows = arithmetic(config, model, key_rows)
    return {
        **grids,
        "arithmetic": images.grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1]),
    }


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
