"""TensorFlow.js's format: little-endian numbers in files, whose order, names, types and shapes a
manifest gives.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError

TYPES = {"float32": "<f4", "int32": "<i4"}


def read(folder: Path, split: str, sizes: Mapping[str, int]) -> Iterator[Block]:
    """The arrays of one model."""
    try:
        (group,) = json.loads((folder / "model.json").read_bytes())["weightsManifest"]
        content = b"".join((folder / Path(path).name).read_bytes() for path in group["paths"])
        block, start = {}, 0
        for entry in group["weights"]:
            if entry["dtype"] not in TYPES or "quantization" in entry:
                raise ValueError("weights that are neither float32 nor int32")
            part = np.frombuffer(content, TYPES[entry["dtype"]], math.prod(entry["shape"]), start)
            block[entry["name"]] = part.reshape(entry["shape"])
            start += part.nbytes
        if start != len(content):
            raise ValueError(f"{len(content)} bytes, not the {start} of the manifest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the weights in {folder} are not the package that they should be ({error})."
        ) from error
    yield block
