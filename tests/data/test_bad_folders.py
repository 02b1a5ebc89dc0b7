"""Folders that cannot be used, and the sentence that each gets; docs/faults.md shows them."""

import contextlib
import io
import re

import numpy as np
import pytest
from PIL import Image

from gen_jax.data import __main__ as command
from gen_jax.data.catalog import folder_layouts
from tests.data.own_pictures import draw, fill, png, rng, row, save

PNG = ", ".join(folder_layouts.SUFFIXES)


def torn(path, ending=".png", keep=0.5):
    fill(path)
    save(path / f"torn{ending}", draw(64, 64))
    content = (path / f"torn{ending}").read_bytes()
    (path / f"torn{ending}").write_bytes(content[: int(len(content) * keep)])


def bomb(path):
    fill(path)
    png(path / "bomb.png", 60000, 60000, 8)


def described(path, *lines, kind="jsonl"):
    fill(path, 3)
    (path / f"metadata.{kind}").write_text("\n".join(lines))


def one_file(path):
    path.write_text("no folder")


def floats(path):
    fill(path)
    Image.fromarray(np.float32([[0.5]])).save(path / "float.tif")


GIVE = "give the folder of your pictures, as folder:PATH."
NONE = f"files): give files that end with {PNG}."
TWO = "holds one picture: give at least two, to train and to test."
TORN = "replace or remove it."
PARTS = "of trainA, trainB, testA and testB: give all four, or the first two to take the test split from them."
BOTH = (
    "metadata.jsonl and metadata.csv: give one, with the fields file_name and text of each picture."
)
DOMAINS = "of its sub-folders: give one for each domain, at least two."


def parts(path, *names, count=20):
    for name in names:
        fill(path / name, count)


def touched(path, *names):
    path.mkdir()
    for name in names:
        (path / name).touch()


def with_text(path):
    fill(path)
    (path / "a.png").write_text("hello")


def with_broken_link(path):
    fill(path)
    (path / "a.png").symlink_to(path / "gone")


def mixed(path):
    fill(path, 19)
    save(path / "odd.png", draw(5, 6))


def small_domain(path):
    fill(path / "cat")
    fill(path / "dog", 1)


def two_kinds(path):
    described(path)
    described(path, kind="csv")


BAD = {  # options, what makes the folder, and the sentence: * stands for anything
    "no such folder": ("", lambda p: None, f"PATH does not exist: {GIVE}"),
    "a file": ("", one_file, f"PATH is not a folder: {GIVE}"),
    "an empty folder": ("", touched, f"PATH holds no pictures (0 hidden and 0 other {NONE}"),
    "no pictures": (
        *("", lambda p: touched(p, "a.heic", ".b")),
        f"PATH holds no pictures (1 hidden and 1 other {NONE}",
    ),
    "one picture": ("", lambda p: fill(p, 1), f"PATH {TWO}"),
    "a side of 0": (
        *("@0", fill),
        "folder:PATH@0 asks for images without pixels: give a side of at least 1.",
    ),
    "a side of 99999": (
        *("@99999", fill),
        "folder:PATH@99999 asks for very large images: give a side of at most 4,096.",
    ),
    "pictures of several sizes": (
        *("", mixed),
        "PATH/* has * pixels and others *: name a side to resize all, as in folder:PATH@64.",
    ),
    "a torn PNG": (
        *("", torn),
        f"PATH/torn.png cannot be decoded as a picture (image file is truncated): {TORN}",
    ),
    "a torn JPEG": (
        *("@8", lambda p: torn(p, ".jpg")),
        f"PATH/torn.jpg cannot be decoded as a picture (image file is truncated *): {TORN}",
    ),
    "an empty file": (
        *("", lambda p: torn(p, keep=0)),
        f"PATH/torn.png cannot be decoded as a picture (cannot identify image file): {TORN}",
    ),
    "a text named .png": (
        *("", with_text),
        f"PATH/a.png cannot be decoded as a picture (cannot identify image file): {TORN}",
    ),
    "real values in a TIFF": (
        *("", floats),
        f"PATH/float.tif cannot be decoded as a picture (its values are not of 8 or 16 bits): {TORN}",
    ),
    "a decompression bomb": (
        *("", bomb),
        "PATH/bomb.png has more than 178,956,970 pixels, which may be an attack: make it smaller or "
        "remove it.",
    ),
    "a broken link": (
        *("", with_broken_link),
        "PATH/a.png cannot be read (No such file or directory): allow it, or remove it.",
    ),
    "train without test": (
        *("", lambda p: parts(p, "train")),
        "PATH has pictures in train, but none in test: give both, or name folder:PATH/train to take "
        "the test split from it.",
    ),
    "trainA without trainB": (
        ",pairs",
        lambda p: parts(p, "trainA"),
        f"PATH has pictures in trainA {PARTS}",
    ),
    "testA without testB": (
        *(",pairs", lambda p: parts(p, "trainA", "trainB", "testA")),
        f"PATH has pictures in trainA, trainB, testA {PARTS}",
    ),
    "no sub-folder for a domain": (",domains", fill, f"PATH has pictures in 0 {DOMAINS}"),
    "a single domain": (",domains", lambda p: parts(p, "cat"), f"PATH has pictures in 1 {DOMAINS}"),
    "a domain of one picture": (",domains", small_domain, f"PATH/dog {TWO}"),
    "a domain that is not in test": (
        *(",domains", lambda p: parts(p, "train/cat", "train/dog", "test/cat", count=2)),
        "PATH has the domain 'dog' in only one of train and test: give its pictures in both.",
    ),
    "no captions": (",captions", fill, f"PATH has none of {BOTH}"),
    "captions in two files": (",captions", two_kinds, f"PATH has both of {BOTH}"),
    "an empty file of captions": (
        *(",captions", described),
        "PATH/metadata.jsonl is empty: give a line for each picture.",
    ),
    "a caption of a picture elsewhere": (
        *(",captions", lambda p: described(p, row("00.png"), row("../7.png"))),
        "PATH/metadata.jsonl names '../7.png' in line 2, which is no picture of PATH: add the "
        "picture, or remove the line.",
    ),
    "a line without text": (
        *(",captions", lambda p: described(p, "file_name,text", "00.png", kind="csv")),
        "PATH/metadata.csv has no file_name or no text in line 2: give both, as text.",
    ),
    "a line that is no JSON": (
        *(",captions", lambda p: described(p, row("00.png"), "{oops")),
        "PATH/metadata.jsonl cannot be read (Expecting property name enclosed in double quotes in "
        "line 2): correct it.",
    ),
    "half a character in a caption": (
        *(",captions", lambda p: described(p, row("00.png", "\ud800"))),
        r"PATH/metadata.jsonl has '\ud800' in line 1, which is no character: remove it.",
    ),
    "a caption of 1001 bytes": (
        *(",captions", lambda p: described(p, row("00.png", "x" * 1001))),
        "PATH/metadata.jsonl has a text of 1001 bytes in line 1: give at most 1000.",
    ),
}


def answer(case, where):
    """The sentence of `python -m gen_jax.data` about a folder, which it calls PATH, and the exit
    code. The pictures are the same each time.
    """
    own, (options, make, _) = where / "own", BAD[case]
    rng.bit_generator.state = np.random.default_rng(0).bit_generator.state
    make(own)
    with contextlib.redirect_stderr(io.StringIO()) as error:
        code = command.main([f"folder:{own}{options}", "--directory", str(where / "prepared")])
    last = error.getvalue().splitlines()[-1].replace(str(own), "PATH")
    return last.removeprefix("gen_jax.data: "), code


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_gets_one_sentence_and_leaves_nothing(case, tmp_path):
    found, code = answer(case, tmp_path)
    said = re.escape(BAD[case][2]).replace(r"\*", ".+")
    assert re.fullmatch(said, found) and code == 65, found
    left = tmp_path / "prepared"
    assert not [*left.rglob("manifest.json"), *left.rglob("*.npy")]
