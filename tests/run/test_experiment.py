"""What an author of an experiment file forgot is one sentence, before anything is trained if possible."""

import types

import jax.numpy as jnp
import pytest
from flax import linen as nn

from experiments import vae
from gen_jax import Measure
from gen_jax.errors import UserError
from gen_jax.run import experiment


def test_a_name_that_is_missing():
    module = types.ModuleType("mine")
    vars(module).update({name: getattr(vae, name) for name in experiment.PROVIDED[:-2]})
    with pytest.raises(UserError, match=r"mine has no sample, evaluate: docs/extend.md"):
        experiment.check(module)
    experiment.check(vae)


def test_a_model_that_cannot_be_hashed():
    with pytest.raises(UserError, match="fields of Sequential cannot be hashed: give tuples"):
        experiment.check_model(nn.Sequential([nn.Dense(2)]))
    experiment.check_model(nn.Sequential((nn.Dense(2),)))


def test_a_number_without_a_unit():
    with pytest.raises(UserError, match=r"test/nll as a float; give Measure\(value, unit\)"):
        experiment.check_measures({"test/elbo": Measure(1, "nats"), "test/nll": 2.0})
    with pytest.raises(UserError, match=r"give Measure"):
        experiment.check_measures({"test/nll": jnp.ones(())})
