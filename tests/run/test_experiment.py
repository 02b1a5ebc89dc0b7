"""What an author of an experiment file forgot is one sentence, before anything is trained if possible."""

import dataclasses
import types
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import vae
from experiments.presets import vae as presets
from gen_jax import Claim, Measure, Player, Positive
from gen_jax.errors import UserError
from gen_jax.run import experiment


def test_a_name_that_is_missing():
    module = types.ModuleType("mine")
    vars(module).update({name: getattr(vae, name) for name in experiment.PROVIDED[:-2]})
    with pytest.raises(UserError, match=r"mine has no sample, evaluate: docs/extend.md"):
        experiment.check(module)
    experiment.check(vae)


def test_a_header_or_a_field_that_is_missing():
    module = types.ModuleType("mine", "No header.")
    vars(module).update({name: getattr(vae, name) for name in experiment.PROVIDED})
    with pytest.raises(UserError, match="the header must have"):
        experiment.check(module)
    module.Config = dataclasses.make_dataclass("Config", ["run", "batch_size"])
    with pytest.raises(UserError, match="the Config of mine has no steps"):
        experiment.check(module)


def variant(doc=None, base=vae, **names):
    """The module of a file with this BASE."""
    module = types.ModuleType("mine", doc)
    vars(module).update(BASE=base, **names)
    return module


def beta_players(config):
    loss = partial(vae.negative_elbo, samples=1)
    return {"beta": Player(("encoder", "decoder"), loss, vae.optimizer(config))}


def test_a_variant_has_the_names_of_its_base_which_use_its_own():
    module = experiment.completed(variant(players=beta_players))
    experiment.check(module)
    assert module.REPLACED == ("players",) and module.CLAIMS == {} and vae.CLAIMS
    assert experiment.presets(module) == experiment.presets(vae)
    config = presets.TINY.but(mean_start=True)
    x = {"x": jnp.zeros((2, 64)), "mean": jnp.full(64, 0.5)}
    for paper, player in ((module, "beta"), (vae, "vae")):  # by `game` of the VAE
        state = jax.eval_shape(paper.game(config).init, jax.random.key(0), x)
        assert [*state.optimizers] == [player]
    assert experiment.completed(module) is module and experiment.completed(vae) is vae
    claims = {"test/elbo": Claim(1, None, "Table 1", "read")}
    module = experiment.completed(variant(players=beta_players, CLAIMS=claims))
    assert module.CLAIMS is claims
    above = experiment.completed(variant(base=variant(players=beta_players), BURDA="other"))
    assert above.REPLACED == ("BURDA",)
    state = jax.eval_shape(above.game(config).init, jax.random.key(0), x)
    assert [*state.optimizers] == ["beta"]


def test_presets_of_a_base_get_the_fields_of_a_variant():
    @dataclasses.dataclass(frozen=True)
    class Config(vae.Config):
        beta: Positive = 4

    mine = {"mine": ("8", Config(beta=8))}
    known = experiment.presets(experiment.completed(variant(Config=Config, PRESETS=mine)))
    assert known["mine"][1].beta == 8 and known["tiny"][1].beta == 4
    assert known["tiny"][1].latents == presets.TINY.latents
    plain = dataclasses.make_dataclass("Config", ["steps", "batch_size", "run"])
    with pytest.raises(
        UserError, match=r"Config of mine must derive from that of experiments\.vae"
    ):
        experiment.completed(variant(Config=plain))


def test_the_header_of_a_variant_names_its_base():
    paper = experiment.header(
        experiment.completed(variant("A VAE\nof mine.", players=beta_players))
    )
    assert paper.title == "A VAE of mine" and paper.authors == "A variant of experiments.vae"
    assert paper.venue == "Auto-Encoding Variational Bayes" and paper.arxiv is None
    assert paper.replicated == "All of experiments.vae but players."
    assert experiment.header(experiment.completed(variant(BURDA=""))).title == "mine"
    full = "T.\n\nAda. ICLR 2017.\n\nReplicated: this.\n\nNot replicated: that.\n\nCost: little."
    paper = experiment.header(experiment.completed(variant(full, players=beta_players)))
    assert (
        paper.authors == "Ada" and paper.replicated == "this. All of experiments.vae but players."
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"base": 3}, "BASE of mine is of type int; give the module of a paper"),
        ({"base": types}, "types has no Config"),
        ({"player": beta_players}, "mine replaces nothing of its BASE, experiments.vae"),
    ],
)
def test_a_variant_of_nothing(names, words):
    with pytest.raises(UserError, match=words):
        experiment.completed(variant(**names))


def test_a_preset_that_stands_twice(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "paper", presets.PRESETS["tiny"])
    with pytest.raises(UserError, match=r"presets/vae.py has paper, as vae.py has: rename it"):
        experiment.presets(vae)


def test_a_model_that_cannot_be_hashed():
    with pytest.raises(UserError, match="fields of Sequential cannot be hashed: give tuples"):
        experiment.check_model(nn.Sequential([nn.Dense(2)]))
    experiment.check_model(nn.Sequential((nn.Dense(2),)))


def test_a_number_without_a_unit():
    with pytest.raises(UserError, match=r"test/nll as a float; give Measure\(value, unit\)"):
        experiment.check_measures({"test/elbo": Measure(1, "nats"), "test/nll": 2.0})
    with pytest.raises(UserError, match=r"give Measure"):
        experiment.check_measures({"test/nll": jnp.ones(())})
    with pytest.raises(UserError, match="evaluate returned a NoneType"):
        experiment.check_measures(None)


def test_a_picture_that_is_none():
    experiment.check_pictures({"samples": np.zeros((8, 8, 3))})
    with pytest.raises(UserError, match="sample returned a ndarray"):
        experiment.check_pictures(np.zeros((8, 8, 3)))
    with pytest.raises(UserError, match=r"samples of shape \[8, 8\]; give \[h, w, 1 or 3\]"):
        experiment.check_pictures({"samples": np.zeros((8, 8))})
