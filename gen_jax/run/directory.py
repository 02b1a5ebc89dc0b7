"""The directory of a run: what was run, on what, under whose lock.

config.json   preset and full config         metrics.jsonl  the truth, one line per logged step
paper.json    header and claims              samples/       pictures, from fixed latents
env.json      versions, devices, commit      checkpoints/   sealed steps
command.txt   how it was called              attempts/000/  TensorBoard events of each start
log.txt       what was said                  report.html    the page
metrics-before-N.jsonl  lines whose checkpoints were removed, when the run started afresh
"""

import dataclasses
import errno
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen_jax import config as configs
from gen_jax.errors import DataError, DirectoryError, InUseError, UserError
from gen_jax.run.experiment import Experiment, Paper, paper_of
from gen_jax.storage import files
from gen_jax.types import Measure


def of(experiment: Experiment, preset: str, config: Any) -> Path:
    """The one that is given, else runs/PAPER-PRESET-sSEED."""
    return (
        config.run.dir
        or Path("runs") / f"{experiment.__name__.rpartition('.')[2]}-{preset}-s{config.run.seed}"
    )


class Lock:
    """The run directory, held by this process until it ends, however it ends.

    The directory itself is locked: no file in it can be removed to let a second writer in. Where a file system locks
    files alone (NFS), `.lock` is.
    """

    def __init__(self, path: Path):
        """Make the directory and lock it; DirectoryError or InUseError where that cannot be."""
        self.held: list[tuple[Path, int]] = []  # with their descriptors
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._lock()
            except BlockingIOError:
                raise
            except OSError:
                self._open(path / ".lock", os.O_RDWR | os.O_CREAT)
                self._lock()
        except BlockingIOError as error:
            self.close()
            raise InUseError(
                f"The run directory {path} is being written by another process; give another --run.dir."
            ) from error
        except OSError as error:
            self.close()
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            raise DirectoryError(
                f"The run directory {path} cannot be written ({error.strerror}); give another --run.dir."
            ) from error

    def _open(self, path: Path, flags: int) -> None:
        self.held.append((path, os.open(path, flags | os.O_CLOEXEC, 0o666)))

    def _lock(self) -> None:
        fcntl.flock(self.held[-1][1], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def check(self) -> None:
        """DirectoryError where what is held lies no more under its name: it was moved or removed, or is another's."""
        for path, descriptor in self.held:
            try:
                same = os.path.samestat(path.stat(), os.fstat(descriptor))
            except OSError:
                same = False
            if not same:
                raise DirectoryError(
                    f"{path} was moved, removed or replaced while the run learnt; nothing more is written. Put it back "
                    "and give the same command again: it goes on from its last checkpoint."
                )

    def close(self) -> None:
        while self.held:
            os.close(self.held.pop()[1])

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def elsewhere(path: Path, seed: int) -> Path | None:
    """Where a run of this seed lies that was begun with another --run.seeds, which adds the seed to the name."""
    name, ending = path.resolve().name, f"-s{seed}"
    other = name.removesuffix(ending) if name.endswith(ending) else name + ending
    found = path.resolve().parent / (other or name)
    return found if other and (found / "config.json").exists() else None


def describe(
    path: Path, experiment: Experiment, preset: str, config: Any, data: dict[str, str]
) -> dict[str, Any]:
    """What is run, on data of which hashes; it must be what the directory holds, if that holds a run."""
    new = {
        "schema": configs.SCHEMA,
        "experiment": experiment.__name__,
        "preset": preset,
        "config": configs.to_json(config),
        "data": data,
    }
    file = path / "config.json"
    if file.exists() and (changed := changes(read_json(file), new, type(config), str(file))):
        raise UserError(
            f"The run directory {path} holds another run ({changed}); give another --run.dir."
        )
    return new


def write(
    path: Path, experiment: Experiment, config: Any, description: dict[str, Any], environment: Any
) -> None:
    """Write what is run, where, how it was called and what its paper claims; what was run stays as it was written."""
    if not (path / "config.json").exists():
        files.replace(path / "config.json", json.dumps(description, indent=1))
    header = (
        Paper.of(experiment.__doc__)
        if experiment.__doc__
        else paper_of(Path(str(experiment.__file__)))
    )
    claims = {name: dataclasses.asdict(claim) for name, claim in experiment.CLAIMS.items()}
    paper = {**header._asdict(), "claims": claims, "units": _units(path)}
    files.replace(path / "paper.json", json.dumps(paper, indent=1))
    files.replace(path / "env.json", json.dumps(environment, indent=1))
    files.replace(
        path / "command.txt", command(experiment, description["preset"], sys.argv[1:]) + "\n"
    )


def _units(path: Path) -> dict[str, str]:
    file = path / "paper.json"
    units = read_json(file).get("units") if file.exists() else None
    return units if isinstance(units, dict) else {}


def add_units(path: Path, measured: Mapping[str, Measure]) -> None:
    """Keep the units of what was measured in paper.json, for the page; they are new at the first evaluation."""
    known = _units(path)
    units = {**known, **{name: getattr(value, "unit", "") for name, value in measured.items()}}
    if units != known:
        paper = {**read_json(path / "paper.json"), "units": units}
        files.replace(path / "paper.json", json.dumps(paper, indent=1))


def changes(old: dict[str, Any], new: dict[str, Any], kind: type, where: str) -> str:
    """What of one description of a run is other in the next, "field: old there, new here" each; empty for the same.

    Of a run that an older release began, fields that are newer than it have what FORMERLY of their dataclass says, or
    their defaults.
    """
    if (was := old.get("experiment", "absent")) != new["experiment"]:
        return f"experiment: {was} there, {new['experiment']} here"
    known: Any = configs.from_json(
        kind, old.get("config", {}), where
    )  # or a sentence says what is wrong
    data = (new["data"] and old.get("data")) or new[
        "data"
    ]  # which are compared once they are loaded
    old = {**old, "data": data, "config": configs.to_json(known)}
    ignore = ("preset", *(f"config.{name}" for name in configs.MAY_CHANGE_ON_RESUME))
    return "; ".join(
        change.removeprefix("config.") for change in configs.differences(old, new, ignore)
    )


def command(experiment: Experiment, preset: str, arguments: list[str]) -> str:
    """The command that runs this again."""
    given = arguments if arguments[:1] == [preset] else [preset]
    return shlex.join(["python", "-m", experiment.__name__, *given])


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON ({error}); restore it, or give another --run.dir."
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object; restore it, or give another --run.dir.")
    return value


def next_attempt(path: Path) -> Path:
    """A new directory for this start's events: two writers in the same second would share a file."""
    numbers = [
        int(name.name) for name in (path / "attempts").glob("[0-9]*") if name.name.isdecimal()
    ]
    attempt = path / "attempts" / f"{max(numbers, default=-1) + 1:03d}"
    attempt.mkdir(parents=True)
    return attempt
