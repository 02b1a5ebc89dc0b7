"""Devices as one, and each by itself: the same gradients, noise that differs, statistics as they
should be.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from experiments import cyclegan, vae
from gen_jax import game
from gen_jax.errors import Interrupted, UserError
from gen_jax.game import Player
from gen_jax.networks.layers import BatchNorm
from gen_jax.run import sharding, train
from gen_jax.run.experiment import presets
from gen_jax.run.log import read_lines
from tests.test_experiments import leaves

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


class Line(nn.Module):
    norm: bool

    def setup(self):
        self.line, self.noise = nn.Dense(1), nn.Dense(1)
        self.normed = BatchNorm()

    def loss(self, batch, key):
        noise = jax.random.normal(key, (1, 1))
        value = (self.line(batch["x"]) ** 2).mean() + self.noise(noise).sum()
        seen = self.normed(batch["x"]) if self.norm else batch["x"]
        return value + 0 * seen.mean(), {"noise": noise[0, 0], "square": noise[0, 0] ** 2}


def play(devices, *, norm=False, steps=3):
    """The state after steps of plain descent, each device on its part, or one device on all."""
    players = {
        "all": Player(("line", "noise", "normed")[: 3 if norm else 2], Line.loss, optax.sgd(0.1))
    }
    one, batch = game.make(Line(norm), players), {"x": jnp.asarray(X)}
    state, mesh = one.init(jax.random.key(0), batch), sharding.mesh(devices)

    def steps_of(state, raw, first, key):
        own = {"x": sharding.local_rows(raw["x"])} if devices > 1 else raw
        return game.steps(
            one, state, lambda step: own, steps, sharding.AXIS if devices > 1 else None
        )

    function = sharding.per_device(steps_of, mesh, raw_axis=None) if devices > 1 else steps_of
    return state, *jax.jit(function)(state, batch, 0, jax.random.key(1))


@pytest.mark.parametrize("devices", [2, 8])
def test_gradients_are_means_over_devices(devices):
    before, one, _ = play(1)
    _, many, metrics = play(devices)
    move = one.params["line"]["kernel"] - before.params["line"]["kernel"]
    assert np.abs(move).max() > 0.01
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        many.params["line"],
        one.params["line"],
    )
    # each device draws its own
    assert (metrics["all/square"] > metrics["all/noise"] ** 2 + 1e-4).all()
    spread = before.params["noise"]["kernel"] - many.params["noise"]["kernel"]
    # and the mean of all moves
    np.testing.assert_allclose(spread[0, 0], 0.1 * metrics["all/noise"].sum(), rtol=1e-4)


def test_running_statistics_are_means_of_the_devices():
    _, state, _ = play(2, norm=True, steps=1)
    got = state.variables["batch_stats"]["normed"]
    halves = X.reshape(2, 4, 3)
    np.testing.assert_allclose(got["mean"], 0.1 * X.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got["var"], 0.9 + 0.1 * halves.var(1).mean(0), rtol=1e-4)
    assert np.abs(halves.var(1).mean(0) - X.var(0)).max() > 0.01  # not those of the whole batch


TINY = presets(vae)["tiny"][1]


@pytest.fixture
def unmeasured(monkeypatch):
    """Of a run that ends nothing is drawn or measured."""
    for name in ("evaluate", "sample"):
        monkeypatch.setattr(vae, name, lambda *_: {})


@pytest.mark.long
@pytest.mark.parametrize("megabytes", [2048, 0])
def test_a_run_in_parts_is_resumed_bit_for_bit_and_known_as_one(tmp_path, megabytes):
    def config(where, **changes):
        changes = {
            "parallel": "pmap",
            "devices": 2,
            "dir": tmp_path / where,
            "resident_megabytes": megabytes,
            **changes,
        }
        return dataclasses.replace(TINY, run=dataclasses.replace(TINY.run, **changes))

    straight = train.run(vae, "tiny", config("straight"))
    with pytest.raises(Interrupted):
        train.run(vae, "tiny", config("run"), until=20)
    with pytest.raises(UserError, match=r"run.parallel: pmap there, jit here"):
        train.run(vae, "tiny", config("run", parallel="jit"))
    assert leaves(train.run(vae, "tiny", config("run"))) == leaves(straight)
    a, b = (read_lines(tmp_path / where / "metrics.jsonl") for where in ("run", "straight"))
    assert a == b and len(a) >= 3


def test_what_devices_would_each_have_is_refused(tmp_path):
    config = presets(cyclegan)["tiny"][1]
    run = dataclasses.replace(config.run, dir=tmp_path / "run", parallel="pmap", devices=2)
    with pytest.raises(UserError, match="each device would have its own pool"):
        train.run(cyclegan, "tiny", dataclasses.replace(config, run=run))
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_older_than_a_field_is_resumed(tmp_path, unmeasured):
    config = dataclasses.replace(
        TINY, run=dataclasses.replace(TINY.run, dir=tmp_path / "run", devices=1)
    )
    with pytest.raises(Interrupted):
        train.run(vae, "tiny", config, until=20)
    file = tmp_path / "run" / "config.json"
    content = json.loads(file.read_text())
    del content["config"]["run"]["parallel"], content["config"]["run"]["seeds"]
    file.write_text(json.dumps(content))
    train.run(vae, "tiny", config)
    assert read_lines(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == config.steps


def test_a_state_is_divided_along_the_longest_side_that_can_be():
    mesh = sharding.mesh(8)
    shapes = {"a": (64, 128), "b": (4096,), "small": (8, 8), "odd": (77, 99), "c": (3, 3, 24, 65)}
    places = sharding.fsdp_shardings(
        {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in shapes.items()}, mesh
    )
    divided = {name: place.shard_shape(shapes[name]) for name, place in places.items()}
    assert divided == {**shapes, "a": (64, 16), "b": (512,), "c": (3, 3, 3, 65)}


def test_a_divided_state_learns_as_a_whole_one_and_is_resumed_as_one_and_back(tmp_path, unmeasured):
    def config(where, **changes):
        run = dataclasses.replace(TINY.run, dir=tmp_path / where, **changes)
        return dataclasses.replace(TINY, hidden=(64,), run=run)

    whole = train.run(vae, "tiny", config("whole", devices=1))
    for until, changes in ((10, {"devices": 8, "fsdp": True}), (20, {"devices": 1})):
        with pytest.raises(Interrupted):
            train.run(vae, "tiny", config("run", **changes), until=until)
    divided = train.run(vae, "tiny", config("run", devices=8, fsdp=True))
    kernels = [
        leaf
        for leaf in jax.tree.leaves((divided.params, divided.optimizers))
        if leaf.shape == (64, 64)
    ]
    assert len(kernels) == 6  # two layers of 64 x 64, and both of Adam's moments
    assert all(leaf.addressable_shards[0].data.size == 64 * 64 / 8 for leaf in kernels)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        divided.params,
        whole.params,
    )


@pytest.mark.parametrize("changes", [{"parallel": "pmap"}, {"seeds": 2}])
def test_what_needs_all_weights_on_each_device_refuses_to_divide_them(changes):
    with pytest.raises(UserError, match=r"give --run\.no-fsdp"):
        dataclasses.replace(TINY.run, fsdp=True, **changes)
