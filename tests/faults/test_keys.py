"""No random key is used twice in any experiment, none is of the old kind, and how they are drawn is
pinned.
"""

import collections
import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.key_reuse._core import KeyReuseError, check_key_reuse

from experiments import gan_vs_vae
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.evaluation import classifier
from gen_jax.run import train
from gen_jax.run.experiment import presets
from tests.golden import experiments
from tests.test_experiments import untrained

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
    config = presets(module)["tiny"][1]
    data, one, key = (
        pipeline.load(module.source(config)),
        games.of(module, config),
        jax.random.key(0),
    )
    raw = {field: jnp.asarray(array[: config.batch_size]) for field, array in data.train.items()}
    check_key_reuse(data.prepare, raw, key)
    batch = data.prepare(raw, key)
    check_key_reuse(one.init, key, {**batch, **data.init_extras(data.train)})
    state = jax.eval_shape(one.init, key, batch)
    stages = module.stages(config) if hasattr(module, "stages") else ()
    for stage in (one, *(stage.game for stage in stages)):
        check_key_reuse(
            stage.step, jax.eval_shape(stage.init, key, batch) if stages else state, batch
        )


SHORTEST = gan_vs_vae.Evaluation(draws=100, images=4, chains=2, steps=8)
OTHERS = (  # whose evaluation goes other ways than those of `tiny`
    ("gan_vs_vae", {"data": "digits", "evaluation": SHORTEST}),
    ("dcgan", {"network": "features", "labelled": 12}),
    ("aae_labels", {"separation": 6.0}),
)
CASES = [
    pytest.param(name, changes, id="-".join((name, *changes)))
    for name, changes in (*((name, {}) for name in experiments()), *OTHERS)
]


FIXED = (0, 0)  # the words of jax.random.key(0)


def configured(name, changes):
    """The experiment, and its `tiny` with these changes."""
    module = importlib.import_module(f"experiments.{name}")
    return module, dataclasses.replace(presets(module)["tiny"][1], **changes)


@pytest.mark.long
@pytest.mark.usefixtures("key_reuse")
@pytest.mark.parametrize(("name", "changes"), CASES)
def test_no_run_uses_a_key_twice(name, changes, tmp_path):
    """With all that it evaluates and draws, as it goes."""
    module, config = configured(name, changes)
    train.run(
        module,
        "tiny",
        dataclasses.replace(config, run=dataclasses.replace(config.run, dir=tmp_path, devices=1)),
    )


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_no_evaluation_folds_a_number_into_a_key_twice(name, changes, monkeypatch):
    """Which gives the same key again, and JAX's own check cannot tell.

    Of the evaluation's own key: our classifiers learn from a fixed one, and of a set always the
    same views are taken.
    """
    module, config = configured(name, changes)
    data, model = untrained(module, config)
    folded, fold_in = collections.Counter(), jax.random.fold_in

    def recorded(key, number):
        if not any(isinstance(part, jax.core.Tracer) for part in (key, number)):
            words = tuple(np.asarray(jax.random.key_data(key)).tolist())
            folded[words, int(number)] += words != FIXED
        return fold_in(key, number)

    def learnt(*args, **kwargs):
        with pytest.MonkeyPatch.context() as unrecorded:
            unrecorded.setattr(jax.random, "fold_in", fold_in)
            return learn(*args, **kwargs)

    learn = classifier._train
    monkeypatch.setattr(classifier, "_train", learnt)
    monkeypatch.setattr(jax.random, "fold_in", recorded)
    module.evaluate(config, model, data, jax.random.key(1))
    assert not {pair: times for pair, times in folded.items() if times > 1}


def test_keys_are_typed():
    """Of the other kind nothing would tell that one is used twice."""
    sources = [
        path
        for where in ("gen_jax", "experiments", "benchmarks")
        for path in (ROOT / where).rglob("*.py")
    ]
    assert len(sources) > 50
    assert not [
        path for path in sources if re.search(r"\bPRNGKey\(", path.read_text(encoding="utf-8"))
    ]


def test_which_random_numbers_a_key_gives_is_pinned():
    """The environment asks for the older way of JAX, which gives others."""
    draw = "print(jax.random.bits(jax.random.key(7), (5,)))"
    expected = str(jax.random.bits(jax.random.key(7), (5,)))
    for ours, same in (("import gen_jax.game, jax; ", True), ("import jax; ", False)):
        command = [sys.executable, "-W", "ignore", "-c", ours + draw]
        environment = {**os.environ, "JAX_THREEFRY_PARTITIONABLE": "0"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        assert (done.stdout.strip() == expected) is same
