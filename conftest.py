"""The Python in README.md, CONTRIBUTING.md and docs/ runs as tests, each page from its first block to its last."""

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "CONTRIBUTING.md", "docs/*.md"],
).pytest()


def pytest_addoption(parser):
    parser.addoption(
        "--paper",
        action="append",
        metavar="MODULE",
        help="ask the questions of tests/test_experiments.py of this file, named as after python -m",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Among several processes (pytest -n), the tests of a file stay together, and in test_experiments a paper's."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            paper = test.partition("[")[2] if file.endswith("test_experiments.py") else ""
            return file + paper

    return Scheduling(config, log)
