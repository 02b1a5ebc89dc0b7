"""Networks that compute in bfloat16 while weights, statistics, penalties and losses stay in float32.

A network is a field of the model. What it is given and its weights are rounded when it is called, and what it gives
back is float32 again; so an objective, which calls networks, is written once. Norms take their statistics in float32.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

Precision = Literal["float32", "bfloat16"]


def cast_floats(tree: Any, precision: Precision) -> Any:
    """Real arrays of a tree in this type; all else as it is."""

    def leaf(value: Any) -> Any:
        real = isinstance(value, jax.Array | np.ndarray) and jnp.issubdtype(
            value.dtype, jnp.floating
        )
        return jnp.asarray(value, precision) if real else value

    return jax.tree.map(leaf, tree)


@contextlib.contextmanager
def compute_dtype(precision: Precision) -> Iterator[None]:
    """While it lasts, networks that are called compute in this type, if their weights are of it."""
    inside = False

    def boundary(
        method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        nonlocal inside
        if inside or len(context.module.path) != 1:
            return method(*args, **kwargs)
        inside = True
        try:
            given, named = cast_floats((args, kwargs), precision)
            return cast_floats(method(*given, **named), "float32")
        finally:
            inside = False

    if precision == "float32":
        yield
        return
    with nn.intercept_methods(boundary):
        yield
