"""A folder of the user's pictures as a data set: prepared once, and again when it has changed.

The manifest has a digest of the names, sizes and times of the folder's files.
"""

import functools
import logging
from pathlib import Path
from typing import Any

from gen_jax.data.catalog import folder_layouts, folder_names, prepare, store
from gen_jax.data.catalog.store import Block

log = logging.getLogger("gen_jax.data")

VERSION = "1"  # of the rules in `pictures` and `folder_layouts`


@functools.cache
def opened(name: str, base: Path) -> tuple[dict[str, Any], dict[str, Block]]:
    """The manifest and the splits of a folder, as memory maps.

    A process looks at a folder once: what a run reads stays as it is while it runs.
    """
    home = make(name, base)
    content = store.manifest(home, name=name, version=VERSION)
    return content, {split: store.view(home, name, split, content) for split in content["splits"]}


def make(name: str, base: Path, *, again: bool = False) -> Path:
    """Prepare a folder unless it is as it was; returns the directory of its arrays.

    Raises DataError if the folder or one of its pictures cannot be used.
    """
    folder, home = folder_names.parse(name), prepare.home(name, base)
    listing = folder_layouts.scan(folder)

    def is_current() -> bool:
        made = store.manifest(home, name=name)
        return (made["version"], made.get("listing")) == (VERSION, listing.digest)

    if not again and (home / store.MANIFEST).is_file():
        if is_current():
            return home
        log.info("%s has changed since it was prepared: it is prepared again.", name)
    plan = folder_layouts.plan(folder, listing)
    with prepare.building(name, base, again, is_current) as work:
        if work is not None:
            # Pillow is only needed to prepare.
            from gen_jax.data.catalog import folder_arrays

            log.info("%s: %s", name, folder_layouts.summary(listing, plan))
            splits = folder_arrays.write(folder, plan, work / "arrays")
            more = {"listing": listing.digest, "domains": plan.domains}
            known = {"name": name, "version": VERSION, "way": "folder"}
            store.write_manifest(work / "arrays", **known, splits=splits, more=more)
    return home
