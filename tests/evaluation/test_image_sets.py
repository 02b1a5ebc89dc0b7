"""Sets of images beside training images: which numbers there are, and that they are those of their
measures.
"""

import jax
import numpy as np
import pytest

from gen_jax.evaluation import feature_distances as frechet
from gen_jax.evaluation import image_sets as sets
from gen_jax.evaluation import inception_score as scores
from gen_jax.evaluation import sliced_wasserstein as sliced
from gen_jax.evaluation import ssim as similarity
from gen_jax.pretrained import inception


def images(n=24, side=16, channels=3, low=0, seed=0):
    return np.random.default_rng(seed).integers(low, 256, (n, side, side, channels), np.uint8)


@pytest.fixture
def network(monkeypatch):
    """Sees an image's means by colour, and their differences as logits."""

    def see(x):
        assert x.dtype == np.float32 and np.abs(x).max() <= 1
        means = x.mean((1, 2))
        return means, 30 * (means - means.mean(0))

    monkeypatch.setattr(sets, "feature_networks", lambda: {"means": see})
    monkeypatch.setattr(sets, "PAIRS", 50)
    return see


def test_each_number_is_that_of_its_measure(network):
    true, other = images(), images(seed=2)
    fake = images(side=8, low=128, seed=1).repeat(2, 1).repeat(2, 2)  # brighter, and coarser
    got = sets.compare(true, {"": (fake, "fakes"), "_of_real": (other, "others")}, perceived=20)
    names = ("swd", "swd_16", "ms_ssim", "frechet_means", "kid_means", "class_score_means")
    both = {f"test/{name}{end}" for name in names for end in ("", "_of_real")}
    assert {*got} == both | {"test/judged", "test/perceived"}
    assert all(
        got[name].unit.endswith("others" if "_of_real" in name else "fakes") for name in both
    )
    assert got["test/swd"].unit == (
        "1000 times the sliced Wasserstein distance to training images, mean over levels; fakes"
    )
    assert got["test/class_score_means"].unit == (
        f"computed like the Inception score, with the classes of means; {inception.CONVENTION}; fakes"
    )
    assert got["test/judged"] == 24 and got["test/perceived"] == 20
    keys = jax.random.split(jax.random.key(0))
    for end, some, key in (("", fake, keys[0]), ("_of_real", other, keys[1])):
        expected = sliced.distances(true, some, key, images=24)
        assert (
            got[f"test/swd{end}"] == expected["swd"]
            and got[f"test/swd_16{end}"] == expected["swd_16"]
        )
        assert got[f"test/ms_ssim{end}"] == similarity.diversity(some, span=255, pairs=50)
        (a, logits), (b, _) = (network(x[:20] / np.float32(127.5) - 1) for x in (some, true))
        assert got[f"test/frechet_means{end}"] == frechet.distance(
            frechet.moments(a), frechet.moments(b)
        )
        assert got[f"test/class_score_means{end}"] == scores.class_score(logits).mean
    assert (
        got["test/swd"] > got["test/swd_of_real"]
        and got["test/frechet_means"] > 10 * got["test/frechet_means_of_real"]
    )


def test_small_and_grey_images_have_fewer_numbers(network):
    got = sets.compare(
        images(side=8, channels=1),
        {"": (images(side=8, channels=1, seed=1), "fakes")},
        perceived=20,
    )
    assert {*got} == {"test/swd", "test/swd_8", "test/judged", "test/perceived"} and got[
        "test/perceived"
    ] == 0


def test_units_say_how_inception_is_asked_but_not_how_resnet_is(monkeypatch):
    def see(x):
        means = x.mean((1, 2))
        return means, means

    networks = {sets.resnet.NAME: see, "inception": see}
    monkeypatch.setattr(sets, "feature_networks", lambda: networks)
    monkeypatch.setattr(sets, "PAIRS", 5)
    got = sets.compare(images(), {"": (images(seed=1), "fakes")}, perceived=20)
    for name, title in ((sets.resnet.NAME, sets.resnet.TITLE), ("inception", "inception")):
        unit = got[f"test/frechet_{name}"].unit
        assert unit.startswith(f"squared Frechet distance of {title} features")
        assert (inception.CONVENTION in unit) == (name == "inception")
        assert (inception.CONVENTION in got[f"test/class_score_{name}"].unit) == (
            name == "inception"
        )
