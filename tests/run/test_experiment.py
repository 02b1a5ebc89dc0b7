"""What an author of an experiment file forgot is one sentence, before anything is trained if possible."""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import vae
from experiments.presets import vae as presets
from gen_jax import Measure
from gen_jax.errors import UserError
from gen_jax.run import experiment


def test_a_name_that_is_missing():
    module = types.ModuleType("mine")
    vars(module).update({name: getattr(vae, name) for name in experiment.PROVIDED[:-2]})
    with pytest.raises(UserError, match=r"mine has no sample, evaluate: docs/extend.md"):
        experiment.check(module)
    experiment.check(vae)


def test_a_header_or_a_field_that_is_missing():
    module = types.ModuleType("mine", "No header.")
    vars(module).update({name: getattr(vae, name) for name in experiment.PROVIDED})
    with pytest.raises(UserError, match="the header must have"):
        experiment.check(module)
    module.Config = dataclasses.make_dataclass("Config", ["run", "batch_size"])
    with pytest.raises(UserError, match="the Config of mine has no steps"):
        experiment.check(module)


def test_a_preset_that_stands_twice(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "paper", presets.PRESETS["tiny"])
    with pytest.raises(UserError, match=r"presets/vae.py has paper, as vae.py has: rename it"):
        experiment.presets(vae)


def test_a_model_that_cannot_be_hashed():
    with pytest.raises(UserError, match="fields of Sequential cannot be hashed: give tuples"):
        experiment.check_model(nn.Sequential([nn.Dense(2)]))
    experiment.check_model(nn.Sequential((nn.Dense(2),)))


def test_a_number_without_a_unit():
    with pytest.raises(UserError, match=r"test/nll as a float; give Measure\(value, unit\)"):
        experiment.check_measures({"test/elbo": Measure(1, "nats"), "test/nll": 2.0})
    with pytest.raises(UserError, match=r"give Measure"):
        experiment.check_measures({"test/nll": jnp.ones(())})
    with pytest.raises(UserError, match="evaluate returned a NoneType"):
        experiment.check_measures(None)


def test_a_picture_that_is_none():
    experiment.check_pictures({"samples": np.zeros((8, 8, 3))})
    with pytest.raises(UserError, match="sample returned a ndarray"):
        experiment.check_pictures(np.zeros((8, 8, 3)))
    with pytest.raises(UserError, match=r"samples of shape \[8, 8\]; give \[h, w, 1 or 3\]"):
        experiment.check_pictures({"samples": np.zeros((8, 8))})
