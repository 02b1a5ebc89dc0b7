"""pix2pix: its losses in closed form, pairs that stay pairs, and its errors."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from docs.examples import pix2pix
from gen_jax.data import pipeline

TINY = pix2pix.PRESETS["tiny"][1]
KEY = jax.random.key(0)


def constant(value, logits):
    """G that gives one value, and D whose logits depend on the mean of y alone."""
    return SimpleNamespace(
        generator=lambda x, key: jnp.full_like(x, value),
        scores=lambda x, y: jnp.full((len(x), 2, 2, 1), logits[float(y.mean())]),
    )


def test_losses_in_closed_form():
    batch = {"x": jnp.zeros((2, 4, 4, 3)), "y": jnp.full((2, 4, 4, 3), 0.5)}
    model = constant(0.25, {0.5: 2.0, 0.25: -1.0})  # D is right on both
    loss, metrics = pix2pix.discriminator_loss(model, batch, KEY)
    real, fake = math.log1p(math.exp(-2)), math.log1p(math.exp(-1))
    assert loss == pytest.approx((real + fake) / 2) and metrics["accuracy"] == 1
    loss, _ = pix2pix.generator_loss(model, batch, KEY, weight=100)
    assert loss == pytest.approx(math.log1p(math.e) + 100 * 0.25)


def test_numbers_of_the_authors_code():
    paper = pix2pix.PRESETS["paper"][1]
    assert (paper.weight, paper.adam.learning_rate, paper.adam.b1) == (100, 2e-4, 0.5)
    assert (paper.batch_size, paper.halvings, paper.widths[0]) == (1, 3, 64)


@pytest.mark.parametrize("given", ["map", "photo"])
def test_both_images_of_a_pair_get_the_same_crop_and_flip(given):
    photo = np.random.default_rng(0).integers(0, 256, (8, 36, 36, 3), np.uint8)
    raw = {"photo": jnp.asarray(photo), "map": jnp.asarray(255 - photo)}
    prepare = pix2pix.source(TINY.but(given=given)).prepare
    batch, other = prepare(raw, KEY), prepare(raw, jax.random.key(1))
    np.testing.assert_allclose(batch["x"], -batch["y"], atol=1e-6)
    assert batch["x"].shape == (8, 32, 32, 3) and (batch["x"] != other["x"]).any()
    x, _ = pix2pix.pairs(TINY.but(given=given), raw, pix2pix.crops.centre_crop)
    middle = np.asarray(raw[given])[:, 2:34, 2:34] / 127.5 - 1
    np.testing.assert_allclose(x, middle, atol=1e-6)


def test_errors_of_translations_and_of_the_identity():
    data = pipeline.load(pix2pix.source(TINY))
    x, y = pix2pix.pairs(TINY, data.test, pix2pix.crops.centre_crop)
    perfect = SimpleNamespace(generator=lambda given, key: y)
    found = pix2pix.evaluate(TINY, perfect, data, KEY)
    difference = np.asarray(x, np.float64) - np.asarray(y, np.float64)
    assert found["test/l1"] == 0
    assert found["test/l1_untranslated"] == pytest.approx(127.5 * np.abs(difference).mean(), 1e-5)
