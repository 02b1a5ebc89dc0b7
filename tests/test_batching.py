"""Chunk by chunk is the same as at once."""

import numpy as np
import pytest

from gen_jax.batching import by_chunks


@pytest.mark.parametrize("n", [0, 1, 3, 4, 8, 9])
def test_the_parts_are_the_whole(n):
    a, b, seen = np.arange(2.0 * n).reshape(n, 2) + 1, np.arange(n) + 5, []

    def function(a, b):
        seen.append(len(a))
        return a.sum(1) * b, {"twice": 2 * a}

    product, rest = by_chunks(function, a, b, size=4)
    np.testing.assert_array_equal(product, a.sum(1) * b)
    np.testing.assert_array_equal(rest["twice"], 2 * a)
    assert seen == [4] * max(-(-n // 4), 1)
