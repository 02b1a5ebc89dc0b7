"""The file of an exported model: its weights as safetensors, and a description of them.

    params/NETWORK/...      the weights as they were trained
    average/NETWORK/...     their running averages, for the networks that have one
    COLLECTION/NETWORK/...  other variables, such as batch_stats

The description is a JSON object, in the metadata under "gen_jax". Its "sha256" is that of all else
in the file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
from flax import traverse_util
from safetensors import numpy as stored

from gen_jax.errors import CheckpointError, UserError
from gen_jax.run.weights import Weights
from gen_jax.storage import files
from gen_jax.types import Json

KEY = "gen_jax"  # of the metadata
FORMAT = 1
# Collections that training alone reads: generated images, and labelled training images.
LEFT_OUT = ("labelled", "pool")


def names(weights: Weights) -> dict[str, Any]:
    """Return each array by its name in the file."""
    kept = {name: tree for name, tree in weights.variables.items() if name not in LEFT_OUT}
    tree = {**kept, "params": weights.params, "average": weights.average}
    return dict(traverse_util.flatten_dict(tree, sep="/"))


def weights_of(arrays: Mapping[str, Any], step: int) -> Weights:
    """Return the weights with these names."""
    tree = traverse_util.unflatten_dict(arrays, sep="/")
    return Weights(
        tree.pop("params", {}), average=tree.pop("average", {}), variables=tree, step=step
    )


def write(path: Path, weights: Weights, description: Json) -> None:
    """Write the file. Equal weights and descriptions give equal bytes.

    Raises DirectoryError if it cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in names(weights).items()}
    known = {"format": FORMAT, **description, "step": weights.step}
    known["sha256"] = _sha256(known, arrays)
    # With one key only: safetensors writes several in any order.
    metadata = {KEY: json.dumps(known, indent=1, allow_nan=False)}
    files.replace(path, stored.save(arrays, metadata))


def describe(path: Path) -> Json:
    """Return the description in a file.

    Raises CheckpointError if this cannot be read, and UserError if this is no exported model.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            known = json.loads((file.metadata() or {}).get(KEY, "null"))
    except (OSError, safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(known, dict):
        raise UserError(f"{path} has no description of {KEY}: give a file of gen_jax.export.")
    if known.get("format") != FORMAT:
        raise UserError(
            f"{path} is of format {known.get('format')}, and this program reads {FORMAT}: "
            "use the release that wrote it."
        )
    return known


def load(path: Path, step: int | None = None) -> Weights:
    """Return the weights in a file.

    Raises UserError if they are of another step, and CheckpointError if the file is damaged.
    """
    known = describe(path)
    if step not in (None, known.get("step")):
        raise UserError(f"{path} has step {known.get('step')}, not {step}: leave out the step.")
    try:
        arrays = stored.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    if known.pop("sha256", None) != _sha256(known, arrays):
        raise _damaged(path, "it was changed after it was written")
    try:
        return weights_of({n: jnp.asarray(array) for n, array in arrays.items()}, known["step"])
    except (KeyError, TypeError) as error:
        raise _damaged(path, "its arrays do not fit its description") from error


def _sha256(description: Json, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description, and of the names, types, shapes and values of arrays."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read ({reason}): export the model again.")
