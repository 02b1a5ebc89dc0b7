"""The reader of emoji: compositing, fonts, names, tones that a package swaps, and a split without
near-copies.
"""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from gen_jax.data.catalog import emoji
from gen_jax.errors import DataError

TONES = emoji.TONES
WAVES = [f"1f44b-{tone}" for tone in TONES]  # a waving hand
# a technologist, whose tones are not swapped
CODERS = [f"1f468-{tone}-200d-1f4bb" for tone in TONES]
PLAIN = ["1f44b", "1f468-200d-1f4bb", "1f34c", "2764-fe0f"]
TWO = "1f44b-1f3fb-200d-1f44b-1f3fc"  # two tones
DRAWN = [*PLAIN, *WAVES, *CODERS, TWO]
NAMES = {
    **{"👋": ["waving hand"], "🍌": ["banana"], "❤": ["red heart"]},
    **{chr(int(tone, 16)): [f"tone {tone}"] for tone in TONES},
}


def picture(form, pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream, form, **({"lossless": True, "exact": True} if form == "WEBP" else {})
    )
    return stream.getvalue()


def plain(side, value):
    return np.full((side, side, 4), (value, value, value, 255), np.uint8)


def symbol(name, toned=()):
    tones = {code.upper(): {"image": f"{one}.png"} for code, one in toned}
    return {
        "name": "MAN CODER",
        "unified": name.upper(),
        "image": f"{name}.png",
        "skin_variations": tones,
    }


def archive(path, members):
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))


def rectangle(left, bottom, right, top):
    pen = TTGlyphPen(None)
    pen.moveTo((left, bottom))
    for corner in ((left, top), (right, top), (right, bottom)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def font(greys, right=1000):
    """Of each symbol a grey square, darkened above on the left; its ligatures have fe0f after their
    first character.
    """
    codes = sorted({code for name in greys for code in name.split("-")} | {"fe0f", "1f6a8"})
    parts = {name: [code for code in name.split("-") if code != "fe0f"] for name in greys}
    glyphs = {
        name: f"u{each[0]}" if len(each) == 1 else f"ligature{greys[name]}"
        for name, each in parts.items()
    }
    rules = [
        f"sub u{first} ufe0f {' '.join(f'u{code}' for code in rest)} by {glyphs[name]};"
        for name, (first, *rest) in parts.items()
        if rest
    ]
    outlines = {".notdef": rectangle(0, 0, 1, 1), "square": rectangle(0, -250, right, 750)}
    outlines |= {
        "corner": rectangle(0, 250, 500, 750),
        **{f"u{code}": rectangle(0, 0, 9, 9) for code in codes},
    }
    outlines |= {glyph: outlines[".notdef"] for glyph in glyphs.values() if glyph not in outlines}
    builder = FontBuilder(2048)  # another em than the square's side
    builder.setupGlyphOrder(list(outlines))
    builder.setupCharacterMap({int(code, 16): f"u{code}" for code in codes})
    builder.setupGlyf(outlines)
    builder.setupHorizontalMetrics(dict.fromkeys(outlines, (1000, 0)))
    builder.setupHorizontalHeader(ascent=750, descent=-250)
    builder.setupCOLR(
        {glyph: [("square", i), ("corner", len(greys))] for i, glyph in enumerate(glyphs.values())}
    )
    builder.setupCPAL([[*((grey / 255,) * 3 + (1,) for grey in greys.values()), (0, 0, 0, 0.4)]])
    builder.addOpenTypeFeatures(f"feature ccmp {{ {' '.join(rules)} }} ccmp;")
    builder.setupPost()
    builder.save(stream := io.BytesIO())
    return stream.getvalue()


def wheel(folder, content):
    archive, inside = emoji.VENDORS["openmoji"]
    with zipfile.ZipFile(folder / archive, "w") as opened:
        opened.writestr(inside, content)


@pytest.fixture
def folder(tmp_path):
    """Packages whose pictures are of the grey 10 n, n the number of the symbol; Twitter's are
    transparent.
    """
    greys = {name: 10 * i for i, name in enumerate(DRAWN)}
    symbols = [
        symbol("1f44b", [*zip(TONES, WAVES, strict=True), ("1f3fb-1f3fc", TWO)]),
        symbol("1f468-200d-1f4bb", zip(TONES, CODERS, strict=True)),
        symbol("1f34c"),
        symbol("2764-fe0f"),
        symbol("1f6a8"),  # which the font draws in black, and of the others only Google
    ]
    tables = {"package/emoji.json": json.dumps(symbols).encode()}
    for vendor, side, form, alpha in (
        ("google", 64, "PNG", 255),
        ("twitter", 64, "PNG", 100),
        ("fluent", 256, "WEBP", 255),
    ):
        drawn = {}
        for name, grey in greys.items():
            pixels = plain(side, grey)
            pixels[..., 3] = alpha
            drawn[f"{emoji.VENDORS[vendor][1]}{name}.{form.lower()}"] = picture(form, pixels)
        if vendor == "google":
            drawn[f"{emoji.VENDORS[vendor][1]}1f6a8.png"] = picture("PNG", plain(64, 0))
        archive(tmp_path / emoji.VENDORS[vendor][0], {**tables, **drawn})
    wheel(tmp_path, font(greys))
    names = {"annotations": {"annotations": {name: {"tts": tts} for name, tts in NAMES.items()}}}
    archive(tmp_path / emoji.NAMES[0], {emoji.NAMES[1]: json.dumps(names).encode()})
    return tmp_path


def read(folder):
    both = {split: list(emoji.read(folder, split, {})) for split in ("train", "test")}
    return {
        emoji.text(block["caption"][0]): {**{v: block[v][0] for v in emoji.VENDORS}, "split": split}
        for split, blocks in both.items()
        for block in blocks
    }


def test_each_symbol_that_all_draw_has_its_pictures_and_its_name(folder):
    got = read(folder)
    named = {
        **{
            name: caption
            for name, caption in zip(
                PLAIN, ("waving hand", "man coder", "banana", "red heart"), strict=True
            )
        },
        **{name: f"waving hand: tone {tone}" for name, tone in zip(WAVES, TONES, strict=True)},
        **{name: f"man coder: tone {tone}" for name, tone in zip(CODERS, TONES, strict=True)},
    }
    assert set(got) == set(named.values())
    for name, caption in named.items():
        grey = 10 * DRAWN.index(name)
        assert (got[caption]["google"] == grey).all()
        np.testing.assert_array_equal(
            got[caption]["twitter"], round((100 * grey + 155 * 255) / 255)
        )
        assert got[caption]["split"] == ("test" if emoji.held_out(name) else "train")


def test_fluent_s_two_swapped_tones_are_put_right_but_for_those_that_are(folder):
    got = read(folder)
    hand = [got[f"waving hand: tone {tone}"]["fluent"][0, 0, 0] for tone in TONES]
    coder = [got[f"man coder: tone {tone}"]["fluent"][0, 0, 0] for tone in TONES]
    assert hand == [10 * DRAWN.index(WAVES[i]) for i in (0, 2, 1, 3, 4)]
    assert coder == [10 * DRAWN.index(name) for name in CODERS]


def test_layers_of_a_glyph_are_painted_upright_in_its_square(folder):
    for name, caption in (("2764-fe0f", "red heart"), (CODERS[2], f"man coder: tone {TONES[2]}")):
        picture, grey = read(folder)[caption]["openmoji"], 10 * DRAWN.index(name)
        dark = picture[:32, :32]
        assert (dark == round(0.6 * grey)).all() and grey > 20
        picture[:32, :32] = grey
        assert (picture == grey).all()


def test_a_larger_picture_is_averaged_from_the_middle_and_rounded():
    pixels = np.zeros((264, 256, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:4] = pixels[-4:] = (9, 9, 9, 255)  # what is cut
    pixels[4:6, :4, :3] = 255  # half of the first 4 x 4
    pixels[4:8, 4:8] = (0, 0, 0, 0)  # transparent
    got = emoji._decoded(picture("WEBP", pixels))
    assert got.shape == (64, 64, 3) and got.dtype == np.uint8
    assert got[0, 0].tolist() == [128] * 3 and got[0, 1].tolist() == [255] * 3
    assert got.astype(int).sum() == 3 * (128 + 255)


def test_symbols_of_a_kind_are_on_the_same_side():
    alike = [
        ("1f44b", *WAVES),
        ("1f468-200d-1f680", "1f469-1f3fb-200d-1f680", "1f9d1-200d-1f680"),  # astronauts
        ("1f3c4", "1f3c4-200d-2640-fe0f", "1f3c4-1f3ff-200d-2642-fe0f"),  # surfers
        (
            "1f468",
            "1f471-1f3fc-200d-2640-fe0f",
            "1f469-200d-1f9b0",
            "1f468-200d-1f469-200d-1f467",
        ),  # people
    ]
    for names in alike:
        assert len({emoji.kind(name) for name in names}) == 1
    assert len({emoji.kind(names[0]) for names in alike}) == len(alike)
    chosen = [emoji.held_out(f"{code:x}") for code in range(0x1F300, 0x1F700)]
    assert 0.07 < np.mean(chosen) < 0.13


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / emoji.NAMES[0]).unlink(),
        lambda folder: (folder / emoji.NAMES[0]).write_bytes(b"no archive"),
        lambda folder: archive(folder / emoji.NAMES[0], {"package/other": b""}),
        lambda folder: archive(folder / emoji.NAMES[0], {emoji.NAMES[1]: b"{"}),
        lambda folder: archive(
            folder / emoji.VENDORS["fluent"][0],
            {f"package/assets/{name}.webp": picture("WEBP", plain(200, 0)) for name in DRAWN},
        ),
        lambda folder: (folder / emoji.VENDORS["openmoji"][0]).write_bytes(b"no wheel"),
        lambda folder: wheel(folder, b"no font"),
        lambda folder: wheel(folder, font(dict.fromkeys(DRAWN, 0))[:1000]),
        lambda folder: wheel(folder, font(dict.fromkeys(DRAWN, 0), right=5000)),
    ],
)
def test_other_packages_are_refused_in_one_sentence(folder, harm):
    harm(folder)
    with pytest.raises(DataError, match="are not the packages that they should be") as caught:
        read(folder)
    assert "\n" not in str(caught.value)
