"""Another number of steps for a run that has begun: what it changes in training, and its record.

Training depends on the number of steps if the program of a step does, in any stage. The programs
for both numbers are built and compared as text, with all their constants, and are not run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from gen_jax.errors import UserError
from gen_jax.game import Player, Stage, State
from gen_jax.run.experiment import C, Experiment
from gen_jax.run.log import TIME
from gen_jax.types import Batch, Json

Stages = Sequence[Stage]


def check(path: Path, step: int, now: int) -> None:
    """Raise UserError if a run that is at `step`, of another length, cannot become one of `now`."""
    if now <= step:
        raise UserError(
            f"{path} was trained for {step:,} steps, and {now:,} are asked for: "
            "give more, or another --run.dir."
        )


def record(step: int, before: int, schedules: list[str]) -> Json:
    """Return an entry of config.json: a run of `before` steps has had another number since `step`.

    `schedules` are those that were planned over the former number.
    """
    return {"step": step, "steps": before, "date": time.strftime(TIME), "schedules": schedules}


def describe(entry: Json, now: int) -> Iterator[str]:
    """Yield the lines of the log about an entry, whose run has `now` steps."""
    before = f"{entry['steps']:,}"
    yield f"The run of {before} steps goes on from step {entry['step']:,} to step {now:,}."
    for name in entry["schedules"]:
        yield (
            f"{name[0].upper()}{name[1:]} was planned over {before} steps; "
            f"from here it follows the plan of {now:,}."
        )


def schedules(
    experiment: Experiment[C],
    before: tuple[C, Stages],
    now: tuple[C, Stages],
    structs: Callable[[int], State],
    batch: Callable[[int], Batch],
) -> list[str]:
    """Return what of training depends on the number of steps, such as "the learning rate of vae".

    `before` and `now` are the configs with their stages. `structs` returns shapes of the state of a
    stage, and `batch` those of a batch of a given size.
    """

    def plan(stages: Stages) -> list[tuple[int, int]]:
        return [(stage.first, stage.batch_size) for stage in stages]

    if plan(before[1]) != plan(now[1]):
        return ["the division into stages"]
    state, prepared = structs(0), batch(now[1][0].batch_size)
    for number, (old, new) in enumerate(zip(before[1], now[1], strict=True)):
        arguments = (structs(number), batch(new.batch_size))
        if _program(old.game.step, *arguments) != _program(new.game.step, *arguments):
            break
    else:
        return []
    old_parts, new_parts = (dict(_parts(experiment, c, state, prepared)) for c, _ in (before, now))
    return [name for name, text in new_parts.items() if text != old_parts[name]] or ["training"]


def _parts(
    experiment: Experiment[C], config: C, state: State, batch: Batch
) -> Iterator[tuple[str, str]]:
    """Yield (name, program) of the optimizer and of the objective of each player."""
    module, batch = experiment.model(config), {**batch, "step": state.step}

    def objective(player: Player) -> Callable[..., object]:
        def function(state: State, batch: Batch) -> object:
            variables = {"params": state.params, **state.variables}
            kept = list(state.variables)
            return module.apply(variables, batch, state.key, method=player.objective, mutable=kept)

        return function

    for name, player in experiment.players(config).items():
        own = {n: state.params[n] for n in player.moves if n in state.params}
        optimizer = jax.eval_shape(player.optimizer.init, own)
        yield (
            f"the learning rate of {name}",
            _program(player.optimizer.update, own, optimizer, own),
        )
        yield f"the objective of {name}", _program(objective(player), state, batch)


def _program(function: Callable[..., object], *arguments: object) -> str:
    """Return the program of a function of arrays of these shapes, whatever its devices."""
    structs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
    text: str = jax.jit(function).lower(*structs).as_text()
    return text
