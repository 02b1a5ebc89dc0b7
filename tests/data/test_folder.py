"""Folders of the user's pictures: how they are read, split and kept."""

import csv
import importlib
import json
import logging
import os

import numpy as np
import pytest

from gen_jax.config import from_json
from gen_jax.data import __main__ as command
from gen_jax.data import captions, domain_folders, folders, pipeline, square_images, unpaired
from gen_jax.data.catalog import (
    folder,
    folder_arrays,
    folder_layouts,
    folder_names,
    prepare,
    sets,
    store,
)
from gen_jax.errors import DataError, UserError
from tests.data.own_pictures import draw, fill, rng, save


@pytest.fixture
def home(tmp_path):
    folder.opened.cache_clear()
    yield tmp_path / "prepared"
    folder.opened.cache_clear()


@pytest.fixture
def own(tmp_path):
    return tmp_path / "own"


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_written_as_png_come_back_as_they_were(own, home, channels):
    given = {f"{i:03}.png": draw(28, 28, channels) for i in range(60)}
    for name, pixels in given.items():
        save(own / name, pixels)
    name = f"folder:{own}@28" + (",grey" if channels == 1 else "")
    splits = {split: sets.load(name, split, home)["image"] for split in ("train", "test")}
    train, test = folder_layouts.divided(own, given)
    for split, names in (("train", train), ("test", test)):
        assert isinstance(splits[split], np.memmap) and not splits[split].flags.writeable
        np.testing.assert_array_equal(splits[split], np.stack([given[name] for name in names]))
    assert len(train) + len(test) == 60 and sets.shape(name, home) == (28, 28, channels)
    assert sets.size(name, "train", home) == len(train)


# Splits and layouts ------------------------------------------------------------------------------


def test_pictures_that_are_added_move_no_other():
    names = [f"{i}.png" for i in range(3000)]
    train, test = folder_layouts.divided("here", names)
    assert 240 < len(test) < 360 and sorted(train + test) == sorted(names)
    more_train, more_test = folder_layouts.divided("here", [*names, *(f"new-{n}" for n in names)])
    assert {*train} < {*more_train} and {*test} < {*more_test}
    for few in range(2, 8):
        train, test = folder_layouts.divided("here", names[:few])
        assert train and test


def test_splits_that_are_given_are_taken(own, home):
    parts = {split: fill(own / split, 3, "deep/er/") for split in ("train", "test")}
    save(own / "beside.png")
    for split, given in parts.items():
        found = sets.load(f"folder:{own}", split, home)["image"]
        assert {x.tobytes() for x in found} == {x.tobytes() for x in given.values()}


def test_what_is_no_picture_is_counted_in_one_line(own, home, caplog):
    caplog.set_level(logging.INFO, "gen_jax.data")
    given = fill(own, 4) | fill(own, 1, "twin/")
    save(own / "Same.PNG", given["00.png"])  # the content of another
    for name in (".hidden.png", ".git/a.png", "notes.txt", "metadata.csv", "__MACOSX/._00.png"):
        (own / name).parent.mkdir(exist_ok=True)
        (own / name).touch()
    os.mkfifo(own / "pipe.png")
    (own / "again").symlink_to(own)
    (own / "link.png").symlink_to(own / "00.png")
    name = f"folder:{own}"
    total = sum(sets.size(name, split, home) for split in ("train", "test"))
    assert total == 7 and len(caplog.messages) == 2
    assert caplog.messages[0].startswith(f"{name}: ") and caplog.messages[0].endswith(
        "left out: 3 hidden files or folders, 3 files that are no pictures by their suffix, 0 "
        "pictures without a place in this layout."
    )


def test_pairs(own, home):
    given = {part: fill(own / part, count) for part, count in (("trainA", 12), ("trainB", 9))}
    images = unpaired.Images(f"folder:{own}", load=8, pad=0, side=8)
    data = pipeline.load(images.source(), home)
    counts = {n: (len(data.train[n]), len(data.test[n])) for n in ("x", "y")}
    assert [sum(pair) for pair in counts.values()] == [12, 9] and not images.paired
    assert min(counts["x"] + counts["y"]) >= 1
    assert {x.tobytes() for x in data.train["y"]} < {x.tobytes() for x in given["trainB"].values()}
    fill(own / "testA", 2), fill(own / "testB", 3)
    folder.opened.cache_clear()
    data = pipeline.load(images.source(), home)
    assert [len(data.train[n]) for n in "xy"] == [12, 9] and len(data.test["y"]) == 3


def test_domains(own, home):
    given = {domain: fill(own / domain, 10) for domain in ("cat", "dog", "eel")}
    data = domain_folders.find(f"folder:{own}", "one", 8, home)
    assert data.names == ("cat", "dog", "eel") and data.domains.number == 3
    train, test = (sets.load(data.name, split, home) for split in ("train", "test"))
    assert {*test["label"]} == {0, 1, 2} and len(train["label"]) + len(test["label"]) == 30
    for image, label in zip(train["image"], train["label"], strict=True):
        assert any((image == x).all() for x in given[data.names[label]].values())
    x, c = data.examples({n: a[:4] for n, a in train.items()}, None, 8)
    np.testing.assert_allclose(x, train["image"][:4] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(c, np.eye(3)[train["label"][:4]])
    tasks = [*data.tasks(data.real(test, 8))]
    assert len(tasks) == 3 and sum(len(task.x) for task in tasks) == 2 * len(test["label"])
    for target, task in enumerate(tasks):
        assert (task.target_domain == target).all() and task.truth is None
        assert (task.source_label[:, target] == 0).all()
        np.testing.assert_array_equal(task.target_label, np.eye(3)[task.target_domain])


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_captions(own, home, kind):
    given = fill(own, 12, "pictures/")
    rows = [(name, f"the picture {name}, “quoted”") for name in list(given)[:-1]]
    rows.append((rows[0][0], "a second caption"))
    if kind == "csv":
        with (own / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file_name", "text"), *rows])
    else:
        lines = [json.dumps({"file_name": f"./{name}", "text": text}) for name, text in rows]
        (own / "metadata.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    splits = captions.load(f"folder:{own}", 8, count=0, directory=home)
    assert sum(len(known.image) for known in splits.values()) == 11  # one has no caption
    for known in splits.values():
        for image, (first, second) in zip(known.image, known.captions, strict=True):
            name = first.removeprefix("the picture ").removesuffix(", “quoted”")
            assert (image == given[name]).all()
            assert second == ("a second caption" if name == rows[0][0] else first)
        assert len({*known.label}) == len(known.label)  # no two captions are equal


# A folder over time ------------------------------------------------------------------------------


def test_a_folder_is_prepared_once_and_again_when_it_has_changed(own, home, caplog):
    caplog.set_level(logging.INFO, "gen_jax.data")
    fill(own)
    name = f"folder:{own}"

    def prepared():
        caplog.clear()
        path = sets.make(name, home)
        return path, (path / "manifest.json").stat().st_mtime_ns, len(caplog.messages)

    first = prepared()
    assert first[2] == 2 and prepared() == (*first[:2], 0)
    before = sets.hashes(name, ("train", "test"), home)
    for change in (
        lambda: save(own / "new.png"),
        lambda: (own / "new.png").unlink(),
        lambda: save(own / "00.png"),
        lambda: os.utime(own / "01.png", ns=(1, 1)),
    ):
        change()
        path, _, lines = prepared()
        assert path == first[0] and lines == 3
        assert (
            caplog.messages[0] == f"{name} has changed since it was prepared: it is prepared again."
        )
    assert sets.hashes(name, ("train", "test"), home) != before
    assert sets.verify(name, home) == 2


def test_what_a_process_has_opened_stays(own, home):
    fill(own)
    first = sets.load(f"folder:{own}", "train", home)["image"]
    save(own / "new.png")
    assert np.shares_memory(sets.load(f"folder:{own}", "train", home)["image"], first)
    sets.make(f"folder:{own}", home)
    assert sum(sets.size(f"folder:{own}", split, home) for split in ("train", "test")) == 21


def test_an_interrupted_preparation_leaves_nothing(own, home, monkeypatch):
    fill(own)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_manifest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sets.make(f"folder:{own}", home)
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["lock"]


def test_blocks_are_small(own, home, monkeypatch):
    """Pixels are written as they come: three pictures at a time give what all at once give."""
    given = fill(own, 11)
    monkeypatch.setattr(folder_arrays, "BLOCK", 3 * 8 * 8 * 3)
    found = np.concatenate(
        [sets.load(f"folder:{own}", s, home)["image"] for s in ("train", "test")]
    )
    assert {x.tobytes() for x in found} == {x.tobytes() for x in given.values()}


def test_the_mean_image_has_the_same_bits_in_parts(monkeypatch):
    monkeypatch.setattr(pipeline, "PART", 1000 * 4 * 4 * 3)
    image = rng.integers(0, 256, (2345, 4, 4, 3), np.uint8)
    found = pipeline.mean_image({"image": image})["mean"]
    np.testing.assert_array_equal(found, pipeline.flat({"image": image}).mean(0))


# Names -------------------------------------------------------------------------------------------


def test_names():
    read = folder_names.parse("folder:/a/b@2/c@64,grey")
    assert (str(read.path), read.side, read.grey, read.layout) == ("/a/b@2/c", 64, True, "pictures")
    assert str(read) == "folder:/a/b@2/c@64,grey" and read.channels == 1
    assert folder_names.parse("folder:x").path == folder_names.parse("folder:./y/../x/").path
    assert folders.at("mnist", 64) == "mnist"
    assert folders.at("folder:/a", 64, "pairs") == "folder:/a@64,pairs"
    assert square_images.channels("folder:/a,grey") == 1
    assert square_images.source("folder:/a{0}", 16, mirror=False).name == "folder:/a{0}@16"
    assert prepare.home("folder:/a/b c@64", pipeline.Path("/d")).name.startswith("folder-b-c-")


@pytest.mark.parametrize(
    ("side", "layout", "name", "said"),
    [
        (32, "pictures", "folder:/a@64", "here, as --side says: leave out @64."),
        (32, "pairs", "folder:/a@32,grey", "the networks take colour images: leave out ,grey."),
        (
            None,
            "pictures",
            "folder:/a",
            "no labels, but these networks need them: choose others, by --side.",
        ),
    ],
)
def test_names_that_a_paper_refuses(side, layout, name, said):
    with pytest.raises(UserError) as caught:
        folders.at(name, side, layout)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(
    "paper", ["vae", "gan", "dcgan", "progan", "cyclegan", "stargan", "text2image"]
)
def test_a_config_takes_a_folder_and_names_what_it_knows(paper):
    config = importlib.import_module(f"experiments.{paper}").Config
    assert from_json(config, {"data": "folder:/a@64"}, "here").data == "folder:/a@64"
    for wrong in ("folder:", "folder:/a,pairs", "minst"):
        with pytest.raises(
            UserError, match=f"data is '{wrong}'; it must be one of .* or folder:PATH"
        ):
            config(data=wrong)


def test_an_unknown_split_and_an_unknown_set(own, home):
    fill(own)
    with pytest.raises(DataError, match="has no split 'validation': choose from test, train"):
        sets.load(f"folder:{own}", "validation", home)
    with pytest.raises(DataError, match=r"or a folder of pictures, as folder:nowhere\.$"):
        sets.load("nowhere", "train", home)


def test_the_command_prepares_and_describes(own, home, capfd):
    fill(own)
    assert command.main([f"folder:{own}@4,grey", "--directory", str(home)]) == 0
    train, test = folder_layouts.divided(own, [p.name for p in own.iterdir()])
    said = capfd.readouterr().out
    assert f"train    image uint8 [{len(train)}, 4, 4, 1]" in said
    assert f"test     image uint8 [{len(test)}, 4, 4, 1]" in said
    assert command.main(["verify", f"folder:{own}@4,grey", "--directory", str(home)]) == 0
    assert command.main([f"folder:{own}-none", "--directory", str(home)]) == 65
    assert "does not exist" in capfd.readouterr().err
