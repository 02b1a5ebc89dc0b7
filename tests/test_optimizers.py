"""Adam by both places of its epsilon, against the closed form of three steps."""

import importlib

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.optimizers import adam
from gen_jax.run.experiment import presets

# beside an epsilon of 1e-8
GRADIENTS = np.array([[1e-7, -2.0, 3e-8], [2e-7, 1.0, 1e-8], [-3e-7, 0.5, 4e-8]])


@pytest.mark.parametrize("b1", [0.0, 0.5])
@pytest.mark.parametrize("epsilon_hat", [False, True])
def test_three_steps_of_adam_with_its_epsilon_before_or_after_the_correction(epsilon_hat, b1):
    """m_t = (1 - b1) sum b1^(t-i) g_i, v_t likewise; rate m_t c / (sqrt(v_t) + eps), or eps c, c
    the correction.
    """
    rate, b2, eps = 0.1, 0.99, 1e-8
    rule = adam(rate, b1=b1, b2=b2, eps=eps, epsilon_hat=epsilon_hat)
    w = jnp.zeros(3)
    state = rule.init(w)
    for t in (1, 2, 3):
        updates, state = rule.update(jnp.asarray(GRADIENTS[t - 1], jnp.float32), state, w)
        decays = np.arange(t)[::-1]
        m = (1 - b1) * (b1**decays @ GRADIENTS[:t])
        v = (1 - b2) * (b2**decays @ GRADIENTS[:t] ** 2)
        root, shift = np.sqrt(1 - b2**t), eps if epsilon_hat else eps * np.sqrt(1 - b2**t)
        np.testing.assert_allclose(
            updates, -rate * root / (1 - b1**t) * m / (np.sqrt(v) + shift), rtol=2e-4
        )
        w = optax.apply_updates(w, updates)


def test_the_first_steps_are_ten_times_shorter_where_gradients_are_as_small_as_epsilon():
    """At t = 1 and b2 = 0.99 the corrected epsilon is 10 times the uncorrected one: g / (|g| + 10
    eps).
    """
    g = jnp.full(1, 1e-8)
    moves = [
        rule.update(g, rule.init(g), g)[0]
        for rule in (adam(1.0, b1=0, b2=0.99, epsilon_hat=e) for e in (0, 1))
    ]
    np.testing.assert_allclose(moves, [[-1 / 2], [-1 / 11]], rtol=1e-3)


def test_without_the_switch_it_is_optax_s():
    w, g = jnp.ones(3), jnp.asarray(GRADIENTS[0], jnp.float32)
    ours, theirs = (
        rule.update(g, rule.init(w), w) for rule in (adam(0.1, b1=0.5), optax.adam(0.1, b1=0.5))
    )
    np.testing.assert_array_equal(ours[0], theirs[0])


OFFICIAL = {  # presets whose code has its Adam from TensorFlow, Torch or Lasagne: the decay of the second moment
    **{
        ("progan", preset): 0.99
        for preset in ("paper", "official", "celeb_a_hq", "lsgan", "g", "quick")
    },
    **{("progan", preset): 0.9 for preset in "abc"},
    **dict.fromkeys([("infogan", "official"), ("infogan", "quick"), ("dcgan", "official")], 0.999),
    **dict.fromkeys([("cyclegan", "official"), ("text2image", "official")], 0.999),
}
OTHERS = [
    ("infogan", "paper"),
    ("dcgan", "theano"),
    ("cyclegan", "pytorch"),
    ("text2image", "paper"),
]


@pytest.mark.parametrize(("name", "preset"), [*OFFICIAL, *OTHERS])
def test_presets_have_the_adam_of_their_code(name, preset):
    """Two gradients whose first steps are in the ratio 2 (g + c) / (2 g + c), c being eps or eps /
    sqrt(1 - b2).
    """
    module = importlib.import_module(f"experiments.{name}")
    for player in module.players(presets(module)[preset][1]).values():
        w = {"network": {"Dense_0": {"kernel": jnp.zeros(2)}}}
        g = {"network": {"Dense_0": {"kernel": jnp.array([1e-8, 2e-8])}}}
        one, two = player.optimizer.update(g, player.optimizer.init(w), w)[0]["network"]["Dense_0"][
            "kernel"
        ]
        eps = 1e-8 / np.sqrt(1 - OFFICIAL[name, preset]) if (name, preset) in OFFICIAL else 1e-8
        assert float(two / one) == pytest.approx(2 * (1e-8 + eps) / (2e-8 + eps), rel=1e-3)
