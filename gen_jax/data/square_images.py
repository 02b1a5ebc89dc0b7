"""Square images of any size in [-1, 1]: photographs, emoji, drawn shapes, digits, and the faces and
bedrooms of TFDS, and folders of pictures.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.data import folders, pipeline
from gen_jax.data.augmentation import from_uint8, random_flip
from gen_jax.data.catalog import emoji, folder_names
from gen_jax.data.pipeline import Arrays, Source
from gen_jax.data.synthetic import shapes
from gen_jax.networks.progan import downsample
from gen_jax.types import Array, Batch, Key

Name = (
    Literal["cifar10", "emoji", "shapes", "digits", "celeb_a", "celeb_a_hq", "lsun_bedroom"]
    | folders.Folder
)
FACE = slice(57, 185), slice(25, 153)  # crop of CelebA's 218 x 178 in ProGAN's code
DRAWN = (50_000, 1000)  # shapes for training and for testing
FIRST = 500  # number of images in the field "first"


def images(name: Name, batch: Batch, key: Key, side: int) -> Array:
    """Return images [b, side, side, c] in [-1, 1]; each emoji is from a random vendor."""
    return find(name).read(batch, key, side)


def channels(name: Name) -> int:
    """Return 1 for grey images, else 3."""
    return find(name).channels


def find(name: Name) -> "ImageSet":
    """Return the set of this name."""
    if folder_names.is_folder(name):
        return ImageSet(name, _photographs, channels=folder_names.parse(name).channels)
    return SETS[name]


def source(name: Name, side: int, *, mirror: bool, first: int | None = None) -> Source:
    """Return the images as "x" [b, side, side, c] in [-1, 1], each mirrored with probability 1/2 if
    `mirror`.

    With `first`, the initial state also gets "first": 500 training images of that side,
    [500, first, first, c].
    """
    one = find(name)

    def prepare(batch: Batch, key: Key) -> Batch:
        key_read, key_flip = jax.random.split(key)
        x = one.read(batch, key_read, side)
        return {"x": random_flip(x, key_flip) if mirror else x}

    def first_images(train: Arrays) -> Batch:
        some = {field: jnp.asarray(array[:FIRST]) for field, array in train.items()}
        return {"first": downsample(one.read(some, jax.random.key(0), side), first or side)}

    extras = first_images if first else pipeline.no_extras
    fields = {"image": ((*(one.shape or (side, side)), 3), "uint8")} if one.tfds else None
    return Source(
        folders.at(name, side) if folder_names.is_folder(name) else one.name.format(side),
        prepare,
        *one.splits,
        init_extras=extras,
        arrays=one.arrays,
        fields=fields,
    )


def drawn() -> tuple[Arrays, Arrays]:
    """Return the factors of training and test shapes, always the same."""
    keys = jax.random.split(jax.random.key(0))
    first, second = (shapes.draw(key, n)._asdict() for key, n in zip(keys, DRAWN, strict=True))
    return jax.device_get((first, second))


def resized(image: Array, side: int) -> Array:
    """Resize bytes [b, h, w, c] -> [b, side, side, c] in [-1, 1], by averaging pixels, or by cubic
    interpolation if h is not a multiple of side.
    """
    x = from_uint8(image)
    if x.shape[1] % side:
        return jnp.clip(jax.image.resize(x, (len(x), side, side, x.shape[-1]), "cubic"), -1, 1)
    return downsample(x, side)


def _photographs(batch: Batch, key: Key, side: int) -> Array:
    return resized(batch["image"], side)


def _faces(batch: Batch, key: Key, side: int) -> Array:
    return resized(batch["image"][:, *FACE], side)


def _emoji(batch: Batch, key: Key, side: int) -> Array:
    every = jnp.stack([batch[vendor] for vendor in emoji.VENDORS])  # [vendors, b, 64, 64, 3]
    of = jax.random.randint(key, every.shape[1:2], 0, len(every))
    return resized(every[of, jnp.arange(len(of))], side)


def _shapes(batch: Batch, key: Key, side: int) -> Array:
    scene = shapes.Scene(*(batch[name] for name in shapes.Scene._fields))
    return 2 * shapes.render(scene, side) - 1


class ImageSet(NamedTuple):
    """The catalogue name of a set, and the conversion of its batches to images."""

    name: str  # in the catalogue; {0} is replaced by the side
    read: Callable[[Batch, Key, int], Array]  # (batch, key, side) -> [b, side, side, c]
    splits: tuple[str, str] = ("train", "test")
    tfds: bool = False  # prepared by TFDS, not by this package
    shape: tuple[int, int] | None = None  # [h, w] in TFDS, if it differs from the requested side
    arrays: Callable[[], tuple[Arrays, Arrays]] | None = None
    channels: int = 3


SETS: dict[str, ImageSet] = {
    "cifar10": ImageSet("cifar10", _photographs),
    "emoji": ImageSet("emoji", _emoji),
    "shapes": ImageSet("shapes", _shapes, arrays=drawn),
    "digits": ImageSet("digits", _photographs, channels=1),
    "celeb_a": ImageSet("tfds:celeb_a", _faces, tfds=True, shape=(218, 178)),
    "celeb_a_hq": ImageSet("tfds:celeb_a_hq:{0}", _photographs, ("train", "train"), tfds=True),
    "lsun_bedroom": ImageSet(
        "tfds:lsun:bedroom@{0}", _photographs, ("train", "validation"), tfds=True
    ),
}
