"""CycleGAN's file: the sizes of the codes' networks, equation 3 by hand, each switch of the
protocols, the measures.
"""

import dataclasses
import functools
import itertools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from experiments import cyclegan
from gen_jax import config as configs
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.data.synthetic import worlds
from gen_jax.errors import UserError
from gen_jax.evaluation import ssim
from gen_jax.networks.layers import ImagePool
from gen_jax.optimizers import Adam
from gen_jax.run.experiment import presets
from tests import golden

DISCS = presets(cyclegan)["discs"][1].but(width=4, pool=12, batch_size=2)


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [
        ("paper", 7_845_123, 2_766_529),
        ("official", 7_845_123, 2_766_529),
        ("pytorch", 11_378_179, 2_764_737),
    ],
)
def test_the_networks_have_as_many_weights_as_the_codes(preset, generator, discriminator):
    table = json.loads(golden.path("cyclegan").read_text())[preset]
    count = dict.fromkeys(("to_x", "to_y", "d_x", "d_y"), 0)
    for name, shape in table.items():
        if name != "total":
            count[name.partition("/")[0]] += int(np.prod(shape))
    assert count == {
        "to_x": generator,
        "to_y": generator,
        "d_x": discriminator,
        "d_y": discriminator,
    }


# Objectives by hand -------------------------------------------------------------------------------


class Scale(nn.Module):
    """x -> w x"""

    start: float

    @nn.compact
    def __call__(self, x):
        return x * self.param("w", nn.initializers.constant(self.start), ())


class Swap(nn.Module):
    """A pool that gives back the negatives."""

    def __call__(self, images, key):
        return -images


def by_hand():
    """G(x) = 2 x, F(y) = 3 y, D_X(x) = 0.5 x, D_Y(y) = 0.25 y."""
    return cyclegan.CycleGAN(Scale(2.0), Scale(3.0), Scale(0.5), Scale(0.25), Swap(), Swap())


X, Y = jnp.array([1.0, -2.0]).reshape(2, 1, 1, 1), jnp.array([4.0, 2.0]).reshape(2, 1, 1, 1)
BATCH = {"x": X, "y": Y}


def value(objective, **options):
    """Loss, metrics and the gradient by each network's one weight."""
    method = functools.partial(objective, **options)
    module = by_hand()
    names = {"to_y": 2.0, "to_x": 3.0, "d_x": 0.5, "d_y": 0.25}
    params = {name: {"w": jnp.float32(w)} for name, w in names.items()}

    def loss(params):
        return module.apply({"params": params}, BATCH, jax.random.key(0), method=method)

    (total, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    return (
        float(total),
        {n: float(v) for n, v in metrics.items()},
        {n: float(g["w"]) for n, g in gradients.items()},
    )


# G(x) = 2, -4; F(y) = 12, 6; F(G(x)) = 6, -12; G(F(y)) = 24, 12; D_Y(G(x)) = .5, -1; D_X(F(y)) = 6,
# 3
TERMS = {
    "adversarial": (0.25 + 4) / 2 + (25 + 4) / 2,
    "forward": (5 + 10) / 2,
    "backward": (20 + 10) / 2,
    "identity": (2 + 4) / 2 + (4 + 2) / 2,
}


@pytest.mark.parametrize("name", TERMS)
def test_each_term_of_equation_3_is_what_it_is_by_hand_and_may_be_left_out(name):
    alone = cyclegan.Weights(**{**dict.fromkeys(TERMS, 0.0), name: 2.0})
    total, metrics, _ = value(cyclegan.generator_loss, weights=alone)
    assert metrics == pytest.approx({name: TERMS[name]}) and total == pytest.approx(2 * TERMS[name])


def test_equation_3_is_the_weighted_sum_and_its_gradient_is_that_by_hand():
    weights = cyclegan.Weights(adversarial=1, forward=10, backward=20, identity=5)
    total, metrics, gradients = value(cyclegan.generator_loss, weights=weights)
    assert metrics == pytest.approx(TERMS)
    assert total == pytest.approx(TERMS["adversarial"] + 10 * 7.5 + 20 * 15 + 5 * 6)
    # by G's weight g: (.25 g x - 1)^2, |3 g x - x|, |3 g y - y|, |g y - y|, whose signs are all
    # those of the image
    adversarial = np.mean([2 * (0.5 - 1) * 0.25 * 1, 2 * (-1 - 1) * 0.25 * -2])
    assert gradients["to_y"] == pytest.approx(adversarial + 10 * 3 * 1.5 + 20 * 3 * 3 + 5 * 3)


def test_the_presets_weigh_as_the_paper_and_the_codes_do():
    weights = {
        preset: dataclasses.astuple(config.weights)
        for preset, (_, config) in presets(cyclegan).items()
    }
    assert (weights["paper"], weights["official"], weights["pytorch"]) == (
        (1, 10, 10, 0),
        (1, 10, 10, 5),
        (1, 10, 10, 5),
    )


@pytest.mark.parametrize(("domains", "factor"), [("x", 1.0), ("y", 1.0), ("xy", 0.5)])
def test_the_discriminators_see_the_pool_s_images_and_learn_alone(domains, factor):
    """D_X(x) = .5, -1, of the pool -6, -3; D_Y(y) = 1, .5, of the pool -.5, 1."""
    real = {"x": (0.25 + 4) / 2, "y": 0.25 / 2}
    fake = {"x": (36 + 9) / 2, "y": (0.25 + 1) / 2}
    total, metrics, gradients = value(
        cyclegan.discriminator_loss, domains=tuple(domains), factor=factor
    )
    expected = {
        f"{kind}_{d}": values[d]
        for kind, values in (("real", real), ("fake", fake))
        for d in domains
    }
    assert metrics == pytest.approx(expected) and total == pytest.approx(
        factor * sum(expected.values())
    )
    assert {d for d in "xy" if gradients[f"d_{d}"]} == {*domains}


# The protocol -------------------------------------------------------------------------------------


def scaled(pool):
    return by_hand().clone(pool_x=ImagePool(pool), pool_y=ImagePool(pool))


@functools.cache
def played(config, steps=1, optimizer=None):
    """The weights of the networks above after some steps on one batch, the pools, and the metrics."""
    players = {
        n: p._replace(optimizer=optimizer or p.optimizer)
        for n, p in cyclegan.players(config).items()
    }
    one = games.make(scaled(config.pool), players)
    state = one.init(jax.random.key(0), BATCH)
    state, metrics = jax.jit(lambda state: games.steps(one, state, lambda step: BATCH, steps))(
        state
    )
    return (
        {name: float(leaf["w"]) for name, leaf in state.params.items()},
        state.variables.get("pool"),
        metrics,
    )


PLAIN, SGD = (
    dataclasses.replace(DISCS, pool=0, weights=cyclegan.Weights(identity=5)),
    optax.sgd(1e-3),
)


def test_both_orders_are_turns_and_the_codes_differ_in_what_the_second_generator_sees():
    each = dataclasses.replace(PLAIN, order="each")
    assert [*cyclegan.players(each)] == ["to_y", "d_y", "to_x", "d_x"]
    assert [*cyclegan.players(PLAIN)] == ["generators", "discriminators"]
    (both, _, _), (turns, _, _) = (played(config, optimizer=SGD) for config in (PLAIN, each))
    # G moves before all others in either
    assert both["to_y"] == pytest.approx(turns["to_y"], rel=1e-6)
    # by F's weight f, where G's is g: (.5 f y - 1)^2, |f g x - x|, |f g y - y| and |f x - x|
    adversarial = np.mean([2 * (6 - 1) * 2, 2 * (3 - 1) * 1])
    for found, g in ((both, 2.0), (turns, turns["to_y"])):
        assert found["to_x"] == pytest.approx(
            3 - 1e-3 * (adversarial + 10 * g * 1.5 + 10 * g * 3 + 5 * 1.5), rel=1e-5
        )
    # D_X sees the F that moved: (.5 -> d): (d x - 1)^2 + (d f y)^2, halved
    for found in (both, turns):
        fakes = found["to_x"] * np.array([4, 2])
        gradient = 0.5 * np.mean([2 * (0.5 - 1), 2 * (-1 - 1) * -2]) + 0.5 * np.mean(
            2 * 0.5 * fakes**2
        )
        assert found["d_x"] == pytest.approx(0.5 - 1e-3 * gradient, rel=1e-5)
    assert both["to_x"] != pytest.approx(turns["to_x"], rel=1e-6)


def test_halved_losses_are_half():
    (half, _, of_half), (full, _, of_full) = (
        played(dataclasses.replace(PLAIN, halved=halved), optimizer=SGD) for halved in (True, False)
    )
    np.testing.assert_allclose(
        2 * of_half["discriminators/loss"], of_full["discriminators/loss"], rtol=1e-6
    )
    for name, start in (("d_x", 0.5), ("d_y", 0.25)):
        assert 2 * (half[name] - start) == pytest.approx(full[name] - start, rel=1e-4)


def test_pools_remember_what_generators_made_before():
    """A pool of 2 is filled by the first batch; from the second on D sees older fakes."""
    kept = dataclasses.replace(PLAIN, pool=2)
    (start, pool, _), (fresh, nothing, _) = (
        played(config, optimizer=SGD) for config in (kept, PLAIN)
    )
    assert start == pytest.approx(fresh) and nothing is None
    for name, other in (("x", [4, 2]), ("y", [1, -2])):
        fakes = start[f"to_{name}"] * np.array(other)  # by the generators that have moved
        np.testing.assert_allclose(pool[f"pool_{name}"]["images"].ravel(), fakes, rtol=1e-5)
    (later, _, _), (latest, _, _) = (played(config, 4, SGD) for config in (kept, PLAIN))
    assert abs(later["d_x"] - latest["d_x"]) > 1e-3


def test_momentum_and_rate_are_those_of_the_protocol():
    usual, other = (played(PLAIN.but(adam=adam), 3)[0] for adam in (PLAIN.adam, Adam(0.1, b1=0.9)))
    first = played(PLAIN)[0]
    assert first["to_y"] == pytest.approx(2 - 2e-4, abs=2e-6)  # Adam's first step is the rate
    assert all(abs(usual[name] - other[name]) > 1e-2 for name in usual)


def test_the_ablations_differ_in_their_weights_alone():
    """Section 5.1.3."""
    weights = {
        "cycle": (0, 10, 10, 0),
        "gan": (1, 0, 0, 0),
        "forward": (1, 10, 0, 0),
        "backward": (1, 0, 10, 0),
    }
    weights |= {"full": (1, 10, 10, 0), "small": (1, 10, 10, 5)}  # and identity, as in the codes
    for name, expected in weights.items():
        config, whole = (presets(cyclegan)[each][1] for each in (name, "small"))
        assert dataclasses.astuple(config.weights) == expected
        assert dataclasses.replace(config, weights=whole.weights) == whole


def test_the_papers_domains_have_no_pairs_and_may_differ_in_length(monkeypatch):
    lengths = {"x": 5, "y": 3}
    asked = []

    def load(name, split, directory):
        asked.append((name, split))
        return {domain: np.full((n, 40, 40, 3), 10 * n, np.uint8) for domain, n in lengths.items()}

    monkeypatch.setattr(pipeline.sets, "load", load)
    monkeypatch.setattr(pipeline.sets, "hashes", lambda name, splits, directory: {})
    config = dataclasses.replace(
        presets(cyclegan)["small"][1], data="horse2zebra", width=2, batch_size=3, feature_images=0
    )
    data = pipeline.load(cyclegan.source(config))
    assert asked == [
        ("tfds:cycle_gan:horse2zebra", split) for split in ("train", "test")
    ] and data.unpaired == (
        "x",
        "y",
    )
    identity = SimpleNamespace(to_x=lambda y: y, to_y=lambda x: x)
    found = cyclegan.evaluate(
        config, lambda function, *args: function(identity, *args), data, jax.random.key(0)
    )
    assert found == {"test/places": 3, "test/perceived": 0, "test/cycle_x": 0, "test/cycle_y": 0}
    assert all(measure.unit for measure in found.values())


def test_a_game_without_aims_is_refused():
    with pytest.raises(UserError, match="at least one above 0"):
        dataclasses.replace(DISCS, weights=cyclegan.Weights(0, 0, 0, 0))


def test_another_decay_of_the_rate_is_refused():
    with pytest.raises(UserError, match="the rate always decays over the second half"):
        DISCS.but(adam=Adam(2e-4, b1=0.5, decay=0.1))


def test_rates_are_constant_for_half_of_the_steps_and_fall_to_zero():
    """Adam's update under equal gradients is the rate itself."""
    adam = cyclegan.players(dataclasses.replace(DISCS, steps=8))["generators"].optimizer
    params = {"w": jnp.zeros(())}
    state, rates = adam.init(params), []
    for _ in range(9):
        update, state = adam.update({"w": jnp.ones(())}, state, params)
        rates.append(-float(update["w"]) / 2e-4)
    np.testing.assert_allclose(rates, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0], atol=1e-4)


def test_the_torch_code_holds_the_biases_of_convolutions_alone():
    config = presets(cyclegan)["official"][1]
    optimizer = cyclegan.players(config)["to_y"].optimizer
    names = ("Conv_0", "ConvTranspose_1", "InstanceNorm_0")
    params = {"to_y": {name: {"kernel": jnp.ones(2), "bias": jnp.zeros(2)} for name in names}}
    update, _ = optimizer.update(
        jax.tree.map(jnp.ones_like, params), optimizer.init(params), params
    )
    moved = {
        name: {part: bool(leaf.any()) for part, leaf in parts.items()}
        for name, parts in update["to_y"].items()
    }
    assert moved == {
        "Conv_0": {"kernel": True, "bias": False},
        "ConvTranspose_1": {"kernel": True, "bias": False},
        "InstanceNorm_0": {"kernel": True, "bias": True},
    }
    table = json.loads(golden.path("cyclegan").read_text())["official"]
    kinds = {name.split("/")[-2].partition("_")[0] for name in table if name.endswith("/bias")}
    assert kinds == {"Conv", "ConvTranspose", "InstanceNorm"}  # no other layer has one


def test_a_config_of_an_older_release_is_read():
    now = presets(cyclegan)["emoji_quick"][1]
    old = configs.to_json(now)
    del old["adam"], old["feature_images"]
    old |= {"learning_rate": 1e-3, "b1": 0.9, "perceived": 7}
    read = configs.from_json(cyclegan.Config, {**old, "epsilon_hat": True}, "config.json")
    assert read == now.but(adam=Adam(1e-3, b1=0.9, epsilon_hat=True), feature_images=7)
    read = configs.from_json(cyclegan.Config, old, "config.json")  # older still
    assert read == now.but(adam=Adam(1e-3, b1=0.9), feature_images=7)


# The data -----------------------------------------------------------------------------------------


def test_domains_are_cut_alike_and_drawn_apart():
    source = cyclegan.source(DISCS)
    data = pipeline.load(source)
    batch_of = pipeline.resident(data.train, data.prepare, batch_size=64, unpaired=data.unpaired)
    raw = {name: jnp.asarray(array) for name, array in data.train.items()}
    batch = jax.jit(batch_of)(raw, jax.random.key(0), jnp.int32(0), jnp.int32(0))
    assert {name: array.shape for name, array in batch.items()} == {
        "x": (64, 16, 16, 3),
        "y": (64, 16, 16, 3),
    }
    assert all(-1 <= array.min() < -0.5 < 0.5 < array.max() <= 1 for array in batch.values())
    # of the discs, if paired
    colours = (
        np.asarray(batch["x"][:, 8, 8]),
        -np.asarray(batch["y"][:, 8, 8])[:, [2, 0, 1]],
    )
    assert (np.abs(colours[0] - colours[1]).max(1) < 0.02).mean() < 0.1
    with pytest.raises(UserError, match="a side of at most 18"):
        dataclasses.replace(DISCS, side=19)
    with pytest.raises(UserError, match="LPIPS needs 31 pixels"):
        dataclasses.replace(DISCS, feature_images=1)
    for change in ({"side": 14}, {"side": 8, "halvings": 2}):
        with pytest.raises(UserError, match=r"multiple of 4, (6|12) or above"):
            dataclasses.replace(DISCS, **change)


def test_each_weight_of_the_networks_of_images_is_moved_by_its_player_alone():
    """The six questions of every paper are asked of perceptrons."""
    data, one = pipeline.load(cyclegan.source(DISCS)), games.of(cyclegan, DISCS)
    batch = data.prepare(
        {name: jnp.asarray(array[:2]) for name, array in data.train.items()}, jax.random.key(0)
    )
    draws, shapes = np.random.default_rng(0), jax.eval_shape(one.init, jax.random.key(1), batch)
    first = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes.replace(key=jnp.zeros(()))
    )
    params = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 * draws.normal(size=leaf.shape), jnp.float32), shapes.params
    )
    # by hand: compiling the birth takes longer
    first = first.replace(key=jax.random.key(2), params=params)
    last, metrics = jax.jit(one.step)(first, batch)
    assert metrics[games.FINITE] == 1 and {*first.params} == {"to_x", "to_y", "d_x", "d_y"}
    assert all(
        jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), first.params, last.params))
    )
    fakes = last.variables["pool"]["pool_x"]
    assert fakes["images"].shape == (12, 16, 16, 3) and int(fakes["count"]) == 2
    assert all(image.any() for image in fakes["images"][:2]) and not fakes["images"][2:].any()


def test_discs_are_one_scene_in_other_colours():
    for pairs in worlds.discs(18):
        photo, other = pairs["photo"], pairs["map"]
        np.testing.assert_array_equal(other, 255 - photo[..., [1, 2, 0]])
        assert photo.dtype == np.uint8 and (photo[:, 0, 0] == 30).all()
        assert (photo[:, 9, 9] > 30).all(axis=1).mean() > 0.5


# Measures -----------------------------------------------------------------------------------------


class Oracle(nn.Module):
    """The true translation of discs, or its inverse, off by a little."""

    order: tuple[int, ...]
    off: float = 0.0

    @nn.compact
    def __call__(self, x):
        return -x[..., list(self.order)] + self.off


def test_the_true_translation_has_no_error_and_finds_its_partner():
    def measured(off):
        networks = Oracle((1, 2, 0), off), Oracle((2, 0, 1)), Oracle((0, 1, 2)), Oracle((0, 1, 2))
        module = cyclegan.CycleGAN(*networks, Swap(), Swap())
        data = pipeline.load(cyclegan.source(DISCS))
        return cyclegan.evaluate(
            DISCS, games.Trained(module, {}), data, jax.random.key(0)
        ), data.test

    metrics, test = measured(0.0)
    kinds = [f"{kind}_{name}" for kind in ("l1", "ssim", "top_1", "top_5") for name in test]
    assert {*metrics} == {
        "test/places", "test/perceived", "test/cycle_photo", "test/cycle_map",
        *(f"test/{kind}{end}" for kind in kinds for end in ("", "_untranslated")),
    }  # fmt: skip
    assert all(measure.unit for measure in metrics.values())
    assert metrics["test/places"] == 64 and metrics["test/perceived"] == 0
    for name in ("map", "photo"):
        assert metrics[f"test/l1_{name}"] < 1e-3 > metrics[f"test/cycle_{name}"]
        assert metrics[f"test/ssim_{name}"] == pytest.approx(1, abs=1e-5)
        assert metrics[f"test/top_1_{name}"] == metrics[f"test/top_5_{name}"] == 100
        images = {n: a[:, 1:17, 1:17].astype(float) for n, a in test.items()}
        assert metrics[f"test/l1_{name}_untranslated"] == pytest.approx(
            np.abs(images["photo"] - images["map"]).mean(), rel=1e-4
        )
    shifted, _ = measured(0.1)
    assert (
        shifted["test/l1_map"]
        == pytest.approx(12.75, rel=1e-3)
        == pytest.approx(shifted["test/cycle_photo"], rel=1e-3)
    )
    assert shifted["test/l1_photo"] < 1e-3 and shifted["test/ssim_map"] < 1


def test_samples_are_rows_of_image_translation_return_and_truth():
    networks = Oracle((1, 2, 0)), Oracle((2, 0, 1)), Oracle((0, 1, 2)), Oracle((0, 1, 2))
    module, data = (
        cyclegan.CycleGAN(*networks, Swap(), Swap()),
        pipeline.load(cyclegan.source(DISCS)),
    )
    pictures = cyclegan.sample(DISCS, games.Trained(module, {}), data, jax.random.key(0))
    assert {*pictures} == {"samples_of_photos", "samples_of_maps"}
    for name, other in (("photo", "map"), ("map", "photo")):
        page = pictures[f"samples_of_{name}s"]
        assert page.shape == (8 * 18 + 2, 4 * 18 + 2, 3)
        cells = [page[2:18, 18 * i + 2 : 18 * i + 18] for i in range(4)]
        for cell, true in zip(cells, (name, other, name, other), strict=True):
            np.testing.assert_array_equal(cell, data.test[true][0, 1:17, 1:17])


def test_partners_among_the_nearest():
    b = np.zeros((12, 11, 11, 1)) + 10.0 * np.arange(12).reshape(-1, 1, 1, 1)
    a = b.copy()
    a[0], a[1] = 24.0, 64.0  # rank 2, beyond 20 and 30; and rank 5, beyond 40, 50, 60, 70 and 80
    found = ssim.to_partners(a, b, span=255)
    assert found["top_1"] == pytest.approx(100 * 10 / 12) and found["top_5"] == pytest.approx(
        100 * 11 / 12
    )
    assert found["l1"] == pytest.approx((24 + 54) / 12)
    assert found["ssim"] == pytest.approx(ssim.structural(a, b, span=255).mean())


# Which pairings cycle-consistency leaves open -----------------------------------------------------


@pytest.mark.parametrize(
    ("masses", "count"), [((1, 1, 1, 1), 24), ((1, 2, 3, 4), 1), ((1, 1, 2, 2, 3, 3), 8)]
)
def test_as_many_pairings_fit_as_there_are_permutations_that_keep_the_masses(masses, count):
    """Every bijection is cycle-consistent with its inverse; it fits if it carries one distribution
    to the other.
    """
    atoms = worlds.atoms(masses, seed=0)
    found = [
        atoms.scores(atoms.y[list(order)]) for order in itertools.permutations(range(len(masses)))
    ]
    assert sum(each["fits"] for each in found) == count == atoms.symmetries()
    assert sum(each["true_pairing"] for each in found) == 1
    assert all(each["chance"] == 1 / count and each["distance"] < 1e-6 for each in found)
    assert atoms.scores(np.repeat(atoms.y[:1], len(masses), 0))["fits"] == 0  # all to one
    assert atoms.scores(1.5 * atoms.y)["distance"] == pytest.approx(0.5, rel=1e-5)


def test_atoms_of_equal_mass_leave_no_trace_of_their_pairing():
    masses = (1, 1, 2)
    train, test = worlds.atoms(masses, seed=3).arrays(each=50, std=0.01)
    for name in ("x", "y"):
        nearest = np.linalg.norm(train[name][:, None] - test[name][None], axis=-1).argmin(1)
        np.testing.assert_array_equal(np.bincount(nearest), [50, 50, 100])
        assert np.std(train[name] - test[name][nearest]) == pytest.approx(0.01, rel=0.15)
    seeds = [worlds.atoms((1,) * 4, seed) for seed in range(200)]
    same = np.mean([np.array_equal(a.x, a.y) for a in seeds])
    # partners lie in one order as often as in any other
    assert abs(same - 1 / 24) < 4 * np.sqrt(1 / 24 / 200)
