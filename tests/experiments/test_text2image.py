"""Text to image: the code's counts, each objective by hand, wrong images, what is measured."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import text2image
from experiments.text2image import Config
from gen_jax import game as games
from gen_jax.config import Run, from_json
from gen_jax.data import captions, pipeline
from gen_jax.errors import UserError
from gen_jax.evaluation import joint_embedding, retrieval
from gen_jax.evaluation.joint_embedding import Embedding
from gen_jax.networks.text2image import Discriminator, Generator, PlainDiscriminator
from gen_jax.optimizers import Adam
from gen_jax.run.experiment import presets

KEY = jax.random.key(0)


def softplus(x):
    return np.logaddexp(0, x)


@pytest.mark.parametrize(("bottleneck", "count"), [("both", 4_032_321), ("generator", 3_227_201)])
def test_the_networks_have_the_weights_of_the_code(bottleneck, count):
    def apply_all(model, z, x, text):
        model.generator(z, text), model.discriminator(x, text)

    shapes = jnp.zeros((2, 100)), jnp.zeros((2, 64, 64, 3)), jnp.zeros((2, 1024))
    model = text2image.model(Config(bottleneck=bottleneck))
    params = jax.eval_shape(lambda key: model.init(key, *shapes, method=apply_all), KEY)["params"]
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in params.items()
    }
    assert counts == {"generator": 18_909_699, "discriminator": count}


def test_images_have_the_side_that_is_asked_for():
    for side in (16, 32, 64):
        network = Generator(side, 2, 4)
        shape = jax.eval_shape(
            lambda n=network: n.init_with_output(KEY, jnp.zeros((3, 5)), jnp.zeros((3, 7)))[0]
        )
        assert shape.shape == (3, side, side, 3)


def model_of_logits():
    """D(x, t) = x + t, G(z, t) = 10 t, S(x) = x: of images and texts that are numbers."""
    return SimpleNamespace(
        discriminator=lambda x, text: x + text[:, 0],
        generator=lambda z, text: 10 * text[:, 0],
        style=SimpleNamespace(latents=1),
    )


BATCH = {"x": jnp.array([1.0, -2.0, 0.5, 3.0]), "wrong": jnp.array([4.0, 0.0, -1.0, 1.0])}
TEXT = np.array([0.1, -0.3, 0.2, 0.4])


@pytest.mark.parametrize("wrong", [0.0, 0.25, 0.5])
def test_the_discriminator_sees_wrong_images_and_fakes_by_their_weights(wrong):
    batch = {**BATCH, "text": jnp.asarray(TEXT)[:, None], "step": 0}
    config = tiny(cls_weight=wrong, noise=0, penalty=0)
    loss, _ = text2image.discriminator_loss(model_of_logits(), batch, KEY, config=config)
    right, mismatched, fake = (
        np.asarray(batch["x"]) + TEXT,
        np.asarray(batch["wrong"]) + TEXT,
        11 * TEXT,
    )
    expected = (
        softplus(-right).mean()
        + wrong * softplus(mismatched).mean()
        + (1 - wrong) * softplus(fake).mean()
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_the_penalty_is_the_squared_slope_at_real_images():
    model = model_of_logits()
    model.discriminator = lambda x, text: -2 * x + text[:, 0]
    batch = {**BATCH, "text": jnp.asarray(TEXT)[:, None], "step": 0}
    with_it, without = (
        text2image.discriminator_loss(
            model, batch, KEY, config=tiny(cls_weight=0.5, noise=0, penalty=penalty)
        )[0]
        for penalty in (3.0, 0.0)
    )
    assert float(with_it - without) == pytest.approx(3 * 2**2, rel=1e-6)
    assert isinstance(text2image.model(tiny(penalty=1.0)).discriminator, PlainDiscriminator)
    assert isinstance(text2image.model(tiny(penalty=0.0)).discriminator, Discriminator)


@pytest.mark.parametrize("between", [0.0, 0.5, 1.0])
def test_the_generator_is_judged_on_texts_between_too(between):
    batch = {"text": jnp.asarray(TEXT)[:, None], "step": 0}
    config = tiny(interp_weight=between, extrapolate=False, noise=0)
    loss, _ = text2image.generator_loss(model_of_logits(), batch, KEY, config=config)
    middle = np.array([(0.1 + 0.2) / 2, (-0.3 + 0.4) / 2])
    own, mixed = softplus(-11 * TEXT).sum(), softplus(-11 * middle).sum()
    expected = (own + between * mixed) / 6 if between else own / 4
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_noise_is_added_to_all_that_the_discriminator_sees():
    def deviations(fading, step):
        """Of right images, wrong ones and fakes, and of the fakes in the generator's loss."""
        seen = []

        def discriminator(x, text):
            seen.append(float(x.std()))
            return x.mean(-1)

        model = SimpleNamespace(
            discriminator=discriminator,
            generator=lambda z, text: jnp.ones((len(z), 100)),
            style=SimpleNamespace(latents=1),
        )
        batch = {
            "x": jnp.ones((50, 100)),
            "wrong": jnp.ones((50, 100)),
            "text": jnp.zeros((50, 1)),
            "step": step,
        }
        for player in list(
            text2image.players(tiny(penalty=0.0, noise=0.3, fading=fading, steps=40)).values()
        )[:2]:
            player.objective(model, batch, KEY)
        return seen

    for fading, step, expected in (
        (False, 30, 0.3),
        (True, 0, 0.3),
        (True, 30, 0.075),
        (True, 40, 0),
    ):
        np.testing.assert_allclose(deviations(fading, step), [expected] * 4, rtol=0.05, atol=1e-6)


def test_texts_beyond_lie_on_the_line_of_both():
    text = jnp.arange(12.0).reshape(6, 2) ** 2
    first, second = text[:3], text[3:]
    # the same in each feature, from -1/2 to 3/2
    share = (text2image.interpolate(text, KEY) - first) / (second - first)
    np.testing.assert_allclose(share[:, 0], share[:, 1], rtol=1e-5)
    assert len(set(np.asarray(share[:, 0]).round(4))) == 3 and (jnp.abs(share - 0.5) <= 1).all()
    np.testing.assert_allclose(text2image.interpolate(text, None), (first + second) / 2)


def test_the_style_of_an_image_is_its_z():
    class Style:
        latents = 2

        def __call__(self, x):
            return 3 * x

    z = jax.random.normal(KEY, (4, 2))
    model = SimpleNamespace(style=Style(), generator=lambda z, text: z)
    loss, _ = text2image.style_loss(model, {"text": jnp.zeros((4, 1))}, KEY)
    assert float(loss) == pytest.approx(4 * float((z**2).sum(-1).mean()), rel=1e-6)


def test_a_wrong_image_is_of_another_class():
    label = jax.random.randint(KEY, (40,), 0, 3)
    other = captions.other_class(label)
    assert (label[other] != label).all() and len(set(np.asarray(other))) > 10
    assert captions.other_class(jnp.array([5, 5, 7])).tolist() == [2, 2, 0]


def tiny(**changes):
    return presets(text2image)["tiny"][1].but(**changes)


FIRST = {
    "x": np.zeros((4, 16, 16, 3)),
    "wrong": np.zeros((4, 16, 16, 3)),
    "text": np.zeros((4, 16)),
}


def test_batches_hold_a_wrong_image_and_the_mean_of_the_texts(monkeypatch):
    config = tiny(captions=3, flip=True, load=16)
    rows = np.random.default_rng(0)
    image = rows.integers(0, 256, (6, 16, 16, 3), np.uint8)
    text = rows.normal(size=(6, 2, 4)).astype(np.float32)
    batch = {"image": image, "text": text, "class": np.arange(6) % 2, "style": np.zeros(6)}
    made = text2image.source(config).prepare({k: jnp.asarray(v) for k, v in batch.items()}, KEY)
    plain = image / 127.5 - 1
    for x, own in zip(made["x"], plain, strict=True):
        assert min(np.abs(x - own).max(), np.abs(x - own[:, ::-1]).max()) < 1e-6
    np.testing.assert_array_equal(made["wrong"], made["x"][captions.other_class(batch["class"])])
    # how many of three were the second
    share = ((made["text"] - text[:, 0]) / (text[:, 1] - text[:, 0])).mean(1)
    np.testing.assert_allclose(3 * share, np.rint(3 * share), atol=1e-4)
    assert len(set(np.rint(3 * np.asarray(share)))) > 1


def test_biases_are_held_where_the_code_holds_them():
    params = {
        "generator": {
            "ConvTranspose_0": {"kernel": jnp.ones(2), "bias": jnp.zeros(2)},
            "Dense_0": {"bias": jnp.zeros(2)},
        }
    }
    for biases, expected in ((True, False), (False, True)):
        descent = text2image.players(tiny(biases=biases))["generator"].optimizer
        updates, _ = descent.update(
            jax.tree.map(jnp.ones_like, params), descent.init(params), params
        )
        own = updates["generator"]
        assert bool((own["ConvTranspose_0"]["bias"] == 0).all()) == expected
        assert (own["ConvTranspose_0"]["kernel"] != 0).all() and (own["Dense_0"]["bias"] != 0).all()


def test_the_rate_is_halved_in_equal_parts():
    descent = text2image.players(tiny(steps=40, halvings=4, adam=Adam(1.0, b1=0.0)))[
        "style"
    ].optimizer
    state, sizes = descent.init(jnp.zeros(())), []
    for _ in range(40):
        update, state = descent.update(jnp.ones(()), state)
        sizes.append(-float(update))
    np.testing.assert_allclose(sizes, np.repeat([1, 0.5, 0.25, 0.125], 10), rtol=1e-5)


def test_a_side_above_the_loaded_one_is_refused():
    with pytest.raises(UserError, match="side is 32 and load is 16"):
        tiny(side=32)


def test_a_linear_fall_beside_the_halvings_is_refused():
    with pytest.raises(UserError, match=r"adam\.decay is 0\.5; give 0"):
        tiny(adam=Adam(2e-4, decay=0.5))


WORDS = ("", "_size", "_colour", "_shape", "_row", "_column")
MEASURES = {
    f"{split}/{name}{real}"
    for split in ("test", "seen")
    for real in ("", "_of_real")
    for name in ("r_precision", *(f"match{word}" for word in WORDS))
} | {f"test/style_{name}" for name in ("auc", "auc_of_pixels", "kept", "match")}


@pytest.mark.long
def test_a_generator_that_draws_what_is_said_is_told_so(monkeypatch):
    """Drawing the test images gives their scores, and drawing other ones does not."""
    config = tiny(count=150, load=32, side=32)
    data = pipeline.load(text2image.source(config))
    given = text2image.splits(config)
    reader = captions.READERS["shapes"]._replace(style=lambda pictures: data.test["style"])
    monkeypatch.setattr(retrieval, "READERS", {"shapes": reader})
    model = SimpleNamespace(generator=None, style=lambda x: x[:, 0, 0])

    def measured(shift):
        def generate(generator, z, text):
            split = "test" if len(text) == 1000 else "train"
            return np.roll(given[split].image[: len(text)], shift, 0)

        monkeypatch.setattr(retrieval, "generate", generate)
        return text2image.evaluate(config, model, data, KEY)

    right, wrong = measured(0), measured(1)
    assert set(right) == MEASURES and all(number.unit for number in right.values())
    for name in right:
        if name.endswith("_of_real"):
            fake = name.removesuffix("_of_real")
            assert right[fake] == right[name] and (
                "test/match" not in name or wrong[fake] < wrong[name]
            )
    assert right["test/match"] > 85 and wrong["test/match"] < 20 and right["test/style_kept"] == 100


def test_sentences_of_the_frozen_encoder_are_another_text(monkeypatch):
    """It is asked once for each sentence; the embedding stays the one that is trained here."""
    asked = []

    def embed(sentences):
        asked.append(list(sentences))
        lengths = np.array([len(sentence) for sentence in sentences], np.float32)
        return np.tile(lengths[:, None], (1, 384))

    minilm = pytest.importorskip("gen_jax.pretrained.minilm")
    monkeypatch.setattr(minilm, "embed", embed)

    def test_text(**changes):
        _, test = text2image.source(tiny(count=50, **changes)).arrays()
        return test["text"]

    made, both, alone = test_text(encoder="minilm"), test_text(encoder="both"), test_text()
    given = text2image.splits(tiny(count=50))
    known, lengths = (
        np.array([len(c) for c in given[split].captions[:, 0]]) for split in ("train", "test")
    )
    assert made.shape == (1000, 1, 384) and all(
        len(set(sentences)) == len(sentences) for sentences in asked
    )
    np.testing.assert_allclose(
        made[:, 0, 7], (lengths - known.mean()) / known.std(), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(both, np.concatenate([alone, made], -1), rtol=1e-5)


def test_a_running_average_of_the_generator_makes_the_images():
    assert set(
        jax.eval_shape(games.of(text2image, tiny(average=0.9)).init, KEY, FIRST).average
    ) == {"generator"}
    assert not jax.eval_shape(games.of(text2image, tiny(average=0.0)).init, KEY, FIRST).average


def test_the_arrays_are_as_the_source_says():
    source = text2image.source(tiny(count=50))
    for arrays in source.arrays():
        assert {
            name: (array.shape[1:], str(array.dtype)) for name, array in arrays.items()
        } == source.fields
    text = source.arrays()[0]["text"]
    assert np.abs(text.mean((0, 1))).max() < 1e-4 and text.std((0, 1)).mean() == pytest.approx(
        1, rel=1e-4
    )


def test_the_judge_is_trained_on_what_the_player_learns_from(monkeypatch):
    seen = {}

    def load_or_train(images, captions, classes, **settings):
        seen.update(images=images.shape, captions=captions.shape, **settings)

    monkeypatch.setattr(joint_embedding, "load_or_train", load_or_train)
    text2image.embedding.__wrapped__(tiny(count=60, load=16))
    assert (
        seen["images"] == (60, 16, 16, 3)
        and seen["captions"] == (60, 1)
        and seen["name"] == "shapes"
    )


OLD = {  # of a config.json before fields were renamed and grouped
    "data": "shapes", "count": 90, "encoder": "both", "captions": 2, "load": 20, "side": 16,
    "flip": False, "latents": 7, "text": 6, "generator_width": 5, "discriminator_width": 3,
    "bottleneck": "generator", "penalty": 0.5, "biases": False, "wrong": 0.25, "between": 2,
    "beyond": True, "noise": 0.1, "fading": True, "average": 0.9, "batch_size": 11, "steps": 100,
    "halvings": 2, "learning_rate": 0.001, "b1": 0.6, "run": {"seed": 3},
    "embedding": {"features": 12, "learning_rate": 0.01},
}  # fmt: skip


@pytest.mark.parametrize("epsilon_hat", [{}, {"epsilon_hat": True}])
def test_an_older_config_file_is_read(epsilon_hat):
    expected = Config(
        data="shapes", count=90, encoder="both", captions=2, load=20, side=16, flip=False,
        latents=7, text=6, generator_width=5, discriminator_width=3, bottleneck="generator",
        penalty=0.5, biases=False, cls_weight=0.25, interp_weight=2, extrapolate=True, noise=0.1,
        fading=True, average=0.9, batch_size=11, steps=100, halvings=2, run=Run(seed=3),
        embedding=Embedding(features=12, learning_rate=0.01),
        adam=Adam(0.001, b1=0.6, **epsilon_hat),
    )  # fmt: skip
    assert from_json(Config, {**OLD, **epsilon_hat}, "config.json") == expected


def test_descent_is_adam_with_the_papers_moments():
    config = tiny(halvings=0, adam=Adam(2e-4, b1=0.5))
    assert Config().adam == config.adam and presets(text2image)["tiny"][1].adam.b1 == 0.5
    gradient = jnp.array([0.3, -2.0])
    descent, adam = text2image.players(config)["generator"].optimizer, optax.adam(2e-4, b1=0.5)
    ours, _ = descent.update(gradient, descent.init(gradient))
    theirs, _ = adam.update(gradient, adam.init(gradient))
    np.testing.assert_array_equal(ours, theirs)
