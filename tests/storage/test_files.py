"""A file is the old one or the new one, and nothing else is left."""

import hashlib

import pytest

from gen_jax.errors import DirectoryError
from gen_jax.storage import files


def test_a_replaced_file_is_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "a"
    files.replace(path, "old")
    files.replace(path, b"new")
    assert [(p.name, p.read_text()) for p in path.parent.iterdir()] == [("a", "new")]
    assert files.sha256(path) == hashlib.sha256(b"new").hexdigest()


def test_a_crash_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    files.replace(path, "old")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fails)
    with pytest.raises(DirectoryError, match=r"cannot be written \(No space left on device\)"):
        files.replace(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_an_interrupt_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    files.replace(path, "old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.replace(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match="choose another place"):
        files.replace(tmp_path / "file" / "a", "x")
