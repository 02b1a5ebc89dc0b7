"""Maxout, dropout, instance norm, reflection and the pool in cases solved by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.networks import layers


def test_instance_norm_is_by_image_and_map():
    # [2, 2, 2, 1]
    x = np.array([[[1.0, 3.0], [1.0, 3.0]], [[10.0, 10.0], [30.0, 30.0]]])[..., None]
    x = np.concatenate([x, -2 * x], -1)  # and its deviations are 1 and 10, 2 and 20
    plain = layers.InstanceNorm(affine=False, eps=3.0)
    assert not plain.init(jax.random.key(0), x)
    left, top = np.array([[-1, 1], [-1, 1]]), np.array([[-1, -1], [1, 1]])
    expected = np.stack(
        [[left / 2, -2 * left / np.sqrt(7)], [10 * top / np.sqrt(103), -20 * top / np.sqrt(403)]]
    )
    np.testing.assert_allclose(plain.apply({}, x), expected.transpose(0, 2, 3, 1), rtol=1e-5)


def test_instance_norm_s_gain_and_bias():
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    learnt = layers.InstanceNorm(affine=True)
    variables = learnt.init(jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, variables) == {"params": {"scale": (3,), "bias": (3,)}}
    plain = layers.InstanceNorm(affine=False).apply({}, x)
    np.testing.assert_array_equal(learnt.apply(variables, x), plain)
    given = {"params": {"scale": jnp.array([1.0, 2.0, 3.0]), "bias": jnp.array([0.0, 0.5, 1.0])}}
    np.testing.assert_allclose(
        learnt.apply(given, x), np.asarray(plain) * [1, 2, 3] + [0, 0.5, 1], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(plain.var((1, 2)), 1, rtol=1e-3)  # eps is small


def test_reflected():
    x = jnp.array([[1, 2, 3], [4, 5, 6]])[None, ..., None]
    expected = [[5, 4, 5, 6, 5], [2, 1, 2, 3, 2], [5, 4, 5, 6, 5], [2, 1, 2, 3, 2]]
    np.testing.assert_array_equal(layers.reflect_pad(x, 1)[0, ..., 0], expected)


@functools.partial(jax.jit, static_argnums=0)
def applied(pool, variables, images, key):
    return pool.apply(variables, images, key, mutable=["pool"])


def offered(pool, variables, values, key):
    """The pool after images of one value each, and the values that it gave back."""
    images = jnp.asarray(values, jnp.float32).reshape(-1, 1, 1, 1)
    given, variables = applied(pool, variables, images, key)
    return given.ravel().tolist(), variables


def test_the_pool_fills_first_then_gives_back_what_it_replaces():
    pool, one = layers.ImagePool(3), jnp.ones((1, 1, 1, 1))
    variables = pool.init(jax.random.key(0), one, jax.random.key(1))
    # its birth stores nothing
    assert int(variables["pool"]["count"]) == 0 and not variables["pool"]["images"].any()
    given, variables = offered(pool, variables, [1, 2], jax.random.key(2))
    assert given == [1, 2] and variables["pool"]["images"].ravel().tolist() == [1, 2, 0]
    given, variables = offered(pool, variables, [3], jax.random.key(3))
    assert given == [3] and variables["pool"]["images"].ravel().tolist() == [1, 2, 3]
    held, seen = [1.0, 2.0, 3.0], []
    for i, value in enumerate(range(4, 44)):
        (given,), variables = offered(
            pool, variables, [value], jax.random.fold_in(jax.random.key(4), i)
        )
        if given != value:
            held[held.index(given)] = value  # in its very place
        seen.append(given != value)
        assert (
            variables["pool"]["images"].ravel().tolist() == held
            and int(variables["pool"]["count"]) == 3
        )
    assert 8 < sum(seen) < 32  # of 40, with probability 1/2


def test_the_pool_takes_a_batch_as_one_image_after_another():
    pool = layers.ImagePool(2)
    empty = pool.init(jax.random.key(0), jnp.ones((1, 1, 1, 1)), jax.random.key(1))
    given, after = offered(pool, empty, [1, 2, 3, 4, 5, 6, 7, 8], jax.random.key(2))
    assert given[:2] == [1, 2]
    assert sorted(given + after["pool"]["images"].ravel().tolist()) == [
        *sorted([1, 2, 3, 4, 5, 6, 7, 8] + [1, 2])
    ]


def test_every_slot_and_both_sides_of_the_coin_are_as_likely():
    pool = layers.ImagePool(4)
    full = {"pool": {"images": jnp.arange(4.0).reshape(4, 1, 1, 1), "count": jnp.int32(4)}}
    offer = jax.vmap(
        lambda key: pool.apply(full, jnp.full((1, 1, 1, 1), 9.0), key, mutable=["pool"])[0].ravel()[
            0
        ]
    )
    values = np.asarray(offer(jax.random.split(jax.random.key(0), 8000)))
    shares = [(values == value).mean() for value in (9, 0, 1, 2, 3)]
    np.testing.assert_allclose(shares, [0.5, *[0.125] * 4], atol=0.02)  # 4 deviations at most


def test_the_pool_rests_where_it_is_not_mutable_and_where_it_has_no_size():
    full = {"pool": {"images": jnp.zeros((2, 1, 1, 1)), "count": jnp.int32(2)}}
    images = jnp.arange(1.0, 7).reshape(6, 1, 1, 1)
    np.testing.assert_array_equal(
        layers.ImagePool(2).apply(full, images, jax.random.key(0)), images
    )
    nothing = layers.ImagePool(0)
    assert not nothing.init(jax.random.key(0), images, jax.random.key(1))
    np.testing.assert_array_equal(
        nothing.apply({}, images, jax.random.key(0), mutable=["pool"])[0], images
    )


def test_maxout_is_the_largest_piece():
    layer = layers.Maxout(2, 3)
    params = {"Dense_0": {"kernel": jnp.arange(6.0)[None] - 2, "bias": jnp.zeros(6)}}
    np.testing.assert_array_equal(
        layer.apply({"params": params}, jnp.array([[1.0], [-1.0]])), [[0, 3], [2, -1]]
    )


def test_dropout_keeps_the_mean(key_reuse):
    kept = layers.dropout(jnp.ones(40_000), jax.random.key(0), keep=0.8)
    assert set(np.unique(kept)) == {0.0, np.float32(1.25)}
    assert float(kept.mean()) == pytest.approx(1, abs=0.01)
