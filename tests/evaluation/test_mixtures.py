"""How well points match a mixture of known density, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.synthetic import worlds
from gen_jax.evaluation import mixtures

RING = worlds.ring(8, radius=2.0, std=0.1)


def test_modes_are_counted_where_draws_are():
    truth = RING.sample(jax.random.key(0), 20_000)
    found, share = mixtures.modes(RING, truth)
    assert found == 8 and share == pytest.approx(1 - np.exp(-4.5), abs=0.004)
    # 0.28 and 0.42 away
    few = jnp.concatenate([RING.means[:3] + 0.2, RING.means[3:4] + 0.3, jnp.zeros((1, 2))])
    assert mixtures.modes(RING, few) == (3, 0.6)
    # 125 are a mode's share
    stray = jnp.concatenate([jnp.repeat(RING.means[:1], 999, axis=0), RING.means[1:2]])
    assert mixtures.modes(RING, stray) == (1, 1.0)


def test_divergences_are_those_of_two_gaussians():
    """KL between N(0, 1) and N(m, s^2) in each of two dimensions, by exact densities and by
    kernels.
    """
    world, other = (
        worlds.Mixture(jnp.zeros((1, 2)), jnp.float32(1)),
        worlds.Mixture(jnp.full((1, 2), 0.5), jnp.float32(0.7)),
    )
    x, draws = world.sample(jax.random.key(0), 10_000), other.sample(jax.random.key(1), 10_000)
    forward = 2 * (np.log(0.7) + (1 + 0.25) / (2 * 0.49) - 0.5)
    back = 2 * (-np.log(0.7) + (0.49 + 0.25) / 2 - 0.5)
    exact = mixtures.divergences(world, x, other.log_density(x), draws, other.log_density(draws))
    np.testing.assert_allclose(exact, (forward, back), atol=0.06)
    kernel = mixtures.kernel_divergences(world, x, draws)
    np.testing.assert_allclose(kernel, (forward, back), atol=0.25)
    np.testing.assert_allclose(mixtures.kernel_divergences(world, x, x[::-1]), 0, atol=0.1)


def test_points_become_a_picture():
    """A point at the upper right is there; one more in the same place makes it brighter."""
    image = mixtures.picture(np.array([[0.9, 0.9], [-0.9, -0.9], [-0.9, -0.9]]), 1.0)
    assert (
        image.shape == (200, 200, 1)
        and image[:20, 180:].max() == 0.5
        and image[180:, :20].max() == 0.75
    )
    assert image.sum() == 1.25


def test_the_measures_of_each_model_have_names_and_units():
    """With the world's own density as that of the model, both importance divergences are 0."""
    x, draws = (RING.sample(jax.random.key(k), 200) for k in (0, 1))
    log_densities = {"b": (RING.log_density(x), RING.log_density(draws))}
    found = mixtures.evaluate(RING, x, {"a": jnp.zeros((200, 2)), "b": draws}, log_densities)
    metrics = ["modes", "on_a_mode", "kl_from_data_kernel", "kl_to_data_kernel"]
    importance = ["test/kl_from_data_importance_b", "test/kl_to_data_importance_b"]
    each = [f"test/{metric}_{name}" for name in "ab" for metric in metrics]
    assert [*found] == each + importance
    assert found["test/modes_a"] == 0 and found["test/on_a_mode_a"] == 0
    assert found["test/modes_b"] == 8 and found["test/on_a_mode_b"] > 0.95
    assert [found[name] for name in importance] == pytest.approx([0, 0], abs=1e-5)
    assert found["test/kl_from_data_kernel_a"].unit == (
        "nats, KL(data || model), density of the model: a kernel estimate from its draws"
    )
    assert found["test/kl_to_data_importance_b"].unit == (
        "nats, KL(model || data), density of the model: importance-weighted"
    )
