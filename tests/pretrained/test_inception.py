"""Inception-v3 against another implementation's numbers; the resizing by hand; files that are
refused.
"""

import numpy as np
import pytest
from safetensors import numpy as stored

from gen_jax.errors import DataError
from gen_jax.pretrained import inception


@pytest.fixture(scope="module")
def arrays():
    """Weights that anyone can draw again, name by name in alphabetical order."""
    found = {}
    for i, (name, shape) in enumerate(sorted(inception.shapes().items())):
        draws = np.random.default_rng(i).random(shape)
        if name.endswith("conv.weight"):
            draws = (draws - 0.5) * np.sqrt(24 / np.prod(shape[1:]))
        elif name.endswith(("bn.weight", "running_var")):
            draws = draws + 0.5
        else:
            draws = (draws - 0.5) / (10 if name == "fc.weight" else 5)
        found[name] = draws.astype(np.float32)
    return found


@pytest.fixture(scope="module")
def network(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    stored.save_file({**arrays, "Conv2d_1a_3x3.bn.num_batches_tracked": np.array(3)}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(inception.VARIABLE, str(path))
        yield inception.given()


def waves():
    y, x, c = np.indices((37, 45, 3))
    images = [
        127.5 + 127.5 * np.sin(y * x / (20 + 5 * k) + x * (c + 1) / (3 - k) + k) for k in range(2)
    ]
    return np.rint(images).astype(np.uint8)


def test_the_network_is_another_implementations(network, monkeypatch):
    """torch-fidelity 0.4.0, PyTorch 2.13.0, with these weights: features, and logits less their
    bias.
    """
    monkeypatch.setattr(inception, "CHUNK", 2)
    found, logits = network.see(waves())
    assert found.shape == (2, 2048) and logits.shape == (2, 1008)
    np.testing.assert_allclose(found.mean(1), [3.7370553, 3.7706645], rtol=1e-5)
    np.testing.assert_allclose(found.std(1), [5.014576, 5.0589976], rtol=1e-5)
    expected = [
        [2.2183578, 1.9057025, 9.941358, 3.1016786, 0.20489255],
        [2.2362447, 1.7756366, 10.063787, 3.0974169, 0.19556233],
    ]
    np.testing.assert_allclose(found[:, [0, 1, 2, 1000, 2047]], expected, rtol=1e-4)
    expected = [
        [1.9953489, -13.888063, 3.1776843, -12.990035],
        [2.1036139, -14.142512, 3.2101436, -12.946913],
    ]
    np.testing.assert_allclose(logits[:, [0, 1, 500, 1007]], expected, rtol=1e-4)


def test_images_are_seen_as_8_bits_and_bad_ones_refused(monkeypatch):
    monkeypatch.setattr(
        inception, "seen", lambda params, images: (images.sum((1, 2)), images.max((1, 2)))
    )
    monkeypatch.setattr(inception, "CHUNK", 3)
    network, images = inception.Inception("it", {}), np.concatenate([waves()] * 2)
    for same in (images, images / 127.5 - 1, (images + 0.4) / 127.5 - 1 - 0.4 / 127.5):
        np.testing.assert_array_equal(network.features(same), images.sum((1, 2), dtype=np.float32))
        np.testing.assert_array_equal(network.see(same)[1], images.max((1, 2)))
    for bad in (images[0], images[..., :1], images[:0]):
        with pytest.raises(DataError, match=r"must be \[n, h, w, 3\]"):
            network.features(bad)
    for bad in (images.astype(np.float32), np.full(images.shape, np.nan)):
        with pytest.raises(DataError, match=r"not in \[-1, 1\]"):
            network.features(bad)


@pytest.mark.parametrize("shape", [(299, 299), (32, 45), (640, 300)])
def test_pixels_are_taken_between_those_at_the_same_share_of_the_side(shape):
    """Of a ramp y + 2 x the value at (i h / 299, j w / 299), up to the last pixel, which is
    repeated.
    """
    h, w = shape
    ramp = np.add.outer(np.arange(h), 2.0 * np.arange(w))[None, :, :, None]
    found = inception.prepared(np.repeat(ramp, 3, 3).astype(np.float32))
    y, x = (np.minimum(np.arange(299) * side / 299, side - 1) for side in shape)
    expected = (np.add.outer(y, 2 * x) - 128) / 128
    np.testing.assert_allclose(found, np.repeat(expected[None, :, :, None], 3, 3), atol=1e-4)


def test_a_number_tells_the_values_and_not_the_file(arrays, network, tmp_path):
    path = tmp_path / "again.safetensors"
    stored.save_file(arrays, path)  # without the count of batches
    assert inception.given(path).name == network.name
    stored.save_file({**arrays, "fc.bias": arrays["fc.bias"] + 1}, path)
    inception._read.cache_clear()
    other = inception.given(path).name
    assert other != network.name and other.startswith("inception-") and len(other) == 18


def test_what_is_not_the_network_is_refused(arrays, tmp_path, monkeypatch):
    monkeypatch.delenv(inception.VARIABLE, raising=False)
    with pytest.raises(DataError, match="GEN_JAX_INCEPTION"):
        inception.given()
    path = tmp_path / "it.safetensors"
    with pytest.raises(DataError, match="cannot be read"):
        inception.given(path)
    path.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(DataError, match="cannot be read"):
        inception.given(path)
    name = "Mixed_6a.branch3x3.conv.weight"
    others = [arrays[name][1:], arrays[name].astype(np.float64), np.full_like(arrays[name], np.nan)]
    for changed in ({}, *({name: other} for other in others)):
        stored.save_file(
            {key: array for key, array in arrays.items() if key != name} | changed, path
        )
        with pytest.raises(
            DataError, match=rf"{name} is .* must be finite float32\[384, 288, 3, 3\]"
        ):
            inception.given(path)
