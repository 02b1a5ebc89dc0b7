"""python -m experiments: the papers, their presets and the cost of each."""

import argparse
import importlib
from pathlib import Path

from gen_jax import console
from gen_jax.run.experiment import paper_of, presets


def main() -> None:
    """Print one paragraph for each paper, or for those that are named."""
    files = {path.stem: path for path in sorted(Path(__file__).parent.glob("[!_]*.py"))}
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("papers", nargs="*", metavar="PAPER", help=", ".join(files))
    names = parser.parse_args().papers
    if unknown := [name for name in names if name not in files]:
        parser.error(f"there is no paper {unknown[0]!r}: choose from {', '.join(files)}")
    for name in names or files:
        paper, module = paper_of(files[name]), importlib.import_module(f"experiments.{name}")
        arxiv = f" arXiv:{paper.arxiv}" if paper.arxiv else ""
        print(f"{name}: {paper.title}\n  {paper.authors}. {paper.venue}.{arxiv}")
        for preset, (cost, _) in presets(module).items():
            print(f"    {preset:<18} {cost}")
    print("\nRun one with `python -m experiments.PAPER PRESET`; `--help` lists all options.")


if __name__ == "__main__":
    with console.piped():
        main()
