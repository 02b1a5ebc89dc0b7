"""The papers' own sets: small files of the very features that TFDS declares, read as the sets
themselves would be.
"""

import dataclasses
import io
import logging
import sys
import types

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from experiments import progan
from gen_jax.data import pipeline
from gen_jax.data.catalog import emoji, sets, tfds_recipes
from gen_jax.errors import DataError
from gen_jax.run.experiment import presets

rng = np.random.default_rng(0)
NAMES = (
    "cycle_gan/horse2zebra",
    "celeb_a",
    "caltech_birds2011",
    "oxford_flowers102",
    "coco_captions",
)


def declared(name):
    """The builder that the installed TFDS has; COCO's names one type of TensorFlow where it
    declares its features.
    """
    if name != "coco_captions":
        return tfds.builder(name, data_dir="/nowhere")
    from tensorflow_datasets.object_detection import coco

    real, coco.tf = coco.tf, types.SimpleNamespace(int64=np.int64)
    try:
        return tfds.builder(name, data_dir="/nowhere")
    finally:
        coco.tf = real


def write(directory, name, splits, shuffled=False):
    """Prepare a set under the name, version and features that TFDS declares; `splits` maps to (keys
    and) examples.
    """
    stock = declared(name)

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = stock.version
        BUILDER_CONFIGS = tuple(
            tfds.core.BuilderConfig(name=c.name, version=stock.version)
            for c in stock.BUILDER_CONFIGS
        )

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=stock.info.features, disable_shuffling=not shuffled
            )

        def _split_generators(self, manager):
            return {
                split: examples if shuffled else enumerate(examples)
                for split, examples in splits.items()
            }

        def _generate_examples(self):
            raise NotImplementedError

    Builder.name = stock.name
    config = {"config": stock.builder_config.name} if stock.BUILDER_CONFIGS else {}
    Builder(data_dir=directory, file_format="array_record", **config).download_and_prepare()


def coded(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def noise(height, width):
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "theirs"))
    return tmp_path


def test_the_table_agrees_with_tfds():
    features = {name: declared(name).info.features for name in NAMES}
    assert set(tfds_recipes.SETS) == {name.partition("/")[0] for name in NAMES}
    for name, found in features.items():
        recipe, image = tfds_recipes.SETS[name.partition("/")[0]], found["image"]
        assert isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
        assert image.shape == ((218, 178, 3) if name == "celeb_a" else (None, None, 3))
        assert (recipe.side is None) == (None not in image.shape)
        assert recipe.configs == tuple(
            c.name for c in declared(name).BUILDER_CONFIGS if len(name.split("/")) > 1
        )
    birds, flowers, coco = (features[name] for name in NAMES[2:])
    assert isinstance(birds["label_name"], tfds.features.Text) and birds["label"].num_classes == 200
    assert len(flowers["label"].names) == 102 and flowers["label"].int2str(7) == "bird of paradise"
    assert isinstance(coco["captions"], tfds.features.Sequence) and set(
        coco["captions"].feature
    ) == {"text", "id"}
    assert (
        max(len(name) for name in flowers["label"].names)
        <= tfds_recipes.SETS["oxford_flowers102"].width
    )
    assert (
        len(features["celeb_a"]["attributes"]) == 40
        and features["celeb_a"]["attributes"]["Male"].np_dtype == np.bool_
    )


def test_faces_with_their_attributes(place):
    faces = declared("celeb_a").info.features
    pixels = [noise(218, 178) for _ in range(7)]
    attributes = rng.random((7, 40)) < 0.5
    landmarks = rng.integers(0, 178, (7, 10))
    examples = [
        {
            "image": coded(pixels[i], "JPEG", quality=95),
            "attributes": dict(zip(faces["attributes"], attributes[i].tolist(), strict=True)),
            "landmarks": dict(zip(faces["landmarks"], landmarks[i].tolist(), strict=True)),
            "identity": {"Identity_No": 10_000 + i},
        }
        for i in range(7)
    ]
    write(
        place / "theirs",
        "celeb_a",
        {"train": examples[:4], "validation": examples[4:6], "test": examples[6:]},
    )
    got = sets.load("tfds:celeb_a", "train", place)
    assert got["image"].shape == (4, 218, 178, 3) and got["image"].dtype == np.uint8
    for i in range(4):
        with Image.open(io.BytesIO(examples[i]["image"])) as opened:
            np.testing.assert_array_equal(got["image"][i], np.asarray(opened))
    error = [
        np.abs(got["image"][i].astype(int) - pixels[j]).mean() for i in range(4) for j in range(4)
    ]
    # a JPEG of noise, but of this noise
    assert (np.reshape(error, (4, 4)).argmin(1) == range(4)).all()
    found = np.stack([got[f"attributes.{name}"] for name in faces["attributes"]], 1)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, attributes[:4])
    np.testing.assert_array_equal(
        np.stack([got[f"landmarks.{n}"] for n in faces["landmarks"]], 1), landmarks[:4]
    )
    assert got["file"].tolist() == [1, 2, 3, 4]
    assert got["identity.Identity_No"].tolist() == [10_000, 10_001, 10_002, 10_003]
    assert [
        len(sets.load("tfds:celeb_a", split, place)["image"]) for split in ("validation", "test")
    ] == [2, 1]
    small = sets.load("tfds:celeb_a@32", "train[:2]", place)["image"]
    square = [
        Image.fromarray(face[20:198]).resize((32, 32), Image.Resampling.BICUBIC)
        for face in got["image"][:2]
    ]
    # the filter reaches beyond the square
    alike = np.stack([np.asarray(one) for one in square])[:, 2:-2, 2:-2]
    np.testing.assert_allclose(small[:, 2:-2, 2:-2].astype(int), alike, atol=1)
    assert "tensorflow" not in sys.modules


def test_faces_are_traced_to_their_files_though_tfds_shuffles(place):
    """Files are numbered through the splits, as in CelebA; here the identity says which a face is
    of.
    """
    faces = declared("celeb_a").info.features
    named = {
        split: [
            (
                f"{number:06}.jpg",
                {
                    "image": coded(np.full((218, 178, 3), number, np.uint8)),
                    "attributes": dict.fromkeys(faces["attributes"], False),
                    "landmarks": dict.fromkeys(faces["landmarks"], 0),
                    "identity": {"Identity_No": number},
                },
            )
            for number in part
        ]
        for split, part in (
            ("train", range(1, 41)),
            ("validation", range(41, 49)),
            ("test", range(49, 61)),
        )
    }
    write(place / "theirs", "celeb_a", named, shuffled=True)
    for split, part in named.items():
        got = sets.load("tfds:celeb_a@2", split, place)
        assert got["file"].dtype == np.int32 and len(got["file"]) == len(part)
        np.testing.assert_array_equal(got["file"], got["identity.Identity_No"])
        np.testing.assert_array_equal(got["file"], got["image"][:, 0, 0, 0])
    assert (np.diff(sets.load("tfds:celeb_a@2", "train", place)["file"]) < 0).any()


def test_unpaired_domains_of_different_sizes(place):
    horses, zebras = [noise(256, 256) for _ in range(2)], [noise(256, 256) for _ in range(3)]
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 200  # all that is kept
    parts = {"trainA": horses, "trainB": [*zebras, wide], "testA": [wide], "testB": zebras[:1]}
    examples = {
        split: [{"image": coded(image), "label": split[-1]} for image in images]
        for split, images in parts.items()
    }
    write(place / "theirs", "cycle_gan/horse2zebra", examples)
    train, test = (
        sets.load("tfds:cycle_gan:horse2zebra", split, place) for split in ("train", "test")
    )
    assert {name: array.shape for name, array in train.items()} == {
        "x": (2, 256, 256, 3),
        "y": (4, 256, 256, 3),
    }
    np.testing.assert_array_equal(train["x"], horses)  # nothing is lost where the size is right
    np.testing.assert_array_equal(train["y"][:3], zebras)
    assert (train["y"][3, :, 8:-8] == 200).all() and (train["y"][3, :, 0] < 200).all()
    np.testing.assert_array_equal(test["x"], train["y"][3:])
    np.testing.assert_array_equal(test["y"], zebras[:1])
    assert {
        name: len(a)
        for name, a in sets.load("tfds:cycle_gan:horse2zebra", "train[:2]", place).items()
    } == {
        "x": 2,
        "y": 2,
    }
    assert sets.verify("tfds:cycle_gan:horse2zebra", place) == 4
    with pytest.raises(
        DataError,
        match=r"cycle_gan holds several sets: name one, as in tfds:cycle_gan:apple2orange\|summer",
    ):
        sets.load("tfds:cycle_gan", "train", place)
    with pytest.raises(
        DataError, match=r"tfds.builder\('cycle_gan/maps', file_format='array_record'\)"
    ):
        sets.load("tfds:cycle_gan:maps", "train", place)


def test_birds_are_named_and_their_boxes_follow_the_square(place):
    image = np.zeros((50, 100, 3), np.uint8)
    image[10:30, 35:55] = 255  # the bird
    examples = [
        {
            "image": coded(image),
            "image/filename": "001.Black_footed_Albatross/a.jpg",
            "label": 0,
            "label_name": "black_footed_albatross",
            "bbox": tfds.features.BBox(ymin=0.2, xmin=0.35, ymax=0.6, xmax=0.55),
            "segmentation_mask": coded(image[..., 0]),
        }
    ] * 2
    write(place / "theirs", "caltech_birds2011", {"train": examples, "test": examples[:1]})
    got = sets.load("tfds:caltech_birds2011", "train", place)
    assert set(got) == {"image", "label", "bbox", "caption"}
    assert got["image"].shape == (2, 76, 76, 3)
    assert [emoji.text(caption) for caption in got["caption"]] == ["black footed albatross"] * 2
    # 25 pixels are cut off on either side
    np.testing.assert_allclose(got["bbox"][0], [0.2, 0.2, 0.6, 0.6], atol=1e-6)
    top, left, bottom, right = (76 * got["bbox"][0]).round().astype(int)
    assert got["image"][0, top + 2 : bottom - 2, left + 2 : right - 2].min() > 240
    assert got["image"][0].astype(float).sum() / 255 == pytest.approx(
        3 * (bottom - top) * (right - left), rel=0.05
    )
    np.testing.assert_allclose(
        tfds_recipes.moved(np.array([[0, 0, 1, 0.1]]), (0, 0.25, 1, 0.75)), [[0, 0, 1, 0]]
    )


def test_flowers_are_named_by_their_class(place):
    examples = [
        {"image": coded(noise(80 + i, 90)), "label": label, "file_name": f"image_{i:05}.jpg"}
        for i, label in enumerate((7, 0, 101))
    ]
    write(
        place / "theirs",
        "oxford_flowers102",
        {"train": examples, "test": examples[:1], "validation": examples[1:]},
    )
    got = sets.load("tfds:oxford_flowers102", "train", place)
    assert got["image"].shape == (3, 76, 76, 3) and got["label"].tolist() == [7, 0, 101]
    texts = [emoji.text(caption) for caption in got["caption"]]
    assert texts == ["bird of paradise", "pink primrose", "blackberry lily"]
    assert sets.load("tfds:oxford_flowers102@20", "validation", place)["image"].shape == (
        2,
        20,
        20,
        3,
    )


def test_photographs_have_several_captions(place, caplog):
    sentence = "Une femme très âgée, " * 12  # 24 bytes each
    said = [["one", "two", "three", "four", "five", "six"], ["a", "b"], [sentence] * 5]
    grey = rng.integers(0, 256, (90, 80), np.uint8)
    examples = [
        {
            "image": coded(picture, "JPEG"),
            "image/filename": f"COCO_{i}.jpg",
            "image/id": 500_000 + i,
            "objects": [
                {
                    "id": j,
                    "area": 4,
                    "bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0),
                    "label": 3,
                    "is_crowd": False,
                }
                for j in range(i)
            ],
            "captions": [{"id": j, "text": text} for j, text in enumerate(texts)],
        }
        for i, (picture, texts) in enumerate(
            zip((noise(90, 80), grey, noise(76, 76)), said, strict=True)
        )
    ]
    write(
        place / "theirs",
        "coco_captions",
        dict.fromkeys(("train", "val", "test", "restval"), examples),
    )
    with caplog.at_level(logging.WARNING, "gen_jax.data"):
        got = sets.load("tfds:coco_captions", "train", place)
    assert set(got) == {"image", "image.id", "caption"}
    assert got["image"].shape == (3, 76, 76, 3) and got["image.id"].tolist() == [
        500_000,
        500_001,
        500_002,
    ]
    # a grey photograph, in three channels
    assert (got["image"][1] == got["image"][1][..., :1]).all()
    assert got["caption"].shape == (3, 5, 256)
    texts = [[emoji.text(caption) for caption in captions] for captions in got["caption"]]
    assert texts[:2] == [["one", "two", "three", "four", "five"], ["a", "b", "a", "b", "a"]]
    assert texts[2] == [sentence.encode()[:256].decode(errors="ignore")] * 5
    assert "a caption of 288 bytes was cut to 256" in caplog.text or "was cut to 255" in caplog.text
    with pytest.raises(
        DataError, match="no split 'validation': choose from restval, test, train, val"
    ):
        sets.load("tfds:coco_captions", "validation", place)


def test_a_picture_that_is_torn_is_no_picture():
    whole = coded(noise(9, 7))
    pixels, box = tfds_recipes.picture(whole, 3)
    assert pixels.shape == (9, 7, 3) and box == (0, 0, 1, 1)
    assert tfds_recipes.picture(whole, 1, 4)[0].shape == (4, 4, 1)
    for channels in (1, 3):  # pixels are resized as the file would be
        stored = (
            np.asarray(Image.fromarray(pixels).convert("L"))[..., None] if channels == 1 else pixels
        )
        np.testing.assert_array_equal(tfds_recipes.picture(stored, channels)[0], stored)
        small = tfds_recipes.picture(whole, channels, 4)
        np.testing.assert_array_equal(tfds_recipes.picture(stored, channels, 4)[0], small[0])
        assert small[1] == (1 / 9, 0, 8 / 9, 1)
    with pytest.raises(DataError, match="an image that cannot be read"):
        tfds_recipes.picture(whole[:100], 3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "tfds:celeb_a",
            r"tfds.builder\('celeb_a', file_format='array_record'\).download_and_prepare\(\)",
        ),
        ("tfds:coco_captions", r"tfds.builder\('coco_captions', file_format='array_record'\)"),
        ("tfds:celeb_a@0", "a side of at least 1"),
    ],
)
def test_what_is_not_prepared_says_how_it_is(place, name, said):
    with pytest.raises(DataError, match=said) as caught:
        sets.load(name, "train", place)
    assert "\n" not in str(caught.value)
    assert not list(place.glob("arrays/tfds*"))


def test_the_sets_of_progressive_gan_by_the_names_that_it_asks_for(place):
    """A configuration that is a number is no version."""
    faces, rooms = [noise(64, 64) for _ in range(3)], [noise(40, 60) for _ in range(4)]
    named = [{"image": coded(face), "image/filename": f"{i}.png"} for i, face in enumerate(faces)]
    write(place / "theirs", "celeb_a_hq/64", {"train": named})
    pictures = [
        {"image": coded(room, "JPEG", quality=95), "id": str(i)} for i, room in enumerate(rooms)
    ]
    write(place / "theirs", "lsun/bedroom", {"train": pictures[:3], "validation": pictures[3:]})
    for data, count in (("celeb_a_hq", 3), ("lsun_bedroom", 3)):
        config = dataclasses.replace(presets(progan)["tiny"][1], data=data, side=64, images=10_000)
        source = progan.source(config)
        found = pipeline.load(source, place)
        assert (
            found.train["image"].shape == (count, *source.fields["image"][0]) == (count, 64, 64, 3)
        )
        x = found.prepare(found.train, jax.random.key(0))["x"]
        np.testing.assert_allclose(x, found.train["image"] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(sets.load("tfds:celeb_a_hq:64", "train", place)["image"], faces)
