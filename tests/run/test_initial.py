"""A run that starts from the networks of another: these and nothing else."""

import dataclasses
import json
import shutil
import types

import jax
import numpy as np
import pytest

from experiments import dcgan, infogan, progan, stargan, vae
from gen_jax import config as configs
from gen_jax.errors import Interrupted, UserError
from gen_jax.pretrained import progan as published
from gen_jax.run import initial, seeds, sharding, train, weights
from gen_jax.run.experiment import presets
from tests.pretrained.test_progan import SHAPES
from tests.test_experiments import leaves


def config(experiment, directory, *, changes=None, **run):
    tiny = presets(experiment)["tiny"][1]
    run = {f"run.{n}": value for n, value in {"dir": directory, "devices": 1, **run}.items()}
    return configs.changed(tiny, {**run, **(changes or {})})


def first(experiment, asked, monkeypatch):
    """The state before the first step of a run, which is not trained."""

    class Stop(BaseException):
        pass

    found = []

    def start(sessions, real=train._start):
        found.append(jax.tree.map(np.asarray, jax.device_get(real(sessions)[1].replace(key=None))))
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(train, "_start", start)
        with pytest.raises(Stop):
            train.run(experiment, "tiny", asked)
    return found[0]


def differing(a, b):
    """The collections and networks in which two states differ."""
    parts = [("params", a.params, b.params), ("average", a.average, b.average)]
    parts += [(name, a.variables[name], b.variables[name]) for name in a.variables]
    return {
        (where, network)
        for where, one, other in parts
        for network in one
        if leaves(one[network]) != leaves(other[network])
    }


def stopped(experiment, asked, until=20):
    with pytest.raises(Interrupted):
        train.run(experiment, "tiny", asked, until=until)


@pytest.mark.parametrize(
    ("experiment", "network"), [(dcgan, "generator"), (infogan, None), (stargan, "generator")]
)
def test_the_networks_and_what_belongs_to_them_come_along(
    tmp_path, monkeypatch, experiment, network
):
    """Weights, batch statistics and averages; every other array is that of a new run."""
    changes = {"average": 0.9} if experiment is stargan else None
    stopped(experiment, config(experiment, tmp_path / "other", changes=changes))
    new = config(experiment, tmp_path / "new", changes=changes, seed=3)
    asked = dataclasses.replace(
        new, run=new.run.but(init_from=tmp_path / "other", init_networks=network and (network,))
    )
    plain = first(
        experiment, config(experiment, tmp_path / "plain", changes=changes, seed=3), monkeypatch
    )
    got, other = first(experiment, asked, monkeypatch), weights.load(tmp_path / "other")
    own = {network} if network else {*other.params}
    names = {name for _, name in differing(plain, got)}
    assert names == own and leaves(got.optimizers) == leaves(plain.optimizers)
    for name in own:
        assert leaves(got.params[name]) == leaves(other.params[name])
        for collection, tree in got.variables.items():
            assert name not in tree or leaves(tree[name]) == leaves(
                other.variables[collection][name]
            )
        if name in got.average:
            assert leaves(got.average[name]) == leaves(other.average[name])
            assert leaves(got.average[name]) != leaves(got.params[name])
    assert int(got.step) == 0
    saved = json.loads((tmp_path / "new" / "config.json").read_text())["start"]
    assert saved["networks"] == sorted(own) and saved["step"] == 20 and len(saved["sha256"]) == 64


def test_an_average_that_only_this_run_has_begins_at_the_weights(tmp_path, monkeypatch):
    stopped(stargan, config(stargan, tmp_path / "other", changes={"average": 0.0}))
    asked = config(
        stargan, tmp_path / "new", changes={"average": 0.9}, init_from=tmp_path / "other"
    )
    got, other = first(stargan, asked, monkeypatch), weights.load(tmp_path / "other")
    assert got.average and not other.average
    for name, tree in got.average.items():
        assert leaves(tree) == leaves(other.params[name])


def test_what_does_not_fit_is_one_sentence_and_leaves_no_directory(tmp_path):
    stopped(vae, config(vae, tmp_path / "other"))

    def refused(words, **run):
        with pytest.raises(UserError, match=words):
            train.run(vae, "tiny", config(vae, tmp_path / "new", **run))
        assert not (tmp_path / "new").exists()

    other = tmp_path / "other"
    shape = r"^decoder/MLP_0/Dense_0/kernel is float32\[2, 16\] in \S+, but float32\[3, 16\] here: "
    refused(shape, changes={"latents": 3}, init_from=other)
    refused(
        "^init-networks has prior, which is not in both", init_from=other, init_networks=("prior",)
    )
    refused("no checkpoint of step 7; it has 20", init_from=tmp_path / "other@7")
    refused("none is no run: give the directory of a run", init_from=tmp_path / "none")
    with pytest.raises(UserError, match="of which no network has a name of this run"):
        train.run(infogan, "tiny", config(infogan, tmp_path / "new", init_from=other))
    with pytest.raises(
        UserError, match=r"^init-networks is encoder, of no run: give --run.init-from"
    ):
        config(vae, tmp_path / "new", init_networks=("encoder",))


def test_a_resume_needs_no_other_run_and_another_start_is_another_run(tmp_path):
    stopped(vae, config(vae, tmp_path / "other"))
    asked = config(vae, tmp_path / "run", init_from=tmp_path / "other@20")
    whole = train.run(vae, "tiny", config(vae, tmp_path / "whole", init_from=tmp_path / "other@20"))
    stopped(vae, asked)
    shutil.rmtree(tmp_path / "other")
    assert leaves(train.run(vae, "tiny", asked)) == leaves(whole)
    recorded = [json.loads((tmp_path / n / "config.json").read_text()) for n in ("run", "whole")]
    assert recorded[0]["start"] == recorded[1]["start"]
    for start in (None, tmp_path / "other@40"):
        with pytest.raises(UserError, match=r"holds another run \(run.init_from: "):
            train.run(vae, "tiny", config(vae, tmp_path / "run", init_from=start))


def test_a_run_that_was_not_saved_begins_again_at_the_same_weights_or_not_at_all(
    tmp_path, monkeypatch
):
    """The other run has gone on since, and then has other weights at that step."""
    stopped(vae, config(vae, tmp_path / "other"))
    asked = config(vae, tmp_path / "run", init_from=tmp_path / "other")
    before = first(vae, asked, monkeypatch)
    train.run(vae, "tiny", config(vae, tmp_path / "other"))
    assert leaves(first(vae, asked, monkeypatch)) == leaves(before)
    shutil.rmtree(tmp_path / "other")
    stopped(vae, config(vae, tmp_path / "other", seed=9))
    with pytest.raises(UserError, match="has other weights than when this run began, at step 20"):
        train.run(vae, "tiny", asked)


def test_seeds_side_by_side_start_from_the_same_networks(tmp_path, monkeypatch):
    stopped(vae, config(vae, tmp_path / "other"))
    start = {"init_from": tmp_path / "other", "init_networks": ("decoder",)}
    both = first(vae, config(vae, tmp_path / "run", seeds=2, **start), monkeypatch)
    one, two = seeds.unstack(both, 2)
    assert leaves(one.params["decoder"]) == leaves(two.params["decoder"])
    assert leaves(one.params["encoder"]) != leaves(two.params["encoder"])
    alone = first(vae, config(vae, tmp_path / "alone", seed=1, **start), monkeypatch)
    assert leaves(two.params) == leaves(alone.params)


def test_a_divided_state_starts_divided(tmp_path, monkeypatch):
    wide = {"hidden": (64,)}
    stopped(vae, config(vae, tmp_path / "other", changes=wide))
    placed, real = [], initial.start_from
    monkeypatch.setattr(initial, "start_from", lambda *a: placed.append(real(*a)) or placed[-1])
    many = {"devices": 8, "fsdp": True, "init_from": tmp_path / "other"}
    asked = config(vae, tmp_path / "run", changes=wide, **many)
    got = first(vae, asked, monkeypatch)
    other = weights.load(tmp_path / "other")
    assert leaves(got.params) == leaves(other.params)
    places = sharding.fsdp_shardings(placed[0], sharding.mesh(8))
    same = jax.tree.map(lambda leaf, place: leaf.sharding == place, placed[0], places)
    divided = [leaf for leaf in jax.tree.leaves(placed[0].params) if not leaf.is_fully_replicated]
    assert all(jax.tree.leaves(same)) and len(divided) == 2


def test_weights_that_a_paper_names_are_a_start(tmp_path, monkeypatch):
    stopped(vae, config(vae, tmp_path / "other"))
    found = weights.load(tmp_path / "other").params
    named = {"published": lambda: {"decoder": found["decoder"]}}
    paper = types.SimpleNamespace(**{**vars(vae), "STARTS": named})
    asked = config(vae, tmp_path / "run", init_from=configs.Path("published"))
    got = first(paper, asked, monkeypatch)
    assert leaves(got.params["decoder"]) == leaves(found["decoder"])
    assert leaves(got.params["encoder"]) != leaves(found["encoder"])


def test_the_published_generator_of_progressive_gan_is_a_start(tmp_path, monkeypatch):
    """At a smaller side its first blocks; the graph that they come from is one of few features."""
    draws = np.random.default_rng(0)
    graph = {name: np.float32(draws.normal(size=shape)) for name, shape in SHAPES.items()}
    graph |= {f"{published.GRAPH}/add_26": np.float32([0.7, 0.3, 0.5])}
    monkeypatch.setattr(published, "load", lambda _: graph)
    sizes = {"base": 256, "max_features": 8, "latents": 5}
    start = {"init_from": configs.Path("progan-celeba"), "changes": sizes}
    got = first(progan, config(progan, tmp_path / "run", **start), monkeypatch)
    plain = first(progan, config(progan, tmp_path / "plain", changes=sizes), monkeypatch)
    names = {"generator_4", "generator_8"}
    assert {network for _, network in differing(plain, got)} == names
    for name in names:
        assert leaves(got.params[name]) == leaves(published.mapped(graph)[name])
        assert leaves(got.average[name]) == leaves(got.params[name])
    saved = json.loads((tmp_path / "run" / "config.json").read_text())["start"]
    assert (saved["from"], saved["networks"]) == ("progan-celeba", sorted(names))
    for changed, words in (
        (
            {"latents": 6},
            r"^generator_4/Dense_0/kernel is float32\[5, 128\] in progan-celeba, but ",
        ),
        (
            {"base": 8},
            r"^generator_4/Conv_0/bias is float32\[8\] in progan-celeba, but float32\[4\]",
        ),
    ):
        with pytest.raises(UserError, match=words):
            asked = {**start, "changes": {**sizes, **changed}}
            train.run(progan, "tiny", config(progan, tmp_path / "new", **asked))
    words = "^init-from is celeba: give the directory of a run, or progan-celeba"
    with pytest.raises(UserError, match=words):
        train.run(
            progan, "tiny", config(progan, tmp_path / "new", init_from=configs.Path("celeba"))
        )
    assert not (tmp_path / "new").exists()
