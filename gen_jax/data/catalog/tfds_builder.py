"""TensorFlow Datasets without TensorFlow: write our sets as array_record, and read any prepared
set.

Imported only while a set is prepared; prepared sets open without TFDS.
"""

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError

BLOCK = 1024  # examples read at a time
GATHERED = 2**30  # [bytes]


def build(
    name: str,
    *,
    version: str,
    about: Mapping[str, str],
    fields: Mapping[str, tuple[tuple[int, ...], str]],
    sizes: Mapping[str, int],
    blocks: Callable[[str], Iterator[Block]],
    directory: Path,
) -> dict[str, Sequence[Any]]:
    """Write a set with a TFDS builder called `name`, in the order of `blocks`, and open its splits."""

    volume = max(sizes.values()) * sum(
        math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in fields.values()
    )

    def feature(shape: tuple[int, ...], dtype: str) -> tfds.features.FeatureConnector:
        kind = np.dtype(dtype).type
        if not shape:
            return tfds.features.Scalar(kind)
        # Raw bytes are 2.5 times faster to write than lists of integers. But TFDS gathers a split
        # in memory, and above 1 GiB it wants TensorFlow for its temporary files: zlib keeps a large
        # set, if it compresses, below that.
        large = volume > GATHERED / 2 and len(shape) > 1
        return tfds.features.Tensor(shape=shape, dtype=kind, encoding="zlib" if large else "bytes")

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version(version)

        def _info(self) -> tfds.core.DatasetInfo:
            features = {field: feature(*spec) for field, spec in fields.items()}
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
                **about,
            )

        def _split_generators(self, manager: Any) -> dict[str, Iterator]:
            return {split: self._generate_examples(split) for split in sizes}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, Block]]:
            number = 0
            for block in blocks(split):
                for example in zip(*(block[field] for field in fields), strict=True):
                    yield number, dict(zip(fields, example, strict=True))
                    number += 1

    Builder.name = name
    builder = Builder(data_dir=directory, file_format="array_record")
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # it announces a download; there is none
        builder.download_and_prepare(download_dir=directory / "downloads", download_config=config)
    return {split: builder.as_data_source(split) for split in sizes}


def blocks(source: Any, fields: Mapping[str, tuple[tuple[int, ...], str]]) -> Iterator[Block]:
    """All examples of a data source in order, in blocks of the given shapes and dtypes.

    DataError otherwise.
    """
    for start in range(0, len(source), BLOCK):
        numbers = range(start, min(start + BLOCK, len(source)))
        examples = [dict(leaves(example)) for example in source.__getitems__(numbers)]
        block = {}
        for field, (shape, dtype) in fields.items():
            if odd := [
                value.shape
                for example in examples
                if (value := np.asarray(example[field])).shape != shape
            ]:
                hint = (
                    ": name a side to resize them to, as in tfds:NAME@64"
                    if field == "image"
                    else ""
                )
                given = f"{list(odd[0])} beside others of {list(shape)}"
                raise DataError(f"field {field!r} has examples of shape {given}{hint}.")
            values = np.stack([example[field] for example in examples])
            block[field] = values.astype(dtype)  # TFDS gives scalars as 64 bits
            if values.dtype.kind in "iu" and not np.array_equal(block[field], values):
                raise DataError(f"field {field!r} holds numbers that do not fit {dtype}.")
        yield block


def prepared(name: str, directories: Sequence[Path | None]) -> dict[str, Sequence[Any]]:
    """The splits of a set that TFDS has prepared: NAME, NAME:CONFIG, NAME:VERSION or a directory."""
    tried: list[str] = []
    if Path(name).is_absolute():
        with _failing(tried, name):
            if opened := dict(tfds.builder_from_directory(name).as_data_source()):
                return opened
            raise FileNotFoundError("it has no split")
        raise DataError(
            f"{tried[0]} holds no set that TFDS has prepared as array_record: name a version's directory."
        )
    known, _, detail = name.partition(":")
    version = re.fullmatch(r"\d+\.\d+\.\d+", detail)
    address = known if not detail else f"{known}:{detail}" if version else f"{known}/{detail}"
    for directory in directories:
        place = str(
            directory or "TFDS's own directory ($TFDS_DATA_DIR, else ~/tensorflow_datasets)"
        )
        with _failing(tried, place):
            # Not tfds.data_source: it runs the set's own builder, and COCO's needs TensorFlow.
            if opened := dict(
                read_only_builder.builder_from_files(address, data_dir=directory).as_data_source()
            ):
                return opened
            raise FileNotFoundError(f"no files of {address}")
    raise DataError(
        f"tfds:{name} is not prepared as array_record: tried {'; '.join(tried)}; prepare it with "
        f"tfds.builder({address!r}, file_format='array_record').download_and_prepare(), for which TFDS's own builders "
        "may want tensorflow, or name its directory."
    )


@contextlib.contextmanager
def _failing(tried: list[str], place: str) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        ValueError,
        AssertionError,
        ImportError,
        NotImplementedError,
        KeyError,
    ) as error:
        reason = next(iter(str(error).strip().splitlines()), "")[:200].rstrip(".")
        tried.append(f"{place} ({type(error).__name__}: {reason})")


def fields(source: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of the numeric fields of an example, an image among them."""
    if not len(source):
        raise DataError("a split without examples cannot be used.")
    example = {name: np.asarray(value) for name, value in source.__getitems__([0])[0].items()}
    found = {
        name: (value.shape, str(_plain(value.dtype)))
        for name, value in example.items()
        if value.dtype.kind in "biuf"
    }
    if not any(len(shape) == 3 and dtype == "uint8" for shape, dtype in found.values()):
        given = ", ".join(
            f"{name} {value.dtype} {list(value.shape)}" for name, value in example.items()
        )
        raise DataError(f"there is no feature 'image' of uint8 [h, w, c], only {given}.")
    return found


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested features by joined names: attributes -> Male is attributes.Male."""
    for name, value in tree.items():
        if isinstance(value, (dict, tfds.features.FeaturesDict)):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(dtype: np.dtype) -> np.dtype:
    """The type on a device, which has no 64 bits."""
    return np.dtype(
        {"int64": "int32", "uint64": "uint32", "float64": "float32"}.get(dtype.name, dtype.name)
    )
