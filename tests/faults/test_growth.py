"""A long run takes no more memory, files or threads than a short one; the watch itself sees what
grows.
"""

import os
import socket

import pytest

from tests.faults import growth


def looks(**last):
    each = [growth.Look(step, step, 400, 15, 30, 0, step / 10, 50) for step in range(1, 10)]
    return [*each, each[-1]._replace(**last)]


@pytest.mark.parametrize("last", [{"memory": 440}, {"files": 19}, {"threads": 40}, {"ports": 1}])
def test_what_grows_is_told(last):
    assert growth.grown(looks(), 1) == []
    assert [word.partition(":")[0] for word in growth.grown(looks(**last), 1)] == [*last]


def test_the_files_of_a_save_that_is_under_way_are_not_counted_and_those_of_all_looks_are():
    calm = growth.Look(10, 1, 400, 15, 30, 0, 1, 50)
    busy = calm._replace(files=26, threads=41, memory=410)
    assert growth.between_saves([busy, calm, busy]) == busy._replace(files=15, threads=30)
    assert growth.between_saves([busy, busy]) == busy


def test_an_open_port_is_seen():
    before = growth.listening(os.getpid())
    with socket.create_server(("127.0.0.1", 0)):
        assert growth.listening(os.getpid()) == before + 1


def test_what_a_save_takes_away_meanwhile_is_passed_over(tmp_path, monkeypatch):
    for name in ("kept", "gone"):
        (tmp_path / name).write_bytes(b"1234")
    stat = os.stat

    def late(path, **options):
        if str(path).endswith("gone"):
            raise FileNotFoundError(path)
        return stat(path, **options)

    monkeypatch.setattr(growth.os, "stat", late)
    assert growth.sizes(tmp_path) == [4]


@pytest.mark.long
def test_nothing_grows(tmp_path):
    often = ["--run.log-every", "10", "--run.checkpoint-every", "100", "--run.sample-every", "500"]
    found = growth.watch("vae", 20_000, tmp_path / "run", often)
    assert (
        len(found) >= 5
        and growth.grown(found, (tmp_path / "run" / "metrics.jsonl").stat().st_size / 1e6) == []
    )
