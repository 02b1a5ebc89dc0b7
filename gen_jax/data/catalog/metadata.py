"""Captions of the pictures of a folder: metadata.jsonl or metadata.csv, with file_name and text.

A picture may have several lines, one for each caption.
"""

import csv
import io
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gen_jax.errors import DataError

FILES = ("metadata.jsonl", "metadata.csv")
LONGEST = 1000  # [bytes] of a caption


def read(path: Path, names: set[str]) -> dict[str, list[bytes]]:
    """The captions of each picture of the folder `path` that has some, in UTF-8.

    Raises DataError if there is no such file, or both, or if a line is not as it should be; `names`
    are those of the pictures.
    """
    files = [path / name for name in FILES if (path / name).is_file()]
    if len(files) != 1:
        raise DataError(
            f"{path} has {'both' if files else 'none'} of {' and '.join(FILES)}: give one, with "
            "the fields file_name and text of each picture."
        )
    found: dict[str, list[bytes]] = {}
    for line, row in _rows(files[0]):
        given, text = (row.get(field) for field in ("file_name", "text"))
        if not (isinstance(given, str) and isinstance(text, str) and given and text.strip()):
            raise DataError(
                f"{files[0]} has no file_name or no text in line {line}: give both, as text."
            )
        if odd := re.search("[\0\ud800-\udfff]", given + text):
            raise DataError(
                f"{files[0]} has {odd[0]!r} in line {line}, which is no character: remove it."
            )
        name, content = posixpath.normpath(given), text.strip().encode()
        if name not in names:
            raise DataError(
                f"{files[0]} names {given!r} in line {line}, which is no picture of {path}: add "
                "the picture, or remove the line."
            )
        if len(content) > LONGEST:
            raise DataError(
                f"{files[0]} has a text of {len(content)} bytes in line {line}: give at most {LONGEST}."
            )
        found.setdefault(name, []).append(content)
    if not found:
        raise DataError(f"{files[0]} is empty: give a line for each picture.")
    return found


def padded(captions: Sequence[Sequence[bytes]], count: int, width: int) -> np.ndarray:
    """Captions as bytes filled up with zeros, repeated in their order to `count`: uint8
    [n, count, width].
    """
    rows = ([own[i % len(own)] for i in range(count)] for own in captions)
    content = b"".join(text.ljust(width, b"\0") for row in rows for text in row)
    return np.frombuffer(content, np.uint8).reshape(len(captions), count, width)


def _rows(file: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The rows of a file of metadata, with their lines."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".csv":
            reader = csv.DictReader(io.StringIO(text, newline=""))
            for row in reader:
                yield reader.line_num, row
            return
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                row = json.loads(line)
                yield number, row if isinstance(row, dict) else {}
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file} cannot be read ({error.msg} in line {number}): correct it."
        ) from error
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise DataError(f"{file} cannot be read ({error}): correct it.") from error
