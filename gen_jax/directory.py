"""The directory of a run: what was run, on what, under whose lock.

config.json   preset and full config         metrics.jsonl  the truth, one line per logged step
paper.json    header and claims              samples/       pictures, from fixed latents
env.json      versions, devices, commit      checkpoints/   sealed steps
command.txt   how it was called              attempts/000/  TensorBoard events of each start
log.txt       what was said                  report.html    the page
"""

import dataclasses
import fcntl
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from gen_jax import config as configs
from gen_jax import files
from gen_jax.config import Experiment, Paper
from gen_jax.errors import DirectoryError, InUseError, UserError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def default(experiment: Experiment, preset: str, config: Any) -> Path:
    """runs/PAPER-PRESET-sSEED."""
    return Path("runs") / f"{experiment.__name__.rpartition('.')[2]}-{preset}-s{config.run.seed}"


def claim(path: Path) -> IO[str]:
    """Make the directory and lock it for this process; the lock ends with the process, however it ends."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("w")
    except OSError as error:
        raise DirectoryError(
            f"The run directory {path} cannot be written ({error.strerror}); give another --run.dir."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise InUseError(
            f"The run directory {path} is being written by another process; give another --run.dir."
        ) from error
    return lock


def describe(path: Path, experiment: Experiment, preset: str, config: Any) -> None:
    """Write what is run, or where that was written before, see that it is the same."""
    new = {
        "schema": configs.SCHEMA,
        "experiment": experiment.__name__,
        "preset": preset,
        "config": configs.to_json(config),
    }
    file = path / "config.json"
    if file.exists():
        old = read_json(file)
        known = configs.from_json(type(config), old.get("config", {}), str(file))  # or a sentence says what is wrong
        old["config"] = configs.to_json(known)  # with the defaults of fields that are newer than the run
        ignore = ("preset", *(f"config.{name}" for name in configs.NOT_LEARNT))
        changed = configs.differences(old, new, ignore)
        if changed:
            fields = "; ".join(change.removeprefix("config.") for change in changed)
            raise UserError(f"The run directory {path} holds another run ({fields}); give another --run.dir.")
    else:
        files.replace(file, json.dumps(new, indent=1))
    paper = Paper.of(experiment.__doc__)._asdict()
    claims = {name: dataclasses.asdict(claim) for name, claim in experiment.CLAIMS.items()}
    files.replace(
        path / "paper.json", json.dumps({**paper, "claims": claims, "units": dict(experiment.UNITS)}, indent=1)
    )
    files.replace(path / "command.txt", command(experiment, preset, sys.argv[1:]) + "\n")


def command(experiment: Experiment, preset: str, arguments: list[str]) -> str:
    """The command that runs this again."""
    given = arguments if arguments[:1] == [preset] else [preset]
    return " ".join(["python -m", experiment.__name__, *given])


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); restore it, or give another --run.dir.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object; restore it, or give another --run.dir.")
    return value


def environment(devices: int, seeds: int = 1) -> dict[str, Any]:
    """What bit-identity depends on: equal here means equal results; and what else a reader wants to know."""
    import jax

    first = jax.devices()[0]
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "backend": first.platform,
        "device": first.device_kind,
        "devices": devices,
        **({"seeds": seeds} if seeds > 1 else {}),  # in one program
        **({"threads": max(_processors(), jax.local_device_count())} if first.platform == "cpu" else {}),  # of XLA
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threefry_partitionable": bool(jax.config.jax_threefry_partitionable),  # type: ignore[attr-defined]
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


MATTERS = (  # to bit-identity
    "jaxlib",
    "backend",
    "device",
    "devices",
    "seeds",
    "threads",  # among which Eigen divides the sums of a convolution
    "xla_flags",
    "threefry_partitionable",
)


def _processors() -> int:
    """As many as XLA's CPU uses: NPROC, or those that this process may run on."""
    if (given := os.environ.get("NPROC", "")).isdecimal():
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit of this code, with + where the tree differs from it."""
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def next_attempt(path: Path) -> Path:
    """A new directory for this start's events: two writers in the same second would share a file."""
    number = len(list((path / "attempts").glob("[0-9]*")))
    attempt = path / "attempts" / f"{number:03d}"
    attempt.mkdir(parents=True)
    return attempt
