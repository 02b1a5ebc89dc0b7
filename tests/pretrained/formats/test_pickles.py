"""Pickles are read, never run: what NumPy writes comes back, and every other program is refused
before it acts.
"""

import builtins
import os
import pickle
import pickletools

import numpy as np
import pytest

from gen_jax.errors import DataError
from gen_jax.pretrained.formats import pickles

TREE = {
    "net": {
        "Conv_0": {
            "kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
            "bias": np.float32([1.5]),
        }
    },
    "head": np.zeros((0, 2), np.float32),
}


def dumped(value, protocol=3):
    """As NumPy 1 wrote it, where _reconstruct is in numpy.core."""
    content = pickle.dumps(value, protocol=protocol)
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_nested_dicts_of_arrays_come_back():
    found = pickles.read(dumped(TREE), "it")
    assert {*found} == {"net/Conv_0/kernel", "net/Conv_0/bias", "head"}
    for name, expected in pickle_free(TREE).items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].shape == expected.shape and found[name].dtype == np.float32


def pickle_free(tree, prefix=""):
    flat = {}
    for name, value in tree.items():
        flat |= (
            {prefix + name: value}
            if isinstance(value, np.ndarray)
            else pickle_free(value, f"{prefix}{name}/")
        )
    return flat


class Hostile:
    """Its pickle calls os.mkdir of the path."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Built:
    """Its pickle gives a state to an object of the package under test."""

    def __reduce__(self):
        return pickles.Made, ("numpy ndarray",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["alone", "value", "key", "inside an array's arguments"])
def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path, protocol, place):
    target = str(tmp_path / "made")
    hostile = Hostile(target)
    tree = {
        "alone": hostile,
        "value": {"a": hostile},
        "key": {(hostile,): 1},
        "inside an array's arguments": [hostile],
    }
    content = pickle.dumps(tree[place], protocol=protocol)
    with pytest.raises(DataError, match=r"it is refused \(.*none is run"):
        pickles.read(content, "it")
    assert not os.path.exists(target)
    pickle.loads(content)  # the test is one: executed, the same bytes act
    assert os.path.exists(target)


def test_a_call_of_a_name_that_is_known_with_other_arguments_is_refused():
    """numpy.ndarray((10**12,)) would allocate; a dtype of objects would hold pickles of its own."""
    huge = b"\x80\x03cnumpy\nndarray\n(J\xff\xff\xff\x7ftR."
    objects = dumped({"a": np.array([None], object)})
    for content, said in ((huge, "a call of numpy ndarray"), (objects, "a call of numpy dtype")):
        with pytest.raises(DataError, match=said):
            pickles.read(content, "it")


@pytest.mark.parametrize(
    "tree",
    [
        {"a": np.zeros(2)},  # float64
        {"a": np.zeros(2, ">f4")},
        {"a": np.asfortranarray(np.zeros((2, 2), np.float32))},
        {"a": [np.zeros(2, np.float32)]},
        {"a": "text"},
        {1: np.zeros(2, np.float32)},
        {"a": Built()},
        np.zeros(2, np.float32),
        {"a": {1, 2}},
        {"a": builtins.eval},
    ],
)
def test_what_is_no_nested_dict_of_float32_arrays_is_refused(tree):
    with pytest.raises(DataError, match="it is refused"):
        pickles.read(dumped(tree), "it")


def test_every_damaged_pickle_is_refused_or_gives_floats():
    """Each of its bytes changed in turn, and each of its beginnings."""
    content, refused = dumped({"a": {"b": np.float32([1, 2])}}), 0
    damaged = [
        content[:i] + bytes([content[i] ^ 1 << (i % 8)]) + content[i + 1 :]
        for i in range(len(content))
    ]
    for each in (*damaged, *(content[:i] for i in range(len(content)))):
        try:
            found = pickles.read(each, "it")
        except DataError:
            refused += 1
        else:
            assert all(
                type(name) is str and value.dtype == np.float32 for name, value in found.items()
            )
    assert refused > 1.5 * len(content)


def test_a_dict_that_holds_itself_is_refused():
    tree = {}
    tree["a"] = tree
    with pytest.raises(DataError, match="it is refused"):
        pickles.read(dumped(tree), "it")


def test_no_opcode_is_known_that_imports_or_calls_otherwise():
    """Of all opcodes that there are, alone on a stack of strings."""
    for opcode in pickletools.opcodes:
        if opcode.name in (
            "INST",
            "OBJ",
            "NEWOBJ",
            "NEWOBJ_EX",
            "STACK_GLOBAL",
            "PERSID",
            "BINPERSID",
            "EXT1",
        ):
            argument = b"os\nsystem\n" if opcode.name == "INST" else b"x\n"
            with pytest.raises(DataError, match=f"opcode {opcode.name}"):
                pickles.read(
                    b"\x80\x02(X\x02\x00\x00\x00osX\x06\x00\x00\x00system"
                    + opcode.code.encode("latin-1")
                    + argument,
                    "it",
                )
