"""Checkpoints: Orbax writes the arrays, a seal beside them says that every byte is as it was written.

A step is good when its seal is there and the SHA-256 of each file agrees. Restoring takes the newest good step, says in
one line which newer ones it had to pass over and why, and never starts afresh in silence: where steps exist and none is
good, that is an error.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jax

from gen_jax import console
from gen_jax.errors import CheckpointError, DirectoryError
from gen_jax.run import sharding
from gen_jax.storage import files
from gen_jax.storage.files import sha256

SEAL = "SEAL.json"
LINES = "metrics.jsonl"  # in the directory of a step: the lines of the run before that of the step
HELD = {
    "step": int,
    "record": dict,
    "tree": dict,
    "environment": dict,
    "files": dict,
}  # by each seal
LINE = "line-{:09d}.json"  # beside the directory of a step: its own line, which is written last
STEP = "step-{:09d}"
T = TypeVar("T")


def tree_spec(tree: Any) -> dict[str, str]:
    """Path -> 'dtype[shape]' of each leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


class Checkpoints:
    """The checkpoints of one run, in one directory."""

    def __init__(
        self, directory: Path, *, keep: int, check: Callable[[], None] = lambda: None, **stamp: Any
    ):
        """What `stamp` says of the run is kept in each seal: the environment, the code, which run it is.

        `check` raises a DirectoryError where the directory is no more the one that it was.
        """
        if directory.is_symlink() and not directory.exists():
            raise CheckpointError(
                f"{directory} leads to {directory.resolve()}, which is not there: put it back."
            )
        self.directory, self.keep, self.check, self.stamp = directory.resolve(), keep, check, stamp
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self.saving: Future[None] | None = None

    def save(
        self, step: int, state: Any, record: dict[str, Any], lines: bytes = b"", **more: Any
    ) -> None:
        """Start to save; the state may be donated as soon as this returns. `record` and `more` are kept in the seal.

        `lines` are those of metrics.jsonl so far; they are kept beside the state.
        """
        from orbax.checkpoint import v1 as ocp

        self.wait()
        path = self.directory / STEP.format(step)
        try:
            if sharding.process_index() == 0:
                self.directory.mkdir(parents=True, exist_ok=True)
                os.rmdir(
                    tempfile.mkdtemp(dir=self.directory)
                )  # Orbax waits long where it may not write
                shutil.rmtree(
                    path, ignore_errors=True
                )  # a step that was not good, or it would have been restored
            sharding.barrier("save")
            response = ocp.save_async(path, state)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(path, error) from error
        seal = {"step": step, "record": record, "tree": tree_spec(state), **self.stamp, **more}
        self.saving = self.worker.submit(self._finish, response, path, seal, lines)

    def _finish(self, response: Any, path: Path, seal: dict[str, Any], lines: bytes) -> None:
        try:
            response.result()
            if sharding.process_index():
                return
            self._in_place(path)
            files.replace(path / LINES, lines)
            hashes = {
                str(f.relative_to(path)): sha256(f) for f in sorted(path.rglob("*")) if f.is_file()
            }
            files.replace(path / SEAL, _signed({**seal, "files": hashes}))
            for old in self.steps()[self.keep :]:  # only now: there is a newer good one
                self._line(_number(old.name)).unlink(missing_ok=True)
                (old / SEAL).unlink(missing_ok=True)
                shutil.rmtree(old, ignore_errors=True)
        except (OSError, ValueError, RuntimeError) as error:
            self._in_place(path)
            raise self._failed(path, error) from error

    def _in_place(self, path: Path) -> None:
        """Where the directory was moved while a step was saved, nothing of the step stays under its old name."""
        try:
            self.check()
        except DirectoryError:
            for made in (path, *path.parent.glob(f"{path.name}.orbax-checkpoint-tmp*")):
                if not (made / SEAL).exists():
                    shutil.rmtree(made, ignore_errors=True)
            with contextlib.suppress(OSError):  # it holds more
                path.parent.rmdir()
                path.parent.parent.rmdir()
            raise

    def _failed(self, path: Path, error: Exception) -> CheckpointError:
        newest = next((p.name for p in self.steps() if p != path and (p / SEAL).exists()), "none")
        return CheckpointError(
            f"The checkpoint {path} could not be written ({console.reason(error)}); the newest complete one is "
            f"{newest}: make room or choose another --run.dir, then give the same command again."
        )

    def wait(self) -> None:
        """Until the last save is sealed; raises what went wrong in it."""
        saving, self.saving = self.saving, None
        if saving:
            saving.result()

    def close(self) -> None:
        """Wait, and end the worker."""
        try:
            self.wait()
        finally:
            self.worker.shutdown()

    def lines(self, step: int) -> bytes | None:
        """The lines of metrics.jsonl before that of a step, as they were kept with it; an older release kept none."""
        path = self.directory / STEP.format(step) / LINES
        return path.read_bytes() if path.exists() else None

    def keep_line(self, step: int, line: bytes) -> None:
        """The line of a step that is saved, once it is in metrics.jsonl."""
        files.replace(self._line(step), _signed({"line": line.decode()}))

    def line(self, step: int) -> bytes | None:
        """As `keep_line` kept it; None where it did not, or where that was changed."""
        try:
            return _content(self._line(step))["line"].encode()
        except (CheckpointError, OSError):
            return None

    def _line(self, step: int) -> Path:
        return self.directory / LINE.format(step)

    def steps(self) -> list[Path]:
        """The directories of steps, newest first, good or not."""
        try:
            found = {_number(name): self.directory / name for name in os.listdir(self.directory)}
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [found[step] for step in sorted(found, reverse=True) if step >= 0]

    def good(self, step: int) -> bool:
        """Whether a step is here and whole."""
        try:
            return bool(_verified(self.directory / STEP.format(step)))
        except (CheckpointError, OSError):
            return False

    def back_to(self, step: int) -> None:
        """Remove what is newer."""
        self.wait()
        for path in self.steps() if sharding.process_index() == 0 else ():
            if _number(path.name) > step:
                shutil.rmtree(path, ignore_errors=True)

    def restore(
        self,
        target_of: Callable[[int], T],
        say: Any,
        other: Callable[[dict[str, Any]], str] = lambda seal: "",
    ) -> tuple[T, dict[str, Any]] | None:
        """The newest good (state, seal), in the shapes and places of its step's target; None if nothing was saved.

        `other` says of a seal what makes it that of another run, if something does.
        """
        from orbax.checkpoint import v1 as ocp

        if sharding.process_index() == 0:
            for unfinished in self.directory.glob(
                "*.orbax-checkpoint-tmp*"
            ):  # a save that was killed
                shutil.rmtree(unfinished, ignore_errors=True)
        sharding.barrier("sweep")
        passed: dict[Path, str] = {}
        for path in self.steps():
            try:
                seal = _verified(path)
                if difference := other(seal):
                    raise CheckpointError(f"it is of another run ({difference})")
                target = target_of(seal["step"])
                if seal["tree"] != (spec := tree_spec(target)):
                    raise CheckpointError(_tree_difference(seal["tree"], spec))
                state = ocp.load(path, target)
            except (CheckpointError, OSError, ValueError, KeyError, TypeError) as error:
                reason = (
                    str(error).strip().splitlines()[0]
                    if str(error).strip()
                    else type(error).__name__
                )
                passed[path] = reason
                say(f"Passing over checkpoint {path.name}: {reason}.")
                continue
            sharding.barrier("restored")
            for bad in (
                passed if sharding.process_index() == 0 else ()
            ):  # out of the way of the steps to come, but not lost
                bad.replace(
                    next(
                        p
                        for i in itertools.count()
                        if not (p := bad.with_name(f"bad-{bad.name}-{i}")).exists()
                    )
                )
            return state, seal
        if passed:
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in passed.items())
            raise CheckpointError(
                f"No good checkpoint is left in {self.directory} ({reasons}); "
                "restore the files from a copy, or give another --run.dir to start afresh."
            )
        return None


def _signed(seal: dict[str, Any]) -> str:
    """The seal as text, its first line being the SHA-256 of the rest."""
    body = json.dumps(seal, indent=1, sort_keys=True, allow_nan=False)
    return hashlib.sha256(body.encode()).hexdigest() + "\n" + body


def _content(path: Path) -> Any:
    """What was signed, if it is as it was."""
    digest, _, body = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if hashlib.sha256(body.encode()).hexdigest() != digest:
        raise CheckpointError(f"{path.name} was changed after it was written")
    return json.loads(body)


def _number(name: str) -> int:
    """The step of a directory's name; -1 where it is none."""
    step = int(name[5:]) if re.fullmatch(r"step-[0-9]+", name) else -1
    return step if STEP.format(step) == name else -1


def _verified(path: Path) -> dict[str, Any]:
    """The seal of a step all of whose files agree with it."""
    if not (path / SEAL).exists():
        raise CheckpointError("it has no seal, so its save did not finish")
    seal = _content(path / SEAL)
    if not isinstance(seal, dict) or any(
        not isinstance(seal.get(name), kind) for name, kind in HELD.items()
    ):
        raise CheckpointError(f"{SEAL} holds other things than it should")
    if seal["step"] != _number(path.name):
        raise CheckpointError(f"its seal is of step {seal['step']}")
    found = {str(f.relative_to(path)) for f in path.rglob("*") if f.is_file()} - {SEAL}
    for name in sorted({*seal["files"], *found}):
        if name not in found:
            raise CheckpointError(f"the file {name} is missing")
        if name not in seal["files"]:
            raise CheckpointError(f"the file {name} does not belong to it")
        if sha256(path / name) != seal["files"][name]:
            raise CheckpointError(f"the file {name} was changed after it was written")
    return seal


def _tree_difference(old: dict[str, str], new: dict[str, str]) -> str:
    name = next(n for n in {**old, **new} if old.get(n) != new.get(n))
    return f"its state has {name} as {old.get(name, 'nothing')}, this program has {new.get(name, 'nothing')}"
