"""The provenance of a run besides its config: versions, devices, JAX settings and code.

The environment is recorded in env.json for readers. Everything is stored in the seal of each
checkpoint, so that a run can report that it is resumed elsewhere or with other code.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax

from gen_jax.storage import cache
from gen_jax.types import Json

PACKAGE = Path(__file__).resolve().parents[1]
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# The parts of the environment that affect bit-identical results.
DETERMINISM_KEYS = (
    *("jax", "jaxlib", "flax", "optax", "numpy"),
    "backend",
    "device",
    "devices",
    "seeds",
    "threads",  # Eigen divides the sums of a convolution among them
    "xla_flags",
    "threefry_partitionable",
)
# JAX settings for caching, checks, logging and timeouts. Devices are part of the environment.
NEUTRAL = re.compile(
    "cache|log|trac|guard|dump|debug|timeout|pprint|locations|checks?$|check_|devices|platform"
    "|warn|cross_host|share_"
)


def environment(devices: int, seeds: int = 1) -> Json:
    """Return versions, devices and flags of this process.

    If all DETERMINISM_KEYS are equal, so are the results.
    """
    first = jax.devices()[0]
    threads = max(_processors(), jax.local_device_count())  # of XLA
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "backend": first.platform,
        "device": first.device_kind,
        "devices": devices,
        **({"seeds": seeds} if seeds > 1 else {}),  # in one program
        **({"threads": threads} if first.platform == "cpu" else {}),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threefry_partitionable": bool(jax.config.values["jax_threefry_partitionable"]),
        "commit": commit(),
        "machine": machine(),
    }


def settings() -> dict[str, str]:
    """Return each JAX setting that may change results, set by the environment or by code."""
    return {
        name: str(value)
        for name, value in sorted(jax.config.values.items())
        if not NEUTRAL.search(name)
    }


def code(experiment: object) -> dict[str, str]:
    """Return the SHA-256 of each source file imported from this package, the folder of the
    experiment, or that of the paper of which it is a variant.
    """
    modules = (experiment, getattr(experiment, "BASE", None), *sys.modules.values())
    files = [getattr(module, "__file__", None) for module in modules]
    roots = {PACKAGE, *(Path(file).resolve().parent for file in files[:2] if file)}
    sources = [file for file in files if isinstance(file, str) and file.endswith(".py")]
    found = {}
    for file in {Path(source).resolve() for source in sources}:
        for root in roots & {*file.parents}:
            name = file.relative_to(root.parent)
            if "site-packages" not in name.parts:
                found[str(name)] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def differences(seal: Json, now: Json) -> list[str]:
    """Describe each difference since a checkpoint was written, in one clause each.

    Both arguments hold the environment, the settings and the code. A checkpoint of an older release
    holds only the environment.
    """
    before, after = seal["environment"], now["environment"]
    names = [name for name in DETERMINISM_KEYS if before.get(name) != after.get(name)]
    found = [f"{name} was {before.get(name)}, is {after.get(name)}" for name in names]
    before, after = seal.get("settings", {}), now["settings"]
    found += [f"{n} was {before[n]}, is {after[n]}" for n in _changed(before, after)]
    if names := _changed(seal.get("code", {}), now["code"]):
        found.append(f"the code was changed in {', '.join(names)}")
    return found


def _changed(before: Json, after: Json) -> list[str]:
    """Return the names in both dicts whose values differ."""
    return [name for name in sorted({*before} & {*after}) if before[name] != after[name]]


def _processors() -> int:
    """Return the number of threads of XLA on a CPU: NPROC, or the processors available to this
    process.
    """
    if (given := os.environ.get("NPROC", "")).isdecimal():
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Return the system, the number of cores and the name of the processor."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {processor()}"


def processor() -> str:
    """Return the processor's name and its widest vectors, where Linux tells."""
    with contextlib.suppress(OSError, KeyError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        pairs = (line.partition(":") for line in lines)
        told = {key.strip(): value.strip() for key, _, value in pairs}
        flags = told["flags"].split()
        vectors = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "no avx")
        return f"{told['model name']} ({vectors})"
    return platform.machine()


def digest(values: object) -> str:
    """Return 12 hex digits of the SHA-256 of plain JSON values."""
    return cache.digest(json.dumps(values, sort_keys=True, allow_nan=False))[:12]


def commit() -> str:
    """Return the commit of this code, followed by + if the working tree differs from it."""
    git = f"git -C {shlex.quote(str(PACKAGE))} describe --always --dirty=+ --abbrev=12 --exclude=*"
    try:
        found = subprocess.run(
            shlex.split(git), capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()
