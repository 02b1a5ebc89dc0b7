"""python -m benchmarks.speed [CASE[:TYPE] ...] --save NAME: speed of papers' models, beside the
same ones in PyTorch.

A step is what the paper calls one, on batches that lie on the device: of ours in scanned chunks, of
PyTorch's in a loop, eager and by torch.compile, each in turn in one process. Where PyTorch is not
installed its columns stay empty. Each case has a process of its own; --jobs of them compile at a
time, from nothing, and then measure one by one.
"""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import numpy as np

from gen_jax import game
from gen_jax.precision import Precision
from gen_jax.run import provenance, xla
from gen_jax.run.experiment import presets
from gen_jax.run.flops import count

RESULTS = Path(__file__).parent / "results"
PAGE = RESULTS.parents[1] / "docs" / "speed.md"
REST = 0.5  # seconds between turns, in which the threads of the one before fall asleep
KEPT = 4  # batches, which the steps take in turn


class Case(NamedTuple):
    """A preset, with what is changed, and how many steps are timed together on a CPU and on an
    accelerator.
    """

    paper: str
    preset: str
    changes: dict[str, Any]
    counts: tuple[int, int]
    torch: str  # the class in in_torch


CASES = {
    "vae": Case("vae", "paper", {}, (500, 5000), "VAE"),
    "dcgan-64": Case("dcgan", "official", {}, (2, 200), "DCGAN"),
    "cyclegan-128": Case("cyclegan", "paper", {}, (2, 40), "CycleGAN"),
    "cyclegan-256": Case("cyclegan", "pytorch", {}, (1, 20), "CycleGAN"),
    "stargan-128": Case("stargan", "paper", {}, (5, 50), "StarGAN"),
    "progan-32": Case("progan", "official", {}, (2, 100), "ProGAN"),
    "progan-128": Case("progan", "celeb_a_hq", {"side": 128}, (1, 30), "ProGAN"),
    "progan-256": Case("progan", "celeb_a_hq", {"side": 256}, (1, 20), "ProGAN"),
}
BESIDE = ("eager", "compile")  # PyTorch's


def configured(case: Case, precision: str) -> tuple[Any, Any]:
    """(experiment, config)"""
    experiment = importlib.import_module(f"experiments.{case.paper}")
    config = dataclasses.replace(presets(experiment)[case.preset][1], **case.changes)
    return experiment, dataclasses.replace(
        config, run=dataclasses.replace(config.run, precision=precision)
    )


def batches(paper: str, config: Any) -> dict[str, np.ndarray]:
    """KEPT batches as the objectives see them, of noise: {name: [KEPT, b, ...]}."""
    draw, b = np.random.default_rng(0), config.batch_size

    def images(*shape: int) -> np.ndarray:
        return draw.uniform(-1, 1, (KEPT, b, *shape)).astype(np.float32)

    if paper == "vae":
        return {"x": (images(784) + 1) / 2}
    if paper == "dcgan":
        return {"x": images(64, 64, 3), "y": np.zeros((KEPT, b, 0), np.float32)}
    square = (config.side, config.side, 3)
    if paper == "cyclegan":
        return {"x": images(*square), "y": images(*square)}
    if paper == "stargan":
        return {
            "x": images(1, *square),
            "c": np.eye(4, dtype=np.float32)[draw.integers(0, 4, (KEPT, b, 1))],
        }
    return {"x": images(*square)}


def programs(
    case: Case, precision: str, length: int
) -> tuple[Callable[[], Any], Any, Callable[[], dict[str, Any]]]:
    """What plays `length` steps, its compiled program, and what tells what is known of it."""
    experiment, config = configured(case, precision)
    one, own = game.of(experiment, config), jax.device_put(batches(case.paper, config))
    first = {name: array[0] for name, array in own.items()}
    state = jax.jit(one.init)(jax.random.key(0), first)

    def play(state: game.State, own: Any) -> Any:
        return game.steps(
            one, state, lambda step: {n: a[step % KEPT] for n, a in own.items()}, length
        )

    before = time.monotonic()
    compiled = jax.jit(play, donate_argnums=0).lower(state, own).compile()
    taken = time.monotonic() - before
    kept, shapes = [state], jax.eval_shape(lambda state: state, state)

    def advance() -> None:
        kept[0], metrics = compiled(kept[0], own)
        jax.block_until_ready(metrics)

    def known() -> dict[str, Any]:
        held = compiled.memory_analysis()
        memory = held.argument_size_in_bytes + held.output_size_in_bytes + held.temp_size_in_bytes
        return {
            "batch": config.batch_size,
            "compile_s": taken,
            "memory_mb": (memory - held.alias_size_in_bytes) / 2**20,
            "flops": flops(experiment, config, shapes, first),
            "parameters": weights(experiment, config, shapes.params),
        }

    return advance, compiled, known


def weights(experiment: Any, config: Any, params: Any) -> int:
    """How many the players move: Progressive GAN has parts for smaller images than its last, too."""
    moved = {name for player in experiment.players(config).values() for name in player.moves}
    return sum(leaf.size for name in moved & {*params} for leaf in jax.tree.leaves(params[name]))


def flops(experiment: Any, config: Any, state: game.State, batch: Any) -> float:
    """Of a step, as it is written: each player's, as often as it plays."""
    total = 0.0
    for name, player in experiment.players(config).items():
        alone = game.make(experiment.model(config), {name: player._replace(every=1, at=0)})
        own = state.replace(optimizers={name: state.optimizers[name]}, average={})
        total += count(alone.step, own, batch) / player.every
    return total


def beside(case: Case, way: str, precision: str, length: int, parameters: int) -> Callable[[], Any]:
    """What plays `length` steps in PyTorch."""
    import torch

    from benchmarks import in_torch

    _, config = configured(case, precision)
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    # as XLA by default on either
    torch.set_float32_matmul_precision("high" if device == "cuda" else "highest")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    wrap = torch.compile if way == "compile" else lambda network: network
    model = getattr(in_torch, case.torch)(config, device, device == "cuda", wrap)
    if model.parameters() != parameters:
        raise ValueError(
            f"{case.torch} has {model.parameters()} weights in PyTorch and {parameters} here"
        )

    def placed(array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(
            np.ascontiguousarray(np.moveaxis(array, -1, -3) if array.ndim > 3 else array)
        )
        tensor = tensor.to(device)
        return (
            tensor.to(memory_format=torch.channels_last)
            if tensor.ndim == 4 and device == "cuda"
            else tensor
        )

    kept = [{n: placed(a[i]) for n, a in batches(case.paper, config).items()} for i in range(KEPT)]
    low = precision == "bfloat16"

    def advance() -> None:
        with torch.autocast(device, torch.bfloat16) if low else contextlib.nullcontext():
            for i in range(length):
                model.step(kept[i % KEPT])
        if device == "cuda":
            torch.cuda.synchronize()

    return advance


def measured(
    name: str, precision: str, ways: list[str], rounds: int, born: float
) -> dict[str, Any]:
    """A row: seconds of a step by each, medians of interleaved rounds after one for warming."""
    case = CASES[name]
    length = case.counts[jax.default_backend() != "cpu"]
    play, _, known = programs(case, precision, length)
    play()
    row = {"case": name, "precision": precision, "first_s": time.time() - born, **known()}
    every = {"ours": play}
    if importlib.util.find_spec("torch"):
        for way in ways:
            before = time.monotonic()
            try:
                every[way] = beside(case, way, precision, length, row["parameters"])
                every[way]()
                row[f"{way}_warming_s"] = time.monotonic() - before
            except (RuntimeError, AssertionError) as error:  # of PyTorch's compiler
                every.pop(way, None)
                row[f"{way}_failed"] = str(error).splitlines()[0][:200]
    print("ready", flush=True)
    input()  # until it is our turn
    seconds: dict[str, list[float]] = {way: [] for way in every}
    for _ in range(rounds):
        for way, one in every.items():
            time.sleep(REST)
            before = time.perf_counter()
            one()
            seconds[way].append((time.perf_counter() - before) / length)
    return row | {
        f"{way}_step_s": statistics.median(taken) for way, taken in seconds.items() if taken
    }


def ceiling(precision: str) -> float:
    """FLOP/s of a large matrix product in this type, by XLA; the fastest of twenty, as others may
    use the machine.
    """
    n, inner = (8192, 16) if jax.default_backend() != "cpu" else (2048, 1)
    # its powers stay of this size
    a = jax.random.normal(jax.random.key(0), (n, n), precision) * n**-0.5

    @jax.jit
    def product(a: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, inner, lambda _, b: a @ b, a)

    product(a).block_until_ready()
    taken = []
    for _ in range(20):
        before = time.perf_counter()
        product(a).block_until_ready()
        taken.append(time.perf_counter() - before)
    return inner * 2 * n**3 / min(taken)


def machine() -> dict[str, Any]:
    """What the numbers are of."""
    known = {
        "device": jax.devices()[0].device_kind
        if jax.default_backend() != "cpu"
        else provenance.processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }
    with contextlib.suppress(ImportError):
        known["torch"] = importlib.import_module("torch").__version__
    return known


def table(result: dict[str, Any]) -> str:
    """In Markdown."""
    of = result["machine"]
    lines = [
        "| case | type | batch | steps/s | images/s | of the ceiling, % | x eager | x compile "
        "| compile, s | first steps, s | again, s | memory, MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        step = row["ours_step_s"]
        share = 100 * row["flops"] / step / of["ceilings"][row["precision"]]
        known = {way: row.get(f"{way}_step_s", math.nan) / step for way in BESIDE}
        ratios = [
            "fails" if f"{w}_failed" in row else "" if math.isnan(r) else f"{r:.2f}"
            for w, r in known.items()
        ]
        cells = [
            row["case"],
            row["precision"],
            row["batch"],
            f"{1 / step:.4g}",
            f"{row['batch'] / step:.4g}",
        ]
        cells += [
            f"{share:.1f}",
            *ratios,
            f"{row['compile_s']:.1f}",
            *(f"{row[name]:.1f}" if name in row else "" for name in ("first_s", "again_s")),
            f"{row['memory_mb']:.0f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    ceilings = ", ".join(f"{flops / 1e12:.3g} in {name}" for name, flops in of["ceilings"].items())
    software = ", ".join(f"{name} {of[name]}" for name in ("python", "jax", "torch") if name in of)
    head = f"{of['device']}, {of['cpus']} processors, {software}, {of['date']}. Ceilings, TFLOP/s: {ceilings}."
    return "\n".join([head, "", *lines])


INTRODUCTION = """
`python -m benchmarks.speed --save NAME` writes a file of results, and this page from all of them. A step is one step of
the paper's training, on batches that are on the device already; times are medians of interleaved rounds. `x eager` and
`x compile` say how many times as fast ours is as the same model in PyTorch, eager and with `torch.compile` (above 1,
ours is faster). The ceiling
is the speed of a large matrix product of the same type. Operations are those of products and convolutions. `first
steps` are the seconds from the start of a process to the end of its first chunk, `again` the same with its programs in
the cache. Memory is that of the compiled step. `python -m benchmarks.profile CASE` shows where the time of a step goes.
"""


def page() -> str:
    """docs/speed.md: the table of each file of results."""
    lines = ["# Speed", "", textwrap.fill(INTRODUCTION.strip(), 116)]
    for file in sorted(RESULTS.glob("*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        lines += ["", f"## {file.stem}", "", table(result)]
        lines += [
            line for note in result.get("notes", ()) for line in ("", textwrap.fill(note, 116))
        ]
    return "\n".join(lines) + "\n"


def child(
    name: str, precision: str, rounds: int, ways: list[str], kept: str
) -> "subprocess.Popen[str]":
    """A process for one row, which is its last line; compiled programs are kept in a folder."""
    arguments = ["--alone", "--rounds", str(rounds), "--beside", *ways]
    environment = {
        **os.environ,
        "BORN": str(time.time()),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_COMPILATION_CACHE_DIR": kept,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",  # as of a run
        "TORCHINDUCTOR_CACHE_DIR": f"{kept}/torch",
    }
    command = [sys.executable, "-m", "benchmarks.speed", f"{name}:{precision}", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=environment, start_new_session=True
    )


def row_of(process: "subprocess.Popen[str]") -> dict[str, Any] | None:
    """What it measures, now that it may; None where it failed."""
    out = process.communicate("\n")[0].strip().splitlines()
    return json.loads(out[-1]) if process.returncode == 0 else None


def rows_of(wanted: list[tuple[str, str]], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of each case and type that can be measured; what has not compiled in time is killed, with all
    that it started.
    """
    with tempfile.TemporaryDirectory() as kept:
        for i in range(0, len(wanted), given.jobs):
            part = wanted[i : i + given.jobs]
            processes = [child(*one, given.rounds, given.beside, kept) for one in part]
            timers = [
                threading.Timer(given.patience, os.killpg, (p.pid, signal.SIGKILL))
                for p in processes
            ]
            for timer in timers:
                timer.start()
            for process, timer in zip(processes, timers, strict=True):
                assert process.stdout
                while process.stdout.readline() not in ("ready\n", ""):
                    pass
                timer.cancel()
            for one, process in zip(part, processes, strict=True):
                if row := row_of(process):
                    again = row_of(child(*one, 0, [], kept))  # with its programs compiled
                    yield row | ({"again_s": again["first_s"]} if again else {})


def asked(parser: argparse.ArgumentParser, cases: list[str]) -> list[tuple[str, str]]:
    """(case, type) of each CASE[:TYPE]; ends with 2 where there is none of the kind."""
    wanted = [(name, of or "float32") for name, _, of in (case.partition(":") for case in cases)]
    if unknown := [
        f"{name}:{of}" for name, of in wanted if name not in CASES or of not in get_args(Precision)
    ]:
        parser.error(
            f"no case {', '.join(unknown)}; there are {', '.join(CASES)}, of {', '.join(get_args(Precision))}"
        )
    return wanted


def main() -> None:
    """Measure what was asked for; print and save it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; all if none is given"
    )
    parser.add_argument("--beside", nargs="*", choices=BESIDE, default=list(BESIDE))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="processes that compile at a time")
    parser.add_argument(
        "--patience", type=float, default=1200, help="seconds, at most, that those take to compile"
    )
    parser.add_argument("--save", help="name of a file in benchmarks/results")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    wanted = asked(parser, given.cases or [*CASES])
    xla.prepare()
    if given.alone:
        print(
            json.dumps(measured(*wanted[0], given.beside, given.rounds, float(os.environ["BORN"])))
        )
        return
    ceilings = {of: ceiling(of) for of in dict.fromkeys(of for _, of in wanted)}
    result: dict[str, Any] = {"machine": {**machine(), "ceilings": ceilings}, "rows": []}
    for row in rows_of(wanted, given):
        print(json.dumps(row), flush=True)
        result["rows"].append(row)
        if given.save:  # what is measured is kept, whatever happens to the next
            save(given.save, result)
    print(table(result))


def save(name: str, result: dict[str, Any]) -> None:
    """To a file, and the page of all; what the file had of other cases stays if it is of the same
    machine.
    """
    RESULTS.mkdir(exist_ok=True)
    file, of = RESULTS / f"{name}.json", result["machine"]
    old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if old and all(
        old["machine"].get(key) == of.get(key) for key in ("device", "cpus", "python", "jax")
    ):
        fresh = {(row["case"], row["precision"]) for row in result["rows"]}
        others = [row for row in old["rows"] if (row["case"], row["precision"]) not in fresh]
        ceilings = old["machine"]["ceilings"] | of["ceilings"]
        rows = sorted([*others, *result["rows"]], key=lambda row: [*CASES].index(row["case"]))
        result = {**old, "machine": {**old["machine"], **of, "ceilings": ceilings}, "rows": rows}
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
