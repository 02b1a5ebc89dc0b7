"""A folder with a sub-folder of pictures for each domain, for translation among the domains."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from gen_jax.data import folders, multidomain
from gen_jax.data.catalog import folder_names, sets
from gen_jax.data.multidomain import Domains, LabelledImages, Labels, Name, TranslationTask
from gen_jax.data.pipeline import Arrays
from gen_jax.types import Array, Batch, Key


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one domain each. The ground truth of their translations is unknown."""

    name: str
    domains: Domains
    names: tuple[str, ...]  # of the domains

    def examples(self, batch: Batch, key: Key, side: int) -> tuple[Array, Array]:
        """Return each picture with its own label."""
        c = jax.nn.one_hot(batch["label"], self.domains.number)
        return multidomain.scaled(batch["image"], side), c

    def real(self, arrays: Arrays, side: int, count: int | None = None) -> LabelledImages:
        """Return the first `count` pictures, which have this side already."""
        return LabelledImages(arrays["image"][:count], arrays["label"][:count], None)

    def tasks(self, test: LabelledImages) -> Iterator[TranslationTask]:
        """Return the tasks to each domain, of all pictures of other domains."""
        for target in range(self.domains.number):
            if (others := test.domain != target).any():
                yield self._task(test.x[others], test.domain[others], target)

    def previews(self, few: LabelledImages, rows: int) -> list[TranslationTask]:
        """Return the first pictures, translated with each label."""
        targets = range(self.domains.number)
        return [self._task(few.x[:rows], few.domain[:rows], target) for target in targets]

    def _task(self, x: np.ndarray, domain: np.ndarray, target: int) -> TranslationTask:
        labels, targets = self.domains.target_labels, np.full(len(x), target)
        return TranslationTask(x, labels[targets], labels[domain], targets, None)


def find(name: Name, labels: Labels, side: int, directory: Path | None) -> multidomain.DataSet:
    """Return the data set of this name and these labels, a folder or one of `multidomain.SETS`."""
    if not folder_names.is_folder(name):
        return multidomain.SETS[name][labels]
    name = folders.at(name, side, "domains")
    domains = tuple(sets.describe(name, directory)["domains"])
    return Pictures(name, multidomain.exclusive(len(domains)), domains)
