"""The files of an exported model."""

from pathlib import Path
from typing import Any

from gen_jax.errors import UserError
from gen_jax.export.functions import function
from gen_jax.run import exported, weights
from gen_jax.run.description import describe
from gen_jax.run.opened import open_run
from gen_jax.storage import files
from gen_jax.use import abilities

SUFFIX = ".safetensors"


def save(
    run: Path | str,
    out: Path | str,
    *,
    step: int | None = None,
    experiment: Any = None,
    functions: bool = False,
    force: bool = False,
) -> list[str]:
    """Write the trained model of a run directory; return a line about each file.

    `out` is a .safetensors. With `functions`, what the model can do is written beside it, as
    NAME.ABILITY.jaxexport; a line says why if it cannot. `experiment` is the module of a paper that
    is not in experiments/. Raises UserError if there is no such run or step, or if a file exists
    and `force` is False; DataError or CheckpointError if the run is damaged; DirectoryError if a
    file cannot be written.
    """
    out, opened = Path(out), open_run(run, step, experiment)
    if out.suffix != SUFFIX:
        raise UserError(f"out is {out}; give a {SUFFIX}.")
    if opened.directory.is_file():
        raise UserError(f"{run} is an exported model; give the directory of a run.")
    able = abilities.of(opened) if functions else {}
    places = {name: out.with_suffix(f".{name}.jaxexport") for name in able}
    for place in (out, *places.values()):
        if place.exists() and not force:
            raise UserError(f"{place} exists: give another out, or --force to replace it.")
    found = weights.load(opened.directory, step)
    known, lines = describe(opened, found), []
    if functions:
        known["functions"] = {}
    for name, ability in able.items():
        try:
            made = function(opened, ability, found)
        except UserError as error:
            known["functions"][name] = {"not exported": str(error)}
            lines.append(f"{name} is not exported: {error}.")
            continue
        files.replace(places[name], made.content)
        known["functions"][name] = made.describe()
        lines.append(f"wrote {places[name]}: {name}{made.signature}")
    exported.write(out, found, known)
    total = sum(network["parameters"] for network in known["networks"].values())
    return [*lines, f"wrote {out}, {total:,} parameters at step {found.step:,}"]
