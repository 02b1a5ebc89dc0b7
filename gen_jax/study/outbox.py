"""A folder of few files with all results so far, for a machine from which only that comes back."""

import dataclasses
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from gen_jax.errors import DirectoryError
from gen_jax.storage import files
from gen_jax.study import results
from gen_jax.study.place import Place
from gen_jax.study.rows import Part

MOST_BYTES = 15 * 2**20  # of each file
SEEDS = 2  # of each row, whose pictures are kept


class Outbox:
    """results.json and pictures.tar, rewritten as runs end."""

    def __init__(self, folder: Path, place: Place, parts: Sequence[Part]) -> None:
        """Make the folder; raises DirectoryError if it cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DirectoryError(
                f"out is {folder}, which cannot be made ({error.strerror}): give another folder."
            ) from error
        self.folder, self.place, self.parts = folder, place, parts

    def update(self) -> None:
        """Write what there is now."""
        known = {part.row.name: part for part in reversed(self.parts)}
        found = {}
        for name, part in sorted(known.items()):
            if runs := results.load(part.row, self.place.results):
                result = dataclasses.replace(results.empty(part.row, part), runs=runs)
                found[name] = dataclasses.asdict(result)
        files.replace(self.folder / "results.json", json.dumps(found, allow_nan=False))
        files.replace(self.folder / "pictures.tar", self._pictures())

    def _pictures(self) -> bytes:
        """Return an archive of the last picture of each kind, as far as they fit."""
        buffer, seen = io.BytesIO(), dict.fromkeys((part.group for part in self.parts), 0)
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for part in self.parts:
                last = {
                    path.name.partition("-step-")[0]: path
                    for path in sorted(self.place.directory(part).glob("samples/*.png"))
                }
                if not last or seen[part.group] >= SEEDS:
                    continue
                seen[part.group] += 1
                for path in last.values():
                    if buffer.tell() + path.stat().st_size < MOST_BYTES:
                        archive.add(path, f"{part.name}/{path.name}")
        return buffer.getvalue()
