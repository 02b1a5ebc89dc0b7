"""What a machine does to a run from outside: signals, terminals, full disks, limits, devices.

Each run is a process.

Each ends with its exit code and one sentence, nobody sees a traceback, and the same command then
comes to the same end.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gen_jax.run.xla import LIBRARY

ROOT = Path(__file__).parents[2]
PYTHON = shlex.quote(sys.executable)
NOBODY = "setpriv --reuid 65533 --clear-groups"
RUN = f"{PYTHON} -m experiments.vae tiny --run.dir"
LONG = "--steps 1000000 --run.log-every 20 --run.checkpoint-every 100 --run.sample-every 0"


def shell(script, where, timeout=300):
    """What a script printed, and its exit code; $RUN is a run's command, $HERE a directory."""
    environment = {**os.environ, "RUN": RUN, "HERE": str(where), "PYTHONPATH": str(ROOT)}
    command = ("bash", "-c", script.replace("$RUN", RUN))
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, cwd=where,
                          env=environment, check=False)  # fmt: skip


def lines(where):
    return [json.loads(line) for line in (where / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The lines of a run that nothing happened to."""
    where = tmp_path_factory.mktemp("whole")
    done = shell("$RUN run", where)
    assert done.returncode == 0, done.stderr
    return lines(where / "run")


SCRIPTS = {
    "no HOME and no user": (
        f"env -u HOME -u XDG_CACHE_HOME {NOBODY} $RUN run",
        2,
        "No home directory is known",
    ),
    "a remote directory": ("$RUN gs://bucket/run", 2, "gs:/bucket/run, a remote address"),
    "no directory": ("$RUN ''", 2, "--run.dir is empty"),
    "a directory without a name": (
        "$RUN . --run.seeds 2",
        2,
        "no seed can be appended to this name",
    ),
    "the root": ("$RUN / --run.seeds 2", 2, "no seed can be appended to this name"),
    "a name that is no UTF-8": (
        "$RUN $'\\xffrun'",
        2,
        "which is not valid in the encoding of this locale",
    ),
    "endless steps": ("$RUN run --steps 1000000000000", 2, "a whole number from 1 to 2^31 - 1"),
    "a number of latents without end": (
        "$RUN run --latents 1000000000000",
        2,
        "a whole number from 1 to 2^31 - 1",
    ),
    "more memory than there is": (
        "ulimit -v 60000000; $RUN run --latents 2000000000",
        71,
        "Out of memory",
    ),
    "a device that is not there": ("JAX_PLATFORMS=cuda $RUN run", 69, "JAX_PLATFORMS"),
    "a platform that is none": ("JAX_PLATFORMS=foo $RUN run", 69, "JAX_PLATFORMS"),
    "a device count that is none": ("JAX_NUM_CPU_DEVICES=0 $RUN run", 69, "JAX finds no device"),
    "no compiling": (
        "JAX_DISABLE_JIT=1 $RUN run",
        2,
        "JAX_DISABLE_JIT is True, which no program here supports",
    ),
    "no transfers": ("JAX_TRANSFER_GUARD=disallow $RUN run", 2, "JAX_TRANSFER_GUARD is disallow"),
    "types that do not mix": (
        "JAX_NUMPY_DTYPE_PROMOTION=strict $RUN run",
        2,
        "JAX_NUMPY_DTYPE_PROMOTION is strict",
    ),
    "a variable that JAX cannot read": (
        "JAX_ENABLE_X64=banana $RUN run",
        2,
        "'JAX_ENABLE_X64'): correct that variable",
    ),
    "24 open files": ("ulimit -n 24; $RUN run", 71, "ulimit -n"),
    "40 open files": ("ulimit -n 40; $RUN run", 71, "ulimit -n"),
    "400 seeds of 1024 files": ("ulimit -n 1024; $RUN run --run.seeds 400", 71, "seeds is 400"),
    "files of 2 kB": ("ulimit -f 2; $RUN run", 74, "File too large"),
    "files of 100 kB": ("ulimit -f 100; $RUN run", 74, "/tb"),  # the events
    "files of 20 kB": ("ulimit -f 20; $RUN run --hidden 512", 74, "File too large"),
    **{
        f"{words} to one that leaves": (
            f"{PYTHON} -m {words} | true; exit ${{PIPESTATUS[0]}}",
            0,
            "",
        )
        for words in (
            "experiments",
            "experiments.vae tiny --help",
            "gen_jax.data",
            "gen_jax.data --help",
            "gen_jax.measure --help",
            "gen_jax.pretrained",
            "gen_jax.report --help",
            "gen_jax.study --help",
            "gen_jax.use --help",
        )
    },
}


@pytest.mark.long
@pytest.mark.parametrize(("script", "code", "words"), SCRIPTS.values(), ids=SCRIPTS)
def test_what_a_machine_refuses_is_one_sentence(tmp_path, script, code, words):
    if "setpriv" in script and os.geteuid():
        pytest.skip("only root can be another user")
    tmp_path.chmod(0o777)
    done = shell(script, tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr and "Traceback" not in done.stdout + done.stderr
    ours = [line for line in done.stderr.splitlines() if line.startswith("experiments")]
    assert len(ours) == (code != 0) or "usage" in done.stderr or "Parsing error" in done.stderr
    if code in (2, 69):
        assert not any(tmp_path.iterdir())  # no directory is left


@pytest.mark.long
@pytest.mark.parametrize("size", [40, 100, 400, 700])
def test_a_disk_that_is_full_is_one_sentence_and_the_run_goes_on_when_there_is_room(
    tmp_path, whole, size
):
    (tmp_path / "disk").mkdir()
    if shell(f"mount -t tmpfs -o size={size}k tmpfs disk", tmp_path).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        done = shell("$RUN disk/run", tmp_path)
        assert done.returncode in (0, 74), done.stderr
        said = done.stdout + done.stderr
        assert ("No space left on device" in done.stderr) == (
            done.returncode == 74
        ) and "Traceback" not in said
        assert shell("mount -o remount,size=100m disk", tmp_path).returncode == 0
        again = shell("$RUN disk/run", tmp_path)
        assert again.returncode == 0, again.stderr
        assert lines(tmp_path / "disk" / "run") == whole
    finally:
        shell("umount disk", tmp_path)


TERMINALS = {
    "a reader that leaves": "$RUN run | head -1; exit ${PIPESTATUS[0]}",
    "no room for what is said": "$RUN run > /dev/full",
    "no room for errors": "$RUN run 2> /dev/full",
    "nowhere to say it": "$RUN run >&- 2>&-",
    "ASCII": "PYTHONIOENCODING=ascii LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $RUN run",
    "files that are mine alone": "umask 077; $RUN run",
    "no docstrings": "PYTHONOPTIMIZE=2 $RUN run",
    "XLA's flags in a file": f"echo {LIBRARY}=LIBRARY_FUSION_TYPE_REDUCE > flags; XLA_FLAGS=$PWD/flags $RUN run",
    "no clock that one can trust": "touch -d 2040-01-01 .; $RUN run; find run -exec touch -d 2040-01-01 {} +; $RUN run",
}


@pytest.mark.long
@pytest.mark.parametrize("script", TERMINALS.values(), ids=TERMINALS)
def test_a_terminal_ends_no_run(tmp_path, whole, script):
    done = shell(script, tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr, done.stderr
    assert lines(tmp_path / "run") == whole
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "step 40/40" in log and "report.html" in log


DEFAULT = """import os, signal, sys
signal.signal(int(sys.argv[1]), signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])"""


@contextlib.contextmanager
def begun(arguments, where, number):
    """A run that may be sent a signal, whatever whoever started the tests ignores."""
    command = [
        sys.executable,
        "-c",
        DEFAULT,
        str(int(number)),
        *shlex.split(f"{RUN} run {arguments}"),
    ]
    how = {"cwd": where, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    heard = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **how, **heard) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.long
@pytest.mark.parametrize("after", [0, 0.7, 1.5, 3])
def test_ctrl_c_before_a_run_begins_is_one_sentence(tmp_path, after):
    """In seconds after it is prepared for that: when, depends on the load of the machine."""
    with begun("--steps 1000000", tmp_path, signal.SIGINT) as process:
        while not catches(process.pid, signal.SIGTERM):  # SIGINT is always caught by Python
            assert process.poll() is None
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        said = "".join(process.communicate(timeout=60))
    assert process.returncode == 130 and "Traceback" not in said and "topped" in said, said


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(line.split()[1] for line in status if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


ASKED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM")


@pytest.mark.long
@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("every", [20, 1_000_000])
def test_each_signal_that_asks_a_run_to_end_saves_it_within_seconds(tmp_path, name, every):
    """Whatever --run.log-every is: a chunk is of some seconds."""
    number = getattr(signal, name)
    with begun(f"{LONG} --run.log-every {every}", tmp_path, number) as process:
        while "Compiled" not in (process.stdout.readline() or pytest.fail(process.stderr.read())):
            pass
        time.sleep(1)
        process.send_signal(number)
        # a chunk of five seconds where the machine does what is assumed
        said, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in said + err, err
    step = int(
        re.search(r"Stopped and saved at step (\d+); the same command resumes from there", err)[1]
    )
    assert (tmp_path / "run" / "checkpoints" / f"step-{step:09d}" / "SEAL.json").exists()


PLACES = {
    "nothing can be made there": (
        "chattr +i checkpoints",
        "chattr -i checkpoints",
        "Operation not permitted",
    ),
    "it cannot be listed": ("chmod 300 checkpoints", "chmod 700 checkpoints", "Permission denied"),
    "it leads nowhere": (
        "mv checkpoints away; ln -s gone checkpoints",
        "rm checkpoints; mv away checkpoints",
        "gone",
    ),
}
# root that is bound by permissions
LESS = "setpriv --bounding-set=-dac_override,-dac_read_search,-fowner"


@pytest.mark.long
@pytest.mark.parametrize(("spoil", "mend", "words"), PLACES.values(), ids=PLACES)
def test_checkpoints_that_cannot_be_reached_end_a_run_at_once_and_stay(
    tmp_path, whole, spoil, mend, words
):
    assert shell("$RUN run; rm -r run/checkpoints/*40*", tmp_path).returncode == 0
    if shell(f"cd run; {spoil}; {LESS} true", tmp_path).returncode:
        pytest.skip("only root can do this")
    done = shell(f"timeout -k 1 60 {LESS} $RUN run", tmp_path)
    shell(f"cd run; {mend}", tmp_path)
    assert done.returncode == 74 and words in done.stderr and "Traceback" not in done.stderr, (
        done.stderr
    )
    assert (tmp_path / "run" / "checkpoints" / "step-000000020" / "SEAL.json").exists()
    again = shell("$RUN run", tmp_path)
    assert again.returncode == 0 and "from the checkpoint of step 20" in again.stdout, again.stderr
    assert lines(tmp_path / "run") == whole


@pytest.mark.long
def test_hangup_is_ignored_where_the_user_says_so(tmp_path, whole):
    """As under nohup."""
    done = shell("trap '' HUP; $RUN run & sleep 4; kill -HUP $!; wait $!", tmp_path)
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "run") == whole


@pytest.mark.long
def test_programs_that_were_exchanged_in_the_cache_are_not_used(tmp_path, whole):
    """A kept program of another computation, a torn one, and one that is empty."""
    before = "export GEN_JAX_CACHE=$PWD/cache; "
    assert shell(before + "$RUN first", tmp_path).returncode == 0
    for damage in ("exchanged", "torn", "empty"):
        kept = sorted((tmp_path / "cache" / "xla").glob("*-cache"))
        assert len(kept) > 1
        contents = [path.read_bytes() for path in kept]
        for i, path in enumerate(kept):
            other = {
                "exchanged": contents[i - 1],
                "torn": contents[i][: len(contents[i]) // 2],
                "empty": b"",
            }
            path.write_bytes(other[damage])
        done = shell(before + f"$RUN {damage}", tmp_path)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.count(
            "is not the cached program of this name: it is compiled again"
        ) == len(kept)
        assert lines(tmp_path / damage) == whole
