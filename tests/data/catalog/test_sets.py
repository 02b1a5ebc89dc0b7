"""The data room from end to end: real builders, real processes, small sets."""

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gen_jax.data import __main__ as command
from gen_jax.data.catalog import fetch, prepare, sets, store
from gen_jax.errors import DataError, DirectoryError

SIZES = {"train": 1100, "test": 5}  # more than one block of the reader
rng = np.random.default_rng(0)
VALUES = {
    split: {
        "image": rng.integers(0, 256, (size, 4, 3, 1), np.uint8),
        "label": rng.integers(0, 10, size, np.uint8),
        "latents": rng.random((size, 2)).astype(np.float32),
    }
    for split, size in SIZES.items()
}


def read(folder, split, sizes):
    for start in range(0, sizes[split], 300):
        yield {name: array[start : start + 300] for name, array in VALUES[split].items()}


def field(name, **settings):
    hashes = {
        split: hashlib.sha256(values[name].tobytes()).hexdigest()
        for split, values in VALUES.items()
    }
    return sets.Field(VALUES["test"][name].shape[1:], hashes, **settings)


TOY = sets.DataSet(
    name="toy",
    description="Noise.",
    origin="here",
    licence="none",
    citation="none",
    sizes=SIZES,
    fields={
        "image": field("image"),
        "label": field("label"),
        "latents": field("latents", dtype="float32"),
    },
    ways=(fetch.Mirror("bundled", "numbers", {}, read),),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A data directory in which toy is prepared."""
    base = tmp_path_factory.mktemp("data")
    prepare.prepare_catalogued(TOY, base)
    return base


@pytest.fixture
def toy(directory, monkeypatch):
    monkeypatch.setitem(sets.SOURCES, "toy", TOY)
    return directory


@pytest.mark.parametrize("source", sets.SOURCES.values(), ids=lambda source: source.name)
def test_every_set_says_what_it_is(source):
    assert all((source.name, source.description, source.origin, source.licence, source.citation))
    pictures = [field for field in source.fields.values() if len(field.shape) == 3]
    assert pictures and all(
        field.dtype == "uint8" and field.range == (0, 255) for field in pictures
    )
    for field in source.fields.values():
        assert set(field.sha256) == set(source.sizes)
    for hashes in [
        *(field.sha256 for field in source.fields.values()),
        *(way.files for way in source.ways),
    ]:
        assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes.values())
    hostless = ("digits", "earth", "emoji")  # nobody but a package has these files
    assert source.name in hostless or {way.client for way in source.ways} > {"url"}
    assert not any(
        file.endswith(".pkl") or "python" in file for way in source.ways for file in way.files
    )


def test_values_and_their_order_survive_the_builder(toy):
    for split, values in VALUES.items():
        got = sets.load("toy", split, toy)
        assert set(got) == {"image", "label", "latents"}
        for name, array in got.items():
            assert isinstance(array, np.memmap) and not array.flags.writeable
            np.testing.assert_array_equal(array, values[name])
            assert array.dtype == values[name].dtype
    np.testing.assert_array_equal(
        sets.load("toy", "train[1090:]", toy)["label"], VALUES["train"]["label"][1090:]
    )


def test_tfds_opens_what_we_prepared(toy, monkeypatch):
    import tensorflow_datasets as tfds

    opened = tfds.data_source("gen_jax_toy", split="test", data_dir=toy / "tfds", download=False)
    assert [example["label"] for example in opened] == VALUES["test"]["label"].tolist()
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(toy / "elsewhere"))
    for name in ("tfds:gen_jax_toy", "tfds:gen_jax_toy:1.0.0"):
        np.testing.assert_array_equal(
            sets.load(name, "train", toy)["image"], VALUES["train"]["image"]
        )
    assert sets.load("tfds:gen_jax_toy@2", "test", toy)["image"].shape == (5, 2, 2, 1)
    assert "tensorflow" not in sys.modules


def test_the_manifest(toy):
    content = json.loads((toy / "arrays" / "toy" / "manifest.json").read_text())
    assert (content["name"], content["version"], content["way"]) == (
        "toy",
        "1.0.0",
        "bundled numbers",
    )
    entry = content["splits"]["test"]["image"]
    path = toy / "arrays" / "toy" / "test" / "image.npy"
    assert entry == {
        "shape": [5, 4, 3, 1],
        "dtype": "uint8",
        "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_other_values_are_not_kept(tmp_path):
    wrong = dataclasses.replace(
        TOY.fields["label"], sha256={"train": TOY.fields["label"].sha256["train"], "test": "0"}
    )
    other = dataclasses.replace(TOY, fields=TOY.fields | {"label": wrong})
    with pytest.raises(DataError, match="other label values in 'test' than it should"):
        prepare.prepare_catalogued(other, tmp_path)
    assert not (tmp_path / "arrays" / "toy").exists() and not (tmp_path / "tfds").exists()
    assert [path.name for path in (tmp_path / "arrays" / ".toy").iterdir()] == ["lock"]


def test_readers_that_fail_leave_nothing(tmp_path):
    def torn(folder, split, sizes):
        yield from list(read(folder, split, sizes))[:-1]
        raise DataError("torn.")

    with pytest.raises(DataError, match=r"torn\."):
        prepare.prepare_catalogued(
            dataclasses.replace(TOY, ways=(fetch.Mirror("bundled", "x", {}, torn),)), tmp_path
        )
    assert not (tmp_path / "arrays" / "toy").exists()


@pytest.mark.parametrize(
    ("name", "split", "said"),
    [
        ("minst", "train", "did you mean 'mnist'"),
        ("fashion-mnist", "train", "did you mean 'fashion_mnist'"),
        ("imagenet", "train", "choose from digits, mnist"),
        ("../mnist", "train", "no data set"),
        ("mnist", "validation", "no split 'validation': choose from train, test"),
        ("dsprites", "test", "no split 'test': choose from train"),
        ("mnist", "train[", "not understood"),
    ],
)
def test_what_is_asked_wrongly_fetches_nothing(tmp_path, name, split, said):
    with pytest.raises(DataError, match=re.escape(said)):
        sets.load(name, split, tmp_path)
    assert not list(tmp_path.iterdir())


def test_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_OFFLINE", "1")
    with pytest.raises(
        DataError,
        match=r"GEN_JAX_OFFLINE is set\); place train-images-idx3-ubyte\.gz \(SHA-256 440f",
    ):
        sets.load("mnist", "train", tmp_path)
    assert len(sets.load("digits", "test", tmp_path)["image"]) == 297


RUN = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from pathlib import Path
from gen_jax.data.catalog import sets
opened = sets.load("digits", "train", Path(sys.argv[1]))
print(opened["image"].shape, int(opened["image"].sum()), opened["label"][:4].tolist())
"""


def start(directory, blocked=()):
    environment = {**os.environ, "GEN_JAX_OFFLINE": "1"}
    program = [
        sys.executable,
        "-W",
        "error::ResourceWarning",
        "-c",
        RUN.format(blocked=blocked),
        str(directory),
    ]
    return subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_then_one_that_has_numpy_alone(tmp_path):
    stale = tmp_path / "arrays" / ".digits" / "left-by-a-killed-process"
    stale.mkdir(parents=True)
    processes = [start(tmp_path), start(tmp_path)]
    blocked = (
        "tensorflow",
        "tensorflow_datasets",
        "array_record",
        "pyarrow",
        "sklearn",
        "jax",
        "PIL",
        "requests",
    )
    said = [process.communicate(timeout=120) for process in processes]
    said.append(start(tmp_path, blocked).communicate(timeout=120))
    total = np.rint(load_digits().images[:1500] * 255 / 16).sum()
    assert [out for out, _ in said] == [f"(1500, 8, 8, 1) {total:.0f} [0, 1, 2, 3]\n"] * 3, said
    assert [path.name for path in (tmp_path / "arrays" / ".digits").iterdir()] == ["lock"]
    assert [path.name for path in (tmp_path / "tfds").iterdir()] == ["gen_jax_digits"]
    error = start(tmp_path / "empty", blocked).communicate(timeout=120)[1]
    assert "ModuleNotFoundError" in error or "ImportError" in error  # the block is real


def test_a_process_that_waited_does_not_prepare_again(tmp_path, monkeypatch):
    prepared = []
    monkeypatch.setattr(
        fcntl, "flock", lambda lock, kind: prepared or prepared.append(prepare_elsewhere())
    )

    def prepare_elsewhere():
        home = tmp_path / "arrays" / "toy"
        home.mkdir()
        (home / store.MANIFEST).write_text("made elsewhere")
        return home

    prepare.prepare_catalogued(TOY, tmp_path)
    assert (prepared[0] / store.MANIFEST).read_text() == "made elsewhere"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        DirectoryError, match=r"choose another place, with --run\.data or GEN_JAX_DATA"
    ):
        sets.load("digits", "train", tmp_path / "file")


def test_the_command(toy, capfd, tmp_path):
    place = ["--directory", str(toy)]
    assert command.main(place) == 0
    listed = capfd.readouterr().out
    assert (
        "mnist: Handwritten digits" in listed
        and "not prepared" in listed
        and "tfds:celeb_a" in listed
    )
    assert f"prepared bundled numbers, in {toy / 'arrays' / 'toy'}" in listed
    assert command.main(["verify", "toy", *place]) == 0
    assert "toy: 6 arrays are intact" in capfd.readouterr().out
    for words, code in (["minst"], 65), (["verify", "digits"], 65), (["verify", "tfds:x"], 65):
        assert command.main([*words, "--directory", str(tmp_path)]) == code
        said = capfd.readouterr().err
        assert said.startswith("gen_jax.data: ") and said.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        command.main(["--no-such-flag"])


def test_the_command_repairs_what_is_damaged(monkeypatch, tmp_path, capfd):
    monkeypatch.setitem(sets.SOURCES, "toy", TOY)
    place = ["--directory", str(tmp_path)]
    assert command.main(["toy", *place]) == 0
    assert "toy: taken bundled numbers" in capfd.readouterr().err
    path = tmp_path / "arrays" / "toy" / "train" / "label.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError) as caught:
        sets.load("toy", "train", tmp_path)
    assert str(caught.value) == (
        f"{path} has another SHA-256 than its manifest says: run `python -m gen_jax.data toy --again --directory "
        f"{tmp_path}` to prepare it again."
    )
    assert command.main(["verify", *place]) == 65
    assert command.main(["toy", "--again", *place]) == 0
    assert path.read_bytes() == content
    assert command.main(["verify", *place]) == 0


def test_verify_compares_with_the_known_hashes_too(tmp_path, monkeypatch):
    """A forged manifest that agrees with forged arrays."""
    monkeypatch.setitem(sets.SOURCES, "toy", TOY)
    entries = {}
    for split, values in VALUES.items():
        fields = {name: (array.shape[1:], str(array.dtype)) for name, array in values.items()}
        forged = values | {"label": values["label"][::-1]}
        entries[split], _ = store.write(
            tmp_path / "arrays" / "toy" / split, SIZES[split], fields, iter([forged])
        )
    store.write_manifest(
        tmp_path / "arrays" / "toy", name="toy", version="1.0.0", way="forged", splits=entries
    )
    with pytest.raises(DataError, match=r"label\.npy holds other values than it should"):
        sets.verify("toy", tmp_path)
