"""Two real processes on this machine play as one with two devices: the same numbers, one run,
stopped together.
"""

import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from gen_jax.run.log import read_lines
from tests.run.test_train import wait_for_step

SOON = """
import sys
from gen_jax.run import sharding, train
sharding.HEARTBEAT_TIMEOUT_S = 10
sys.exit(train.main("experiments.vae"))
"""
ARGUMENTS = (
    "--steps",
    "60",
    "--run.log-every",
    "10",
    "--run.checkpoint-every",
    "20",
    "--run.sample-every",
    "0",
)


def start(directory, number, port, *arguments, hosts=2, devices=1):
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), "NPROC": "32"}
    env |= (
        {"JAX_COORDINATOR_ADDRESS": f"localhost:{port}", "JAX_PROCESS_ID": str(number)}
        if hosts > 1
        else {}
    )
    command = [
        sys.executable,
        "-c",
        SOON,
        "tiny",
        "--run.dir",
        str(directory),
        *ARGUMENTS,
        *arguments,
    ]
    command += ["--run.hosts", str(hosts)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def free_port():
    with socket.socket() as opened:
        opened.bind(("localhost", 0))
        return opened.getsockname()[1]


@pytest.fixture
def started():
    """Processes that end with the test."""
    found = []
    yield found
    for process in found:
        process.kill()
        process.communicate()


def both(started, directory, *arguments):
    port = free_port()
    started += [start(directory, number, port, *arguments) for number in range(2)]
    return started[-2:]


def ended(processes):
    said = [process.communicate(timeout=300) for process in processes]
    return [process.returncode for process in processes], said


@pytest.mark.long
@pytest.mark.parametrize(
    "flag", [(), ("--run.resident-megabytes", "0"), ("--run.fsdp", "--hidden", "64")]
)
def test_two_processes_give_the_numbers_of_two_devices_of_one(tmp_path, started, flag):
    codes, said = ended([start(tmp_path / "one", 0, 0, *flag, hosts=1, devices=2)])
    assert codes == [0], said
    processes = both(started, tmp_path / "two", *flag, "--steps", "400")
    wait_for_step(tmp_path / "two", 20, processes[0])
    processes[1].send_signal(signal.SIGTERM)  # one is told, both stop
    codes, said = ended(processes)
    assert codes == [143, 143], said
    (step,) = {
        re.search(r"Stopped and saved at step (\d+); the same command resumes", err)[1]
        for _, err in said
    }
    codes, said = ended(both(started, tmp_path / "two", *flag, "--steps", "400"))
    assert codes == [0, 0], said
    assert f"Resuming from the checkpoint of step {step}" in said[0][0]
    assert "step" not in said[1][0]  # one process speaks
    one, two = (read_lines(tmp_path / where / "metrics.jsonl") for where in ("one", "two"))
    for a, b in zip(one[:5], two[:5], strict=True):
        assert {*a} == {*b} and all(np.isclose(a[name], b[name], rtol=1e-5) for name in a)
    assert [line["step"] for line in two] == list(range(10, 401, 10))
    assert (tmp_path / "two" / "report.html").exists() and not (
        tmp_path / "two" / "hosts" / "1" / "report.html"
    ).exists()


@pytest.mark.long
def test_where_one_process_is_lost_the_other_ends_and_both_go_on(tmp_path, started):
    processes = both(started, tmp_path / "run", "--steps", "400")
    wait_for_step(tmp_path / "run", 40, processes[0])
    processes[1].kill()
    _, err = processes[0].communicate(timeout=60)
    assert processes[0].returncode != 0, err
    codes, said = ended(both(started, tmp_path / "run", "--steps", "400"))
    assert codes == [0, 0], said
    assert "Resuming from the checkpoint of step" in said[0][0]
    assert [line["step"] for line in read_lines(tmp_path / "run" / "metrics.jsonl")] == list(
        range(10, 401, 10)
    )
    codes, said = ended(both(started, tmp_path / "whole", "--steps", "400"))
    texts = [(tmp_path / where / "metrics.jsonl").read_text() for where in ("run", "whole")]
    assert codes == [0, 0] and texts[0] == texts[1]


def test_hosts_that_do_not_come_together_are_told_so(tmp_path):
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_COORD", "JAX_PROCESS"))
    }
    command = [
        sys.executable,
        "-m",
        "experiments.vae",
        "tiny",
        "--run.dir",
        str(tmp_path / "run"),
        "--run.hosts",
        "2",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=env, timeout=120, check=False
    )
    assert done.returncode == 2 and "hosts is 2, but they did not connect" in done.stderr, (
        done.stderr
    )
    assert not (tmp_path / "run").exists()
