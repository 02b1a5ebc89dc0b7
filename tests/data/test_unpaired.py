"""Two domains without pairs: how their images are cut, and which fields are drawn apart."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import pipeline, unpaired
from gen_jax.data.augmentation import resized


def test_emoji_are_drawn_whole_on_white_and_measured_where_they_stand():
    """The batch's x is Google's, its y Twitter's; other fields are not seen."""
    images = unpaired.Images("emoji", load=32, pad=2, side=32)
    draws = np.random.default_rng(0)
    drawn = {
        name: draws.integers(0, 200, (8, 64, 64, 3), np.uint8)
        for name in ("google", "twitter", "fluent")
    }
    batch = images.source().prepare(
        {name: jnp.asarray(a) for name, a in drawn.items()}, jax.random.key(0)
    )
    true = images.centre(drawn)
    assert {*batch} == {"x", "y"} and {*true} == {"google", "twitter"}
    for domain, name in (("x", "google"), ("y", "twitter")):
        np.testing.assert_allclose(true[name], resized(jnp.asarray(drawn[name]), 32), atol=1e-6)
        for image, part in zip(true[name], np.asarray(batch[domain]), strict=True):
            framed = np.pad(image, ((2, 2), (2, 2), (0, 0)), constant_values=1)
            parts = [framed[i : i + 32, j : j + 32] for i in range(5) for j in range(5)]
            near = [
                min(np.abs(each - part).max(), np.abs(each[:, ::-1] - part).max()) for each in parts
            ]
            assert min(near) < 1e-6


def test_sets_are_opened_by_their_names_and_drawn_apart():
    for name, source, fields, paired in (
        ("earth", "earth", ("photo", "map"), True),
        ("discs", "discs", ("photo", "map"), True),
        ("maps", "tfds:cycle_gan:maps", ("x", "y"), False),
    ):
        images = unpaired.Images(name, 18, 0, 16)
        assert (images.source().name, images.source().unpaired) == (source, fields)
        assert images.names == fields and images.paired == paired


def test_of_the_larger_domain_as_many_are_cut_as_of_the_smaller():
    arrays = {name: np.full((n, 10, 10, 3), n, np.uint8) for name, n in (("x", 5), ("y", 3))}
    found = unpaired.Images("maps", 8, 0, 4).centre(arrays)
    shapes = {name: image.shape for name, image in found.items()}
    assert shapes == dict.fromkeys("xy", (3, 4, 4, 3))
    np.testing.assert_allclose(found["x"], 5 / 127.5 - 1, atol=1e-6)


def test_points_lie_elsewhere_for_each_seed():
    points = unpaired.Points((1, 2), 0)
    data = pipeline.load(points.source())
    assert data.unpaired == ("x", "y") and data.train["x"].shape == (300, 2)
    np.testing.assert_array_equal(data.test["y"], points.atoms().y)
    others = [unpaired.Points((1, 2), seed).atoms().x for seed in range(5)]
    assert any((other != points.atoms().x).any() for other in others)


def test_examples_from_the_first_to_the_last():
    assert pipeline.spread({"x": np.arange(11)}, 3)["x"].tolist() == [0, 5, 10]
