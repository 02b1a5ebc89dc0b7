"""python -m tests.faults.sweep [EXPERIMENT ...] --kills N: runs killed at random times end as
undisturbed ones.

Each run is a process of its own, forked from one that has imported everything but has no backend.
It is ended by SIGKILL at a time drawn anew, every second time in the save that then comes next;
over and over, then left to end. Its weights and lines must be those of a run that nobody touched,
bit for bit.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import importlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp  # noqa: F401  # before the forks

from gen_jax.run import train, xla
from gen_jax.run.checkpoint import SEAL
from gen_jax.run.experiment import presets
from tests.golden import experiments

SAVES = 10  # steps from one to the next


class Swept(NamedTuple):
    """What became of the runs of one experiment."""

    kills: int
    in_saves: int
    runs: int
    identical: int


def configured(name: str, directory: Path, every: int) -> tuple[Any, Any]:
    """(experiment, config): `tiny` in this directory, with a checkpoint at every so many steps."""
    module = importlib.import_module(f"experiments.{name}")
    config = presets(module)["tiny"][1]
    run = dataclasses.replace(
        config.run,
        dir=directory,
        devices=1,
        log_every=every,
        checkpoint_every=every,
        sample_every=0,
    )
    return module, dataclasses.replace(config, run=run)


def play(name: str, directory: Path) -> None:
    """Run it, or the rest of it, and leave the digest of its end."""
    xla.prepare()
    module, config = configured(name, directory, SAVES)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        state = train.run(module, "tiny", config)
    found = hashlib.sha256((directory / "metrics.jsonl").read_bytes())
    for leaf in jax.tree.leaves(state.replace(key=jax.random.key_data(state.key))):
        found.update(jax.device_get(leaf).tobytes())
    (directory / "DIGEST").write_text(found.hexdigest())


def forked(name: str, directory: Path) -> int:
    """The number of a process that plays."""
    if pid := os.fork():
        return pid
    code = 70
    try:
        play(name, directory)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def saving(directory: Path) -> bool:
    """Whether a save has begun that is not sealed."""
    return any(not (step / SEAL).exists() for step in (directory / "checkpoints").glob("step-*"))


def sweep(name: str, kills: int, place: Path, seed: int) -> Swept:
    """Of one experiment: as many runs as so many kills take."""
    when, before = random.Random(f"{name} {seed}"), time.monotonic()
    for warm in range(2):  # the first fills the caches
        before = time.monotonic()
        if ended(forked(name, place / f"straight-{warm}")):
            raise RuntimeError(f"{name} cannot be played")
    longest = time.monotonic() - before
    expected, done = (place / "straight-1" / "DIGEST").read_text(), Swept(0, 0, 0, 0)
    while done.kills < kills:
        directory = place / f"killed-{done.runs}"
        while done.kills < kills:
            pid = forked(name, directory)
            time.sleep(when.uniform(0, 1.1 * longest))
            end, in_save = time.monotonic() + longest, when.random() < 0.5
            while in_save and time.monotonic() < end and not saving(directory):
                time.sleep(1e-4)
            if os.waitpid(pid, os.WNOHANG)[0]:
                break  # it came to its end
            os.kill(pid, signal.SIGKILL)
            ended(pid)
            done = done._replace(kills=done.kills + 1, in_saves=done.in_saves + saving(directory))
        ended(forked(name, directory))
        same = (directory / "DIGEST").read_text() == expected
        done = done._replace(runs=done.runs + 1, identical=done.identical + same)
    return done


def main() -> None:
    """A line for each experiment, and one for all; exit code 1 where a run ended otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sweep", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", default=experiments())
    parser.add_argument("--kills", type=int, default=20, help="of each experiment")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    total = Swept(0, 0, 0, 0)
    for name in given.experiments or experiments():
        with tempfile.TemporaryDirectory() as place:
            found = sweep(name, given.kills, Path(place), given.seed)
        print(
            f"{name}: {found.kills} kills, {found.in_saves} in a save; {found.identical}/{found.runs} runs identical",
            flush=True,
        )
        total = Swept(*(a + b for a, b in zip(total, found, strict=True)))
    print(
        f"all: {total.kills} kills, {total.in_saves} in a save; {total.identical}/{total.runs} runs identical"
    )
    sys.exit(total.identical != total.runs)


if __name__ == "__main__":
    main()
