"""TFDS without TensorFlow: our builder, and sets that somebody else's builder prepared."""

import json
import os
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from gen_jax.data.catalog import sets, tfds_builder
from gen_jax.errors import DataError

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (7, 4, 3, 1), np.uint8)
LABELS = rng.integers(0, 10, 7)
NUMBERS = rng.random((7, 2))


@pytest.mark.parametrize(("gathered", "encoding"), [(10**6, "bytes"), (100, "zlib")])
def test_a_large_set_is_compressed_on_its_way(tmp_path, monkeypatch, gathered, encoding):
    monkeypatch.setattr(tfds_builder, "GATHERED", gathered)
    fields = {"image": ((4, 3, 1), "uint8"), "label": ((), "int32")}
    opened = tfds_builder.build(
        "large",
        version="1.0.0",
        about={},
        fields=fields,
        sizes={"train": 7},
        blocks=lambda split: iter([{"image": PIXELS, "label": LABELS.astype(np.int32)}]),
        directory=tmp_path,
    )
    (block,) = tfds_builder.blocks(opened["train"], fields)
    np.testing.assert_array_equal(block["image"], PIXELS)
    np.testing.assert_array_equal(block["label"], LABELS)
    assert block["label"].dtype == np.int32
    features = json.loads((tmp_path / "large" / "1.0.0" / "features.json").read_text())
    assert features["featuresDict"]["features"]["image"]["tensor"]["encoding"] == encoding
    assert "tensorflow" not in sys.modules
    with pytest.raises(DataError, match="'image' holds numbers that do not fit bool"):
        list(tfds_builder.blocks(opened["train"], {"image": ((4, 3, 1), "bool")}))


def foreign(tmp_path):
    """A set that somebody else's builder prepared: shuffled, PNG images, nested and textual
    features.
    """
    pictures = {
        "plain": tfds.features.Image(shape=(4, 3, 1)),
        "ragged": tfds.features.Image(shape=(None, None, 1)),
        "floats": tfds.features.Tensor(shape=(4, 3, 1), dtype=np.float32),
    }

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("2.0.0")
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in pictures]  # noqa: RUF012
        name = "theirs"

        def _info(self):
            features = {
                "image": pictures[self.builder_config.name],
                "label": tfds.features.ClassLabel(num_classes=10),
                "about": {
                    "value": tfds.features.Tensor(shape=(2,), dtype=np.float64),
                    "note": tfds.features.Text(),
                },
                "many": tfds.features.Sequence(tfds.features.Scalar(np.int64)),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(7), "unsupervised": self._generate_examples(3)}

        def _generate_examples(self, size):
            for number in range(size):
                pixels = PIXELS[number]
                image = {
                    "plain": Image.fromarray(pixels[..., 0]),
                    "ragged": Image.fromarray(pixels[: number % 2 + 1, :, 0]),
                    "floats": pixels / np.float32(255),
                }[self.builder_config.name]
                example = {
                    "image": image,
                    "label": int(LABELS[number]),
                    "about": {"value": NUMBERS[number], "note": "text"},
                    "many": list(range(number)),
                }
                yield number, example

    made = [
        Builder(config=name, data_dir=tmp_path, file_format="array_record") for name in pictures
    ]
    for builder in made:
        builder.download_and_prepare()
    return made


def test_sets_that_somebody_else_prepared(tmp_path, monkeypatch):
    theirs = foreign(tmp_path / "theirs")[0]
    source = theirs.as_data_source("train")
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "theirs"))
    base = tmp_path / "base"
    for name in ("tfds:theirs:plain", "tfds:theirs/plain:2.0.0", f"tfds:{theirs.data_dir}"):
        got = sets.load(name, "train", base)
        # no text, no sequences of different lengths
        assert set(got) == {
            "image",
            "label",
            "about.value",
        }
        assert [got[field].dtype.name for field in ("image", "label", "about.value")] == [
            "uint8",
            "int32",
            "float32",
        ]
        for number, example in enumerate(source):
            np.testing.assert_array_equal(got["image"][number], example["image"])
            assert got["label"][number] == example["label"]
            np.testing.assert_array_equal(
                got["about.value"][number], example["about"]["value"].astype(np.float32)
            )
        assert len(sets.load(name, "unsupervised[:2]", base)["image"]) == 2
    assert len(list((base / "arrays").glob("tfds-*"))) == 3
    with pytest.raises(DataError, match="no split 'test': choose from train, unsupervised"):
        sets.load("tfds:theirs:plain", "test", base)
    with pytest.raises(
        DataError, match=r"field 'image' has examples of shape \[.*\] beside others"
    ):
        sets.load("tfds:theirs:ragged", "train", base)
    with pytest.raises(
        DataError, match=r"no feature 'image' of uint8 .* image float32 \[4, 3, 1\]"
    ):
        sets.load("tfds:theirs:floats", "train", base)
    os.rename(tmp_path / "theirs", tmp_path / "gone")
    # open without the original
    assert len(sets.load("tfds:theirs:plain", "train", base)["image"]) == 7


@pytest.mark.parametrize(
    "name",
    ["tfds:nothing_like_this", "tfds:mnist", "tfds:mnist:1.0.0", "tfds:a/b:c", "tfds:", "tfds:/"],
)
def test_sets_that_tfds_has_not_prepared(tmp_path, monkeypatch, name):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "theirs"))
    with pytest.raises(DataError, match="prepared as array_record") as caught:
        sets.load(name, "train", tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "arrays").glob("tfds*"))
