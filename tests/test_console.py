"""What a program prints where nobody reads it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gen_jax import console

PROGRAM = """
import argparse
from gen_jax import console

with console.piped():
    {}
console.show("after")
"""
HELP = "argparse.ArgumentParser().parse_args(['--help'])"


@pytest.mark.parametrize(
    ("body", "reader", "code"),
    [
        (HELP, "true", 0),
        (HELP, "cat > /dev/null", 0),
        ("print('a' * 10**6)", "true", 0),
        ("argparse.ArgumentParser().parse_args(['more'])", "true", 2),
        ("raise SystemExit(3)", "true", 3),
    ],
)
def test_a_reader_that_leaves_ends_a_program_in_silence(body, reader, code):
    program = shlex.join([sys.executable, "-c", PROGRAM.format(body)])
    done = subprocess.run(
        ["bash", "-c", f"{program} | {reader}; exit ${{PIPESTATUS[0]}}"],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert bool(done.stderr) == ("usage" in done.stderr) == (code == 2)


def test_ctrl_c_is_a_word_and_a_code(capsys):
    assert console.exit_code("it", KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "it: stopped\n"
