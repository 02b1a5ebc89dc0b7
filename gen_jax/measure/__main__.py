"""Measure the images A, generated or translated, against the images B, real or the targets.

    python -m gen_jax.measure samples/ photos/  # two folders
    python -m gen_jax.measure samples/ cifar10 --json numbers.json  # a folder and a data set
    python -m gen_jax.measure translated/ targets/ --pairs  # pictures of equal names

Every number has the count of images and a 95 % interval. Distances such as Frechet's are larger for
fewer images: compare only those of one count. Exit codes: 0 done, 2 bad arguments, 65 bad images
or weights that are not available, 69 no such device, 70 a feature that is not finite, 71 out of
memory, 73 a file cannot be written, 74 a file cannot be read, 130 Ctrl-C.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gen_jax import console
from gen_jax.errors import DirectoryError, UserError
from gen_jax.measure import pairs, reader, result, sets
from gen_jax.run import sharding, xla
from gen_jax.storage import files


@dataclasses.dataclass(frozen=True)
class Options:
    a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="A")]
    """A folder of pictures, with the folders inside it, or a data set by its name."""
    b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="B")]
    """The same, of the images to compare with."""
    pairs: bool = False
    """Compare pictures of equal names, whatever their suffixes, instead of the sets."""
    features: Literal["resnet50", "inception"] | None = None
    """The feature network; default: resnet50. $GEN_JAX_INCEPTION names the weights of inception."""
    side: int | None = None
    """Pixels per side of the compared images; default: the shortest side of all."""
    count: int | None = None
    """Images of each set, or pairs; default: all of the smaller set, and as many of the other."""
    split: str | None = None
    """Split of a data set; default: test."""
    field: str | None = None
    """Field of a data set that has several images; default: image."""
    seed: int = 0
    """Seed of the drawn images, patches, pairs and resamples."""
    json: Path | None = None
    """A file for the same numbers, as JSON."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the measures, or an error message; return the exit code."""
    console.prepare()
    with console.piped():
        options = tyro.cli(
            Options, args=arguments, prog="python -m gen_jax.measure", description=__doc__
        )
    try:
        _main(options)
    except (Exception, KeyboardInterrupt) as error:
        return console.exit_code("gen_jax.measure", error)
    return 0


def _main(options: Options) -> None:
    if options.pairs and options.features:
        raise UserError("Features are of sets, not of pairs: omit --features or --pairs.")
    if options.json and options.json.is_dir():
        raise DirectoryError(f"{options.json} is a folder: name a file in it.")
    xla.prepare()
    sharding.check_devices()
    net = None if options.pairs else sets.network(options.features or "resnet50")
    given = dataclasses.asdict(options)
    asked = ("a", "b", "pairs", "side", "count", "split", "field", "seed")
    both = reader.read(**{name: given[name] for name in asked})
    notes = [*both.notes, sets.BIAS] if net else both.notes
    for note in notes:
        console.show(note)
    found = (
        sets.measure(both, net, seed=options.seed)
        if net
        else pairs.measure(both, seed=options.seed)
    )
    for line in result.table(found):
        console.show(line)
    if options.json:
        values = {name: dataclasses.asdict(measured) for name, measured in found.items()}
        content = {"arguments": given, "notes": notes, "measures": values}
        files.replace(options.json, json.dumps(content, indent=1, default=str) + "\n")


if __name__ == "__main__":
    sys.exit(main())
