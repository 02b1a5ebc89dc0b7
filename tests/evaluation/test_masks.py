"""How well a mask covers another, by hand."""

import jax.numpy as jnp
import numpy as np

from gen_jax.evaluation import masks


def test_overlap_and_distance_by_hand():
    one = jnp.zeros((3, 6, 8), bool).at[:, 1:3, 2:6].set(True)  # 8 pixels, middle (1.5, 3.5)
    other = one.at[0].set(jnp.roll(one[0], 2, 1)).at[1].set(jnp.roll(one[1], 3, 0)).at[2].set(False)
    np.testing.assert_allclose(masks.overlap(one, other), [4 / 12, 0, 0])
    np.testing.assert_allclose(masks.overlap(one, one), 1)
    np.testing.assert_allclose(masks.middle(one), [[1.5, 3.5]] * 3)
    # the middle of all is (2.5, 3.5)
    np.testing.assert_allclose(masks.distance(one, other), [2, 3, 1])
