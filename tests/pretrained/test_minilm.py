"""MiniLM: a small BERT against its formulas in NumPy, one sentence and one head at a time."""

import dataclasses
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as stored
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from gen_jax.errors import DataError
from gen_jax.pretrained import minilm, weights

WIDTH, INNER, LAYERS, PLACES = 24, 32, 2, 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "sat", "##s", "red", "heart"]


@pytest.fixture(scope="module")
def params():
    draws = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for i in range(LAYERS):
        for name, inputs, outputs in (
            *((f"attention.self.{part}", WIDTH, WIDTH) for part in ("query", "key", "value")),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", WIDTH, INNER),
            ("output.dense", INNER, WIDTH),
        ):
            shapes[f"encoder.layer.{i}.{name}.weight"] = (outputs, inputs)
            shapes[f"encoder.layer.{i}.{name}.bias"] = (outputs,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"encoder.layer.{i}.{name}.{part}": (WIDTH,) for part in ("weight", "bias")}
    return {name: draws.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def by_hand(params, tokens, heads):
    """The definition for one sentence without padding, in float64: [t] -> [t, d]"""
    p = {name: a.astype(np.float64) for name, a in params.items()}

    def dense(name, x):
        return np.stack([p[f"{name}.weight"] @ row + p[f"{name}.bias"] for row in x])

    def normed(name, x):
        rows = [(row - row.mean()) / math.sqrt(row.var() + 1e-12) for row in x]
        return np.stack(rows) * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = np.stack([p["embeddings.word_embeddings.weight"][token] for token in tokens])
    x = (
        x
        + p["embeddings.position_embeddings.weight"][: len(tokens)]
        + p["embeddings.token_type_embeddings.weight"][0]
    )
    x = normed("embeddings.LayerNorm", x)
    for i in range(LAYERS):
        name, size, seen = f"encoder.layer.{i}", WIDTH // heads, []
        q, k, v = (dense(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value"))
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
            seen.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
        y = dense(f"{name}.attention.output.dense", np.concatenate(seen, 1))
        x = normed(f"{name}.attention.output.LayerNorm", x + y)
        y = dense(f"{name}.intermediate.dense", x)
        y = np.vectorize(lambda t: 0.5 * t * (1 + math.erf(t / math.sqrt(2))))(y)
        x = normed(f"{name}.output.LayerNorm", x + dense(f"{name}.output.dense", y))
    return x


def test_bert_is_its_formulas_and_padding_is_not_seen(params):
    tokens = np.array([[2, 4, 5, 6, 3], [2, 8, 3, 9, 9]])  # the second has 3 real tokens
    real = np.array([[True] * 5, [True] * 3 + [False] * 2])
    found = np.asarray(minilm.bert(params, jnp.asarray(tokens), jnp.asarray(real), heads=4))
    for row, count in ((0, 5), (1, 3)):
        expected = by_hand(params, tokens[row, :count], heads=4)
        np.testing.assert_allclose(found[row, :count], expected, atol=2e-4)
        mean = expected.mean(0)
        meaning = minilm.meaning(params, jnp.asarray(tokens), jnp.asarray(real), heads=4)[row]
        np.testing.assert_allclose(meaning, mean / np.linalg.norm(mean), atol=2e-5)


@pytest.fixture
def small(params, tmp_path, monkeypatch):
    """`embed` with these weights, kept in a cache of its own, and a tokenizer of ten words."""
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer = (
        normalizers.BertNormalizer(),
        pre_tokenizers.BertPreTokenizer(),
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=12)  # as the true file does
    arrays = {**params, minilm.TOKENIZER: np.frombuffer(tokenizer.to_str().encode(), np.uint8)}
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr(
        minilm, "WEIGHTS", dataclasses.replace(minilm.WEIGHTS, sha256=weights.digest(arrays))
    )
    monkeypatch.setattr(minilm, "WIDTH", WIDTH)
    monkeypatch.setattr(minilm, "CHUNK", 4)
    monkeypatch.setattr(minilm, "LONGEST", 6)
    minilm.WEIGHTS.path.parent.mkdir()
    stored.save_file(arrays, minilm.WEIGHTS.path)
    minilm._loaded.cache_clear()
    yield
    minilm._loaded.cache_clear()


def test_sentences_are_embedded_in_their_order_each_as_if_alone(small, params):
    sentences = ["A cat sats", "red heart", "", "a a a a a a a", "Red HEART", "a dog"]
    # one is cut
    tokens = [
        [2, 4, 5, 6, 7, 3],
        [2, 8, 9, 3],
        [2, 3],
        [2, 4, 4, 4, 4, 3],
        [2, 8, 9, 3],
        [2, 4, 1, 3],
    ]
    found = minilm.embed(sentences)
    assert found.shape == (6, WIDTH) and found.dtype == np.float32
    for row, numbers in zip(found, tokens, strict=True):
        mean = by_hand(params, np.array(numbers), heads=12).mean(0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=2e-5)
    np.testing.assert_array_equal(found[1], found[4])
    assert minilm.embed([]).shape == (0, WIDTH)


@pytest.mark.parametrize("given", ["a sentence", ["a", 3]])
def test_what_is_no_list_of_texts_is_refused(given):
    with pytest.raises(DataError, match="must be a list of texts"):
        minilm.embed(given)


def test_the_package_is_read_without_the_head_for_classes(tmp_path):
    arrays = {
        "pooler.dense.bias": np.zeros(2, np.float32),
        "embeddings.position_ids": np.zeros((1, 2), np.int64),
        "kept": np.ones(3, np.float32),
    }
    stored.save_file(arrays, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"é": 1}))
    read = {name: array for block in minilm.read(tmp_path, "", {}) for name, array in block.items()}
    assert {*read} == {"kept", "tokenizer.json"} and json.loads(
        read["tokenizer.json"].tobytes()
    ) == {"é": 1}


@pytest.mark.weights
def test_the_true_weights_give_the_published_numbers():
    """The first five of its model card's example; meanings that are near are nearer than those that
    are not.
    """
    example, *others = minilm.embed(
        [
            "This is an example sentence",
            "grinning face",
            "face with a broad smile",
            "a map of the earth",
        ]
    )
    np.testing.assert_allclose(
        example[:5], [0.0676569, 0.0634959, 0.0487131, 0.0793049, 0.0374480], atol=1e-6
    )
    smile, broad, earth = others
    assert smile @ broad > 0.5 > 0.2 > smile @ earth
