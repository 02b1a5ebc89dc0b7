"""Text and images in one space: the char-CNN-RNN and the structured joint embedding.

Reed et al. 2016 (CVPR), "Learning Deep Representations of Fine-Grained Visual Descriptions",
arXiv:1605.05395. The embedding is trained once for each set of captions and kept in the cache. In
the paper, the image features are those of GoogLeNet, whose weights are not available. Here, a
convolutional network is trained together with the text encoder.
"""

import dataclasses
import functools
import json
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util
from safetensors import numpy as safetensors

from gen_jax import game, losses
from gen_jax.batching import by_chunks
from gen_jax.config import Checked, Count, Positive
from gen_jax.data.augmentation import from_uint8
from gen_jax.errors import NonFiniteError, UserError
from gen_jax.game import Player
from gen_jax.networks.conv import Conv
from gen_jax.networks.layers import uniform
from gen_jax.storage import cache
from gen_jax.types import Array, Batch, Key, Metrics

log = logging.getLogger("gen_jax.evaluation.joint_embedding")
# the alphabet of the official code: 70 characters, "-" twice
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
CHUNK = 100  # steps per program; captions or images per forward pass


class CharCNNRNN(nn.Module):
    """Features of captions: characters uint8 [b, length] -> [b, features].

    Weights and biases are initialised from U(-0.08, 0.08).
    """

    features: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, characters: Array) -> Array:
        init: Any = {"kernel_init": uniform(0.08), "bias_init": uniform(0.08)}
        places = characters.astype(jnp.int32) - 1
        x = jax.nn.one_hot(places, len(ALPHABET))[:, None]  # [b, 1, length, 70]
        for i, width in enumerate(self.widths):
            x = pooled(x) if i else x
            x = nn.relu(Conv(width, (1, 4), padding="VALID", **init)(x))
        inputs = nn.Dense(x.shape[-1], name="input", **init)(x[:, 0])  # [b, time, width]
        hidden = nn.Dense(x.shape[-1], name="hidden", **init)
        states = [nn.relu(inputs[:, 0])]
        for i in range(1, inputs.shape[1]):
            states.append(nn.relu(inputs[:, i] + hidden(states[-1])))
        return nn.Dense(self.features, name="output", **init)(jnp.stack(states).mean(0))


def pooled(x: Array) -> Array:
    """Max-pool windows of three, and drop an incomplete window at the end: [b, 1, t, c]
    -> [b, 1, t // 3, c].
    """
    return x[:, :, : x.shape[2] // 3 * 3].reshape(len(x), 1, -1, 3, x.shape[-1]).max(3)


class ImageEncoder(nn.Module):
    """Strided convolutions, without normalisation: uint8 [b, s, s, 3] -> [b, features]."""

    features: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, images: Array) -> Array:
        x = from_uint8(images)
        for width in self.widths:
            x = nn.leaky_relu(Conv(width, (4, 4), (2, 2))(x), 0.2)
        return nn.Dense(self.features)(x.reshape(len(x), -1))


class JointEmbedding(nn.Module):
    """Both encoders. The score of a text and an image is the inner product of their features."""

    text: CharCNNRNN
    image: ImageEncoder


@dataclasses.dataclass(frozen=True)
class Embedding(Checked):
    """Settings of the embedding. The defaults are those of the official code for birds."""

    features: Count = 1024  # of a text and of an image
    length: Count = 201  # characters of a caption that are read
    # channels of the convolutions over characters; the last is also the width of the RNN
    widths: tuple[Count, ...] = (384, 512, 256)
    # channels of the strided convolutions over images; the paper uses a fixed GoogLeNet instead
    image_widths: tuple[Count, ...] = (64, 128, 256)
    batch_size: Count = 40  # classes per batch, each with one image and one caption
    steps: Count = 20_000  # training steps; 200 epochs in the official code
    epoch: Count = 100  # steps after which the learning rate is multiplied by 0.98
    learning_rate: Positive = 7e-4  # of RMSprop


def embedding_loss(model: JointEmbedding, batch: Batch, key: Key) -> tuple[Array, Metrics]:
    """Equation 3 and its mirror: the score of a matching pair must exceed those of mismatched texts
    and images by 1.
    """
    scores = model.text(batch["characters"]) @ model.image(batch["image"]).T  # [b, b]
    loss = losses.joint_embedding(scores) + losses.joint_embedding(scores.T)
    right = scores.argmax(-1) == jnp.arange(len(scores))
    return loss, {"accuracy": right.mean(dtype=jnp.float32)}


class TextImageEmbedding(NamedTuple):
    """A trained embedding."""

    name: str  # identifies data and weights; part of the names of metrics computed with it
    length: int  # of captions, in characters
    trained: game.Trained

    def text(self, captions: Iterable[str]) -> np.ndarray:
        """[n] -> float32 [n, features]"""
        return by_chunks(self.trained.text, characters(captions, self.length), size=CHUNK)

    def images(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, s, s, 3] -> float32 [n, features]"""
        return by_chunks(self.trained.image, images, size=CHUNK)


def characters(captions: Iterable[str], length: int) -> np.ndarray:
    """Return positions in the alphabet, from 1; 0 for other characters and padding: uint8
    [n, length].
    """
    places = {character: i for i, character in enumerate(ALPHABET, 1)}
    rows = [[places.get(c, 0) for c in caption.lower()[:length]] for caption in captions]
    padded = [row + [0] * (length - len(row)) for row in rows]
    return np.array(padded, np.uint8).reshape(len(rows), length)


def load_or_train(
    images: np.ndarray,
    captions: np.ndarray,
    classes: np.ndarray,
    *,
    name: str,
    embedding: Embedding,
    seed: int = 0,
) -> TextImageEmbedding:
    """Return the embedding of images uint8 [n, s, s, 3], captions [n, k] and classes [n].

    It is read from the cache, or trained and stored there; `name` is the name of the data set.
    Raises UserError if there are fewer classes than a batch needs or if captions are too short for
    the convolutions, and NonFiniteError if training diverges.
    """
    count = len(np.unique(classes))
    if count < embedding.batch_size:
        raise UserError(
            f"embedding.batch-size is {embedding.batch_size}; the data set has {count} classes (a "
            "folder as many as it has different texts), so give at most that many."
        )
    if embedding.length < (least := shortest(len(embedding.widths))):
        raise UserError(
            f"embedding.length is {embedding.length}; the convolutions need {least} characters or "
            "more."
        )
    read = characters(captions.ravel(), embedding.length).reshape(*captions.shape, -1)
    pixels, labels = np.ascontiguousarray(images), np.asarray(classes, np.int64)
    made_of = {
        "data": cache.digest(repr(images.shape), pixels, read, labels),
        "code": cache.sources(__file__),
        **json.loads(json.dumps(dataclasses.asdict(embedding))),
        "seed": seed,
    }
    model = JointEmbedding(
        CharCNNRNN(embedding.features, embedding.widths),
        ImageEncoder(embedding.features, embedding.image_widths),
    )
    file = f"{name}-s{seed}-{cache.digest(json.dumps(made_of))[:16]}.safetensors"
    path = cache.folder("descriptions") / file
    kept = cache.load(path, made_of)
    if kept is None:
        params, accuracy = _train(model, images, read, np.asarray(classes), embedding, seed)
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
            raise NonFiniteError(
                f"The embedding of {name} is not finite after training: lower "
                f"--embedding.learning-rate, which is {embedding.learning_rate:g}."
            )
        words = "%s: text finds its image among %d in %.1f %%."
        log.info(words, name, embedding.batch_size, 100 * accuracy)
        content = safetensors.save(traverse_util.flatten_dict(params, sep="/"))
        cache.store(path, made_of, content)
    else:
        content, _ = kept
    params = traverse_util.unflatten_dict(safetensors.load(content), sep="/")
    trained = game.Trained(model, {"params": jax.device_put(params)})
    full_name = f"{name}-sje-s{seed}-{cache.digest(content)[:8]}"
    return TextImageEmbedding(full_name, embedding.length, trained)


def shortest(layers: int) -> int:
    """Return the number of characters for which this many convolutions leave one value."""
    return functools.reduce(lambda length, _: 3 * length + 3, range(layers - 1), 4)


def _train(
    model: nn.Module,
    images: np.ndarray,
    read: np.ndarray,
    classes: np.ndarray,
    embedding: Embedding,
    seed: int,
) -> tuple[Any, float]:
    """Return the parameters as NumPy arrays, and the final accuracy.

    A batch has one image of each of some classes, with one of its captions.
    """
    order = np.argsort(classes, kind="stable")
    _, starts, sizes = np.unique(classes[order], return_index=True, return_counts=True)
    raw = {"image": images[order], "characters": read[order]}
    rate = optax.exponential_decay(embedding.learning_rate, embedding.epoch, 0.98, staircase=True)
    optimizer = optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)
    one = game.make(model, {"embedding": Player(("text", "image"), embedding_loss, optimizer)})
    first, draws = jax.random.split(jax.random.key(seed))

    def batch_of(raw: Batch, step: Array) -> Batch:
        which, member, caption = jax.random.split(jax.random.fold_in(draws, step), 3)
        chosen = jax.random.permutation(which, len(starts))[: embedding.batch_size]
        within = jax.random.randint(member, chosen.shape, 0, jnp.asarray(sizes)[chosen])
        place = jnp.asarray(starts)[chosen] + within
        nth = jax.random.randint(caption, place.shape, 0, raw["characters"].shape[1])
        return {"image": raw["image"][place], "characters": raw["characters"][place, nth]}

    @partial(jax.jit, donate_argnums=0)
    def chunk(state: game.State, raw: Batch) -> tuple[game.State, Metrics]:
        return game.steps(one, state, partial(batch_of, raw), CHUNK)

    raw = jax.device_put(raw)
    state = jax.jit(lambda raw: one.init(first, batch_of(raw, jnp.int32(0))))(raw)
    for _ in range(-(-embedding.steps // CHUNK)):
        state, metrics = chunk(state, raw)
    return jax.tree.map(np.asarray, state.params), float(metrics["embedding/accuracy"].mean())
