"""Values that no experiment expects: absurd rates, images that are all alike, one class, labels
that are none.
"""

import dataclasses
import hashlib
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from gen_jax.data.catalog import sets
from gen_jax.errors import DataError, NonFiniteError
from gen_jax.run import train
from gen_jax.run.experiment import presets
from gen_jax.run.log import read_lines
from tests.golden import experiments

PLACE = Path(__file__).parents[2] / "experiments"
OF_DIGITS = [
    name
    for name in experiments()
    if '"digits"' in (PLACE / f"{name}.py").read_text(encoding="utf-8")
]


def tiny(name, place, **changes):
    module = importlib.import_module(f"experiments.{name}")
    config = presets(module)["tiny"][1]
    run = dataclasses.replace(config.run, dir=place / "run", devices=1, **changes.pop("run", {}))
    return module, dataclasses.replace(config, run=run, **changes)


def absurd(config):
    """All its learning rates are 1e30."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value) and field.name != "embedding":
            found[field.name] = absurd(value)
        elif field.name == "learning_rate" or field.name.endswith("_rate"):
            found[field.name] = 1e30
        elif field.name == "rates":
            found[field.name] = (1e30,)
    return dataclasses.replace(config, **found)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", experiments())
def test_a_rate_that_is_absurd_ends_with_a_sentence(tmp_path, name, precision):
    module, config = tiny(name, tmp_path, run={"precision": precision})
    changed = absurd(config)
    assert changed != config
    with pytest.raises(
        NonFiniteError,
        match=r"is not finite .*; there is no checkpoint yet|the last checkpoint is kept",
    ):
        train.run(module, "tiny", changed)
    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert all(math.isfinite(value) for line in lines for value in line.values())


def forged(place, field, change):
    """The digits, with a field changed and its manifest with it."""
    home = sets.make("digits", place)
    manifest = json.loads((home / "manifest.json").read_text())
    for split, entries in manifest["splits"].items():
        path = home / split / f"{field}.npy"
        array = change(np.load(path))
        np.save(path, array)
        entries[field] |= {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        entries[field] |= {"shape": [*array.shape], "dtype": str(array.dtype)}
    (home / "manifest.json").write_text(json.dumps(manifest))
    return place


@pytest.mark.long
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("image", lambda image: np.full_like(image, 7)),
        ("image", np.zeros_like),
        ("label", np.zeros_like),
    ],
    ids=["constant", "black", "one class"],
)
@pytest.mark.parametrize("name", OF_DIGITS)
def test_images_all_alike_and_one_class_leave_numbers_or_a_sentence(tmp_path, name, field, change):
    module, config = tiny(name, tmp_path, run={"data": forged(tmp_path / "data", field, change)})
    if name == "aae_labels" and field == "label":
        with pytest.raises(DataError, match="40 labelled images are not possible"):
            train.run(module, "tiny", config)
        return
    train.run(module, "tiny", config)
    assert (tmp_path / "run" / "report.html").exists()


def not_a_number(image):
    changed = image.astype(np.float32)
    changed[0] = np.nan
    return changed


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("label", lambda label: np.where(label == 3, 200, label).astype(np.uint8), "values from 0 to 200"),
        ("image", not_a_number, "values that are NaN or infinite"),
        ("image", lambda image: image.astype(np.float32), "holds float32 examples"),
        ("image", lambda image: image[:, :4], r"examples of \[4, 8, 1\], expected uint8"),
    ],
    ids=["a label that is none", "NaN", "another type", "another shape"],
)  # fmt: skip
def test_values_that_a_set_cannot_have_are_refused_whatever_its_manifest_says(
    tmp_path, field, change, words
):
    place = forged(tmp_path, field, change)
    with pytest.raises(DataError, match=words):
        sets.load("digits", "train", place)
