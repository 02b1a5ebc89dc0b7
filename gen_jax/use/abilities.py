"""What a trained model can do: plain functions of experiments/abilities/, read by their types.

    def generate(config: Config, model: Trained, key: Key, count: Count = 64) -> Images:
        \"\"\"Draw images from the prior.\"\"\"

The first two parameters are the config and the networks, and `key` becomes a seed. The types of the
others say what Python, the command line and the web page ask for.
"""

import importlib
import inspect
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import jax
import numpy as np

from gen_jax import console
from gen_jax.config import Range
from gen_jax.errors import UserError
from gen_jax.run.opened import Opened
from gen_jax.types import Array
from gen_jax.use.picture_files import PictureFiles
from gen_jax.use.pictures import pictures

IMAGES, CODES = "images", "codes"
Images = Annotated[Array | np.ndarray, IMAGES]  # [n, h, w, 1 or 3] in [0, 1]
Codes = Annotated[Array | np.ndarray, CODES]  # [n, latents]
Abilities = tuple[Callable[..., Any], ...]  # what `abilities(config)` of a paper returns
MAX_SEED = 2**31 - 1
KINDS: Mapping[Any, Any] = {
    int: (int, "a whole number"),
    float: (int | float, "a number"),
    str: (str, "a text"),
}
CHUNK = 60  # images that go through the networks at a time


class Choices(NamedTuple):
    """The names among which a text is chosen, as a function of the config."""

    of: Callable[[Any], Sequence[str]]


class Parameter(NamedTuple):
    """What an ability asks for."""

    name: str
    kind: type | str  # int, float, str, IMAGES or CODES
    default: Any  # inspect.Parameter.empty if it must be given
    range: Range | None = None  # of a number
    choices: tuple[str, ...] = ()  # of a text

    def checked(self, value: Any, run: Opened) -> Any:
        """Return a value as the function takes it. Raises UserError if it is not valid."""
        if self.kind == IMAGES:
            return value if isinstance(value, PictureFiles) else _images(value, shape_of(run))
        if self.kind == CODES:
            return _codes(self.name, value, run.config.latents)
        value = value.item() if isinstance(value, np.generic) else value
        named = f"{self.name} is {reprlib.repr(value)}"
        if self.choices and value not in self.choices:
            raise UserError(f"{named}; choose from {', '.join(self.choices)}.")
        kind, words = KINDS[self.kind]
        fits = isinstance(value, kind) and not isinstance(value, bool)
        if not fits or (self.range and not self.range.holds(value)):
            raise UserError(f"{named}; it must be {self.range.words if self.range else words}.")
        return value


class Ability(NamedTuple):
    """Something that a trained model can do."""

    name: str
    function: Callable[..., Any]
    description: str
    parameters: tuple[Parameter, ...]
    seeded: bool  # it draws at random
    returns: str  # IMAGES, CODES or ""

    @property
    def signature(self) -> inspect.Signature:
        """What a user calls: without config and model, and with a seed for the key."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        given = [inspect.Parameter(one.name, kind, default=one.default) for one in self.parameters]
        if self.seeded:
            only = inspect.Parameter.KEYWORD_ONLY
            given.append(inspect.Parameter("seed", only, default=0))
        return inspect.Signature(given)

    def __call__(self, run: Opened, *args: Any, **kwargs: Any) -> Any:
        """Call the function with the networks of a run; images are returned as Pictures.

        Raises UserError for arguments that are not valid.
        """
        found = np.concatenate([*self.parts(run, *args, **kwargs)])
        return pictures(found) if self.returns == IMAGES else found

    def parts(self, run: Opened, *args: Any, **kwargs: Any) -> Iterator[np.ndarray]:
        """Yield what a call returns in parts, for at most CHUNK images or codes that go in."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UserError(f"{self.name}{self.signature}: {error}.") from error
        bound.apply_defaults()
        values = bound.arguments
        seed = values.pop("seed", 0)
        if not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
            raise UserError(f"seed is {seed!r}; it must be a whole number from 0 to 2^31 - 1.")
        given = {one.name: one.checked(values[one.name], run) for one in self.parameters}
        for index, some in enumerate(self._chunks(given)):
            found = self._part(run, int(seed), index, some)
            yield pictures(found) if self.returns == IMAGES else found

    def _chunks(self, given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the arguments with at most CHUNK images or codes at a time, if there are any."""
        names = [one.name for one in self.parameters if one.kind in (IMAGES, CODES)]
        if not names:
            yield given
            return
        starts = range(0, len(given[names[0]]), CHUNK)
        with console.progress(f"{self.name}, {CHUNK} at a time", len(starts)) as advance:
            for i in starts:
                yield {**given, **{name: given[name][i : i + CHUNK] for name in names}}
                advance(1)

    def _part(self, run: Opened, seed: int, index: int, given: Mapping[str, Any]) -> np.ndarray:
        key = jax.random.key(seed)
        key = jax.random.fold_in(key, index) if index else key
        extra = {"key": key} if self.seeded else {}
        return np.asarray(self.function(run.config, run.trained, **extra, **given))


def of(run: Opened) -> Mapping[str, Ability]:
    """Return what the model of a run can do, by name. Raises UserError if nothing is declared."""
    known: Sequence[Callable[..., Any]] = _module(run).abilities(run.config)
    return {function.__name__: _ability(function, run.config) for function in known}


def shape_of(run: Opened) -> tuple[int, int, int]:
    """Return (height, width, channels) of the images of a run."""
    found: tuple[int, int, int] = _module(run).shape(run.config)
    return found


def _module(run: Opened) -> Any:
    """Return the module with `abilities` and `shape`: the file of the paper, the one of its name in
    abilities/ beside it, or that of the paper of which it is a variant.
    """
    experiment: Any = run.experiment
    while experiment is not None:
        if callable(getattr(experiment, "abilities", None)):
            return experiment
        package, _, name = experiment.__name__.rpartition(".")
        place = f"{package}.abilities.{name}".lstrip(".")
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not place.startswith(error.name):
                raise
        experiment = getattr(experiment, "BASE", None)
    raise UserError(
        f"{run.experiment.__name__} declares nothing that its model can do: write abilities(config) "
        "and shape(config), as docs/extend.md says."
    )


def _ability(function: Callable[..., Any], config: Any) -> Ability:
    hints = get_type_hints(function, include_extras=True)
    parameters, seeded = [], False
    for name, one in [*inspect.signature(function).parameters.items()][2:]:
        if name == "key":
            seeded = True
            continue
        parameters.append(_parameter(name, hints[name], one.default, config))
    returned = get_args(hints["return"])
    description = inspect.getdoc(function) or ""
    returns = next((mark for mark in returned if mark in (IMAGES, CODES)), "")
    return Ability(function.__name__, function, description, tuple(parameters), seeded, returns)


def _parameter(name: str, hint: Any, default: Any, config: Any) -> Parameter:
    plain, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    for mark in marks:
        if isinstance(mark, Range):
            return Parameter(name, plain, default, range=mark)
        if isinstance(mark, Choices):
            return Parameter(name, str, default, choices=tuple(mark.of(config)))
        if mark in (IMAGES, CODES):
            return Parameter(name, mark, default)
    return Parameter(name, plain, default)


def _images(value: Any, shape: tuple[int, int, int]) -> np.ndarray:
    """Return images as float32 [n, h, w, c] in [0, 1]. Raises UserError for another shape."""
    array = np.asarray(value)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[1:] != shape or not len(array):
        size = list(np.shape(value))
        raise UserError(f"the images have shape {size}; give [n, {', '.join(map(str, shape))}].")
    if array.dtype == np.uint8:
        return array / np.float32(255)
    if array.dtype.kind != "f" or not (array.min() >= 0 and array.max() <= 1):
        raise UserError("the images are neither uint8 nor real values from 0 to 1.")
    return array.astype(np.float32)


def _codes(name: str, value: Any, latents: int) -> np.ndarray:
    """Return codes as float32 [n, latents]. Raises UserError for another shape."""
    array = np.atleast_2d(np.asarray(value))
    if array.ndim != 2 or array.shape[1] != latents or not len(array):
        raise UserError(f"{name} has shape {list(np.shape(value))}; give numbers [n, {latents}].")
    if array.dtype.kind not in "fiu":
        raise UserError(f"{name} is of type {array.dtype}; give real numbers.")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{name} has a number that is not finite in float32.")
    return array


def read_codes(path: Path | str, name: str) -> np.ndarray:
    """Return the array in a .npy. Raises UserError, which names the file, if it cannot be read."""
    try:
        return np.atleast_2d(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise UserError(
            f"{name} cannot be read as .npy{reason}: give an array of numbers [n, k]."
        ) from error
