"""Shapes and emoji with captions: the splits hold what they say, and images show their captions."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data import captions
from gen_jax.data.synthetic import shapes

MADE = captions.shapes(300, 48)


def test_no_pair_of_shape_and_colour_is_in_both_splits():
    pairs = {}
    for split, given in MADE.items():
        said = np.stack([shapes.parse(f"{caption} on black") for caption in given.captions[:, 0]])
        pairs[split] = {tuple(pair) for pair in said[:, 1:3]}
        # each shape and each colour is in either
        assert {shape for _, shape in pairs[split]} == set(range(5))
        assert {colour for colour, _ in pairs[split]} == set(range(6))
    assert (
        not pairs["train"] & pairs["test"] and len(pairs["train"]) == 24 and len(pairs["test"]) == 6
    )


def test_captions_do_not_tell_the_style_and_labels_are_theirs():
    given = MADE["train"]
    assert given.image.shape == (300, 48, 48, 3) and given.image.dtype == np.uint8
    assert all(" on " not in caption for caption in given.captions[:, 0])
    assert (captions.read_back(given.image)[:, -1] == given.style).all() and set(given.style) == {
        0,
        1,
        2,
    }
    by_label = {
        label: {c for c, i in zip(given.captions[:, 0], given.label, strict=True) if i == label}
        for label in given.label
    }
    assert all(len(names) == 1 for names in by_label.values()) and len(by_label) == len(
        set(given.captions[:, 0])
    )


def test_a_caption_and_a_ground_are_one_image():
    given = MADE["test"]
    seen = {}
    for image, caption, style in zip(given.image, given.captions[:, 0], given.style, strict=True):
        assert (seen.setdefault((caption, style), image) == image).all()
    assert 200 < len(seen) <= 6 * 2 * 9 * 3
    np.testing.assert_allclose(
        captions.middles(jnp.array([-0.45, -0.2, 0.0, 0.45]), -0.45, 0.45, 3),
        [-0.3, -0.3, 0, 0.3],
        atol=1e-6,
    )


@pytest.mark.long
def test_images_match_their_own_captions_and_not_others():
    given = MADE["test"]
    right = captions.matches(given.image, given.captions[:, 0])
    assert right.shape == (1000, 5) and right.mean() > 0.98
    wrong = captions.matches(given.image[:50], ["a small red circle at the upper left"] * 50)
    said = captions.read_back(given.image[:50])[:, :5]
    np.testing.assert_array_equal(wrong, said == np.array([0, 0, 0, 2, 0]))


def test_symbols_are_drawn_by_each_vendor():
    n, text = 5, "grinning face"
    arrays = {
        vendor: np.full((n, 64, 64, 3), 50 * (i + 1), np.uint8)
        for i, vendor in enumerate(captions.symbols.VENDORS)
    }
    names = [f"{text} {i}".encode().ljust(80, b"\0") for i in range(n)]
    given = captions._drawn(
        {**arrays, "caption": np.stack([np.frombuffer(name, np.uint8) for name in names])}, 32
    )
    assert given.image.shape == (4 * n, 32, 32, 3) and given.captions[n + 2, 0] == "grinning face 2"
    assert (given.image[:, 0, 0, 0] == 50 * (given.style + 1)).all()
    assert (given.label[:n] == given.label[n : 2 * n]).all() and len(set(given.label)) == n


def test_photographs_that_tfds_has_prepared(monkeypatch):
    """Several captions each, and no label, as of COCO; or one caption and a label, as of birds."""
    asked = []

    def load(name, split, directory):
        asked.append((name, split))
        texts = [
            [f"{split} {i} {j}".encode().ljust(256, b"\0") for j in range(5)] for i in range(3)
        ]
        caption = np.array([[np.frombuffer(text, np.uint8) for text in row] for row in texts])
        both = {"image": np.zeros((3, 20, 20, 3), np.uint8), "caption": caption}
        return (
            both
            if "coco" in name
            else {**both, "caption": caption[:, 0], "label": np.array([4, 4, 9])}
        )

    monkeypatch.setattr(captions.sets, "load", load)
    coco, birds = captions.prepared("coco", 20), captions.prepared("birds", 20)
    assert asked[:2] == [("tfds:coco_captions@20", "train"), ("tfds:coco_captions@20", "val")]
    assert coco["test"].captions.shape == (3, 5) and coco["test"].captions[2, 4] == "val 2 4"
    assert coco["train"].label.tolist() == [0, 1, 2] and not coco["train"].style.any()
    assert birds["train"].captions.tolist() == [[f"train {i} 0"] for i in range(3)]
    assert birds["train"].label.tolist() == [4, 4, 9]
