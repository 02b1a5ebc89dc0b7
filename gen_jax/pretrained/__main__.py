"""List the pretrained networks and their sources, or fetch those that are named.

Exit codes: 0 done, 2 bad arguments, 65 weights that are not available, 73 a directory that cannot
be written.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from gen_jax import console
from gen_jax.pretrained import lpips, minilm, progan, resnet
from gen_jax.pretrained.weights import load

ALL = {
    weights.name: weights
    for weights in (minilm.WEIGHTS, *lpips.WEIGHTS.values(), resnet.WEIGHTS, progan.WEIGHTS)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    console.prepare()
    parser = argparse.ArgumentParser(prog="python -m gen_jax.pretrained", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ALL))
    with console.piped():
        given = parser.parse_args(arguments)
    for name in {*given.names} - {*ALL}:
        parser.error(f"there is no network {name!r}: choose from {', '.join(ALL)}")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gen_jax").setLevel(logging.INFO)
    try:
        for name in given.names:
            load(ALL[name])
            console.show(f"{name}: {ALL[name].path}")
    except (Exception, KeyboardInterrupt) as error:
        return console.exit_code("gen_jax.pretrained", error)
    for name, weights in {} if given.names else ALL.items():
        console.show(
            f"{name}: {weights.description}\n  licence  {weights.licence}\n  cite     {weights.citation}"
        )
        console.show(f"  {f'kept in {weights.path}' if weights.path.exists() else 'not fetched'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
