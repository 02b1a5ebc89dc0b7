"""SIGTERM and SIGINT while a run does something else than learn: saved, resumed, and the same in
the end.
"""

import signal
import subprocess
import sys

import pytest

SLOW = """
import sys, time
from gen_jax.run import programs, train
from experiments import vae

phase = sys.argv.pop(1)

def slow(of, name):
    real = getattr(of, name)
    def wrapped(*args, **kwargs):
        if phase == name:
            print("HERE", flush=True)
            time.sleep(3)
        return real(*args, **kwargs)
    setattr(of, name, wrapped)

slow(vae, "evaluate"), slow(vae, "sample"), slow(programs.ChunkRunner, "_compile")
sys.exit(train.main("experiments.vae"))
"""


def start(phase, directory):
    command = [
        sys.executable,
        "-c",
        SLOW,
        phase,
        "tiny",
        "--run.dir",
        str(directory),
        "--run.evaluate-every",
        "20",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    directory = tmp_path_factory.mktemp("straight")
    process = start("nothing", directory / "run")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return (directory / "run" / "metrics.jsonl").read_text()


@pytest.mark.long
@pytest.mark.parametrize(
    ("phase", "number", "code"),
    [
        ("evaluate", signal.SIGTERM, 143),
        ("sample", signal.SIGINT, 130),
        ("_compile", signal.SIGTERM, 143),
    ],
)
def test_a_signal_in_any_phase_ends_the_run_saved(tmp_path, straight, phase, number, code):
    process = start(phase, tmp_path / "run")
    while process.stdout.readline().strip() != "HERE":
        assert process.poll() is None, process.stderr.read()
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in err, err
    process = start("nothing", tmp_path / "run")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == straight
