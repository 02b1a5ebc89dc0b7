"""What is known of a trained model beside its weights."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from gen_jax import config as configs
from gen_jax.data.catalog import folder_names, sets
from gen_jax.data.synthetic import worlds
from gen_jax.run import checkpoint, exported, provenance
from gen_jax.run.directory import read_json
from gen_jax.run.opened import Opened
from gen_jax.run.weights import Weights
from gen_jax.storage import files
from gen_jax.types import Json

VERSION = "0.1.0"  # as in setup.cfg
ADDRESS = re.compile(" at 0x[0-9a-f]+")  # in memory, which differs in each process
DRAWN = (*worlds.MIXTURES, "atoms", "discs", "shapes")  # data that are computed


def describe(run: Opened, found: Weights) -> Json:
    """Return the config, the networks, the data and the code of a run with these weights.

    Raises CheckpointError if the checkpoint is damaged.
    """
    place = run.directory / "checkpoints" / checkpoint.STEP.format(found.step)
    seal, config = checkpoint.verify(place), configs.to_json(run.config)
    # Places on the machine of the run, which another one does not have.
    config["run"] |= {"dir": None, "data": None}
    own = read_json(run.directory / "config.json")
    return {
        "project": "gen_jax",
        "version": VERSION,
        "experiment": run.experiment.__name__,
        "preset": run.preset,
        "seed": run.config.run.seed,
        "config": config,
        "architecture": _fields(run.experiment.model(run.config)),
        "networks": {
            name: {
                "parameters": sum(array.size for array in jax.tree.leaves(tree)),
                "average": name in found.average,
            }
            for name, tree in found.params.items()
        },
        "left_out": sorted({*found.variables} & {*exported.LEFT_OUT}),
        "data": {**licence(run), "sha256": own.get("data")},
        "start": own.get("start"),  # the weights of another run that this one started from
        "commit": seal["environment"].get("commit"),
        "code": provenance.digest(seal["code"]) if "code" in seal else None,
        "jax": seal["environment"].get("jax"),
        "flax": seal["environment"].get("flax"),
        "checkpoint": files.sha256(place / checkpoint.SEAL),
    }


def _fields(value: Any) -> Any:
    """Return a module, or the value of one of its fields, as plain JSON."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return [_fields(one) for one in value]
    kind = type(value)
    names: Sequence[str] = getattr(value, "_fields", ())
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    if names:
        own = ("parent", "name") if isinstance(value, nn.Module) else ()
        named = {name: _fields(getattr(value, name)) for name in names if name not in own}
        return {"class": _name(kind), **named}
    return _name(value) if hasattr(value, "__name__") else ADDRESS.sub("", repr(value))


def _name(value: Any) -> str:
    return f"{value.__module__}.{getattr(value, '__qualname__', value.__name__)}"


def licence(run: Opened) -> Json:
    """Return the name of the data, and where they are from, their licence and whom to cite."""
    name = getattr(run.config, "data", None) or run.experiment.source(run.config).name
    if known := sets.SOURCES.get(name):
        source, licence, citation = known.origin, known.licence, known.citation
    elif folder_names.is_folder(name):
        source, licence, citation = "a folder of the user's pictures", "not known", None
    elif name in DRAWN:
        source, licence, citation = "computed by gen_jax", "that of gen_jax, Apache-2.0", None
    else:
        source, licence, citation = "TensorFlow Datasets", "not known: see its catalogue", None
    return {"name": name, "source": source, "licence": licence, "citation": citation}
