"""Readers of the original formats: every value and its place, and what is refused."""

import gzip
import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.catalog import formats
from gen_jax.errors import DataError

SIZES = {"train": 10, "test": 4}
rng = np.random.default_rng(0)
IMAGES = {split: rng.integers(0, 256, (size, 28, 28), np.uint8) for split, size in SIZES.items()}
LABELS = {split: rng.integers(0, 10, size, np.uint8) for split, size in SIZES.items()}


def joined(read, folder, split, sizes=SIZES):
    blocks = list(read(folder, split, sizes))
    return {field: np.concatenate([block[field] for block in blocks]) for field in blocks[0]}


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder, zipped):
    for split, (image, label) in {"train": formats.IDX[:2], "test": formats.IDX[2:]}.items():
        for name, array in ((image, IMAGES[split]), (label, LABELS[split])):
            content = idx(array)
            (folder / (f"{name}.gz" if zipped else name)).write_bytes(
                gzip.compress(content) if zipped else content
            )


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_idx(tmp_path, zipped, split):
    write_idx(tmp_path, zipped)
    got = joined(formats.idx, tmp_path, split)
    np.testing.assert_array_equal(got["image"], IMAGES[split][..., None])
    np.testing.assert_array_equal(got["label"], LABELS[split])


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],  # truncated
        lambda content: content + b"\0",  # more than its shape
        lambda content: content[:2] + b"\x0d" + content[3:],  # floats
        lambda content: (
            content[:4] + np.array([2**31], ">u4").tobytes() + content[8:]
        ),  # claims a huge shape
        lambda content: idx(IMAGES["test"].reshape(4, 14, 56)),  # same bytes, another shape
        lambda content: (
            content[:4] + np.array([9000], ">u4").tobytes() + content[8:] + bytes(9000 * 784)
        ),  # a bomb
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_refuses(tmp_path, change, zipped):
    write_idx(tmp_path, zipped)
    path = tmp_path / (formats.IDX[2] + (".gz" if zipped else ""))
    content = change(idx(IMAGES["test"]))
    path.write_bytes(gzip.compress(content, 1) if zipped else content)
    with pytest.raises(DataError, match=formats.IDX[2]):
        joined(formats.idx, tmp_path, "test")
    joined(formats.idx, tmp_path, "train")


def test_idx_refuses_a_torn_gzip(tmp_path):
    write_idx(tmp_path, True)
    path = tmp_path / f"{formats.IDX[2]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="t10k-images"):
        joined(formats.idx, tmp_path, "test")


def table(folder, rows, names=None, dtype=np.uint8):
    import pyarrow
    import pyarrow.parquet

    names = names or [*map(str, range(784)), "label"]
    columns = {name: rows[:, column].astype(dtype) for column, name in enumerate(names)}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "mnist.parquet")


ROWS = np.concatenate(
    [
        np.concatenate([IMAGES[s].reshape(-1, 784), LABELS[s][:, None]], axis=1)
        for s in ("train", "test")
    ]
)


@pytest.mark.parametrize("split", ["train", "test"])
def test_parquet_equals_idx(tmp_path, split):
    table(tmp_path, ROWS)
    write_idx(tmp_path, True)
    got, other = (
        joined(formats.mnist_parquet, tmp_path, split),
        joined(formats.idx, tmp_path, split),
    )
    for field in ("image", "label"):
        assert got[field].dtype == np.uint8
        np.testing.assert_array_equal(got[field], other[field])


@pytest.mark.parametrize("fault", ["rows", "names", "dtype", "torn"])
def test_parquet_refuses(tmp_path, fault):
    names = ["label", *map(str, range(784))] if fault == "names" else None
    table(
        tmp_path,
        ROWS[:-1] if fault == "rows" else ROWS,
        names,
        np.float32 if fault == "dtype" else np.uint8,
    )
    if fault == "torn":
        path = tmp_path / "mnist.parquet"
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"mnist\.parquet"):
        joined(formats.mnist_parquet, tmp_path, "train")


COLOURS = {
    split: rng.integers(0, 256, (size, 32, 32, 3), np.uint8) for split, size in SIZES.items()
}


def write_cifar(folder):
    for split, names in {"train": formats.BATCHES[:-1], "test": formats.BATCHES[-1:]}.items():
        (folder / f"{split}_lables.json").write_text(json.dumps(LABELS[split].tolist()))
        count = SIZES[split] // len(names)
        for number, name in enumerate(names):
            part = slice(number * count, (number + 1) * count)
            Image.fromarray(COLOURS[split][part].reshape(count, 32 * 32, 3)).save(
                folder / f"{name}.png"
            )
            planes = [
                [COLOURS[split][i, :, :, c].tobytes() for c in range(3)]
                for i in range(part.start, part.stop)
            ]
            rows = [
                bytes([label]) + b"".join(plane)
                for label, plane in zip(LABELS[split][part], planes, strict=True)
            ]
            (folder / f"{name}.bin").write_bytes(b"".join(rows))


@pytest.mark.parametrize("read", [formats.cifar10, formats.cifar10_png])
@pytest.mark.parametrize("split", ["train", "test"])
def test_both_ways_to_cifar(tmp_path, read, split):
    write_cifar(tmp_path)
    got = joined(read, tmp_path, split)
    np.testing.assert_array_equal(got["image"], COLOURS[split])
    np.testing.assert_array_equal(got["label"], LABELS[split])


def test_cifar_refuses(tmp_path):
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="data_batch_3"):
        joined(formats.cifar10, tmp_path, "train")
    Image.fromarray(COLOURS["test"].reshape(4, 1024, 3)[..., 0]).save(tmp_path / "test_batch.png")
    with pytest.raises(DataError, match=r"test_batch\.png .*RGB"):
        joined(formats.cifar10_png, tmp_path, "test")
    (tmp_path / "data_batch_2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(DataError, match=r"data_batch_2\.png"):
        joined(formats.cifar10_png, tmp_path, "train")


@pytest.mark.parametrize(
    "labels", ["[1, 2]", "[1, 2, 3, 10]", "[1.5, 2, 3, 4]", "{}", "[", "[" * 100000]
)
def test_cifar_refuses_labels(tmp_path, labels):
    write_cifar(tmp_path)
    (tmp_path / "test_lables.json").write_text(labels)
    with pytest.raises(DataError, match="test_lables"):
        joined(formats.cifar10_png, tmp_path, "test")


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def npz(folder, monkeypatch, **changed):
    monkeypatch.setattr(formats, "BLOCK", 4)
    arrays = {
        "metadata": np.array([Payload(folder / "ran")], object),
        "imgs": rng.integers(0, 2, (10, 64, 64), np.uint8),
        "latents_classes": rng.integers(0, 40, (10, 6), np.int64),
        "latents_values": rng.random((10, 6)),
    } | changed
    np.savez_compressed(folder / formats.DSPRITES, **arrays)
    return arrays


def test_dsprites(tmp_path, monkeypatch):
    arrays = npz(tmp_path, monkeypatch)
    got = joined(formats.dsprites, tmp_path, "train")
    np.testing.assert_array_equal(got["image"], np.where(arrays["imgs"] == 1, 255, 0)[..., None])
    np.testing.assert_array_equal(got["factors"], arrays["latents_classes"])
    np.testing.assert_array_equal(got["latents"], arrays["latents_values"].astype(np.float32))
    assert [array.dtype.name for array in got.values()] == ["uint8", "uint8", "float32"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changed",
    [
        lambda folder: {"imgs": np.array([Payload(folder / "ran")] * 10, object)},
        lambda folder: {"imgs": np.full((10, 64, 64), 2, np.uint8)},
        lambda folder: {"imgs": np.zeros((11, 64, 64), np.uint8)},
        lambda folder: {"imgs": np.asfortranarray(np.zeros((10, 64, 64), np.uint8))},
        lambda folder: {"latents_classes": np.full((10, 6), 40)},
        lambda folder: {"latents_values": np.zeros((10, 6), np.float32)},
    ],
)
def test_dsprites_refuses(tmp_path, monkeypatch, changed):
    npz(tmp_path, monkeypatch, **changed(tmp_path))
    with pytest.raises(DataError, match=r"\.npz"):
        joined(formats.dsprites, tmp_path, "train")
    assert not (tmp_path / "ran").exists()


def test_dsprites_refuses_a_hostile_header(tmp_path, monkeypatch):
    npz(tmp_path, monkeypatch)
    for header in (
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x93NUMPY\x03\x00" + bytes(20),
        b"junk",
    ):
        with zipfile.ZipFile(tmp_path / formats.DSPRITES, "w") as archive:
            for name in ("imgs", "latents_classes", "latents_values"):
                archive.writestr(f"{name}.npy", header)
        with pytest.raises(DataError, match=r"\.npz"):
            joined(formats.dsprites, tmp_path, "train")


def test_dsprites_refuses_a_short_member(tmp_path, monkeypatch):
    arrays = npz(tmp_path, monkeypatch)
    with zipfile.ZipFile(tmp_path / formats.DSPRITES, "w") as archive:
        for name in ("imgs", "latents_classes", "latents_values"):
            stream = io.BytesIO()
            np.save(stream, arrays[name])
            archive.writestr(f"{name}.npy", stream.getvalue()[: -1 if name == "imgs" else None])
    with pytest.raises(DataError, match=r"\.npz"):
        joined(formats.dsprites, tmp_path, "train")


def test_digits():
    from sklearn.datasets import load_digits

    bundle, sizes = load_digits(), {"train": 1500, "test": 297}
    for split, part in {"train": slice(1500), "test": slice(1500, None)}.items():
        got = joined(formats.digits, None, split, sizes)
        expected = [[[int(v) * 255 // 16 + (int(v) * 255 % 16 >= 8) for v in row] for row in image]
                    for image in bundle.images[part]]  # fmt: skip
        np.testing.assert_array_equal(got["image"][..., 0], expected)
        np.testing.assert_array_equal(got["label"], bundle.target[part])


def world(folder, seed=0):
    """Two pictures of the earth: the photo is noise in places, the map tells where each pixel is,
    by 30 pixels.
    """
    draws, photo = np.random.default_rng(seed), np.zeros((2700, 5400, 3), np.uint8)
    south, east = np.mgrid[:2700, :5400] // 30
    places = np.stack([south, east, np.zeros_like(east)], -1).astype(np.uint8)
    for y, x in (
        (150, 1500),
        (2100, 3150),
        (150, 0),
        (900, 1725),
    ):  # the last lies across the edge of a band
        photo[y : y + 150, x : x + 150] = draws.integers(0, 256, (150, 150, 3))
    for name, page in (("bmng.jpg", photo), ("etopo1.jpg", places)):
        # without loss; the content tells
        Image.fromarray(page).save(folder / name, "PNG", compress_level=1)
    return photo


def corners(block):
    """North and west of each tile, rounded down to 30 pixels."""
    return [(30 * int(south), 30 * int(east)) for south, east in block["map"][:, 0, 0, :2]]


def test_earth(tmp_path):
    photo = world(tmp_path)
    test = joined(formats.earth, tmp_path, "test", {"test": 3})
    assert test["photo"].shape == test["map"].shape == (3, 150, 150, 3)
    np.testing.assert_array_equal(test["photo"][0], photo[150:300, 1500:1650])
    assert corners(test) == [(150, 1500), (900, 1650), (2100, 3150)]
    # by half tiles, and nothing west of 60 W
    train = joined(formats.earth, tmp_path, "train", {"train": 7})
    west = [(150, 0), (150, 60), (210, 0), (210, 60)]  # 75 -> 60, 225 -> 210
    assert corners(train) == [*west, (810, 1800), (900, 1800), (960, 1800)]
    np.testing.assert_array_equal(train["photo"][5, :, :75], photo[900:1050, 1800:1875])


def test_bands_of_the_earth_are_apart_and_cover_it():
    bands = sorted(band for bands in formats.BANDS.values() for band in bands)
    assert [first for first, _ in bands] == [0, *(last for _, last in bands[:-1])] and bands[-1][
        1
    ] == 5400
    assert all((last - first) % formats.TILE == 0 for first, last in bands)


def test_a_tile_has_texture_from_a_standard_deviation_of_ten():
    half = np.zeros((150, 150, 3), np.uint8)
    half[:75] = 100
    for high, expected in ((119, False), (120, True)):  # of two halves, half their difference
        tile = half.copy()
        tile[75:] = high
        assert formats.textured(tile) is expected
    half[75:] = 100
    half[..., 0] = np.arange(150)[None] % 2 * 60  # in one colour: (60 / 2) / 3
    assert formats.textured(half)
    assert not formats.textured(np.where(half == 60, 59, half).astype(np.uint8))


def test_earth_refuses(tmp_path):
    world(tmp_path)
    with pytest.raises(DataError, match="3 tiles with texture, expected 4"):
        joined(formats.earth, tmp_path, "test", {"test": 4})
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / "etopo1.jpg")
    with pytest.raises(DataError, match=r"etopo1\.jpg .*5400 x 2700"):
        joined(formats.earth, tmp_path, "test", {"test": 3})
