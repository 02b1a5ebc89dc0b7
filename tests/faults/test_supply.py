"""What is installed is what was locked: by hash, and refused where it is anything else."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METADATA = "Metadata-Version: 2.1\nName: locked\nVersion: 1\n"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_locked_by_hash(name):
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] not in "#-"]
    assert len(lines) > 5
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert f"--require-hashes -r {name}" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(("change", "code"), [(False, 0), (True, 1)])
def test_a_file_that_was_changed_is_not_installed(tmp_path, change, code):
    wheel = tmp_path / "locked-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("locked.py", "")
        file.writestr("locked-1.dist-info/METADATA", METADATA)
        file.writestr(
            "locked-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr("locked-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if change:
        with zipfile.ZipFile(wheel, "a") as file:
            file.writestr("more.py", "")
    (tmp_path / "requirements.txt").write_text(f"locked==1 --hash=sha256:{digest}\n")
    where = (
        "--no-index",
        "--find-links",
        str(tmp_path),
        "--target",
        str(tmp_path / "site"),
        "--no-cache-dir",
    )
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *where,
        "--require-hashes",
        "-r",
        "requirements.txt",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    assert (tmp_path / "site" / "locked.py").exists() is not change
    assert ("DO NOT MATCH THE HASHES" in done.stderr) is change
