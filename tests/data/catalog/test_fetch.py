"""Ways to a set's bytes: their order, their checks, and what is said when none is left."""

import functools
import hashlib
import http.server
import io
import logging
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import pytest

from gen_jax.data.catalog import fetch
from gen_jax.data.catalog.fetch import Mirror
from gen_jax.errors import DataError

CONTENT = b"the right bytes"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def read(folder, split, sizes):
    yield {}


def way(client, what="it==1", file="it.bin", content=CONTENT, members=()):
    return Mirror(client, what, {file: sha256(content)}, read, members)


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.delenv("GEN_JAX_OFFLINE", raising=False)
    (tmp_path / "work").mkdir()
    return tmp_path


def obtain(base, *ways):
    return fetch.obtain("toy", ways, base, base / "work")


@pytest.fixture
def client(monkeypatch):
    """Stands for pip: a program that writes a file into its directory, or fails."""

    def behave(content=CONTENT, code=0, said=""):
        program = f"import sys, pathlib; sys.stderr.write({said!r}); pathlib.Path('it.bin').write_bytes({content!r})"
        monkeypatch.setitem(
            fetch.CLIENTS, "pip", (sys.executable, "-c", f"{program}; sys.exit({code})")
        )

    behave()
    return behave


@pytest.fixture
def host(tmp_path):
    """An original host, which serves the files of a folder."""
    (tmp_path / "host").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "host")
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "host", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_original_host_comes_first(base, client, host):
    folder, address = host
    (folder / "it.bin").write_bytes(CONTENT)
    taken, where, how = obtain(base, way("url", address), way("pip"))
    assert taken.client == "url" and how == f"url {address}"
    assert (where / "it.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("answer", ["nothing", "other bytes", "too much"])
def test_then_the_package_and_the_log_says_so(base, client, host, monkeypatch, caplog, answer):
    folder, address = host
    if answer != "nothing":
        (folder / "it.bin").write_bytes(b"x" * 100)
    if answer == "too much":
        monkeypatch.setattr(fetch, "ARCHIVE_CAP", 99)
    with caplog.at_level(logging.WARNING, "gen_jax.data"):
        _, where, how = obtain(base, way("url", address), way("pip"))
    assert how == "pip it==1" and (where / "it.bin").read_bytes() == CONTENT
    said = {
        "nothing": "404",
        "other bytes": f"expected {sha256(CONTENT)}",
        "too much": "more than 99 bytes",
    }[answer]
    assert f"toy: not by url {address}" in caplog.text and said in caplog.text


@pytest.mark.parametrize("right", [True, False])
def test_of_a_source_archive_nothing_runs(base, monkeypatch, right):
    """Pip itself, and an archive whose setup.py leaves a trace."""
    name, trace = "it-1.tar.gz", base / "trace"
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: it\nVersion: 1\n\nNone.\n",
        "data.bin": CONTENT.decode(),
    }
    files["setup.py"] = (
        f"open({str(trace)!r}, 'w'); import setuptools; setuptools.setup(name='it', version='1')"
    )
    with tarfile.open(base / name, "w:gz") as archive:
        for file, content in files.items():
            member = tarfile.TarInfo(f"it-1/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    monkeypatch.setitem(
        fetch.CLIENTS, "sdist", (*fetch.CLIENTS["sdist"], "--no-index", "--find-links", str(base))
    )
    expected = sha256((base / name).read_bytes()) if right else sha256(CONTENT)
    only = Mirror("sdist", "it==1", {name: expected}, read, members=("it-1/data.bin",))
    if right:
        _, where, how = obtain(base, only)
        assert how == "sdist it==1" and (where / "data.bin").read_bytes() == CONTENT
    else:
        with pytest.raises(
            DataError, match=r"tried sdist it==1 \(ERROR: THESE PACKAGES DO NOT MATCH"
        ):
            obtain(base, only)
    assert not trace.exists()


def test_files_placed_by_hand_win(base, client, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)  # calling it would be an error
    (base / "manual" / "toy").mkdir(parents=True)
    (base / "manual" / "toy" / "late.bin").write_bytes(b"late")
    taken, where, how = obtain(base, way("pip"), way("hand", "x", "late.bin", b"late"))
    assert taken.client == "hand" and how == "by hand: late.bin"
    assert (where / "late.bin").read_bytes() == b"late"


def test_wrong_files_placed_by_hand_are_named(base):
    (base / "manual" / "toy").mkdir(parents=True)
    (base / "manual" / "toy" / "it.bin").write_bytes(b"other")
    with pytest.raises(
        DataError, match=rf"manual/toy/it\.bin has SHA-256 {sha256(b'other')}, expected"
    ):
        obtain(base, way("bundled", "x"), way("pip"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"code": 1, "said": "WARNING: x\nERROR: No matching distribution found\n"},
            "ERROR: No matching distribution",
        ),
        ({"code": 3}, "exit code 3"),
        (
            {"content": b"other"},
            f"it.bin has SHA-256 {sha256(b'other')}, expected {sha256(CONTENT)}",
        ),
    ],
)
def test_when_nothing_is_left_one_sentence_says_all(base, client, how, said):
    client(**how)
    (base / "manual" / "toy").mkdir(parents=True)
    (base / "manual" / "toy" / "half.bin").touch()
    with pytest.raises(DataError) as caught:
        obtain(base, way("url", "http://127.0.0.1:9"), way("pip"), way("hand", "x", "raw"))
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    for part in (
        "url http://127.0.0.1:9 (urlopen error [Errno 111] Connection refused)",
        f"pip it==1 ({said}",
        "holds half.bin",
        f"place it.bin (SHA-256 {sha256(CONTENT)}) or it.bin",
        f"in {base / 'manual' / 'toy'}",
        "python -m gen_jax.data toy",
    ):
        assert part in message


def test_a_client_is_asked_for_several_packages_at_once_and_each_is_checked(base, monkeypatch):
    program = "import sys, pathlib; [pathlib.Path(name).write_bytes(name.encode()) for name in sys.argv[1:]]"
    monkeypatch.setitem(fetch.CLIENTS, "npm", (sys.executable, "-c", program))
    files = {name: sha256(name.encode()) for name in ("a.bin", "b.bin")}
    _, where, how = obtain(base, Mirror("npm", "a.bin b.bin", files, read))
    assert how == "npm a.bin b.bin" and (where / "b.bin").read_bytes() == b"b.bin"
    for what, bad, said in (
        ("a.bin b.bin", {"b.bin": "0"}, f"b.bin has SHA-256 {sha256(b'b.bin')}, expected 0"),
        ("a.bin", {}, "b.bin has not come"),
    ):
        shutil.rmtree(base / "work" / "npm")
        with pytest.raises(DataError, match=said):
            obtain(base, Mirror("npm", what, {**files, **bad}, read))


def test_files_of_several_clients_come_together_or_by_hand(base, client, monkeypatch):
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.argv[1].encode())"
    monkeypatch.setitem(fetch.CLIENTS, "npm", (sys.executable, "-c", program))
    files = {name: sha256(content) for name, content in (("a.bin", b"a.bin"), ("it.bin", CONTENT))}
    both = Mirror("npm", "a.bin", files, read, also={"pip": "it==1"})
    _, where, how = obtain(base, both)
    assert how == "npm a.bin and pip it==1"
    assert [(where / name).read_bytes() for name in files] == [b"a.bin", CONTENT]
    for harm, said in (
        ({"code": 1, "said": "ERROR: none"}, r"npm a\.bin and pip it==1 \(ERROR: none\)"),
        (
            {"content": b"other"},
            f"it.bin has SHA-256 {sha256(b'other')}, expected {sha256(CONTENT)}",
        ),
    ):
        shutil.rmtree(base / "work" / "npm")
        client(**harm)
        with pytest.raises(DataError, match=said) as caught:
            obtain(base, both)
        assert (
            f"place a.bin (SHA-256 {files['a.bin']}) and it.bin (SHA-256 {files['it.bin']})"
            in str(caught.value)
        )
    monkeypatch.setenv("GEN_JAX_OFFLINE", "1")
    with pytest.raises(
        DataError, match=r"npm a\.bin and pip it==1 \(not asked: GEN_JAX_OFFLINE is set\)"
    ):
        obtain(base, both)
    (base / "manual" / "toy").mkdir(parents=True)
    (base / "manual" / "toy" / "a.bin").write_bytes(b"a.bin")
    with pytest.raises(DataError, match=r"holds a\.bin; not all files"):
        obtain(base, both)
    (base / "manual" / "toy" / "it.bin").write_bytes(CONTENT)
    assert obtain(base, both)[2] == "by hand: a.bin, it.bin"


def test_a_client_that_is_missing_or_hangs(base, monkeypatch):
    monkeypatch.setitem(fetch.CLIENTS, "npm", ("no-such-program",))
    monkeypatch.setitem(fetch.CLIENTS, "apt", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(fetch, "LIMIT", 1)
    with pytest.raises(DataError, match=r"no-such-program is not installed.*no end after 1 s"):
        obtain(base, way("npm"), way("apt"))


def test_a_host_that_stays_silent_or_never_ends(base, client, monkeypatch):
    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if "silent" in self.path:
                time.sleep(3)
                return
            self.send_response(200)
            self.end_headers()
            for _ in range(60):
                self.wfile.write(b"x" * 2**20)  # more than it.bin has, but less than the cap
                time.sleep(0.05)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(fetch, "PATIENCE", 0.5)
    monkeypatch.setattr(fetch, "LIMIT", 1)
    client(code=1)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.handle_error = lambda *_: None
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, start = f"http://127.0.0.1:{server.server_port}", time.monotonic()
        with pytest.raises(DataError, match=r"timed out"):
            obtain(base, way("url", f"{address}/silent"))
        shutil.rmtree(base / "work" / "url")
        with pytest.raises(DataError, match=r"has not come within 1 s"):
            obtain(base, way("url", address))
        assert time.monotonic() - start < 10
        server.shutdown()


def test_offline_asks_nobody(base, monkeypatch):
    monkeypatch.setenv("GEN_JAX_OFFLINE", "1")
    monkeypatch.setattr(subprocess, "run", None)
    monkeypatch.setattr(fetch.urllib.request, "urlopen", None)
    with pytest.raises(DataError, match=r"pip it==1 \(not asked: GEN_JAX_OFFLINE is set\)"):
        obtain(base, way("url", "http://127.0.0.1:9"), way("pip"))
    assert obtain(base, way("pip"), way("bundled", "sklearn"))[0].client == "bundled"


def archive(path, members):
    """An archive of the kind that its name says."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members.items():
                opened.writestr(name, content)
    elif path.suffix == ".deb":
        root = path.parent / "root"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN" / "control").write_text(
            "Package: toy\nVersion: 1\nArchitecture: all\nMaintainer: us <us@example.org>\nDescription: toy\n"
        )
        for name, content in members.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        subprocess.run(["dpkg-deb", "--build", root, path], check=True, capture_output=True)
    else:
        with tarfile.open(path, "w:gz") as opened:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                opened.addfile(entry, io.BytesIO(content))
    return path


KINDS = [
    "toy.whl",
    "toy.tgz",
    pytest.param(
        "toy.deb", marks=pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb")
    ),
]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_wanted_members_are_read(tmp_path, kind):
    path = archive(
        tmp_path / kind, {"a/one": b"1", "a/two": b"22", "a/setup.py": b"raise SystemExit"}
    )
    fetch.unpack(path, ("a/one", "a/two"), tmp_path / "to")
    assert {file.name: file.read_bytes() for file in (tmp_path / "to").iterdir()} == {
        "one": b"1",
        "two": b"22",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_faulty_archives(tmp_path, kind, monkeypatch):
    path = archive(tmp_path / kind, {"a/one": bytes(10**6), "a/two": b"22"})
    with pytest.raises(DataError, match=rf"{kind} .*three"):
        fetch.unpack(path, ("a/one", "a/three"), tmp_path / "to")
    monkeypatch.setattr(fetch, "MEMBER_CAP", 10**6 - 1)  # a bomb: small here, large when read
    assert path.stat().st_size < 10**4
    with pytest.raises(DataError, match="more than 999999 bytes"):
        fetch.unpack(path, ("a/one",), tmp_path / "to")
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"junk" * 1000):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=kind):
            fetch.unpack(path, ("a/one", "a/two"), tmp_path / "to")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil"])
def test_members_that_lead_outside(tmp_path, name):
    path = archive(tmp_path / "toy.tgz", {name: b"evil", "a/one": b"1"})
    if name.startswith("/"):  # a leading slash is dropped, as tar does
        fetch.unpack(path, ("a/one",), tmp_path / "to")
    else:
        with pytest.raises(DataError, match="refused"):
            fetch.unpack(path, ("a/one",), tmp_path / "to")
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "one"])
def test_links_and_devices_are_not_followed(tmp_path, kind, target):
    (tmp_path / "secret").write_text("secret")
    entry = tarfile.TarInfo("a/one")
    entry.type, entry.linkname = kind, target
    with tarfile.open(tmp_path / "toy.tgz", "w:gz") as opened:
        opened.addfile(entry)
    with pytest.raises(DataError, match=r"refused|lacks a/one"):
        fetch.unpack(tmp_path / "toy.tgz", ("a/one",), tmp_path / "to")
    assert not list((tmp_path / "to").iterdir())


def test_an_archive_by_hand_is_unpacked(base):
    (base / "manual" / "toy").mkdir(parents=True)
    path = archive(base / "manual" / "toy" / "toy.whl", {"a/one": b"1"})
    taken, where, _ = obtain(base, way("pip", "toy==1", "toy.whl", path.read_bytes(), ("a/one",)))
    assert taken.client == "pip" and (where / "one").read_bytes() == b"1"
    assert sorted(file.name for file in path.parent.iterdir()) == ["toy.whl"]
