"""Checkpoints that are saved, killed, damaged and restored in any order, and those of each
experiment.
"""

import json
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gen_jax.errors import CheckpointError
from gen_jax.run.checkpoint import SEAL, Checkpoints
from tests.faults import damages
from tests.golden import experiments

KEPT = 2


def state_of(step: int):
    return {"a": jnp.arange(300.0) * step, "step": jnp.int32(step)}


PLACE = jax.sharding.SingleDeviceSharding(jax.devices()[0])
TARGET = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=PLACE), state_of(0))


class Machine(RuleBasedStateMachine):
    """What is on the disk, against the list of steps that it should hold: {step: whether it is
    whole}.
    """

    def __init__(self):
        super().__init__()
        self.place = Path(tempfile.mkdtemp())
        self.steps: dict[int, bool] = {}
        self.last = 0
        self.opened = Checkpoints(self.place, keep=KEPT, environment={})

    def teardown(self):
        self.opened.close()
        shutil.rmtree(self.place)

    def path(self, step: int) -> Path:
        return self.place / f"step-{step:09d}"

    @rule()
    def save(self):
        self.last += 1
        self.opened.save(self.last, state_of(self.last), {"loss": 0.5 * self.last})
        self.steps[self.last] = True
        self.steps = dict(sorted(self.steps.items())[-KEPT:])

    @rule()
    def start_again(self):
        self.opened.close()
        self.opened = Checkpoints(self.place, keep=KEPT, environment={})

    @precondition(lambda self: self.steps)
    @rule(sealing=st.booleans())
    def kill_in_the_last_save(self, sealing):
        """Before its seal, or before Orbax has put it in its place."""
        self.opened.wait()
        last = max(self.steps)
        (self.path(last) / SEAL).unlink(missing_ok=True)
        self.steps[last] = False
        if not sealing:
            self.path(last).replace(self.path(last).with_suffix(".orbax-checkpoint-tmp"))
            del self.steps[last]

    @precondition(lambda self: self.steps)
    @rule(
        draw=st.data(),
        kind=st.sampled_from(sorted(damages.DAMAGE)),
        where=st.floats(0, 1, exclude_max=True),
    )
    def damage(self, draw, kind, where):
        self.opened.wait()
        step = draw.draw(st.sampled_from(sorted(self.steps)))
        files = sorted(f for f in self.path(step).rglob("*") if f.is_file() and f.stat().st_size)
        if files and (kind != "exchange" or len(self.steps) > 1):
            damages.DAMAGE[kind](draw.draw(st.sampled_from(files)), where)
            self.steps[step] = False

    @rule()
    def restore(self):
        self.opened.wait()
        good, said = [step for step, whole in self.steps.items() if whole], []
        if self.steps and not good:
            with pytest.raises(CheckpointError, match="No good checkpoint is left"):
                self.opened.restore(lambda step: TARGET, said.append)
            assert len(said) == len(self.steps)
            return
        found = self.opened.restore(lambda step: TARGET, said.append)
        if not self.steps:
            assert found is None
            return
        state, seal = found
        assert seal["step"] == max(good) and seal["record"] == {"loss": 0.5 * max(good)}
        assert all(
            (a == b).all()
            for a, b in zip(*map(jax.tree.leaves, (state, state_of(max(good)))), strict=True)
        )
        passed = [step for step in self.steps if step > max(good)]
        assert [line.partition(":")[0] for line in said] == [
            f"Skipping checkpoint step-{step:09d}" for step in sorted(passed, reverse=True)
        ]
        for step in passed:
            del self.steps[step]
        assert [path.name for path in self.opened.steps()] == [
            self.path(step).name for step in sorted(self.steps, reverse=True)
        ]


def test_whatever_happened_the_newest_whole_step_comes_back():
    many = settings(
        max_examples=20, stateful_step_count=15, deadline=None, derandomize=True, database=None
    )
    run_state_machine_as_test(Machine, settings=many)


@pytest.mark.parametrize(
    "name", [n if n == "vae" else pytest.param(n, marks=pytest.mark.long) for n in experiments()]
)
def test_each_experiment_names_what_is_not_finite_and_recovers_from_any_damage(name, tmp_path):
    said = damages.stopped(name, tmp_path)
    assert "is not finite in step 12 (" in said and "; the last checkpoint is kept" in said
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [4, 8]
    done = damages.damage(name, tmp_path, seed=0)
    assert done.made == done.reported == done.recovered >= 50
