"""Packs what a machine with Python 3.12 and JAX, but without network, lacks to play a study.

python -m gen_jax.study.bundle .gpu  # code, wheels and data; at most 60 MiB
.gpu/run gpu --minutes 9 --jobs 3 --out OUT  # there: python -m gen_jax.study with these
"""

import argparse
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from gen_jax import console
from gen_jax.data.catalog import sets
from gen_jax.errors import UserError
from gen_jax.storage import cache

ROOT = Path(__file__).parents[2]
PYTHON = "3.12"  # of that machine
LACKS = (  # of requirements.txt; that machine has JAX, Flax, Optax, Orbax, Chex, SciPy and the like
    *("tyro", "tensorboardx", "dacite", "docstring-parser", "typeguard", "jinja2", "markupsafe"),
)
DATA = ("mnist", "digits", "emoji", "earth")
PHOTOGRAPHS = ("earth",)
MOST_BYTES = 60 * 2**20
RUN = """#!/bin/sh
# python -m gen_jax.study, with the code, the packages and the data of this folder.
set -e
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -d "$here/unpacked" ]; then
    mkdir -p "$here/part"
    for each in "$here"/*.tar.xz; do tar -C "$here/part" -xJf "$each"; done
    mv "$here/part" "$here/unpacked"
fi
export PYTHONPATH="$here/code:$here/unpacked/site" GEN_JAX_DATA="$here/unpacked"
exec "${PYTHON:-python3}" -m gen_jax.study --results "$here/code/results" "$@"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bundle and print its size; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gen_jax.study.bundle", description=__doc__)
    parser.add_argument("folder", type=Path)
    try:
        with console.piped():
            folder = parser.parse_args(arguments).folder
        size = pack(folder)
        console.show(f"{folder}: {size / 2**20:.1f} MiB")
    except Exception as error:
        return console.exit_code("gen_jax.study.bundle", error)
    return 0


def pack(folder: Path) -> int:
    """Write code, wheels, data and `run` to a folder, and return its size in bytes.

    Raises UserError if a package or a data set is missing, or if the bundle is too large.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("code", "unpacked"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / ".gitignore").write_text("*\n")
    for path in _sources():
        target = folder / "code" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
    with tempfile.TemporaryDirectory() as site:
        _install(Path(site))
        _compress(Path(site), "site", folder / "site.tar.xz")
    _pack_data(folder)
    (folder / "run").write_text(RUN)
    (folder / "run").chmod(0o755)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise UserError(
            f"{folder} has {size / 2**20:.0f} MiB, more than {MOST_BYTES / 2**20:.0f}: leave data out."
        )
    return size


def _sources() -> list[str]:
    """Return the files of the code and of the results that git does not ignore."""
    folders = ("gen_jax", "experiments", "benchmarks", "results")
    git = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run([*git, *folders], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise UserError(f"{ROOT} is not a clone of the repository: make the bundle in one.")
    return [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]


def _locked() -> Iterator[str]:
    """Yield the lines of requirements.txt about the packages that are lacking."""
    text = (ROOT / "requirements.txt").read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if (name := re.match(r"[a-z0-9-]+(?===)", line)) and name.group() in LACKS:
            yield line


def _install(site: Path) -> None:
    """Unpack the wheels that the other machine lacks, for its Python."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("\n".join(_locked()))
        wanted.flush()
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"),
            *(
                word
                for name in (*platforms, "manylinux2014_x86_64")
                for word in ("--platform", name)
            ),
            *("--disable-pip-version-check", "--target", str(site), "-r", wanted.name),
        ]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise UserError(f"pip cannot get the packages: {found.stderr.strip().splitlines()[-1]}")


def _pack_data(folder: Path) -> None:
    """Write an archive of the prepared arrays of each set, unless it is there already."""
    base = cache.data_folder()
    for name in DATA:
        sets.make(name, base)
        path = folder / f"{name}.tar.xz"
        if path.exists():
            continue
        _compress(base / "arrays" / name, f"arrays/{name}", path, photographs=name in PHOTOGRAPHS)


def _compress(source: Path, name: str, path: Path, *, photographs: bool = False) -> None:
    """Write an archive of a folder; of colour photographs, by the differences of neighbours."""
    delta = [{"id": lzma.FILTER_DELTA, "dist": 3}] if photographs else []
    temporary = path.with_suffix(".part")
    with (
        lzma.open(
            temporary, "wb", filters=[*delta, {"id": lzma.FILTER_LZMA2, "preset": 9}]
        ) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        archive.add(source, name)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
