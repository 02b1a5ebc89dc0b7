"""What is kept in the user's cache is whole or is not used."""

import json
import logging

import pytest

from gen_jax import cache

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
