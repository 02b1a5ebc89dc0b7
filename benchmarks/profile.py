"""python -m benchmarks.profile CASE[:TYPE] [--top N]: where the time of a step goes, by kind and by
operation.

Times are the device's own, of one chunk of scanned steps; on a CPU, those of its threads, where
those of Eigen, which convolve, are not seen: they are most of what is missing. What an operation is
of comes from the compiled program: the last part of the path that JAX gave it.
"""

import argparse
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks import speed
from gen_jax.run import xla

KINDS = {  # of kernels, by what their names or operations say; the first that fits
    "convolutions and products": r"conv|dgrad|wgrad|fprop|xmma|gemm|cutlass|nvjet|cudnn|triton_dot",
    "reductions": r"reduce|ynn",
    "random numbers": r"threefry|random_bits|rng",
    "copies and other layouts": r"copy|transpose|memcpy|nchw|nhwc|pad|concatenate",
}


class Event(NamedTuple):
    """One execution of an operation."""

    operation: str
    kernel: str
    duration: float  # ns


def events(folder: Path) -> Iterator[Event]:
    """Of a trace: what ran on the device."""
    (file,) = folder.glob("**/*.xplane.pb")
    for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
        on_device = plane.name.startswith("/device:GPU")
        if not on_device and plane.name != "/host:CPU":
            continue
        for line in plane.lines:
            if on_device and not line.name.startswith("Stream"):
                continue  # sums of the same
            for event in line.events:
                known = dict(event.stats)
                if on_device or "hlo_op" in known:
                    yield Event(str(known.get("hlo_op", "")), event.name, event.duration_ns)


def operations(program: str) -> dict[str, tuple[str, str]]:
    """{operation: (opcode, where it comes from)} of a compiled program as text."""
    found = {}
    for line in program.splitlines():
        if match := re.match(r"\s*(?:ROOT )?%?([\w.-]+) = .*? ([\w-]+)\(", line):
            path = re.search(r'op_name="([^"]*)"', line)
            target = re.search(r'custom_call_target="([^"]*)"', line)
            found[match[1]] = (target[1] if target else match[2], path[1] if path else "")
    return found


def kind(words: str) -> str:
    return next(
        (name for name, known in KINDS.items() if re.search(known, words.lower())), "other fusions"
    )


def table(
    found: list[Event], known: dict[str, tuple[str, str]], length: int, wall: float, top: int
) -> str:
    """Milliseconds of a step, and shares of the time that the device was busy."""
    kinds, times, counts = (
        Counter[str](),
        Counter[tuple[str, str, str]](),
        Counter[tuple[str, str, str]](),
    )
    for event in found:
        inside = re.sub(r"_(\d+)$", r".\1", event.kernel)  # of a buffer of commands
        opcode, path = known.get(event.operation) or known.get(inside) or ("", "")
        kinds[kind(f"{event.operation} {event.kernel} {opcode}")] += event.duration
        label = (event.operation, event.kernel[:50], path[-90:])
        times[label] += event.duration
        counts[label] += 1

    def share(t: float) -> str:
        return f"{t / length / 1e6:9.3f} ms {100 * t / times.total():5.1f} %"

    busy = f"{times.total() / length / 1e6:.3f} of kernels, {len(found) / length:.0f} of them"
    lines = [f"{wall / length * 1e3:.3f} ms a step; {busy}"]
    lines += [f"{share(t)}  {name}" for name, t in kinds.most_common()]
    lines += [
        "",
        *(
            f"{share(t)} {counts[of] / length:6.1f} x  {' | '.join(of)}"
            for of, t in times.most_common(top)
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table of a case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("case", metavar="CASE[:TYPE]", help=", ".join(speed.CASES))
    parser.add_argument("--top", type=int, default=30, help="operations that are listed")
    given = parser.parse_args()
    ((name, precision),) = speed.asked(parser, [given.case])
    xla.prepare()
    case = speed.CASES[name]
    length = max(1, case.counts[jax.default_backend() != "cpu"] // 10)
    play, program, known = speed.programs(case, precision, length)
    play()
    before = time.perf_counter()
    play()
    wall = time.perf_counter() - before
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            play()
        found = list(events(Path(folder)))
    print(
        f"{given.case}, {jax.devices()[0].device_kind}, {known()['flops'] / 1e9:.1f} GFLOP a step"
    )
    print(table(found, operations(program.as_text()), length, wall, given.top))


if __name__ == "__main__":
    main()
