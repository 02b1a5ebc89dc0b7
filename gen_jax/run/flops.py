"""Counts the floating-point operations of the matrix products and convolutions in a function."""

import math
from collections.abc import Callable, Iterator

import jax
from jax.extend import core
from jax.interpreters import partial_eval

KINDS = (core.Jaxpr, core.ClosedJaxpr)


def products(jaxpr: core.Jaxpr, times: int = 1) -> Iterator[tuple[core.JaxprEqn, int]]:
    """Yield each product and convolution, including those of inner programs, and how often it runs.

    All branches are counted.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation, times
        inside = times * (equation.params["length"] if equation.primitive.name == "scan" else 1)
        values = [*equation.params.values()]
        for inner in jax.tree.leaves(values, is_leaf=lambda value: isinstance(value, KINDS)):
            if isinstance(inner, KINDS):
                inner = inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner
                yield from products(inner, inside)


def count(function: Callable[..., object], *arguments: object) -> int:
    """Return the operations of a function with these arguments."""
    return of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def of_jaxpr(jaxpr: core.Jaxpr) -> int:
    """Count two operations for each multiplication with its addition.

    Operations that no result depends on are not counted, because XLA removes them. Products with
    the zeros of padding around an image are counted. Products with the zeros that a transposed
    convolution inserts between pixels are not.
    """
    jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    total: float = 0
    for equation, times in products(jaxpr):
        first, second, out = (_shape(v) for v in (*equation.invars, equation.outvars[0]))
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            terms: float = math.prod(first[axis] for axis in contracted)
        else:
            kernel = equation.params["dimension_numbers"].rhs_spec  # (out, in, *space)
            terms = second[kernel[1]] * math.prod(second[axis] for axis in kernel[2:])
            terms /= math.prod(equation.params["lhs_dilation"])
        total += times * 2 * math.prod(out) * terms
    return round(total)


def _shape(variable: core.Var | core.Literal) -> tuple[int, ...]:
    shape: tuple[int, ...] = variable.aval.shape  # type: ignore[attr-defined]  # they are arrays
    return shape
