"""Folders of random pictures."""

import json
import struct
import zlib

import numpy as np
from PIL import Image

rng = np.random.default_rng(0)


def draw(height=8, width=8, channels=3):
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def save(path, pixels=None, **how):
    """Write pixels [h, w, c] as a picture, and return them."""
    pixels = draw() if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(mode).save(path, **how)
    return pixels


def fill(path, count=20, top="", channels=3):
    """Write pictures 00.png, 01.png, ...; returns {name: pixels}."""
    names = [f"{top}{i:02}.png" for i in range(count)]
    return {name: save(path / name, draw(channels=channels)) for name in names}


def png(path, width, height, depth, rows=b""):
    """Write the bytes of rows of RGB as a PNG, as many as they are."""
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    for kind, inside in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + inside))
        content += struct.pack(">I", len(inside)) + kind + inside + check
    path.write_bytes(content)


def row(name, text="a picture"):
    """A line of metadata.jsonl."""
    return json.dumps({"file_name": name, "text": text})
