"""A run of each release is kept: later ones read its checkpoint, bit for bit, and draw what it
drew.
"""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import vae
from gen_jax import game, images
from gen_jax.data import pipeline
from gen_jax.run import train
from gen_jax.run.experiment import presets
from gen_jax.run.log import read_lines

GOLDEN = Path(__file__).parents[1] / "golden"
KEY = jax.random.fold_in(jax.random.split(jax.random.key(0), 3)[2], 0)  # as the loop draws
RELEASES = {"0.1.0": "9563aabc360bcb4a061df515e84e1343965071fa6f52ea1ff66e4d6dc62e3549"}


@pytest.mark.parametrize(("release", "digest"), RELEASES.items())
def test_the_checkpoint_of_a_release_is_read_and_draws_the_same(tmp_path, release, digest):
    directory = tmp_path / "run"
    shutil.copytree(GOLDEN / f"run-{release}", directory)
    lines = read_lines(directory / "metrics.jsonl")
    tiny = presets(vae)["tiny"][1]
    config = dataclasses.replace(tiny, run=dataclasses.replace(tiny.run, dir=directory, devices=1))
    state = train.run(vae, "tiny", config)
    assert int(state.step) == 40 and read_lines(directory / "metrics.jsonl") == lines
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((state.params, state.optimizers))]
    assert hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest() == digest
    model, data = game.trained(vae.model(config), state), pipeline.load(vae.source(config))
    drawn = images.load(GOLDEN / f"run-{release}" / "samples" / "samples-step-00000040.png")
    assert (
        np.abs(
            vae.sample(config, model, data, KEY)["samples"].astype(int) - drawn.astype(int)
        ).max()
        <= 1
    )
