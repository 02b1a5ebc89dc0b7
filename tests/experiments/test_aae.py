"""The adversarial autoencoder against the papers' counts and closed forms; what each switch
changes.
"""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from experiments import aae
from gen_jax import game
from gen_jax.config import from_json, to_json
from gen_jax.data import pipeline
from gen_jax.data.synthetic import priors
from gen_jax.errors import UserError
from gen_jax.optimizers import Adam
from gen_jax.run.experiment import presets
from tests import golden

TINY = presets(aae)["tiny"][1]


def altered(**values):
    return dataclasses.replace(TINY, **values)


@functools.cache
def data():
    return pipeline.load(aae.source(TINY))


@functools.cache
def batch():
    return data().prepare(
        {name: jnp.asarray(a[:32]) for name, a in data().train.items()}, jax.random.key(0)
    )


@functools.cache
def played(config):
    """The first state from seed 0, the state after a step, and its metrics; op by op, to compile
    little.
    """
    one = game.of(aae, config)
    first = one.init(jax.random.key(0), batch())
    return first, *one.step(first, batch())


def test_parameter_counts():
    """Encoder and decoder 3 588 792, discriminator 1 011 001 (8 latents, 2 x 1000 rectifiers)."""
    table = json.loads(golden.path("aae").read_text())["paper"]

    def of(name):
        return sum(int(np.prod(shape)) for path, shape in table.items() if path.startswith(name))

    assert of("encoder/") + of("decoder/") == 3_588_792 and of("discriminator/") == 1_011_001
    assert table["total"] == 3_588_792 + 1_011_001


def test_the_prior_is_scaled_and_any_sampler_can_be_added(monkeypatch):
    z = aae.draw_prior(aae.PAPER, jax.random.key(0), jnp.full(10_000, 10))
    assert z.shape == (10_000, 8) and float(z.std()) == pytest.approx(5, rel=0.02)
    monkeypatch.setitem(
        priors.PRIORS, "labels", lambda key, labels, latents: jnp.stack([labels, labels], 1) + 0.0
    )
    config = altered(prior="labels", prior_scale=2.0)
    np.testing.assert_array_equal(
        aae.draw_prior(config, jax.random.key(0), jnp.arange(10))[:, 0], 2.0 * np.arange(10)
    )
    anything = aae.draw_prior(config, jax.random.key(0), jnp.full(2000, 10))[:, 1]
    assert set(np.asarray(anything)) == set(2.0 * np.arange(10))  # the full mixture
    with pytest.raises(UserError, match="change latents"):
        aae.draw_prior(altered(prior="labels", latents=3), jax.random.key(0), jnp.arange(10))
    for prior in ("mixture", "swiss_roll"):
        with pytest.raises(UserError, match=r"latents is 3; .* draws 2"):
            altered(prior=prior, latents=3)
    with pytest.raises(UserError, match="PRIORS"):
        altered(prior="banana")


def test_the_same_fifth_of_the_labels_is_known():
    config = altered(label_to="discriminator")
    many = {name: jnp.asarray(a) for name, a in data().train.items()}
    shown = np.asarray(aae.known_label(config, many))
    known = shown < 10
    assert known.mean() == pytest.approx(0.2, abs=0.05)
    np.testing.assert_array_equal(shown[known], many["label"][known])
    backwards = {name: a[::-1] for name, a in many.items()}
    np.testing.assert_array_equal(aae.known_label(config, backwards)[::-1], shown)
    # no one is given the label
    assert (np.asarray(aae.known_label(altered(known=1), many)) == 10).all()


# A game whose optimum is known: codes x of one dimension, and the discriminator log N(z; 0, 1) /
# N(z; 1, 1).
KNOWN = aae.AAE(
    encoder=lambda x: x, decoder=lambda z: z + 3, discriminator=lambda z: 0.5 - z, latents=1
)


def test_at_the_best_discriminator_the_loss_is_log_4_less_twice_the_divergence():
    """For p(z) = N(0, 1) and q(z) = N(1, 1), by quadrature."""
    n = 100_000
    x = 1 + jax.random.normal(jax.random.key(1), (n, 1))
    given = {"x": x, "label": jnp.zeros(n, jnp.uint8), "image": jnp.zeros((n, 1, 1, 1), jnp.uint8)}
    z, width = np.linspace(-8, 9, 20_001, retstep=True)
    p, q = stats.norm.pdf(z), stats.norm.pdf(z, 1)
    expected = -width * (p * np.log(p / (p + q)) + q * np.log(q / (p + q))).sum()
    config, key = altered(latents=1, prior_scale=1), jax.random.key(0)
    loss, metrics = aae.discriminator_loss(KNOWN, given, key, config=config)
    assert float(loss) == pytest.approx(expected, abs=0.01)
    assert float(metrics["accuracy"]) == pytest.approx(stats.norm.cdf(0.5), abs=0.005)
    loss, _ = aae.generator_loss(KNOWN, given, key, config=config)
    assert float(loss) == pytest.approx(-width * (q * np.log(p / (p + q))).sum(), abs=0.01)
    assert float(aae.reconstruction_loss(KNOWN, given, key)[0]) == pytest.approx(9)


@pytest.mark.long
def test_a_gaussian_encoder_draws_and_a_universal_one_sees_noise():
    x, keys = batch()["x"], jax.random.split(jax.random.key(5))
    for kind, outputs, inputs in (
        ("deterministic", 2, 64),
        ("gaussian", 4, 64),
        ("universal", 2, 66),
    ):
        config = altered(encoder=kind)
        _, state, _ = played(config)
        shapes = {leaf.shape for leaf in jax.tree.leaves(state.params["encoder"])}
        assert (16, outputs) in shapes and (inputs, 16) in shapes
        model = game.trained(aae.model(config), state)
        one, two = (np.asarray(model.encode(x, key)) for key in keys)
        assert one.shape == (32, 2) and (kind == "deterministic") == bool((one == two).all())


@pytest.mark.parametrize(
    "values",
    [
        {"encoder": "gaussian"},
        {"encoder": "universal"},
        {"prior": "mixture"},
        {"prior": "swiss_roll"},
        {"prior_scale": 1.0},
        {"label_to": "discriminator", "prior": "mixture"},
        {"label_to": "decoder"},
    ],
)
def test_each_switch_changes_the_update_and_moves_every_weight(values):
    config = altered(**values)
    first, state, metrics = played(config)
    assert metrics[game.FINITE] == 1
    assert any(float(metrics[name]) != float(value) for name, value in played(TINY)[2].items())
    same = jax.tree.map(lambda a, b: bool((a == b).all()), first.params, state.params)
    assert not any(jax.tree.leaves(same)), same


def test_what_the_labels_reach():
    """Other labels change the discriminator's loss only where it is told, and the decoder's only
    where it is.
    """
    wrong = {**batch(), "label": (batch()["label"] + 1) % 10}
    for label_to, changed in (
        ("nobody", ()),
        ("discriminator", ("discriminator",)),
        ("decoder", ("reconstruction",)),
    ):
        config = altered(label_to=label_to, known=1, prior="mixture")
        first, _, right = played(config)
        _, other = game.of(aae, config).step(first, wrong)
        for player in ("reconstruction", "discriminator"):
            differs = float(right[f"{player}/loss"]) != float(other[f"{player}/loss"])
            assert differs == (player in changed or (label_to == "decoder")), (label_to, player)


def test_a_labelled_prior_is_measured_by_the_labels_of_its_draws():
    config = altered(label_to="discriminator", prior="mixture")
    model = game.trained(aae.model(config), played(config)[1])
    numbers = aae.evaluate(config, model, data(), jax.random.key(0))
    assert 0 <= numbers["test/label_accuracy"] <= 1 and "test/parzen" not in numbers
    # not trained: far from the prior
    assert numbers["test/two_sample_accuracy"] > 0.7 and numbers["test/mmd"] > 0.05
    # beside the prior's draws
    codes = aae.sample(config, model, data(), jax.random.key(0))["codes"]
    spread = [(half != 255).any(-1).mean() for half in np.split(codes, 2, 1)]
    assert 10 * spread[0] < spread[1]


def test_the_supervised_grid_has_one_style_to_each_row():
    config = altered(label_to="decoder")
    model = game.trained(aae.model(config), played(config)[1])
    drawn = aae.sample(config, model, data(), jax.random.key(0))
    key = jax.random.split(jax.random.key(0), 3)[0]
    z = aae.draw_prior(config, key, jnp.tile(jnp.arange(10), 10))[:1]
    row = np.asarray(model.decode(jnp.repeat(z, 10, 0), jnp.arange(10))).reshape(10, 8, 8)
    # the first row of the grid
    cells = drawn["samples"][2:10, 2:, 0].reshape(8, 10, 10)[:, :, :8].swapaxes(0, 1)
    np.testing.assert_array_equal(cells, np.rint(row * 255))


def test_a_config_of_before_the_adam_fields_still_opens():
    old = to_json(altered(adam=Adam(3e-4), adversarial_adam=Adam(5e-5), latents=3))
    del old["adam"], old["adversarial_adam"]
    old |= {"learning_rate": 3e-4, "adversarial_rate": 5e-5}
    opened = from_json(aae.Config, old, "config.json")
    assert opened == altered(adam=Adam(3e-4), adversarial_adam=Adam(5e-5), latents=3)
    assert opened.adam == Adam(3e-4, b1=0.9, b2=0.999, eps=1e-8, epsilon_hat=False, decay=0)


def test_numbers_have_units_and_all_presets_are_there():
    model = game.trained(aae.model(TINY), played(TINY)[1])
    numbers = aae.evaluate(TINY, model, data(), jax.random.key(0))
    assert numbers["test/reconstruction"].unit == "squared error per image"
    assert numbers["test/mmd"].unit.startswith("squared, codes of test images against the prior;")
    accuracy = numbers["test/two_sample_accuracy"].unit
    assert accuracy.startswith(
        "of a classifier of codes (with labels, if the prior has them) and the "
    )
    assert all(number.unit for number in numbers.values()) and "test/parzen" in numbers
    assert [*presets(aae)] == ["paper", "conditioned", "supervised", "quick", "tiny"]
