"""Progressive Growing of GANs for Improved Quality, Stability, and Variation.

Tero Karras, Timo Aila, Samuli Laine, Jaakko Lehtinen. ICLR 2018. arXiv:1710.10196

Replicated: both networks, weight for weight, from 4x4 to any power of two, and their growth in
stages, each with its batch size, program and new optimizers; fading, also of real images; equalized
learning rate, pixel norm, minibatch deviation; gradient penalty and drift, or least squares; the
average of the generator; the protocols of the code; Table 1, a to h; SWD and MS-SSIM.

Not replicated: CelebA-HQ and LSUN, which need data prepared by TFDS. The network of CIFAR-10's
Inception score, 8.80, is not available: the score here uses ResNet-50. Labels, unused by the
presets of the code; the adaptive noise of appendix B. From the Theano code, for CIFAR-10 and Table
1 at 128x128: the average before the generator's step, equalized weights scaled by the root mean
square of the draws, real images rounded at each side, and down when fading.

Cost: `quick` took 24 minutes of CPU time, 78 on a busy core: 0.03 seconds per step of 32 images at
4x4, 0.1 at 16x16, 15 to compile each of five programs. Other presets were not timed.

Run: python -m experiments.progan quick
"""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from typing import ClassVar, Literal

import jax
import numpy as np

from gen_jax import Array, Batch, Claim, Data, Key, Measure, Metrics, Player, Source, Trained, cli
from gen_jax import game as games
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import square_images
from gen_jax.evaluation import growing_images, image_sets, sliced_wasserstein
from gen_jax.losses import least_squares
from gen_jax.networks import progan as growing
from gen_jax.networks.progan import Growing, Level, Style, active_networks, at_level
from gen_jax.objectives import gradient_penalty
from gen_jax.optimizers import adam
from gen_jax.pretrained import progan as published

# Objectives ---------------------------------------------------------------------------------------


def discriminator_loss(
    model: Growing, batch: Batch, key: Key, *, config: Config, level: Level
) -> tuple[Array, Metrics]:
    """E D(G(z)) - E D(x) + lambda E (|grad D| / gamma - 1)^2 + drift E D(x)^2 (appendix A.1)."""
    key_z, key_penalty = jax.random.split(key)
    fade = level.fade(batch["step"], config.hold)
    score = partial(model.score, side=level.side, fade=fade)
    x = at_level(batch["x"], level.side, fade)
    fake = model.generate(model.draw(key_z, len(x)), level.side, fade)
    real_score, fake_score = score(x), score(fake)
    metrics = {"distance": real_score.mean() - fake_score.mean()}
    if config.loss == "lsgan":  # 0 for real images and 1 for fakes, as in the Theano code
        loss = least_squares(real_score, 0) + config.fake_weight * least_squares(fake_score, 1)
    else:
        loss = -metrics["distance"]
    if config.lambda_gp:
        shrink = config.side / level.side if config.penalty_side == "last" else 1
        penalty = gradient_penalty(score, x, fake, key_penalty, target=config.gamma, shrink=shrink)
        metrics["penalty"] = penalty / config.gamma**2
        loss = loss + config.lambda_gp * metrics["penalty"]
    if config.drift:
        loss += config.drift * (real_score**2).mean()
    return loss, metrics


def generator_loss(
    model: Growing, batch: Batch, key: Key, *, config: Config, level: Level
) -> tuple[Array, Metrics]:
    """-E D(G(z)), or E D(G(z))^2; simultaneous players use the same z."""
    fade, (key_z, _) = level.fade(batch["step"], config.hold), jax.random.split(key)
    fake = model.generate(model.draw(key_z, len(batch["x"])), level.side, fade)
    scores = model.score(fake, level.side, fade)
    return least_squares(scores, 0) if config.loss == "lsgan" else -scores.mean(), {}


def players(config: Config, level: Level | None = None) -> dict[str, Player]:
    """The critic, then the generator, of the networks in use at a level, by default the last."""
    level = level or levels(config)[-1]
    n, average = config.n_critic, config.average or None
    generator, critic = active_networks(level.side, level.fading)
    descent = adam(level.rate, b1=0, b2=config.b2, epsilon_hat=config.epsilon_hat)
    d_loss = partial(discriminator_loss, config=config, level=level)
    g_loss = partial(generator_loss, config=config, level=level)
    return {
        "critic": Player(critic, d_loss, descent),
        "generator": Player(generator, g_loss, descent, every=n, at=n - 1, average=average),
    }


def game(config: Config, level: Level | None = None) -> games.Game:
    """The game of a level, by default the last; all networks are initialised at the start."""
    module, own = model(config), players(config, level)
    whole = growing.game_of_all(module, start=config.start, average=bool(config.average))

    def init(key: Key, batch: Batch) -> games.State:
        return games.reset_optimizers(own)(whole.init(key, batch))

    one = games.make(module, own, together=config.together, precision=config.run.precision)
    return one._replace(init=init)


def stages(config: Config) -> tuple[games.Stage, ...]:
    """One stage per level, with new optimizers."""

    def stage(level: Level) -> games.Stage:
        on_enter = games.reset_optimizers(players(config, level))
        return games.Stage(level.first, game(config, level), level.batch_size, on_enter)

    return tuple(map(stage, levels(config)))


# Networks and data --------------------------------------------------------------------------------


def model(config: Config) -> Growing:
    features, channels = (config.base, config.max_features), square_images.channels(config.data)
    return Growing(config.side, channels, *features, config.latents, config.style)


@cache
def levels(config: Config) -> tuple[Level, ...]:
    """The first side is trained; each further side is faded in, then trained."""
    numbers = config.images, config.fade, config.stabilise
    return growing.plan(config.side, config.start, *numbers, config.batches, config.rates)


def source(config: Config) -> Source:
    """ "x": images [b, side, side, c] in [-1, 1]; "first": those that calibrate discrimination."""
    first = config.start if config.style.variation == "discrimination" else None
    return square_images.source(config.data, config.side, mirror=config.mirror, first=first)


# Config -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    # CIFAR-10, emoji of all vendors, drawn shapes, digits, sets of TFDS, or folder:PATH.
    data: square_images.Name = "emoji"
    side: Count = 64  # side of the final images, a power of two; the data are resized to it
    start: Count = 4  # side of the first images; if equal to `side`, networks do not grow
    base: Count = 8192  # maps of side s have 2 base / s features, at most max_features
    max_features: Count = 512  # maximum number of features of a convolution
    latents: Count = 512  # dimensions of z, from N(0, I) (appendix A.1)
    style: Style = Style()
    loss: Literal["wgan_gp", "lsgan"] = "wgan_gp"  # appendix A.1, or least squares (appendix B)
    lambda_gp: NonNegative = 10  # weight of the gradient penalty
    gamma: Positive = 1  # target norm of the critic's gradient: 750 on CIFAR-10 (section 6.5)
    # Side of the images for the gradient of the penalty: both official codes upsample them to the
    # last side, where the gradient norm of a growing critic is smaller by the ratio of sides.
    penalty_side: Literal["last", "own"] = "last"
    drift: NonNegative = 0.001  # weight of D(x)^2 of real images (appendix A.1)
    fake_weight: Positive = 0.1  # weight of fakes with lsgan: 0.1 in Theano, 1 in Mao et al. 2017
    n_critic: Count = 1  # critic steps per generator step
    together: bool = False  # simultaneous steps, as in the code for CIFAR-10
    mirror: bool = True  # mirror half of the images
    fade: Count = 800_000  # number of images while a new side fades in
    stabilise: Count = 800_000  # number of images between fading in and the next side
    images: Count = 10_000_000  # total of real images (section 6.1); the last side has the rest
    hold: Count = 1  # steps between changes of fade: 4 in the TensorFlow code, n_critic in Theano
    # Batch sizes at 4x4, 8x8, ...; the last is for all larger sides (appendix A.1).
    batches: tuple[Count, ...] = (16, 16, 16, 16, 16, 16, 14, 6, 3)
    rates: tuple[Positive, ...] = (1e-3,)  # of Adam, at 4x4, 8x8, ...; the last for larger sides
    b2: Fraction = 0.99  # Adam's decay of the second moment; 0 for the first (appendix A.1)
    epsilon_hat: bool = True  # Adam adds eps before bias correction, as in TensorFlow and Lasagne
    average: Fraction = 0.999  # decay of the generator's average per step (appendix A.1); 0: none
    n_images: Count = 16_384  # maximum number of images per set in the measures (section 5)
    n_feature_images: Natural = 10_000  # images for ResNet-50, and Inception if given; 0: none
    run: Run = Run()

    LENGTH: ClassVar = "images"
    FORMERLY: ClassVar = {"penalty_side": "own", "fake_weight": 1, "epsilon_hat": False}
    RENAMED: ClassVar = {
        "most": "max_features", "slope": "gamma", "critics": "n_critic", "smoothing": "average",
        "judged": "n_images", "perceived": "n_feature_images",
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        growing.check_groups(self.style, (level.batch_size for level in levels(self)))

    @property
    def steps(self) -> int:
        return levels(self)[-1].end

    @property
    def batch_size(self) -> int:
        return levels(self)[-1].batch_size


CIFAR = Config(
    data="cifar10", side=32, base=4096, max_features=128, latents=128, gamma=750, together=True,
    mirror=False, fade=400_000, stabilise=400_000, images=20_000_000, batches=(16,),
)  # fmt: skip
HQ = Config(data="celeb_a_hq", side=1024, style=Style(fused=True), images=19_000_000, hold=4)
HQ_V2 = HQ.but(
    style=Style(group=4, fused=True), fade=600_000, stabilise=600_000, images=12_000_000,
    batches=(128, 128, 128, 64, 32, 16, 8, 4), rates=(*(1e-3,) * 8, 1.5e-3),
)  # fmt: skip
LSGAN = Config(loss="lsgan", lambda_gp=0, drift=0)
PRESETS = {
    "paper": ("emoji at 64x64, by appendix A.1, 10 million images; for a GPU", Config()),
    "official": ("CIFAR-10 by the released code, 20 million images; for a GPU", CIFAR),
    "celeb_a_hq": ("1024x1024, the code's v1, 19 million images; GPU, and TFDS's data", HQ),
    "celeb_a_hq_v2": ("1024x1024, the code's v2 for one GPU, 12 million images", HQ_V2),
    "lsgan": ("the paper's emoji with least squares; for a GPU", LSGAN),
}

# For --run.init-from: the generator of CelebA's faces, of the default networks at --side 128; at a
# smaller side, its first blocks.
STARTS = {published.NAME: published.params}

# Evaluation ---------------------------------------------------------------------------------------

ON = f"CelebA at 128x128, all features; distances by {sliced_wasserstein.PROTOCOL}"
BEST = "best run on CIFAR-10, unsupervised; 50 000 images, ten splits"
ROW_H = partial(Claim, spread=None, where="Table 1, h", status="unverified", data="celeb_a")


def __getattr__(name: str) -> dict[str, Claim]:
    """CLAIMS; the name of the Inception score contains that of the user's weights, read lazily."""
    if name != "CLAIMS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    inception_score = Claim(8.8, None, "abstract", "read", "higher", BEST, data="cifar10")
    return {
        "test/swd": ROW_H(2.96, protocol=ON),
        "test/ms_ssim": ROW_H(0.2828, protocol=ON),
        **dict.fromkeys(image_sets.inception_scores(), inception_score),
    }


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, Measure]:
    """The measures of the paper, and their values for other training images."""
    view = partial(square_images.images, config.data, side=config.side)

    def draw(count: int) -> np.ndarray:
        z = jax.random.normal(key, (count, config.latents))
        return growing_images.generate(model, levels(config), z, config.side)

    counts = {"count": config.n_images, "perceived": config.n_feature_images}
    return image_sets.evaluate(draw, data.train, view, **counts)


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """A hundred images of fixed latents."""
    z = jax.random.normal(key, (100, config.latents))
    return {"samples": growing_images.picture(model, levels(config), z, config.side)}


if __name__ == "__main__":
    cli(__spec__)
