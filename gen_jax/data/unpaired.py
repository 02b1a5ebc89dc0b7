"""Images of two domains, drawn without pairs in training.

Where pairs are known, they are for evaluation alone.
"""

import functools
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import numpy as np

from gen_jax.data.crops import centre_crop, random_crop
from gen_jax.data.pipeline import Arrays, Source, size
from gen_jax.data.synthetic import worlds
from gen_jax.types import Batch, Key

Name = Literal[
    "earth", "emoji", "discs",
    "apple2orange", "horse2zebra", "maps", "monet2photo", "summer2winter_yosemite",
]  # fmt: skip
# The domains of sets whose pairs are known: the k-th images of both show the same.
PAIRED = {"earth": ("photo", "map"), "emoji": ("google", "twitter"), "discs": ("photo", "map")}
DISC_SIDE = 18  # pixels


class Images(NamedTuple):
    """Two domains of images, x and y, and how each image is cut."""

    name: str  # a Name; of those without pairs, TFDS's cycle_gan has the domains "x" and "y"
    load: int  # pixels of a side after resizing
    pad: int  # white pixels added to each side after that
    side: int  # pixels of a side of the crop

    @property
    def paired(self) -> bool:
        """Whether it is known which images are pairs."""
        return self.name in PAIRED

    @property
    def names(self) -> tuple[str, str]:
        """The fields of x and of y."""
        return PAIRED.get(self.name, ("x", "y"))

    def source(self) -> Source:
        """Random crops "x" and "y", drawn independently: [b, side, side, 3] each, in [-1, 1]."""
        name = self.name if self.paired else f"tfds:cycle_gan:{self.name}"
        computed = functools.partial(worlds.discs, DISC_SIDE) if self.name == "discs" else None
        return Source(name, self._random, arrays=computed, unpaired=self.names)

    def _random(self, batch: Batch, key: Key) -> Batch:
        keys = jax.random.split(key)
        return {
            field: random_crop(batch[name], key, load=self.load, pad=self.pad, side=self.side)
            for field, name, key in zip("xy", self.names, keys, strict=True)
        }

    def centre(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """Centre crops of either domain, as many as the smaller one has: {name: [n, side, side,
        3]}, in [-1, 1].
        """
        crop = jax.jit(functools.partial(centre_crop, load=self.load, pad=self.pad, side=self.side))
        return {name: np.asarray(crop(arrays[name][: size(arrays)])) for name in self.names}


class Points(NamedTuple):
    """Two domains of points in the plane, around atoms that lie elsewhere for each seed."""

    masses: tuple[int, ...]  # of the atoms
    seed: int

    def atoms(self) -> worlds.Atoms:
        """The atoms of both domains."""
        return worlds.atoms(self.masses, self.seed)

    def source(self) -> Source:
        """Points "x" and "y", drawn independently: [b, 2] each."""
        return Source("atoms", arrays=lambda: self.atoms().arrays(), unpaired=("x", "y"))


def spread(arrays: Arrays, count: int) -> Mapping[str, np.ndarray]:
    """So many examples of each field, from the first to the last: [n, ...] -> [count, ...]."""
    return {
        name: array[np.linspace(0, len(array) - 1, count).astype(int)]
        for name, array in arrays.items()
    }
