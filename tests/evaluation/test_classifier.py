"""The classifier on scikit-learn's digits: what it computes, how well, and that its cache never
lies.
"""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from gen_jax.errors import DataError
from gen_jax.evaluation import classifier
from gen_jax.storage import cache

DIGITS = load_digits()
IMAGES = np.rint(DIGITS.images[..., None] * 255 / 16).astype(np.uint8)  # [1797, 8, 8, 1]
LABELS = DIGITS.target
HELD_OUT = np.arange(len(LABELS)) % 4 == 0
TEST = IMAGES[HELD_OUT], LABELS[HELD_OUT]


def trained(seed=0, epochs=20, n=1347):
    images, labels = IMAGES[~HELD_OUT][:n], LABELS[~HELD_OUT][:n]
    return classifier.classifier(
        images, labels, test=TEST, name="digits", seed=seed, epochs=epochs, batch=50, shift=1
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return trained()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))
    return tmp_path / "classifiers"


def test_accuracy(digits):
    assert digits.accuracy == np.mean(digits.logits(TEST[0]).argmax(axis=1) == TEST[1])
    assert digits.accuracy > 0.96


def test_logits_are_a_linear_function_of_the_features(digits):
    # 1797 images: not a whole number of chunks
    features, logits = (
        digits.features(IMAGES),
        digits.logits(IMAGES),
    )
    assert features.shape == (1797, 128) and logits.shape == (1797, 10)
    assert features.min() == 0 and (features.std(axis=0) > 0).mean() > 0.5
    last = digits.params["Dense_1"]
    np.testing.assert_allclose(
        logits,
        features @ np.asarray(last["kernel"]) + np.asarray(last["bias"]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_each_image_is_judged_alone(digits):
    every = digits.logits(IMAGES)
    for i in (0, 499, 500, 1796):
        np.testing.assert_allclose(
            digits.logits(IMAGES[i : i + 1])[0], every[i], rtol=1e-5, atol=1e-5
        )
    assert len(np.unique(every, axis=0)) > 1700


def test_bytes_and_floats_mean_the_same(digits):
    np.testing.assert_allclose(
        digits.logits(IMAGES[:9] / 255), digits.logits(IMAGES[:9]), rtol=1e-4, atol=1e-4
    )


def test_moved_images():
    """Each image by its own offset, to all (2 * 1 + 1)^2 places, its content whole."""
    images = np.zeros((200, 5, 5, 1), np.uint8)
    images[:, 2, 2] = 7
    moved = np.asarray(classifier._moved(images, jax.random.key(0), 1))
    assert moved.shape == images.shape and moved.dtype == np.uint8
    assert (moved.sum(axis=(1, 2, 3)) == 7).all()
    assert {tuple(place) for place in np.argwhere(moved)[:, 1:3]} == {
        (i, j) for i in (1, 2, 3) for j in (1, 2, 3)
    }
    assert (classifier._moved(images, jax.random.key(0), 0) == images).all()


def test_it_is_trained_once(folder, monkeypatch):
    first = trained(epochs=1, n=100)
    assert len(list(folder.iterdir())) == 2
    other = trained(epochs=1, n=100, seed=1)
    assert first.name[:14] == "digits-cnn-s0-" and other.name[:14] == "digits-cnn-s1-"
    assert first.name[14:] != other.name[14:]  # other weights
    monkeypatch.setattr(classifier, "_train", None)
    for one in (first, other):
        again = trained(epochs=1, n=100, seed=int(one is other))
        assert (again.name, again.accuracy) == (one.name, one.accuracy)
        assert (again.logits(IMAGES[:9]) == one.logits(IMAGES[:9])).all()
    with pytest.raises(TypeError):  # other data: nothing that was stored is given for it
        trained(epochs=1, n=101)


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_training_is_a_function_of_its_arguments(folder, caplog):
    first = trained(epochs=1, n=100)
    (weights,) = folder.glob("*.safetensors")
    flip_a_bit(weights)
    again = trained(epochs=1, n=100)
    assert len(caplog.messages) == 1 and "made again" in caplog.text
    assert again.name == first.name  # which tells the SHA-256 of the weights
    assert first.name.endswith(cache.digest(weights.read_bytes())[:8])


def test_what_another_code_trained_is_not_used(folder, monkeypatch):
    trained(epochs=1, n=100)
    monkeypatch.setattr(classifier, "_train", None)
    trained(epochs=1, n=100)
    monkeypatch.setattr(cache, "sources", lambda file: "of another code")
    with pytest.raises(TypeError):
        trained(epochs=1, n=100)


def test_without_a_place_to_keep_it(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "file"))
    assert trained(epochs=1, n=100).logits(IMAGES[:2]).shape == (2, 10)
    assert "not kept" in caplog.text


def test_what_it_cannot_see_is_refused(digits):
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        digits.logits(IMAGES[:2] / 127.5 - 1)
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        digits.logits(np.full((1, 8, 8, 1), np.nan))
    with pytest.raises(DataError, match="resize"):
        digits.features(np.zeros((2, 9, 8, 1), np.uint8))
    with pytest.raises(DataError, match="reshape"):
        digits.features(IMAGES[0])
    for labels in (LABELS[:9], LABELS[:10] / 1.0, LABELS[:10] - 10):
        with pytest.raises(DataError, match="one for each of the 10 images"):
            classifier.classifier(IMAGES[:10], labels, test=TEST)
