"""The priors that labels can shape, against their stated means, widths and curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.data.synthetic import priors
from gen_jax.errors import UserError


def test_the_petals_have_the_stated_means_and_widths_and_turn_with_the_label():
    for i in (0, 3):
        z = np.asarray(priors.mixture(jax.random.key(i), jnp.full(20_000, i), 2))
        out = np.array([np.cos(np.pi * i / 5), np.sin(np.pi * i / 5)])
        along, across = z @ out, z @ np.array([-out[1], out[0]])
        assert along.mean() == pytest.approx(1.4, abs=0.02) and across.mean() == pytest.approx(
            0, abs=0.004
        )
        assert along.std() == pytest.approx(0.5, rel=0.03) and across.std() == pytest.approx(
            0.1, rel=0.03
        )


def test_the_roll_lies_on_its_spiral_each_class_on_its_tenth():
    labels = jnp.repeat(jnp.arange(10), 500)
    z = np.asarray(priors.swiss_roll(jax.random.key(0), labels, 2))
    radius = np.linalg.norm(z, axis=1)
    np.testing.assert_allclose(
        z,
        radius[:, None] * np.stack([np.cos(4 * np.pi * radius), np.sin(4 * np.pi * radius)], 1),
        atol=1e-5,
    )
    assert np.abs(10 * radius**2 - labels - 0.5).max() < 0.5 + 1e-4
    assert stats.kstest(radius**2, "uniform").pvalue > 0.01


def test_an_unknown_label_draws_from_the_whole_prior_and_a_known_one_from_its_component():
    key, n = jax.random.key(0), 5000
    z = np.asarray(priors.draw("swiss_roll", key, jnp.full(n, priors.UNKNOWN), 2))
    assert stats.kstest(np.linalg.norm(z, axis=1) ** 2, "uniform").pvalue > 0.01
    z = np.asarray(priors.draw("swiss_roll", key, jnp.full(n, 3), 2))
    radius = np.linalg.norm(z, axis=1) ** 2
    assert 0.3 <= radius.min() < radius.max() <= 0.4 + 1e-6


def test_the_gaussian_has_as_many_latents_as_asked_for_and_no_use_for_labels():
    z = [priors.gaussian(jax.random.key(0), jnp.full(10_000, i), 3) for i in (0, 7)]
    np.testing.assert_array_equal(*z)
    assert z[0].shape == (10_000, 3) and float(z[0].std()) == pytest.approx(1, rel=0.02)


def test_unknown_priors_and_other_numbers_of_latents_are_refused(monkeypatch):
    priors.check("gaussian", 7)
    with pytest.raises(UserError, match="PRIORS"):
        priors.check("banana", 2)
    for name in priors.PLANAR:
        priors.check(name, 2)
        with pytest.raises(UserError, match=r"latents is 3; .* draws 2"):
            priors.check(name, 3)
    monkeypatch.setitem(priors.PRIORS, "one", lambda key, labels, latents: labels[:, None] + 0.0)
    priors.check("one", 2)  # of an added one, only its draws tell
    with pytest.raises(UserError, match="change latents"):
        priors.draw("one", jax.random.key(0), jnp.arange(10), 2)
