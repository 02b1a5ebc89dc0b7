"""The floating-point operations of the matrix products and convolutions that a function writes down."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core

KINDS = (core.Jaxpr, core.ClosedJaxpr)


def products(jaxpr: Any, times: int = 1) -> Iterator[tuple[Any, int]]:
    """Each product and convolution, in whatever is called, and how often; of branches, all are counted."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation, times
        inside = times * (equation.params["length"] if equation.primitive.name == "scan" else 1)
        for inner in jax.tree.leaves(
            [*equation.params.values()], is_leaf=lambda p: isinstance(p, KINDS)
        ):
            if isinstance(inner, KINDS):
                yield from products(
                    inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner, inside
                )


def count(function: Callable[..., Any], *arguments: Any) -> int:
    """Those of a function."""
    return of(jax.make_jaxpr(function)(*arguments).jaxpr)


def of(jaxpr: Any) -> int:
    """Two for each multiplication with its addition; products with zeros that padding puts around an image count.

    Those between the pixels of an image that a transposed convolution spreads do not.
    """
    total = 0
    for equation, times in products(jaxpr):
        (first, second), out = (
            (operand.aval.shape for operand in equation.invars),
            equation.outvars[0].aval.shape,
        )
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            each = math.prod(first[axis] for axis in contracted)
        else:
            kernel = equation.params["dimension_numbers"].rhs_spec  # (out, in, *space)
            each = second[kernel[1]] * math.prod(second[axis] for axis in kernel[2:])
            each /= math.prod(equation.params["lhs_dilation"])
        total += times * 2 * math.prod(out) * each
    return round(total)
