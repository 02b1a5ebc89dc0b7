"""The golden tables of parameters: path -> shape of each weight, and their number, for each preset
of each paper.
"""

import json
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp

from gen_jax import game as games
from gen_jax.data.multidomain import ATTRIBUTES
from gen_jax.game import named_params
from gen_jax.run.experiment import presets

HERE = Path(__file__).parent
PUBLISHED = {
    "tfds:celeb_a": {
        "image": (218, 178, 3),
        **dict.fromkeys((f"attributes.{a}" for a in ATTRIBUTES), ()),
    }
}


def experiments():
    """The names of all experiment files."""
    return sorted(
        p.stem for p in (HERE.parents[1] / "experiments").glob("*.py") if not p.stem.startswith("_")
    )


def path(name):
    """The file of an experiment's table."""
    return HERE / f"{name}.json"


@mock.patch("jax.default_backend", lambda: "gpu")
def table(module):
    """{preset: {network: {path: shape}, "total": count}} by tracing alone.

    As on a GPU, whose convolutions are traced in half the time of the CPU's.
    """
    tables = {}
    for preset, (_, config) in presets(module).items():
        source = module.source(config)
        shapes = jax.eval_shape(
            lambda key, black, config=config, source=source: games.of(module, config).init(
                key, source.prepare(black, key)
            ),
            jax.random.key(0),
            blank(source),
        )
        leaves = named_params(shapes.params)
        named = {where: list(leaf.shape) for where, leaf in leaves.items()}
        tables[preset] = {**named, "total": sum(leaf.size for leaf in leaves.values())}
    return tables


def blank(source):
    """Two black examples in the shape of a source's data, without opening it."""
    from gen_jax.data.catalog import sets

    if source.fields:
        return {
            name: jnp.zeros((2, *shape), dtype) for name, (shape, dtype) in source.fields.items()
        }
    if source.arrays:
        return {
            name: jnp.zeros((2, *array.shape[1:]), array.dtype)
            for name, array in source.arrays()[0].items()
        }
    if source.name in PUBLISHED:
        return {
            name: jnp.zeros((2, *shape), jnp.uint8)
            for name, shape in PUBLISHED[source.name].items()
        }
    shapes = sets.SOURCES[source.name].fields
    return {name: jnp.zeros((2, *field.shape), field.dtype) for name, field in shapes.items()}


def write():
    """Write all tables anew: look at the difference before you commit it."""
    import importlib

    for name in experiments():
        tables = table(importlib.import_module(f"experiments.{name}"))
        path(name).write_text(json.dumps(tables, indent=1) + "\n")
