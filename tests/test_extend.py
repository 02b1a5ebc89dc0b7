"""The files that docs/extend.md shows or links to: they run as they are, and are as short as it says."""

import ast
import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gen_jax
from docs.examples import pix2pix
from experiments.presets.vae import TINY
from gen_jax.run import train
from tests import test_experiments

ROOT = Path(__file__).parents[1]
NAMES = ("beta_vae", "wgan_gp")  # in the order of the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the page shows, which is on the Python path of `command`."""
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    whole = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "cli(" in block]
    folder = tmp_path_factory.mktemp("files")
    for name, block in zip(NAMES, whole, strict=True):
        (folder / f"{name}.py").write_text(block)
    return folder


def command(folder, *arguments):
    path = os.pathsep.join((str(ROOT), str(folder)))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_the_docs_trains_and_writes_its_page(folder, name):
    done = command(folder, "-m", name, "tiny", "--steps", "20", "--run.dir", f"runs/{name}")
    assert done.returncode == 0, done.stderr
    assert [*(folder / "runs" / name / "samples").glob("*.png")]
    page = (folder / "runs" / name / "report.html").read_text()
    title = {"beta_vae": "beta-VAE (Higgins et al. 2017", "wgan_gp": "Improved Training"}
    assert f"<h1>{title[name]}" in page
    assert ("All of experiments.vae but players." in page) == (name == "beta_vae")


def test_a_file_that_is_not_started_as_a_module_is_one_sentence(folder):
    done = command(folder, "beta_vae.py", "tiny")
    assert done.returncode == 2 and "start it as python -m beta_vae" in done.stderr


def test_the_files_are_short(folder):
    source = (folder / "beta_vae.py").read_text()
    header = ast.parse(source).body[0].end_lineno
    assert len([line for line in source.splitlines()[header:] if line.strip()]) <= 10
    assert len((ROOT / "docs/examples/pix2pix.py").read_text().splitlines()) <= 150


def test_a_variant_can_what_its_base_can(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module("beta_vae")
    run = dataclasses.replace(TINY.run, dir=tmp_path, devices=1)
    train.run(module, "tiny", TINY.but(steps=10, run=run))
    model = gen_jax.load(tmp_path, experiment=module)
    assert model.reconstruct(model.generate(3)).shape == (3, 8, 8, 1)


def test_a_file_declares_itself_what_its_model_can_do(tmp_path):
    config = pix2pix.PRESETS["tiny"][1]
    run = dataclasses.replace(config.run, dir=tmp_path, devices=1)
    train.run(pix2pix, "tiny", config.but(steps=10, run=run))
    model = gen_jax.load(tmp_path, experiment=pix2pix)
    maps = pix2pix.worlds.discs(32)[1]["map"][:3]
    made = model.translate(maps)
    assert made.shape == maps.shape and (made != model.translate(maps, seed=1)).any()


def test_a_paper_that_cannot_be_asked_is_one_sentence():
    with pytest.raises(pytest.fail.Exception, match="no module no_such_file: set PYTHONPATH"):
        test_experiments.module_of("no_such_file")
    with pytest.raises(pytest.fail.Exception, match="mine has no preset tiny"):
        test_experiments.tiny(SimpleNamespace(__name__="mine", PRESETS={}))


@pytest.mark.long
def test_the_six_questions_are_asked_of_files_outside_experiments(folder):
    asked = [f"--paper={name}" for name in (*NAMES, "docs.examples.pix2pix")]
    file = str(ROOT / "tests" / "test_experiments.py")
    done = command(folder, "-m", "pytest", "--rootdir", str(ROOT), file, *asked)
    assert "18 passed, 3 skipped" in done.stdout, done.stdout
