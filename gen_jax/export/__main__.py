"""Take a trained model away from its run.

    python -m gen_jax.export runs/vae-quick-s0 --out vae.safetensors
    python -m gen_jax.export runs/vae-quick-s0 --out vae.safetensors --functions

The file has the weights as they were trained, their running averages where there are some, and a
description: the config, the networks, the data with their licence, the code. gen_jax.load reads
it, and so does every reader of safetensors. --functions writes what the model can do beside it, as
vae.generate.jaxexport and so on, for programs with JAX alone. docs/export.md describes both.

Exit codes: 0 done; 2 bad arguments, or a file exists; 65 a damaged run; 73 a file or folder cannot
be made; 74 a checkpoint or another file cannot be read or written; 130 Ctrl-C.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from gen_jax import console
from gen_jax.export.files import save


@dataclasses.dataclass(frozen=True)
class Options:
    run: tyro.conf.Positional[Path]
    """The directory of a run."""
    out: Path
    """The file, a .safetensors."""
    step: int | None = None
    """By default the newest checkpoint."""
    experiment: str | None = None
    """The module of a paper that is not in experiments/."""
    functions: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write what the model can do, too."""
    force: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace files that exist."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and print a line about each; return the exit code."""
    console.prepare()
    options = tyro.cli(
        Options, args=arguments, prog="python -m gen_jax.export", description=__doc__
    )
    try:
        for line in save(**dataclasses.asdict(options)):
            console.show(line)
    except (Exception, KeyboardInterrupt) as error:
        return console.exit_code("gen_jax.export", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
