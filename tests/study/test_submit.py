"""Runs submitted through submitit: as processes of this machine, and to a SLURM of one node."""

import builtins
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gen_jax.errors import UserError
from gen_jax.study import __main__ as command
from gen_jax.study import play, rows, submit
from gen_jax.study.place import Place

STUDY = """
from gen_jax.study import Row

ROWS = [
    Row("good", paper="vae", preset="tiny", question="?", measures={"test/elbo": "ELBO"}, seeds=2),
    Row("explodes", paper="vae", preset="tiny", question="?", measures={},
        changes={"optimizer.learning_rate": 1e30}, seeds=1),
]
"""


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch):
    """Keep submitit from configuring logging, which closes the streams of pytest."""
    monkeypatch.setenv("SUBMITIT_LOG_LEVEL", "NOCONFIG")


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "mine.py").write_text(STUDY)
    return [
        *("--study", str(tmp_path / "mine.py"), "--runs", str(tmp_path / "runs")),
        *("--results", str(tmp_path / "results")),
    ]


def study(arguments):
    return subprocess.run(
        [sys.executable, "-m", "gen_jax.study", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def seeds(tmp_path: Path) -> list[int]:
    return [r["seed"] for r in json.loads((tmp_path / "results/good.json").read_text())["runs"]]


@pytest.mark.long
def test_submitted_to_this_machine(arguments, tmp_path):
    found = study([*arguments, "--submit", "local"])
    assert found.returncode == 1 and found.stdout.count(": job ") == 3, found.stderr
    listed = study([*arguments, "--list"]).stdout
    assert "2 of 3 runs are done" in listed and "exit code 70: experiments.vae: " in listed
    assert seeds(tmp_path) == [0, 1]


@pytest.mark.long
def test_what_is_saved_before_the_time_ends_goes_on(tmp_path):
    """submitit calls `checkpoint` at a signal, ends, and puts what it returned into the queue."""
    row = rows.Row("mine", "vae", "tiny", "?", {}, seeds=1, changes={"steps": 2000})
    (part,) = rows.parts([row])
    place = Place(tmp_path / "runs", tmp_path / "results")
    (job,) = play.jobs([part], place, side_by_side=False)
    first, queue = submit.Submitted(job, place), []

    def at_signal(*_):
        queue.append(first.checkpoint())
        sys.exit(-1)

    before = signal.signal(signal.SIGUSR2, at_signal)
    lines = place.directory(part) / "metrics.jsonl"
    wait = f"until [ -s {lines} ]; do sleep 0.1; done; kill -USR2 {os.getpid()}"
    with subprocess.Popen(["sh", "-c", wait]), pytest.raises(SystemExit):
        first()
    signal.signal(signal.SIGUSR2, before)
    assert place.state(part).word == "begun"
    queue[0].function()
    assert place.state(part).word == "done"
    assert "Resuming from the checkpoint" in (place.directory(part) / "log.txt").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--submit", "local", "--sbatch", "gpu"], "sbatch is gpu; it must be NAME=VALUE"),
        (["--submit", "local", "--sbatch", "petals=1"], "submitit refuses: Unknown argument 'pet"),
        (["--submit", "slurm"], "submitit refuses: Could not detect"),
    ],
)
def test_what_cannot_be_submitted_is_one_sentence(more, message, arguments, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert command.main([*arguments, *more]) == 2
    assert message in capsys.readouterr().err


def test_without_submitit_the_extra_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *rest):
        if name == "submitit":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install -e '\.\[slurm\]'"):
        submit.submit(
            [], Place(tmp_path), cluster="local", at_a_time=1, minutes=None, parameters={}
        )


@pytest.mark.slurm
def test_submitted_to_slurm(arguments, tmp_path):
    """Needs a running slurmctld and slurmd; docs/scale.md says how to start them on one node."""
    assert shutil.which("sbatch"), "SLURM is not installed"
    found = study([*arguments, "--submit", "slurm", "--jobs", "2", "--minutes", "5"])
    assert found.returncode == 0 and found.stdout.count(": job ") == 3, found.stderr
    array = found.stdout.split(": job ")[1].split("_")[0]
    subprocess.run(["srun", f"--dependency=afterany:{array}", "true"], check=True, timeout=300)
    assert "2 of 3 runs are done" in study([*arguments, "--list"]).stdout
    assert seeds(tmp_path) == [0, 1]
