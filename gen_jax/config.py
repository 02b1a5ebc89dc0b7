"""Command line, presets and `config.json` from frozen dataclasses whose fields carry their own ranges.

`--optimizer.learning-rate 1e-3` overrides a preset; every value is checked here, from the command line, from code and
from a file alike, before a device is started.
"""

import dataclasses
import json
import math
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)  # fmt: skip

from gen_jax.errors import UserError
from gen_jax.precision import Precision

SCHEMA = 1  # of config.json


class Range(NamedTuple):
    """The values that a number may have."""

    words: str
    least: float = -math.inf
    most: float = math.inf
    open: bool = False  # the ends are excluded

    def holds(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        return self.least < value < self.most if self.open else self.least <= value <= self.most


Positive = Annotated[float, Range("a finite number above 0", 0, open=True)]
NonNegative = Annotated[float, Range("a finite number, 0 or above", 0)]
Fraction = Annotated[float, Range("a number from 0 to 1", 0, 1)]
Count = Annotated[int, Range("a whole number from 1 to 2^31 - 1", 1, 2**31 - 1)]
Natural = Annotated[int, Range("a whole number from 0 to 2^31 - 1", 0, 2**31 - 1)]
Seed = Annotated[int, Range("a whole number from 0 to 2^31 - 1", 0, 2**31 - 1)]


class Checked:
    """A frozen dataclass whose values are checked against their annotations when it is made."""

    # For an older config.json: the values of fields that it does not have yet, and the fields that were renamed,
    # {"learning_rate": "adam.learning_rate"}.
    FORMERLY: ClassVar[Mapping[str, Any]] = {}
    RENAMED: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            _check(name, getattr(self, name), hint)

    def but(self, **changes: Any) -> Self:
        """A copy with other values for some fields, checked as all are."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def hints_of(kind: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass, by its name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _check(name: str, value: Any, hint: Any) -> None:
    wanted = _wanted(value, hint)
    if wanted:
        raise UserError(f"{name.replace('_', '-')} is {value!r}; it must be {wanted}.")


def _wanted(value: Any, hint: Any) -> str | None:
    """What `hint` asks for, in words, where `value` is not that."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        wanted = _wanted(value, args[0])
        bad = [r.words for r in args[1:] if isinstance(r, Range) and (wanted or not r.holds(value))]
        return " and ".join(bad) or wanted
    if origin in (Union, types.UnionType):
        misses = [_wanted(value, arg) for arg in args]
        return None if None in misses else " or ".join(m for m in misses if m)
    if origin is tuple:
        inner = args[0]
        if not isinstance(value, tuple) or not value:
            return "one value or more"
        return next((f"{w}, each" for w in (_wanted(v, inner) for v in value) if w), None)
    if str(origin) == "typing.Literal":
        return None if value in args else "one of " + ", ".join(map(str, args))
    if hint is float:
        return (
            None if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
        )
    if hint is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if hint is type(None):
        return None if value is None else "none"
    return None if isinstance(value, hint) else f"a {hint.__name__}"


@dataclasses.dataclass(frozen=True)
class Run(Checked):
    """What a run is called and how often it speaks; only seed, `parallel` and `precision` change what is learnt."""

    seed: Seed = 0
    """Of everything random: initial weights, the order of the data, noise."""
    seeds: Count = 1
    """So many runs, from this seed on, in one program; each has a directory of its own, that ends with its seed."""
    dir: Path | None = None
    """Where all of the run is written; by default runs/PAPER-PRESET-sSEED. The same command again resumes it."""
    data: Path | None = None
    """Where prepared data sets lie; by default $GEN_JAX_DATA or the user's cache folder."""
    devices: Natural = 0
    """How many devices share each batch; 0 is all that there are."""
    hosts: Count = 1
    """How many processes, on one host or several, share each batch, each having been given this command."""
    parallel: Literal["jit", "pmap"] = "jit"
    """They play as one, or each plays its part of a batch, with batch statistics and noise of its own, and gradients
    are averaged, as under jax.pmap."""
    fsdp: bool = False
    """Weights, optimizers and averages are divided among the devices, not copied to each: for large networks."""
    precision: Precision = "float32"
    """In which the networks compute as they learn; weights, statistics, penalties and losses stay in float32."""
    log_every: Count = 100
    """Steps between two lines of metrics.jsonl. One compiled program plays them, or equal parts of some seconds."""
    checkpoint_every: Count = 1000
    """Steps between two checkpoints, rounded up to whole lines of metrics.jsonl."""
    evaluate_every: Natural = 0
    """Steps between two evaluations, rounded up likewise; 0 is at the end only."""
    sample_every: Natural = 1000
    """Steps between two sample grids, rounded up likewise; 0 is at the end only."""
    keep: Count = 2
    """How many of the newest good checkpoints stay."""
    resident_megabytes: Natural = 2048
    """Data sets up to this size stay on the device; larger ones stream from the host."""
    strict: bool = False
    """Refuse to go on with other code, JAX settings or devices than those of the checkpoint, not only say so."""

    @classmethod
    def tiny(cls) -> Self:
        """That of a run of some forty steps: everything happens, twice or more."""
        return cls(log_every=10, checkpoint_every=20, sample_every=20)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, path in (("dir", self.dir), ("data", self.data)):
            _check_path(name, path)
        if self.fsdp and (self.parallel == "pmap" or self.seeds > 1):
            what = "parallel is pmap" if self.parallel == "pmap" else f"seeds is {self.seeds}"
            raise UserError(f"{what}, for which each device holds all weights: give --run.no-fsdp.")


def _check_path(name: str, path: Path | None) -> None:
    """A directory must be one of this machine, with a name that can be written down."""
    text = str(path or "")
    if re.match(r"[a-z][a-z0-9+.-]+:/", text):
        raise UserError(
            f"{name} is {text}, a remote address; give a path of this machine, on which it may be mounted."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{name} is {text!a}, which is no UTF-8 in this locale; give another."
        ) from error


# What may differ when a run is resumed; of the devices, the journal says what it means.
MAY_CHANGE_ON_RESUME = tuple(
    f"run.{name}"
    for name in ("dir", "data", "keep", "resident_megabytes", "devices", "hosts", "fsdp", "strict")
)


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and plain JSON values of a config, nested dataclass or dict."""
    items = (
        config
        if isinstance(config, dict)
        else {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    )
    for name, value in items.items():
        if isinstance(value, dict) or dataclasses.is_dataclass(value):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else _plain(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def to_json(config: Any) -> dict[str, Any]:
    """The nested plain dict of a config."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str, allow_nan=False))


def differences(
    old: dict[str, Any], new: dict[str, Any], ignore: tuple[str, ...] = MAY_CHANGE_ON_RESUME
) -> list[str]:
    """'field: old there, new here' for each dotted field that differs."""
    before, after = dict(flatten(old)), dict(flatten(new))
    return [
        f"{name}: {before.get(name, 'absent')} there, {after.get(name, 'absent')} here"
        for name in {**before, **after}
        if name not in ignore and before.get(name, "absent") != after.get(name, "absent")
    ]


C = TypeVar("C")


def formerly(kind: Any, values: Any) -> Any:
    """Plain values of a config of `kind`, each field that is newer than they are with what its absence stood for."""
    if not (isinstance(kind, type) and issubclass(kind, Checked) and isinstance(values, dict)):
        return values
    values = {**kind.FORMERLY, **values}
    for old, new in kind.RENAMED.items():
        if old in values:
            values = _moved(values, new.split("."), values[old])
            del values[old]
    hints = hints_of(kind)
    return {name: formerly(hints.get(name), value) for name, value in values.items()}


def _moved(values: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """Nested values with another one at a path."""
    inner = _moved(values.get(path[0], {}), path[1:], value) if path[1:] else value
    return {**values, path[0]: inner}


def from_json(kind: type[C], values: dict[str, Any], where: str) -> C:
    """A config from plain values, strictly: an unknown field, a wrong type or a value out of range is an error."""
    import dacite

    try:
        if not isinstance(values, dict):
            raise TypeError(f"it is a {type(values).__name__}, not an object")
        return dacite.from_dict(
            kind, formerly(kind, values), config=dacite.Config(strict=True, cast=[tuple, Path])
        )
    except (dacite.DaciteError, UserError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} does not hold the Config of {kind.__module__}: {error}"
        ) from error
