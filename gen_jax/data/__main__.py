"""`python -m gen_jax.data` lists the data sets; `... mnist [--again]` prepares one;
`... verify [mnist]` hashes its arrays.

Exit codes: 0 success, 2 bad arguments, 65 a data set is not available or damaged, 71 out of memory
or of open files, 73 a directory cannot be written, 74 a file cannot be read or written.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from gen_jax import console
from gen_jax.data.catalog import prepare, sets, store
from gen_jax.storage import cache


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    console.prepare()
    parser = argparse.ArgumentParser(prog="python -m gen_jax.data", description=__doc__)
    parser.add_argument(
        "words", nargs="*", metavar="[verify] NAME", help="data sets to prepare or verify"
    )
    parser.add_argument("--again", action="store_true", help="prepare again")
    parser.add_argument(
        "--directory",
        type=Path,
        help="data directory; default: $GEN_JAX_DATA, else the user's cache",
    )
    with console.piped():
        given = parser.parse_args(arguments)
    log = logging.getLogger("gen_jax.data")
    handler = logging.StreamHandler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # TFDS adds a handler to the root logger
    try:
        base = given.directory or cache.data_folder()
        if not given.words:
            _list(base)
        elif given.words[0] == "verify":
            for name in given.words[1:] or [
                name for name in sets.SOURCES if _how_prepared(name, base)
            ]:
                console.show(f"{name}: {sets.verify(name, base)} arrays are intact")
        else:
            for name in given.words:
                console.show(f"{name}: {sets.make(name, base, again=given.again)}")
                _describe(name, base)
    except (Exception, KeyboardInterrupt) as error:
        return console.exit_code("gen_jax.data", error)
    finally:
        log.removeHandler(handler)
        log.propagate = True
    return 0


def _how_prepared(name: str, base: Path) -> str:
    """Return how a set was prepared; empty if it is not prepared."""
    home = prepare.home(name, base)
    return store.manifest(home, name=name)["way"] if (home / store.MANIFEST).exists() else ""


def _describe(name: str, base: Path) -> None:
    for split, fields in sets.describe(name, base)["splits"].items():
        known = (f"{field} {entry['dtype']} {entry['shape']}" for field, entry in fields.items())
        console.show(f"  {split:8} {', '.join(known)}")


def _list(base: Path) -> None:
    for name, source in sets.SOURCES.items():
        way = _how_prepared(name, base)
        console.show(f"{name}: {source.description}")
        console.show(
            f"  size     {', '.join(f'{split} {size}' for split, size in source.sizes.items())}"
        )
        console.show(f"  licence  {source.licence}")
        console.show(
            "  "
            f"{'prepared ' + way + ', in ' + str(prepare.home(name, base)) if way else 'not prepared'}"
        )
    console.show(
        "tfds:NAME, tfds:NAME:CONFIG, tfds:NAME@SIDE: any image data set that TFDS has prepared as "
        "array_record, such as"
    )
    console.show("  tfds:celeb_a, tfds:cycle_gan:horse2zebra, tfds:caltech_birds2011@128")
    console.show("folder:PATH, folder:PATH@SIDE, folder:PATH@SIDE,grey: pictures of your own")


if __name__ == "__main__":
    sys.exit(main())
