"""Networks of the semi-supervised adversarial autoencoder."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.networks.layers import BatchNorm, dropout
from gen_jax.types import Array, Batch, Key


class Affine(nn.Module):
    """W x + b, or the batch normalisation of W x: [b, d] -> [b, features]."""

    features: int
    std: float  # of the initial W
    norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init = nn.initializers.normal(self.std)
        x = nn.Dense(self.features, use_bias=not self.norm, kernel_init=init)(x)
        return BatchNorm()(x) if self.norm else x


class Corruption(nn.Module):
    """Add Gaussian noise, then apply dropout: [b, d] -> [b, d]."""

    noise: float  # standard deviation
    dropout: float  # share of the values

    def __call__(self, x: Array, key: Key) -> Array:
        key_noise, key_dropout = jax.random.split(key)
        x = x + self.noise * jax.random.normal(key_noise, x.shape)
        return dropout(x, key_dropout, keep=1 - self.dropout) if self.dropout else x


def perceptron(
    hidden: Sequence[int],
    affine: Callable[..., nn.Module],
    *last: Callable[..., Array],
    norm: bool = False,
) -> nn.Sequential:
    """Affine layers, each followed by a ReLU, and then the layers `last`: [b, d] -> [b, ...]."""
    layers = [layer for features in hidden for layer in (affine(features, norm=norm), nn.relu)]
    return nn.Sequential((*layers, *last))


class Labelled(nn.Module):
    """Stores the fields "labelled_image" and "labelled_label" of the batch that initialises it.

    If the batch lacks these fields, its own images and labels are stored. They are not weights.
    They are in the collection "labelled" of the state, so that no program is compiled with them as
    constants.
    """

    @nn.compact
    def __call__(self, batch: Batch, key: Key) -> tuple[Array, Array]:
        """Return a random batch of them, of the size of `batch`: images [b, h, w, c], labels [b].

        None occurs twice if there are at least b.
        """
        initial = {name: batch.get(f"labelled_{name}", batch[name]) for name in ("image", "label")}
        image, label = (
            self.variable("labelled", name, lambda a=array: a).value
            for name, array in initial.items()
        )
        b, n = len(batch["image"]), len(image)
        chosen = jax.random.choice(key, n, (b,), replace=b > n)
        return image[chosen], label[chosen].astype(jnp.int32)
