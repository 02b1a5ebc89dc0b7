"""What TensorBoard reads of a run."""

import errno
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from gen_jax.run.events import Events


def read(path):
    """The events of a file, each checked by its sums."""
    content = path.read_bytes()
    while content:
        (size,), (head,) = struct.unpack("Q", content[:8]), struct.unpack("I", content[8:12])
        body, (tail,) = content[12 : 12 + size], struct.unpack("I", content[12 + size : 16 + size])
        assert head == masked_crc32c(content[:8]) and tail == masked_crc32c(body)
        yield Event.FromString(body)
        content = content[16 + size :]


def test_what_is_written_is_what_is_read(tmp_path):
    events = Events(tmp_path / "tb")
    events.scalar("vae/loss", 2.5, 10)
    events.image("samples", np.zeros((4, 6, 3), np.uint8), 20)
    events.close()
    (path,) = (tmp_path / "tb").iterdir()
    version, scalar, image = read(path)
    assert version.file_version == "brain.Event:2" and ".tfevents." in path.name
    assert (scalar.step, scalar.summary.value[0].tag, scalar.summary.value[0].simple_value) == (
        10,
        "vae/loss",
        2.5,
    )
    assert (
        image.step,
        image.summary.value[0].image.height,
        image.summary.value[0].image.width,
    ) == (20, 4, 6)


def test_events_that_cannot_be_written_are_an_error_that_names_them(tmp_path):
    events = Events(tmp_path / "tb")
    events.close()
    error = pytest.raises(OSError, match="No space left")
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with full as events.writer._py_recordio_writer._writer, error as raised:
        events.scalar("vae/loss", 2.5, 10)
    assert raised.value.errno == errno.ENOSPC and raised.value.filename == str(tmp_path / "tb")
