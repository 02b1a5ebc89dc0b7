"""Each number that an evaluation gives has a unit, and each number that a paper claims is measured."""

import dataclasses
import importlib

import jax
import pytest

from gen_jax.run.experiment import presets
from gen_jax.types import Measure
from tests import golden
from tests.test_experiments import untrained

CASES = (  # paper, what is other than in its `tiny`, and what is measured then, among other numbers
    ("aae", {}, {"test/parzen"}),
    ("aae_labels", {"labels": 100}, {"test/error_100_labels"}),
    ("aae_labels", {"labels": 200}, {"test/error_200_labels"}),
    ("aae_labels", {"labels": 1000}, {"test/error_1000_labels"}),
    ("aae_labels", {"labels": 0, "categories": 12}, {"test/error_12_clusters"}),
    ("aae_labels", {"labels": 0, "categories": 16}, {"test/error_16_clusters"}),
    ("aae_labels", {"labels": 0, "categories": 30}, {"test/error_30_clusters"}),
    ("gan", {}, {"test/parzen", "test/parzen_of_real", "validation/parzen"}),
    (
        "gan_vs_vae",
        {"data": "digits", "evaluation": {"draws": 100, "images": 4, "chains": 2, "steps": 8}},
        {"test/log_likelihood_gan", "test/log_likelihood_vae"},
    ),
    ("infogan", {}, {"test/error_best_map", "test/error_hungarian"}),
    ("vae", {"evaluation": {"samples": 5, "images": 50}}, {"test/nll_k5_of_50"}),
    ("vae", {"evaluation": {"samples": 5, "images": 0}}, {"test/nll_k5"}),
    ("vae", {"evaluation": {"samples": 5000, "images": 0}}, {"test/nll_k5000"}),
    (
        "dcgan",
        {"draws": 100},
        {"test/nearest_neighbour_error_100", "test/nearest_neighbour_error_of_100_images"},
    ),
    (
        "dcgan",
        {"draws": 50_000},
        {"test/nearest_neighbour_error_50000", "test/nearest_neighbour_error_of_50000_images"},
    ),
    *(
        (
            "dcgan",
            {"network": "features", "labelled": count},
            {f"test/svm_accuracy_{count}", f"test/svm_accuracy_{count}_untrained"},
        )
        for count in (8, 400, 5000)
    ),
    ("progan", {}, {"test/swd", "test/judged"}),
)
ON = {  # what numbers are of, besides test images
    "aae": {"validation"},
    "gan": {"validation"},
    "gan_vs_vae": {"simulated", "validation"},
    "infogan": {"fakes"},
}
SLOW = (400, 5000)  # images with labels
ELSEWHERE = {  # of what `tiny` is too small for, or slow to measure
    "progan": {"test/ms_ssim"},  # tests/evaluation/test_image_sets.py
    "stargan": {"test/domain_error", "parameters"},  # tests/experiments/test_stargan.py
}


def case(name, changes, expected):
    marks = pytest.mark.long if changes.get("labelled") in SLOW else ()
    numbers = [str(value) for value in changes.values()]
    return pytest.param(name, changes, expected, marks=marks, id="-".join([name, *numbers]))


def changed(config, changes):
    """A dict stands for changes of a field's fields."""
    return dataclasses.replace(
        config,
        **{
            name: changed(getattr(config, name), value) if isinstance(value, dict) else value
            for name, value in changes.items()
        },
    )


@pytest.mark.parametrize(("name", "changes", "expected"), [case(*each) for each in CASES])
def test_numbers_have_units(name, changes, expected):
    module = importlib.import_module(f"experiments.{name}")
    config = changed(presets(module)["tiny"][1], changes)
    data, model = untrained(module, config)
    measured = module.evaluate(config, model, data, jax.random.key(1))
    assert expected <= set(measured)
    assert {number.split("/")[0] for number in measured} <= {"test", *ON.get(name, ())}
    assert all(isinstance(value, Measure) and value.unit.strip() for value in measured.values())


@pytest.mark.parametrize("name", golden.experiments())
def test_what_a_paper_claims_is_measured(name):
    """Above, where it is asked that the numbers are there."""
    claims = set(importlib.import_module(f"experiments.{name}").CLAIMS)
    asked = set().union(*(numbers for paper, _, numbers in CASES if paper == name))
    assert {claim for claim in claims if "inception" not in claim} <= asked | ELSEWHERE.get(
        name, set()
    )
