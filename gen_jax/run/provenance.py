"""What a run's numbers depend on beside its config: versions, devices, JAX's settings, and the code itself.

The environment is shown to readers (env.json); all three are kept in the seal of each checkpoint, so that a run which
goes on elsewhere, or with other code, says so.
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
MATTERS = (  # of the environment, to bit-identity
    *("jax", "jaxlib", "flax", "optax", "numpy"),
    "backend",
    "device",
    "devices",
    "seeds",
    "threads",  # among which Eigen divides the sums of a convolution
    "xla_flags",
    "threefry_partitionable",
)
# JAX's settings that say how it caches, checks, logs and waits; the devices are in the environment.
NEUTRAL = re.compile(
    "cache|log|trac|guard|dump|debug|timeout|pprint|locations|checks?$|check_|devices|platform|warn|cross_host|share_"
)


def environment(devices: int, seeds: int = 1) -> dict[str, Any]:
    """Versions, devices and flags of this process; of what is in MATTERS, equal values mean equal results."""
    import jax

    first = jax.devices()[0]
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
        "backend": first.platform,
        "device": first.device_kind,
        "devices": devices,
        **({"seeds": seeds} if seeds > 1 else {}),  # in one program
        **(
            {"threads": max(_processors(), jax.local_device_count())}
            if first.platform == "cpu"
            else {}
        ),  # of XLA
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threefry_partitionable": bool(jax.config.jax_threefry_partitionable),  # type: ignore[attr-defined]
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def settings() -> dict[str, str]:
    """Each JAX setting that may change a number, whether from the environment or from code."""
    import jax

    return {
        name: str(value)
        for name, value in sorted(jax.config.values.items())
        if not NEUTRAL.search(name)
    }


def code(experiment: Any) -> dict[str, str]:
    """SHA-256 of each source file that was imported from this package and from the experiment's folder."""
    files = [getattr(module, "__file__", None) for module in (experiment, *sys.modules.values())]
    roots = {PACKAGE, *(Path(file).resolve().parent for file in files[:1] if file)}
    found = {}
    for file in {
        Path(file).resolve() for file in files if isinstance(file, str) and file.endswith(".py")
    }:
        for root in roots & {*file.parents}:
            name = file.relative_to(root.parent)
            if "site-packages" not in name.parts:
                found[str(name)] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def differences(seal: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is other than where a checkpoint was written, a sentence each.

    Both hold the environment, the settings and the code; a checkpoint of an older release holds the first alone.
    """
    said = [
        f"{name} was {seal['environment'].get(name)}, is {now['environment'].get(name)}"
        for name in MATTERS
        if seal["environment"].get(name) != now["environment"].get(name)
    ]
    before, after = seal.get("settings", {}), now["settings"]
    said += [
        f"{n} was {before[n]}, is {after[n]}"
        for n in sorted({*before} & {*after})
        if before[n] != after[n]
    ]
    before, after = seal.get("code", {}), now["code"]
    if changed := [name for name in sorted({*before} & {*after}) if before[name] != after[name]]:
        said.append(f"the code was changed in {', '.join(changed)}")
    return said


def _processors() -> int:
    """As many as XLA's CPU uses: NPROC, or those that this process may run on."""
    if (given := os.environ.get("NPROC", "")).isdecimal():
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit of this code, with + where the tree differs from it."""
    here = Path(__file__).parent
    try:
        git = [
            "git",
            "-C",
            str(here),
            "describe",
            "--always",
            "--dirty=+",
            "--abbrev=12",
            "--exclude=*",
        ]
        return subprocess.run(
            git, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
