"""The directory of a run: its files, and the lock that excludes other writers.

config.json   preset and full config         metrics.jsonl  the record, one line per logged step
paper.json    header and claims              samples/       pictures, from fixed latents
env.json      versions, devices, commit      checkpoints/   sealed steps
command.txt   the command                    attempts/000/  TensorBoard events of each start
log.txt       all messages                   report.html    the page
metrics-before-N.jsonl  lines without checkpoints, if these were removed and the run restarted
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

from gen_jax import config as configs
from gen_jax.errors import DataError, DirectoryError, InUseError, UserError
from gen_jax.run.experiment import C, Experiment, header
from gen_jax.storage import files
from gen_jax.types import Json, Measure

# Of config.json, beside what was asked for: earlier lengths of the run, and what it started from.
HISTORY = ("continued", "start")


def path_of(experiment: Experiment[C], preset: str, config: C) -> Path:
    """Return the given directory, else runs/PAPER-PRESET-sSEED."""
    paper = experiment.__name__.rpartition(".")[2]
    return config.run.dir or Path("runs") / f"{paper}-{preset}-s{config.run.seed}"


class Lock:
    """The lock of a run directory. The system releases it when this process ends in any way.

    The lock is on the directory itself, so that a second writer cannot obtain it by removing a
    file. On file systems that only lock files (NFS), the file `.lock` is locked.
    """

    def __init__(self, path: Path):
        """Create the directory and lock it.

        Raises DirectoryError, or InUseError if another process holds the lock.
        """
        self.held: list[tuple[Path, int]] = []  # paths and their descriptors
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
                f"The run directory {path} is being written by another process; "
                "give another --run.dir."
            ) from error
        except OSError as error:
            self.close()
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            raise DirectoryError(
                f"The run directory {path} cannot be written ({error.strerror}); "
                "give another --run.dir."
            ) from error

    def _open(self, path: Path, flags: int) -> None:
        self.held.append((path, os.open(path, flags | os.O_CLOEXEC, 0o666)))

    def _lock(self) -> None:
        fcntl.flock(self.held[-1][1], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def check(self) -> None:
        """Raise DirectoryError if the directory was moved, removed or replaced."""
        for path, descriptor in self.held:
            try:
                same = os.path.samestat(path.stat(), os.fstat(descriptor))
            except OSError:
                same = False
            if not same:
                raise DirectoryError(
                    f"{path} was moved, removed or replaced during training; nothing more is "
                    "written. Put it back and run the same command again: it resumes from the "
                    "last checkpoint."
                )

    def close(self) -> None:
        while self.held:
            os.close(self.held.pop()[1])

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_renamed(path: Path, seed: int) -> Path | None:
    """Return the run of this seed under its name with --run.seeds, or under its name without."""
    name, ending = path.resolve().name, f"-s{seed}"
    other = name.removesuffix(ending) if name.endswith(ending) else name + ending
    found = path.resolve().parent / (other or name)
    return found if other and (found / "config.json").exists() else None


def describe_and_check(
    path: Path, experiment: Experiment[C], preset: str, config: C, data: dict[str, str]
) -> Json:
    """Return the description of the run, on data with these hashes, for config.json.

    Raises UserError if the directory holds another run.
    """
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


def write_description(
    path: Path, experiment: Experiment[C], description: Json, environment: Json
) -> None:
    """Write config.json if there is none, or if its length, history or intervals differ;
    paper.json, env.json and command.txt always.
    """
    file = path / "config.json"
    if not file.exists() or _recorded(read_json(file)) != _recorded(description):
        files.replace(file, json.dumps(description, indent=1))
    claims = {name: dataclasses.asdict(claim) for name, claim in experiment.CLAIMS.items()}
    paper = {**header(experiment)._asdict(), "claims": claims, "units": _units(path)}
    files.replace(path / "paper.json", json.dumps(paper, indent=1))
    files.replace(path / "env.json", json.dumps(environment, indent=1))
    again = command(experiment, description["preset"], sys.argv[1:])
    files.replace(path / "command.txt", again + "\n")


def _recorded(description: Json) -> Json:
    """Return what a resumed run may change in config.json, but for where it runs."""
    fields = dict(configs.flatten(description["config"]))
    elsewhere = {*configs.MAY_CHANGE_ON_RESUME} - {*configs.INTERVALS}
    kept = {name: value for name, value in fields.items() if name not in elsewhere}
    return {**kept, **{name: description.get(name) for name in HISTORY}}


def _units(path: Path) -> dict[str, str]:
    file = path / "paper.json"
    units = read_json(file).get("units") if file.exists() else None
    return units if isinstance(units, dict) else {}


def add_units(path: Path, measured: Mapping[str, Measure]) -> None:
    """Add the units of the measures to paper.json, for the page."""
    known = _units(path)
    units = {**known, **{name: value.unit for name, value in measured.items()}}
    if units != known:
        paper = {**read_json(path / "paper.json"), "units": units}
        files.replace(path / "paper.json", json.dumps(paper, indent=1))


def changes(old: Json, new: Json, kind: type[C], where: str) -> str:
    """Return the fields in which two descriptions of a run differ, as "field: OLD there, NEW here".

    Fields that may change on resume are left out, as is the length of the run. A description from
    an older release lacks newer fields. They get their value in FORMERLY of their dataclass, or
    their default. Raises UserError if the old config cannot be read; `where` names its file.
    """
    if (was := old.get("experiment", "absent")) != new["experiment"]:
        return f"experiment: {was} there, {new['experiment']} here"
    known = configs.from_json(kind, old.get("config", {}), where)
    # The new description has no hashes before its data are loaded.
    data = (new["data"] and old.get("data")) or new["data"]
    old = {**old, "data": data, "config": configs.to_json(known)}
    free = (*configs.MAY_CHANGE_ON_RESUME, getattr(kind, "LENGTH", "steps"))
    before, after = ({n: v for n, v in one.items() if n not in HISTORY} for one in (old, new))
    found = configs.differences(before, after, ("preset", *(f"config.{name}" for name in free)))
    return "; ".join(change.removeprefix("config.") for change in found)


def command(experiment: Experiment[C], preset: str, arguments: list[str]) -> str:
    """Return the command that runs this again."""
    given = arguments if arguments[:1] == [preset] else [preset]
    return shlex.join(["python", "-m", experiment.__name__, *given])


def read_json(path: Path) -> Json:
    """Return the object in a JSON file. Raises DataError if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON ({error}); restore it, or give another --run.dir."
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a JSON object; restore it, or give another --run.dir.")
    return value


def next_attempt(path: Path) -> Path:
    """Create a directory for the events of this start, so that no two writers share a file."""
    names = [found.name for found in (path / "attempts").glob("[0-9]*")]
    last = max((int(name) for name in names if name.isdecimal()), default=-1)
    attempt = path / "attempts" / f"{last + 1:03d}"
    attempt.mkdir(parents=True)
    return attempt
