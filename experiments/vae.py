"""Auto-Encoding Variational Bayes.

Diederik P. Kingma, Max Welling. ICLR 2014. arXiv:1312.6114

Replicated: the model and its bound (section 3, appendices B and C) on MNIST with Bernoulli and
Gaussian decoders, the L-sample estimator, Adagrad, the MAP prior on the weights, N_z in {3, 5, 10,
20, 200}; the bound of Burda et al. (arXiv:1509.00519) as an objective and to estimate log p(x).

Not replicated: the wake-sleep and MCEM baselines, the HMC estimator of appendix D, and Frey Face,
which no package distributes. IWAE's official code draws all weights from one seed, so that the
heads for mean and sigma start equal, and has a fixed order of batches; ours does neither.

Cost: `quick` trains in under 2 minutes on 2 CPU cores; `paper` uses 10^8 images, as in figure 2.

Run: python -m experiments.vae quick
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
from gen_jax import game as games
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog import sets
from gen_jax.data.folders import Folder
from gen_jax.errors import UserError
from gen_jax.evaluation import variational
from gen_jax.networks import mlp
from gen_jax.objectives import evidence_lower_bound, log_weights
from gen_jax.optimizers import iwae_adam

# Objectives ---------------------------------------------------------------------------------------


def negative_elbo(model: VAE, batch: Batch, key: Key, *, samples: int) -> tuple[Array, Metrics]:
    """Minus equation 10, averaged over the batch: prior fitting - reconstruction."""
    terms = evidence_lower_bound(model.encoder, model.decoder, batch["x"], key, samples)
    reconstruction, fitting = (term.mean() for term in terms)
    return fitting - reconstruction, {"reconstruction": reconstruction, "prior_fitting": fitting}


def negative_iwae(model: VAE, batch: Batch, key: Key, *, samples: int) -> tuple[Array, Metrics]:
    """Minus E log 1/k sum_i p(x, z_i) / q(z_i|x) (Burda et al. 2015, equation 8)."""
    weights = log_weights(model.encoder, model.decoder, batch["x"], key, samples)  # [k, b]
    return -(jax.nn.logsumexp(weights, axis=0) - jnp.log(samples)).mean(), {"elbo": weights.mean()}


def players(config: Config) -> dict[str, Player]:
    """One player updates both networks."""
    objective = {"elbo": negative_elbo, "iwae": negative_iwae}[config.bound]
    loss = partial(objective, samples=config.samples)
    return {"vae": Player(("encoder", "decoder"), loss, optimizer(config))}


def optimizer(config: Config) -> optax.GradientTransformation:
    """The prior of the weights, a weight decay of 1 / N for the mean loss, then the chosen rule.

    Adam of IWAE uses the gradient of the sum over the batch: for the mean, epsilon is not small.
    """
    o, rate = config.optimizer, learning_rate(config)
    rules = {
        "adagrad": optax.adagrad(rate, initial_accumulator_value=0),
        "adam": optax.adam(rate, b1=o.b1, eps=o.eps),
        "iwae": optax.chain(optax.scale(config.batch_size), iwae_adam(rate, o.b1, o.eps)),
    }
    prior = optax.add_decayed_weights(1 / config.train_images)
    return optax.chain(prior, rules[o.name]) if config.weight_prior else rules[o.name]


def learning_rate(config: Config) -> optax.ScalarOrSchedule:
    """Constant, or multiplied by 10^-((i-1)/7) in stage i (experiments.py of IWAE)."""
    rate = config.optimizer.learning_rate
    if not config.optimizer.stages:
        return rate
    epoch = config.train_images // config.batch_size  # steps
    rates = [rate / 10 * round(10 ** (1 - i / 7), 1) for i in range(8)]
    ends = [(3**i - 1) // 2 * epoch for i in range(1, 8)]  # 1 + 3 + 9 + ... epochs
    return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)


# Networks and data --------------------------------------------------------------------------------


class VAE(nn.Module):
    """The recognition model q(z|x) and the generative model p(x|z)."""

    encoder: mlp.GaussianMLP
    decoder: mlp.BernoulliMLP | mlp.GaussianMLP


def model(config: Config) -> VAE:
    """Figure 1 and appendix C: one hidden layer of tanh units in each network."""
    std = config.weight_std
    init = nn.initializers.normal(std) if std else nn.initializers.lecun_normal()
    init = nn.initializers.glorot_uniform() if config.glorot else init
    hidden, scale = config.hidden, config.posterior_scale
    pixels = int(np.prod(sets.shape(config.data, config.run.data)))
    decoders: dict[str, mlp.BernoulliMLP | mlp.GaussianMLP] = {
        "bernoulli": mlp.BernoulliMLP(pixels, hidden[::-1], kernel_init=init),
        "gaussian": mlp.GaussianMLP(pixels, hidden[::-1], squash=True, kernel_init=init),
    }
    encoder = mlp.GaussianMLP(config.latents, hidden, scale=scale, kernel_init=init)
    return VAE(encoder, decoders[config.decoder])


def game(config: Config) -> games.Game:
    """With `mean_start`, the last bias starts at the logits of the mean image in [0.001, 0.999]."""
    vae = model(config)
    one = games.make(vae, players(config), precision=config.run.precision)
    layer = ("decoder", vae.decoder.mean_layer)
    return games.starting_at_mean(one, layer, clip=1e-3) if config.mean_start else one


def source(config: Config) -> Source:
    """The images as vectors in [0, 1]: "x" [b, d]."""
    return Source(
        config.data,
        pipeline.binary_vectors if config.pixels == "stochastic" else pipeline.vectors,
        train=f"train[:{config.train_images}]" if config.held_out else "train",
        init_extras=pipeline.mean_image if config.mean_start else pipeline.no_extras,
    )


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Optimizer(Checked):
    name: Literal["adagrad", "adam", "iwae"] = "adagrad"  # of section 5; or Adam, or that of IWAE
    learning_rate: Positive = 0.02  # 0.01, 0.02 or 0.1, chosen on the first iterations (section 5)
    b1: Fraction = 0.9  # Adam's decay of the first moment; 0.99 in IWAE's code
    eps: Positive = 1e-8  # Adam's epsilon; 1e-4 in IWAE's code
    stages: bool = False  # 8 stages of 3^(i-1) epochs (IWAE): the rate falls to a tenth


@dataclasses.dataclass(frozen=True)
class Evaluation(Checked):
    samples: Count = 5000  # importance samples per image in the estimate of log p(x)
    images: Natural = 0  # number of first test images in the estimate of log p(x); 0: all


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] | Folder = "mnist"  # or folder:PATH[@SIDE]
    held_out: Natural = 0  # last training images, excluded from training; 400 in IWAE's code
    # grey values, or binary values sampled with them as probabilities at each step
    pixels: Literal["intensity", "stochastic"] = "intensity"
    latents: Count = 20  # N_z: 3, 5, 10, 20 and 200 in the paper
    hidden: tuple[Count, ...] = (500,)  # units of the encoder; reversed for the decoder
    decoder: Literal["bernoulli", "gaussian"] = "bernoulli"  # p(x|z): appendix C.1 or C.2
    bound: Literal["elbo", "iwae"] = "elbo"  # equation 10, or equation 8 of Burda et al.
    samples: Count = 1  # L of the estimator, or k of the importance-weighted bound
    weight_std: NonNegative = 0.01  # of the initial weights (section 5); 0: LeCun initialisation
    glorot: bool = False  # Glorot uniform initialisation, as in IWAE's code
    mean_start: bool = False  # the decoder's last bias starts at the mean image (IWAE's code)
    # output of the second encoder head: log sigma^2 (appendix C.2), or log sigma (IWAE's code)
    posterior_scale: Literal["log_variance", "log_sigma"] = "log_variance"
    weight_prior: bool = True  # MAP: N(0, I) as prior of all weights and biases (section 5)
    batch_size: Count = 100  # M, images in a batch
    steps: Count = 1_000_000  # updates; times the batch size, the horizontal axis of figure 2
    optimizer: Optimizer = Optimizer()
    evaluation: Evaluation = Evaluation()
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.held_out and self.data in sets.SOURCES and self.train_images < self.batch_size:
            raise UserError(
                f"held-out is {self.held_out}; it must leave a batch, {self.batch_size}, "
                f"but leaves {self.train_images}."
            )

    @property
    def train_images(self) -> int:
        """The number of training images."""
        return max(sets.size(self.data, "train", self.run.data) - self.held_out, 0)


PAPER = Config(run=Run(log_every=1000, checkpoint_every=20_000, sample_every=50_000))
IWAE = PAPER.but(
    held_out=400,
    pixels="stochastic",
    latents=50,
    hidden=(200, 200),
    bound="iwae",
    samples=50,
    weight_std=0,
    glorot=True,
    mean_start=True,
    posterior_scale="log_sigma",
    weight_prior=False,
    batch_size=20,
    steps=3280 * 2980,  # epochs of 59 600 images
    optimizer=Optimizer("iwae", learning_rate=1e-3, b1=0.99, eps=1e-4, stages=True),
)
PRESETS = {
    "paper": ("the paper's protocol: Adagrad, 10^8 images; about 2 hours on 2 cores", PAPER),
    "iwae": ("IWAE's code: k = 50, 3280 epochs; days on 2 cores, hours on a GPU", IWAE),
}

# Evaluation ---------------------------------------------------------------------------------------

BURDA = "stochastically binarised MNIST, 50 latents, k = 5000 on all 10 000 test images"
TABLE_1 = "Burda et al. 2015, Table 1: VAE, one stochastic layer, k = 1"
CLAIMS = {"test/nll_k5000": Claim(86.76, None, TABLE_1, "unverified", "lower", BURDA, data="mnist")}


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """The bound on the test set and its two terms, and the importance-weighted -log p(x)."""
    return variational.evaluate(model, data, key, **dataclasses.asdict(config.evaluation))


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Samples (figure 5), reconstructions, interpolations; for N_z = 2, figure 4."""
    return variational.pictures(model, data, key, latents=config.latents)


if __name__ == "__main__":
    cli(__spec__)
