"""Pictures: exact pixels, exact files."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax import images
from gen_jax.errors import DataError, DirectoryError, UserError


def test_every_level_survives_the_way_through_real_values():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(images.to_uint8(levels.astype(np.float32) / 255), levels)
    np.testing.assert_array_equal(
        images.to_uint8(levels.astype(np.float64) / 127.5 - 1, low=-1), levels
    )
    assert images.to_uint8(levels) is levels


def test_values_are_rounded_and_clipped():
    values = np.array([-7.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, np.inf])
    np.testing.assert_array_equal(images.to_uint8(values), [0, 0, 0, 1, 255, 255])
    np.testing.assert_array_equal(images.to_uint8(np.array([True, False])), [255, 0])
    np.testing.assert_array_equal(
        images.to_uint8(jnp.array([0.0, 0.5, 1.0], jnp.bfloat16)), [0, 128, 255]
    )
    np.testing.assert_array_equal(
        images.to_uint8(np.array([600.0], np.float16), low=0, high=1000), [153]
    )


@pytest.mark.parametrize("bad", [np.array([0.5, np.nan]), np.array([1, 2]), np.array([1j])])
def test_arrays_that_are_no_pictures_are_refused(bad):
    with pytest.raises(UserError) as raised:
        images.to_uint8(bad)
    assert isinstance(raised.value, ValueError)
    with pytest.raises(UserError, match="low < high"):
        images.to_uint8(np.zeros(1), low=1, high=1)


def test_grid_places_every_pixel():
    pictures = np.arange(1, 1 + 3 * 2 * 3 * 3, dtype=np.uint8).reshape(3, 2, 3, 3)  # [n, h, w, c]
    page = images.grid(pictures, columns=2, padding=1)
    expected = np.zeros((7, 9, 3), np.uint8)
    expected[1:3, 1:4], expected[1:3, 5:8], expected[4:6, 1:4] = pictures
    np.testing.assert_array_equal(page, expected)


def test_grey_becomes_rgb_and_the_grid_nearly_square():
    grey = np.full((5, 2, 2, 1), 7, np.uint8)
    page = images.grid(grey, padding=0)
    assert page.shape == (4, 6, 3)  # 2 rows of 3
    assert (page[:2] == 7).all() and (page[2:, :4] == 7).all() and (page[2:, 4:] == 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 3), (0, 3, 3, 1), (2, 3, 3, 4)])
def test_grid_refuses_other_shapes(shape):
    with pytest.raises(UserError, match="shape"):
        images.grid(np.zeros(shape))
    with pytest.raises(UserError, match="columns"):
        images.grid(np.zeros((1, 2, 2, 1)), columns=0)


def test_scattered_points_are_dots_of_their_label_s_colour_where_they_are():
    points = [[-1, 1], [1, -1], [0, 0], [1.2, 0], [0, np.nan]]
    page = images.scatter(points, [0, 1, 2, 3, 3], reach=1, side=21)
    colours = page.reshape(-1, 3)[(page != 255).any(-1).ravel()]
    assert page.shape == (21, 21, 3) and len(colours) == 27  # three dots of nine
    for label, (top, left) in enumerate([(0, 0), (18, 18), (9, 9)]):
        assert (page[top : top + 3, left : left + 3] == images.PALETTE[label]).all()
    for bad in ({"reach": 0}, {"labels": [0, 1]}, {"points": np.zeros((5, 3))}):
        with pytest.raises(UserError, match="scatter"):
            images.scatter(**{"points": points, "labels": np.zeros(5, int), "reach": 1, **bad})


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_saved_pictures_come_back(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images.save(tmp_path / "samples" / "a.png", image)
    back = images.load(tmp_path / "samples" / "a.png")
    np.testing.assert_array_equal(back, np.broadcast_to(image.reshape(4, 5, -1), (4, 5, 3)))
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["a.png"]


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "taken.png", tmp_path / "file" / "a.png"):
        with pytest.raises(DirectoryError, match="cannot be written"):
            images.save(path, np.zeros((2, 2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.png"]


def test_damaged_pictures_are_named(tmp_path):
    images.save(tmp_path / "a.png", np.random.default_rng(0).random((64, 64)))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:1000])
    for name in ("a.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            images.load(tmp_path / name)


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_animations_keep_their_frames(tmp_path, suffix):
    frames = np.random.default_rng(0).random((5, 16, 16, 3))
    images.animation(tmp_path / f"a.{suffix}", frames, milliseconds=120)
    with Image.open(tmp_path / f"a.{suffix}") as film:
        assert film.n_frames == 5 and film.info["loop"] == 0
        for i in range(5):
            film.seek(i)
            film.load()  # a WebP's duration is known only then
            assert film.info["duration"] == 120


def test_webp_shows_the_frames_in_order(tmp_path):
    frames = [np.full((8, 8), level, np.uint8) for level in (0, 100, 200)]
    images.animation(tmp_path / "a.webp", frames)
    with Image.open(tmp_path / "a.webp") as film:
        for i, frame in enumerate(frames):
            film.seek(i)
            np.testing.assert_allclose(np.asarray(film.convert("L"), int), frame, atol=4)


def test_animations_that_cannot_be_are_refused(tmp_path):
    square, wide = np.zeros((4, 4)), np.zeros((4, 8))
    for frames, name in (([], "a.webp"), ([square, wide], "a.webp"), ([square], "a.mp4")):
        with pytest.raises(UserError):
            images.animation(tmp_path / name, frames)
    assert not list(tmp_path.iterdir())


def test_captions_stand_beside_their_rows():
    rows = np.full((2, 3, 8, 8, 3), 200, np.uint8)
    rows[1] = 90
    page = images.captioned(rows, ["", "a caption"], least=16)
    cells = images.grid(rows.repeat(2, 2).repeat(2, 3).reshape(6, 16, 16, 3), columns=3)
    assert (page[:, -cells.shape[1] :] == cells).all()
    left = page[:, : -cells.shape[1]]
    # the first has none, the second is written in black
    assert (left[:18] == 255).all() and left[18:].min() < 100
    with pytest.raises(images.PictureError, match="2 captions"):
        images.captioned(rows[:1], ["one", "two"])
