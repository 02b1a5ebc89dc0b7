"""Progressive GAN's generator against the graph that others published, read op by op; the true
weights by marker.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.networks import progan as growing
from gen_jax.pretrained import progan
from gen_jax.pretrained.weights import load

SHAPES = {  # of a small one: 5 latents, 8 features up to 64 x 64, then 4
    f"{progan.GRAPH}/Conv2D{'' if i == 0 else f'_{i}'}/merged_input": shape
    for i, shape in enumerate(
        [(4, 4, 5, 8), *[(3, 3, 8, 8)] * 9, (3, 3, 8, 4), (3, 3, 4, 4), (1, 1, 4, 3)]
    )
} | {f"module/g_model/res_{i}/conv{j}/bias": (8 if i < 5 else 4,) for i in range(6) for j in (0, 1)}


def graph(arrays, z):
    """What the published graph does before it cuts its output to [0, 1], op by op: [n, z]
    -> [n, 128, 128, 3]
    """

    def conv(x, name, padding):
        return jax.lax.conv_general_dilated(
            x,
            arrays[f"module_apply_default/Conv2D{name}/merged_input"],
            (1, 1),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )

    def normed(x):
        return x * (1 / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-8))

    def activated(x, bias):
        x = x + arrays[f"module/g_model/{bias}/bias"]
        return normed(jnp.maximum(0.2 * x, x))

    x = normed(z).reshape(-1, 1, 1, z.shape[1])
    x = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    x = activated(conv(x, "", "VALID"), "res_0/conv0")
    x = activated(conv(x, "_1", "SAME"), "res_0/conv1")
    for i in range(1, 6):
        n, h, w, c = x.shape
        tiled = jnp.tile(x, (4, 1, 1, 1))  # and BatchToSpaceND, with blocks of 2 x 2
        x = tiled.reshape(2, 2, n, h, w, c).transpose(2, 3, 0, 4, 1, 5).reshape(n, 2 * h, 2 * w, c)
        x = activated(conv(x, f"_{2 * i}", "SAME"), f"res_{i}/conv0")
        x = activated(conv(x, f"_{2 * i + 1}", "SAME"), f"res_{i}/conv1")
    return conv(x, "_12", "SAME") + arrays["module_apply_default/add_26"]


def both(arrays, params, z, **sizes):
    """The graph's images and ours, both in [-1, 1]."""
    with jax.numpy_rank_promotion("allow"):
        expected = jax.jit(graph)(arrays, z) - 0.5
    model = growing.Growing(side=128, channels=3, **sizes)
    draw = jax.jit(lambda params, z: model.apply({"params": params}, z, 128, method=model.generate))
    return np.asarray(expected), np.asarray(draw(params, z))


def test_our_generator_is_the_graph_under_the_mapping():
    draws = np.random.default_rng(0)
    arrays = {
        name: (draws.normal(size=shape) / shape[-1]).astype(np.float32)
        for name, shape in SHAPES.items()
    }
    arrays["module_apply_default/add_26"] = np.array([0.7, 0.3, 0.5], np.float32)
    params = progan.mapped(arrays)
    z = draws.normal(size=(2, 5)).astype(np.float32)
    model = growing.Growing(side=128, channels=3, base=256, max_features=8, latents=5)
    born = jax.eval_shape(
        lambda z: model.init(jax.random.key(0), z, 128, method=model.generate), z
    )["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, born)
    expected, found = both(arrays, params, z, base=256, max_features=8, latents=5)
    assert expected.shape == (2, 128, 128, 3) and expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.weights
def test_our_generator_with_the_true_weights_is_the_published_one():
    z = np.random.default_rng(0).normal(size=(4, 512)).astype(np.float32)
    params = progan.params()
    # Of Karras et al.'s code, less the toRGB that the graph lacks: of four sides with 512 features,
    # and one with 256.
    assert sum(a.size for a in jax.tree.leaves(params)) == 22_933_394 - 3 * (4 * 513 + 257)
    expected, found = both(
        load(progan.WEIGHTS), params, z, base=8192, max_features=512, latents=512
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # images in [-1, 1], not in +-1/2
    assert (np.abs(found) < 1.2).mean() > 0.99 and np.abs(found).mean() > 0.3
