"""bfloat16 is of the networks alone, and what they learn by it stays near float32."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from gen_jax import game
from gen_jax.data import pipeline
from gen_jax.networks.layers import BatchNorm, InstanceNorm
from gen_jax.precision import cast_floats, compute_dtype
from gen_jax.run import flops
from tests.test_experiments import NAMES, tiny


def games(name):
    """(module, its tiny config, the same in bfloat16, a batch)"""
    module = importlib.import_module(f"experiments.{name}")
    config = tiny(module)
    data = pipeline.load(module.source(config))
    raw = {name: jnp.asarray(array[: config.batch_size]) for name, array in data.train.items()}
    batch = data.prepare(raw, jax.random.key(0))
    low = dataclasses.replace(config, run=dataclasses.replace(config.run, precision="bfloat16"))
    return module, config, low, batch


@pytest.mark.parametrize("name", NAMES)
def test_networks_compute_in_bfloat16_and_all_else_stays_float32(name):
    module, _, config, batch = games(name)
    one = game.of(module, config)
    state = jax.eval_shape(one.init, jax.random.key(0), batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    after, metrics = jax.eval_shape(one.step, state, batch)
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == jax.tree.map(
        lambda leaf: leaf.dtype, state
    )
    assert {metric.dtype for metric in metrics.values()} == {jnp.dtype("float32")}
    moved = [
        n for player in module.players(config).values() for n in player.moves if n in state.params
    ]
    kernels = {
        leaf.shape for n in moved for leaf in jax.tree.leaves(state.params[n]) if leaf.ndim > 1
    }
    found = [product for product, _ in flops.products(jax.make_jaxpr(one.step)(state, batch).jaxpr)]
    operands = [(one.primitive.name, [operand.aval for operand in one.invars]) for one in found]
    of_networks = [
        o for kind, o in operands if kind[0] == "c" or any(a.shape in kernels for a in o)
    ]
    assert of_networks and {a.dtype for each in of_networks for a in each} == {
        jnp.dtype("bfloat16")
    }


@pytest.mark.parametrize(
    ("name", "cosine"), [("vae", 0.999), pytest.param("puzzlegan", 0.98, marks=pytest.mark.long)]
)
def test_bfloat16_stays_close_to_float32(name, cosine):
    """Losses within 2 %, and gradients whose directions agree, where eight bits of each number
    remain.
    """
    module, high, low, batch = games(name)

    def moved(config):
        """By gradient descent of rate 1 from the same state."""
        players = {
            n: p._replace(optimizer=optax.sgd(1.0), every=1, at=0)
            for n, p in module.players(config).items()
        }
        one = game.make(
            module.model(config), players, together=True, precision=config.run.precision
        )
        state = jax.jit(one.init)(jax.random.key(1), batch)
        after, metrics = jax.jit(one.step)(state, batch)
        gradients = jax.tree.map(lambda a, b: a - b, state.params, after.params)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)]), metrics

    (g, losses), (g16, losses16) = moved(high), moved(low)
    for metric, value in losses.items():
        if metric.endswith("/loss"):
            np.testing.assert_allclose(losses16[metric], value, rtol=0.02, atol=0.02)
    assert (g16 != g).any() and g @ g16 > cosine * np.linalg.norm(g) * np.linalg.norm(g16)


class Pair(nn.Module):
    """Two networks, one of which calls itself by another method."""

    norm: nn.Module
    inner: nn.Module

    def __call__(self, x):
        return self.norm(x), self.inner(x)


class Inner(nn.Module):
    def again(self, x):
        return x

    def __call__(self, x):
        return x.dtype == jnp.bfloat16, self.again(x).dtype == jnp.bfloat16, self.again(x)


@pytest.mark.parametrize("norm", [BatchNorm(), InstanceNorm(True)])
def test_statistics_are_taken_in_float32(norm):
    """Of values that bfloat16 holds but not their squares: whole numbers about 64."""
    x = 64 + jax.random.normal(jax.random.key(0), (4, 8, 8, 3)).round()
    model = Pair(norm, Inner())
    variables = model.init(jax.random.key(0), x)

    def out(precision):
        lowered = {**variables, "params": cast_floats(variables["params"], precision)}
        with compute_dtype(precision):
            return model.apply(lowered, x, mutable=["batch_stats"])[0]

    (expected, _), (got, (outer, nested, same)) = out("float32"), out("bfloat16")
    assert outer and nested and same.dtype == got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, atol=0.02)
