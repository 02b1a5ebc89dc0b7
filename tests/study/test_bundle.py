"""The bundle for a machine without network: it plays a study from a folder that has nothing else."""

import json
import os
import subprocess
import sys

import pytest

from gen_jax.study import bundle


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A bundle of the digits, without packages."""
    monkeypatch.setattr(bundle, "DATA", ("digits",))
    monkeypatch.setattr(bundle, "_install", lambda site: (site / "marker.py").write_text("X = 1"))
    bundle.pack(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_study_is_played_from_the_bundle_alone(small, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "GEN_JAX_DATA")}
    played = subprocess.run(
        [small / "run", "smoke", "--rows", "gan-tiny", "--platform", "cpu", "--out", "out"],
        cwd=elsewhere, capture_output=True, text=True, check=False,
        env={**environment, "PYTHON": sys.executable, "GEN_JAX_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    (run,) = json.loads((elsewhere / "out/results.json").read_text())["gan-tiny"]["runs"]
    assert run["steps"] == 40 and "test/parzen" in run["measures"]
    assert (small / "code/results/gan-tiny.json").exists()
    assert (small / "unpacked/site/marker.py").exists()
    assert json.loads((elsewhere / "runs/gan-tiny-s0/config.json").read_text())["data"]


def test_a_bundle_that_is_too_large_is_refused(small, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "MOST_BYTES", 1000)
    assert bundle.main([str(small)]) == 2
    assert "more than 0: leave data out" in capsys.readouterr().err


def test_each_package_that_is_lacking_is_locked():
    names = [line.partition("==")[0] for line in bundle._locked()]
    assert sorted(names) == sorted(bundle.LACKS)
    assert all("--hash=sha256:" in line for line in bundle._locked())
