"""ResNet-50: a small one against its definition by SciPy; a photograph by marker."""

import numpy as np
import pytest
from scipy.signal import correlate

from gen_jax.errors import DataError
from gen_jax.pretrained import resnet

# of the blocks' inner convolutions; their outputs have four times as many channels
WIDTHS = (
    2,
    3,
    4,
    5,
)


def names():
    """(convolution, size of its kernel, channels in and out)"""
    yield "conv1", 7, 3, 4
    inputs = 4
    for stage, (depth, width) in enumerate(zip(resnet.DEPTHS, WIDTHS, strict=True), 2):
        for block in "abcdef"[:depth]:
            name = f"res{stage}{block}_branch"
            yield f"{name}2a", 1, inputs, width
            yield f"{name}2b", 3, width, width
            yield f"{name}2c", 1, width, 4 * width
            if block == "a":
                yield f"{name}1", 1, inputs, 4 * width
            inputs = 4 * width


@pytest.fixture(scope="module")
def params():
    draws, params = np.random.default_rng(0), {}
    for name, size, inputs, outputs in names():
        params[f"{name}/kernel"] = (
            draws.normal(size=(size, size, inputs, outputs)) / size / np.sqrt(inputs)
        )
        norm = "bn_conv1" if name == "conv1" else "bn" + name[3:]
        for part in ("gamma", "moving_variance"):
            params[f"{norm}/{part}"] = draws.uniform(0.5, 1.5, outputs)
        for part in (f"{name}/bias", f"{norm}/beta", f"{norm}/moving_mean"):
            params[part] = 0.3 * draws.normal(size=outputs)
    params["fc1000/kernel"], params["fc1000/bias"] = (
        draws.normal(size=(20, 7)),
        draws.normal(size=7),
    )
    return {name: a.astype(np.float32) for name, a in params.items()}


def by_hand(params, x):
    """The features of one image, in float64: [h, w, 3] -> [c]"""

    def conv(name, x, stride=1, padding=0):
        x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
        kernel = params[f"{name}/kernel"]
        x = np.stack(
            [
                correlate(x, kernel[..., o], "valid")[::stride, ::stride, 0]
                for o in range(kernel.shape[-1])
            ],
            -1,
        )
        norm = "bn_conv1" if name == "conv1" else "bn" + name[3:]
        gamma, beta, mean, variance = (
            params[f"{norm}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * ((x + params[f"{name}/bias"]) - mean) / np.sqrt(variance + 1e-3) + beta

    x = np.maximum(conv("conv1", x, 2, 3), 0)
    padded, side = np.pad(x, ((1, 1), (1, 1), (0, 0))), (len(x) - 1) // 2 + 1
    x = np.array(
        [
            [padded[2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max((0, 1)) for c in range(side)]
            for r in range(side)
        ]
    )
    for stage, depth in enumerate((3, 4, 6, 3), 2):
        for i in range(depth):
            name, stride = f"res{stage}{chr(97 + i)}_branch", 2 if i == 0 and stage > 2 else 1
            y = np.maximum(conv(f"{name}2a", x, stride), 0)
            y = conv(f"{name}2c", np.maximum(conv(f"{name}2b", y, 1, 1), 0))
            x = np.maximum(y + (conv(f"{name}1", x, stride) if i == 0 else x), 0)
    return x.mean((0, 1))


def test_the_network_is_its_definition(params, monkeypatch):
    monkeypatch.setattr(resnet, "_loaded", lambda: params)
    monkeypatch.setattr(resnet, "SIDE", 38)
    monkeypatch.setattr(resnet, "CHUNK", 2)
    images = np.random.default_rng(1).uniform(-1, 1, (3, 38, 38, 3)).astype(np.float32)
    found, logits = resnet.see(images)
    assert found.shape == (3, 20) and logits.shape == (3, 7)
    for image, row, scores in zip(images, found, logits, strict=True):
        caffe = 127.5 * (image[..., ::-1].astype(np.float64) + 1) - [103.939, 116.779, 123.68]
        expected = by_hand(params, caffe)
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        np.testing.assert_allclose(
            scores, row @ params["fc1000/kernel"] + params["fc1000/bias"], rtol=1e-4, atol=1e-3
        )


def test_images_are_resized_and_bad_ones_refused():
    flat = np.full((1, 9, 9, 3), 0.5, np.float32)
    prepared = np.asarray(resnet.prepared(flat, 12))
    np.testing.assert_allclose(
        prepared, np.broadcast_to(191.25 - np.array(resnet.MEANS), (1, 12, 12, 3)), rtol=1e-5
    )
    for bad in (flat[0], flat[..., :1], flat[:0], 255 * flat, np.nan * flat):
        with pytest.raises(DataError, match=r"with values in \[-1, 1\]"):
            resnet.features(bad)


@pytest.mark.weights
def test_the_true_weights_see_a_palace():
    """Of the middle of scikit-learn's photograph of one: classes 698 (palace), 442 (bell cote), 663
    (monastery).
    """
    from sklearn.datasets import load_sample_image

    china = load_sample_image("china.jpg")[:, 106:533] / np.float32(127.5) - 1
    assert {*np.argsort(resnet.see(china[None])[1][0])[-3:]} <= {442, 483, 497, 663, 698}
    assert resnet.features(china[None]).shape == (1, 2048)
