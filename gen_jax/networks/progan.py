"""Networks that grow: a generator and a critic with a part for each side from 4 pixels up (Karras et al. 2018).

Each part is a network of its own, named by its side, so that a player moves those that are in use and no other. While
a side fades in, the image of the side below is blended with the new one, in both networks. Upsampling is by nearest
neighbours, which is one with the convolution behind it, exactly and cheaper. Downsampling is by averages: after bias
and leaky ReLU in the Theano code, and before them, so that it is one with the convolution, in the TensorFlow code.
"""

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.config import Checked, Count
from gen_jax.networks.conv import conv, conv_transpose
from gen_jax.types import Array, Key, Params

FIRST = 4  # pixels, the smallest side
EPSILON = 1e-4  # of the Theano code's norms, Lasagne's default for batch norm


@dataclasses.dataclass(frozen=True)
class Style(Checked):
    """What the configurations of the paper's Table 1 differ in."""

    equalized: bool = True
    """Weights from N(0, 1), scaled at run time (section 4.1); else from He's initialiser."""
    pixel_norm: bool = True
    """In the generator, after each layer (section 4.2)."""
    sphere: bool = True
    """Latents are scaled to the hypersphere, by the same formula."""
    leaky: bool = True
    """The generator's ReLU."""
    batch_norm: bool = False
    """In the generator."""
    layer_norm: bool = False
    """In the critic."""
    tanh: bool = False
    """Of the generator's output, blended if it is; else it is linear."""
    fused: bool = False
    """The critic averages before bias and leaky ReLU, as in the TensorFlow code; else after them, as in Theano's."""
    variation: Literal["deviation", "discrimination", "none"] = "deviation"
    """What the critic is told of the whole batch: its standard deviation (section 3), or Salimans et al.'s features."""
    group: Count = 16
    """Images, at most, whose deviation is taken together."""

    FORMERLY: ClassVar = {"fused": True}


def sides(last: int, first: int = FIRST) -> tuple[int, ...]:
    """4, 8 ... last."""
    return tuple(first * 2**i for i in range((last // first).bit_length()))


def upsample(x: Array) -> Array:
    """Each pixel four times: [b, h, w, c] -> [b, 2h, 2w, c]."""
    return x.repeat(2, 1).repeat(2, 2)


def downsample(x: Array, side: int) -> Array:
    """Means of squares of pixels: [b, h, h, c] -> [b, side, side, c]."""
    b, h, _, c = x.shape
    return x if h == side else x.reshape(b, side, h // side, side, h // side, c).mean((2, 4))


def lerp(old: Array, new: Array, fade: Array) -> Array:
    """The old one at 0, the new one at 1, exactly."""
    return (1 - fade) * old + fade * new


def pixel_norm(x: Array) -> Array:
    """The features of each pixel over their root mean square (section 4.2): [..., c] -> the same."""
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt((wide**2).mean(-1, keepdims=True) + 1e-8)).astype(x.dtype)


def minibatch_stddev(x: Array, group: int) -> Array:
    """Minibatch standard deviation (section 3): [b, h, w, c] -> [b, h, w, c + 1].

    Over groups of `group` images, or of all if these are fewer, then averaged over places and features.
    """
    b, *rest = x.shape
    group = min(group, b)
    groups = x.astype(jnp.float32).reshape(
        group, b // group, *rest
    )  # a group is every (b / group)-th image
    centred = groups - groups.mean(0, keepdims=True)
    spread = jnp.sqrt((centred**2).mean(0) + 1e-8).mean((1, 2, 3))  # [b / group]
    tiled = jnp.tile(spread, group).astype(x.dtype).reshape(b, 1, 1, 1)
    return jnp.concatenate([x, jnp.broadcast_to(tiled, (*x.shape[:3], 1))], -1)


def weights(layer: nn.Module, shape: tuple[int, ...], gain: float, equalized: bool) -> Array:
    """A kernel of He's deviation, gain / sqrt(fan-in), which is born with it or scaled to it at run time."""
    scale = gain / math.sqrt(math.prod(shape[:-1]))
    kernel = layer.param("kernel", nn.initializers.normal(1 if equalized else scale), shape)
    return scale * kernel if equalized else kernel


def biased(layer: nn.Module, y: Array) -> Array:
    """With a bias for each feature, 0 at first: [..., c] -> the same."""
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
            # Doubling before a 3 x 3 kernel, or averaging after it, is a 4 x 4 one: its sums over 2 x 2 neighbours.
            padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
            kernel = padded[1:, 1:] + padded[1:, :-1] + padded[:-1, 1:] + padded[:-1, :-1]
        if self.step == "up":
            y = conv_transpose(x, kernel, strides=(2, 2), padding=((2, 2), (2, 2)))
        elif self.step == "down":
            y = conv(x, kernel / 4, strides=(2, 2), padding=((1, 1), (1, 1)))
        else:
            y = conv(x, kernel)
        return biased(self, y) if self.use_bias else y


class Discrimination(nn.Module):
    """Minibatch discrimination (Salimans et al. 2016, section 3.2) as in the Theano code: [b, d] -> [b, d + kernels].

    The columns of its matrix have lengths of their own, exp(log_scale), and each sum over the other images has a bias;
    `calibrated` gives both at the start.
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
        near = (
            jnp.exp(-distances).sum(1) - 1 + bias[None]
        )  # of the others: an image's distance to itself is 0
        return jnp.concatenate([x, near.astype(x.dtype)], -1)


def calibrated(params: Params, distances: Array) -> Params:
    """`Discrimination`'s parameters by the distances [n, n, kernels] that it finds between the first images.

    Half of the mean distance to the nearest other image becomes 1, and the mean output 0.
    """
    itself = jnp.eye(len(distances), dtype=bool)[..., None]
    unit = jnp.where(itself, jnp.inf, distances).min(1).mean(0) / 2  # [kernels]
    near = jnp.where(itself, 0, jnp.exp(-distances / unit[None, None])).sum(1).mean(0)
    return {**params, "log_scale": params["log_scale"] - jnp.log(unit)[:, None], "bias": -near}


class LayerNorm(nn.Module):
    """Over all of an image, with one gain, in the place of a bias: [b, ..., c] -> the same."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rest = tuple(range(1, x.ndim))
        x = nn.LayerNorm(
            EPSILON, use_bias=False, use_scale=False, reduction_axes=rest, use_fast_variance=False
        )(x)
        return biased(self, x * self.param("scale", nn.initializers.ones, ()))


class BatchNorm(nn.Module):
    """By the statistics of its own batch at all times, in the place of a bias: [b, h, w, c] -> the same."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.LayerNorm(
            EPSILON, reduction_axes=(0, 1, 2), feature_axes=-1, use_fast_variance=False
        )(x)


class Block(nn.Module):
    """Two layers of the generator, the first of which doubles the side, or maps the latents to 4 x 4."""

    features: int
    style: Style
    first: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        style, use_bias = self.style, not self.style.batch_norm
        if self.first:
            x = pixel_norm(x) if style.sphere else x
            dense = Dense(
                self.features * FIRST**2, math.sqrt(2) / 4, style.equalized, use_bias=False
            )
            x = dense(x).reshape(len(x), FIRST, FIRST, self.features)
            x = biased(self, x) if use_bias else x
        else:
            x = Conv(self.features, 3, style.equalized, step="up", use_bias=use_bias)(x)
        x = self.activated(x)
        return self.activated(Conv(self.features, 3, style.equalized, use_bias=use_bias)(x))

    def activated(self, x: Array) -> Array:
        x = BatchNorm()(x) if self.style.batch_norm else x
        x = nn.leaky_relu(x, 0.2) if self.style.leaky else nn.relu(x)
        return pixel_norm(x) if self.style.pixel_norm else x


class Image(nn.Module):
    """toRGB: features to an image."""

    channels: int
    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return Conv(self.channels, 1, self.style.equalized, gain=1)(x)


class Reading(nn.Module):
    """fromRGB: an image to features, which the critic's first layer of its side reads."""

    features: int
    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.leaky_relu(Conv(self.features, 1, self.style.equalized)(x), 0.2)


class Judging(nn.Module):
    """Two layers of the critic, the second of which halves the side, or from 4 x 4 leads to the score: [b]."""

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
        x = Discrimination(name="discrimination")(x) if style.variation == "discrimination" else x
        return Dense(1, 1, style.equalized)(x).ravel()

    def activated(self, x: Array) -> Array:
        return nn.leaky_relu(LayerNorm()(x) if self.style.layer_norm else x, 0.2)


class Growing(nn.Module):
    """Both networks up to a side of `side` pixels; features of a side s are min(2 base / s, most)."""

    side: int
    channels: int
    base: int
    most: int
    latents: int
    style: Style = Style()

    def setup(self) -> None:
        every, style = sides(self.side), self.style
        self.generator = {str(s): Block(self.features(s), style, s == FIRST) for s in every}
        self.image = {str(s): Image(self.channels, style) for s in every}
        self.critic = {
            str(s): Judging((self.features(s), self.features(s // 2)), style, s == FIRST)
            for s in every
        }
        self.reading = {str(s): Reading(self.features(s), style) for s in every}

    def features(self, side: int) -> int:
        return min(2 * self.base // side, self.most)

    def draw(self, key: Key, count: int) -> Array:
        """Latents from N(0, I): [count, latents]."""
        return jax.random.normal(key, (count, self.latents))

    def generate(self, z: Array, side: int, fade: Array | None = None) -> Array:
        """[b, latents] -> [b, side, side, channels]; with `fade` blended with what was there before this side."""
        x, below = z, z
        for s in sides(side):
            x, below = self.generator[str(s)](x), x
        image = self.image[str(side)](x)
        if fade is not None:
            image = lerp(upsample(self.image[str(side // 2)](below)), image, fade)
        return nn.tanh(image) if self.style.tanh else image

    def score(self, x: Array, side: int, fade: Array | None = None) -> Array:
        """[b, side, side, channels] -> [b]"""
        features = self.reading[str(side)](x)
        for s in reversed(sides(side)):
            features = self.critic[str(s)](features)
            if s == side and fade is not None:
                old = self.reading[str(side // 2)](downsample(x, side // 2))
                features = lerp(old, features, fade)
        return features

    def born(self, z: Array) -> None:
        """Call each network once, so that it has its weights."""
        for s in sides(self.side):
            fade = None if s == FIRST else jnp.zeros(())
            self.score(self.generate(z, s, fade), s, fade)


def active_networks(side: int, fading: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of those in use at a side: the generator's, and the critic's."""
    inner, ends = sides(side), (side, side // 2) if fading else (side,)
    drawing, judging = (
        (*(f"{part}_{s}" for s in inner), *(f"{end}_{s}" for s in ends))
        for part, end in (("generator", "image"), ("critic", "reading"))
    )
    return drawing, judging
