"""Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks.

Alec Radford, Luke Metz, Soumith Chintala. ICLR 2016. arXiv:1511.06434

Replicated: the 64x64 networks of the Theano code (5x5 kernels) and the Torch code (4x4), weight for
weight, with both protocols; section 8.1's class-conditional MNIST model, whose samples train a
nearest-neighbour classifier; section 5.1's discriminator, whose 28 672 features train an L2-SVM;
interpolations; vector arithmetic (figure 7) on thick and thin digits, whose ink is measured.

Not replicated: LSUN, faces, ImageNet-1k and SVHN (22.48 % error with 1000 labels), which no package
distributes: all but the MNIST model use CIFAR-10, at 64x64 or 32x32. In `features`, G is that of
imagenet/load_pretrained.py, with the widths of D mirrored (unverified: they are in its weights).
Torch's running variance is n / (n - 1) of ours. Not 10 million samples.

Cost: `quick` runs at 3 to 4 steps per second on a busy CPU core, 3900 in 17 to 25 minutes; `mnist`
at 2, 78 000 in 11 hours. The 64x64 presets and `features` need a GPU and were not timed.
Run: python -m experiments.dcgan quick
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax import game as games
from gen_jax.config import Checked, Count, NonNegative, Run
from gen_jax.data import folders
from gen_jax.data.catalog import sets
from gen_jax.evaluation import feature_svm, image_sets, labelled_samples, latent_arithmetic
from gen_jax.images import to_uint8
from gen_jax.losses import accuracy, bce_fake, bce_real
from gen_jax.networks.dcgan import Discriminator, Generator, Network, Norm
from gen_jax.optimizers import Adam, constant_then_linear

# Objectives -------------------------------------------------------------------------------------


def discriminator_loss(
    model: DCGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(x) - log(1 - D(G(z))); images and samples go through batch norm separately."""
    x, y = batch["x"], batch["y"]
    fake = model.generator(latents(config, key, len(x)), y)
    real_logits, fake_logits = model.discriminator(x, y)[0], model.discriminator(fake, y)[0]
    loss = bce_real(real_logits) + bce_fake(fake_logits)
    return loss, {"accuracy": accuracy(real_logits, fake_logits)}


def generator_loss(
    model: DCGAN, batch: Batch, key: Key, *, config: Config
) -> tuple[Array, Metrics]:
    """-log D(G(z))."""
    y = batch["y"]
    fake = model.generator(latents(config, key, len(y)), y)
    return bce_real(model.discriminator(fake, y)[0]), {}


def players(config: Config) -> dict[str, Player]:
    """D and G, each with its own Adam."""
    every = 2 if config.order == "alternate" else 1
    adam = config.adam.over(config.steps, every)
    loss_d, loss_g = (partial(f, config=config) for f in (discriminator_loss, generator_loss))
    return {
        "discriminator": Player(("discriminator",), loss_d, adam, every, at=every - 1),
        "generator": Player(("generator",), loss_g, adam, every),
    }


def game(config: Config) -> games.Game:
    together, precision = config.order == "together", config.run.precision
    return games.make(model(config), players(config), together=together, precision=precision)


# Networks and data ------------------------------------------------------------------------------


class DCGAN(nn.Module):
    generator: Generator
    discriminator: Discriminator

    def features(self, x: Array, y: Array) -> Array:
        """Section 5.1: images [n, h, w, c], labels [n, k] -> features [n, d] for a classifier."""
        return self.discriminator.features(x, y)


NETWORKS = {
    "theano": Network(5, (2, 2, 2, 2)),
    "torch": Network(4, (2, 2, 2, 2), eps=1e-5, per_unit_norm=False),
    "features": Network(3, (1, 2, 1, 2, 1, 2), side=32),
    "conditional": Network(5, (2, 2), side=None, conditional=True, affine=False),
}


def image_shape(config: Config) -> tuple[int, int, int]:
    """[h, w, c] of the images for the networks."""
    side = NETWORKS[config.network].side
    own, _, channels = sets.shape(folders.at(config.data, side, field="network"))
    return side or own, side or own, channels


def model(config: Config) -> DCGAN:
    """The first and last 4x4 convolutions of the Torch code, on 4x4 maps, are dense layers."""
    net, (side, _, channels) = NETWORKS[config.network], image_shape(config)
    hidden, output = ((config.hidden,), nn.sigmoid) if net.conditional else ((), nn.tanh)
    common = (net.kernel, hidden, Norm(net.affine, config.running, net.eps))
    up = net.strides[::-1] if config.mirrored else (2,) * net.strides.count(2)
    generator = Generator(config.width, up, *common, side, channels, net.per_unit_norm, output)
    return DCGAN(generator, Discriminator(config.width, net.strides, *common))


def source(config: Config) -> Source:
    """ "x": images [b, h, w, c] in the range of G, resized; "y": labels of `one_hot`."""
    shape, conditional = image_shape(config), NETWORKS[config.network].conditional

    def prepare(batch: Batch, key: Key) -> Batch:
        x = jax.image.resize(batch["image"] / 255.0, (len(batch["image"]), *shape), "bilinear")
        y = one_hot(config, batch.get("label", x))
        return {**batch, "x": x if conditional else 2 * x - 1, "y": y}

    name = folders.at(config.data, NETWORKS[config.network].side, field="network")
    return Source(name, prepare, "train[:50000]" if name == "mnist" else "train")


def one_hot(config: Config, label: Array) -> Array:
    """[b] -> [b, 10], or [b, 0] for unconditional networks."""
    conditional = NETWORKS[config.network].conditional
    return jax.nn.one_hot(label, CLASSES) if conditional else jnp.zeros((len(label), 0))


def latents(config: Config, key: Key, count: int) -> Array:
    """[count, latents]"""
    if config.noise == "normal":
        return jax.random.normal(key, (count, config.latents))
    return jax.random.uniform(key, (count, config.latents), minval=-1, maxval=1)


# Config -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class L2Adam(Adam):
    l2: NonNegative = 0  # l2 times the weights is added to the gradients, as in the Theano code
    linear_decay: bool = False  # without `decay`: 0 at the end of a linear second half (MNIST code)

    RENAMED: ClassVar = {"falls": "linear_decay"}

    def over(self, steps: int, every: int = 1) -> optax.GradientTransformation:
        """The optimizer of a player that plays every `every`-th step."""
        rate = constant_then_linear(self.learning_rate, steps // every)
        adam = self.at(rate) if self.linear_decay and not self.decay else super().over(steps, every)
        return optax.chain(optax.add_decayed_weights(self.l2), adam)


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # Or folder:PATH, your own pictures.
    data: Literal["cifar10", "mnist", "fashion_mnist", "digits"] | folders.Folder = "cifar10"
    # 64x64 with 5x5 kernels or 4x4, section 5.1's discriminator at 32x32, or section 8.1's model.
    network: Literal["theano", "torch", "features", "conditional"] = "theano"
    mirrored: bool = False  # G has all layers of D in reverse, not one layer per side
    width: Count = 128  # channels of the largest maps, doubled whenever the side is halved
    hidden: Count = 1024  # units of the dense layer of section 8.1
    latents: Count = 100  # dimensions of z
    noise: Literal["uniform", "normal"] = "uniform"  # z from U(-1, 1), or N(0, 1) as in Torch
    running: bool = False  # evaluate with running statistics of batch norm, as in the Torch code
    # D and then G on each batch; or G on even and D on odd batches, as in the Theano code; or both
    # at once. The Torch code updates G with the new weights of D but its previous activations.
    order: Literal["turns", "alternate", "together"] = "turns"
    batch_size: Count = 128  # section 4
    steps: Count = 9750  # batches: 25 epochs of CIFAR-10, the number of epochs in the codes
    adam: L2Adam = L2Adam(2e-4, b1=0.5)  # section 4
    draws: Count = 50_000  # labelled samples that train the 1-NN classifier of section 8.1
    labelled: Count = 400  # images per class, or all, for the L2-SVM; C is chosen on the last 1/4
    run: Run = Run()

    RENAMED: ClassVar = {"optimizer": "adam"}


THEANO = Config(order="alternate", adam=L2Adam(2e-4, b1=0.5, l2=1e-5))
OFFICIAL = Config(
    network="torch", width=64, noise="normal", running=True, order="together", batch_size=64,
    steps=19_525, adam=L2Adam(2e-4, b1=0.5, epsilon_hat=True),
)  # fmt: skip
FEATURES = Config(network="features", mirrored=True, latents=256, steps=11_700)
MNIST_ADAM = L2Adam(2e-4, b1=0.5, l2=2.5e-5, linear_decay=True)
MNIST = Config(
    data="mnist", network="conditional", width=64, order="alternate", steps=78_000, adam=MNIST_ADAM
)
PRESETS = {
    "paper": ("64x64, D and then G on each batch; 25 epochs of CIFAR-10; for a GPU", Config()),
    "theano": ("64x64, the Theano code: D and G alternate, L2; 25 epochs; for a GPU", THEANO),
    "official": ("64x64, the Torch code: 4x4, normal noise; 25 epochs; for a GPU", OFFICIAL),
    "features": ("32x32, section 5.1's discriminator; 30 epochs; for a GPU", FEATURES),
    "mnist": ("section 8.1, the Theano code: 200 epochs; about 11 hours on one core", MNIST),
}

# Evaluation -------------------------------------------------------------------------------------

CLASSES = 10  # of every data set here but folders
N_IMAGES = 2048  # of each set, at most, where there are no labels
NN = "test/nearest_neighbour_error"
SAMPLED = "1-NN, Euclidean, on 50 000 samples of the conditional MNIST model; all test images"
LEARNT = "features of ImageNet-1k (ours are of CIFAR-10 itself), L2-SVM on CIFAR-10"
FEW = "Table 1, 400 images of each class"
SVM = partial(Claim, better="higher", protocol=LEARNT, data="cifar10")
TABLE_3 = partial(Claim, spread=None, where="Table 3", status="unverified", data="mnist")
CLAIMS = {
    f"{NN}_50000": TABLE_3(2.98, protocol=SAMPLED),
    f"{NN}_of_50000_images": TABLE_3(3.1, protocol="1-NN on training images"),
    "test/svm_accuracy_400": SVM(73.8, 0.4, FEW, "unverified"),
    "test/svm_accuracy_5000": SVM(82.8, None, "Table 1, all images", "read"),
}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """Section 8.1: classifiers trained on samples; section 5.1: features of D; or, without labels,
    the distances of sets of images that Progressive GAN measures.
    """
    if NETWORKS[config.network].conditional:
        return labelled_samples.evaluate(
            partial(generate, config, model), partial(latents, config), data, key,
            name=config.data, count=config.draws, batch_size=config.batch_size, classes=CLASSES,
        )  # fmt: skip
    if "label" in data.test:
        return feature_svm.evaluate(
            model, "features", ("x", "y"), data, key, labelled=config.labelled, classes=CLASSES
        )

    def draw(count: int) -> np.ndarray:
        size = config.batch_size  # for batch norm
        z = [latents(config, own, size) for own in jax.random.split(key, -(-count // size))]
        x = [generate(config, model, some, jnp.zeros(size)) for some in z]
        return to_uint8(np.concatenate(x)[:count], low=-1)

    def view(batch: Batch, key: Key) -> Array:
        return data.prepare(batch, key)["x"]

    return image_sets.evaluate(draw, data.train, view, count=N_IMAGES, perceived=0)


def generate(config: Config, model: Trained, z: Array, label: Array) -> Array:
    """[n, latents], [n] -> [n, h, w, c]"""
    return model.generator(z, one_hot(config, label))


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Samples and interpolations (figure 4); with labels, one per row, and figure 7."""
    key_z, key_rows = jax.random.split(key)
    conditional, draw = NETWORKS[config.network].conditional, partial(generate, config, model)
    z, label = latents(config, key_z, 100), jnp.repeat(jnp.arange(CLASSES), 10)
    grids = latent_arithmetic.grids(draw, z, label, low=0 if conditional else -1)
    if not conditional:
        return grids
    z = latents(config, key_rows, latent_arithmetic.DRAWS)
    return {**grids, "arithmetic": latent_arithmetic.picture(draw, z, CLASSES)}


if __name__ == "__main__":
    cli(__spec__)
