"""Images of two domains, drawn without pairs in training.

Known pairs are only used for evaluation.
"""

import functools
from typing import Literal, NamedTuple

import jax
import numpy as np

from gen_jax.data import folders
from gen_jax.data.catalog.folder_names import is_folder
from gen_jax.data.crops import centre_crop, random_crop
from gen_jax.data.pipeline import Arrays, Source, size
from gen_jax.data.synthetic import worlds
from gen_jax.types import Batch, Key

Name = Literal[
    "earth", "emoji", "discs",
    "apple2orange", "horse2zebra", "maps", "monet2photo", "summer2winter_yosemite",
] | folders.Folder  # fmt: skip
# The domains of sets with known pairs: the k-th images of both domains are partners.
PAIRED = {"earth": ("photo", "map"), "emoji": ("google", "twitter"), "discs": ("photo", "map")}
DISC_SIDE = 18  # pixels


class Images(NamedTuple):
    """Two domains of images, x and y, and the cropping of the images."""

    # a Name; for sets without pairs, cycle_gan of TFDS, or a folder, has the domains "x" and "y"
    name: str
    load: int  # side in pixels after resizing
    pad: int  # white pixels then added at each border
    side: int  # side of the crop in pixels

    @property
    def paired(self) -> bool:
        """Whether the pairs are known."""
        return self.name in PAIRED

    @property
    def names(self) -> tuple[str, str]:
        """The fields of x and of y."""
        return PAIRED.get(self.name, ("x", "y"))

    def source(self) -> Source:
        """Return the source of random crops "x" and "y", drawn independently: [b, side, side, 3]
        each, in [-1, 1].
        """
        known = self.paired or is_folder(self.name)
        name = self.name if known else f"tfds:cycle_gan:{self.name}"
        name = folders.at(name, self.load, "pairs", field="load")
        computed = functools.partial(worlds.discs, DISC_SIDE) if self.name == "discs" else None
        return Source(name, self._random, arrays=computed, unpaired=self.names)

    def _random(self, batch: Batch, key: Key) -> Batch:
        keys = jax.random.split(key)
        return {
            field: random_crop(batch[name], key, load=self.load, pad=self.pad, side=self.side)
            for field, name, key in zip("xy", self.names, keys, strict=True)
        }

    def centre(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """Return centre crops of both domains, as many as in the smaller domain: {name:
        [n, side, side, 3]}, in [-1, 1].
        """
        crop = jax.jit(functools.partial(centre_crop, load=self.load, pad=self.pad, side=self.side))
        return {name: np.asarray(crop(arrays[name][: size(arrays)])) for name in self.names}


class Points(NamedTuple):
    """Two domains of points in the plane, around atoms whose positions depend on the seed."""

    masses: tuple[int, ...]  # of the atoms
    seed: int

    def atoms(self) -> worlds.Atoms:
        """Return the atoms of both domains."""
        return worlds.atoms(self.masses, self.seed)

    def source(self) -> Source:
        """Return the source of points "x" and "y", drawn independently: [b, 2] each."""
        return Source("atoms", arrays=lambda: self.atoms().arrays(), unpaired=("x", "y"))
