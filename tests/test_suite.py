"""What the suite itself relies on."""

import os
from pathlib import Path

import pytest

PROCESS = os.environ.get("PYTEST_XDIST_WORKER")


@pytest.mark.parametrize("number", range(4))
def test_the_tests_of_a_file_stay_in_one_process(number, tmp_path_factory):
    """What a file sets up or compiles is set up and compiled once, however many processes there
    are.
    """
    if PROCESS is None:
        pytest.skip("there is one process")
    shared: Path = tmp_path_factory.getbasetemp().parent / "test_suite"
    shared.mkdir(exist_ok=True)
    (shared / PROCESS).touch()
    assert [path.name for path in shared.iterdir()] == [PROCESS]
