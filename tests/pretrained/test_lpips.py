"""LPIPS: two pixels by hand, its layers against SciPy's correlation, equal images; the true weights
by marker.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from gen_jax.errors import DataError
from gen_jax.pretrained import lpips
from gen_jax.pretrained.lpips import NETWORKS, Network

IDENTITY = Network("it", (1,), (0,), (), 1, (0,), 1)  # one convolution, 1 x 1


def test_two_pixels_by_hand():
    """Identity from scaled inputs: unit vectors of colours, squares of their differences weighed,
    averaged.
    """
    shift, scale = np.array(lpips.SHIFT), np.array(lpips.SCALE)

    def image(*colours):  # such that the network sees these
        return jnp.asarray(np.array(colours) * scale + shift, jnp.float32).reshape(1, 1, 2, 3)

    params = {
        "it/Conv_0/kernel": jnp.eye(3).reshape(1, 1, 3, 3),
        "it/Conv_0/bias": jnp.zeros(3),
        "NetLinLayer_0/Conv_0/kernel": jnp.array([1.0, 10.0, 100.0]).reshape(1, 1, 3, 1),
    }
    a, b = image((3, 4, -1), (0, 0, 2)), image((1, 0, 0), (0, 0, 0.5))
    # relu: (3, 4, 0) / 5 against (1, 0, 0): 0.4^2 + 10 * 0.8^2; (0, 0, 1) against (0, 0, 1): 0
    expected = (0.16 + 6.4) / 2
    np.testing.assert_allclose(lpips.distances(params, a, b, IDENTITY), [expected], rtol=1e-5)
    np.testing.assert_allclose(lpips.distances(params, b, a, IDENTITY), [expected], rtol=1e-5)


def random(network, channels, sizes, seed=0):
    draws, params, inputs = np.random.default_rng(seed), {}, 3
    for i, (outputs, size) in enumerate(zip(channels, sizes, strict=True)):
        shape = (size, size, inputs, outputs)
        params[f"{network.name}/Conv_{i}/kernel"] = (
            draws.normal(size=shape).astype(np.float32) / size
        )
        params[f"{network.name}/Conv_{i}/bias"] = draws.normal(size=outputs).astype(np.float32)
        inputs = outputs
    for i, taken in enumerate(network.taken):
        params[f"NetLinLayer_{i}/Conv_0/kernel"] = draws.uniform(
            0, 1, (1, 1, channels[taken], 1)
        ).astype(np.float32)
    return params


def by_hand(params, x, network):
    """Features of one image by SciPy, in float64: [h, w, 3] -> [h', w', c] each"""
    x, found = (x - np.array(lpips.SHIFT)) / np.array(lpips.SCALE), []
    for i, (stride, padding) in enumerate(zip(network.strides, network.paddings, strict=True)):
        if i in network.pooled:
            rows, columns = ((side - network.window) // 2 + 1 for side in x.shape[:2])
            parts = [
                [
                    x[2 * r : 2 * r + network.window, 2 * c : 2 * c + network.window]
                    for c in range(columns)
                ]
                for r in range(rows)
            ]
            x = np.array([[part.max((0, 1)) for part in row] for row in parts])
        kernel, bias = (params[f"{network.name}/Conv_{i}/{part}"] for part in ("kernel", "bias"))
        x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
        outputs = [
            correlate(x, kernel[..., o], "valid")[::stride, ::stride, 0]
            for o in range(kernel.shape[-1])
        ]
        x = np.maximum(np.stack(outputs, -1) + bias, 0)
        if i in network.taken:
            found.append(x / (np.sqrt((x**2).sum(-1, keepdims=True)) + 1e-10))
    return found


@pytest.mark.parametrize(
    ("net", "channels", "sizes"),
    [("alex", (3, 4, 5, 4, 3), (11, 5, 3, 3, 3)), ("vgg", (2,) * 13, (3,) * 13)],
)
def test_each_layer_is_what_it_is_by_hand(net, channels, sizes):
    network = NETWORKS[net]
    params, draws = random(network, channels, sizes), np.random.default_rng(1)
    a, b = draws.uniform(-1, 1, (2, network.least, network.least, 3)).astype(np.float32)
    expected = 0.0
    for i, (p, q) in enumerate(
        zip(by_hand(params, a, network), by_hand(params, b, network), strict=True)
    ):
        expected += (((p - q) ** 2) @ params[f"NetLinLayer_{i}/Conv_0/kernel"][0, 0, :, 0]).mean()
    assert i == 4  # five layers, the last of which is still there at the least side
    found = lpips.distances(params, a[None], b[None], network)
    np.testing.assert_allclose(found, [expected], rtol=1e-4)
    # Of an image and itself: features that are rounded in two places may differ by 1e-8, and this
    # is their square.
    assert expected > 1e-3 and 0 <= lpips.distances(params, a[None], a[None], network) < 1e-12


def test_chunks_are_filled_up_and_bad_images_refused(monkeypatch):
    params = random(NETWORKS["alex"], (2,) * 5, (11, 5, 3, 3, 3))
    monkeypatch.setattr(lpips, "_loaded", lambda net: params)
    monkeypatch.setattr(lpips, "CHUNK", 2)
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 3, 31, 31, 3)).astype(np.float32)
    whole = lpips.lpips(a, b)
    assert whole.shape == (3,) and len({*whole.tolist()}) == 3
    np.testing.assert_allclose(lpips.lpips(a[2:], b[2:]), whole[2:], rtol=1e-5)
    assert lpips.lpips(a[:0], b[:0]).shape == (0,)
    for bad in (a[:2], a[:, :30], a[..., :1]):
        with pytest.raises(
            DataError, match=r"must both be \[n, h, w, 3\] with sides of at least 31"
        ):
            lpips.lpips(bad, bad if bad.shape[0] == 3 else b)
    for bad in (a + 1, np.where(a > 0.9, np.nan, a)):
        with pytest.raises(DataError, match=r"not in \[-1, 1\]"):
            lpips.lpips(bad, b)


@pytest.mark.weights
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_true_weights_order_small_and_large_changes(net):
    from sklearn.datasets import load_sample_image

    china, flower = (
        load_sample_image(name)[:256:2, :256:2] / np.float32(127.5) - 1
        for name in ("china.jpg", "flower.jpg")
    )
    noise = np.random.default_rng(0).normal(size=china.shape)
    others = [np.clip(china + level * noise, -1, 1) for level in (0, 0.02, 0.1)]
    same, little, more, other = lpips.lpips(np.stack([china] * 4), np.stack([*others, flower]), net)
    assert same == 0 < little < more < other
