"""What a person does to a run directory between two starts: parts removed, replaced or of another
kind.
"""

import dataclasses
import json
import os
import shlex
import shutil
import sys

import pytest

from experiments import gan, vae
from gen_jax.errors import DataError, UserError
from gen_jax.report import page, run_reader
from gen_jax.run import train
from gen_jax.run.experiment import presets

TINY = {module: presets(module)["tiny"][1] for module in (vae, gan)}


def play(module, place, **run):
    config = TINY[module]
    asked = dataclasses.replace(config.run, dir=place, devices=1, **run)
    return train.run(module, "tiny", dataclasses.replace(config, run=asked))


@pytest.fixture(scope="module", params=[vae, gan], ids=lambda module: module.__name__)
def finished(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("finished") / "run"
    play(request.param, place)
    return request.param, place


@pytest.fixture
def run(finished, tmp_path):
    """(experiment, a directory that is its own)"""
    module, place = finished
    shutil.copytree(place, tmp_path / "run")
    return module, tmp_path / "run"


@pytest.mark.parametrize(
    "part", ["samples", "attempts/000", "attempts", "paper.json", "env.json", "report.html"]
)
def test_a_part_that_is_removed_is_made_again_or_left_out(run, part, capsys):
    module, place = run
    path = place / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for _ in range(2):
        play(module, place)
        assert (place / "report.html").exists()
        assert ("has no pictures, so the page has none" in capsys.readouterr().out) == (
            part == "samples"
        )
    attempts = sorted(int(one.name) for one in (place / "attempts").iterdir())
    assert len(attempts) == len({*attempts}) >= 2


def test_a_picture_that_is_torn_is_left_out_with_a_note(run):
    module, place = run
    path = max((place / "samples").glob("*.png"))
    path.write_bytes(path.read_bytes()[:40])
    play(module, place)
    assert path.name in (place / "report.html").read_text()
    assert run_reader.read(place) and page.write(place)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            lambda p: ((p / "metrics.jsonl").unlink(), (p / "metrics.jsonl").mkdir()),
            DataError,
            "is a directory",
        ),
        (
            lambda p: ((p / "metrics.jsonl").unlink(), os.mkfifo(p / "metrics.jsonl")),
            DataError,
            "not a file: remove",
        ),
        (
            lambda p: write(p, lambda old: {**old, "config": [1]}),
            UserError,
            "it is a list, not an object",
        ),
        (lambda p: write(p, lambda old: [1]), UserError, "config.json"),
        (lambda p: write(p, lambda old: {}), UserError, "experiment: absent there"),
        (lambda p: (p / "config.json").write_bytes(b"\xff\xfe"), UserError, "config.json"),
        (lambda p: (p / "config.json").write_text("[" * 200_000), UserError, "config.json"),
    ],
    ids=["lines", "a pipe", "config", "all a list", "empty", "no UTF-8", "deep"],
)
def test_what_is_of_another_kind_is_one_sentence(run, change, error, words):
    module, place = run
    change(place)
    kept = sorted(path.name for path in (place / "checkpoints").iterdir())
    with pytest.raises(error, match=words):
        play(module, place)
    assert sorted(path.name for path in (place / "checkpoints").iterdir()) == kept


def write(place, change):
    file = place / "config.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def test_the_command_of_a_run_is_quoted_for_a_shell(tmp_path, monkeypatch):
    place = tmp_path / "a run; rm *"
    monkeypatch.setattr(sys, "argv", ["vae", "tiny", "--run.dir", str(place)])
    play(vae, place)
    written = (place / "command.txt").read_text()
    assert shlex.split(written) == [
        "python",
        "-m",
        "experiments.vae",
        "tiny",
        "--run.dir",
        str(place),
    ]
