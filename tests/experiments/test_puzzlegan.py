"""Puzzle-GAN: the code's counts, losses by hand, and an order that does not matter."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import puzzlegan
from gen_jax import config as configs
from gen_jax import game as games
from gen_jax.data import pipeline
from gen_jax.data.synthetic import shapes
from gen_jax.errors import UserError
from gen_jax.evaluation import key_patches as measures
from gen_jax.optimizers import Adam
from gen_jax.run.experiment import presets
from tests import golden

TINY = presets(puzzlegan)["tiny"][1]


@functools.cache
def data():
    return pipeline.load(puzzlegan.source(TINY))


@functools.cache
def batch(key=0):
    return jax.jit(data().prepare)(
        {n: jnp.asarray(a[:16]) for n, a in data().train.items()}, jax.random.key(key)
    )


def test_the_networks_have_as_many_weights_as_the_code_s():
    table = json.loads(golden.path("puzzlegan").read_text())["official"]
    count = dict.fromkeys(("encoder", "mask", "generator", "discriminator"), 0)
    for name, shape in table.items():
        if name != "total":
            count[name.partition("/")[0]] += int(np.prod(shape))
    assert [*count.values()] == [5_357_056, 9_656_257, 15_016_835, 4_316_545]


class Known:
    """A generator of one grey, a mask of one logit, and logits that are an image's mean: all losses
    are then known.
    """

    latents = 1

    @staticmethod
    def draw(patch, key):
        return jnp.full((2, 4, 4, 3), 0.5), jnp.zeros((2, 4, 4, 1))

    @staticmethod
    def logits(x):
        return x.mean((1, 2, 3))


KEY = jax.random.key(0)


def softplus(x):
    return float(np.log1p(np.exp(x)))


def test_losses_in_closed_form():
    """Two images, of 1 and of -1 throughout; the mask is their upper half."""
    x = jnp.broadcast_to(jnp.array([1.0, -1.0])[:, None, None, None], (2, 4, 4, 3))
    mask = jnp.zeros((2, 4, 4, 1)).at[:, :2].set(1)
    given = {"x": x, "mask": mask, "patch": None, "step": 3}
    loss, metrics = puzzlegan.discriminator_loss(Known, given, KEY, config=TINY)
    real = (softplus(-1) + softplus(1)) / 2
    released = real + softplus(0.5) + 2 * softplus(0)  # halves of 1 and -1 have the mean 0
    assert float(loss) == pytest.approx(released, rel=1e-6)
    assert float(metrics["accuracy"]) == 0.25  # one of two images, and no fake
    loss, _ = puzzlegan.discriminator_loss(Known, given, KEY, config=TINY.but(negatives="all"))
    assert float(loss) == pytest.approx(released + softplus(0.75) + softplus(-0.25), rel=1e-6)
    config = TINY.but(first_weight=0.2, last_weight=0.3, epochs=2, steps=4)  # step 3 is in the last
    loss, metrics = puzzlegan.generator_loss(Known, given, KEY, config=config)
    assert float(metrics["spatial"]) == pytest.approx(2 * 16 * 0.5)
    # in the mask |0.25 - +-1|, around it |0.25 - 0|
    appearance = 8 * 3 * (0.75 + 1.25) + 2 * 8 * 3 * 0.25
    assert float(metrics["appearance"]) == pytest.approx(appearance)
    assert float(loss) == pytest.approx(softplus(-0.5) + 0.3 * (16 + appearance), rel=1e-5)


def test_weights_fall_log_linearly_by_epochs():
    config = TINY.but(epochs=3, steps=30)
    steps = (0, 9, 10, 19, 20, 29, 40)
    found = [float(puzzlegan.weight(config, jnp.int32(step))) for step in steps]
    np.testing.assert_allclose(found, [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4], rtol=1e-5)
    with pytest.raises(UserError, match="epochs"):
        TINY.but(epochs=50)


def test_a_config_of_an_older_release_is_read():
    old = configs.to_json(TINY)
    del old["adam"], old["n_critic"]
    old |= {"learning_rate": 1e-3, "b1": 0.9, "every": 3}
    new = TINY.but(adam=Adam(1e-3, b1=0.9), n_critic=3)
    assert configs.from_json(puzzlegan.Config, old, "config.json") == new


@functools.cache
def first():
    """The state of seed 0 before the first step."""
    return jax.jit(games.of(puzzlegan, TINY).init)(jax.random.key(0), batch())


@functools.cache
def played():
    """The states after each of two steps from seed 0, and their metrics."""
    step = jax.jit(games.of(puzzlegan, TINY).step)
    state, metrics = step(first(), batch())
    last, more = step(state, batch())
    return (state, last), (metrics, more)


def test_the_generator_plays_every_second_step_and_more_negatives_change_the_update():
    (state, _), metrics = played()
    assert [bool(np.isnan(step["generator/loss"])) for step in metrics] == [False, True]
    assert all(np.isfinite(step["discriminator/loss"]) for step in metrics)
    # the discriminator moves first: alone, it makes the same update
    discriminator = puzzlegan.players(TINY.but(negatives="all"))["discriminator"]
    alone = games.make(puzzlegan.model(TINY), {"discriminator": discriminator})
    start = first()
    other, _ = jax.jit(alone.step)(
        start.replace(optimizers={"discriminator": start.optimizers["discriminator"]}), batch()
    )
    pairs = zip(
        *(jax.tree.leaves(end.params["discriminator"]) for end in (state, other)), strict=True
    )
    assert max(float(jnp.abs(a - b).max()) for a, b in pairs) > 1e-4  # Adam's steps are 2e-4


def test_the_order_of_the_patches_does_not_matter_and_the_patches_do():
    (_, state), _ = played()
    model, z = games.trained(puzzlegan.model(TINY), state), jax.random.key(3)
    fake, mask = model.draw(batch()["patch"], z)
    again = model.draw(batch()["patch"][:, jnp.array([2, 0, 1])], z)
    assert fake.shape == (16, 16, 16, 3) and mask.shape == (16, 16, 16, 1)
    for one, other in zip((fake, mask), again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    others = model.draw(batch()["patch"][::-1], z)
    assert np.abs(others[1] - mask).max() > 1e-3


def test_test_images_are_measured_and_drawn():
    model = games.trained(puzzlegan.model(TINY), first())
    some = data()._replace(test={name: array[:20] for name, array in data().test.items()})
    found = puzzlegan.evaluate(TINY, model, some, KEY)
    assert {*found} == {f"test/{name}" for name in measures.UNITS}
    assert found["test/order_difference"] < 1e-5 and all(value.unit for value in found.values())
    picture = puzzlegan.sample(TINY, model, some, KEY)["samples"]
    assert picture.shape == (10 * 18 + 2, 12 * 18 + 2, 3)
    truth = [picture[2:18, 18 * i + 2 : 18 * i + 18] for i in (5, 11)]  # or their mirror images
    scene = shapes.Scene(*(jnp.asarray(some.test[name][:2]) for name in shapes.Scene._fields))
    for cell, image in zip(truth, np.asarray(shapes.render(scene, 16)), strict=True):
        pixels = np.rint(255 * image).astype(int)
        near = [np.abs(cell - either).max() for either in (pixels, pixels[:, ::-1])]
        assert min(near) <= 1
