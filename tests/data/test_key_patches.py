"""Boxes of key patches: read from a file, proposed by edges, kept; cut out and mirrored."""

import functools
import logging
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import io

from gen_jax.data import key_patches, pipeline
from gen_jax.data.catalog import prepare, sets
from gen_jax.data.synthetic import shapes
from gen_jax.errors import DataError, UserError

rng = np.random.default_rng(0)


def test_the_middle_of_images():
    images = rng.integers(0, 256, (2, 10, 6, 3), np.uint8)
    np.testing.assert_array_equal(key_patches.square(images), images[:, 2:8])
    np.testing.assert_array_equal(key_patches.square(images, 2), images[:, 4:6, 2:4])
    with pytest.raises(UserError, match="crop is 7; the images have 6 x 10 pixels"):
        key_patches.square(images, 7)


def test_overlap_by_hand():
    one = np.array([0, 0, 0.5, 0.5])
    others = np.array([[0, 0, 0.5, 0.5], [0.25, 0, 0.5, 0.5], [0.5, 0, 0.5, 0.5], [0, 0, 1, 1]])
    np.testing.assert_allclose(key_patches.overlap(one, others), [1, 1 / 3, 0, 1 / 4])


def test_a_mask_covers_its_boxes_and_mirrors_with_them():
    box = jnp.array([[[0, 0, 0.5, 0.25], [0.75, 0.5, 0.25, 0.5]]])
    expected = np.zeros((4, 4))
    expected[0, :2] = expected[2:, 3] = 1
    found = key_patches.mask(box, 4)
    assert found.shape == (1, 4, 4, 1)
    np.testing.assert_array_equal(found[0, ..., 0], expected)
    np.testing.assert_array_equal(
        key_patches.mask(key_patches.mirrored(box), 4)[0, ..., 0], expected[:, ::-1]
    )
    np.testing.assert_array_equal(key_patches.mirrored(key_patches.mirrored(box)), box)
    assert key_patches.mask(jnp.array([[[0.0, 0.0, 1.0, 1.0]]]), 5).all()


def test_edges_stand_where_the_brightness_changes_and_point_across():
    """A step from dark to bright at column 8, falling to the right in one colour only, and one at
    row 8.
    """
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:, 1] = 200
    for turned in (False, True):
        strength, across = key_patches.edges(image.transpose(1, 0, 2) if turned else image)
        strength, across = (strength.T, across.T) if turned else (strength, across)
        assert strength.max() == 1 and (strength[:, 7:9].max(1) == 1).all()
        assert strength[:, :4].max() == strength[:, 12:].max() == 0
        np.testing.assert_allclose(across[2:-2, 7:9], np.pi / 2 if turned else 0, atol=1e-6)
    assert key_patches.edges(np.full((8, 8, 3), 7, np.uint8))[0].max() == 0


def drawing():
    """Three things of different colours, apart: [64, 64, 3], and their boxes."""
    image, where = (
        np.full((64, 64, 3), 255, np.uint8),
        [(6, 8, 20, 16), (36, 6, 18, 22), (22, 38, 22, 18)],
    )
    for (x, y, w, h), colour in zip(
        where, [(200, 20, 20), (20, 150, 20), (20, 20, 200)], strict=True
    ):
        image[y : y + h, x : x + w] = colour
    return image, np.array(where) / 64


def test_things_that_stand_apart_are_proposed():
    pytest.importorskip("cv2.ximgproc")
    image, true = drawing()
    found = key_patches.propose(image)
    assert found.shape == (3, 4) and found.dtype == np.float32
    best = np.stack([key_patches.overlap(box, true) for box in found])
    assert sorted(best.argmax(1)) == [0, 1, 2] and best.max(1).min() > 0.6
    np.testing.assert_array_equal(key_patches.propose(image), found)
    assert all(
        (key_patches.overlap(found[i], found[:i]) < key_patches.OVERLAP).all() for i in range(3)
    )
    area, ratio = found[:, 2:].prod(1), found[:, 2] / found[:, 3]
    assert (area >= key_patches.AREA[0]).all() and (area <= key_patches.AREA[1]).all()
    assert (np.maximum(ratio, 1 / ratio) < key_patches.RATIO * 1.1).all()
    assert key_patches.propose(np.full((64, 64, 3), 90, np.uint8)).shape == (0, 4)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[proposals\]'"):
        key_patches.propose(drawing()[0])


@pytest.fixture
def zoo(monkeypatch, tmp_path):
    """Nine images to train on and four to test, whose red value is their number, opened as zoo."""
    numbers = np.arange(13, dtype=np.uint8)[:, None, None, None]
    pictures = np.broadcast_to(numbers, (13, 8, 6, 3))
    parts = {"train": {"image": pictures[:9]}, "test": {"image": pictures[9:]}}
    monkeypatch.setattr(sets, "load", lambda name, split, directory: parts[split])
    monkeypatch.setenv("GEN_JAX_DATA", str(tmp_path))
    return key_patches.images("zoo", 4, tmp_path)


def test_proposals_are_made_once_and_images_without_them_left_out(
    zoo, monkeypatch, tmp_path, caplog
):
    asked = []

    def propose(image):
        number = int(image[0, 0, 0])
        asked.append(number)
        few = 2 if number in (1, 3, 10) else 3
        return np.full((few, 4), number / 100, np.float32)

    monkeypatch.setattr(key_patches, "propose", propose)
    with caplog.at_level(logging.INFO, "gen_jax.data"):
        for _ in range(2):
            train, test = key_patches.from_edges(zoo, (7, 1000), tmp_path)
            assert train["image"].shape == (5, 4, 4, 3) and test["box"].shape == (3, 3, 4)
            for part, numbers in ((train, [0, 2, 4, 5, 6]), (test, [9, 11, 12])):
                assert part["image"][:, 0, 0, 0].tolist() == numbers
                np.testing.assert_allclose(part["box"][:, 2, 3], np.array(numbers) / 100, rtol=1e-6)
    assert sorted(asked) == [0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12]  # each once
    assert "train: 2 images with fewer than 3 boxes are left out" in caplog.text
    key_patches.from_edges(zoo, (2, 1), tmp_path)
    assert len(asked) == 14  # others are another set
    monkeypatch.setattr(key_patches, "VERSION", "edges 2")
    with pytest.raises(
        DataError,
        match=r"expected boxes:zoo/image-4-7-1000 edges 2: delete .*, and it is made again",
    ):
        key_patches.from_edges(zoo, (7, 1000), tmp_path)
    assert len(list((tmp_path / "arrays").glob("boxes-zoo-image-4-*"))) == 2
    assert prepare.home("boxes:a/b", tmp_path) != prepare.home("boxes:a-b", tmp_path)


def test_boxes_from_a_file_are_those_of_all_images(zoo, tmp_path):
    corner, extent = rng.integers(0, 60, (13, 3, 2)), rng.integers(1, 60, (13, 3, 2))
    pixels, path = np.concatenate([corner, extent], -1), tmp_path / "boxes.mat"
    io.savemat(path, {"allbbs": pixels})
    train, test = key_patches.from_file(zoo, path, 128, (5, 1000))
    assert len(train["image"]) == 5 and len(test["image"]) == 4
    np.testing.assert_allclose(train["box"], pixels[:5] / 128, rtol=1e-6)
    np.testing.assert_allclose(test["box"], pixels[9:] / 128, rtol=1e-6)
    assert test["image"][:, 0, 0, 0].tolist() == [9, 10, 11, 12]
    io.savemat(path, {"allbbs": pixels[:12]})
    with pytest.raises(DataError, match="has boxes of 12 images, but zoo/image-4 has 13"):
        key_patches.from_file(zoo, path, 128, (5, 5))


def test_boxes_of_files_that_were_shuffled_go_where_the_files_are(monkeypatch, tmp_path):
    # 5: validation
    pictures, numbers = (
        np.zeros((7, 4, 4, 3), np.uint8),
        np.array([3, 1, 2, 4, 7, 6, 8], np.int32),
    )
    parts = {
        split: {"image": pictures[part], "file": numbers[part]}
        for split, part in (("train", slice(4)), ("test", slice(4, 7)))
    }
    monkeypatch.setattr(sets, "load", lambda name, split, directory: parts[split])
    pixels = np.ones((8, 3, 4)) * np.arange(1, 9)[:, None, None]
    io.savemat(tmp_path / "boxes.mat", {"allbbs": pixels})
    train, test = key_patches.from_file(
        key_patches.images("faces", 0, None), tmp_path / "boxes.mat", 64, (3, 9)
    )
    np.testing.assert_allclose(train["box"][:, 0, 0] * 64, [3, 1, 2])
    np.testing.assert_allclose(test["box"][:, 2, 3] * 64, [7, 6, 8])


def test_boxes_are_cut_at_the_borders_and_must_have_an_area(tmp_path):
    path = tmp_path / "boxes.mat"
    inside = np.array([[[-0.25, 0.5, 0.5, 1.0]] * 3])
    io.savemat(path, {"b": inside})
    np.testing.assert_allclose(key_patches.read(path, 1), [[[0, 0.5, 0.25, 0.5]] * 3])
    for wrong in ([1.0, 0, 0.5, 0.5], [0, 0, 0.5, 0], [0, np.nan, 0.5, 0.5]):
        io.savemat(path, {"b": np.concatenate([inside, [[wrong] * 3]])})
        with pytest.raises(DataError, match="has 1 images with boxes that are empty or outside"):
            key_patches.read(path, 1)


@pytest.mark.parametrize(
    "content", [{}, {"a": np.zeros((5, 4))}, {"a": np.ones((2, 3, 4)), "b": np.ones((2, 3, 4))}]
)
def test_a_file_of_something_else(tmp_path, content):
    io.savemat(tmp_path / "other.mat", content)
    with pytest.raises(DataError, match=r"one array of numbers \[n, 3, 4\] is expected"):
        key_patches.read(tmp_path / "other.mat", 1)


@pytest.mark.parametrize(
    "content", [b"", b"MATLAB 7.3 MAT-file, platform" + bytes(200), b"no MATLAB file" * 20]
)
def test_what_matlab_has_not_written(tmp_path, content):
    (tmp_path / "no.mat").write_bytes(content)
    with pytest.raises(DataError, match="is not a readable MATLAB file"):
        key_patches.read(tmp_path / "no.mat", 1)


def test_images_must_be_in_colour(monkeypatch):
    monkeypatch.setattr(sets, "load", lambda *_: {"image": np.zeros((2, 8, 8, 1), np.uint8)})
    with pytest.raises(
        DataError, match=r"mnist has images of shape \[8, 8, 1\]; give a set of colour images"
    ):
        key_patches.images("mnist", 0, None)


def test_a_patch_is_its_box_enlarged():
    """An image that grows evenly, a box of a whole number of pixels: cubic interpolation keeps
    planes as they are.
    """
    side = 40
    rows, columns = jnp.meshgrid(jnp.arange(side) + 0.5, jnp.arange(side) + 0.5, indexing="ij")
    image = jnp.stack([rows, columns], -1)
    # 14 x 10 pixels from row 9, column 15
    patch = key_patches.enlarged(image, jnp.array([0.375, 0.225, 0.35, 0.25]))
    along = (jnp.arange(side) + 0.5) / side
    np.testing.assert_allclose(
        patch[..., 0], jnp.broadcast_to((9 + 10 * along)[:, None], (side, side)), atol=0.02
    )
    np.testing.assert_allclose(
        patch[..., 1], jnp.broadcast_to((15 + 14 * along)[None], (side, side)), atol=0.02
    )
    np.testing.assert_allclose(
        key_patches.enlarged(image, jnp.array([0.0, 0.0, 1.0, 1.0])), image, atol=1e-4
    )


@functools.cache
def preparation():
    """Of real images of 16 pixels."""
    source = key_patches.of_images("zoo", key_patches.Square(0, 16), None, 9, None)
    assert {name: shape for name, (shape, _) in source.fields.items()} == {
        "image": (16, 16, 3),
        "box": (3, 4),
    }
    return jax.jit(source.prepare)


@functools.cache
def real(key=0):
    """A batch of 16 noisy images of 16 pixels as an experiment on real images prepares it: before,
    after.
    """
    draws = np.random.default_rng(0)
    corner = draws.integers(0, 8, (16, 3, 2)) / 16
    box = np.concatenate([corner, draws.integers(2, 8, (16, 3, 2)) / 16], -1).astype(np.float32)
    box[:, 0] = 0, 0, 1, 1
    raw = {
        "image": jnp.asarray(draws.integers(0, 256, (16, 16, 16, 3), np.uint8)),
        "box": jnp.asarray(box),
    }
    return raw, preparation()(raw, jax.random.key(key))


def test_real_images_are_cut_by_their_boxes_and_all_is_mirrored_together():
    seen = {}
    for key in range(8):
        raw, batch = real(key)
        x = raw["image"] / 127.5 - 1
        mirrored = np.abs(batch["x"] - x).max() > 1e-5
        seen[bool(mirrored)] = batch
        np.testing.assert_allclose(batch["x"], x[:, :, ::-1] if mirrored else x, atol=1e-5)
        # the box of the whole image
        np.testing.assert_allclose(batch["patch"][:, 0], batch["x"], atol=1e-4)
    assert set(seen) == {False, True}
    np.testing.assert_allclose(seen[True]["patch"], seen[False]["patch"][:, :, :, ::-1], atol=1e-4)
    assert np.abs(seen[True]["patch"] - seen[False]["patch"]).max() > 0.5
    assert seen[True]["mask"].all()  # of the whole image
    for i, (x, y, w, h) in enumerate((16 * np.asarray(raw["box"][:, 1])).astype(int)):
        part = (raw["image"][i, y : y + h, x : x + w] / 127.5 - 1)[None]
        large = jax.image.resize(part, (1, 16, 16, 3), "cubic")[0]
        inner = slice(7, -7)  # beyond the box the image goes on, which resize does not see
        if min(w, h) > 4:
            np.testing.assert_allclose(
                seen[False]["patch"][i, 1][inner, inner], large[inner, inner], atol=1e-4
            )


def test_the_mask_is_where_the_patches_are_and_mirrors_with_the_image():
    data = pipeline.load(key_patches.of_shapes(100, 16))
    assert len(data.train["shape"]) == 100 and len(data.test["shape"]) == key_patches.TEST
    raw = {name: jnp.asarray(array[:16]) for name, array in data.train.items()}
    seen, known = {}, shapes.Scene(*(raw[name] for name in shapes.Scene._fields))
    prepared_by = jax.jit(data.prepare)
    original = 2 * shapes.render(known, 16) - 1
    for key in range(8):
        prepared = prepared_by(raw, jax.random.key(key))
        mirrored = bool((np.abs(prepared["x"] - original[:, :, ::-1]) < 1e-5).all())
        assert mirrored or np.abs(prepared["x"] - original).max() < 1e-5
        seen[mirrored] = prepared
    assert set(seen) == {False, True}
    np.testing.assert_array_equal(seen[True]["mask"], seen[False]["mask"][:, :, ::-1])
    # of three boxes of 5 or 6 pixels a side, apart or not
    pixels = np.asarray(seen[False]["mask"]).sum((1, 2, 3))
    assert (pixels <= 3 * 36).all() and (pixels >= 2 * 25).all()
