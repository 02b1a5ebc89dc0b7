"""Every value is checked where a config is made: on the command line, in code, from a file."""

import dataclasses
import json
import math
import subprocess
import sys
from typing import Literal

import pytest

from gen_jax import config
from gen_jax.config import (
    Checked,
    Count,
    Decay,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Run,
    Seed,
)
from gen_jax.errors import UserError
from gen_jax.run.experiment import Paper


@dataclasses.dataclass(frozen=True)
class Inner(Checked):
    rate: Positive = 0.1


@dataclasses.dataclass(frozen=True)
class Outer(Checked):
    count: Count = 1
    natural: Natural = 0
    weight: NonNegative = 0.0
    share: Fraction = 0.5
    decay: Decay = 0.9
    seed: Seed = 0
    name: Literal["a", "b"] = "a"
    sizes: tuple[Count, ...] = (1, 2)
    maybe: Positive | None = None
    flag: bool = False
    inner: Inner = Inner()
    run: Run = Run()


BAD = {
    "count": [0, -1, 1.5, "1", True, None],
    "natural": [-1, 0.5],
    "weight": [-0.1, math.nan, math.inf, "x"],
    "decay": [-0.01, 1, 1.5],
    "share": [-0.01, 1.01, math.nan],
    "seed": [-1, 2**31],
    "name": ["c", 1, None],
    "sizes": [(), (0,), (1, 1.5), 3, [1]],
    "maybe": [0.0, -1.0, math.inf, "none"],
    "flag": ["yes", 1, None],
    "inner": [None, {}],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD.items() for value in values]
)
def test_a_bad_value_is_named(field, value):
    with pytest.raises(UserError, match=f"^{field} is .*; it must be .+\\.$"):
        Outer(**{field: value})


def test_good_values_pass():
    Outer(count=3, weight=1, share=1, sizes=(5,), maybe=2.0, name="b", seed=2**31 - 1)


def test_json_round_trip(tmp_path):
    before = Outer(sizes=(7, 8), maybe=0.25, run=Run(seed=3, dir=tmp_path))
    text = json.dumps(config.to_json(before))
    assert config.from_json(Outer, json.loads(text), "config.json") == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sizess": [1]}, "sizess"),
        ({"count": "1"}, "count"),
        ({"count": 0}, "count is 0"),
        ({"inner": {"rate": -1.0}}, "rate is -1.0"),
        ({"inner": {"rat": 1.0}}, "rat"),
        ({"name": "c"}, "name"),
    ],
)
def test_json_is_read_strictly(change, words):
    with pytest.raises(UserError, match=words):
        config.from_json(Outer, {**config.to_json(Outer()), **change}, "config.json")


def test_differences_name_dotted_fields_and_pass_over_where_files_lie(tmp_path):
    old, new = (
        config.to_json(Outer()),
        config.to_json(Outer(inner=Inner(rate=0.2), run=Run(seed=1, dir=tmp_path))),
    )
    assert config.differences(old, new) == [
        "inner.rate: 0.1 there, 0.2 here",
        "run.seed: 0 there, 1 here",
    ]
    assert config.differences({"a": {"b": 1}}, {"a": {}}) == ["a.b: 1 there, absent here"]


def test_another_value_for_a_field_that_is_none_names_the_fields():
    assert Inner().but(rate=0.2) == Inner(0.2)
    with pytest.raises(UserError, match="Inner has no field rat; it has rate"):
        Inner().but(rat=0.2)


def test_header_of_a_paper():
    first = "Title.\n\nAda One, Bob Two. ICML 2020. arXiv:1234.5678\n\n"
    text = first + "Replicated: this\nand that.\n\nNot replicated: x.\n\nCost: y."
    assert Paper.of(text) == Paper(
        "Title", "Ada One, Bob Two", "ICML 2020", "1234.5678", "this and that.", "x.", "y."
    )
    with pytest.raises(UserError, match="Cost"):
        Paper.of(text.partition("Cost")[0])


def command(*arguments):
    run = [sys.executable, "-m", *arguments]
    return subprocess.run(run, capture_output=True, text=True, timeout=120)


def test_help_names_presets_and_exit_codes_and_starts_no_device():
    code = (
        "import sys, jax; sys.argv = ['vae', '--help']\n"
        "from gen_jax.run import train\n"
        "try: train.main('experiments.vae')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not jax._src.xla_bridge._backends, 'a device was started'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for word in ("quick", "paper", "tiny", "Exit codes", "arXiv:1312.6114"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quick", "--optimizer.learning-rte", "1"], "--optimizer.learning-rate"),
        (["quick", "--optimizer.learning-rate", "nan"], "it must be a finite number above 0"),
        (["quick", "--data", "cifar"], "mnist"),
        (["quik"], "quick"),
        ([], "quick"),
        (["tiny", "--batch-size", "1501"], "the data have 1500 examples"),
        (["tiny", "--batch-size", "33", "--run.devices", "2"], "this machine has 1"),
    ],
)
def test_bad_arguments_end_with_2_and_a_sentence(arguments, words, tmp_path):
    done = command(
        "experiments.vae",
        *arguments,
        *(["--run.dir", str(tmp_path / "run")] if arguments[1:] else []),
    )
    assert done.returncode == 2, done.stderr
    assert words in " ".join((done.stderr + done.stdout).replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "config.json").exists()
