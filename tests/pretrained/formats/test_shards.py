"""TensorFlow.js's format: what is written by hand is read, in the manifest's order, and anything
else is refused.
"""

import json

import numpy as np
import pytest

from gen_jax.errors import DataError
from gen_jax.pretrained.formats import shards


def package(folder, *, paths=("group1-shard1of2.bin", "group1-shard2of2.bin"), dtype="float32"):
    entries = (("b/kernel", [2, 3], dtype), ("a/bias", [], dtype), ("c", [2], "int32"))
    weights = [{"name": name, "shape": shape, "dtype": dtype} for name, shape, dtype in entries]
    manifest = {"weightsManifest": [{"paths": list(paths), "weights": weights}]}
    (folder / "model.json").write_text(json.dumps(manifest))
    content = np.arange(7, dtype="<f4").tobytes() + np.array([7, -8], "<i4").tobytes()
    (folder / "group1-shard1of2.bin").write_bytes(content[:10])  # shards end anywhere
    (folder / "group1-shard2of2.bin").write_bytes(content[10:])


def test_shards_are_read_in_the_order_of_the_manifest(tmp_path):
    package(tmp_path)
    (found,) = shards.read(tmp_path, "", {})
    assert {name: a.shape for name, a in found.items()} == {
        "b/kernel": (2, 3),
        "a/bias": (),
        "c": (2,),
    }
    np.testing.assert_array_equal(
        np.concatenate([a.ravel() for a in found.values()]), [*range(8), -8]
    )
    assert [a.dtype for a in found.values()] == [np.float32, np.float32, np.int32]


@pytest.mark.parametrize(
    "change",
    [
        {"paths": ("group1-shard1of2.bin",)},
        {"paths": ("group1-shard1of2.bin", *["group1-shard2of2.bin"] * 2)},
        {"dtype": "uint8"},
        {"paths": ("../../shard", "x")},
    ],
)
def test_what_is_not_the_package_is_refused(tmp_path, change):
    package(tmp_path, **change)
    with pytest.raises(DataError, match="not the package that they should be"):
        list(shards.read(tmp_path, "", {}))
