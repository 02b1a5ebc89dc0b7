"""Prepared arrays: what is written opens unchanged, and no damage passes unseen."""

import json

import numpy as np
import pytest

from gen_jax.data.catalog import store
from gen_jax.errors import DataError

rng = np.random.default_rng(0)
FIELDS = {"image": ((3, 2, 1), "uint8"), "value": ((2,), "float32"), "label": ((), "uint8")}
# seven examples
VALUES = {
    name: rng.integers(0, 200, (7, *shape)).astype(dtype) for name, (shape, dtype) in FIELDS.items()
}


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "arrays" / "toy"
    blocks = (
        {name: array[start : start + 3] for name, array in VALUES.items()} for start in (0, 3, 6)
    )
    entries, _ = store.write(home / "train", 7, FIELDS, blocks)
    store.write_manifest(home, name="toy", version="1", way="made here", splits={"train": entries})
    return home


def view(home, **how):
    return store.view(home, "toy", "train", store.manifest(home, name="toy", version="1"), **how)


def test_round_trip(home):
    got = view(home)
    assert list(got) == list(FIELDS)
    for name, array in got.items():
        assert isinstance(array, np.memmap) and not array.flags.writeable
        assert array.dtype == FIELDS[name][1]
        np.testing.assert_array_equal(array, VALUES[name])


def test_the_manifest_holds_the_hashes_of_files_and_write_those_of_values(tmp_path):
    import hashlib

    entries, values = store.write(tmp_path / "train", 7, FIELDS, iter([VALUES]))
    for name in FIELDS:
        path = tmp_path / "train" / f"{name}.npy"
        np.testing.assert_array_equal(np.load(path), VALUES[name])
        assert entries[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert values[name] == hashlib.sha256(VALUES[name].tobytes()).hexdigest()


def test_every_flipped_bit_is_seen(home):
    path = home / "train" / "value.npy"
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(DataError, match=rf"{path}.*python -m gen_jax\.data toy --again"):
            view(home)
    path.write_bytes(content)
    view(home)


@pytest.mark.parametrize(
    "fault", ["truncated", "longer", "deleted", "empty", "a directory", "of another field"]
)
def test_damaged_files_are_named(home, fault):
    path = home / "train" / "image.npy"
    content = path.read_bytes()
    path.unlink()
    if fault == "a directory":
        path.mkdir()
    elif fault != "deleted":
        other = (home / "train" / "label.npy").read_bytes()
        path.write_bytes(
            {"truncated": content[:-1], "longer": content + b"\0", "empty": b""}.get(fault, other)
        )
    with pytest.raises(DataError, match=rf"{path}.*--again"):
        view(home)


def test_large_files_are_hashed_only_by_verify(home, monkeypatch):
    monkeypatch.setattr(store, "LARGE", 0)
    path = home / "train" / "image.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    view(home)
    with pytest.raises(DataError, match="SHA-256"):
        view(home, whole=True)
    header = content.replace(b"(7, 3, 2, 1)", b"(7, 2, 3, 1)")
    path.write_bytes(header)
    with pytest.raises(DataError, match=r"\[7, 2, 3, 1\], expected uint8 \[7, 3, 2, 1\]"):
        view(home)
    path.write_bytes(content.replace(b"|u1", b"|O1"))
    with pytest.raises(DataError, match="cannot be opened"):
        view(home)
    path.write_bytes(content.replace(b"{'", b"{("))
    with pytest.raises(DataError, match="cannot be opened"):
        view(home)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"name": "toy"}',
        "[" * 100000,
        "\x00",
        '{"name": 1, "version": 1, "splits": {}}',
    ],
)
def test_damaged_manifests_are_named(home, content):
    (home / store.MANIFEST).write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json"):
        view(home)


@pytest.mark.parametrize(
    ("key", "value"),
    [("shape", None), ("size", "many"), ("sha256", 3), ("dtype", ["uint8"]), ("size", 10)],
)
def test_manifests_with_odd_entries_are_refused(home, key, value):
    path = home / store.MANIFEST
    content = json.loads(path.read_text())
    content["splits"]["train"]["image"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="toy"):
        view(home)


def test_another_set_or_an_older_recipe_is_not_taken_for_this_one(home):
    with pytest.raises(DataError, match="is of toy 1, expected other 1"):
        store.manifest(home, name="other", version="1")
    with pytest.raises(DataError, match="is of toy 1, expected toy 2"):
        store.manifest(home, name="toy", version="2")
    with pytest.raises(DataError, match="no split 'dev': choose from train"):
        store.view(home, "toy", "dev", store.manifest(home, name="toy"))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", slice(0, 7)),
        ("train[:5]", slice(0, 5)),
        ("train[5:]", slice(5, 7)),
        ("train[2:-1]", slice(2, 6)),
        ("train[-3:]", slice(4, 7)),
        ("train[:]", slice(0, 7)),
    ],
)
def test_slices_are_views(home, split, expected):
    whole = view(home)
    name, part = store.parse(split)
    assert name == "train"
    for field, array in store.cut(whole, part, split).items():
        assert np.shares_memory(array, whole[field])
        np.testing.assert_array_equal(array, VALUES[field][expected])


@pytest.mark.parametrize(
    "split", ["train[:8]", "train[-8:]", "train[5:5]", "train[6:2]", "train[7:]"]
)
def test_slices_outside_or_empty_are_refused(home, split):
    with pytest.raises(DataError, match="it holds 7"):
        store.cut(view(home), store.parse(split)[1], split)


@pytest.mark.parametrize(
    "split",
    ["", "train[", "train[5]", "train[:50%]", "train[1:2:3]", "../train", "train[a:]", "a+b"],
)
def test_splits_that_are_not_understood(split):
    with pytest.raises(DataError, match="not understood"):
        store.parse(split)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda array: array[:, :2], "image"),
        (lambda array: array.astype(np.int16), "image"),
        (lambda array: array[:6], "value"),  # which then has an example more than the image
    ],
)
def test_writing_refuses_other_values(tmp_path, change, named):
    with pytest.raises(DataError, match=f"field '{named}' came as"):
        store.write(
            tmp_path / "train", 7, FIELDS, iter([VALUES | {"image": change(VALUES["image"])}])
        )


def test_writing_refuses_another_count(tmp_path):
    with pytest.raises(DataError, match="7 examples came for split 'train', expected 8"):
        store.write(tmp_path / "train", 8, FIELDS, iter([VALUES]))
