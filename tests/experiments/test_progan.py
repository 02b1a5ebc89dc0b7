"""Progressive GAN: objectives by hand, the plan of growing, what a change of stage does, and what
is refused.
"""

import dataclasses
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import progan
from experiments.abilities import progan as abilities
from experiments.presets.progan import ROWS as rows_of_table
from gen_jax import config as configs
from gen_jax.data import pipeline
from gen_jax.errors import UserError
from gen_jax.evaluation import growing_images
from gen_jax.game import Trained
from gen_jax.images import to_uint8
from gen_jax.networks import progan as growing
from gen_jax.objectives import gradient_penalty
from gen_jax.run import train
from gen_jax.run.experiment import presets
from tests.test_experiments import leaves

TINY = presets(progan)["tiny"][1]
FADING = progan.Level(10, 20, 8, True, 8, 1e-3)


class Linear:
    """Images are z times a factor; the score is the sum of an image times a slope for each pixel,
    and a constant.
    """

    def __init__(self, factor, slope, constant=0.0):
        self.factor, self.slope, self.constant = factor, slope, constant

    def draw(self, key, count):
        return jax.random.normal(key, (count, 1))

    def generate(self, z, side, fade):
        return self.factor * jnp.broadcast_to(z[:, :, None, None], (len(z), side, side, 1))

    def score(self, x, side, fade):
        assert x.shape[1] == side
        return self.constant + self.slope * x.sum((1, 2, 3))


def batch(n=6, side=8, step=0):
    x = jax.random.normal(jax.random.key(3), (n, side, side, 1))
    return {"x": x, "step": jnp.int32(step)}


@pytest.mark.parametrize(("gamma", "drift"), [(1.0, 0.0), (4.0, 0.001)])
def test_the_critic_s_loss_by_hand(gamma, drift):
    config = dataclasses.replace(TINY, gamma=gamma, drift=drift)
    level, given = progan.levels(config)[-1], batch()
    model, key = Linear(0.7, 0.3, 0.2), jax.random.key(1)
    loss, metrics = progan.discriminator_loss(model, given, key, config=config, level=level)
    z = jax.random.normal(jax.random.split(key)[0], (6, 1))
    real, fake = 0.2 + 0.3 * given["x"].sum((1, 2, 3)), 0.2 + 0.3 * 0.7 * 64 * z[:, 0]
    penalty = (0.3 * 8 / gamma - 1) ** 2  # the slope's length over 64 pixels
    expected = fake.mean() - real.mean() + 10 * penalty + drift * (real**2).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(metrics["penalty"], penalty, rtol=1e-4)
    # by the critic's z
    ours, _ = progan.generator_loss(model, given, key, config=config, level=level)
    np.testing.assert_allclose(ours, -(0.2 + 0.3 * 0.7 * 64 * z[:, 0]).mean(), rtol=1e-4)


def test_least_squares_by_hand():
    config = dataclasses.replace(TINY, loss="lsgan", lambda_gp=0, drift=0)
    level, given, key = progan.levels(config)[-1], batch(), jax.random.key(1)
    model = Linear(0.01, 0.02)
    loss, metrics = progan.discriminator_loss(model, given, key, config=config, level=level)
    z = jax.random.normal(jax.random.split(key)[0], (6, 1))
    real, fake = 0.02 * given["x"].sum((1, 2, 3)), 0.02 * 0.01 * 64 * z[:, 0]
    np.testing.assert_allclose(loss, (real**2).mean() + 0.1 * ((fake - 1) ** 2).mean(), rtol=1e-5)
    assert {*metrics} == {"distance"}
    ours, _ = progan.generator_loss(model, given, key, config=config, level=level)
    np.testing.assert_allclose(ours, (fake**2).mean(), rtol=1e-5)


def theano_score(params, x, lod):
    """The Theano critic by itself, of images at the last side whatever is played: [b, s, s, c]
    -> [b].
    """

    def layer(x, part, name, activation=lambda y: nn.leaky_relu(y, 0.2), gain=2):
        kernel, bias = params[part][name]["kernel"], params[part][name]["bias"]
        kernel = kernel * jnp.sqrt(gain / math.prod(kernel.shape[:-1]))
        if kernel.ndim == 2:
            return activation(x @ kernel + bias[None])
        layout = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
        return activation(y + bias[None, None, None])

    def pooled(x, times):
        return nn.avg_pool(x, (times, times), (times, times))

    last, whole = x.shape[1], int(lod)
    first = side = last >> whole
    h = layer(pooled(x, last // side), f"reading_{side}", "Conv_0")
    while side > 4:
        h = pooled(layer(layer(h, f"critic_{side}", "Conv_0"), f"critic_{side}", "Conv_1"), 2)
        side //= 2
        if 2 * side == first and lod > whole:
            old = layer(pooled(x, last // side), f"reading_{side}", "Conv_0")
            h = (1 - (lod - whole)) * h + (lod - whole) * old
    spread = jnp.sqrt(((h - h.mean(0, keepdims=True)) ** 2).mean(0) + 1e-8).mean()
    h = layer(
        jnp.concatenate([h, jnp.broadcast_to(spread, (*h.shape[:3], 1))], -1), "critic_4", "Conv_0"
    )
    h = layer(h.reshape(len(h), -1), "critic_4", "Dense_0")
    return layer(h, "critic_4", "Dense_1", lambda y: y[:, 0], 1)


GROWN = dataclasses.replace(TINY, side=32, base=32, gamma=4, images=10_000)
# the side that is played, its fade
LODS = {
    0: (32, None),
    0.4: (32, 0.6),
    1: (16, None),
    1.4: (16, 0.6),
    3: (4, None),
}


@pytest.mark.parametrize("lod", LODS)
def test_the_penalty_is_by_the_image_at_the_last_side_as_in_the_official_code(lod):
    """There images are repeated up to 32 pixels, the critic averages them, and the gradient is by
    the large one.

    The critic itself gives the scores of ours.
    """
    side, fade = LODS[lod]
    fade = None if fade is None else jnp.float32(fade)
    model, times, key = progan.model(GROWN), 2 ** int(lod), jax.random.key(3)
    assert side * times == 32

    def large(x):
        return x.repeat(times, 1).repeat(times, 2)

    @jax.jit
    def both():
        variables = model.init(jax.random.key(0), jnp.ones((4, 8)), method="touch_all")
        variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)  # so that biases matter
        real, fake = (jax.random.normal(jax.random.key(i), (4, side, side, 1)) for i in (1, 2))

        def score(x):
            return model.apply(variables, x, side, fade, method="score")

        def official(x):
            return theano_score(variables["params"], x, lod)

        scores = jnp.stack([score(real), official(large(real))])
        by_large = gradient_penalty(official, large(real), large(fake), key, target=4)
        ours, own = (
            gradient_penalty(score, real, fake, key, target=4, shrink=shrink)
            for shrink in (times, 1)
        )
        return scores, by_large, ours, own

    with jax.enable_x64(True):
        scores, official, ours, own = jax.device_get(both())
    assert official.dtype == np.float64 and np.std(scores) > 0.01
    np.testing.assert_allclose(*scores, atol=1e-6)  # the deviation is taken in float32
    np.testing.assert_allclose(ours, official, rtol=1e-6)
    assert (abs(own - official) > 1e-2 * official) == (times > 1)
    level = next(
        at for at in progan.levels(GROWN) if (at.side, at.fading) == (side, fade is not None)
    )
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            progan,
            "gradient_penalty",
            lambda *_, **given: seen.append(given["shrink"]) or jnp.ones(()),
        )
        for penalty_side in ("last", "own"):
            config = dataclasses.replace(GROWN, penalty_side=penalty_side)
            progan.discriminator_loss(
                Linear(0.7, 0.3), batch(side=32), key, config=config, level=level
            )
    assert seen == [times, 1]


def test_both_players_see_the_same_latents_where_they_move_together():
    drawn = []

    class Noted(Linear):
        def draw(self, key, count):
            drawn.append(super().draw(key, count))
            return drawn[-1]

    level, key = progan.levels(TINY)[-1], jax.random.key(1)
    for player in (progan.discriminator_loss, progan.generator_loss):
        player(Noted(0.7, 0.3), batch(), key, config=TINY, level=level)
    np.testing.assert_array_equal(*drawn)
    assert progan.CIFAR.together


def test_minibatch_discrimination_starts_from_images_of_the_first_side():
    config = dataclasses.replace(
        TINY, style=dataclasses.replace(TINY.style, variation="discrimination")
    )
    source = progan.source(config)
    data, one = pipeline.load(source), progan.game(config, progan.levels(config)[0])
    raw, first = {name: a[:16] for name, a in data.train.items()}, source.init_extras(data.train)
    assert first["first"].shape == (500, 4, 4, 1) and first["first"].min() >= -1

    @jax.jit
    def init(extra):
        return one.init(jax.random.key(0), {**data.prepare(raw, jax.random.key(0)), **extra})

    plain, started = init({}), init(first)
    before, after = (state.params["critic_4"]["discrimination"] for state in (plain, started))
    assert (before["bias"] == -1).all() and not before["log_scale"].any()
    model = progan.model(config)
    found = model.apply(
        {"params": plain.params}, first["first"], 4, method="score", mutable="intermediates"
    )[1]
    expected = growing.calibrated(
        before, *found["intermediates"]["critic_4"]["discrimination"]["distances"]
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after, expected
    )
    assert leaves(started.optimizers) == leaves(plain.optimizers)
    assert progan.source(TINY).init_extras(data.train) == {}


def test_the_new_side_fades_in_linearly_and_the_code_holds_it_for_four_steps():
    steps = jnp.arange(10, 20)
    np.testing.assert_allclose(
        [FADING.fade(step, 1) for step in steps], np.arange(10) / 10, atol=1e-7
    )
    held = [0, 0, 0, 0, 0.4, 0.4, 0.4, 0.4, 0.8, 0.8]
    np.testing.assert_allclose([FADING.fade(step, 4) for step in steps], held, atol=1e-7)
    assert FADING._replace(fading=False).fade(jnp.int32(3), 1) is None


def test_real_images_fade_too():
    x = batch(side=16)["x"]
    coarse = growing.upsample(growing.downsample(x, 4))
    fine = growing.downsample(x, 8)
    for fade in (0.0, 0.25, 1.0):
        got = growing.at_level(x, 8, jnp.float32(fade))
        np.testing.assert_allclose(got, (1 - fade) * coarse + fade * fine, atol=1e-6)
    np.testing.assert_array_equal(growing.at_level(x, 8, None), fine)
    model, given, level = Linear(0.7, 0.3), batch(side=8, step=FADING.first), FADING
    seen = []
    model.score = lambda x, side, fade: seen.append(x) or x.sum((1, 2, 3))
    config = dataclasses.replace(TINY, lambda_gp=0)
    progan.discriminator_loss(model, given, jax.random.key(0), config=config, level=level)
    np.testing.assert_allclose(seen[0], growing.at_level(given["x"], 8, jnp.float32(0)), atol=1e-5)


def test_the_plans_of_the_paper_and_of_the_code():
    paper = progan.levels(presets(progan)["celeb_a_hq"][1])
    assert [level.side for level in paper if not level.fading] == [
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        512,
        1024,
    ]
    sizes = {level.side: level.batch_size for level in paper}
    assert sizes == {**dict.fromkeys((4, 8, 16, 32, 64, 128), 16), 256: 14, 512: 6, 1024: 3}
    images = [(level.end - level.first) * level.batch_size for level in paper]
    wanted = [800_000] * 16 + [19_000_000 - 16 * 800_000]
    assert all(
        0 <= have - want < level.batch_size
        for have, want, level in zip(images, wanted, paper, strict=True)
    )
    assert [level.first for level in paper[1:]] == [level.end for level in paper[:-1]] and paper[
        0
    ].first == 0
    two = {
        level.side: (level.batch_size, level.rate)
        for level in progan.levels(presets(progan)["celeb_a_hq_v2"][1])
    }
    assert (two[4], two[32], two[512], two[1024]) == (
        (128, 1e-3),
        (64, 1e-3),
        (4, 1e-3),
        (4, 1.5e-3),
    )
    (alone,) = progan.levels(presets(progan)["a"][1])
    assert (alone.side, alone.fading, alone.end * alone.batch_size) == (32, False, 10_000_000)


def test_what_a_row_of_the_table_adds():
    rows = {row: config for row, (_, config) in rows_of_table.items()}

    def change(before, after):
        a, b = (dict(configs.flatten(rows[row])) for row in (before, after))
        return {name.removeprefix("style."): b[name] for name in a if a[name] != b[name]}

    assert change("a", "b") == {"start": 4}
    # one step of the generator
    assert rows["a"].hold == rows["c"].hold == 5 and rows["d"].hold == 1
    assert change("b", "c") == {"batches": [16], "average": 0.999}
    assert {"batch_norm", "layer_norm", "tanh", "n_critic", "b2", "drift", "latents"} < {
        *change("c", "d")
    }
    assert change("d", "e_discrimination") == {"variation": "discrimination"}
    assert change("d", "e") == {"variation": "deviation"}
    assert change("e", "f") == {"equalized": True, "rates": [1e-3]}
    assert change("f", "g") == {"pixel_norm": True}
    assert change("g", "h") == {"base": 8192, "images": 19_000_000}


def equal(a, b):
    """Of each leaf."""
    return [
        bool((x == y).all()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    ]


@pytest.fixture(scope="module")
def first_stage():
    """The state before and after one step of the first stage."""
    one, data = progan.game(TINY, progan.levels(TINY)[0]), pipeline.load(progan.source(TINY))
    batch = data.prepare({name: a[:8] for name, a in data.train.items()}, jax.random.key(0))
    before = jax.jit(one.init)(jax.random.key(0), batch)
    return before, jax.jit(one.step)(before, batch)[0]


def test_a_stage_moves_and_averages_what_is_in_use(first_stage):
    before, after = first_stage
    for name in before.params:
        same = equal(before.params[name], after.params[name])
        assert not any(same) if name.endswith("_4") else all(same)
        if name in before.average:
            assert equal(before.average[name], after.average[name]) == same
    kernel, new = (state.params["image_4"]["Conv_0"]["kernel"] for state in first_stage)
    got = after.average["image_4"]["Conv_0"]["kernel"]
    np.testing.assert_allclose(got, 0.999 * kernel + 0.001 * new, rtol=1e-6, atol=1e-7)


def test_a_stage_begins_with_fresh_optimizers_of_what_it_uses(first_stage):
    _, after = first_stage
    begun = progan.stages(TINY)[1].on_enter(after)
    assert not any(leaf.any() for leaf in jax.tree.leaves(begun.optimizers))
    assert any(leaf.any() for leaf in jax.tree.leaves(after.optimizers))
    assert {*begun.optimizers["generator"][0].mu} == {
        "generator_4",
        "generator_8",
        "image_4",
        "image_8",
    }
    assert leaves(begun.params) == leaves(after.params) and leaves(begun.average) == leaves(
        after.average
    )


def test_pictures_are_of_the_side_that_was_played_last():
    model = progan.model(TINY)
    variables = model.init(jax.random.key(0), jnp.ones((4, 8)), method="touch_all")
    z = jax.random.normal(jax.random.key(1), (5, 8))
    blocks, levels = {}, progan.levels(TINY)
    for step in (20, 30, 40, 60):
        images = growing_images.generate(Trained(model, variables, step), levels, z, 8)
        assert images.shape == (5, 8, 8, 1) and images.dtype == np.uint8
        blocks[step] = (images[:, ::2] == images[:, 1::2]).all()
    assert blocks == {20: True, 30: False, 40: False, 60: False}
    # the end of fading in is the new side itself
    faded = growing_images.generate(Trained(model, variables, 40), levels, z, 8)
    np.testing.assert_array_equal(
        faded, growing_images.generate(Trained(model, variables, 60), levels, z, 8)
    )


@pytest.mark.parametrize("batch_norm", [False, True])
def test_codes_are_decoded_as_images_are_evaluated(batch_norm):
    """Batch norm takes its statistics over as many codes, however few are asked for."""
    style = dataclasses.replace(TINY.style, batch_norm=batch_norm)
    config = TINY.but(style=style)
    model = progan.model(config)
    variables = model.init(jax.random.key(0), jnp.ones((4, 8)), method="touch_all")
    z = jax.random.normal(jax.random.key(1), (5, 8))
    for step in (20, 60):
        one = Trained(model, variables, step)
        x = to_uint8(np.asarray(abilities.decode(config, one, z)))
        expected = growing_images.generate(one, progan.levels(config), z, 8)
        assert x.shape == (5, 8, 8, 1) and expected.std() > 1
        assert np.abs(x.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side": 12}, "side is 12; it must be a power of two"),
        ({"start": 2}, "start is 2; it must be a power of two"),
        ({"start": 16}, "start is 16; it must be at most side, 8"),
        ({"images": 480}, "images is 480; growing takes 480"),
        ({"batches": (6,)}, "style.group is 4; it must divide a batch, and one has 6"),
    ],
)
def test_what_cannot_be_played_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(TINY, **change)


def test_weights_of_inception_that_cannot_be_read_end_with_65_and_a_sentence(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("GEN_JAX_INCEPTION", str(tmp_path / "nowhere"))
    monkeypatch.setattr("sys.argv", ["progan", "tiny", "--run.dir", str(tmp_path / "run")])
    assert train.main("experiments.progan") == 65
    said = capsys.readouterr().err
    assert "nowhere cannot be read" in said and "give weights of Inception as safetensors" in said
    assert "Traceback" not in said
    done = subprocess.run(
        [sys.executable, "-m", "experiments.progan", "tiny", "--help"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0  # nothing is read for that


def test_a_config_of_before_the_fields_were_renamed_still_opens():
    config = presets(progan)["b"][1]
    values = configs.to_json(config)
    for new, old in (
        ("max_features", "most"), ("gamma", "slope"), ("n_critic", "critics"),
        ("average", "smoothing"), ("n_images", "judged"), ("n_feature_images", "perceived"),
    ):  # fmt: skip
        values[old] = values.pop(new)
    values["style"]["sphere"] = values["style"].pop("normalize_latents")
    assert values["critics"] == 5 and values["style"]["sphere"] is False
    assert configs.from_json(progan.Config, values, "config.json") == config


def test_without_an_average_none_is_kept():
    """Pictures are then by the weights themselves."""
    config, data = TINY.but(average=0), pipeline.load(progan.source(TINY))
    one = progan.game(config, progan.levels(config)[0])
    given = data.prepare({name: a[:8] for name, a in data.train.items()}, jax.random.key(0))
    state = jax.eval_shape(one.init, jax.random.key(0), given)
    assert state.average == {}
    assert {*state.params} == {
        *jax.eval_shape(progan.game(TINY).init, jax.random.key(0), given).params
    }
