"""What a trained model can do, as functions that run with JAX alone.

jax.export writes StableHLO in a flatbuffer, without pickle. A function has no weights inside: it
takes all arrays of the exported model, by their names.
"""

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export

from gen_jax.errors import UserError
from gen_jax.run import exported
from gen_jax.run.opened import Opened
from gen_jax.run.weights import Weights
from gen_jax.types import Array, Json
from gen_jax.use import abilities
from gen_jax.use.abilities import CHUNK, IMAGES, Ability, Parameter

PLATFORMS = ("cpu", "cuda", "tpu")
# Numbers of images or codes: any, any multiple of three, or this one. The first that is possible.
COUNTS = ("n", "3*n", str(CHUNK))
LOCATIONS = "jax_hlo_source_file_canonicalization_regex"


class Function(NamedTuple):
    """A function for a file."""

    content: bytes
    arguments: dict[str, str]  # beside the weights: name -> type and shape
    returns: str
    fixed: dict[str, int]  # numbers of images that it does not take as arguments
    choices: dict[str, tuple[str, ...]]  # argument -> the texts of which it is an index

    @property
    def signature(self) -> str:
        """What it takes and returns, in one line."""
        given = [f"{name}: {kind}" for name, kind in self.arguments.items()]
        fixed = [f", {name} is {value}" for name, value in self.fixed.items()]
        return f"({', '.join(['weights', *given])}) -> {self.returns}{''.join(fixed)}"

    def describe(self) -> Json:
        """Return all but the content, whose hash is there instead, as plain JSON."""
        known = self._asdict()
        sha256 = hashlib.sha256(known.pop("content")).hexdigest()
        return {**known, "sha256": sha256}


def function(run: Opened, ability: Ability, found: Weights) -> Function:
    """Return an ability as a function of weights and of named arguments.

    A seed stands for the key, the index of a choice for its text, and numbers of images are fixed
    at their defaults. Raises UserError, with the reason, if this cannot be.
    """
    fixed = {one.name: one.default for one in ability.parameters if one.kind is int}
    given = [one for one in ability.parameters if one.kind is not int]
    choices = {one.name: one.choices for one in given if one.choices}
    for one in ability.parameters:
        if one.kind is str and not one.choices:
            raise UserError(f"{one.name} is a text, which only Python encodes")
    if inspect.Parameter.empty in fixed.values() or len(choices) > 1:
        raise UserError("it has a number of images without a default, or several choices")

    def call(weights: Mapping[str, Array], **values: Any) -> Array:
        model = run.with_weights(exported.weights_of(weights, found.step))
        if ability.seeded:
            values["key"] = jax.random.key(values.pop("seed"))

        def of(**choice: str) -> Array:
            return jnp.asarray(ability.function(run.config, model, **fixed, **{**values, **choice}))

        if not choices:
            return of()
        ((name, texts),) = choices.items()
        branches = [partial(of, **{name: text}) for text in texts]
        return jax.lax.switch(values[name], branches)

    call.__name__ = ability.name
    arrays = {
        name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in exported.names(found).items()
    }
    for count in COUNTS:
        arguments = {one.name: _argument(one, count, run) for one in given}
        if ability.seeded:
            arguments["seed"] = jax.ShapeDtypeStruct((), jnp.int32)
        try:
            with _paths_removed():
                made = export.export(jax.jit(call), platforms=PLATFORMS)(arrays, **arguments)
            break
        except Exception as error:  # of any kind: it is in the code of a paper
            failure = error
    else:
        reason = (str(failure).strip().splitlines() or [type(failure).__name__])[0]
        raise UserError(f"JAX cannot trace it ({reason})") from failure
    known = {name: _text(one) for name, one in arguments.items()}
    return Function(bytes(made.serialize()), known, _text(made.out_avals[0]), fixed, choices)


def _argument(one: Parameter, count: str, run: Opened) -> jax.ShapeDtypeStruct:
    if one.choices or one.kind is float:
        return jax.ShapeDtypeStruct((), jnp.int32 if one.choices else jnp.float32)
    each = abilities.shape_of(run) if one.kind == IMAGES else (run.config.latents,)
    shape = export.symbolic_shape(",".join(map(str, (count, *each))))
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _text(one: Any) -> str:
    return f"{one.dtype}[{','.join(map(str, one.shape))}]"


@contextmanager
def _paths_removed() -> Iterator[None]:
    """A context in which JAX writes the names of source files without their directories."""
    before = jax.config.values[LOCATIONS]
    jax.config.update(LOCATIONS, ".*/")
    try:
        yield
    finally:
        jax.config.update(LOCATIONS, before)
