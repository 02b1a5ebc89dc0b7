"""python -m tests.faults.growth: memory, open files, threads and run directory of a run of 200 000
steps.

The run is a process of its own, looked at from outside through /proc, at each tenth of its steps.
Exit code 1 where something grows that should not: more than the lines that were written, or a port
that is open.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SLACK = 32  # [MB] of memory that allocators may keep
MOMENTS = 10
QUICK = 10  # looks at each


class Look(NamedTuple):
    """At a process that learns, and at its directory."""

    step: int
    seconds: float
    memory: float  # [MB], resident
    files: int
    threads: int
    ports: int  # that it listens on
    directory: float  # [MB]
    entries: int  # in it, and below


def listening(pid: int) -> int:
    """How many sockets of a process wait for others to call."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            own.add(link.readlink().name)
    tables = [
        Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6")
    ]
    rows = [line.split() for table in tables for line in table]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in own for row in rows)


def sizes(place: Path) -> list[int]:
    """Bytes of each file below, 0 of a directory, without those that a save or a removal takes away
    meanwhile.
    """
    found = []
    for folder, folders, names in os.walk(place):  # which passes over a folder that is gone
        found += [0] * len(folders)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found.append(os.stat(os.path.join(folder, name)).st_size)
    return found


def look(pid: int, place: Path, step: int, seconds: float) -> Look:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    below = sizes(place)
    return Look(
        step,
        seconds,
        int(status["VmRSS"].split()[0]) / 1024,
        len([*Path(f"/proc/{pid}/fd").iterdir()]),
        int(status["Threads"]),
        listening(pid),
        sum(below) / 1e6,
        len(below),
    )


def between_saves(looks: list[Look]) -> Look:
    """The last of some looks in quick succession, with the files and threads that all of them saw:
    those of a save that happens to be under way are not counted.
    """
    files, threads = (min(getattr(one, name) for one in looks) for name in ("files", "threads"))
    return looks[-1]._replace(files=files, threads=threads)


def newest(metrics: Path) -> int:
    """The step of the last whole line."""
    lines = metrics.read_bytes()[-10000:].splitlines(keepends=True) if metrics.exists() else []
    whole = [line for line in lines[1:] if line.endswith(b"\n")]
    return json.loads(whole[-1])["step"] if whole else 0


def watch(name: str, steps: int, place: Path, options: list[str]) -> list[Look]:
    """Looks at a run of so many steps."""
    command = [
        sys.executable,
        "-m",
        f"experiments.{name}",
        "tiny",
        "--steps",
        str(steps),
        "--run.dir",
        str(place),
    ]
    begun, found = time.monotonic(), []
    with (
        open(place.with_suffix(".out"), "wb") as out,
        subprocess.Popen([*command, *options], stdout=out, stderr=subprocess.STDOUT) as run,
    ):
        try:
            while run.poll() is None:
                step = newest(place / "metrics.jsonl")
                if step >= steps * (len(found) + 1) // MOMENTS and step < steps:
                    quick = []
                    for _ in range(QUICK):
                        quick.append(look(run.pid, place, step, time.monotonic() - begun))
                        time.sleep(0.03)
                    found.append(between_saves(quick))
                time.sleep(0.02)
        finally:
            run.kill()  # where looking failed; of one that has ended this does nothing
    if run.returncode:
        raise RuntimeError(place.with_suffix(".out").read_text()[-2000:])
    return found


def grown(looks: list[Look], written: float) -> list[str]:
    """What is more in the second half than in the first, in words; the run holds the MB of its
    lines that it wrote.
    """
    half, found = len(looks) // 2, []
    for name, slack in (("memory", SLACK + 2 * written), ("files", 3), ("threads", 3)):
        before, after = (
            max(getattr(one, name) for one in part) for part in (looks[:half], looks[half:])
        )
        if after > before + slack:
            found.append(f"{name}: {before:.0f}, then {after:.0f}")
    if ports := max(one.ports for one in looks):
        found.append(f"ports: {ports} are open")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.growth", description=__doc__)
    parser.add_argument("--experiment", default="vae")
    parser.add_argument("--steps", type=int, default=200_000)
    given, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        looks = watch(given.experiment, given.steps, place, options)
        for one in looks:
            print(
                f"step {one.step}, {one.seconds:.0f} s: {one.memory:.0f} MB of memory, {one.files} open files, "
                f"{one.threads} threads, {one.ports} ports; {one.entries} entries of {one.directory:.1f} MB",
                flush=True,
            )
        written = (place / "metrics.jsonl").stat().st_size / 1e6
    bad = grown(looks, written)
    print(
        "\n".join(bad)
        or f"Only metrics.jsonl, to {written:.1f} MB, and files derived from it grow."
    )
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
