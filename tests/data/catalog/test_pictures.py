"""Picture files: each kind gives the pixels that it shows."""

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.catalog import pictures
from tests.data.own_pictures import draw, png, save

# how the stored picture is turned for each value of EXIF's orientation, so that it shows `upright`
TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, 1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, 3),
}


@pytest.mark.parametrize("value", TURNS)
@pytest.mark.parametrize("side", [None, 5])
def test_exif_turns_a_picture_upright(tmp_path, value, side):
    upright, exif = draw(9, 14), Image.Exif()
    exif[0x0112] = value
    save(tmp_path / "upright.png", upright)
    save(tmp_path / "turned.png", np.ascontiguousarray(TURNS[value](upright)), exif=exif)
    expected = pictures.read(tmp_path / "upright.png", side)
    np.testing.assert_array_equal(pictures.read(tmp_path / "turned.png", side), expected)
    assert side or (expected == upright).all()


@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_a_large_photograph_is_upright_too(tmp_path, value):
    """A JPEG of a camera, first decoded at a part of its size: the upper half shows sky."""
    upright, exif = np.zeros((320, 320, 3), np.uint8), Image.Exif()
    upright[:160], exif[0x0112] = 255, value
    save(tmp_path / "a.jpg", np.ascontiguousarray(TURNS[value](upright)), exif=exif)
    found = pictures.read(tmp_path / "a.jpg", 8)
    assert (found[:4] > 225).all() and (found[4:] < 30).all()


def test_grey_becomes_colour_and_colour_grey(tmp_path):
    grey, colour = save(tmp_path / "l.png", draw(channels=1)), save(tmp_path / "rgb.png", draw())
    assert (pictures.read(tmp_path / "l.png") == grey).all()
    assert pictures.read(tmp_path / "l.png").shape == (8, 8, 3)
    expected = (colour * [0.299, 0.587, 0.114]).sum(-1, keepdims=True)
    found = pictures.read(tmp_path / "rgb.png", grey=True)
    assert found.shape == expected.shape and np.abs(found - expected).max() <= 1


def test_transparent_pixels_lie_on_white(tmp_path):
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    save(tmp_path / "a.png", np.stack([colour, 255 - colour, colour, alpha], -1).astype(np.uint8))
    found = pictures.read(tmp_path / "a.png")
    for channel, value in enumerate((colour, 255 - colour, colour)):
        expected = (2 * (value * alpha + 255 * (255 - alpha)) + 255) // 510  # rounded
        np.testing.assert_array_equal(found[..., channel], expected)


def test_grey_with_alpha_and_palettes_lie_on_white(tmp_path):
    Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8), "LA").save(tmp_path / "la.png")
    assert pictures.read(tmp_path / "la.png", grey=True).tolist() == [[[255], [10]]]
    palette = Image.new("P", (3, 1))
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1, 2])
    for ending, how in ((".png", {}), (".gif", {}), (".png", {"transparency": 1})):
        palette.save(tmp_path / f"p{ending}", **how)
        red = [255, 255, 255] if how else [255, 0, 0]
        assert pictures.read(tmp_path / f"p{ending}").tolist() == [[[0, 0, 0], red, [0, 0, 255]]]


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
def test_16_bits_are_scaled_exactly(tmp_path, ending):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / f"a{ending}")
    found = pictures.read(tmp_path / f"a{ending}", grey=True)[..., 0]
    np.testing.assert_array_equal(found, np.rint(values / 257).astype(np.uint8))
    assert (pictures.read(tmp_path / f"a{ending}") == found[..., None]).all()


def test_colours_of_16_bits_keep_their_high_bytes(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (4, 5, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    png(tmp_path / "a.png", 5, 4, 16, rows)
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.png"), values >> 8)


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path, ending):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("white", "black")]
    frames[0].save(tmp_path / f"a{ending}", save_all=True, append_images=frames[1:])
    assert (pictures.read(tmp_path / f"a{ending}") == 255).all()


def test_cmyk_and_bilevel(tmp_path):
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "c.jpg", quality=100)
    assert np.abs(pictures.read(tmp_path / "c.jpg").astype(int) - [0, 255, 255]).max() <= 2
    Image.new("1", (2, 2), 1).save(tmp_path / "b.png")
    assert (pictures.read(tmp_path / "b.png") == 255).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 20), (20, 8), (9, 8), (400, 3)])
def test_a_side_is_that_of_the_middle_square(tmp_path, height, width):
    """Left and right halves, or top and bottom ones, stay halves."""
    pixels = np.zeros((height, width, 3), np.uint8)
    (pixels if height >= width else pixels.swapaxes(0, 1))[max(height, width) // 2 :] = 255
    save(tmp_path / "a.png", pixels)
    found = pictures.read(tmp_path / "a.png", 4)
    found = found if height >= width else found.swapaxes(0, 1)
    assert found.shape == (4, 4, 3)
    if height != 9:  # whose middle is a pixel
        assert (found[:1] < 30).all() and (found[3:] > 225).all()
        np.testing.assert_allclose(found + found[::-1].astype(int), 255, atol=1)


def test_a_large_jpeg_is_averaged(tmp_path):
    """Black and white columns are grey at a fifth of the size, whatever is decoded first."""
    save(tmp_path / "a.jpg", np.tile(np.uint8([0, 255]), (320, 160))[..., None], quality=95)
    found = pictures.read(tmp_path / "a.jpg", 16).astype(int)
    assert np.abs(found - 128).max() <= 3
