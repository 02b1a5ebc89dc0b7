"""A classifier of a data set, trained once, which provides labels and features of images.

It replaces pretrained networks that are not available. Numbers computed with it are never called
FID or Inception score. The name of a classifier identifies its weights.
"""

import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util
from numpy.typing import ArrayLike
from safetensors import numpy as safetensors

from gen_jax.batching import by_chunks
from gen_jax.errors import DataError
from gen_jax.storage import cache
from gen_jax.types import Array, Key, Params

Trainable = tuple[Params, optax.OptState]
CHUNK = 500  # images per forward pass


class Network(nn.Module):
    """Two strided convolutions and a dense layer, without batch normalisation."""

    classes: int

    @nn.compact
    def __call__(self, images: Array) -> tuple[Array, Array]:
        # [b, h, w, c] -> [b, classes], [b, 128]
        """Return the logits, and the activations of the last hidden layer as features."""
        x = images.astype(jnp.float32) / (255 if images.dtype == jnp.uint8 else 1)
        x = nn.relu(nn.Conv(16, (5, 5), strides=2)(x))  # [b, h/2, w/2, 16]
        x = nn.relu(nn.Conv(64, (3, 3), strides=2)(x))  # [b, h/4, w/4, 64]
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))  # [b, 128]
        return nn.Dense(self.classes)(x), x


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network.

    It takes uint8 images, or the same divided by 255, as floats in [0, 1].
    """

    name: str
    """Data, seed and weights. It is part of the name of every number computed with the classifier.
    """
    accuracy: float
    """The share of test images that are classified correctly."""
    network: Network
    shape: tuple[int, ...]
    """The shape of an image, [h, w, c]."""
    params: Params

    def logits(self, images: ArrayLike) -> np.ndarray:
        """[n, h, w, c] -> [n, classes]"""
        return self._outputs(images)[0]

    def features(self, images: ArrayLike) -> np.ndarray:
        """[n, h, w, c] -> [n, 128]"""
        return self._outputs(images)[1]

    def _outputs(self, images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        images = _images(images)
        if images.shape[1:] != self.shape:
            raise DataError(
                f"{self.name} received images of shape {list(images.shape[1:])}, "
                f"but expects {list(self.shape)}: resize them."
            )
        return _outputs(self.network, self.params, images)


def classifier(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    test: tuple[ArrayLike, ArrayLike],
    name: str = "mnist",
    seed: int = 0,
    epochs: int = 6,
    batch: int = 128,
    rate: float = 3e-3,
    shift: int = 2,
) -> Classifier:
    """Return the classifier of images [n, h, w, c] and labels [n], from the user's cache or newly
    trained.

    `test` holds the images and labels that measure its accuracy. During training, each image is
    shifted by up to `shift` pixels along both axes. The result depends on the arguments only, and
    is bit-identical on the same machine. Raises DataError if the images or labels have the wrong
    shape or range.
    """
    images, test_images = _images(images), _images(test[0])
    labels, test_labels = _labels(labels, images), _labels(test[1], test_images)
    settings: dict[str, Any] = {
        "seed": seed,
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "shift": shift,
    }
    made_of = {
        "data": cache.digest(
            *(
                part
                for a in (images, labels, test_images, test_labels)
                for part in (repr(a.shape), a)
            )
        ),
        "code": cache.sources(__file__),  # changed code trains a new classifier
        **settings,
    }
    network, shape = Network(int(labels.max()) + 1), images.shape[1:]
    path = (
        cache.folder("classifiers")
        / f"{name}-cnn-s{seed}-{cache.digest(json.dumps(made_of))[:16]}.safetensors"
    )
    kept = cache.load(path, made_of)
    if kept:
        content, accuracy = kept[0], float(kept[1]["accuracy"])
    else:
        params = _train(network, images, labels, **settings)
        correct = _outputs(network, params, test_images)[0].argmax(axis=1) == test_labels
        content, accuracy = (
            safetensors.save(traverse_util.flatten_dict(params, sep="/")),
            float(correct.mean()),
        )
        cache.store(path, made_of, content, accuracy=accuracy)
    params = traverse_util.unflatten_dict(safetensors.load(content), sep="/")
    return Classifier(
        f"{name}-cnn-s{seed}-{cache.digest(content)[:8]}",
        accuracy,
        network,
        shape,
        jax.device_put(params),
    )


def of_data_set(name: str, train: Mapping[str, Any], test: Mapping[str, Any]) -> Classifier:
    """Return the classifier of a data set with the fields "image" and "label"."""
    known = test["image"], test["label"]
    return classifier(train["image"], train["label"], test=known, name=name)


def _train(
    network: Network,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    epochs: int,
    batch: int,
    rate: float,
    shift: int,
) -> Params:
    """Train with AdamW and a one-cycle learning rate (Smith & Topin 2017): -> params, as NumPy
    arrays.
    """
    key_init, key_order, key_shift = jax.random.split(jax.random.key(seed), 3)
    batch = min(batch, len(images))
    steps = len(images) // batch
    cycle = optax.cosine_onecycle_schedule(epochs * steps, rate, pct_start=0.2)
    optimizer = optax.adamw(cycle, b2=0.99, weight_decay=1e-4)

    def objective(params: Params, images: Array, labels: Array) -> Array:
        logits, _ = network.apply({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    # This is not a scan: inside a scan on the CPU, XLA computes the kernel gradient of a
    # convolution over ten times more slowly.
    @partial(jax.jit, donate_argnums=0)
    def update(
        state: tuple[Params, optax.OptState], images: Array, labels: Array, key: Key
    ) -> tuple[Params, optax.OptState]:
        params, moments = state
        gradients = jax.grad(objective)(params, _moved(images, key, shift), labels)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments

    params = jax.jit(network.init)(key_init, images[:1])["params"]
    state = params, optimizer.init(params)
    for epoch in range(epochs):
        order = np.asarray(
            jax.random.permutation(jax.random.fold_in(key_order, epoch), len(images))
        )
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            key = jax.random.fold_in(key_shift, epoch * steps + step)
            state = update(state, images[chosen], labels[chosen], key)
    return jax.tree.map(np.asarray, state[0])


def _moved(images: Array, key: Key, most: int) -> Array:
    """Shift each image by random offsets from -most to most along both axes, and repeat its border:
    [b, h, w, c] -> the same.
    """
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    corners = jax.random.randint(key, (len(images), 2), 0, 2 * most + 1)  # [b, 2]
    return jax.vmap(
        lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), images.shape[1:])
    )(padded, corners)


@partial(jax.jit, static_argnums=0)
def _forward(network: Network, params: Params, images: Array) -> Any:
    return network.apply({"params": params}, images)


def _outputs(network: Network, params: Params, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and features."""
    return by_chunks(partial(_forward, network, params), images, size=CHUNK)


def _images(images: ArrayLike) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(
            f"The images have shape {list(images.shape)}, but must be [n, h, w, c] and not empty: "
            "reshape them."
        )
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    images = np.ascontiguousarray(images, np.float32)
    if not (images.min() >= -1e-3 and images.max() <= 1.001):  # also rejects NaN
        raise DataError(
            f"The pixels lie in [{images.min():.3g}, {images.max():.3g}], but must be uint8 or "
            "floats in [0, 1]: "
            "rescale them."
        )
    return images


def _labels(labels: ArrayLike, images: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or labels.min() < 0:
        raise DataError(
            f"The labels are {labels.dtype}{list(labels.shape)}, but must be integers of at least "
            "0: "
            f"give one for each of the {len(images)} images."
        )
    return np.ascontiguousarray(labels, np.int32)
