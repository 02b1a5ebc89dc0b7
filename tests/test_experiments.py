"""The same six questions, asked of every paper on its `tiny` preset.

Losses and gradients are finite; each player moves its own networks and nothing else; one trace
serves all steps; a run that is stopped and resumed ends as one that was not, bit for bit; several
devices equal one; the table of parameters is the golden one (`python -m tests.golden` writes it
anew).

With `--paper MODULE`, they are asked of a file that is not in experiments/ instead, all but the
last.
"""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.errors import Interrupted
from gen_jax.run import directory, sharding, train
from gen_jax.run.experiment import check, completed, header, presets
from tests import golden

NAMES = golden.experiments()
STEPS = 12


class Played(NamedTuple):
    """One experiment, its first state and what a few compiled steps made of it."""

    module: Any
    config: Any
    data: pipeline.Data
    game: game.Game
    first: game.State
    last: game.State
    metrics: dict[str, np.ndarray]
    traces: int


def pytest_generate_tests(metafunc):
    given = metafunc.config.getoption("paper") or NAMES
    for fixture in {"name", "played"} & {*metafunc.fixturenames}:
        indirect = fixture == "played"
        metafunc.parametrize(fixture, given, indirect=indirect, scope="module")


def module_of(name):
    """A paper of experiments/ by its name, or any other by that of its module."""
    name = f"experiments.{name}" if name in NAMES else name
    try:
        return completed(importlib.import_module(name))
    except ModuleNotFoundError as error:
        if not name.startswith(error.name):
            raise
        pytest.fail(f"there is no module {name}: set PYTHONPATH to its folder", pytrace=False)


def tiny(module):
    known = presets(module)
    if "tiny" not in known:
        pytest.fail(
            f"{module.__name__} has no preset tiny, which the questions need", pytrace=False
        )
    return known["tiny"][1]


def born(one, data, config):
    raw = {name: jnp.asarray(array[: config.batch_size]) for name, array in data.train.items()}
    return jax.jit(lambda key: one.init(key, data.prepare(raw, key)))(jax.random.key(0))


def untrained(module, config):
    """The data, and the model with the weights of the first state."""
    data, key = pipeline.load(module.source(config)), jax.random.key(0)
    batch = data.prepare(
        {name: jnp.asarray(array[: config.batch_size]) for name, array in data.train.items()}, key
    )
    init = jax.jit(game.of(module, config).init)
    state = init(key, {**batch, **data.init_extras(data.train)})
    return data, game.trained(module.model(config), state)


def program(one, data, config, mesh, count):
    """(state, arrays) -> `count` steps, and how often it was traced."""
    batch_of = pipeline.resident(
        data.train, data.prepare, batch_size=config.batch_size, unpaired=data.unpaired
    )
    traces = []

    def play(state, arrays):
        traces.append(1)

        def batch(step):
            return sharding.split_batch(batch_of(arrays, jax.random.key(1), step, 0), mesh)

        return game.steps(one, state, batch, count)

    return jax.jit(play), traces


@pytest.fixture(scope="module")
def played(request):
    module = module_of(request.param)
    config = tiny(module)
    data, one, mesh = (
        pipeline.load(module.source(config)),
        game.of(module, config),
        sharding.mesh(1),
    )
    first = sharding.replicate(born(one, data, config), mesh)
    run, traces = program(one, data, config, mesh, STEPS // 2)
    arrays = sharding.replicate(dict(data.train), mesh)
    middle, _ = run(first, arrays)
    last, metrics = run(middle, arrays)
    return Played(module, config, data, one, first, last, jax.device_get(metrics), len(traces))


def test_losses_and_gradients_are_finite(played):
    assert (played.metrics[game.FINITE] == 1).all()
    assert all(
        np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(played.last.params))
    )


def test_each_player_moves_its_own_networks_and_nothing_else(played):
    players = played.module.players(played.config)
    batch = played.data.prepare(
        {
            name: jnp.asarray(array[: played.config.batch_size])
            for name, array in played.data.train.items()
        },
        jax.random.key(2),
    )
    for name, player in players.items():
        alone = game.make(
            played.module.model(played.config), {name: player._replace(every=1, at=0, average=None)}
        )
        before = played.last.replace(
            optimizers={name: played.last.optimizers[name]}, average={}, step=jnp.int32(0)
        )
        after, _ = jax.jit(alone.step)(before, batch)
        for network, params in before.params.items():
            same = jax.tree.map(lambda x, y: bool((x == y).all()), params, after.params[network])
            if network in player.moves:
                assert not any(jax.tree.leaves(same)), (
                    f"{name} leaves a weight of {network} as it is: {same}"
                )
            else:
                assert all(jax.tree.leaves(same)), f"{name} moves {network}: {same}"


def test_one_trace_serves_all_steps(played):
    assert played.traces == 1


def leaves(tree):
    keys = jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        tree,
    )
    return {
        jax.tree_util.keystr(path): np.asarray(x).tobytes()
        for path, x in jax.tree_util.tree_leaves_with_path(keys)
    }


def test_stopped_and_resumed_equals_straight_through_bit_for_bit(name, tmp_path):
    module = module_of(name)

    def config(where):
        return dataclasses.replace(
            tiny(module), run=dataclasses.replace(tiny(module).run, dir=tmp_path / where, devices=1)
        )

    straight = train.run(module, "tiny", config("straight"))
    for until in (1, config("").steps // 2 + 1):
        with pytest.raises(Interrupted):
            train.run(module, "tiny", config("stopped"), until=until)
    resumed = train.run(module, "tiny", config("stopped"))
    assert leaves(resumed) == leaves(straight)
    a, b = ((tmp_path / where / "metrics.jsonl").read_text() for where in ("straight", "stopped"))
    assert a == b and len(a.splitlines()) >= 3
    pictures = sorted(p.name for p in (tmp_path / "straight" / "samples").iterdir())
    assert pictures == sorted(p.name for p in (tmp_path / "stopped" / "samples").iterdir())
    again = train.run(module, "tiny", config("stopped"))  # a finished run has nothing left to do
    assert (
        leaves(again) == leaves(straight)
        and (tmp_path / "stopped" / "metrics.jsonl").read_text() == b
    )
    assert (tmp_path / "straight" / "report.html").stat().st_size > 1000


def test_several_devices_equal_one(played):
    """Under plain gradient descent: Adam would turn rounding noise into full steps."""
    players = {
        n: p._replace(optimizer=optax.sgd(1e-3))
        for n, p in played.module.players(played.config).items()
    }
    one = game.make(played.module.model(played.config), players)
    state = born(one, played.data, played.config)
    ends = []
    for count in (1, 8):
        mesh = sharding.mesh(count)
        run, _ = program(one, played.data, played.config, mesh, 4)
        end, metrics = run(
            sharding.replicate(state, mesh), sharding.replicate(dict(played.data.train), mesh)
        )
        ends.append(jax.device_get((end.params, end.variables, metrics)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *ends)


def test_parameters_equal_the_golden_table(name):
    if name not in NAMES:
        pytest.skip("it has no golden table")
    assert golden.table(module_of(name)) == json.loads(golden.path(name).read_text())


def test_the_file_says_what_it_replicates(name):
    module = module_of(name)
    check(module)
    paper = header(module)
    assert all(
        len(text) > 3
        for text in (paper.title, paper.authors, paper.venue, paper.replicated, paper.cost)
    )
    stem = name.rpartition(".")[2]
    assert directory.path_of(module, "quick", tiny(module)) == Path(f"runs/{stem}-quick-s0")
    if name in NAMES:
        assert f"python -m experiments.{name} quick" in module.__doc__
        assert {"quick", "tiny"} <= set(presets(module))
