"""The words that every file shares. Aliases and two small records; imports nothing of ours."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, SupportsFloat

import jax

# Which numbers a key gives, whatever the environment says.
jax.config.update("jax_threefry_partitionable", True)

Array = jax.Array
Key = jax.Array  # a typed key, `jax.random.key(seed)`; never a raw uint32 array
Batch = Mapping[str, Array]  # {"image": [b, h, w, c], "label": [b], ...}
Metrics = dict[str, Array]  # name -> [] scalar
Params = dict[str, Any]  # network name -> its weights
Json = dict[str, Any]  # an object of a JSON file

# An objective is a plain function of the bound module: (model, batch, key) -> (loss [], metrics).
# `model` is the experiment's own module, which mypy cannot name here.
Objective = Callable[[Any, Batch, Key], tuple[Array, Metrics]]


class Measure(float):
    """A measured number that knows its unit: Measure(86.8, "nats per image")."""

    unit: str

    def __new__(cls, value: SupportsFloat, unit: str) -> "Measure":
        """The number as a float, from anything that converts to one."""
        measure = super().__new__(cls, value)
        measure.unit = unit
        return measure


@dataclasses.dataclass(frozen=True)
class Claim:
    """A number in a paper, to be shown beside ours."""

    value: float
    spread: float | None  # the paper's own +-, if it gives one
    where: str  # the place: "Table 1", "section 5, figure 2"
    status: Literal["read", "unverified"]  # "unverified" until read in the paper's own text
    better: Literal["higher", "lower"] = "lower"
    protocol: str = ""  # how the paper measured it, in one line
    # How far ours may be from it and still agree; by default the spread, else a share of the value.
    tolerance: float | None = None
    # The data set that it is about, as in `config.data`; a run on another one has no verdict.
    data: str | None = None
