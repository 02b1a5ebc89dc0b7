"""The Python in README.md, CONTRIBUTING.md and docs/ runs as tests, each page from its first block to its last."""

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["README.md", "CONTRIBUTING.md", "docs/*.md"]
).pytest()
