"""Few labels or none: counts, the labelled images in the state, hand-written updates, the names of
clusters.
"""

import contextlib
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import aae_labels
from gen_jax import game
from gen_jax.config import from_json, to_json
from gen_jax.data import few_labels, pipeline
from gen_jax.errors import DataError, UserError
from gen_jax.evaluation import codes
from gen_jax.networks.aae import Corruption, Labelled
from gen_jax.run import train
from gen_jax.run.experiment import presets
from tests import golden

TINY = presets(aae_labels)["tiny"][1]
CLUSTERS = dataclasses.replace(TINY, categories=12, labels=0, batch_norm=True, noise=0, dropout=0.2)
PLANE = dataclasses.replace(TINY, separation=3.0)


@functools.cache
def data(config=TINY):
    return pipeline.load(aae_labels.source(config))


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
    one = game.of(aae_labels, config)
    first = one.init(jax.random.key(0), {**batch(), **data(config).init_extras(data(config).train)})
    return first, *one.step(first, batch())


def test_parameter_counts():
    """2 x 1000 rectifiers: the shared layers and two heads of 10; 20 -> 784; and 10 -> 1, twice."""
    table = json.loads(golden.path("aae_labels").read_text())
    encoder = 784 * 1000 + 1000 + 1000 * 1000 + 1000 + 2 * (1000 * 10 + 10)
    decoder = 20 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 * 784 + 784
    assert table["paper"]["total"] == encoder + decoder + 2 * (
        10 * 1000 + 1000 + 1000 * 1000 + 1000 + 1000 + 1
    )
    norms = [name for name in table["clustering"] if "BatchNorm" in name]
    assert len(norms) == 8 and all(
        name.startswith(("encoder", "category", "style")) for name in norms
    )
    assert not any(
        name.startswith("encoder") and name.endswith("Dense_0/bias") for name in table["clustering"]
    )


def test_a_run_s_first_state_holds_the_same_few_labelled_images_of_each_class(tmp_path):
    """As a session makes it; and playing does not change them."""
    config = dataclasses.replace(TINY, run=dataclasses.replace(TINY.run, dir=tmp_path, devices=1))
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(train.Interrupts())
        state = train.Session(
            aae_labels, "tiny", config, stack, interrupts, train.load_data(aae_labels, config)
        ).init_state()
    held = jax.device_get(state.variables["labelled"]["labelled"])
    np.testing.assert_array_equal(np.bincount(held["label"]), np.full(10, 4))
    image, label = data().train["image"], np.asarray(data().train["label"])
    where = [np.flatnonzero((image == one).all((1, 2, 3))) for one in held["image"]]
    assert all(kind in label[places] for kind, places in zip(held["label"], where, strict=True))
    other = few_labels.balanced(data().train, count=40, classes=10, seed=1)["labelled_image"]
    assert (np.asarray(other) != held["image"]).any()
    np.testing.assert_array_equal(
        played(TINY)[1].variables["labelled"]["labelled"]["image"], held["image"]
    )


def test_labelled_images_are_drawn_with_their_labels_each_once_where_there_are_enough():
    image = jnp.arange(40, dtype=jnp.uint8).reshape(40, 1, 1, 1)
    given = {
        "image": image[:32],
        "label": image[:32].ravel(),
        "labelled_image": image,
        "labelled_label": image.ravel(),
    }
    drawn, variables = Labelled().init_with_output(jax.random.key(0), given, jax.random.key(1))
    np.testing.assert_array_equal(drawn[0].ravel(), drawn[1])
    assert len(set(np.asarray(drawn[1]))) == 32
    image, label = Labelled().apply(
        variables, {**given, "image": jnp.zeros((80, 1, 1, 1))}, jax.random.key(2)
    )
    assert label.shape == (80,) and set(np.asarray(label)) <= set(range(40))


def test_too_many_labels_are_refused():
    with pytest.raises(DataError, match="per class"):
        few_labels.balanced(data().train, count=5000, classes=10, seed=0)
    for values in ({"labels": 15}, {"categories": 16}):
        with pytest.raises(UserError, match="multiple of 10"):
            dataclasses.replace(TINY, **values)


# Constant logits: every loss is then known.
KNOWN = aae_labels.AAE(
    encoder=lambda x: x,
    category=lambda h: jnp.broadcast_to(jnp.log(jnp.arange(1.0, 11.0)), (len(h), 10)),
    style=lambda h: 2 * h,
    heads=None,
    decoder=lambda yz: yz[:, 10:] / 2 + yz[:, :1],  # x + y_0
    category_discriminator=lambda y: y[:, :1],
    style_discriminator=lambda z: 0 * z[:, :1] + 1.0,
    labelled=lambda batch, key: (jnp.zeros((4, 1, 1, 1), jnp.uint8), jnp.arange(4)),
    corrupt=lambda x, key: x,
)


def test_losses_in_closed_form():
    """y_i = (i + 1) / 55: the reconstruction is off by 1/55 in each pixel; labels 0..3 cost -log of
    theirs.
    """
    given = {"x": jnp.full((4, 3), 0.5)}
    key, softplus = jax.random.key(0), lambda a: np.log1p(np.exp(a))
    assert float(aae_labels.reconstruction_loss(KNOWN, given, key)[0]) == pytest.approx(
        0.5 * 3 / 55**2, rel=1e-4
    )
    expected = np.mean([np.log(55 / (i + 1)) for i in range(4)])
    assert float(aae_labels.classification_loss(KNOWN, given, key)[0]) == pytest.approx(
        expected, rel=1e-5
    )
    generator = softplus(-1 / 55) + softplus(-1)
    assert float(aae_labels.generator_loss(KNOWN, given, key)[0]) == pytest.approx(
        generator, rel=1e-5
    )
    many = {"x": jnp.full((20_000, 3), 0.5)}
    # a tenth of the prior's y is of category 0
    real = 0.1 * softplus(-1) + 0.9 * softplus(0) + softplus(-1)
    loss, _ = aae_labels.discriminator_loss(KNOWN, many, key)
    assert float(loss) == pytest.approx(real + softplus(1 / 55) + softplus(1), abs=0.005)


def test_the_rate_falls_tenfold_after_the_given_epochs():
    rule = aae_labels.sgd(aae_labels.PAPER, 0.1, 0.1)
    state, w = rule.init(jnp.zeros(())), 0.0
    jumps = {}
    for at in (0, 50 * 590 - 1, 50 * 590, 1000 * 590):
        counted = optax.tree.set(state, count=jnp.int32(at))
        jumps[at] = -float(rule.update(jnp.float32(1), counted, w)[0])
    np.testing.assert_allclose(list(jumps.values()), [0.1, 0.1, 0.01, 0.001], rtol=1e-5)
    _, once = rule.update(jnp.float32(1), state, w)
    # momentum 0.1
    assert -float(rule.update(jnp.float32(1), once, w)[0]) == pytest.approx(0.1 * 1.1, rel=1e-5)


@pytest.mark.parametrize("config", [TINY, CLUSTERS, PLANE], ids=["labels", "clusters", "plane"])
def test_every_weight_moves_and_only_labels_bring_a_classifier(config):
    first, last, metrics = played(config)
    assert metrics[game.FINITE] == 1
    same = jax.tree.map(lambda a, b: bool((a == b).all()), first.params, last.params)
    assert not any(jax.tree.leaves(same)), same
    assert ("classifier/loss" in metrics) == (config.labels > 0)
    if config.batch_norm:
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), first.variables, last.variables)
        assert all(jax.tree.leaves(moved)), moved


@pytest.mark.parametrize(
    "values",
    [{"noise": 0}, {"dropout": 0.2}, {"batch_norm": True}, {"labels": 20}, {"separation": 3}],
)
def test_each_switch_changes_the_update(values):
    ours, other = (played(config)[2] for config in (TINY, dataclasses.replace(TINY, **values)))
    assert any(float(ours[name]) != float(other[name]) for name in ours)


def test_clusters_are_evaluated_and_drawn():
    model = game.trained(aae_labels.model(CLUSTERS), played(CLUSTERS)[1])
    numbers = aae_labels.evaluate(CLUSTERS, model, data(CLUSTERS), jax.random.key(0))
    assert 0 < numbers["test/error_12_clusters"] < 100
    assert 0 < numbers["test/mean_entropy"] <= numbers["test/category_entropy"] + 1e-5  # concave
    assert numbers["test/category_entropy"] <= np.log(12) + 1e-5
    assert aae_labels.sample(CLUSTERS, model, data(CLUSTERS), jax.random.key(0))[
        "samples"
    ].shape == (102, 122, 3)


def test_heads_that_are_too_near_are_pushed_apart_and_others_left_alone():
    """In a plane at 0, 1 and 5 on a line: 3 - 1 is missing between two of them, and both have slope
    1.
    """
    config = dataclasses.replace(CLUSTERS, categories=3, separation=3.0)

    def lacking(kernel):
        model = KNOWN.clone(heads=lambda y: y @ kernel)
        return aae_labels.separation_loss(model, {}, jax.random.key(0), config=config)[0]

    kernel = jnp.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    assert float(lacking(kernel)) == pytest.approx(2, rel=1e-5)
    np.testing.assert_allclose(jax.grad(lacking)(kernel), [[1, 0], [-1, 0], [0, 0]], atol=1e-5)
    assert float(lacking(3 * kernel)) == 0
    assert np.isfinite(jax.grad(lacking)(0 * kernel)).all()  # heads in one place


def test_the_code_of_a_reduction_is_the_head_and_the_style_and_is_evaluated_by_neighbours():
    model = game.trained(aae_labels.model(PLANE), played(PLANE)[1])
    y, z, code, reconstruction = model.autoencode(codes.vectors(data(PLANE).test))
    heads = model.variables["params"]["heads"]["kernel"]
    assert heads.shape == (10, 2)
    np.testing.assert_allclose(code, y @ heads + z, atol=1e-5)
    for decoded, expected in zip(model.decode(y, z), (code, reconstruction), strict=True):
        np.testing.assert_allclose(decoded, expected, atol=1e-5)
    assert (
        0
        < aae_labels.evaluate(PLANE, model, data(PLANE), jax.random.key(0))[
            "test/nearest_neighbour_error"
        ]
        < 100
    )
    assert aae_labels.sample(PLANE, model, data(PLANE), jax.random.key(0))["codes"].shape == (
        600,
        600,
        3,
    )


def test_corruption_adds_noise_and_drops_a_share_of_the_pixels():
    x, key = jnp.full((200, 100), 0.5), jax.random.key(0)
    noisy = np.asarray(Corruption(noise=0.3, dropout=0.0)(x, key))
    assert noisy.mean() == pytest.approx(0.5, abs=0.01)
    assert noisy.std() == pytest.approx(0.3, rel=0.03)
    dropped = np.asarray(Corruption(noise=0.0, dropout=0.2)(x, key))
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(dropped[dropped > 0], 0.5 / 0.8)
    np.testing.assert_array_equal(Corruption(noise=0.0, dropout=0.0)(x, key), x)


def test_a_config_of_an_older_release_still_opens():
    old = json.loads(json.dumps(to_json(CLUSTERS)))
    assert "reconstruction_rate" in old and "adam" not in old  # no field was renamed
    assert from_json(aae_labels.Config, old, "config.json") == CLUSTERS


def test_numbers_have_units_and_all_presets_are_there():
    model = game.trained(aae_labels.model(PLANE), played(PLANE)[1])
    numbers = aae_labels.evaluate(PLANE, model, data(PLANE), jax.random.key(0))
    assert numbers["test/error_40_labels"].unit == "% of images"
    assert numbers["test/mmd"].unit.startswith("squared, styles of test images against N(0, I);")
    accuracy = numbers["test/two_sample_accuracy"].unit
    assert accuracy == "of a classifier of styles of test images and N(0, I); 0.5 if they are equal"
    assert all(number.unit for number in numbers.values())
    assert [*presets(aae_labels)] == [
        *("paper", "labels1000", "clustering", "clustering16", "reduction"),
        *("quick", "clustering_quick", "reduction_quick", "tiny"),
    ]
