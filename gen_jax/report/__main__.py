"""One page about one or more runs: the paper's results and ours, curves, pictures, and the command.

    python -m gen_jax.report runs/vae-quick-s0  # writes runs/vae-quick-s0/report.html
    python -m gen_jax.report runs/vae-quick-s* --out vae-quick.html  # several seeds: 95 % intervals

The page is one self-contained file: it includes its styles, pictures as base64 and curves as SVG,
and has no scripts. Equal runs produce the same page, byte for byte.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from gen_jax import console
from gen_jax.errors import UserError
from gen_jax.report.page import compare, write


@dataclasses.dataclass(frozen=True)
class Options:
    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The directories of one run, or of several runs that differ in their seed."""
    out: Path | None = None
    """The file of the page; for one run, report.html in its directory by default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and print its path, or an error message; return the exit code."""
    options = tyro.cli(
        Options, args=arguments, prog="python -m gen_jax.report", description=__doc__
    )
    try:
        if options.out is None and len(options.runs) != 1:
            raise UserError(
                f"There are {len(options.runs)} runs: give one, or several with --out page.html."
            )
        print(compare(options.runs, options.out) if options.out else write(options.runs[0]))
    except Exception as error:
        return console.exit_code("gen_jax.report", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
