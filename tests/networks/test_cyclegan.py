"""The translator and the patch discriminator: as many weights as the codes', and what a score sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.networks import cyclegan


def count(module, side):
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("affine", "six", "nine", "discriminator"),
    [(False, 7_837_699, 11_378_179, 2_764_737), (True, 7_845_123, 11_388_675, 2_766_529)],
)
def test_weights_of_the_codes(affine, six, nine, discriminator):
    """Without gains as in PyTorch, with them as in Torch."""
    assert count(cyclegan.Translator(64, 6, affine), 128) == six
    assert count(cyclegan.Translator(64, 9, affine), 256) == nine
    assert count(cyclegan.PatchDiscriminator(64, 3, affine), 256) == discriminator


def test_shapes():
    x = jnp.zeros((2, 16, 24, 3))
    made = jax.eval_shape(
        lambda key: cyclegan.Translator(4, 1, True).init_with_output(key, x)[0], jax.random.key(0)
    )
    assert made.shape == x.shape
    for side, scores in ((256, 30), (128, 14)):
        module, x = cyclegan.PatchDiscriminator(4, 3, True), jnp.zeros((2, side, side, 3))
        made = jax.eval_shape(
            lambda key, m=module, x=x: m.init_with_output(key, x)[0], jax.random.key(0)
        )
        assert made.shape == (2, scores, scores, 1)


@pytest.mark.parametrize(("halvings", "patch"), [(3, 70), (1, 16)])
def test_a_score_sees_its_patch_and_no_more(monkeypatch, halvings, patch):
    """But for the norm, through which it sees the whole."""
    monkeypatch.setattr(cyclegan, "InstanceNorm", lambda *a, **k: lambda x: x)
    discriminator = cyclegan.PatchDiscriminator(1, halvings, False)
    x = jax.random.normal(jax.random.key(0), (1, 144, 144, 1))
    shapes = jax.eval_shape(discriminator.init, jax.random.key(1), x)
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)

    def score(x):
        scores = discriminator.apply(variables, x)
        return scores[0, scores.shape[1] // 2, scores.shape[2] // 2, 0]

    rows, columns = np.nonzero(jax.jit(jax.grad(score))(x)[0, :, :, 0])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (patch, patch)


def test_a_perceptron_has_two_hidden_layers():
    init = cyclegan.perceptron(8, 2).init_with_output
    made, variables = jax.eval_shape(init, jax.random.key(0), jnp.zeros((3, 2)))
    assert made.shape == (3, 2)
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(variables))
    assert sizes == sorted([2 * 8, 8, 8 * 8, 8, 8 * 2, 2])
