"""Open a web page on which a trained model can be used.

    python -m gen_jax.demo runs/vae-quick-s0
    python -m gen_jax.demo runs/vae-quick-s0 --step 10000 --port 8000

It offers what `python -m gen_jax.use` offers. It is at an address of this machine alone, and loads
nothing from elsewhere. It needs Gradio: pip install -e '.[demo]'. Ctrl-C ends it, and what was
uploaded is removed.
Exit codes: 0 help was printed; 2 bad arguments, or Gradio is not installed; 65 a damaged run; 74 a
checkpoint or another file cannot be read; 130 Ctrl-C, 143 SIGTERM.
"""

import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tyro

from gen_jax import console
from gen_jax.errors import UserError
from gen_jax.run import xla
from gen_jax.run.opened import open_run


@dataclasses.dataclass(frozen=True)
class Options:
    run: tyro.conf.Positional[Path]
    """The directory of a run, or an exported model."""
    step: int | None = None
    """By default the newest checkpoint."""
    experiment: str | None = None
    """The module of a paper that is not in experiments/."""
    port: int | None = None
    """By default the first from 7860 on that is free."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Offer the page until Ctrl-C, or print an error message; return the exit code."""
    console.prepare()
    with console.piped():
        given = tyro.cli(
            Options, args=arguments, prog="python -m gen_jax.demo", description=__doc__
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder  # of uploads and results, before the import
            _main(given)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        return console.exit_code("gen_jax.demo", error)
    return 0


def _main(given: Options) -> None:
    try:
        from gen_jax.use import page
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError(
            "The page needs Gradio, which is not installed: run pip install -e '.[demo]'."
        ) from error
    xla.prepare()
    page.serve(open_run(given.run, given.step, given.experiment), given.port)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
