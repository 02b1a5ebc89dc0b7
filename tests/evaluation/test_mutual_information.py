"""Traversals of codes, and the bounds with the official code's count."""

import jax
import numpy as np
import pytest

from gen_jax.evaluation import mutual_information
from gen_jax.networks.infogan import Prior


def test_bounds_are_named_and_counted_where_asked():
    names, nats = ("category", "continuous_1"), np.array([2.0, -0.5])
    found = mutual_information.bounds(nats, names, categories=10, counted=False)
    assert found == {"fakes/category": 2, "fakes/continuous_1": -0.5}
    assert found["fakes/category"].unit == "nats; at most log 10 = 2.3026"
    counted = mutual_information.bounds(nats, names, categories=10, counted=True)
    assert [*counted] == [*found, "fakes/counted_continuous_1"]
    assert counted["fakes/counted_continuous_1"] == pytest.approx(-0.5 + mutual_information.EXCESS)


def test_figures_move_one_code_at_a_time(key_reuse):
    pictures = mutual_information.traversals(Prior(62, 10, 2), jax.random.key(8))
    square = {
        name: jax.tree.map(lambda x: np.asarray(x).reshape(10, 10, -1), code)
        for name, code in pictures.items()
    }
    category = square["traversal_category"]
    np.testing.assert_array_equal(category.category, np.tile(np.eye(10), (10, 1, 1)))
    assert (category.noise == category.noise[:, :1]).all() and (
        category.noise[0, 0] != category.noise[1, 0]
    ).all()
    for i in range(2):
        moved = square[f"traversal_continuous_{i + 1}"]
        np.testing.assert_allclose(
            moved.continuous[..., i], np.tile(np.linspace(-2, 2, 10), (10, 1)), atol=1e-6
        )
        assert (moved.continuous[..., 1 - i] == 0).all() and (
            moved.noise == moved.noise[0, 0]
        ).all()
        np.testing.assert_array_equal(moved.category, np.repeat(np.eye(10)[:, None], 10, axis=1))
    assert len(np.unique(pictures["samples"].noise, axis=0)) == 100
