"""One page about one or more runs: the paper's results and ours, curves, pictures, and the command.

    python -m gen_jax.report runs/vae-quick-s0  # writes runs/vae-quick-s0/report.html
    python -m gen_jax.report runs/vae-quick-s* --out vae-quick.html  # several seeds: 95 % intervals
    python -m gen_jax.report runs/vae-* --out vae.html --sort test/elbo --descending

The last command compares several configurations, such as a sweep, several presets, or a variant
and its base; of several experiments, it shows no claims. Runs that differ only in their seed, or in
settings that do not change what is learnt, are one configuration. The page has one row, colour and
picture for each configuration, and verdicts for each; without --sort, it is sorted by the first
measured metric with a claim, else by the first measure of evaluation.

The page is one self-contained file: it includes its styles, pictures as base64 and curves as SVG.
It needs no script; that of several configurations has one, which sorts its table by a click.
Equal runs produce the same page, byte for byte.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from gen_jax import console
from gen_jax.errors import UserError
from gen_jax.report.page import compare

DIRECTION = tyro.conf.create_mutex_group(required=False)


@dataclasses.dataclass(frozen=True)
class Options:
    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The directories of one run, or of several runs."""
    out: Path | None = None
    """The file of the page; for one run, report.html in its directory by default."""
    sort: str | None = None
    """The metric by which configurations are sorted, such as test/elbo; those without it are last.
    """
    ascending: Annotated[tyro.conf.FlagCreatePairsOff[bool], DIRECTION] = False
    """The lowest value first. By default, the best first if a claim says which is better."""
    descending: Annotated[tyro.conf.FlagCreatePairsOff[bool], DIRECTION] = False
    """The highest value first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and print its path, or an error message; return the exit code."""
    console.prepare()
    with console.piped():
        options = tyro.cli(
            Options, args=arguments, prog="python -m gen_jax.report", description=__doc__
        )
    try:
        if options.out is None and len(options.runs) != 1:
            raise UserError(
                f"There are {len(options.runs)} runs: give one, or several with --out page.html."
            )
        page = options.out or options.runs[0] / "report.html"
        descending = options.descending if options.ascending or options.descending else None
        console.show(str(compare(options.runs, page, sort=options.sort, descending=descending)))
    except (Exception, KeyboardInterrupt) as error:
        return console.exit_code("gen_jax.report", error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
