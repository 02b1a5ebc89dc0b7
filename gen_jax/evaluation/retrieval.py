"""Evaluation of images generated from captions: caption retrieval, agreement with the caption, and
recognition and transfer of style.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import images
from gen_jax.batching import by_chunks
from gen_jax.data.captions import READERS, WORDS, Captioned, Encoder, Reader, of_distinct
from gen_jax.errors import DataError
from gen_jax.evaluation.classifier import classifier
from gen_jax.evaluation.joint_embedding import TextImageEmbedding
from gen_jax.game import Trained
from gen_jax.pretrained import minilm
from gen_jax.types import Array, Key, Measure

Generator = Callable[[Array, Array], Array]  # z [n, k], text [n, d] -> [n, s, s, 3] in [-1, 1]
StyleEncoder = Callable[[Array], Array]  # [n, s, s, 3] in [-1, 1] -> z [n, k]
EncoderName = Literal["characters", "minilm", "both"]
AMONG = 100  # candidate captions, one of which is right
CHUNK = 100  # images per forward pass
TESTED = 1000  # maximum number of images per split
CAPTIONS = {"test": "unseen captions", "seen": "training captions"}


def encoders(
    name: EncoderName, features: int, embedding: Callable[[], TextImageEmbedding]
) -> tuple[Encoder, ...]:
    """Return the char-CNN-RNN of the embedding, the frozen MiniLM, or both side by side.

    The embedding has `features` features; it is loaded when the first text is encoded.
    """
    characters = Encoder(features, lambda texts: embedding().text(texts))
    sentences = Encoder(minilm.WIDTH, lambda texts: of_distinct(minilm.embed, texts))
    both = (characters, sentences)
    return {"characters": (characters,), "minilm": (sentences,), "both": both}[name]


def evaluate(
    model: Trained,
    splits: Mapping[str, Captioned],
    texts: tuple[np.ndarray, np.ndarray],
    embedding: TextImageEmbedding,
    *,
    latents: int,
    key: Key,
    name: str,
) -> dict[str, Measure]:
    """Return `caption_measures` of both splits, and `style_measures`, of a `generator` and its
    `style`.

    The splits are "train" and "test", with images of the generator's side. Their texts, in this
    order, are the features [n, k, d] of their captions; `name` is the name of the data set.
    """
    train, test, reader = splits["train"], splits["test"], READERS.get(name)
    key_test, key_seen, key_style = jax.random.split(key, 3)

    def measures(
        split: Literal["test", "seen"], real: Captioned, text: np.ndarray, key: Key
    ) -> dict[str, Measure]:
        real = real.first(TESTED)
        z = jax.random.normal(key, (len(real.image), latents))
        fakes = generate(model.generator, z, text[:TESTED, 0])
        return caption_measures(split, fakes, real, embedding, reader)

    classified = partial(classified_style, train, test, f"{name}-vendors")
    read_style = reader.style if reader else classified
    text = texts[1][:, 0]
    return {
        **measures("test", test, texts[1], key_test),
        **measures("seen", train, texts[0], key_seen),
        **style_measures(model.generator, model.style, test, text, read_style, reader, key_style),
    }


def grids(model: Trained, test: Captioned, text: np.ndarray, z: Array) -> dict[str, np.ndarray]:
    """Return pictures of as many captions as there are z, spread evenly over the test set.

    "samples": for each caption, a row of images, one per z. "styles": a row of test images, then
    for each caption a row of images in their styles. `text` [n, k, d] holds the features of the
    captions.
    """
    count = len(z)
    rows = np.linspace(0, len(text) - 1, count).astype(int)
    real, words = test.image[rows], test.captions[rows, 0]
    style = model.style(images.from_uint8(real))
    repeated = np.repeat(text[rows, 0], count, 0)
    fakes, moved = (
        generate(model.generator, jnp.tile(each, (count, 1)), repeated).reshape(count, *real.shape)
        for each in (z, style)
    )
    header = np.concatenate([real[None], moved])
    return {
        "samples": images.captioned(fakes, words),
        "styles": images.captioned(header, ["the style of", *words]),
    }


def generate(generator: Generator, z: Array | np.ndarray, text: np.ndarray) -> np.ndarray:
    """Generate images from z [n, k] and text [n, d], a hundred at a time: uint8 [n, s, s, 3]."""
    return images.to_uint8(by_chunks(generator, np.asarray(z), text, size=CHUNK), low=-1)


def caption_measures(
    split: Literal["test", "seen"],
    fakes: np.ndarray,
    real: Captioned,
    embedding: TextImageEmbedding,
    reader: Reader | None,
) -> dict[str, Measure]:
    """Measure whether fakes, uint8 [n, s, s, 3], match the first captions of real images.

    The real images are measured in the same way. The embedding compares image and caption, if there
    are enough captions of other classes, and so does the reader, if there is one.
    """
    found, captions = {}, real.captions[:, 0]
    texts = embedding.text(captions)
    enough = len(captions) - np.unique(real.label, return_counts=True)[1].max() >= AMONG - 1
    for suffix, what, pictures in (
        ("", "generated images", fakes),
        ("_of_real", "real images", real.image),
    ):
        shares = {}
        if enough:
            share = r_precision(embedding.images(pictures), texts, real.label, among=AMONG)
            first = f"rank their caption first of {AMONG}, {100 // AMONG} by chance"
            shares["r_precision"] = share, first
        if reader:
            right = reader.matches(pictures, captions)  # [n, words]
            shares["match"] = right.all(1).mean(), "match the whole caption"
            for word, share in zip(WORDS, right.mean(0), strict=True):
                shares[f"match_{word}"] = share, f"match the {word} of the caption"
        for name, (share, do) in shares.items():
            unit = f"% of {what} that {do}; {CAPTIONS[split]}"
            found[f"{split}/{name}{suffix}"] = Measure(100 * float(share), unit)
    return found


def style_measures(
    generator: Generator,
    encoder: StyleEncoder,
    test: Captioned,
    text: np.ndarray,
    read_style: Callable[[np.ndarray], np.ndarray],
    reader: Reader | None,
    key: Key,
) -> dict[str, Measure]:
    """Measure whether style codes distinguish styles, and whether the style of one image can be
    combined with the text of another (Reed et al. 2016, section 5.2).

    `text` [n, d] is that of the first caption of each image. The result is empty if no styles are
    known.
    """
    if not test.style.any():
        return {}
    style = by_chunks(encoder, images.from_uint8(test.image), size=CHUNK)
    other = np.asarray(jax.random.permutation(key, len(text)))
    moved = generate(generator, style, text[other])
    pixels = test.image.reshape(len(text), -1)
    found = {
        "test/style_auc": Measure(
            verification(style, test.style),
            "area under the ROC curve of the cosine of two style codes, for verification of equal "
            "style",
        ),
        "test/style_auc_of_pixels": Measure(
            verification(pixels, test.style), "the same for the cosine of pixels"
        ),
        "test/style_kept": Measure(
            100 * float((read_style(moved) == test.style).mean()),
            "% of images whose transferred style is recognised; by chance 33, for emoji 25",
        ),
    }
    if reader:
        right = reader.matches(moved, test.captions[other, 0]).all(1)
        unit = "% of those that match the whole caption"
        found["test/style_match"] = Measure(100 * float(right.mean()), unit)
    return found


def classified_style(
    train: Captioned, test: Captioned, name: str, pictures: np.ndarray
) -> np.ndarray:
    """Classify the style of images with a classifier of real images, uint8 [n, s, s, 3] -> [n]."""
    known = (test.image, test.style)
    trained = classifier(train.image, train.style, test=known, name=name, shift=0)
    return trained.logits(pictures).argmax(1)


def r_precision(
    images: np.ndarray, texts: np.ndarray, labels: np.ndarray, *, among: int = 100, seed: int = 0
) -> float:
    """Return the share of images whose own text scores highest among itself and others.

    Features of images [n, d], of texts [n, d], and labels [n]. The `among` - 1 others are drawn
    from texts with other labels. A score is an inner product (R-precision with one right caption,
    Xu et al. 2018, section 4). A tie counts as wrong. Chance is 1 / `among`. Raises DataError for
    other shapes, or if too few texts have other labels.
    """
    images, texts = np.asarray(images, np.float64), np.asarray(texts, np.float64)
    if images.shape != texts.shape or images.ndim != 2 or labels.shape != images.shape[:1]:
        raise DataError(
            f"Images have features {list(images.shape)}, texts {list(texts.shape)}, labels "
            f"{list(labels.shape)}; give [n, d], [n, d] and [n]."
        )
    generator, found = np.random.default_rng(seed), []
    for image, text, label in zip(images, texts, labels, strict=True):
        others = np.flatnonzero(labels != label)
        if len(others) < among - 1:
            raise DataError(
                f"{len(others)} texts have other labels; {among - 1} are needed: give more, or "
                "lower `among`."
            )
        wrong = texts[generator.choice(others, among - 1, replace=False)]
        found.append(image @ text > (wrong @ image).max())
    return float(np.mean(found))


def verification(features: np.ndarray, groups: np.ndarray) -> float:
    """Return the area under the ROC curve of the cosine of two vectors, as a test of whether they
    are in one group.

    Features [n, d] and groups [n], over all pairs; 0.5 by chance (Reed et al. 2016, section 5.2,
    where the groups are clusters of pose or background). Raises DataError if no pair is in one
    group, or if all pairs are.
    """
    from sklearn.metrics import roc_auc_score  # slow to import

    unit = np.asarray(features, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    first, second = np.triu_indices(len(unit), 1)
    same = groups[first] == groups[second]
    if same.all() or not same.any():
        raise DataError(
            f"The {len(unit)} vectors are all in one group or all in different groups: give at "
            "least two groups, one of them with two vectors."
        )
    return float(roc_auc_score(same, (unit @ unit.T)[first, second]))
