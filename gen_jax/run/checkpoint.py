"""Checkpoints: Orbax writes the arrays, and a seal with SHA-256 hashes detects any change to a
file.

A step is good if it has a seal and the SHA-256 of each file matches it. A restore uses the newest
good step, and logs one line for each newer step that it skips. If there are steps but none is good,
it raises an error instead of silently starting from scratch.

Orbax's own Checkpointer would delete older steps before the new one is sealed, so older steps are
deleted here.
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
from typing import Protocol, TypeVar

import jax

from gen_jax import console
from gen_jax.errors import CheckpointError, DirectoryError
from gen_jax.run import sharding
from gen_jax.storage import files
from gen_jax.storage.files import sha256
from gen_jax.types import Json

T = TypeVar("T")
Seal = Json  # stored with a step: SEAL_FIELDS and the fields that the run adds

SEAL = "SEAL.json"
SEAL_FIELDS = {"step": int, "record": dict, "tree": dict, "environment": dict, "files": dict}
STEP = "step-{:09d}"  # the directory of a step
LINES = "metrics.jsonl"  # in that directory: the lines of metrics before those of the step
LINE = "line-{:09d}.json"  # next to that directory: the line of the step, written last
UNFINISHED = ".orbax-checkpoint-tmp*"  # suffix of a step that Orbax is writing
ERRORS = (OSError, ValueError, RuntimeError)  # raised by Orbax if it cannot write


class Response(Protocol):
    """A save of Orbax in progress."""

    def result(self) -> object: ...


def tree_spec(tree: object) -> dict[str, str]:
    """Return path -> 'dtype[shape]' of each leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


class Checkpoints:
    """The checkpoints of one run, in one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        keep: int,
        check: Callable[[], None] = lambda: None,
        **stamp: Json,
    ):
        """Keep the newest `keep` good steps.

        `stamp` is stored in each seal: the environment, the code, and the description of the run.
        `check` raises a DirectoryError if the directory has been moved. Raises CheckpointError if
        `directory` is a dangling link.
        """
        if directory.is_symlink() and not directory.exists():
            raise CheckpointError(
                f"{directory} links to {directory.resolve()}, which does not exist: restore it."
            )
        self.directory, self.keep, self.check, self.stamp = directory.resolve(), keep, check, stamp
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self.saving: Future[None] | None = None

    def save(
        self, step: int, state: object, record: Json, lines: bytes = b"", **more: object
    ) -> None:
        """Start a save. The state may be donated as soon as this returns.

        The seal holds `record` and `more`. `lines` are the lines of metrics.jsonl so far, stored
        with the state. Raises CheckpointError if this save cannot start, or if the previous one
        failed.
        """
        from orbax.checkpoint import v1 as ocp

        self.wait()
        path = self.directory / STEP.format(step)
        try:
            if sharding.process_index() == 0:
                self.directory.mkdir(parents=True, exist_ok=True)
                # Fails immediately, whereas Orbax would retry for a long time.
                os.rmdir(tempfile.mkdtemp(dir=self.directory))
                # This step is not good, otherwise it would have been restored.
                shutil.rmtree(path, ignore_errors=True)
            sharding.barrier("save")
            response = ocp.save_async(path, state)
        except ERRORS as error:
            raise self._failure(path, error) from error
        seal = {"step": step, "record": record, "tree": tree_spec(state), **self.stamp, **more}
        self.saving = self.worker.submit(self._finish, response, path, seal, lines)

    def _finish(self, response: Response, path: Path, seal: Seal, lines: bytes) -> None:
        """Wait for Orbax, seal the step, and delete old steps."""
        try:
            response.result()
            if sharding.process_index():
                return
            self._check_place(path)
            files.replace(path / LINES, lines)
            written = [file for file in sorted(path.rglob("*")) if file.is_file()]
            hashes = {str(file.relative_to(path)): sha256(file) for file in written}
            files.replace(path / SEAL, _sign({**seal, "files": hashes}))
            for old in self.steps()[self.keep :]:  # only now that a newer good step exists
                self._line_path(step_of(old.name)).unlink(missing_ok=True)
                (old / SEAL).unlink(missing_ok=True)
                shutil.rmtree(old, ignore_errors=True)
        except ERRORS as error:
            self._check_place(path)
            raise self._failure(path, error) from error

    def _check_place(self, path: Path) -> None:
        """Raise DirectoryError if the directory was moved, and leave nothing under its old name."""
        try:
            self.check()
        except DirectoryError:
            for made in (path, *path.parent.glob(path.name + UNFINISHED)):
                if not (made / SEAL).exists():
                    shutil.rmtree(made, ignore_errors=True)
            with contextlib.suppress(OSError):  # it is not empty
                path.parent.rmdir()
                path.parent.parent.rmdir()
            raise

    def _failure(self, path: Path, error: Exception) -> CheckpointError:
        newest = next((p.name for p in self.steps() if p != path and (p / SEAL).exists()), "none")
        return CheckpointError(
            f"The checkpoint {path} could not be written ({console.reason(error)}); "
            f"the newest complete one is {newest}: free disk space or choose another --run.dir, "
            "then run the same command again."
        )

    def wait(self) -> None:
        """Wait until the last save is sealed.

        Raises CheckpointError or DirectoryError if it failed.
        """
        saving, self.saving = self.saving, None
        if saving:
            saving.result()

    def close(self) -> None:
        """Wait, and stop the worker thread."""
        try:
            self.wait()
        finally:
            self.worker.shutdown()

    def lines(self, step: int) -> bytes | None:
        """Return the lines of metrics.jsonl before that of a step; None if an older release stored
        none.
        """
        path = self.directory / STEP.format(step) / LINES
        return path.read_bytes() if path.exists() else None

    def keep_line(self, step: int, line: bytes) -> None:
        """Store the line of a saved step, once it is in metrics.jsonl."""
        files.replace(self._line_path(step), _sign({"line": line.decode()}))

    def line(self, step: int) -> bytes | None:
        """Return the line stored by `keep_line`; None if there is none or if it was changed."""
        try:
            return str(_read_signed(self._line_path(step))["line"]).encode()
        except (CheckpointError, OSError):
            return None

    def _line_path(self, step: int) -> Path:
        return self.directory / LINE.format(step)

    def steps(self) -> list[Path]:
        """Return the directories of all steps, newest first, good or not."""
        try:
            found = {step_of(name): self.directory / name for name in os.listdir(self.directory)}
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [found[step] for step in sorted(found, reverse=True) if step >= 0]

    def _unfinished_first(self) -> Path | None:
        """Return the step of a first save that was killed before its seal was written.

        If a save had finished before, there would be its step or its line.
        """
        match self.steps():
            case [first] if not (first / SEAL).exists() and not any(self.directory.glob("line-*")):
                return first
        return None

    def is_good(self, step: int) -> bool:
        """Return whether a step exists and is intact."""
        try:
            return bool(verify(self.directory / STEP.format(step)))
        except (CheckpointError, OSError):
            return False

    def delete_after(self, step: int) -> None:
        """Delete the steps after this one."""
        self.wait()
        if sharding.process_index() == 0:
            for path in self.steps():
                if step_of(path.name) > step:
                    shutil.rmtree(path, ignore_errors=True)

    def restore(
        self,
        target_of: Callable[[int], T],
        info: Callable[[str], object],
        is_of_another_run: Callable[[Seal], str] = lambda seal: "",
    ) -> tuple[T, Seal] | None:
        """Return the newest good (state, seal); None if nothing was saved.

        `target_of` returns the shapes and shardings of the state of a step. `is_of_another_run`
        returns the reason why a seal is not of this run, or an empty text. Skipped steps are
        renamed to bad-*, and `info` is called with the reason. Raises CheckpointError if there are
        steps but none is good.
        """
        from orbax.checkpoint import v1 as ocp

        if sharding.process_index() == 0:
            for unfinished in self.directory.glob("*" + UNFINISHED):  # left by a killed save
                shutil.rmtree(unfinished, ignore_errors=True)
            if first := self._unfinished_first():
                info(f"The save of {first.name} did not finish, and there was none before it.")
                shutil.rmtree(first, ignore_errors=True)
        sharding.barrier("sweep")
        skipped: dict[Path, str] = {}
        for path in self.steps():
            try:
                seal = verify(path)
                if difference := is_of_another_run(seal):
                    raise CheckpointError(f"it is of another run ({difference})")
                target = target_of(seal["step"])
                if seal["tree"] != (spec := tree_spec(target)):
                    raise CheckpointError(_tree_difference(seal["tree"], spec))
                state = ocp.load(path, target)
            except (CheckpointError, OSError, ValueError, KeyError, TypeError) as error:
                skipped[path] = (str(error).strip().splitlines() or [type(error).__name__])[0]
                info(f"Skipping checkpoint {path.name}: {skipped[path]}.")
                continue
            sharding.barrier("restored")
            if sharding.process_index() == 0:
                for bad in skipped:  # kept, but out of the way of later steps
                    bad.replace(_free_name(bad))
            return state, seal
        if skipped:
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in skipped.items())
            raise CheckpointError(
                f"No good checkpoint is left in {self.directory} ({reasons}); "
                "restore the files from a copy, or give another --run.dir to start from scratch."
            )
        return None


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"bad-{path.name}-{i}") for i in itertools.count())
    return next(name for name in names if not name.exists())


def _sign(content: Json) -> str:
    """Return the content as text, preceded by a line with its SHA-256."""
    body = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    return hashlib.sha256(body.encode()).hexdigest() + "\n" + body


def _read_signed(path: Path) -> Json:
    """Return the signed content. Raises CheckpointError if it was changed or is not an object."""
    digest, _, body = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if hashlib.sha256(body.encode()).hexdigest() != digest:
        raise CheckpointError(f"{path.name} was changed after it was written")
    content = json.loads(body)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} has unexpected content")
    return content


def step_of(name: str) -> int:
    """Return the step in the name of a directory; -1 if there is none."""
    step = int(name[5:]) if re.fullmatch(r"step-[0-9]+", name) else -1
    return step if STEP.format(step) == name else -1


def verify(path: Path) -> Seal:
    """Return the seal of a step.

    Raises CheckpointError if the seal is missing or damaged, or if a file does not match it.
    """
    if not (path / SEAL).exists():
        raise CheckpointError("it has no seal, so the save did not finish")
    seal = _read_signed(path / SEAL)
    fields = SEAL_FIELDS.items()
    if not all(isinstance(seal.get(name), kind) for name, kind in fields):
        raise CheckpointError(f"{SEAL} has unexpected content")
    if seal["step"] != step_of(path.name):
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
    was, now = old.get(name, "nothing"), new.get(name, "nothing")
    return f"{name} is {was} in the checkpoint, but {now} in this program"
