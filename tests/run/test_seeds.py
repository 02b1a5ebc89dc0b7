"""Seeds side by side: each is the run that it would be alone, rests where it would rest, and can be
resumed.
"""

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from experiments import cyclegan, vae
from gen_jax import game
from gen_jax.errors import CheckpointError, Interrupted, NonFiniteError, UserError
from gen_jax.game import Player
from gen_jax.run import seeds, train
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.experiment import presets
from gen_jax.run.log import read_lines
from tests.test_experiments import leaves

TINY = presets(vae)["tiny"][1]


def config(directory, *, steps=100, count=1, seed=4, **run):
    run = {
        "dir": directory,
        "devices": 1,
        "seed": seed,
        "seeds": count,
        "checkpoint_every": 40,
        "sample_every": 0,
        **run,
    }
    return dataclasses.replace(TINY, steps=steps, run=dataclasses.replace(TINY.run, **run))


@pytest.fixture
def unmeasured(monkeypatch):
    """Of a run that ends nothing is drawn or measured."""
    for name in ("evaluate", "sample"):
        monkeypatch.setattr(vae, name, lambda *_: {})


def test_each_seed_is_the_run_that_it_is_alone(tmp_path):
    both = train.run(vae, "tiny", config(tmp_path / "run", count=2))
    for i, state in enumerate(seeds.unstack(both, 2)):
        alone = train.run(vae, "tiny", config(tmp_path / f"alone{i}", seed=4 + i))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
            state.params,
            alone.params,
        )
        ours, theirs = (
            read_lines(tmp_path / where / "metrics.jsonl")
            for where in (f"run-s{4 + i}", f"alone{i}")
        )
        assert [line["step"] for line in ours] == [line["step"] for line in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert {*a} == {*b} and all(np.isclose(a[name], b[name], rtol=1e-3) for name in a)
        assert (tmp_path / f"run-s{4 + i}" / "report.html").exists()
        saved = (tmp_path / where / "config.json" for where in (f"run-s{4 + i}", f"alone{i}"))
        a, b = (path.read_text().replace(path.parent.name, "") for path in saved)
        assert a == b
    first, second = (part.params["encoder"] for part in seeds.unstack(both, 2))
    assert not np.allclose(jax.tree.leaves(first)[0], jax.tree.leaves(second)[0], atol=1e-2)


def test_stopped_seeds_go_on_together_even_where_one_was_saved_later(tmp_path):
    straight = train.run(
        vae, "tiny", config(tmp_path / "straight", steps=60, count=2, checkpoint_every=20)
    )
    with pytest.raises(Interrupted):
        train.run(
            vae, "tiny", config(tmp_path / "run", steps=60, count=2, checkpoint_every=20), until=40
        )
    checkpoints = tmp_path / "run-s5" / "checkpoints"
    newest = Checkpoints(checkpoints, keep=2, environment={}).steps()
    assert [path.name for path in newest] == ["step-000000040", "step-000000020"]
    (newest[0] / "SEAL.json").unlink()  # killed before the second seed was saved
    resumed = train.run(
        vae, "tiny", config(tmp_path / "run", steps=60, count=2, checkpoint_every=20)
    )
    assert leaves(resumed) == leaves(straight)
    for seed in (4, 5):
        a, b = (
            (tmp_path / f"{where}-s{seed}" / "metrics.jsonl").read_text()
            for where in ("straight", "run")
        )
        assert a == b
    said = (tmp_path / "run-s4" / "log.txt").read_text()
    assert "Resuming from the checkpoint of step 20" in said
    # the finished one, by itself
    alone = train.run(
        vae, "tiny", config(tmp_path / "run-s5", steps=60, seed=5, checkpoint_every=20)
    )
    assert leaves(alone.params) == leaves(seeds.unstack(straight, 2)[1].params)


class Two(nn.Module):
    """A weight that each of two players moves by its own number."""

    def setup(self):
        self.first, self.second = (nn.Dense(1, use_bias=False) for _ in range(2))


def test_a_resting_player_rests_in_every_seed():
    def moving(name):
        return lambda model, batch, key: (getattr(model, name)(batch["x"]).sum(), {})

    players = {
        "always": Player(("first",), moving("first"), optax.sgd(1.0)),
        "seldom": Player(("second",), moving("second"), optax.sgd(1.0), every=3, at=2),
    }
    one, batch = game.make(Two(), players), {"x": jnp.ones((1, 1))}
    states = [one.init(jax.random.key(seed), batch) for seed in range(3)]
    play = jax.vmap(
        lambda state: game.steps(one, state, lambda step: batch, 7), (seeds.AXES,), (seeds.AXES, 0)
    )
    after, metrics = jax.jit(play)(seeds.stack(states))
    assert int(after.step) == 7
    for name, moves in (("first", 7), ("second", 2)):
        before = jnp.stack([state.params[name]["kernel"] for state in states])
        np.testing.assert_allclose(after.params[name]["kernel"], before - moves, rtol=1e-6)
    played = ~np.isnan(metrics["seldom/loss"])
    np.testing.assert_array_equal(
        played, np.tile([False, False, True, False, False, True, False], (3, 1))
    )


@pytest.mark.parametrize("directory", [".", "..", "/", "runs/.."])
def test_a_directory_without_a_name_is_refused(directory):
    with pytest.raises(UserError, match="no seed can be appended to this name"):
        seeds.configs(config(Path(directory), count=2))
    assert [one.run.dir for one in seeds.configs(config(Path(directory)))] == [Path(directory)]


def test_what_cannot_be_side_by_side_is_refused(tmp_path):
    with pytest.raises(UserError, match="data must stay on the device: give --run"):
        train.run(vae, "tiny", config(tmp_path / "run", count=2, resident_megabytes=0))
    atoms = presets(cyclegan)["tiny"][1]
    atoms = dataclasses.replace(
        atoms, run=dataclasses.replace(atoms.run, dir=tmp_path / "atoms", seeds=2, devices=1)
    )
    with pytest.raises(UserError, match="each seed has different data"):
        train.run(cyclegan, "tiny", atoms)
    assert not any(tmp_path.iterdir())


def test_the_seed_that_diverges_is_named(tmp_path, monkeypatch):
    objective = vae.negative_elbo

    def diverging(model, batch, key, **options):
        loss, metrics = objective(model, batch, key, **options)
        far = jnp.abs(model.decoder.variables["params"]["Dense_0"]["bias"]).sum() >= 0  # always
        return jnp.where(far & (batch["step"] == 13), jnp.nan, loss), metrics

    monkeypatch.setattr(vae, "negative_elbo", diverging)
    with pytest.raises(NonFiniteError, match=r"not finite in step 14 of .*run-s4 \("):
        train.run(vae, "tiny", config(tmp_path / "run", count=2))


def test_a_seed_that_is_new_beside_others_is_refused_and_nothing_is_lost(tmp_path, unmeasured):
    """Two seeds, then four; one's directory removed; one's checkpoints removed; each alone."""
    train.run(vae, "tiny", config(tmp_path / "run", count=2))
    kept = {path.name for path in tmp_path.rglob("*")}
    with pytest.raises(
        UserError,
        match=r"run-s4 has started, but \S+run-s6 has not: .* --run.seed 6 --run.seeds 2, or",
    ):
        train.run(vae, "tiny", config(tmp_path / "run", count=4))
    assert {path.name for path in tmp_path.rglob("*")} == kept
    shutil.move(tmp_path / "run-s5", tmp_path / "away")
    with pytest.raises(UserError, match=r"--run.seed 5 --run.seeds 1 --run.dir \S+run-s5, or"):
        train.run(vae, "tiny", config(tmp_path / "run", count=2))
    shutil.move(tmp_path / "away", tmp_path / "run-s5")
    shutil.rmtree(tmp_path / "run-s5" / "checkpoints")
    with pytest.raises(
        CheckpointError, match=r"run-s5 is at step 0, but \S+run-s4 cannot go back to it"
    ):
        train.run(vae, "tiny", config(tmp_path / "run", count=2))
    assert len(Checkpoints(tmp_path / "run-s4" / "checkpoints", keep=2).steps()) == 2
    train.run(vae, "tiny", config(tmp_path / "run-s5", seed=5))
    train.run(vae, "tiny", config(tmp_path / "run", count=2))


@pytest.mark.parametrize("keep", [1, 2])
def test_a_seed_that_went_on_alone_is_not_taken_back_beyond_its_checkpoints(
    tmp_path, unmeasured, keep
):
    often = {"steps": 40, "checkpoint_every": 10, "keep": keep}
    with pytest.raises(Interrupted):
        train.run(vae, "tiny", config(tmp_path / "run", count=2, **often), until=20)
    train.run(vae, "tiny", config(tmp_path / "run-s4", seed=4, **often))
    lines = (tmp_path / "run-s4" / "metrics.jsonl").read_bytes()
    words = r"run-s5 is at step 20, but \S+run-s4 cannot go back to it: run seed 5 alone, .* --run.dir \S+run-s5"
    for _ in range(2):
        with pytest.raises(CheckpointError, match=words):
            train.run(vae, "tiny", config(tmp_path / "run", count=2, **often))
    assert len(Checkpoints(tmp_path / "run-s4" / "checkpoints", keep=2).steps()) == keep
    assert (tmp_path / "run-s4" / "metrics.jsonl").read_bytes() == lines
    train.run(vae, "tiny", config(tmp_path / "run-s5", seed=5, **often))


def test_a_run_of_this_seed_under_another_name_is_told(tmp_path, unmeasured, capsys):
    train.run(vae, "tiny", config(tmp_path / "run", steps=10))
    train.run(vae, "tiny", config(tmp_path / "run", steps=10, count=2))
    assert (
        f"The run in {tmp_path / 'run'} is a different run: --run.seeds appends the seed"
        in capsys.readouterr().out
    )
