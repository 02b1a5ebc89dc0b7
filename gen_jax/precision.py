"""Networks that compute in bfloat16, while weights, statistics and losses stay in float32.

A network is a field of the model. When it is called, its inputs and weights are rounded, and its
outputs are float32 again. So an objective, which calls networks, is written once. Norms take their
statistics in float32.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

Precision = Literal["float32", "bfloat16"]
T = TypeVar("T")


def cast_floats(tree: T, precision: Precision) -> T:
    """Cast the float arrays of a tree to this type. All other leaves stay as they are."""

    def cast(leaf: object) -> object:
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        return jnp.asarray(leaf, precision) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    result: T = jax.tree.map(cast, tree)
    return result


@contextlib.contextmanager
def compute_dtype(precision: Precision) -> Iterator[None]:
    """A context in which networks compute in this type, if their weights are of it."""
    inside = False

    def cast_at_boundary(
        method: Callable[..., T],
        args: tuple[object, ...],
        kwargs: dict[str, object],
        context: nn.module.InterceptorContext,
    ) -> T:
        nonlocal inside
        if inside or len(context.module.path) != 1:
            return method(*args, **kwargs)
        inside = True
        try:
            args, kwargs = cast_floats((args, kwargs), precision)
            return cast_floats(method(*args, **kwargs), "float32")
        finally:
            inside = False

    if precision == "float32":
        yield
        return
    with nn.intercept_methods(cast_at_boundary):
        yield
