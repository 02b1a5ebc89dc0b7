"""A save that is cut short, at each call that changes a file, or for want of room."""

import subprocess
import sys

import pytest

from gen_jax.run.log import read_lines
from tests.faults import crash_in_save

NARROW = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
os.execv(sys.argv[1], sys.argv[1:])
"""
RUN = (sys.executable, "-m", "experiments.vae", "tiny", "--hidden", "512")


def test_a_crash_at_each_call_of_a_save_leaves_the_step_before_or_this_one(tmp_path):
    command = (sys.executable, "-m", crash_in_save.__name__, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if not line.startswith("Skipping")]
    *crashed, whole = [(kind, int(step)) for kind, _, step in lines]
    assert len(crashed) > 10 and {kind for kind, _ in crashed} == {"crash"}
    steps = [step for _, step in crashed]
    assert steps == sorted(steps) and {*steps} == {1, 2} and whole == ("whole", 2)


@pytest.mark.long
def test_no_room_for_a_checkpoint_is_told_and_the_run_goes_on_when_there_is(tmp_path):
    """A file may not grow beyond 300 kB, which is less than a state takes."""

    def run(where, *before):
        command = (*before, *RUN, "--run.dir", str(tmp_path / where), "--steps", "20")
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    first = run("run")
    assert first.returncode == 0, first.stderr
    full = run("full", sys.executable, "-c", NARROW)
    assert (
        full.returncode == 74
        and "could not be written" in full.stderr
        and "Traceback" not in full.stderr
    )
    again = run("full")
    assert again.returncode == 0, again.stderr
    a, b = (read_lines(tmp_path / where / "metrics.jsonl") for where in ("run", "full"))
    assert a == b
