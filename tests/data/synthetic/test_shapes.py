"""The drawn world: exact places and areas, captions that are read back, and the way back from
images.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.synthetic import shapes
from gen_jax.errors import DataError


def scene(**changes):
    """One large red square in the middle on black, standing on a corner."""
    usual = {
        "shape": 2,
        "colour": 0,
        "ground": 0,
        "radius": 0.5,
        "angle": 0.0,
        "centre": [0.0, 0.0],
    }
    return shapes.Scene(*(jnp.asarray([value]) for value in {**usual, **changes}.values()))


@pytest.mark.parametrize("shape", range(len(shapes.SHAPES)))
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_shape_covers_its_area_around_its_centre(shape, angle):
    cover = np.asarray(shapes.coverage(scene(shape=shape, angle=angle, centre=[0.2, -0.1]), 400))[0]
    assert cover.mean() * 4 == pytest.approx(0.25 * shapes.AREAS[shape], rel=2e-3)
    line = (2 * np.arange(400) + 1) / 400 - 1
    assert (cover * line[None]).sum() / cover.sum() == pytest.approx(0.2, abs=1e-3)
    assert (cover * -line[:, None]).sum() / cover.sum() == pytest.approx(-0.1, abs=1e-3)
    radius = np.hypot(line[None] - 0.2, -line[:, None] + 0.1)[cover > 0.5].max()
    assert radius == pytest.approx(0.5 * np.hypot(0.95, 0.3) if shape == 3 else 0.5, abs=0.01)


@pytest.mark.parametrize("shape", range(len(shapes.SHAPES)))
def test_a_shape_is_itself_again_after_its_turn_and_not_before(shape):
    turn = 2 * np.pi / shapes.TURNS[shape]
    still, turned, half = (
        np.asarray(shapes.coverage(scene(shape=shape, angle=a), 64))
        for a in (0.3, 0.3 + turn, 0.3 + turn / 2)
    )
    np.testing.assert_allclose(still, turned, atol=2e-4)
    assert (np.abs(still - half).max() > 0.5) == (shape not in (0, 4))


def test_a_finer_picture_is_the_coarse_one_in_more_detail():
    drawn = shapes.draw(jax.random.key(0), 50)
    fine, coarse = shapes.render(drawn, 128), shapes.render(drawn, 32)
    averaged = fine.reshape(50, 32, 4, 32, 4, 3).mean((2, 4))
    assert (
        float(jnp.abs(averaged - coarse).mean()) < 2e-3
        and float(jnp.abs(averaged - coarse).max()) < 0.35
    )


def test_anti_clockwise_and_upwards():
    """A triangle has a corner above; a quarter turn puts it to the left, where `corners` says."""
    for angle, where in ((0.0, [0, 0.5]), (np.pi / 2, [-0.5, 0])):
        one = scene(shape=1, angle=angle)
        points = np.asarray(shapes.corners(one))[0]
        np.testing.assert_allclose(points[0], where, atol=1e-6)
        image = np.asarray(shapes.coverage(one, 200))[0]
        for x, y in points * 0.93:  # just inside
            assert image[int((1 - y) * 100), int((1 + x) * 100)] > 0.9
        for x, y in points * 1.05:
            assert image[int((1 - y) * 100), int((1 + x) * 100)] == 0


def test_key_points_lie_at_the_radius():
    drawn = shapes.draw(jax.random.key(1), 200)
    own = (shapes.corners(drawn) - drawn.centre[:, None]) / drawn.radius[:, None, None]
    np.testing.assert_allclose(jnp.linalg.norm(own, axis=-1), 1, rtol=1e-5)


def test_captions_say_what_is_there_and_are_read_back():
    said = shapes.words(scene(shape=4, ground=2, centre=[-0.4, 0.4]))
    assert shapes.captions(said) == ["a large red ring at the upper left on white"]
    said = shapes.words(shapes.draw(jax.random.key(2), 500))
    np.testing.assert_array_equal(
        np.stack([shapes.parse(one) for one in shapes.captions(said)]), said
    )
    assert all(
        len(set(column)) == len(of) for column, of in zip(said.T, shapes.VOCABULARY, strict=True)
    )
    for bad in ("a large red ring", "a large pink ring at the upper left on white"):
        with pytest.raises(DataError, match="not a caption"):
            shapes.parse(bad)
    with pytest.raises(DataError, match="VOCABULARY"):
        shapes.captions(said + 9)


@pytest.mark.parametrize("side", [32, 64])
def test_factors_are_read_back_from_images(side):
    drawn = shapes.draw(jax.random.key(3), 300)
    found = shapes.read(shapes.render(drawn, side))
    for name in ("colour", "ground", "shape"):
        right = np.asarray(getattr(found, name) == getattr(drawn, name))
        assert right.mean() > (0.97 if name == "shape" else 0.995), name
    np.testing.assert_allclose(found.centre, drawn.centre, atol=0.02)
    np.testing.assert_allclose(found.radius, drawn.radius, rtol=0.12)
    # the rest are near a border of words
    assert (shapes.words(found) == shapes.words(drawn)).all(1).mean() > 0.85
