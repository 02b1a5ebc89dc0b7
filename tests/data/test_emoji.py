"""The reader of emoji: compositing, names, tones that a package swaps, and a split without near-copies."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from gen_jax.data import emoji
from gen_jax.errors import DataError

TONES = emoji.TONES
WAVES = [f"1f44b-{tone}" for tone in TONES]  # a waving hand
CODERS = [f"1f468-{tone}-200d-1f4bb" for tone in TONES]  # a technologist, whose tones are not swapped
PLAIN = ["1f44b", "1f468-200d-1f4bb", "1f34c"]
TWO = "1f44b-1f3fb-200d-1f44b-1f3fc"  # two tones
DRAWN = [*PLAIN, *WAVES, *CODERS, TWO]
NAMES = {"👋": ["waving hand"], "🍌": ["banana"], **{chr(int(tone, 16)): [f"tone {tone}"] for tone in TONES}}


def picture(form, pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    return stream.getvalue()


def plain(side, value):
    return np.full((side, side, 4), (value, value, value, 255), np.uint8)


def symbol(name, toned=()):
    tones = {code.upper(): {"image": f"{one}.png"} for code, one in toned}
    return {"name": "MAN CODER", "unified": name.upper(), "image": f"{name}.png", "skin_variations": tones}


def archive(path, members):
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path):
    """Packages whose pictures are of the grey 10 n, n the number of the symbol; Twitter's are transparent."""
    greys = {name: 10 * i for i, name in enumerate(DRAWN)}
    symbols = [
        symbol("1f44b", [*zip(TONES, WAVES, strict=True), ("1f3fb-1f3fc", TWO)]),
        symbol("1f468-200d-1f4bb", zip(TONES, CODERS, strict=True)),
        symbol("1f34c"),
        symbol("1f6a8"),  # which nobody draws
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
        **{name: caption for name, caption in zip(PLAIN, ("waving hand", "man coder", "banana"), strict=True)},
        **{name: f"waving hand: tone {tone}" for name, tone in zip(WAVES, TONES, strict=True)},
        **{name: f"man coder: tone {tone}" for name, tone in zip(CODERS, TONES, strict=True)},
    }
    assert set(got) == set(named.values())
    for name, caption in named.items():
        grey = 10 * DRAWN.index(name)
        assert (got[caption]["google"] == grey).all()
        np.testing.assert_array_equal(got[caption]["twitter"], round((100 * grey + 155 * 255) / 255))
        assert got[caption]["split"] == ("test" if emoji.held_out(name) else "train")


def test_fluent_s_two_swapped_tones_are_put_right_but_for_those_that_are(folder):
    got = read(folder)
    hand = [got[f"waving hand: tone {tone}"]["fluent"][0, 0, 0] for tone in TONES]
    coder = [got[f"man coder: tone {tone}"]["fluent"][0, 0, 0] for tone in TONES]
    assert hand == [10 * DRAWN.index(WAVES[i]) for i in (0, 2, 1, 3, 4)]
    assert coder == [10 * DRAWN.index(name) for name in CODERS]


def test_a_larger_picture_is_averaged_from_the_middle_and_rounded():
    pixels = np.zeros((264, 256, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:4] = pixels[-4:] = (9, 9, 9, 255)  # what is cut
    pixels[4:6, :4, :3] = 255  # half of the first 4 x 4
    pixels[4:8, 4:8] = (0, 0, 0, 0)  # transparent
    got = emoji._on_white(picture("WEBP", pixels))
    assert got.shape == (64, 64, 3) and got.dtype == np.uint8
    assert got[0, 0].tolist() == [128] * 3 and got[0, 1].tolist() == [255] * 3
    assert got.astype(int).sum() == 3 * (128 + 255)


def test_symbols_of_a_kind_are_on_the_same_side():
    alike = [
        ("1f44b", *WAVES),
        ("1f468-200d-1f680", "1f469-1f3fb-200d-1f680", "1f9d1-200d-1f680"),  # astronauts
        ("1f3c4", "1f3c4-200d-2640-fe0f", "1f3c4-1f3ff-200d-2642-fe0f"),  # surfers
        ("1f468", "1f471-1f3fc-200d-2640-fe0f", "1f469-200d-1f9b0", "1f468-200d-1f469-200d-1f467"),  # people
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
    ],
)
def test_other_packages_are_refused_in_one_sentence(folder, harm):
    harm(folder)
    with pytest.raises(DataError, match="are not the packages that they should be") as caught:
        read(folder)
    assert "\n" not in str(caught.value)
