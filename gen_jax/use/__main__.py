"""Use a trained model on the command line.

    python -m gen_jax.use RUN                               # what it can do
    python -m gen_jax.use RUN generate --count 64 --out grid.png
    python -m gen_jax.use RUN to_y --in photos --out maps   # a folder of pictures into a folder
    python -m gen_jax.use RUN encode --in photos --out codes.npy
    python -m gen_jax.use RUN decode --codes codes.npy --out grid.png
    python -m gen_jax.use RUN generate --help

--out is a .png for one picture of all images, a new folder for a file each, or a .npy for numbers.
RUN of a paper that is not in experiments/ needs --experiment MODULE.
Pictures are turned upright, laid on white, cut to their middle square and resized. A folder may be
of any size: 60 pictures at a time are read, and written before the next ones, each file whole or
not at all. A picture that cannot be decoded ends the command; what was written before it stays.
Exit codes: 0 done; 2 bad arguments; 65 a damaged picture or run; 73 a folder cannot be made; 74 a
checkpoint or another file cannot be read or written; 130 Ctrl-C.
"""

import argparse
import collections
import dataclasses
import inspect
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from gen_jax import console, images
from gen_jax.errors import UserError
from gen_jax.run.opened import open_run
from gen_jax.storage import files
from gen_jax.use import abilities, picture_files
from gen_jax.use.abilities import CODES, IMAGES, Ability, Parameter
from gen_jax.use.picture_files import PictureFiles

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
    except (Exception, KeyboardInterrupt) as error:
        return console.exit_code("gen_jax.use", error)


def _main(directory: str, rest: Sequence[str]) -> int:
    own = argparse.ArgumentParser(PROGRAM, add_help=False, allow_abbrev=False)
    own.add_argument("--experiment")
    module, rest = own.parse_known_args(rest)
    opened = open_run(directory, experiment=module.experiment)
    known = abilities.of(opened)
    if not rest or rest[0].startswith("-"):
        for name, ability in known.items():
            console.show(f"{name}{ability.signature}\n    {ability.description}")
            for one in ability.parameters:
                if one.choices:
                    console.show(f"    {one.name}: {', '.join(one.choices)}")
        return 0
    if rest[0] not in known:
        raise UserError(f"{directory} has no {rest[0]!r}; it can {', '.join(known) or 'nothing'}.")
    ability = known[rest[0]]
    with console.piped():
        options: Any = tyro.cli(
            _options(ability),
            args=rest[1:],
            prog=f"{PROGRAM} {directory} {ability.name}",
            description=ability.description,
        )
    run, out = dataclasses.replace(opened, step=options.step), options.out
    is_folder = _is_folder(out, ability)
    values, given = {"seed": options.seed} if ability.seeded else {}, None
    for one in ability.parameters:
        values[one.name] = getattr(options, one.name)
        if one.kind == IMAGES:
            given = values[one.name] = _find(values[one.name], abilities.shape_of(run), out)
        elif one.kind == CODES:
            values[one.name] = abilities.read_codes(values[one.name], str(values[one.name]))
    if is_folder and out.is_dir() and any(out.iterdir()):
        raise UserError(f"out is {out}, a folder that is not empty: give a new one.")
    done = f"of step {run.trained.step:,} to {out}"
    if is_folder:
        inputs = (values[one.name] for one in ability.parameters if one.kind in (IMAGES, CODES))
        _write(out, ability.parts(run, **values), given, max(map(len, inputs), default=0), done)
        return 0
    found = ability(run, **values)
    if ability.returns == IMAGES:
        found.save(out)
    else:
        buffer = io.BytesIO()
        np.save(buffer, found)
        files.replace(out, buffer.getvalue())
    console.show(f"wrote {len(found):,} {done}")
    return 0


def _options(ability: Ability) -> type:
    """Return a dataclass with a field for each parameter, and --out, --seed and --step."""
    needed: list[Any] = []
    more: list[Any] = []
    only = sum(one.kind == IMAGES for one in ability.parameters) == 1
    for one in ability.parameters:
        kind = _kind(one, ["--in"] if only else [])
        if one.default is inspect.Parameter.empty:
            needed.append((one.name, kind))
        else:
            more.append((one.name, kind, dataclasses.field(default=one.default)))
    if ability.seeded:
        more.append(("seed", int, dataclasses.field(default=0)))
    step = ("step", Annotated[int | None, tyro.conf.arg(help="By default the newest checkpoint.")])
    more.append((*step, dataclasses.field(default=None)))
    drawn = ability.returns == IMAGES
    takes = "A .png of all images, or a new folder." if drawn else "A .npy, a row for each image."
    out = ("out", Annotated[Path, tyro.conf.arg(help=takes)])
    return dataclasses.make_dataclass("Options", [*needed, out, *more])


def _kind(one: Parameter, aliases: list[str]) -> Any:
    if one.kind == IMAGES:
        known = tyro.conf.arg(help="A picture, or a folder of pictures.", aliases=aliases)
        return Annotated[Path, known]
    if one.kind == CODES:
        return Annotated[Path, tyro.conf.arg(help="A .npy of codes, a row for each.")]
    return Literal[one.choices] if one.choices else one.kind


def _is_folder(out: Path, ability: Ability) -> bool:
    """Whether a file is written for each image. Raises UserError for what is not given so."""
    drawn, suffix = ability.returns == IMAGES, "" if out.is_dir() else out.suffix.lower()
    if suffix not in ((".png", "") if drawn else (".npy",)):
        raise UserError(f"out is {out}; give {'a .png or a folder' if drawn else 'a .npy'}.")
    return not suffix


def _find(path: Path, shape: tuple[int, int, int], out: Path) -> PictureFiles:
    """Return the pictures, of which none may be replaced, or be joined by what is written."""
    found = picture_files.find(path, shape)
    here, there = out.resolve(), found.folder.resolve()
    originals = {there, *((found.folder / name).resolve() for name in found.names)}
    if here in originals or (path.is_dir() and there in here.parents):
        raise UserError(f"out is {out}, where the pictures of {path} are: give another place.")
    if found.left_out:
        console.show(f"left out of {path}: {found.left_out}")
    return found


def _write(
    out: Path, parts: Iterable[np.ndarray], given: PictureFiles | None, count: int, done: str
) -> None:
    """Write a file for each image, part by part of the `count` inputs, and say how many."""
    names: list[str] = []
    written = 0
    try:
        for part in parts:
            flat = np.asarray(part).reshape(-1, *part.shape[-3:])
            first = min(count, abilities.CHUNK)
            names = names or _names(given, len(flat) * count // first if count else len(flat))
            for image in flat:
                images.save(out / f"{names[written]}.png", image)
                written += 1
    finally:
        if written:
            console.show(f"wrote {written:,} {done}")


def _names(given: PictureFiles | None, total: int) -> list[str]:
    """Return the names of so many files: those of the pictures if each gives one, or numbers.

    Raises UserError if two would be one file.
    """
    if given is None or len(given) != total:
        return [f"{i:0{len(str(total))}d}" for i in range(total)]
    names = [name.with_suffix("").as_posix() for name in given.names]
    twice, times = collections.Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(f"{given.folder} has {times} pictures {twice}, for one file: rename them.")
    return names


if __name__ == "__main__":
    sys.exit(main())
