"""Use a trained model on the command line.

    python -m gen_jax.use RUN                                    # what it can do
    python -m gen_jax.use RUN generate --count 64 --out grid.png
    python -m gen_jax.use RUN to_y --images photos --out maps    # a folder of pictures into a folder
    python -m gen_jax.use RUN encode --images photos --out codes.npy
    python -m gen_jax.use RUN generate --help

--out is a .png for one picture of all images, a folder for a file each, or a .npy for numbers.
Pictures are turned upright, laid on white, cut to their middle square and resized.
Exit codes: 0 done; 2 bad arguments; 65 a damaged picture or run; 73 a folder cannot be made; 74 a
checkpoint or another file cannot be read or written.
"""

import dataclasses
import inspect
import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from gen_jax import console, images
from gen_jax.data.catalog.folder_layouts import SUFFIXES
from gen_jax.data.catalog.pictures import read
from gen_jax.errors import UserError
from gen_jax.run.opened import Opened, open_run
from gen_jax.storage import files
from gen_jax.use import abilities
from gen_jax.use.abilities import CODES, IMAGES, Ability, Parameter
from gen_jax.use.pictures import Pictures

PROGRAM = "python -m gen_jax.use"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for; return the exit code."""
    console.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        console.show(str(__doc__).strip())
        return 0
    try:
        return _main(given[0], given[1:])
    except Exception as error:
        return console.exit_code("gen_jax.use", error)


def _main(directory: str, rest: Sequence[str]) -> int:
    run = open_run(directory, _step(rest))
    known = abilities.of(run)
    if not rest or rest[0].startswith("-"):
        for name, ability in known.items():
            console.show(f"{name}{ability.signature}\n    {ability.description}")
        return 0
    if rest[0] not in known:
        raise UserError(f"{directory} has no {rest[0]!r}; it can {', '.join(known) or 'nothing'}.")
    ability = known[rest[0]]
    options: Any = tyro.cli(
        _options(ability),
        args=rest[1:],
        prog=f"{PROGRAM} {directory} {ability.name}",
        description=ability.description,
    )
    values, names = {}, None
    for one in ability.parameters:
        values[one.name] = getattr(options, one.name)
        if one.kind == IMAGES:
            values[one.name], names = _read(values[one.name], abilities.shape_of(run))
        elif one.kind == CODES:
            values[one.name] = _load(values[one.name])
    if ability.seeded:
        values["seed"] = options.seed
    _write(options.out, ability(run, **values), names, run)
    return 0


def _step(rest: Sequence[str]) -> int | None:
    """Return --step, which says which weights to load, before the ability is known."""
    for flag, value in itertools.pairwise([*rest, ""]):
        text = value if flag == "--step" else flag.removeprefix("--step=")
        if flag == "--step" or flag.startswith("--step="):
            if not text.isdecimal():
                raise UserError(f"step is {text!r}; it must be a whole number.")
            return int(text)
    return None


def _options(ability: Ability) -> type:
    """Return a dataclass with a field for each parameter, and --out, --seed and --step."""
    needed: list[Any] = []
    more: list[Any] = []
    for one in ability.parameters:
        if one.default is inspect.Parameter.empty:
            needed.append((one.name, _kind(one)))
        else:
            more.append((one.name, _kind(one), dataclasses.field(default=one.default)))
    if ability.seeded:
        more.append(("seed", int, dataclasses.field(default=0)))
    step = ("step", Annotated[int | None, tyro.conf.arg(help="By default the newest checkpoint.")])
    more.append((*step, dataclasses.field(default=None)))
    out = ("out", Annotated[Path, tyro.conf.arg(help="A .png, a folder, or a .npy of numbers.")])
    return dataclasses.make_dataclass("Options", [*needed, out, *more])


def _kind(one: Parameter) -> Any:
    if one.kind == IMAGES:
        return Annotated[Path, tyro.conf.arg(help="A picture, or a folder of pictures.")]
    if one.kind == CODES:
        return Annotated[Path, tyro.conf.arg(help="A .npy of codes, a row for each.")]
    return Literal[one.choices] if one.choices else one.kind


def _read(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, list[str]]:
    """Return the pictures of a file or a folder as uint8 [n, side, side, c], and their names."""
    inside = path.iterdir() if path.is_dir() else [path]
    found = sorted(p for p in inside if p.suffix.lower() in SUFFIXES and p.name[0] != ".")
    if not path.exists() or not found:
        raise UserError(f"{path} has no pictures: give a picture, or a folder of pictures.")
    side, _, channels = shape
    return np.stack([read(p, side, grey=channels == 1) for p in found]), [p.stem for p in found]


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} cannot be read as .npy ({error}): give an array [n, k]."
        ) from error


def _write(out: Path, found: np.ndarray, names: Sequence[str] | None, run: Opened) -> None:
    """Write images as one picture or into a folder, with the names of their inputs if there is one
    for each; and numbers as .npy.
    """
    suffix = out.suffix.lower()
    known = (".png", "") if isinstance(found, Pictures) else (".npy",)
    if suffix not in known:
        wanted = "a .png or a folder" if "" in known else "a .npy"
        raise UserError(f"out is {out}; give {wanted}.")
    if not isinstance(found, Pictures):
        buffer = io.BytesIO()
        np.save(buffer, found)
        files.replace(out, buffer.getvalue())
    elif suffix:
        found.save(out)
    else:
        flat = np.asarray(found).reshape(-1, *found.shape[-3:])
        same = names is not None and len({*names}) == len(flat)
        width = len(str(len(flat)))
        out.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(flat):
            name = names[i] if same and names else f"{i:0{width}d}"
            images.save(out / f"{name}.png", image)
    console.show(f"wrote {len(found)} of step {run.trained.step:,} to {out}")


if __name__ == "__main__":
    sys.exit(main())
