"""What is kept in the user's cache is whole or is not used."""

import json
import logging
import shutil
from pathlib import Path

import pytest

import gen_jax
from gen_jax.errors import UserError
from gen_jax.storage import cache

CONTENT, MADE_OF = bytes(range(256)) * 10, {"seed": 0}


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def forge_the_record(file):
    record = json.loads(file.with_suffix(".json").read_text())
    file.with_suffix(".json").write_text(json.dumps(record | {"sha256": "0" * 64}))


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        forge_the_record,
        lambda file: file.write_bytes(file.read_bytes()[:1000]),
        lambda file: file.with_suffix(".json").unlink(),
        lambda file: file.with_suffix(".json").write_text("[1, 2"),
        lambda file: file.with_suffix(".json").write_text("[]"),
        lambda file: file.with_suffix(".json").write_bytes(b"\xff\xfe"),
    ],
    ids=["bit", "record", "cut", "no record", "half a record", "another record", "no text"],
)
def test_a_damaged_file_is_not_used(tmp_path, caplog, damage):
    """With one line that says so."""
    path = tmp_path / "some.safetensors"
    assert cache.load(path, MADE_OF) is None and not caplog.messages
    cache.store(path, MADE_OF, CONTENT, accuracy=0.5)
    content, record = cache.load(path, MADE_OF)
    assert content == CONTENT and record["accuracy"] == 0.5
    damage(path)
    with caplog.at_level(logging.WARNING):
        assert cache.load(path, MADE_OF) is None
    assert len(caplog.messages) == 1 and "damaged" in caplog.text and str(path) in caplog.text


def test_what_was_made_of_something_else_is_not_used(tmp_path):
    cache.store(tmp_path / "some.bin", MADE_OF, CONTENT)
    assert cache.load(tmp_path / "some.bin", {"seed": 1}) is None


def test_where_it_lies(monkeypatch):
    monkeypatch.setenv("HOME", "/home/you")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for given, path in (("~/kept", "/home/you/kept"), ("/kept", "/kept")):
        monkeypatch.setenv("GEN_JAX_CACHE", given)
        assert cache.folder("xla") == Path(path) / "xla"
        monkeypatch.setenv("GEN_JAX_DATA", given)
        assert cache.data_folder() == Path(path)
    monkeypatch.delenv("GEN_JAX_DATA")
    assert cache.data_folder() == Path("/home/you/.cache/gen_jax/data")  # the cache alone is moved
    monkeypatch.delenv("GEN_JAX_CACHE")
    for given, path in (
        ("~/caches", "/home/you/caches"),
        ("/caches", "/caches"),
        ("", "/home/you/.cache"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache.folder("xla") == Path(path) / "gen_jax" / "xla"
        assert cache.data_folder() == Path(path) / "gen_jax" / "data"


@pytest.mark.parametrize(
    "place", [lambda: cache.folder("xla"), cache.data_folder], ids=["cache", "data"]
)
@pytest.mark.parametrize("given", [None, "~/kept", "/kept"])
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, place, given):
    """As in a container whose user no list of users holds."""

    def unknown(path):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "GEN_JAX_CACHE", "GEN_JAX_DATA"):
        monkeypatch.delenv(name, raising=False)
        if given and name.startswith("GEN"):
            monkeypatch.setenv(name, given)
    if given == "/kept":
        assert place().is_relative_to(given)
    else:
        with pytest.raises(
            UserError, match="No home directory is known: set GEN_JAX_CACHE and GEN_JAX_DATA"
        ):
            place()


@pytest.fixture
def package(tmp_path):
    """A package whose module `first` imports the others in each way that there is, except
    `unrelated`.
    """
    files = {
        "__init__.py": "",
        "first.py": "from p import second\nfrom p.sub import third\nimport numpy, p.other.named as n\n",
        "second.py": "def later():\n    from .fourth import value\n",
        "fourth.py": "from p import first  # in a circle\n",
        "sub/__init__.py": "from . import fifth\n", "sub/third.py": "from ..sixth import value\n", "sub/fifth.py": "",
        "sixth.py": "value = 1\n", "other/__init__.py": "", "other/named.py": "", "other/unrelated.py": "",
        "unrelated.py": "import p.first\n", "numpy.py": "",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_text(content)
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("name", "changes"),
    [(name, True) for name in ("__init__.py", "first.py", "second.py", "sub/third.py", "fourth.py", "sub/__init__.py",
                               "sub/fifth.py", "sixth.py", "other/__init__.py", "other/named.py")]
    + [(name, False) for name in ("unrelated.py", "other/unrelated.py", "numpy.py")],
)  # fmt: skip
def test_sources_are_those_that_are_imported(package, name, changes):
    before = cache.sources(package / "first.py")
    assert cache.sources(package / "first.py") == before
    (package / name).write_text((package / name).read_text() + "# edited\n")
    assert (cache.sources(package / "first.py") != before) == changes


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("evaluation/joint_embedding.py", ("game.py", "losses.py", "precision.py")),
        ("evaluation/classifier.py", ("batching.py", "types.py")),
    ],
)
def test_sources_of_what_is_kept(tmp_path, module, imported):
    """In a copy of this package, that lies elsewhere and so is the same."""
    home = Path(shutil.copytree(Path(gen_jax.__file__).parent, tmp_path / "gen_jax"))
    before = cache.sources(home / module)
    assert before == cache.sources(Path(gen_jax.__file__).parent / module)
    for name, changes in (
        *((name, True) for name in imported),
        ("report/charts.py", False),
        ("data/synthetic/worlds.py", False),
    ):
        whole = (home / name).read_text()
        (home / name).write_text(whole + "# edited\n")
        assert (cache.sources(home / module) != before) == changes, name
        (home / name).write_text(whole)
