"""Arrays out of a pickle that is never executed: a reader of the few opcodes that nested dicts of
arrays need.

A pickle is a program that may call anything. Here three names of NumPy stand for themselves, are
called with the one set of arguments that NumPy writes, and are never imported; whatever else a
pickle holds, it is refused.
"""

import pickletools
from typing import Any

import numpy as np

from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError

EMPTY, ARRAY, TYPE = "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
CALLS = {(EMPTY, (ARRAY, (0,), b"b")), (TYPE, ("f4", False, True))}
FLOATS = (3, "<", None, None, None, -1, -1, 0)  # the state of a dtype of little-endian numbers
PLAIN = {
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BININT",
    "BININT1",
    "BININT2",
    "SHORT_BINBYTES",
    "BINBYTES",
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class Global(str):
    """A name that the pickle would import."""


class Made:
    """What a call of NumPy would have made: an array, or the type float32, once BUILD has given its
    state.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self.value: Any = None


def read(content: bytes, name: str) -> Block:
    """The arrays of nested dicts, float32, by their keys with / between: "VGG16_0/Conv_0/kernel"."""
    try:
        found: Block = {}
        _flatten(_run(content), "", found)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{name} is refused ({error}): only a pickle of nested dicts of float32 arrays is read, and none is run."
        ) from error
    return found


def _run(content: bytes) -> Any:
    """What the opcodes leave on the stack."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}  # by number

    def taken(count: int | None = None) -> list[Any]:
        """The topmost values, down to the last mark if no number is given."""
        if (start := marks.pop() if count is None else len(stack) - count) < 0:
            raise ValueError("values are missing")
        values = stack[start:]
        del stack[start:]
        return values

    for opcode, argument, position in pickletools.genops(content):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_DICT":
                stack.append({})
            case "GLOBAL" if argument in (EMPTY, ARRAY, TYPE):
                stack.append(Global(argument))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(taken({"1": 1, "2": 2, "3": 3}.get(opcode.name[-1]))))
            case "SETITEM" | "SETITEMS":
                pairs = taken(2 if opcode.name == "SETITEM" else None)
                _dict(stack[-1]).update(zip(pairs[::2], pairs[1::2], strict=True))
            case "REDUCE":
                function, arguments = taken(2)
                if not isinstance(function, Global) or (function, arguments) not in CALLS:
                    raise ValueError(f"a call of {function!s:.60}")
                stack.append(Made(function))
            case "BUILD":
                (state,) = taken(1)
                _build(stack[-1], state)
            case "STOP":
                (result,) = taken(1)
                return result
            case name if name in PLAIN:
                stack.append(argument)
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case name:
                raise ValueError(
                    f"opcode {name} {argument if name == 'GLOBAL' else ''} at byte {position}"
                )
    raise ValueError("it does not end")


def _dict(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError("items of what is no dict")
    return value


def _build(made: Any, state: tuple[Any, ...]) -> None:
    """Give an array its shape and bytes; a type must be that of little-endian floats."""
    if type(made) is not Made or made.value is not None:
        raise ValueError("a state for what is no new array")
    if made.kind == TYPE:
        if state != FLOATS:
            raise ValueError(f"a type {state!r:.60}")
        made.value = np.dtype("<f4")
        return
    version, shape, dtype, transposed, content = state
    if (
        version != 1
        or transposed is not False
        or type(dtype) is not Made
        or dtype.value != np.dtype("<f4")
    ):
        raise ValueError("an array that is not float32 in C order")
    made.value = np.frombuffer(content, dtype.value).reshape(shape)


def _flatten(value: Any, prefix: str, found: Block) -> None:
    for name, inner in _dict(value).items():
        if not isinstance(name, str) or isinstance(name, Global):
            raise ValueError(f"a key {name!r:.60}")
        if type(inner) is Made and isinstance(inner.value, np.ndarray):
            found[prefix + name] = inner.value
        else:
            _flatten(inner, f"{prefix}{name}/", found)
