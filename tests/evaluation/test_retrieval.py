"""Retrieval and verification, against what can be counted."""

import numpy as np
import pytest

from gen_jax.errors import DataError
from gen_jax.evaluation import retrieval

RANDOM = np.random.default_rng(0)


def test_what_points_at_its_text_finds_it_and_what_points_away_does_not():
    texts = np.eye(8)
    assert retrieval.r_precision(texts, texts, np.arange(8), among=8) == 1
    assert retrieval.r_precision(-texts, texts, np.arange(8), among=8) == 0
    assert retrieval.r_precision(0 * texts, texts, np.arange(8), among=8) == 0  # a tie is lost
    half = np.where(np.arange(8)[:, None] < 4, texts, -texts)
    assert retrieval.r_precision(half, texts, np.arange(8), among=3) == 0.5


def test_by_chance_one_among_as_many_is_found():
    images, texts = RANDOM.normal(size=(2, 4000, 6))
    found = retrieval.r_precision(images, texts, np.arange(4000), among=5)
    assert abs(found - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)


def test_a_text_of_the_same_label_is_no_rival():
    texts = np.repeat(np.eye(3), 2, 0)  # each text twice
    assert retrieval.r_precision(texts, texts, np.repeat(np.arange(3), 2), among=5) == 1
    with pytest.raises(DataError, match="4 texts have other labels; 5 are needed"):
        retrieval.r_precision(texts, texts, np.repeat(np.arange(3), 2), among=6)
    with pytest.raises(DataError, match=r"give \[n, d\]"):
        retrieval.r_precision(texts, texts[:2], np.arange(6))


def test_verification_is_the_share_of_pairs_in_the_right_order():
    features = RANDOM.normal(size=(12, 3))
    groups = np.arange(12) % 3
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [(unit[i] @ unit[j], groups[i] == groups[j]) for i in range(12) for j in range(i)]
    right = [a > b for a, same in pairs if same for b, other in pairs if not other]
    assert retrieval.verification(7 * features, groups) == pytest.approx(np.mean(right))
    assert retrieval.verification(np.eye(3)[groups], groups) == 1
    with pytest.raises(DataError, match="one group"):
        retrieval.verification(features, 0 * groups)
