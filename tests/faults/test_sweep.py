"""A few kills of one experiment with one player and of one with stages; `python -m
tests.faults.sweep` has no end.
"""

import re
import subprocess
import sys

import pytest


@pytest.mark.long
@pytest.mark.parametrize("name", ["vae", "progan"])
def test_a_run_that_is_killed_over_and_over_ends_as_one_that_is_not(name):
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.sweep", name, "--kills", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr
    kills, identical, runs = re.search(
        r"all: (\d+) kills, \d+ in a save; (\d+)/(\d+) runs", done.stdout
    ).groups()
    assert kills == "4" and identical == runs
