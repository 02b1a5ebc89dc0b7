"""python -m tests.faults.crash_in_save DIRECTORY: crash at each call of a save that changes files.

A process saves a second step beside a good first one and ends, by os._exit, just before its k-th
change of a file; the next one restores what is left. Prints k and the step that came back, for each
k, until a save needs no more calls. Processes are forked before JAX has a backend.
"""

import os
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np
from orbax.checkpoint import v1 as ocp  # noqa: F401  # before the forks

from gen_jax.run.checkpoint import Checkpoints

CHANGES = {
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.utime",
}
CRASHED = 9


def state(step: int):
    return {"a": np.arange(1000, dtype=np.float32) + step, "step": np.array([step])}


def save(directory: Path, step: int) -> None:
    checkpoints = Checkpoints(directory, keep=1, environment={})
    checkpoints.save(step, state(step), {"loss": float(step)})
    checkpoints.close()


def crash_before(k: int, directory: Path) -> None:
    """Of the changes under a directory, in whatever thread."""
    seen = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal seen
        writes = (
            event == "open"
            and isinstance(args[2], int)
            and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if (event in CHANGES or writes) and str(args[0]).startswith(str(directory)):
            seen += 1
            if seen == k:
                os._exit(CRASHED)

    sys.addaudithook(hook)


def forked(function, *args) -> int:
    """Its exit code, or 70 where it raised."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        code = function(*args) or 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def crashing(k: int, directory: Path) -> None:
    crash_before(k, directory)
    save(directory, 2)


def restored(directory: Path) -> int:
    """The step that comes back, whole; 0 for none."""
    checkpoints = Checkpoints(directory, keep=1, environment={})
    found = checkpoints.restore(state, print)
    if found is None:
        return 0
    got, seal = found
    expected = state(seal["step"])
    assert all(np.array_equal(got[name], expected[name]) for name in expected)
    return seal["step"]


def main(place: Path) -> None:
    good = place / "good"
    assert forked(save, good, 1) == 0
    for k in range(1, 1000):
        directory = place / f"crash-{k}"
        shutil.copytree(good, directory)
        code = forked(crashing, k, directory)
        assert code in (0, CRASHED), code
        print("crash" if code else "whole", k, forked(restored, directory), flush=True)
        if not code:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
