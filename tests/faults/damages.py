"""python -m tests.faults.damages [EXPERIMENT ...]: each kind of damage to each file of a checkpoint
of each experiment.

A run is ended by a batch that is not finite, between its third checkpoint and its fourth. Of the
newest that is left a file is damaged, at a byte drawn anew; the one before must come back, bit for
bit, and one line must name the file.
"""

import argparse
import contextlib
import io
import random
import shutil
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax import game as games
from gen_jax.errors import NonFiniteError
from gen_jax.run import train, xla
from gen_jax.run.checkpoint import SEAL
from gen_jax.run.signals import Interrupts
from tests.faults.sweep import configured
from tests.golden import experiments
from tests.test_experiments import leaves

SAVES = 4  # steps from one checkpoint to the next
POISON = 11  # the step whose batch is not finite, from 0


def flip(path: Path, where: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << int(8 * (where * len(data) % 1))
    path.write_bytes(bytes(data))


def zero(path: Path, where: float) -> None:
    """From there to the end; where that changes nothing the first byte is changed."""
    data = path.read_bytes()
    kept = data[: int(where * len(data))]
    path.write_bytes(kept + bytes(len(data) - len(kept)))
    if path.read_bytes() == data:
        flip(path, 0)


def exchange(path: Path, where: float) -> None:
    """With another file of the step before, which is whole."""
    newest = next(parent for parent in path.parents if parent.name.startswith("step-"))
    older = sorted(newest.parent.glob("step-*"))[-2]
    others = [
        f for f in sorted(older.rglob("*")) if f.is_file() and f.read_bytes() != path.read_bytes()
    ]
    path.write_bytes(others[int(where * len(others))].read_bytes())


DAMAGE: dict[str, Callable[[Path, float], Any]] = {
    "flip": flip,
    "cut": lambda path, where: path.write_bytes(
        path.read_bytes()[: int(where * path.stat().st_size)]
    ),
    "empty": lambda path, where: path.write_bytes(b""),
    "zero": zero,
    "remove": lambda path, where: path.unlink(),
    "exchange": exchange,
}


class Damaged(NamedTuple):
    """What became of the checkpoints of one experiment."""

    made: int
    reported: int  # in one line, with the file
    recovered: int  # the step before came back, bit for bit


def poisoned(module: Any) -> Any:
    """The experiment, with one batch that is not a number."""

    def of(game: Any) -> Any:
        def step(state: Any, batch: Any, *axis: str) -> Any:
            def bad(value: Any) -> Any:
                real = jnp.issubdtype(value.dtype, jnp.floating)
                return (
                    jnp.where(state.step == POISON, jnp.nan, value).astype(value.dtype)
                    if real
                    else value
                )

            return game.step(state, jax.tree.map(bad, batch), *axis)

        return game._replace(step=step)

    other = types.ModuleType(module.__name__)
    vars(other).update(vars(module), game=lambda config: of(games.of(module, config)))
    if hasattr(module, "stages"):
        vars(other)["stages"] = lambda config: tuple(
            s._replace(game=of(s.game)) for s in module.stages(config)
        )
    return other


def stopped(name: str, directory: Path) -> str:
    """Leave a run with two checkpoints; what it said when it met what is not finite."""
    module, config = configured(name, directory, SAVES)
    try:
        train.run(poisoned(module), "tiny", config)
    except NonFiniteError as error:
        return str(error)
    raise AssertionError(f"{name} went on")


def damage(name: str, directory: Path, seed: int) -> Damaged:
    """Each kind to each file of the newest checkpoint, one after the other."""
    draw, done = random.Random(seed), Damaged(0, 0, 0)
    module, config = configured(name, directory, SAVES)
    with contextlib.ExitStack() as stack:
        session = train.Session(
            module,
            "tiny",
            config,
            stack,
            stack.enter_context(Interrupts()),
            train.load_data(module, config),
        )
        newest, older = session.checkpoints.steps()
        away = newest.with_name("away")
        newest.replace(away)
        expected = restored(session)[0]
        names = sorted(
            str(f.relative_to(away)) for f in away.rglob("*") if f.is_file() and f.stat().st_size
        )
        for change in DAMAGE.values():
            for file in names:
                shutil.copytree(away, newest)
                change(newest / file, draw.random())
                state, said = restored(session)
                reported = (
                    len(said) == 1 and newest.name in said[0] and (file in said[0] or file == SEAL)
                )
                same = state == expected and session.checkpoints.steps() == [older]
                done = Damaged(done.made + 1, done.reported + reported, done.recovered + same)
                shutil.rmtree(next(newest.parent.glob(f"bad-{newest.name}-*")))
    return done


def restored(session: train.Session) -> tuple[dict[str, bytes], list[str]]:
    """The state that a start has, and what it says of checkpoints that it passes over."""
    said: list[str] = []
    session.journal.info = said.append  # type: ignore[method-assign]
    _, state = session.start()
    return leaves(state), [line for line in said if line.startswith("Skipping")]


def main() -> None:
    """A line for each experiment, and one for all; exit code 1 where something was not found or did
    not come back.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.faults.damages", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    xla.prepare()
    total = Damaged(0, 0, 0)
    for name in given.experiments or experiments():
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
            said = stopped(name, Path(place))
            found = damage(name, Path(place), given.seed)
        print(
            f"{name}: {found.made} damages, {found.reported} reported, {found.recovered} recovered from. {said}",
            flush=True,
        )
        total = Damaged(*(a + b for a, b in zip(total, found, strict=True)))
    print(f"all: {total.made} damages, {total.reported} reported, {total.recovered} recovered from")
    sys.exit(not total.made == total.reported == total.recovered)


if __name__ == "__main__":
    main()
