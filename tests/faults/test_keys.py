"""No random key is used twice in any experiment, none is of the old kind, and how they are drawn is pinned."""

import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.key_reuse._core import KeyReuseError, check_key_reuse

from gen_jax import train
from gen_jax.data import pipeline
from tests.golden import experiments

ROOT = Path(__file__).parents[2]


def test_a_key_that_is_used_twice_is_found():
    def twice(key):
        return jax.random.normal(key, (2,)) + jax.random.uniform(key, (2,))

    with pytest.raises(KeyReuseError):
        check_key_reuse(twice, jax.random.key(0))


@pytest.mark.parametrize("name", experiments())
def test_no_experiment_uses_a_key_twice(name):
    """In its first state, its preparation of a batch and its step, of each stage, as traced."""
    module = importlib.import_module(f"experiments.{name}")
    config = module.PRESETS["tiny"][1]
    data, one, key = pipeline.load(module.source(config)), module.game(config), jax.random.key(0)
    raw = {field: jnp.asarray(array[: config.batch_size]) for field, array in data.train.items()}
    check_key_reuse(data.prepare, raw, key)
    batch = data.prepare(raw, key)
    check_key_reuse(one.init, key, {**batch, **data.birth(data.train)})
    state = jax.eval_shape(one.init, key, batch)
    stages = module.stages(config) if hasattr(module, "stages") else ()
    for stage in (one, *(stage.game for stage in stages)):
        check_key_reuse(stage.step, jax.eval_shape(stage.init, key, batch) if stages else state, batch)


@pytest.mark.long
@pytest.mark.usefixtures("key_reuse")
@pytest.mark.parametrize("name", experiments())
def test_no_run_uses_a_key_twice(name, tmp_path):
    """With all that it evaluates and draws, as it goes."""
    module = importlib.import_module(f"experiments.{name}")
    config = module.PRESETS["tiny"][1]
    train.run(module, "tiny", dataclasses.replace(config, run=dataclasses.replace(config.run, dir=tmp_path, devices=1)))


def test_keys_are_typed():
    """Of the other kind nothing would tell that one is used twice."""
    sources = [path for where in ("gen_jax", "experiments", "benchmarks") for path in (ROOT / where).rglob("*.py")]
    assert len(sources) > 50
    assert not [path for path in sources if re.search(r"\bPRNGKey\(", path.read_text(encoding="utf-8"))]


def test_which_random_numbers_a_key_gives_is_pinned():
    """The environment asks for the older way of JAX, which gives others."""
    draw = "print(jax.random.bits(jax.random.key(7), (5,)))"
    expected = str(jax.random.bits(jax.random.key(7), (5,)))
    for ours, same in (("import gen_jax.game, jax; ", True), ("import jax; ", False)):
        command = [sys.executable, "-W", "ignore", "-c", ours + draw]
        environment = {**os.environ, "JAX_THREEFRY_PARTITIONABLE": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        assert (done.stdout.strip() == expected) is same
