"""Convolutions: against sums written in NumPy, and against Flax, to the second order."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.networks import conv
from gen_jax.networks.conv import FEW, MANY
from gen_jax.run.flops import products

SHAPES = list(itertools.product(range(1, 8), (1, 2, 3)))  # kernel sizes and strides
PADDINGS = ("SAME", "VALID", ((1, 2), (0, 1)))


def matrix(size, k, stride, before, after):
    """M [m, size, k]: the output m of a convolution sees the pixel n through the kernel's value t
    where M is 1.
    """
    outputs = (size + before + after - k) // stride + 1
    m, n, t = np.ogrid[:outputs, :size, :k]
    return (n == m * stride + t - before).astype(np.float64)


def flax_pads(padding, size, k, stride, transposed):
    """(before, after) by the rules in the documentation of lax."""
    if not isinstance(padding, str):
        return padding[0]  # both sides are given the same in these tests
    if not transposed:
        total = max((-(-size // stride) - 1) * stride + k - size, 0) if padding == "SAME" else 0
        return total // 2, total - total // 2
    total = k + stride - 2 + (max(k - stride, 0) if padding == "VALID" else 0)
    before = k - 1 if padding == "VALID" or stride > k - 1 else -(-total // 2)
    return before, total - before


def trilinear(x, kernel, y, strides, padding, transposed):
    """The sum <op(x, kernel), y> in float64 and its three derivatives, from the definition alone."""
    seen = []
    for n, k, s in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True):
        before, after = flax_pads(padding, n, k, s, transposed)
        if transposed:  # the image is dilated first
            seen.append(matrix((n - 1) * s + 1, k, 1, before, after)[:, ::s])
        else:
            seen.append(matrix(n, k, s, before, after))
    terms = {"a": (x, "bhwi"), "b": (kernel, "tuio"), "c": (y, "bmno")}
    for rest, out in ((("a", "b"), "c"), (("b", "c"), "a"), (("a", "c"), "b")):
        (p, i), (q, j) = (terms[name] for name in rest)
        yield np.einsum(f"mht,nwu,{i},{j}->{terms[out][1]}", *seen, p, q, optimize=True)


def arrays(*shapes):
    draws = np.random.default_rng(0)
    return [draws.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("k", "stride"), SHAPES)
def test_values_and_gradients_equal_the_sums_they_stand_for(k, stride, transposed):
    """Also where pads exceed the kernel: there XLA's own gradient by the image is wrong on the CPU."""
    op = conv.conv_transpose if transposed else conv.conv
    padding = (*PADDINGS, ((3, 4), (3, 4)))[(k + stride) % 4]
    size = 4 if padding != "VALID" else 8
    if padding == ((1, 2), (0, 1)):
        padding = ((1, 2), (1, 2))
    x, kernel = arrays((2, size, size + 1, 3), (k, k, 3, 2))
    op = functools.partial(op, strides=(stride, stride), padding=padding)
    (y,) = arrays(jax.eval_shape(op, x, kernel).shape)
    value, gradients = jax.jit(lambda *at: (op(*at), jax.vjp(op, *at)[1](y)))(x, kernel)
    expected = list(trilinear(x, kernel, y, (stride, stride), padding, transposed))
    for ours, truth in zip((value, *gradients), expected, strict=True):
        np.testing.assert_allclose(ours, truth, rtol=1e-4, atol=1e-4)


@pytest.fixture(params=["cpu", "cpu and many features", "gpu"])
def written_for(request, monkeypatch):
    """What is written for this backend, which is played on whatever there is."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param[:3])
    if "many" in request.param:
        monkeypatch.setattr(conv, "MANY", 1)


@pytest.mark.usefixtures("written_for")
@pytest.mark.parametrize("name", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize(
    ("k", "strides", "padding", "channels"),
    [
        ((3, 3), (1, 1), "SAME", 3),
        ((5, 4), (2, 1), "SAME", 3),
        ((3, 3), (1, 2), "VALID", 3),
        ((4, 5), (3, 2), PADDINGS[2], 3),
        ((3, 4), (1, 1), PADDINGS[2], FEW),
        ((4, 4), (2, 2), "SAME", FEW),
    ],
)
def test_layers_equal_flax_s_to_the_second_order(name, k, strides, padding, channels):
    """Parameters, outputs, and the gradient by all of them of a penalty on the gradient by the
    image.
    """
    (x,) = arrays((2, 7, 6, channels))
    options = {"features": 4, "kernel_size": k, "strides": strides, "padding": padding}
    ours, theirs = getattr(conv, name)(**options), getattr(nn, name)(**options)
    params, same = (layer.init(jax.random.key(0), x) for layer in (ours, theirs))
    jax.tree.map(np.testing.assert_array_equal, params, same)
    params["params"]["bias"] = jnp.arange(4.0)

    def penalty(layer, params, x):
        slope = jax.grad(lambda x: jnp.sin(layer.apply(params, x)).sum())(x)
        return (jnp.sqrt((slope**2).sum((1, 2, 3)) + 1e-12) - 1).sum()

    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), rtol=1e-4, atol=1e-5)
    gradients = (
        jax.jit(jax.grad(penalty, argnums=(1, 2)), static_argnums=0)(one, params, x)
        for one in (ours, theirs)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *gradients)


@pytest.mark.parametrize("width", range(1, 10))
def test_many_features_round_by_a_few_millionths_on_a_cpu(width, monkeypatch):
    """Winograd's tiles of four outputs, also where the last is not full."""
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    x, kernel, y = arrays((1, 3, width, MANY), (3, 3, MANY, MANY), (1, 3, width, MANY))
    expected = next(trilinear(x, kernel, y, (1, 1), "SAME", transposed=False))
    ours = conv.conv(x, kernel)
    assert len([*products(jax.make_jaxpr(conv.conv)(x, kernel).jaxpr)]) == len(conv.PIXELS)
    assert np.abs(ours - expected).max() < 5e-6 * np.abs(expected).max()


@pytest.mark.usefixtures("written_for")
@pytest.mark.parametrize("op", [conv.conv, conv.conv_transpose])
def test_batches_of_kernels_and_scans_give_what_single_calls_give(op):
    x, kernels = arrays((3, 2, 5, 5, 3), (3, 4, 5, 3, 2))  # phases two and three wide

    def gradient(x, kernel):
        return jax.grad(lambda x, kernel: jnp.sin(op(x, kernel, strides=(2, 2))).sum(), (0, 1))(
            x, kernel
        )

    single = [gradient(*pair) for pair in zip(x, kernels, strict=True)]
    single = jax.tree.map(lambda *parts: np.stack(parts), *single)
    scanned = jax.lax.scan(lambda carry, pair: (carry, gradient(*pair)), 0, (x, kernels))[1]
    for many in (jax.vmap(gradient)(x, kernels), scanned):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), many, single
        )


@pytest.mark.parametrize("op", [conv.conv, conv.conv_transpose])
def test_nothing_dilates_an_image_on_the_cpu_and_each_derivative_is_one_operation_elsewhere(
    op, monkeypatch
):
    """One that XLA writes itself for a convolution's gradients: a kernel's dilates the kernel, an
    image's the image.
    """
    x, kernel = arrays((2, 6, 6, 3), (4, 4, 3, 2))

    def slope(x, kernel):
        return (jax.grad(lambda x: (op(x, kernel, strides=(2, 2)) ** 2).sum())(x) ** 2).sum()

    def dilations():
        found = products(jax.make_jaxpr(jax.grad(slope, 1))(x, kernel).jaxpr)
        return {(one.params["lhs_dilation"], one.params["rhs_dilation"]) for one, _ in found}

    assert {image for image, _ in dilations()} == {(1, 1)}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert dilations() == {((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 1), (2, 2))}
