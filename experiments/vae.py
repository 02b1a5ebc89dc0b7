"""Auto-Encoding Variational Bayes.

Diederik P. Kingma, Max Welling. ICLR 2014. arXiv:1312.6114

Replicated: the model and its bound (section 3, appendices B and C) on MNIST with Bernoulli and Gaussian decoders, the
L-sample estimator, Adagrad and the MAP prior on the weights, N_z in {3, 5, 10, 20, 200}; the importance-weighted bound
of Burda et al. (arXiv:1509.00519) as an objective and as the estimate of the likelihood.

Not replicated: the wake-sleep and MCEM baselines, the HMC estimator of appendix D, and Frey Face, whose images no
package carries. Of IWAE's official code, that it draws the weights of all layers from one seed, so that the heads for
mean and sigma start alike, and that its batches come in one fixed order.

Cost: `quick` trains in under 2 minutes on 2 CPU cores; `paper` shows 10^8 images, as figure 2 does.

Run: python -m experiments.vae quick
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from scipy.special import ndtri

from gen_jax import game as games
from gen_jax import images
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.catalog.sets import SOURCES
from gen_jax.data.pipeline import Data, Source
from gen_jax.errors import UserError
from gen_jax.evaluation import likelihood
from gen_jax.game import Game, Player, Trained
from gen_jax.networks import mlp
from gen_jax.objectives import evidence_lower_bound, log_weights
from gen_jax.optimizers import moments
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Optimizer(Checked):
    name: Literal["adagrad", "adam", "iwae"] = "adagrad"
    """Adagrad (section 5), Adam (Kingma & Ba 2015), or the Adam of IWAE's official code: see `iwae_adam`."""
    learning_rate: Positive = 0.02
    """Adagrad's global step; the paper picks 0.01, 0.02 or 0.1 by the first iterations (section 5)."""
    b1: Fraction = 0.9
    """Adam's decay of the first moment; the official code of IWAE has 0.99."""
    eps: Positive = 1e-8
    """Adam's epsilon; the official code of IWAE has 1e-4."""
    stages: bool = False
    """IWAE's schedule: stage i = 1 .. 8 lasts 3^(i-1) epochs, and the rate falls tenfold over the stages."""


@dataclasses.dataclass(frozen=True)
class Evaluation(Checked):
    samples: Count = 5000
    """Importance samples per image in the estimate of log p(x)."""
    images: Natural = 0
    """On the first this many test images; 0 is all of them."""


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal["mnist", "fashion_mnist", "digits"] = "mnist"
    """The data set."""
    held_out: Natural = 0
    """How many training images, the last ones, are not trained on: 400 in the official code of IWAE."""
    pixels: Literal["intensity", "stochastic"] = "intensity"
    """Grey values as they are, or drawn anew as 0 or 1 with that probability at each presentation."""
    latents: Count = 20
    """N_z: the paper has 3, 5, 10, 20 and 200."""
    hidden: tuple[Count, ...] = (500,)
    """Hidden units of the encoder; the decoder has the same in reverse."""
    decoder: Literal["bernoulli", "gaussian"] = "bernoulli"
    """p(x|z): appendix C.1 or C.2."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """The objective: equation 10, or the importance-weighted bound (Burda et al., equation 8)."""
    samples: Count = 1
    """L of the estimator, or k of the importance-weighted bound."""
    weight_std: NonNegative = 0.01
    """Initial weights are N(0, this squared) (section 5, read as a standard deviation); 0 is LeCun's initialisation."""
    glorot: bool = False
    """Initial weights are Glorot & Bengio's uniform ones instead, as in the official code of IWAE."""
    mean_start: bool = False
    """The decoder's last bias starts at the logits of the mean image, cut to [0.001, 0.999], as in that code."""
    posterior_scale: Literal["log_variance", "log_sigma"] = "log_variance"
    """What the encoder's second head outputs: log sigma^2 (appendix C.2), or log sigma as in the code of IWAE."""
    weight_prior: bool = True
    """MAP: N(0, I) as prior of all weights and biases (section 5)."""
    batch_size: Count = 100
    """M."""
    steps: Count = 1_000_000
    """Updates; times the batch size, the horizontal axis of figure 2."""
    optimizer: Optimizer = Optimizer()
    evaluation: Evaluation = Evaluation()
    run: Run = Run()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.held_out and (left := self.learnt) < self.batch_size:
            raise UserError(
                f"held-out is {self.held_out}; it must leave a batch, {self.batch_size}, but leaves {left}."
            )

    @property
    def learnt(self) -> int:
        """So many images are trained on."""
        return SOURCES[self.data].sizes["train"] - self.held_out


PAPER = Config(run=Run(log_every=1000, checkpoint_every=20_000, sample_every=50_000))
QUICK = Config(
    pixels="stochastic",
    weight_std=0,
    weight_prior=False,
    steps=15_000,
    optimizer=Optimizer(name="adam", learning_rate=1e-3),
    evaluation=Evaluation(samples=500, images=1000),
)
IWAE = dataclasses.replace(
    QUICK,
    latents=50,
    hidden=(200, 200),
    bound="iwae",
    samples=50,
    held_out=400,
    glorot=True,
    mean_start=True,
    posterior_scale="log_sigma",
    batch_size=20,
    steps=3280 * 2980,  # epochs of 59 600 images
    optimizer=Optimizer(name="iwae", learning_rate=1e-3, b1=0.99, eps=1e-4, stages=True),
    evaluation=Evaluation(),
    run=PAPER.run,
)
TINY = dataclasses.replace(
    QUICK,
    data="digits",
    latents=2,
    hidden=(16,),
    batch_size=32,
    steps=40,
    evaluation=Evaluation(samples=10, images=64),
    run=Run(log_every=10, checkpoint_every=20, sample_every=20),
)

PRESETS = {
    "paper": ("the paper's protocol: Adagrad, 10^8 images; about 2 hours on 2 cores", PAPER),
    "iwae": (
        "the official code of IWAE: k = 50, 2 x 200 units, 3280 epochs; days on 2 cores, hours on a GPU",
        IWAE,
    ),
    "quick": ("Adam, 25 epochs; 2 minutes on 2 cores", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}

CLAIMS = {
    "test/nll_k5000": Claim(
        86.76,
        None,
        "Burda et al. 2015, Table 1: VAE, one stochastic layer, k = 1",
        "unverified",
        protocol="stochastically binarised MNIST, 50 latents, 5000 importance samples on all 10 000 test images",
    ),
}
UNITS = {
    "test/elbo": "nats per image",
    "test/reconstruction": "nats per image",
    "test/prior_fitting": "nats per image",
    "test/nll_k5000": "nats per image",
    "test/nll_k500_of_1000": "nats per image, k = 500, first 1000 test images",
    "test/nll_k5000_of_1000": "nats per image, k = 5000, first 1000 test images",
    "test/active_units": "latents",
}


def counted(config: Config) -> int:
    """So many test images log p(x) is estimated on."""
    everything = SOURCES[config.data].sizes["test"]
    return min(config.evaluation.images or everything, everything)


def nll_name(config: Config) -> str:
    """Of the estimate of -log p(x), after its samples, and its images if they are not all."""
    count = counted(config)
    some = f"_of_{count}" if count < SOURCES[config.data].sizes["test"] else ""
    return f"test/nll_k{config.evaluation.samples}{some}"


def units(config: Config) -> dict[str, str]:
    """UNITS, and those of the names that these fields give."""
    name, count = nll_name(config), counted(config)
    few = f", first {count} test images" if "_of_" in name else ""
    return {name: f"nats per image, k = {config.evaluation.samples}{few}", **UNITS}


# Networks -------------------------------------------------------------------------------------------------------------


class VAE(nn.Module):
    """The recognition model q(z|x) and the generative model p(x|z)."""

    encoder: nn.Module
    decoder: nn.Module


def model(config: Config) -> VAE:
    """Figure 1 and appendix C: one hidden layer of tanh units on either side."""
    std = config.weight_std
    init = nn.initializers.normal(std) if std else nn.initializers.lecun_normal()
    init = nn.initializers.glorot_uniform() if config.glorot else init
    pixels, backwards = math.prod(SOURCES[config.data].fields["image"].shape), config.hidden[::-1]
    encoder = mlp.GaussianMLP(
        config.latents, config.hidden, scale=config.posterior_scale, kernel_init=init
    )
    if config.decoder == "bernoulli":
        return VAE(encoder, mlp.BernoulliMLP(pixels, backwards, kernel_init=init))
    return VAE(encoder, mlp.GaussianMLP(pixels, backwards, squash=True, kernel_init=init))


def source(config: Config) -> Source:
    """The images as vectors in [0, 1], [b, d]."""
    prepare = pipeline.binary_vectors if config.pixels == "stochastic" else pipeline.vectors
    init_extras = pipeline.mean_image if config.mean_start else pipeline.no_extras
    return Source(
        config.data,
        prepare,
        train=f"train[:{config.learnt}]" if config.held_out else "train",
        init_extras=init_extras,
    )


# Objectives -----------------------------------------------------------------------------------------------------------


def negative_elbo(model: Any, batch: Batch, key: Key, *, samples: int) -> tuple[Array, Metrics]:
    """Minus equation 10, averaged over the batch: prior fitting - reconstruction."""
    terms = evidence_lower_bound(model.encoder, model.decoder, batch["x"], key, samples)
    reconstruction, fitting = (term.mean() for term in terms)
    return fitting - reconstruction, {"reconstruction": reconstruction, "prior_fitting": fitting}


def negative_iwae(model: Any, batch: Batch, key: Key, *, samples: int) -> tuple[Array, Metrics]:
    """Minus E log 1/k sum_i p(x, z_i) / q(z_i|x) (Burda et al. 2015, equation 8)."""
    weights = log_weights(model.encoder, model.decoder, batch["x"], key, samples)  # [k, b]
    return -(jax.nn.logsumexp(weights, axis=0) - jnp.log(samples)).mean(), {"elbo": weights.mean()}


def learning_rate(config: Config) -> optax.ScalarOrSchedule:
    """Constant, or 10^-((i-1)/7) of it in stage i, rounded to a tenth of its tenth (IWAE's experiments.py)."""
    o = config.optimizer
    if not o.stages:
        return o.learning_rate
    epoch = config.learnt // config.batch_size  # steps
    rates = [o.learning_rate / 10 * round(10 ** (1 - i / 7), 1) for i in range(8)]
    ends = [(3**i - 1) // 2 * epoch for i in range(1, 8)]  # 1 + 3 + 9 + ... epochs
    return optax.join_schedules([optax.constant_schedule(rate) for rate in rates], ends)


def iwae_adam(
    rate: optax.ScalarOrSchedule, *, b1: float, b2: float = 0.999, eps: float
) -> optax.GradientTransformation:
    """The Adam of IWAE's optimizers.py: it moves by the moments of the step before, the second of which start at 1.

    As all of Theano's updates see the old values: w_t = w_t-1 - rate sqrt(1 - b2^t) / (1 - b1^t) m_t-1 / (sqrt(v_t-1) +
    eps), so that the first step moves nothing.
    """

    def init(params: Any) -> optax.ScaleByAdamState:
        zeros, ones = (optax.tree.full_like(params, value) for value in (0.0, 1.0))
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, ones)

    def update(
        gradients: Any, state: optax.ScaleByAdamState, params: Any = None
    ) -> tuple[Any, optax.ScaleByAdamState]:
        count = optax.safe_increment(state.count)
        correction = jnp.sqrt(1 - b2**count) / (1 - b1**count)
        moves = jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + eps), state.mu, state.nu)
        return moves, optax.ScaleByAdamState(count, *moments(gradients, state, b1, b2))

    return optax.chain(
        optax.GradientTransformation(init, update), optax.scale_by_learning_rate(rate)
    )


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adagrad from a zero accumulator, or Adam; IWAE's, on sums over the batch, as its eps is not small beside means.

    The prior of the weights is a decay of 1 / N beside the mean loss.
    """
    o, rate = config.optimizer, learning_rate(config)
    descent = {
        "adagrad": optax.adagrad(rate, initial_accumulator_value=0),
        "adam": optax.adam(rate, b1=o.b1, eps=o.eps),
        "iwae": optax.chain(optax.scale(config.batch_size), iwae_adam(rate, b1=o.b1, eps=o.eps)),
    }[o.name]
    prior = optax.add_decayed_weights(1 / config.learnt)
    return optax.chain(prior, descent) if config.weight_prior else descent


def players(config: Config) -> dict[str, Player]:
    """One player moves both networks."""
    objective = negative_elbo if config.bound == "elbo" else negative_iwae
    loss = functools.partial(objective, samples=config.samples)
    return {"vae": Player(("encoder", "decoder"), loss, optimizer(config))}


def game(config: Config) -> Game:
    one = games.make(model(config), players(config), precision=config.run.precision)
    last = "Dense_0" if config.decoder == "bernoulli" else "mean"
    return games.starting_at_mean(one, ("decoder", last), 1e-3) if config.mean_start else one


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_terms(model: Any, x: Array, key: Key) -> tuple[Array, Array, Array]:
    """Both terms of the bound by one draw, [b], and the mean of q(z|x), [b, N_z]."""
    return *evidence_lower_bound(model.encoder, model.decoder, x, key, 1), model.encoder(x).mean


@functools.cache
def log_evidence(samples: int) -> Callable[[Any, Array, Key], Array]:
    """The importance-weighted estimate of log p(x) by `samples` draws, at most 50 of them in memory at once: [b]."""
    chunk = max(m for m in range(1, 51) if samples % m == 0)

    def estimate(model: Any, x: Array, key: Key) -> Array:
        weights = functools.partial(log_weights, model.encoder, model.decoder, x)
        return likelihood.importance_weighted(weights, key, samples=samples, chunk=chunk)

    return estimate


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """The bound on the test set in its two terms, and the importance-weighted estimate of -log p(x), in nats."""
    bound, weighted = jax.random.split(key)
    test = functools.partial(pipeline.batches, data.test, data.prepare, batch_size=100)
    per_image = [model(test_terms, batch["x"], key) for batch, key in test(bound)]
    reconstruction, fitting, means = (
        np.concatenate(parts) for parts in zip(*per_image, strict=True)
    )
    estimate = log_evidence(config.evaluation.samples)
    log_p = np.concatenate(
        [model(estimate, batch["x"], key) for batch, key in test(weighted, count=counted(config))]
    )
    return {
        "test/elbo": float((reconstruction - fitting).mean()),
        "test/reconstruction": float(reconstruction.mean()),
        "test/prior_fitting": float(fitting.mean()),
        "test/active_units": float(
            (means.var(axis=0) > 0.01).sum()
        ),  # Burda et al. 2015, section 5.2
        nll_name(config): float(-log_p.mean()),
    }


def decoded(model: Any, z: Array) -> Array:
    """The means of p(x|z): [n, N_z] -> [n, d]."""
    return model.decoder(z).mean


def encoded(model: Any, x: Array) -> Array:
    """The means of q(z|x): [n, d] -> [n, N_z]."""
    return model.encoder(x).mean


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """Draws from the prior (figure 5), reconstructions, interpolations, and for N_z = 2 the manifold (figure 4)."""
    prior, noise = jax.random.split(key)
    draws = jax.random.normal(prior, (100, config.latents))
    (batch, _), *_ = pipeline.batches(data.test, data.prepare, noise, batch_size=50, count=50)
    z = model(encoded, batch["x"])  # [50, N_z]
    pairs = jnp.stack([batch["x"], model(decoded, z)], 1).reshape(
        100, -1
    )  # original, reconstruction, original, ...
    way = jnp.linspace(0, 1, 10)[None, :, None]
    between = (1 - way) * z[:10, None] + way * z[10:20, None]  # [10, 10, N_z]
    vectors = {
        "samples": model(decoded, draws),
        "reconstructions": pairs,
        "interpolations": model(decoded, between.reshape(100, -1)),
    }
    if config.latents == 2:
        line = ndtri(np.linspace(0.025, 0.975, 20))  # equal masses of the prior
        vectors["manifold"] = model(
            decoded, jnp.stack(jnp.meshgrid(line, line), -1).reshape(400, 2).astype(jnp.float32)
        )
    shape = SOURCES[config.data].fields["image"].shape
    return {name: images.grid(x.reshape(-1, *shape)) for name, x in vectors.items()}


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
