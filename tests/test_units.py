"""Each number that an evaluation gives has a unit, whatever fields its name is made of."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import pytest

from experiments.vae import Evaluation
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.run.experiment import presets

CASES = (
    ("aae_labels", {"labels": 200}, {"test/error_200_labels"}),
    ("aae_labels", {"labels": 0, "categories": 12}, {"test/error_12_clusters"}),
    ("vae", {"evaluation": Evaluation(samples=5, images=50)}, {"test/nll_k5_of_50"}),
    ("vae", {"evaluation": Evaluation(samples=5)}, {"test/nll_k5"}),
    (
        "dcgan",
        {"draws": 100},
        {"test/nearest_neighbour_error_100", "test/nearest_neighbour_error_of_100_images"},
    ),
    (
        "dcgan",
        {"network": "features", "labelled": 8},
        {"test/svm_accuracy_8", "test/svm_accuracy_8_untrained"},
    ),
    ("progan", {}, {"test/swd", "test/judged"}),
)


@pytest.mark.parametrize(("name", "changes", "expected"), CASES)
def test_numbers_whose_names_fields_change_have_units(name, changes, expected):
    module = importlib.import_module(f"experiments.{name}")
    config = dataclasses.replace(presets(module)["tiny"][1], **changes)
    data, one, key = (
        pipeline.load(module.source(config)),
        games.of(module, config),
        jax.random.key(0),
    )
    batch = data.prepare(
        {n: jnp.asarray(array[: config.batch_size]) for n, array in data.train.items()}, key
    )
    state = jax.jit(one.init)(key, {**batch, **data.init_extras(data.train)})
    measured = module.evaluate(
        config, games.trained(module.model(config), state), data, jax.random.key(1)
    )
    units = module.units(config) if hasattr(module, "units") else module.UNITS
    assert expected <= set(measured) <= set(units)
    assert all(number.startswith("test/") for number in measured)
    assert set(module.UNITS) <= set(units) and all(units.values())
