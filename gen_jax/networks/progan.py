"""Progressively grown networks: a generator and a critic with one part per resolution, from 4
pixels up (Karras et al. 2018).

Each part is a network named by its side, so that a player updates only the parts in use. While a
new side fades in, both networks blend the image of the previous side with the new one. Upsampling
is by nearest neighbours and is fused with the following convolution, which is exact and cheaper.
Downsampling is by averaging: in the Theano code after bias and leaky ReLU, in the TensorFlow code
before them, fused with the convolution.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from gen_jax.config import Checked, Count
from gen_jax.errors import UserError
from gen_jax.game import Game, Player, State, make
from gen_jax.networks.conv import conv, conv_transpose
from gen_jax.types import Array, Batch, Key, Metrics, Params

FIRST = 4  # pixels, the smallest side
EPSILON = 1e-4  # of the Theano code's norms, Lasagne's default for batch norm


@dataclasses.dataclass(frozen=True)
class Style(Checked):
    """Settings that differ between the configurations in Table 1 of the paper."""

    equalized: bool = True  # N(0, 1) weights, scaled at run time (section 4.1); else He's
    pixel_norm: bool = True  # pixel norm after each layer of the generator (section 4.2)
    normalize_latents: bool = True  # scale latents to the hypersphere, as pixel norm does
    leaky: bool = True  # leaky ReLU in the generator; else ReLU
    batch_norm: bool = False  # batch norm in the generator
    layer_norm: bool = False  # layer norm in the critic
    tanh: bool = False  # tanh of the generator's image, after blending; else linear
    # The critic averages before bias and leaky ReLU, as in the TensorFlow code; else after.
    fused: bool = False
    # Batch statistics for the critic: standard deviation (section 3), or the features of
    # Salimans et al. 2016.
    variation: Literal["deviation", "discrimination", "none"] = "deviation"
    group: Count = 16  # maximum number of images per standard deviation

    RENAMED: ClassVar = {"sphere": "normalize_latents"}
    FORMERLY: ClassVar = {"fused": True}


def sides(last: int, first: int = FIRST) -> tuple[int, ...]:
    """Return first, 2 first, ..., last."""
    return tuple(first * 2**i for i in range((last // first).bit_length()))


def upsample(x: Array) -> Array:
    """Repeat each pixel in 2 x 2: [b, h, w, c] -> [b, 2h, 2w, c]."""
    return x.repeat(2, 1).repeat(2, 2)


def downsample(x: Array, side: int) -> Array:
    """Average square blocks of pixels: [b, h, h, c] -> [b, side, side, c]."""
    b, h, _, c = x.shape
    return x if h == side else x.reshape(b, side, h // side, side, h // side, c).mean((2, 4))


def lerp(old: Array, new: Array, fade: Array) -> Array:
    """Interpolate: exactly `old` at 0 and exactly `new` at 1."""
    return (1 - fade) * old + fade * new


def at_level(x: Array, side: int, fade: Array | None) -> Array:
    """Return real images at the resolution and blending of a level: [b, s, s, c]
    -> [b, side, side, c].
    """
    x = downsample(x, side)
    return x if fade is None else lerp(upsample(downsample(x, side // 2)), x, fade)


def pixel_norm(x: Array) -> Array:
    """Divide the features of each pixel by their root mean square (section 4.2): [..., c]
    -> [..., c].
    """
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt((wide**2).mean(-1, keepdims=True) + 1e-8)).astype(x.dtype)


def minibatch_stddev(x: Array, group: int) -> Array:
    """Append the minibatch standard deviation (section 3): [b, h, w, c] -> [b, h, w, c + 1].

    It is taken over groups of `group` images, or over all images if there are fewer, and averaged
    over positions and features.
    """
    b, *rest = x.shape
    group = min(group, b)
    # A group is every (b / group)-th image.
    groups = x.astype(jnp.float32).reshape(group, b // group, *rest)
    centred = groups - groups.mean(0, keepdims=True)
    spread = jnp.sqrt((centred**2).mean(0) + 1e-8).mean((1, 2, 3))  # [b / group]
    tiled = jnp.tile(spread, group).astype(x.dtype).reshape(b, 1, 1, 1)
    return jnp.concatenate([x, jnp.broadcast_to(tiled, (*x.shape[:3], 1))], -1)


def weights(layer: nn.Module, shape: tuple[int, ...], gain: float, equalized: bool) -> Array:
    """A kernel of He's standard deviation, gain / sqrt(fan-in), either initialised with it or
    scaled to it at run time.
    """
    scale = gain / math.sqrt(math.prod(shape[:-1]))
    kernel = layer.param("kernel", nn.initializers.normal(1 if equalized else scale), shape)
    return scale * kernel if equalized else kernel


def biased(layer: nn.Module, y: Array) -> Array:
    """Add a bias for each feature, initially 0: [..., c] -> [..., c]."""
    bias = layer.param("bias", nn.initializers.zeros, (y.shape[-1],))
    return y + bias.reshape(*(1,) * (y.ndim - 1), -1)


class Dense(nn.Module):
    """[b, d] -> [b, features]"""

    features: int
    gain: float
    equalized: bool
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = x @ weights(self, (x.shape[-1], self.features), self.gain, self.equalized)
        return biased(self, y) if self.use_bias else y


class Conv(nn.Module):
    """[b, h, w, i] -> [b, h, w, features], [b, 2h, 2w, features] or [b, h / 2, w / 2, features]"""

    features: int
    size: int
    equalized: bool
    gain: float = math.sqrt(2)
    step: Literal["up", "down", ""] = ""
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = weights(
            self, (self.size, self.size, x.shape[-1], self.features), self.gain, self.equalized
        )
        if self.step:
            # Upsampling before a 3 x 3 kernel, or averaging after it, equals one 4 x 4 kernel of
            # sums over 2 x 2 neighbours.
            padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
            kernel = padded[1:, 1:] + padded[1:, :-1] + padded[:-1, 1:] + padded[:-1, :-1]
        if self.step == "up":
            y = conv_transpose(x, kernel, strides=(2, 2), padding=((2, 2), (2, 2)))
        elif self.step == "down":
            y = conv(x, kernel / 4, strides=(2, 2), padding=((1, 1), (1, 1)))
        else:
            y = conv(x, kernel)
        return biased(self, y) if self.use_bias else y


class MinibatchDiscrimination(nn.Module):
    """Minibatch discrimination (Salimans et al. 2016, section 3.2) as in the Theano code: [b, d]
    -> [b, d + kernels].

    Each column of its matrix has length exp(log_scale), and each sum over the other images has a
    bias; `calibrated` sets the initial values of both.
    """

    kernels: int = 100
    size: int = 5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param(
            "kernel", nn.initializers.normal(0.05), (x.shape[-1], self.kernels, self.size)
        )
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.kernels, self.size))
        bias = self.param("bias", nn.initializers.constant(-1.0), (self.kernels,))
        columns = kernel * (jnp.exp(log_scale) / jnp.sqrt((kernel**2).sum(0)))[None]
        m = jnp.einsum("bd,dks->bks", x, columns)
        distances = jnp.abs(m[:, None] - m[None]).astype(jnp.float32).sum(-1)  # [b, b, kernels]
        self.sow("intermediates", "distances", distances)
        near = jnp.exp(-distances).sum(1) - 1 + bias[None]  # without itself, at distance 0
        return jnp.concatenate([x, near.astype(x.dtype)], -1)


def calibrated(params: Params, distances: Array) -> Params:
    """Return parameters of `MinibatchDiscrimination` calibrated on its distances [n, n, kernels]
    between the first images.

    Half of the mean distance to the nearest other image becomes 1, and the mean output 0.
    """
    itself = jnp.eye(len(distances), dtype=bool)[..., None]
    unit = jnp.where(itself, jnp.inf, distances).min(1).mean(0) / 2  # [kernels]
    near = jnp.where(itself, 0, jnp.exp(-distances / unit[None, None])).sum(1).mean(0)
    return {**params, "log_scale": params["log_scale"] - jnp.log(unit)[:, None], "bias": -near}


def calibrate(model: "Growing", params: Params, images: Array, side: int) -> Params:
    """Return all parameters, with minibatch discrimination `calibrated` on images
    [n, side, side, c] of the first side.
    """
    score = functools.partial(
        model.apply, {"params": params}, method="score", mutable="intermediates"
    )
    seen = score(images, side)[1]["intermediates"]["critic_4"]["discrimination"]["distances"]
    critic = params["critic_4"]
    start = calibrated(critic["discrimination"], *seen)
    return {**params, "critic_4": {**critic, "discrimination": start}}


class LayerNorm(nn.Module):
    """Layer norm over a whole image, with one gain, used instead of a bias: [b, ..., c]
    -> [b, ..., c].
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rest = tuple(range(1, x.ndim))
        x = nn.LayerNorm(
            EPSILON, use_bias=False, use_scale=False, reduction_axes=rest, use_fast_variance=False
        )(x)
        return biased(self, x * self.param("scale", nn.initializers.ones, ()))


class BatchNorm(nn.Module):
    """Batch norm that always uses the statistics of the batch, used instead of a bias: [b, h, w, c]
    -> [b, h, w, c].
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.LayerNorm(
            EPSILON, reduction_axes=(0, 1, 2), feature_axes=-1, use_fast_variance=False
        )(x)


class GeneratorBlock(nn.Module):
    """Two generator layers: the first doubles the side, or maps latents [b, d] to 4 x 4."""

    features: int
    style: Style
    first: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        style, use_bias = self.style, not self.style.batch_norm
        if self.first:
            x = pixel_norm(x) if style.normalize_latents else x
            dense = Dense(
                self.features * FIRST**2, math.sqrt(2) / 4, style.equalized, use_bias=False
            )
            x = dense(x).reshape(-1, FIRST, FIRST, self.features)
            x = biased(self, x) if use_bias else x
        else:
            x = Conv(self.features, 3, style.equalized, step="up", use_bias=use_bias)(x)
        x = self.activated(x)
        return self.activated(Conv(self.features, 3, style.equalized, use_bias=use_bias)(x))

    def activated(self, x: Array) -> Array:
        x = BatchNorm()(x) if self.style.batch_norm else x
        x = nn.leaky_relu(x, 0.2) if self.style.leaky else nn.relu(x)
        return pixel_norm(x) if self.style.pixel_norm else x


class ToRGB(nn.Module):
    """Map features to an image: [b, h, w, i] -> [b, h, w, channels]."""

    channels: int
    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return Conv(self.channels, 1, self.style.equalized, gain=1)(x)


class FromRGB(nn.Module):
    """Map an image to the input of the critic block of its side: [b, h, w, c]
    -> [b, h, w, features].
    """

    features: int
    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.leaky_relu(Conv(self.features, 1, self.style.equalized)(x), 0.2)


class CriticBlock(nn.Module):
    """Two critic layers, the second of which halves the side. At 4 x 4, three layers that end in
    the score [b].
    """

    features: tuple[int, int]
    style: Style
    last: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        style, use_bias = self.style, not self.style.layer_norm
        if not self.last:
            x = self.activated(Conv(self.features[0], 3, style.equalized, use_bias=use_bias)(x))
            step: Literal["down", ""] = "down" if style.fused else ""
            x = self.activated(
                Conv(self.features[1], 3, style.equalized, step=step, use_bias=use_bias)(x)
            )
            return x if style.fused else downsample(x, x.shape[1] // 2)
        x = minibatch_stddev(x, style.group) if style.variation == "deviation" else x
        x = self.activated(
            Conv(self.features[0], 3, style.equalized, use_bias=use_bias)(x)
        ).reshape(len(x), -1)
        x = self.activated(
            Dense(self.features[1], math.sqrt(2), style.equalized, use_bias=use_bias)(x)
        )
        x = (
            MinibatchDiscrimination(name="discrimination")(x)
            if style.variation == "discrimination"
            else x
        )
        return Dense(1, 1, style.equalized)(x).ravel()

    def activated(self, x: Array) -> Array:
        return nn.leaky_relu(LayerNorm()(x) if self.style.layer_norm else x, 0.2)


class Growing(nn.Module):
    """Both networks up to `side` pixels. Maps of side s have min(2 base / s, max_features)
    features.
    """

    side: int
    channels: int
    base: int
    max_features: int
    latents: int
    style: Style = Style()

    def setup(self) -> None:
        # The names of these dicts are part of parameter paths: `image` is toRGB, `reading` is
        # fromRGB.
        every, style = sides(self.side), self.style
        self.generator = {
            str(s): GeneratorBlock(self.features(s), style, s == FIRST) for s in every
        }
        self.image = {str(s): ToRGB(self.channels, style) for s in every}
        self.critic = {
            str(s): CriticBlock((self.features(s), self.features(s // 2)), style, s == FIRST)
            for s in every
        }
        self.reading = {str(s): FromRGB(self.features(s), style) for s in every}

    def features(self, side: int) -> int:
        return min(2 * self.base // side, self.max_features)

    def draw(self, key: Key, count: int) -> Array:
        """Latents from N(0, I): [count, latents]."""
        return jax.random.normal(key, (count, self.latents))

    def generate(self, z: Array, side: int, fade: Array | None = None) -> Array:
        """[b, latents] -> [b, side, side, channels]; with `fade`, blended with the image of the
        previous side.
        """
        x, below = z, z
        for s in sides(side):
            x, below = self.generator[str(s)](x), x
        image = self.image[str(side)](x)
        if fade is not None:
            image = lerp(upsample(self.image[str(side // 2)](below)), image, fade)
        return nn.tanh(image) if self.style.tanh else image

    def score(self, x: Array, side: int, fade: Array | None = None) -> Array:
        """[b, side, side, channels] -> [b]; with `fade`, blended with the features of the previous
        side.
        """
        features = self.reading[str(side)](x)
        for s in reversed(sides(side)):
            features = self.critic[str(s)](features)
            if s == side and fade is not None:
                old = self.reading[str(side // 2)](downsample(x, side // 2))
                features = lerp(old, features, fade)
        return features

    def touch_all(self, z: Array) -> None:
        """Call each network once on latents [b, latents], so that its weights are initialised."""
        for s in sides(self.side):
            fade = None if s == FIRST else jnp.zeros(())
            self.score(self.generate(z, s, fade), s, fade)


def active_networks(side: int, fading: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the networks in use at a side: those of the generator, and those of the
    critic.
    """
    inner, ends = sides(side), (side, side // 2) if fading else (side,)
    generator, critic = (
        (*(f"{part}_{s}" for s in inner), *(f"{end}_{s}" for s in ends))
        for part, end in (("generator", "image"), ("critic", "reading"))
    )
    return generator, critic


def game_of_all(model: Growing, *, start: int, average: bool) -> Game:
    """Return the game whose first state has all networks, and copies of the generator's if they are
    averaged.

    If the batch has images "first" [n, start, start, c], minibatch discrimination is calibrated on
    them.
    """

    def touch_all(model: Growing, batch: Batch, key: Key) -> tuple[Array, Metrics]:
        model.touch_all(model.draw(key, len(batch["x"])))
        return jnp.zeros(()), {}

    moved = (name for side in sides(model.side) for name in active_networks(side, False)[0])
    player = Player(tuple(moved), touch_all, optax.identity(), average=0.0 if average else None)
    game = make(model, {"all": player})

    def init(key: Key, batch: Batch) -> State:
        state = game.init(key, batch)
        if "first" not in batch:
            return state
        return state.replace(params=calibrate(model, state.params, batch["first"], start))

    return Game(init, game.step)


class Level(NamedTuple):
    """A phase of the run: one side, fading in or stable."""

    first: int  # step
    end: int  # step, exclusive
    side: int
    fading: bool
    batch_size: int
    rate: float  # learning rate

    def fade(self, step: Array, hold: int) -> Array | None:
        """Return the weight of the new side, from 0 to 1, constant for `hold` steps; None if no
        side fades in.
        """
        shown = (step - self.first) // hold * hold / (self.end - self.first)
        return jnp.clip(shown, 0, 1) if self.fading else None


def plan(
    side: int,
    start: int,
    images: int,
    fade: int,
    stabilise: int,
    batches: tuple[int, ...],
    rates: tuple[float, ...],
) -> tuple[Level, ...]:
    """Return the levels: the first side is trained, each further side is faded in and then trained,
    and the last side gets the rest of `images`.

    `fade` and `stabilise` are numbers of images. Batch sizes and learning rates are those at 4, 8,
    ... pixels; the last of them are used for all larger sides. Raises the UserError of
    `check_plan`.
    """
    check_plan(side, start, images, fade + stabilise)
    found: list[Level] = []
    first, left = 0, images
    for here in sides(side, start):
        number = (here // FIRST).bit_length() - 1
        batch = batches[min(number, len(batches) - 1)]
        rate = rates[min(number, len(rates) - 1)]
        for fading in (True, False) if here > start else (False,):
            wanted = fade if fading else stabilise if here < side else left
            end = first + -(-wanted // batch)
            found.append(Level(first, end, here, fading, batch, rate))
            first, left = end, left - wanted
    return tuple(found)


def check_plan(side: int, start: int, images: int, per_side: int) -> None:
    """Raise UserError unless both sides are powers of two, start <= side, and images remain for the
    last side.
    """
    for name, value in (("side", side), ("start", start)):
        if value < FIRST or value & (value - 1):
            raise UserError(f"{name} is {value}; it must be a power of two, 4 or above.")
    if start > side:
        raise UserError(f"start is {start}; it must be at most side, {side}.")
    grown = (len(sides(side, start)) - 1) * per_side
    if images <= grown:
        raise UserError(f"images is {images}; growing takes {grown}, so give more.")


def check_groups(style: Style, batch_sizes: Iterable[int]) -> None:
    """Raise UserError unless the group size of minibatch standard deviation divides each batch
    size.
    """
    for batch in {*batch_sizes}:
        if style.variation == "deviation" and batch % min(style.group, batch):
            raise UserError(
                f"style.group is {style.group}; it must divide a batch, and one has {batch}."
            )
