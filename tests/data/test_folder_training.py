"""Each paper trains on a folder by its command line, goes on, and refuses a folder that has changed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.data.own_pictures import fill, row, save

SMALL = "--embedding.batch-size 4 --embedding.steps 100"
PAPERS = {
    "vae": ("@8,grey", "tiny", "test/elbo"),
    "gan": ("@8", "tiny --batch-size 8", "test/parzen"),
    "dcgan": ("", "features_quick --width 4 --latents 8 --batch-size 8 --steps 8", "test/swd"),
    "progan": (",grey", "tiny --side 8", "test/swd"),
    "cyclegan": (
        *("", "small --load 18 --side 16 --width 4 --blocks 1 --steps 8 --feature-images 0"),
        "test/cycle_x",
    ),
    "stargan": ("", "tiny --batch-size 8", "test/domain_error"),
    "text2image": ("", f"tiny --batch-size 8 {SMALL}", None),
}


def play(paper, name, options, place):
    arguments = f"{options} --run.log-every 4 --run.dir {place / 'run'} --run.data {place / 'data'}"
    words = [sys.executable, "-m", f"experiments.{paper}", *arguments.split(), "--data", name]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.parametrize("paper", PAPERS)
def test_each_paper_trains_on_a_folder(paper, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))
    own, (suffix, options, measure) = tmp_path / "own", PAPERS[paper]
    tops = {"cyclegan": ("trainA/", "trainB/"), "stargan": ("cat/", "dog/")}.get(paper, ("",))
    given = {name: x for top in tops for name, x in fill(own, 60, top).items()}
    if paper == "text2image":
        lines = [row(name, f"the picture with number {name}") for name in given]
        (own / "metadata.jsonl").write_text("\n".join(lines))
    done = play(paper, f"folder:{own}{suffix}", options, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert measure is None or np.isfinite(last[measure])
    assert (tmp_path / "run" / "report.html").exists()
    again = play(paper, f"folder:{own}{suffix}", options, tmp_path)
    assert again.returncode == 0, again.stderr
    save(own / tops[0] / "new.png")
    if paper == "text2image":
        (own / "metadata.jsonl").write_text("\n".join([*lines, row("new.png")]))
    other = play(paper, f"folder:{own}{suffix}", options, tmp_path)
    assert other.returncode == 2 and "prepared again" in other.stdout
    assert "holds another run (data." in other.stderr, other.stderr
