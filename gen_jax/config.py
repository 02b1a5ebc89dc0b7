"""Command line, presets and `config.json`, from frozen dataclasses whose fields have ranges.

`--optimizer.learning-rate 1e-3` overrides a preset. Values from the command line, from code and
from a file are all checked here, before a device is initialised.
"""

import dataclasses
import json
import math
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from gen_jax.errors import UserError
from gen_jax.precision import Precision
from gen_jax.types import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C")
Changes = Mapping[str, object]  # dotted field of a config -> its new value

SCHEMA = 1  # of config.json


class Range(NamedTuple):
    """The valid values of a number."""

    words: str
    least: float = -math.inf
    most: float = math.inf
    open: bool = False  # the ends are excluded

    def holds(self, value: object) -> bool:
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.least < value < self.most if self.open else self.least <= value <= self.most


Positive = Annotated[float, Range("a finite number above 0", 0, open=True)]
NonNegative = Annotated[float, Range("a finite number, 0 or above", 0)]
Fraction = Annotated[float, Range("a number from 0 to 1", 0, 1)]
Decay = Annotated[float, Range("a number from 0 to below 1", 0, math.nextafter(1, 0))]
Count = Annotated[int, Range("a whole number from 1 to 2^31 - 1", 1, 2**31 - 1)]
Natural = Annotated[int, Range("a whole number from 0 to 2^31 - 1", 0, 2**31 - 1)]
Seed = Annotated[int, Range("a whole number from 0 to 2^31 - 1", 0, 2**31 - 1)]


class Checked:
    """A frozen dataclass whose values are checked against their annotations on creation.

    Raises UserError for an invalid value.
    """

    # For an older config.json: the values of fields that it lacks, and renamed fields,
    # {"learning_rate": "adam.learning_rate"}.
    FORMERLY: ClassVar[Mapping[str, object]] = {}
    RENAMED: ClassVar[Mapping[str, str]] = {}
    LENGTH: ClassVar[str] = "steps"  # the field that makes a run longer

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            _check(name, getattr(self, name), hint)

    def but(self, **changes: object) -> Self:
        """Return a copy with other values; raises UserError if a field or a value is not valid."""
        known = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        if unknown := sorted({*changes} - {*known}):
            names = ", ".join(known)
            raise UserError(f"{type(self).__name__} has no field {unknown[0]}; it has {names}.")
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


def changed(config: C, changes: Changes) -> C:
    """Return a config with other values, by dotted name: {"adam.learning_rate": 1e-4}.

    Raises UserError if a field does not exist or a value is not valid.
    """
    if not isinstance(config, Checked):
        raise UserError(f"a {type(config).__name__} has no fields: {', '.join(changes)}.")
    values: dict[str, object] = {name: v for name, v in changes.items() if "." not in name}
    inner: dict[str, dict[str, object]] = {}
    for name, value in changes.items():
        outer, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(outer, {})[rest] = value
    config.but(**{name: None for name in inner if not hasattr(config, name)})  # raises
    nested = {name: changed(getattr(config, name), own) for name, own in inner.items()}
    return config.but(**values, **nested)


def hints_of(kind: "type[Checked]") -> dict[str, object]:
    """Return the annotation of each field of a dataclass, by name."""
    hints = get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return {field.name: hints[field.name] for field in fields}


def _check(name: str, value: object, hint: object) -> None:
    wanted = _wanted(value, hint)
    if wanted:
        raise UserError(f"{name.replace('_', '-')} is {value!r}; it must be {wanted}.")


def _wanted(value: object, hint: object) -> str | None:
    """Describe the values that the annotation `hint` allows; None if `value` is one of them."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        wanted = _wanted(value, args[0])
        ranges = [one for one in args[1:] if isinstance(one, Range)]
        bad = [one.words for one in ranges if wanted or not one.holds(value)]
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
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return None if fits else "a number"
    if hint is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
        return None if fits else "a whole number"
    if hint is type(None):
        return None if value is None else "none"
    if not isinstance(hint, type):
        raise TypeError(f"the annotation {hint} cannot be checked")
    return None if isinstance(value, hint) else f"a {hint.__name__}"


@dataclasses.dataclass(frozen=True)
class Run(Checked):
    """The settings of a run that are not in a paper.

    Only `seed`, `parallel`, `precision`, `init_from` and `init_networks` affect the learned
    weights.
    """

    seed: Seed = 0
    """Seed of all random numbers: initial weights, order of the data, noise."""
    seeds: Count = 1
    """Number of seeds, from `seed` on, that run side by side in one program. Each seed is a
    separate run in a directory whose name ends with the seed.
    """
    dir: Path | None = None
    """Directory of the run; default: runs/PAPER-PRESET-sSEED. Running the same command again
    resumes the run.
    """
    data: Path | None = None
    """Directory of prepared data sets; default: $GEN_JAX_DATA or the user's cache folder."""
    devices: Natural = 0
    """Number of devices that share each batch; 0 uses all devices."""
    hosts: Count = 1
    """Number of processes, on one host or several, that share each batch. Each is started with this
    command.
    """
    init_from: Path | None = None
    """Start from the networks of another run: its directory, or DIRECTORY@STEP for another step
    than its newest. Optimizers start anew, at step 0. A paper may name published weights.
    """
    init_networks: tuple[str, ...] | None = None
    """The networks to start from; default: all whose names both runs have. The others start at
    random.
    """
    parallel: Literal["jit", "pmap"] = "jit"
    """jit: all devices compute one step together. pmap: each device computes the step on its part
    of the batch, with its own batch statistics and noise, and gradients are averaged, as with
    jax.pmap.
    """
    fsdp: bool = False
    """Divide weights, optimizer states and averages among the devices instead of replicating them,
    for large networks.
    """
    precision: Precision = "float32"
    """Floating-point type of the networks in training; weights, statistics, penalties and losses
    stay in float32.
    """
    log_every: Count = 100
    """Steps per line of metrics.jsonl. A compiled program runs all of them, or an equal part that
    takes a few seconds.
    """
    checkpoint_every: Count = 1000
    """Steps between checkpoints, rounded up to whole lines of metrics.jsonl."""
    evaluate_every: Natural = 0
    """Steps between evaluations, rounded up to whole lines of metrics.jsonl; 0: only at the end."""
    sample_every: Natural = 1000
    """Steps between sample grids, rounded up to whole lines of metrics.jsonl; 0: only at the end.
    """
    keep: Count = 2
    """Number of newest good checkpoints to keep."""
    resident_megabytes: Natural = 2048
    """Maximum size of data sets that stay on the device; larger ones are streamed from the host."""
    strict: bool = False
    """Refuse to resume if code, JAX settings or devices differ from those of the checkpoint; by
    default, differences are only logged.
    """

    @classmethod
    def tiny(cls) -> Self:
        """Return the settings of a run of about forty steps, in which everything happens at least
        twice.
        """
        return cls(log_every=10, checkpoint_every=20, sample_every=20)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dir", "data", "init_from"):
            _check_path(name.replace("_", "-"), getattr(self, name))
        if self.init_networks and not self.init_from:
            names = ", ".join(self.init_networks)
            raise UserError(f"init-networks is {names}, of no run: give --run.init-from too.")
        if self.fsdp and (self.parallel == "pmap" or self.seeds > 1):
            what = "parallel is pmap" if self.parallel == "pmap" else f"seeds is {self.seeds}"
            raise UserError(f"{what}, which needs all weights on each device: give --run.no-fsdp.")


def _check_path(name: str, path: Path | None) -> None:
    """Raise UserError unless the directory is local and its name can be encoded."""
    text = str(path or "")
    if re.match(r"[a-z][a-z0-9+.-]+:/", text):
        raise UserError(
            f"{name} is {text}, a remote address; give a local path, such as a mount point."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{name} is {text!a}, which is not valid in the encoding of this locale; give another."
        ) from error


# Settings of a run that do not change what it learns.
NEUTRAL = tuple(
    f"run.{field.name}"
    for field in dataclasses.fields(Run)
    if field.name not in ("seed", "parallel", "precision", "init_from", "init_networks")
)
# Fields that may change when a run is resumed, besides its length. A change of devices is logged in
# log.txt, and one of INTERVALS in config.json.
INTERVALS = tuple(
    f"run.{name}"
    for name in ("log_every", "checkpoint_every", "evaluate_every", "sample_every", "keep")
)
MAY_CHANGE_ON_RESUME = INTERVALS + tuple(
    f"run.{name}"
    for name in ("dir", "data", "resident_megabytes", "devices", "hosts", "fsdp", "strict")
)


def flatten(config: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted names and plain JSON values of a nested dataclass or dict."""
    items = config if isinstance(config, dict) else _fields(config)
    for name, value in items.items():
        if isinstance(value, dict) or dataclasses.is_dataclass(value):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            yield f"{prefix}{name}", list(value)
        else:
            yield f"{prefix}{name}", str(value) if isinstance(value, Path) else value


def _fields(config: object) -> dict[str, object]:
    if not dataclasses.is_dataclass(config):
        raise TypeError(f"a {type(config).__name__} is not a dataclass")
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def to_json(config: "DataclassInstance") -> Json:
    """Return a config as a nested plain dict."""
    text = json.dumps(dataclasses.asdict(config), default=str, allow_nan=False)
    values: Json = json.loads(text)
    return values


def differences(old: Json, new: Json, ignore: tuple[str, ...] = MAY_CHANGE_ON_RESUME) -> list[str]:
    """Return 'field: OLD there, NEW here' for each dotted field that differs."""
    before, after = dict(flatten(old)), dict(flatten(new))
    names = [name for name in {**before, **after} if name not in ignore]
    pairs = {name: (before.get(name, "absent"), after.get(name, "absent")) for name in names}
    return [f"{name}: {was} there, {now} here" for name, (was, now) in pairs.items() if was != now]


def formerly(kind: object, values: Json) -> Json:
    """Convert the values of an older config.json to the current fields of the config type `kind`.

    Newer fields get the values that correspond to their absence, and renamed fields get their new
    names.
    """
    if not (isinstance(kind, type) and issubclass(kind, Checked)):
        return values
    values = {**kind.FORMERLY, **values}
    for old, new in kind.RENAMED.items():
        if old in values:
            values = _moved(values, new.split("."), values[old])
            del values[old]
    hints = hints_of(kind)
    return {
        name: formerly(hints.get(name), value) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _moved(values: Json, path: list[str], value: object) -> Json:
    """Return nested values with the value at a path replaced."""
    inner = _moved(values.get(path[0], {}), path[1:], value) if path[1:] else value
    return {**values, path[0]: inner}


def from_json(kind: type[C], values: object, where: str) -> C:
    """Return a config of the type `kind` from plain values; `where` names their origin in errors.

    Raises UserError for an unknown field, a wrong type or a value out of range.
    """
    import dacite

    strict = dacite.Config(strict=True, cast=[tuple, Path])
    try:
        if not isinstance(values, dict):
            raise TypeError(f"it is a {type(values).__name__}, not an object")
        return dacite.from_dict(kind, formerly(kind, values), config=strict)
    except (dacite.DaciteError, UserError, TypeError, ValueError) as error:
        raise UserError(f"{where} is not a valid Config of {kind.__module__}: {error}") from error
