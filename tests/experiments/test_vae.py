"""The VAE: parameter counts, closed forms of its bounds, and its optimizers by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from experiments import vae
from experiments.presets.vae import QUICK, TINY
from gen_jax import game as games
from gen_jax.config import Run
from gen_jax.distributions import Gaussian
from gen_jax.errors import UserError
from tests.golden import blank

# [C] in the papers' specification
COUNTS = {
    3: 790_290,
    5: 793_294,
    10: 800_804,
    20: 815_824,
    200: 1_086_184,
}


def parameters(config):
    source = vae.source(config)
    init = functools.partial(games.of(vae, config).init, jax.random.key(0))
    shapes = jax.eval_shape(lambda key: init(source.prepare(blank(source), key)), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes.params))


@pytest.mark.parametrize("latents", COUNTS)
def test_parameter_counts(latents):
    assert parameters(vae.PAPER.but(latents=latents)) == COUNTS[latents]


def test_the_gaussian_decoder_has_a_second_head():
    bernoulli, gaussian = (parameters(vae.PAPER.but(decoder=d)) for d in ("bernoulli", "gaussian"))
    assert gaussian - bernoulli == 500 * 784 + 784


class Known:
    """A one-dimensional model whose every quantity is known: z ~ N(0, 1), x|z ~ N(z, 1), so z|x ~
    N(x/2, 1/2).
    """

    def __init__(self, exact):
        self.exact = exact

    def encoder(self, x):
        return (
            Gaussian(x / 2, jnp.full_like(x, np.log(0.5))) if self.exact else Gaussian(0 * x, 0 * x)
        )

    def decoder(self, z):
        return Gaussian(z, jnp.zeros_like(z))


X = jnp.array([[0.5], [-2.0], [1.0]])
EVIDENCE = stats.norm(0, np.sqrt(2)).logpdf(X[:, 0])


def test_with_the_exact_posterior_every_weight_is_the_evidence():
    known = Known(exact=True)
    weights = vae.log_weights(known.encoder, known.decoder, X, jax.random.key(0), 7)
    np.testing.assert_allclose(weights, np.tile(EVIDENCE, (7, 1)), atol=1e-5)
    loss, _ = vae.negative_iwae(Known(exact=True), {"x": X}, jax.random.key(0), samples=7)
    assert float(loss) == pytest.approx(-EVIDENCE.mean(), abs=1e-5)


def test_the_bound_is_below_the_evidence_by_the_divergence():
    """With q = N(0, 1): KL(N(0, 1) || N(x/2, 1/2)) = (2 + x^2/2 - 1 - log 2) / 2."""
    loss, terms = vae.negative_elbo(
        Known(exact=False), {"x": X}, jax.random.key(1), samples=200_000
    )
    gap = 0.5 * (1 + np.asarray(X[:, 0]) ** 2 / 2 - np.log(2))
    assert float(-loss) == pytest.approx((EVIDENCE - gap).mean(), abs=0.02)
    assert float(terms["prior_fitting"]) == 0
    assert float(terms["reconstruction"] - terms["prior_fitting"]) == pytest.approx(
        float(-loss), abs=1e-6
    )


def test_iwae_lies_between_the_bound_and_the_evidence():
    bounds = [
        float(-vae.negative_iwae(Known(False), {"x": X}, jax.random.key(k), samples=k)[0])
        for k in (20_000,)
    ]
    elbo = float(-vae.negative_elbo(Known(False), {"x": X}, jax.random.key(1), samples=200_000)[0])
    assert elbo + 0.1 < bounds[0] < EVIDENCE.mean() + 0.05


def test_the_schedule_of_iwae():
    """Stage i of 1 .. 8 lasts 3^(i-1) epochs at 1e-4 round(10^(1-(i-1)/7), 1): 3280 epochs in all."""
    config, epoch = vae.IWAE, 2980
    rate = vae.learning_rate(config)
    assert config.steps == 3280 * epoch
    starts = np.cumsum([0, *(3**i for i in range(7))]) * epoch
    expected = [1e-4 * round(10 ** (1 - i / 7), 1) for i in range(8)]
    assert expected[0] == pytest.approx(1e-3) and expected[-1] == pytest.approx(1e-4)
    np.testing.assert_allclose([rate(start) for start in starts], expected, rtol=1e-6)
    np.testing.assert_allclose([rate(start - 1) for start in starts[1:]], expected[:-1], rtol=1e-6)


def test_three_steps_of_iwae_s_adam():
    """By sums over the batch, the moments of the step before, v_0 = 1, and an epsilon that is not
    corrected.
    """
    config = vae.IWAE.but(optimizer=vae.IWAE.optimizer.but(stages=False))
    rule = vae.optimizer(config)
    w = jnp.array([1.0, -2.0])
    state, expected, m, v = rule.init(w), np.array(w, np.float64), np.zeros(2), np.ones(2)
    for t, mean in enumerate(([0.3, -2.0], [0.1, 4.0], [-0.2, 1.0]), 1):
        updates, state = rule.update(jnp.array(mean), state, w)
        w = optax.apply_updates(w, updates)
        expected -= 1e-3 * np.sqrt(1 - 0.999**t) / (1 - 0.99**t) * m / (np.sqrt(v) + 1e-4)
        g = 20 * np.array(mean)
        m, v = 0.99 * m + 0.01 * g, 0.999 * v + 0.001 * g**2
        assert t > 1 or not updates.any()  # all of Theano's updates see the old moments
    np.testing.assert_allclose(
        w - jnp.array([1.0, -2.0]), expected - np.array([1.0, -2.0]), rtol=1e-3
    )


def test_iwae_starts_as_its_code_does():
    """Glorot's uniform weights, the last bias at the logits of the clipped mean, and a head for log
    sigma.
    """
    config, mean = vae.IWAE, jnp.linspace(0, 1, 784)
    source = vae.source(config)
    assert source.train == "train[:59600]" and vae.source(QUICK).train == "train"
    images = {"image": np.array([[[[0]]], [[[51]]], [[[255]]]], np.uint8)}
    assert float(source.init_extras(images)["mean"][0]) == pytest.approx(0.4) and not vae.source(
        QUICK
    ).init_extras(images)
    batch = {"x": jnp.zeros((2, 784)), "mean": mean}
    params = jax.jit(games.of(vae, config).init)(jax.random.key(0), batch).params
    kernel, limit = params["decoder"]["Dense_0"]["kernel"], np.sqrt(6 / (200 + 784))
    assert limit * 0.999 < float(jnp.abs(kernel).max()) <= limit
    assert float(kernel.std()) == pytest.approx(limit / np.sqrt(3), rel=0.01)
    clipped = np.clip(np.asarray(mean, np.float64), 1e-3, 1 - 1e-3)
    bias, expected = params["decoder"]["Dense_0"]["bias"], np.log(clipped / (1 - clipped))
    np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-5)
    q = vae.model(config).apply(
        {"params": params}, jnp.ones((3, 784)), method=lambda model, x: model.encoder(x)
    )
    hidden = jnp.tanh(jnp.ones((3, 784)) @ params["encoder"]["MLP_0"]["Dense_0"]["kernel"])
    hidden = jnp.tanh(hidden @ params["encoder"]["MLP_0"]["Dense_1"]["kernel"])
    np.testing.assert_allclose(
        q.log_variance, 2 * hidden @ params["encoder"]["log_sigma"]["kernel"], rtol=1e-4, atol=1e-4
    )


def test_what_is_held_out_must_leave_a_batch():
    with pytest.raises(
        UserError, match="held-out is 59990; it must leave a batch, 20, but leaves 10"
    ):
        vae.IWAE.but(held_out=59_990)


def test_the_mean_start_finds_the_last_layer_of_a_gaussian_decoder_too():
    config = TINY.but(decoder="gaussian", mean_start=True)
    params = (
        games.of(vae, config)
        .init(jax.random.key(0), {"x": jnp.zeros((2, 64)), "mean": jnp.full(64, 0.25)})
        .params
    )
    np.testing.assert_allclose(
        params["decoder"]["mean"]["bias"], np.full(64, np.log(1 / 3)), rtol=1e-5
    )


def test_adagrad_with_the_prior_of_the_weights_is_the_paper_s():
    """Each weight moves by rate * g / sqrt(sum g^2) with g of the mean loss + |w|^2 / 2N; no
    outside scale matters.
    """
    config = vae.PAPER.but(optimizer=vae.Optimizer(learning_rate=0.1))
    rule = vae.optimizer(config)
    w, state, total = jnp.array([1.0, -2.0]), rule.init(jnp.zeros(2)), np.zeros(2)
    expected = np.array(w)
    for slope in ([0.3, -0.2], [0.1, 0.4]):
        updates, state = rule.update(jnp.array(slope), state, w)
        w = optax.apply_updates(w, updates)
        g = np.array(slope) + expected / 60_000
        total += g**2
        expected = expected - 0.1 * g / np.sqrt(total)
    np.testing.assert_allclose(w, expected, rtol=1e-5)


def test_pixels_are_drawn_anew_with_the_grey_value_as_probability():
    prepare = vae.source(QUICK).prepare
    image = jnp.full((4000, 2, 2, 1), 51, jnp.uint8)  # 0.2
    x = prepare({"image": image}, jax.random.key(0))["x"]
    assert x.shape == (4000, 4) and set(np.unique(x)) == {0.0, 1.0}
    assert float(x.mean()) == pytest.approx(0.2, abs=0.02)
    np.testing.assert_allclose(
        vae.source(vae.PAPER).prepare({"image": image}, jax.random.key(0))["x"], 0.2
    )


def test_presets_say_what_they_are():
    assert (vae.PAPER.batch_size, vae.PAPER.steps * vae.PAPER.batch_size) == (100, 10**8)
    assert vae.IWAE.evaluation == vae.Evaluation(samples=5000, images=0)
    assert TINY.run != Run() and TINY.data == "digits"
