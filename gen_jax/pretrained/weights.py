"""Pretrained weights: fetched once, as data sets are, and kept as safetensors in the user's cache.

They are identified by the hash of their values, so every source gives the same weights. No code of
a package is run, and no pickle is executed.
"""

import dataclasses
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
from safetensors import numpy as stored

from gen_jax.data.catalog import fetch
from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError, DirectoryError
from gen_jax.storage import cache, files

log = logging.getLogger("gen_jax.pretrained")


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights of one network."""

    name: str
    description: str
    licence: str
    citation: str
    # Tried in this order. The reader of each yields blocks of named arrays.
    ways: tuple[fetch.Mirror, ...]
    sha256: str  # of the values: `digest`

    @property
    def path(self) -> Path:
        """Where they are kept."""
        return cache.folder("pretrained") / f"{self.name}-{self.sha256[:8]}.safetensors"


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256, in hex, of names, types, shapes and values."""
    named = sorted(arrays.items())
    return cache.digest(
        *(
            part
            for name, a in named
            for part in (f"{name} {a.dtype} {list(a.shape)}\n", a.tobytes())
        )
    )


def load(weights: Weights) -> Block:
    """{name: array}, from the user's cache, or fetched now."""
    path = weights.path
    try:
        if path.exists():
            kept = stored.load_file(path)
            if digest(kept) == weights.sha256:
                return kept
            log.warning(
                "%s: %s holds other values than it should; they are fetched again.",
                weights.name,
                path,
            )
    except (OSError, safetensors.SafetensorError) as error:
        log.warning(
            "%s: %s cannot be read (%s); they are fetched again.", weights.name, path, error
        )
    arrays, how = _fetched(weights)
    if (found := digest(arrays)) != weights.sha256:
        raise DataError(
            f"{weights.name}, {how}, has other values than it should (SHA-256 {found}, expected {weights.sha256}): "
            "place its files by hand."
        )
    try:
        files.replace(
            path,
            stored.save({name: np.asarray(array, order="C") for name, array in arrays.items()}),
        )
    except DirectoryError as error:
        log.warning("%s: used but not kept: %s", weights.name, error)
    return arrays


def _fetched(weights: Weights) -> tuple[Block, str]:
    """The arrays, and how they came."""
    base = cache.data_folder().absolute()
    with tempfile.TemporaryDirectory() as work:
        way, folder, how = fetch.obtain(
            weights.name,
            weights.ways,
            base,
            Path(work),
            command="gen_jax.pretrained",
            kept=weights.path,
        )
        log.info("%s: taken %s", weights.name, how)
        return {
            name: array for block in way.read(folder, "", {}) for name, array in block.items()
        }, how
