"""Comparison of the codes of an autoencoder with their prior: numbers and pictures."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from gen_jax import images
from gen_jax.data import pipeline
from gen_jax.data.pipeline import Arrays, Data
from gen_jax.evaluation import probes, two_sample
from gen_jax.game import Trained
from gen_jax.types import Array, Key, Measure

COMPARED = 2000  # codes, and the same number of draws from the prior


def vectors(arrays: Arrays) -> Array:
    """Return the grey values of the field "image", in [0, 1] as in training: [n, d].

    `pipeline.flat` divides in NumPy, where half of the values differ in the last bit.
    """
    image = {"image": jnp.asarray(arrays["image"])}
    return pipeline.vectors(image, jax.random.key(0))["x"]


def compare(
    codes: ArrayLike,
    prior: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    seed: int,
    names: tuple[str, str] = ("codes", "the prior"),
) -> dict[str, Measure]:
    """Return two-sample statistics of the first 2000 codes of test images and draws from their
    prior.

    Both are [n, d]. The classifier also receives `labels`, one-hot [n, k], with each code and draw.
    `names` are used in the units. Raises DataError for points that `two_sample` rejects.
    """
    a, b = np.asarray(codes)[:COMPARED], np.asarray(prior)[:COMPARED]
    mmd = two_sample.squared_mmd(a, b)
    shown = f"{names[0]} of test images"
    if labels is not None:
        shown = f"{names[0]} (with labels, if the prior has them)"
        a, b = (np.concatenate([x, np.asarray(labels)[:COMPARED]], 1) for x in (a, b))
    accuracy = two_sample.two_sample_accuracy(a, b, seed=seed)
    against = f"squared, {names[0]} of test images against {names[1]}"
    return {
        "test/mmd": Measure(mmd, f"{against}; Gaussian kernel of the median distance"),
        "test/two_sample_accuracy": Measure(
            accuracy, f"of a classifier of {shown} and {names[1]}; 0.5 if they are equal"
        ),
    }


def reconstruction_error(reconstruction: Array | np.ndarray, x: Array) -> dict[str, Measure]:
    """Return the mean over images of the squared error, summed over pixels: [n, d] each."""
    error = ((reconstruction - x) ** 2).sum(1).mean()
    return {"test/reconstruction": Measure(error, "squared error per image")}


def nearest_neighbours(model: Trained, data: Data, codes: np.ndarray) -> dict[str, Measure]:
    """Return the 1-NN error on the codes of the test images, [m, d], with the codes of training
    images.

    The model has autoencode(x) -> y, z, code, reconstruction.
    """
    *_, train, _ = model.autoencode(vectors(data.train))
    labels, test_labels = data.train["label"], data.test["label"]
    error = probes.nearest_neighbour_error(train, labels, codes, test_labels)
    what = "% of test images, by 1-NN on the codes of the training images"
    return {"test/nearest_neighbour_error": Measure(error, what)}


def entropies(y: np.ndarray) -> dict[str, Measure]:
    """Return the entropy of the mean of q(y|x), and the mean entropy of q(y|x), in nats:
    [n, categories].
    """
    mean, each = entr(y.mean(0)).sum(), entr(y).sum(1).mean()
    what = "nats, of the mean of q(y|x); that of the prior is log(categories)"
    return {
        "test/category_entropy": Measure(mean, what),
        "test/mean_entropy": Measure(each, "nats, mean over q(y|x); 0 if each is one-hot"),
    }


def pictures(
    model: Trained, data: Data, key: Key, prior: Callable[[Key, Array], Array], *, one_style: bool
) -> dict[str, np.ndarray]:
    """Return pictures of a model with decode(z, label) and autoencode(x, label, key) -> z,
    reconstruction.

    "samples": 10 rows of draws from prior(key, labels) -> z, with one label per column; with
    `one_style`, each row has one z. "reconstructions": 50 pairs of a test image and its
    reconstruction. "codes", if z is [n, 2]: codes of test images and the same number of draws from
    the prior, coloured by label.
    """
    key_prior, key_test, key_plane = jax.random.split(key, 3)
    labels = jnp.tile(jnp.arange(10), 10)
    z = prior(key_prior, labels)  # [100, latents]
    z = jnp.repeat(z[::10], 10, axis=0) if one_style else z
    batches = pipeline.batches(data.test, data.prepare, key_test, batch_size=50, count=50)
    batch, key_noise = next(batches)
    _, reconstruction = model.autoencode(batch["x"], batch["label"], key_noise)
    pairs = jnp.stack([batch["x"], reconstruction], 1)
    drawn = {"samples": model.decode(z, labels), "reconstructions": pairs}
    shape = data.test["image"].shape[1:]
    grids = {n: images.grid(x.reshape(-1, *shape), columns=10) for n, x in drawn.items()}
    if z.shape[1] != 2:
        return grids
    test = {name: array[:COMPARED] for name, array in data.test.items()}
    _, key_code, key_prior = jax.random.split(key_plane, 3)
    label = jnp.asarray(test["label"])
    z, _ = model.autoencode(vectors(test), label, key_code)
    draws = np.asarray(prior(key_prior, label.astype(jnp.int32)))
    reach = 1.2 * float(np.abs(draws).max())
    planes = [images.scatter(points, label, reach=reach) for points in (z, draws)]
    return {**grids, "codes": np.concatenate(planes, 1)}


def category_pictures(
    model: Trained, data: Data, y: Array, z: Array, *, plane: bool
) -> dict[str, np.ndarray]:
    """Return pictures of a model with decode(y, z) -> code, x and autoencode(x) -> y, z, code, x.

    "samples": each column has one category of y [k, categories], each row one style of z
    [rows, latents]. "reconstructions": 50 pairs of a test image and its reconstruction. "codes", if
    `plane`: codes of test images, coloured by label.
    """
    x, shape = vectors(data.test), data.test["image"].shape[1:]
    *_, code, reconstruction = model.autoencode(x)
    _, drawn = model.decode(jnp.tile(y, (len(z), 1)), jnp.repeat(z, len(y), axis=0))
    pairs = jnp.stack([x, reconstruction], 1)[:50]
    grids = {
        "samples": images.grid(drawn.reshape(-1, *shape), columns=len(y)),
        "reconstructions": images.grid(pairs.reshape(-1, *shape), columns=10),
    }
    if plane:
        reach = 1.1 * float(jnp.abs(code).max())
        grids["codes"] = images.scatter(code, data.test["label"], reach=reach, side=600)
    return grids
