"""Folders, data sets and arrays as two sets of one size: kinds of pictures, and refusals."""

import io

import numpy as np
import pytest
from PIL import Image

from gen_jax.errors import DataError, UserError
from gen_jax.measure import pictures, reader

draws = np.random.default_rng(0)
RGB = draws.integers(0, 256, (12, 16, 3), np.uint8)


def folder(path, images, suffix="png", names=None):
    path.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(path / f"{names[i] if names else i}.{suffix}")
    return path


def images(n=8, side=8):
    return draws.integers(0, 256, (n, side, side, 3), np.uint8)


def test_each_mode_becomes_rgb(tmp_path):
    image, path = Image.fromarray(RGB), tmp_path / "one.png"
    grey = np.asarray(image.convert("L"))
    clear = np.concatenate([RGB, np.zeros((12, 16, 1), np.uint8)], -1)
    clear[0, :, 3] = 255
    on_white = np.full_like(RGB, 255)
    on_white[0] = RGB[0]
    palette = image.convert("P")
    masked = Image.fromarray(np.zeros((2, 2), np.uint8)).convert("P")
    cases = [
        (image, {}, RGB),
        (image.convert("L"), {}, np.stack([grey] * 3, -1)),
        (image.convert("1"), {}, np.asarray(image.convert("1").convert("RGB"))),
        (Image.fromarray(clear), {}, on_white),
        (palette, {}, np.asarray(palette.convert("RGB"))),
        (masked, {"transparency": 0}, np.full((2, 2, 3), 255)),
        (Image.fromarray(grey.astype(np.uint16) * 257), {}, np.stack([grey] * 3, -1)),
    ]
    for given, options, expected in cases:
        given.save(path, **options)
        np.testing.assert_array_equal(np.asarray(pictures.read(path)), expected)
    path = tmp_path / "one.tif"
    image.convert("CMYK").save(path)
    np.testing.assert_array_equal(np.asarray(pictures.read(path)), RGB)
    Image.fromarray(grey.astype(np.float32)).save(path)
    with pytest.raises(DataError, match=r"one\.tif is no whole picture \(its values are not of 8"):
        pictures.read(path)


def test_exif_turns_a_picture(tmp_path):
    path, exif = tmp_path / "turned.png", Image.Exif()
    exif[0x0112] = 6  # stored turned to the left
    Image.fromarray(RGB).save(path, exif=exif)
    np.testing.assert_array_equal(np.asarray(pictures.read(path)), np.rot90(RGB, -1))
    assert pictures.size(path) == (12, 16)


def test_a_middle_square_is_cut_exactly_and_means_are_taken_where_it_is_reduced():
    np.testing.assert_array_equal(pictures.square(Image.fromarray(RGB), 12), RGB[:, 2:14])
    checks = np.indices((64, 64)).sum(0)[..., None].repeat(3, -1) % 2 * np.uint8(200)
    small = pictures.square(Image.fromarray(checks.astype(np.uint8)), 8)
    assert np.abs(small.astype(int) - 100).max() <= 4  # without antialiasing, 0 or 200


def test_folders_of_one_size_are_read_as_they_are(tmp_path):
    a, b = images(), images(5)
    folder(tmp_path / "a", a)
    folder(tmp_path / "b", b[:3])
    folder(tmp_path / "b" / "inner", b[3:], "PNG")
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    (tmp_path / "b" / ".hidden.png").write_text("no picture")
    found = reader.read(tmp_path / "a", str(tmp_path / "b"), seed=1)
    np.testing.assert_array_equal(found.b, b)
    places = [next(i for i in range(8) if (a[i] == one).all()) for one in found.a]
    assert len({*places}) == 5 and found.size == "8 px, as given"
    assert found.notes == [
        f"A: {tmp_path / 'a'}, 8 images",
        f"B: {tmp_path / 'b'}, 5 images; other files, left out: 1",
        "5 images of A are drawn at random, with seed 1",
    ]
    again = reader.read(tmp_path / "a", tmp_path / "b", seed=1)
    np.testing.assert_array_equal(found.a, again.a)
    assert len(reader.read(a, b, count=3).a) == 3


def test_other_sizes_become_the_shortest_side_or_the_one_asked_for(tmp_path):
    folder(tmp_path / "a", [RGB, *images(2, 20)])
    found = reader.read(tmp_path / "a", images(3, 14))
    assert found.a.shape == found.b.shape == (3, 12, 12, 3)
    np.testing.assert_array_equal(found.a[0], RGB[:, 2:14])
    assert found.size == "12 px, middle square, bicubic"
    assert found.notes[-1] == (
        "Sides are 12 to 20 pixels: the middle square of each image is resized to 12, with "
        "antialiasing"
    )
    assert reader.read(tmp_path / "a", images(3, 14), side=9).b.shape == (3, 9, 9, 3)
    wide = reader.read(draws.integers(0, 256, (2, 8, 10, 1), np.uint8), images(2))
    assert wide.a.shape == (2, 8, 8, 3) and (wide.a[..., 0] == wide.a[..., 2]).all()


def test_a_data_set_is_read_by_name():
    found = reader.read(images(6), "digits")
    assert found.b.shape == (6, 8, 8, 3) and found.notes[1] == "B: digits, image, test, 297 images"
    assert reader.read("digits", images(6), split="train[:20]").notes[0].endswith("20 images")


def test_pairs_have_equal_names_whatever_their_suffixes(tmp_path):
    a, b = images(4), images(4)
    folder(tmp_path / "a", a, names=["p", "q", "r", "s"])
    folder(tmp_path / "b", b, "bmp", names=["s", "x", "p", "q"])
    found = reader.read(tmp_path / "a", tmp_path / "b", pairs=True)
    np.testing.assert_array_equal(found.a, a[[0, 1, 3]])
    np.testing.assert_array_equal(found.b, b[[2, 3, 0]])
    assert found.notes[2] == "3 pairs, by name; without a partner: 1 of A, 1 of B"
    few = reader.read(tmp_path / "a", tmp_path / "b", pairs=True, count=2)
    places = [next(i for i in range(3) if (found.a[i] == one).all()) for one in few.a]
    np.testing.assert_array_equal(few.b, found.b[places])
    assert len(reader.read(a, b, pairs=True).a) == 4


def test_what_is_no_set_of_images_is_refused(tmp_path):
    good, empty, torn = folder(tmp_path / "good", images()), tmp_path / "empty", tmp_path / "torn"
    empty.mkdir()
    torn.mkdir()
    for given, error, sentence in (
        (empty, DataError, r"empty holds no pictures \(\.png"),
        (tmp_path / "missing", DataError, "missing is neither a folder nor a known data set"),
        ("cifar", DataError, "cifar is neither a folder nor a known data set: .* cifar10"),
        (images().astype(np.float32), DataError, r"float32\[8, 8, 8, 3\], but must be uint8"),
        (images()[:0], DataError, r"uint8\[0, 8, 8, 3\], but must be"),
    ):
        with pytest.raises(error, match=sentence):
            reader.read(good, given)
    file = io.BytesIO()
    Image.fromarray(images(1, 64)[0]).save(file, "PNG")
    for content, reason in (
        (file.getvalue()[:5000], "truncated"),
        (b"", "its format is unknown"),
        (b"%!PS-Adobe-3.0 EPSF", "its format is unknown"),
    ):
        (torn / "1.png").write_bytes(content)
        with pytest.raises(DataError, match=rf"1\.png is no whole picture \(.*{reason}"):
            reader.read(good, torn)
    for options, error, sentence in (
        ({"side": 0}, UserError, "side is 0"),
        ({"count": -1}, UserError, "count is -1"),
        ({"seed": -1}, UserError, "seed is -1"),
        ({"count": 9}, UserError, "only 8 can be compared"),
        ({"split": "train"}, UserError, "A and B are folders"),
    ):
        with pytest.raises(error, match=sentence):
            reader.read(good, good, **options)
    with pytest.raises(DataError, match="digits has no images 'photo': give --field image"):
        reader.read(good, "digits", field="photo")


def test_what_cannot_be_paired_is_refused(tmp_path):
    good = folder(tmp_path / "good", images())
    other = folder(tmp_path / "other", images(2), names=["x", "y"])
    twice = folder(tmp_path / "twice", images(2))
    Image.fromarray(RGB).save(twice / "1.bmp")
    for given, error, sentence in (
        (other, DataError, r"No picture in .*good has the name of one in .*other \(0 against x\)"),
        (twice, DataError, "twice has 2 pictures 1, so pairs are ambiguous"),
        ("digits", UserError, "give two folders"),
    ):
        with pytest.raises(error, match=sentence):
            reader.read(good, given, pairs=True)
    with pytest.raises(DataError, match="8 and 3 images are no pairs"):
        reader.read(images(), images(3), pairs=True)
