"""docs/faults.md is what the table says, and each of its rows has a test."""

from tests.faults import __main__ as faults


def test_the_page_is_current():
    assert faults.PAGE.read_text(encoding="utf-8") == faults.page(), "say python -m tests.faults"
