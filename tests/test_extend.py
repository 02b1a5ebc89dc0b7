"""The files that docs/extend.md shows run as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["beta_vae", "wgan"])
def test_a_file_of_the_docs_trains_and_writes_its_page(tmp_path, name):
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
    whole = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "cli(" in block]
    (tmp_path / f"{name}.py").write_text(whole[("beta_vae", "wgan").index(name)])
    command = [sys.executable, "-m", name, "tiny", "--steps", "20", "--run.dir", "run"]
    path = os.pathsep.join((str(ROOT), str(tmp_path)))
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()
    assert [*(tmp_path / "run" / "samples").glob("*.png")]
