"""python -m experiments: the papers, their presets and the cost of each."""

import argparse
import importlib
from pathlib import Path

from gen_jax.run.experiment import paper_of, presets


def main() -> None:
    """Print one paragraph for each experiment file."""
    argparse.ArgumentParser(prog="python -m experiments", description=__doc__).parse_args()
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        paper, module = paper_of(path), importlib.import_module(f"experiments.{path.stem}")
        print(
            f"{path.stem}: {paper.title}\n  {paper.authors}. {paper.venue}."
            + (f" arXiv:{paper.arxiv}" if paper.arxiv else "")
        )
        print(
            *(f"    {preset:<16} {cost}" for preset, (cost, _) in presets(module).items()), sep="\n"
        )
    print(
        "\nRun one with `python -m experiments.PAPER PRESET`; `--help` after either lists all "
        "options."
    )


if __name__ == "__main__":
    main()
