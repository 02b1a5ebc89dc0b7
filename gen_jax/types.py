"""The words that every file shares. Aliases and two small records; imports nothing of ours."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
from flax import linen as nn

jax.config.update("jax_threefry_partitionable", True)  # which numbers a key gives, whatever the environment says

Array = jax.Array
Key = jax.Array  # a typed key, `jax.random.key(seed)`; never a raw uint32 array
Batch = Mapping[str, Array]  # {"image": [b, h, w, c], "label": [b], ...}
Metrics = dict[str, Array]  # name -> [] scalar
Params = dict[str, Any]  # network name -> its weights

# An objective is a plain function of the bound module: (model, batch, key) -> (loss [], metrics).
Objective = Callable[[nn.Module, Batch, Key], tuple[Array, Metrics]]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A number in a paper, to be shown beside ours."""

    value: float
    spread: float | None  # the paper's own +-, if it gives one
    where: str  # the place: "Table 1", "section 5, figure 2"
    status: Literal["read", "unverified"]  # "unverified" until read in the paper's own text
    better: Literal["higher", "lower"] = "lower"
    protocol: str = ""  # how the paper measured it, in one line
    tolerance: float | None = None  # within which ours agrees; else the spread, else a share of the value
