"""Progressive Growing of GANs for Improved Quality, Stability, and Variation.

Tero Karras, Timo Aila, Samuli Laine, Jaakko Lehtinen. ICLR 2018. arXiv:1710.10196

Replicated: both networks, weight for weight, from 4x4 to any power of two; growth in stages, of which each has its
batch size, its program and fresh optimizers, new layers being faded in, the real images too; equalized learning rate,
pixel norm, minibatch standard deviation; the critic with gradient penalty and drift, and the least-squares variant;
the running average of the generator; the protocols of the released code; Table 1's configurations a to h. Judged by
the paper's measures: sliced Wasserstein distance on Laplacian pyramids, MS-SSIM of pairs.

Not replicated: CelebA-HQ and LSUN, which no package carries: they are read where TFDS has prepared them. The Inception
score 8.80 on CIFAR-10 is through a network that cannot be had: a score through ResNet-50 is named so. Conditioning on
labels, which no preset of the code has; the adaptive noise of appendix B, for the least-squares variant. In the Theano
code, which alone has CIFAR-10 and Table 1 (there 128x128), the average takes the generator's weights before its step,
here after it; equalized weights are scaled by the root mean square of what was drawn, here by what is expected of it;
and real images are rounded to whole values at each side, and down as they fade.

Cost: `quick` took 24 minutes of a CPU core, spread over 78 of a busy one: 0.03 seconds for a step of 32 images at 4x4,
0.1 at 16x16, and 15 for each of five programs to compile. Other presets have not been timed.

Run: python -m experiments.progan quick
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gen_jax import game as games
from gen_jax import images, losses, optimizers
from gen_jax.batching import by_chunks
from gen_jax.config import Checked, Count, Fraction, Natural, NonNegative, Positive, Run
from gen_jax.data import pipeline
from gen_jax.data.augmentation import random_flip
from gen_jax.data.catalog import emoji
from gen_jax.data.pipeline import Arrays, Data, Source
from gen_jax.data.synthetic import shapes
from gen_jax.errors import UserError
from gen_jax.evaluation import image_sets as sets
from gen_jax.evaluation import sliced_wasserstein as sliced
from gen_jax.game import Game, Player, Stage, State, Trained
from gen_jax.networks import progan as growing
from gen_jax.networks.progan import FIRST, Growing, Style, downsample, lerp, sides, upsample
from gen_jax.objectives import gradient_penalty
from gen_jax.pretrained import inception
from gen_jax.run import train
from gen_jax.types import Array, Batch, Claim, Key, Metrics

# Config ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Config(Checked):
    data: Literal[
        "cifar10", "emoji", "shapes", "digits", "celeb_a", "celeb_a_hq", "lsun_bedroom"
    ] = "emoji"
    """Photographs, emoji of all vendors, drawn shapes, digits; or sets of the paper, if TFDS has prepared them."""
    side: Count = 64
    """Of the images in the end, in pixels; a power of two, to which the data are resized."""
    start: Count = FIRST
    """Of the images in the beginning; `side`, for networks that do not grow."""
    base: Count = 8192
    """A side of s pixels has 2 base / s features ..."""
    most: Count = 512
    """... and no more than these."""
    latents: Count = 512
    """z, from N(0, I) (appendix A.1)."""
    style: Style = Style()
    loss: Literal["wgan_gp", "lsgan"] = "wgan_gp"
    """WGAN-GP (appendix A.1), or least squares (appendix B)."""
    lambda_gp: NonNegative = 10
    """Weight of the gradient penalty."""
    slope: Positive = 1
    """Gamma, the length of the critic's gradient: 750 on CIFAR-10 (section 6.5)."""
    penalty_side: Literal["last", "own"] = "last"
    """The penalty's gradient is by images at the last side, to which both official codes repeat smaller ones, or at
    their own side; by the last one, the norm of a growing critic's gradient is smaller by the ratio of the sides."""
    drift: NonNegative = 0.001
    """Weight of D(x)^2 of real images (appendix A.1)."""
    fake_weight: Positive = 0.1
    """With lsgan, the weight of fakes in the critic's loss: 0.1 in the Theano code, 1 in Mao et al. 2017."""
    critics: Count = 1
    """Steps of the critic for one of the generator."""
    together: bool = False
    """Both move at the same point, as in the code for CIFAR-10."""
    mirror: bool = True
    """Half of the images are mirrored."""
    fade: Count = 800_000
    """Images in which a new side fades in."""
    stabilise: Count = 800_000
    """Images before the next side comes."""
    images: Count = 10_000_000
    """In all; the last side sees what remains. Section 6.1 stops here."""
    hold: Count = 1
    """Steps in which the blend stays as it is: 4 in the TensorFlow code; as many as `critics` in the Theano code."""
    batches: tuple[Count, ...] = (16, 16, 16, 16, 16, 16, 14, 6, 3)
    """Images in a batch at 4x4, 8x8 ...; the last number serves all larger sides (appendix A.1)."""
    rates: tuple[Positive, ...] = (1e-3,)
    """Adam's, likewise."""
    b2: Fraction = 0.99
    """Adam's decay of the second moment; that of the first is 0 (appendix A.1)."""
    epsilon_hat: bool = True
    """Adam adds epsilon before the bias correction, as TensorFlow and Lasagne do, not after it (optimizers.adam)."""
    smoothing: Fraction = 0.999
    """Of the running average of the generator's weights, in a step (appendix A.1)."""
    judged: Count = 16_384
    """Images of either kind, at most, from which distances are taken (section 5)."""
    perceived: Natural = 10_000
    """Of them, at most, that are seen through ResNet-50, and Inception, if the user has its weights; 0 for none."""
    run: Run = Run()

    FORMERLY: ClassVar = {"penalty_side": "own", "fake_weight": 1, "epsilon_hat": False}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, side in (("side", self.side), ("start", self.start)):
            if side < FIRST or side & (side - 1):
                raise UserError(f"{name} is {side}; it must be a power of two, 4 or above.")
        if self.start > self.side:
            raise UserError(f"start is {self.start}; it must be at most side, {self.side}.")
        if self.images <= (
            grown := (len(sides(self.side, self.start)) - 1) * (self.fade + self.stabilise)
        ):
            raise UserError(f"images is {self.images}; growing takes {grown}, so give more.")
        for batch in {level.batch_size for level in levels(self)}:
            if self.style.variation == "deviation" and batch % min(self.style.group, batch):
                raise UserError(
                    f"style.group is {self.style.group}; it must divide a batch, and one has {batch}."
                )

    @property
    def channels(self) -> int:
        return 1 if self.data == "digits" else 3

    @property
    def steps(self) -> int:
        return levels(self)[-1].end

    @property
    def batch_size(self) -> int:
        return levels(self)[-1].batch_size


class Level(NamedTuple):
    """A part of the run."""

    first: int  # step
    end: int
    side: int
    fading: bool
    batch_size: int
    rate: float

    def fade(self, step: Array, hold: int) -> Array | None:
        """The weight of the new side, from 0 to 1; None where nothing is old."""
        shown = (step - self.first) // hold * hold / (self.end - self.first)
        return jnp.clip(shown, 0, 1) if self.fading else None


@functools.cache
def levels(config: Config) -> tuple[Level, ...]:
    """The first side is learnt; each further one is faded in, then learnt."""
    found: list[Level] = []
    first, left = 0, config.images
    for side in sides(config.side, config.start):
        number = (side // FIRST).bit_length() - 1
        batch = config.batches[min(number, len(config.batches) - 1)]
        rate = config.rates[min(number, len(config.rates) - 1)]
        for fading in (True, False) if side > config.start else (False,):
            wanted = config.fade if fading else config.stabilise if side < config.side else left
            end = first + -(-wanted // batch)
            found.append(Level(first, end, side, fading, batch, rate))
            first, left = end, left - wanted
    return tuple(found)


TABLE = Config(data="cifar10", side=32, base=2048, batches=(16,))  # section 6.1: smaller networks
BARE = Style(equalized=False, pixel_norm=False, variation="none")
OLD = dataclasses.replace(
    BARE, sphere=False, leaky=False, batch_norm=True, layer_norm=True, tanh=True
)
GULRAJANI = dataclasses.replace(
    TABLE, latents=128, style=OLD, critics=5, hold=5, b2=0.9, drift=0, batches=(64,), rates=(1e-4,),
    smoothing=0.999**4,
)  # fmt: skip
REVISED = dataclasses.replace(TABLE, rates=(1e-4,), style=BARE)


def styled(config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, style=dataclasses.replace(config.style, **changes))


ROWS = {
    "a": ("WGAN-GP", dataclasses.replace(GULRAJANI, start=32)),
    "b": ("+ progressive growing", GULRAJANI),
    "c": ("+ small minibatch", dataclasses.replace(GULRAJANI, batches=(16,), smoothing=0.999)),
    "d": ("+ revised training parameters", REVISED),
    "e_discrimination": ("+ minibatch discrimination", styled(REVISED, variation="discrimination")),
    "e": ("+ minibatch standard deviation", styled(REVISED, variation="deviation")),
    "f": ("+ equalized learning rate", styled(TABLE, pixel_norm=False)),
    "g": ("+ pixelwise normalization", TABLE),
    "h": (
        "converged: all features, 19 million images",
        dataclasses.replace(TABLE, base=8192, images=19_000_000),
    ),
}
CIFAR = Config(
    data="cifar10", side=32, base=4096, most=128, latents=128, slope=750, together=True, mirror=False,
    fade=400_000, stabilise=400_000, images=20_000_000, batches=(16,),
)  # fmt: skip
HQ = Config(data="celeb_a_hq", side=1024, style=Style(fused=True), images=19_000_000, hold=4)
TWO = dataclasses.replace(
    HQ, style=Style(group=4, fused=True), fade=600_000, stabilise=600_000, images=12_000_000,
    batches=(128, 128, 128, 64, 32, 16, 8, 4), rates=(*(1e-3,) * 8, 1.5e-3),
)  # fmt: skip
OFTEN = Run(log_every=200, sample_every=1000)
QUICK = Config(
    data="cifar10", side=16, base=128, most=64, latents=64, style=Style(group=4, fused=True), fade=40_000,
    stabilise=40_000, images=400_000, batches=(32,), judged=2048, perceived=500, run=OFTEN,
)  # fmt: skip
TINY = Config(
    data="digits", side=8, base=16, most=8, latents=8, style=Style(group=4), mirror=False, fade=160, stabilise=320,
    images=640, batches=(16, 8), judged=64, run=Run(log_every=20, checkpoint_every=20, sample_every=20),
)  # fmt: skip
DRAWN: dict[str, Any] = {
    "data": "shapes",
    "side": 16,
    "base": 128,
    "most": 64,
    "judged": 2048,
    "perceived": 0,
}

PRESETS = {
    "paper": ("emoji at 64x64, by appendix A.1, 10 million images; for a GPU", Config()),
    "official": ("CIFAR-10 by the released code, 20 million images; for a GPU", CIFAR),
    "celeb_a_hq": (
        "1024x1024, the code's preset v1, 19 million images; for a GPU, and TFDS's celeb_a_hq/1024",
        HQ,
    ),
    "celeb_a_hq_v2": ("the same by preset v2 for one GPU, 12 million images", TWO),
    "lsgan": (
        "the paper's emoji with least squares; for a GPU",
        Config(loss="lsgan", lambda_gp=0, drift=0),
    ),
    **{
        row: (f"Table 1, {row}: {what}; CIFAR-10; for a GPU", config)
        for row, (what, config) in ROWS.items()
    },
    **{
        f"shapes_{row}": (
            f"the same on drawn shapes, 16x16: {what}; minutes",
            dataclasses.replace(
                config,
                **DRAWN,
                start=16 if row == "a" else 4,
                fade=12_000,
                stabilise=12_000,
                images=96_000,
                run=OFTEN,
            ),
        )
        for row, (what, config) in ROWS.items()
    },
    "quick": ("CIFAR-10 at 16x16, an eighth as wide, 400 000 images; 25 minutes of a core", QUICK),
    "tiny": ("8x8 digits; seconds, for tests", TINY),
}
ON = f"CelebA at 128x128, all features; distances by {sliced.PROTOCOL}"
BEST = "best run on CIFAR-10, unsupervised; 50 000 images, ten splits"


def __getattr__(name: str) -> Any:
    """CLAIMS and UNITS, which tell of Inception where the user has its weights: these are read when it is asked for."""
    if name == "UNITS":
        return sets.units(1024, {"": "images made", "_of_real": "as many other training images"})
    if name != "CLAIMS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    given = inception.load_if_configured()
    score = (
        {f"test/class_score_{given.name}": Claim(8.8, None, "abstract", "read", "higher", BEST)}
        if given
        else {}
    )
    return {
        "test/swd": Claim(2.96, None, "Table 1, h", "unverified", protocol=ON),
        "test/ms_ssim": Claim(0.2828, None, "Table 1, h", "unverified", protocol=ON),
        **score,
    }


# Data -----------------------------------------------------------------------------------------------------------------

PREPARED = {  # by TFDS: name, splits, shape of an image
    "celeb_a": ("tfds:celeb_a", ("train", "test"), (218, 178)),
    "celeb_a_hq": ("tfds:celeb_a_hq:{0}", ("train", "train"), None),
    "lsun_bedroom": ("tfds:lsun:bedroom@{0}", ("train", "validation"), None),
}
FACE = (
    slice(57, 185),
    slice(25, 153),
)  # rows and columns of 218 x 178 that the code takes of CelebA
DRAWINGS = (50_000, 1000)  # shapes to learn from, and others
MEASURED = 500  # images from which the Theano code starts minibatch discrimination


def source(config: Config) -> Source:
    """ "x": images [b, side, side, c] in [-1, 1]."""

    def prepare(batch: Batch, key: Key) -> Batch:
        which, coin = jax.random.split(key)
        x = pictures(config, batch, which)
        return {"x": random_flip(x, coin) if config.mirror else x}

    def first(train: Arrays) -> Batch:
        """Images of the first side, by which minibatch discrimination starts."""
        some = {name: jnp.asarray(array[:MEASURED]) for name, array in train.items()}
        return {"first": downsample(pictures(config, some, jax.random.key(0)), config.start)}

    init_extras = first if config.style.variation == "discrimination" else pipeline.no_extras
    if config.data == "shapes":
        return Source("shapes", prepare, init_extras=init_extras, arrays=drawn)
    if config.data not in PREPARED:
        return Source(config.data, prepare, init_extras=init_extras)
    name, splits, shape = PREPARED[config.data]
    fields = {"image": ((*(shape or (config.side,) * 2), 3), "uint8")}
    return Source(
        name.format(config.side), prepare, *splits, init_extras=init_extras, fields=fields
    )


def drawn() -> tuple[Arrays, Arrays]:
    """The factors of shapes, always the same ones."""
    keys = jax.random.split(jax.random.key(0))
    first, second = (shapes.draw(key, n)._asdict() for key, n in zip(keys, DRAWINGS, strict=True))
    return jax.device_get((first, second))


def pictures(config: Config, batch: Batch, key: Key) -> Array:
    """[b, side, side, c] in [-1, 1]; emoji by a random vendor each."""
    if config.data == "shapes":
        return (
            2
            * shapes.render(
                shapes.Scene(*(batch[name] for name in shapes.Scene._fields)), config.side
            )
            - 1
        )
    if config.data == "emoji":
        every = jnp.stack([batch[vendor] for vendor in emoji.VENDORS])  # [vendors, b, 64, 64, 3]
        of = jax.random.randint(key, every.shape[1:2], 0, len(every))
        image = every[of, jnp.arange(len(of))]
    else:
        image = batch["image"]
    if config.data == "celeb_a":
        image = image[:, *FACE]
    x, side = image.astype(jnp.float32) / 127.5 - 1, config.side
    if x.shape[1] % side:
        return jnp.clip(jax.image.resize(x, (len(x), side, side, x.shape[-1]), "cubic"), -1, 1)
    return downsample(x, side)


def shown(x: Array, side: int, fade: Array | None) -> Array:
    """Real images as the generator draws them at this time: [b, s, s, c] -> [b, side, side, c]."""
    x = downsample(x, side)
    return x if fade is None else lerp(upsample(downsample(x, side // 2)), x, fade)


# Networks ------------------------------------------------------------------------------------------------------------


def model(config: Config) -> Growing:
    return Growing(
        config.side, config.channels, config.base, config.most, config.latents, config.style
    )


# Objectives -----------------------------------------------------------------------------------------------------------


def judging(
    model: Any, batch: Batch, key: Key, *, config: Config, level: Level
) -> tuple[Array, Metrics]:
    """E D(G(z)) - E D(x) + lambda E (|grad D| / gamma - 1)^2 + drift E D(x)^2 (appendix A.1), or least squares.

    These, as in the Theano code, have 0 for real images and 1 for fakes.
    """
    draw, between = jax.random.split(key)
    fade = level.fade(batch["step"], config.hold)
    x = shown(batch["x"], level.side, fade)
    fake = model.generate(model.draw(draw, len(x)), level.side, fade)
    score: Callable[[Array], Array] = functools.partial(model.score, side=level.side, fade=fade)
    real, made = score(x), score(fake)
    metrics = {"distance": real.mean() - made.mean()}
    if config.loss == "lsgan":
        loss = losses.least_squares(real, 0) + config.fake_weight * losses.least_squares(made, 1)
    else:
        loss = -metrics["distance"]
    if config.lambda_gp:
        shrink = config.side / level.side if config.penalty_side == "last" else 1
        penalty = (
            gradient_penalty(score, x, fake, between, target=config.slope, shrink=shrink)
            / config.slope**2
        )
        loss, metrics["penalty"] = loss + config.lambda_gp * penalty, penalty
    if config.drift:
        loss += config.drift * (real**2).mean()
    return loss, metrics


def drawing(
    model: Any, batch: Batch, key: Key, *, config: Config, level: Level
) -> tuple[Array, Metrics]:
    """-E D(G(z)), or D(G(z))^2."""
    fade, (draw, _) = (
        level.fade(batch["step"], config.hold),
        jax.random.split(key),
    )  # together, by the critic's z
    fake = model.generate(model.draw(draw, len(batch["x"])), level.side, fade)
    scores = model.score(fake, level.side, fade)
    return losses.least_squares(scores, 0) if config.loss == "lsgan" else -scores.mean(), {}


def players(config: Config, level: Level | None = None) -> dict[str, Player]:
    """The critic, then the generator, who move what is in use at a level, by default the last."""
    level = level or levels(config)[-1]
    generator, critic = growing.active_networks(level.side, level.fading)
    adam = optimizers.adam(level.rate, b1=0, b2=config.b2, epsilon_hat=config.epsilon_hat)
    judge, artist = (
        functools.partial(one, config=config, level=level) for one in (judging, drawing)
    )
    n = config.critics
    return {
        "critic": Player(critic, judge, adam),
        "generator": Player(generator, artist, adam, n, n - 1, config.smoothing),
    }


def game(config: Config, level: Level | None = None) -> Game:
    """That of a level, by default the last; all networks are born in the beginning."""
    level = level or levels(config)[-1]
    moving, every = players(config, level), model(config)
    one = games.make(every, moving, together=config.together, precision=config.run.precision)

    def meet(model: Any, batch: Batch, key: Key) -> tuple[Array, Metrics]:
        model.born(model.draw(key, len(batch["x"])))
        return jnp.zeros(()), {}

    parts = [
        name for side in sides(config.side) for name in growing.active_networks(side, False)[0]
    ]
    whole = games.make(every, {"all": Player(tuple(parts), meet, optax.identity(), average=0.0)})

    def init(key: Key, batch: Batch) -> State:
        state = whole.init(key, batch)
        if "first" in batch:
            score = functools.partial(
                every.apply, {"params": state.params}, method="score", mutable="intermediates"
            )
            found = score(batch["first"], config.start)[1]["intermediates"]["critic_4"][
                "discrimination"
            ]
            critic = state.params["critic_4"]
            start = growing.calibrated(critic["discrimination"], *found["distances"])
            state = state.replace(
                params={**state.params, "critic_4": {**critic, "discrimination": start}}
            )
        return games.reset_optimizers(moving)(state)

    return one._replace(init=init)


def stages(config: Config) -> tuple[Stage, ...]:
    """One for each level, with optimizers that remember nothing."""
    return tuple(
        Stage(
            level.first,
            game(config, level),
            level.batch_size,
            games.reset_optimizers(players(config, level)),
        )
        for level in levels(config)
    )


# Evaluation -----------------------------------------------------------------------------------------------------------


CHUNK = 64  # images drawn at a time: where there is batch norm, it is by these


@functools.cache
def generating(side: int, fading: bool) -> Callable[..., Array]:
    """[n, latents], [n] -> [n, side, side, c]"""
    return lambda model, z, fade: model.generate(z, side, fade[0] if fading else None)


def made(config: Config, model: Trained, z: Any) -> np.ndarray:
    """Images of the side that is played, enlarged to the last one: uint8 [n, side, side, c]"""
    level = next(level for level in levels(config) if model.step <= level.end)
    fade = np.full(len(z), level.fade(jnp.int32(model.step), 1) if level.fading else 0, np.float32)
    draw = generating(level.side, level.fading)
    filled = np.resize(z, (-(-len(z) // CHUNK) * CHUNK, z.shape[1]))  # batch norm sees no zeros
    fakes = by_chunks(
        lambda z, fade: model(draw, z, fade), filled, np.resize(fade, len(filled)), size=CHUNK
    )
    fakes = images.to_uint8(fakes[: len(z)], low=-1)
    times = config.side // level.side
    return fakes.repeat(times, 1).repeat(times, 2)


def real(config: Config, arrays: Arrays, count: int) -> np.ndarray:
    """So many images, or as many as there are, always the same ones: uint8 [n, side, side, c]"""
    chosen = np.random.default_rng(0).permutation(pipeline.size(arrays))[:count]
    some = {name: array[np.sort(chosen)] for name, array in arrays.items()}
    view = jax.jit(lambda batch, key: {"x": pictures(config, batch, key)})
    parts = [
        batch["x"] for batch, _ in pipeline.batches(some, view, jax.random.key(0), batch_size=100)
    ]
    shuffled = np.random.default_rng(1).permutation(len(chosen))
    return images.to_uint8(np.concatenate(parts), low=-1)[shuffled]


def evaluate(config: Config, model: Trained, data: Data, key: Key) -> dict[str, float]:
    """By the paper's measures, beside what they are for as many other training images."""
    true = real(config, data.train, 2 * config.judged)
    n = len(true) // 2
    fakes = made(config, model, jax.random.normal(key, (n, config.latents)))
    return sets.judged(
        true[:n], {"": fakes, "_of_real": true[n : 2 * n]}, perceived=config.perceived
    )


def sample(config: Config, model: Trained, data: Data, key: Key) -> dict[str, np.ndarray]:
    """A hundred images of fixed latents."""
    return {
        "samples": images.grid(made(config, model, jax.random.normal(key, (100, config.latents))))
    }


if __name__ == "__main__":
    sys.exit(train.main(__spec__.name))
