"""What a run of an older release stands for: those whose objective has changed since are refused,
others go on.
"""

import dataclasses
import importlib
import json
from pathlib import Path

import pytest

from gen_jax import config as configs
from gen_jax.config import Checked
from gen_jax.run import directory
from gen_jax.run.experiment import presets

# What config.json of runs of before 0.3 holds, by paper and preset: {field: value}, under the names
# of that time.
OLD = json.loads((Path(__file__).parent / "golden" / "configs-0.2.json").read_text("utf-8"))
MOVED = {  # until all papers have Adam's fields in a group of their own: either name
    "epsilon_hat": "adam.epsilon_hat",
    "optimizer.epsilon_hat": "adam.epsilon_hat",
}
REFUSED = {
    **{
        ("progan", preset): "penalty_side: own there, last here"
        for preset in ("paper", "official", "celeb_a_hq_v2", "lsgan", "a", "h", "quick")
    },
    ("progan", "e_discrimination"): "style.fused: True there, False here",
    ("progan", "tiny"): "epsilon_hat: False there, True here",
    ("gan", "paper"): "mean_clip: 0.001 there, 1e-07 here",
    ("gan", "official"): "optimizer.start: 2 there, 1 here",
    ("gan", "quick"): "optimizer.start: 2 there, 1 here",
    ("vae", "iwae"): "mean_start: False there, True here",
    ("dcgan", "features"): "mirrored: False there, True here",
    ("dcgan", "official"): "optimizer.epsilon_hat: False there, True here",
    ("infogan", "official"): "epsilon_hat: False there, True here",
    ("infogan", "quick"): "epsilon_hat: False there, True here",
    ("cyclegan", "official"): "epsilon_hat: False there, True here",
    ("text2image", "official"): "epsilon_hat: False there, True here",
}
SAME = [
    *(("vae", preset) for preset in ("paper", "quick", "tiny")),
    *(("dcgan", preset) for preset in ("paper", "theano", "mnist", "quick", "tiny")),
    *(("infogan", preset) for preset in ("paper", "passive", "tiny")),
    *(("cyclegan", preset) for preset in ("paper", "pytorch", "quick", "tiny")),
    *(("text2image", preset) for preset in ("paper", "quick", "tiny")),
]


def changes(name, preset):
    module = importlib.import_module(f"experiments.{name}")
    config = presets(module)[preset][1]
    values = configs.to_json(config)
    now = {
        "schema": 1,
        "experiment": module.__name__,
        "preset": preset,
        "config": values,
        "data": {},
    }
    before = {**now, "config": OLD[name][preset]}
    return directory.changes(before, now, type(config), "config.json")


@pytest.mark.parametrize(("name", "preset"), REFUSED)
def test_a_run_whose_objective_has_changed_since_is_another_one(name, preset):
    field, _, values = REFUSED[name, preset].partition(": ")
    said = {f"{name}: {values}" for name in (field, MOVED.get(field, field))}
    assert said & {*changes(name, preset).split("; ")}


@pytest.mark.parametrize(("name", "preset"), SAME)
def test_a_run_that_is_as_it_was_goes_on(name, preset):
    assert changes(name, preset) == ""


@dataclasses.dataclass(frozen=True)
class Inner(Checked):
    rate: float = 1.0
    slope: float = 2.0

    FORMERLY = {"slope": 0.5}  # noqa: RUF012


@dataclasses.dataclass(frozen=True)
class Outer(Checked):
    size: int = 3
    kept: int = 4
    inner: Inner = Inner()

    FORMERLY = {"size": 1, "inner": {"rate": 9.0}}  # noqa: RUF012


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Outer(1, 4, Inner(9.0, 0.5))),
        ({"size": 5, "inner": {"rate": 3.0}}, Outer(5, 4, Inner(3.0, 0.5))),
        ({"inner": {"rate": 3.0, "slope": 7.0}}, Outer(1, 4, Inner(3.0, 7.0))),
    ],
)
def test_a_field_that_is_missing_stands_for_what_it_was_before_it_came(values, expected):
    assert configs.from_json(Outer, values, "config.json") == expected
