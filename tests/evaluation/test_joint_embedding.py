"""Text and images in one space: the code's counts, what is read of a caption, the hinge by hand,
what it learns.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import losses
from gen_jax.errors import NonFiniteError, UserError
from gen_jax.evaluation import joint_embedding
from gen_jax.evaluation.joint_embedding import CharCNNRNN, Embedding
from gen_jax.storage import cache

SMALL = Embedding(
    features=8,
    length=16,
    widths=(8, 8),
    image_widths=(8,),
    batch_size=4,
    steps=1000,
    learning_rate=3e-3,
)
NAMES = ["red", "green", "blue", "white"]


def parameters(module, *inputs):
    shapes = jax.eval_shape(lambda key: module.init(key, *inputs), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_the_network_has_the_weights_of_the_code():
    convolutions = 70 * 4 * 384 + 384 + 384 * 4 * 512 + 512 + 512 * 4 * 256 + 256
    recurrent = 2 * (256 * 256 + 256)  # input to hidden and hidden to hidden, shared over time
    count = parameters(CharCNNRNN(1024, (384, 512, 256)), jnp.zeros((2, 201), jnp.uint8))
    assert count == convolutions + recurrent + 256 * 1024 + 1024 == 1_814_144


def test_characters_are_places_in_the_alphabet():
    assert len(joint_embedding.ALPHABET) == 70
    assert joint_embedding.characters(["aB é", "z0"], 5).tolist() == [
        [1, 2, 70, 0, 0],
        [26, 27, 0, 0, 0],
    ]
    assert joint_embedding.characters(["abc"], 2).tolist() == [[1, 2]]
    assert joint_embedding.characters(["-"], 1).tolist() == [[60]]  # the later of its two places


@pytest.mark.parametrize(("layers", "least"), [(1, 4), (2, 15), (3, 48)])
def test_the_shortest_caption_leaves_one_step(layers, least):
    assert joint_embedding.shortest(layers) == least
    network = CharCNNRNN(2, (2,) * layers)
    assert parameters(network, jnp.zeros((1, least), jnp.uint8)) > 0
    with pytest.raises(Exception, match=r".*"):
        parameters(network, jnp.zeros((1, least - 1), jnp.uint8))


def test_the_recurrence_is_the_mean_of_its_states():
    network = CharCNNRNN(2, (1,))
    params = {
        "Conv_0": {
            "kernel": jnp.zeros((1, 4, 70, 1)).at[0, 0, 0, 0].set(1.0),
            "bias": jnp.zeros(1),
        },  # sees an "a"
        "input": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)},
        "hidden": {"kernel": jnp.full((1, 1), 0.5), "bias": jnp.zeros(1)},
        "output": {"kernel": jnp.ones((1, 2)), "bias": jnp.zeros(2)},
    }
    read = joint_embedding.characters(["abbabb"], 6)  # three steps: 1, 0, 0 -> states 1, 1/2, 1/4
    np.testing.assert_allclose(
        network.apply({"params": params}, read), np.full((1, 2), 1.75 / 3), rtol=1e-6
    )


def test_three_in_a_row_are_pooled():
    x = jnp.arange(14.0).reshape(1, 1, 7, 2)
    assert joint_embedding.pooled(x)[0, 0].tolist() == [[4, 5], [10, 11]]


def test_the_hinge_by_hand():
    scores = jnp.array([[3.0, 2.5, 0.0], [1.0, 1.0, 5.0], [-1.0, 0.0, 4.0]])
    right = (1 + 2.5 - 3) + (1 + 1 - 1) + (1 + 5 - 1)  # the others lose by more than 1
    assert float(losses.joint_embedding(scores)) == pytest.approx(right / 9)
    mirrored = (1 + 2.5 - 1) + (1 + 1 - 3 < 0) * 0 + (1 + 5 - 4)
    assert float(losses.joint_embedding(scores.T)) == pytest.approx(mirrored / 9)


def coloured(seed):
    palette = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]])
    labels = np.arange(40) % 4
    noise = np.random.default_rng(seed).integers(0, 40, (40, 8, 8, 3))
    return (
        (palette[labels][:, None, None] + noise).astype(np.uint8),
        np.array(NAMES)[labels][:, None],
        labels,
    )


def test_text_finds_images_that_it_never_saw(tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))
    images, captions, labels = coloured(0)
    one = joint_embedding.load_or_train(images, captions, labels, name="colours", embedding=SMALL)
    unseen, _, truth = coloured(1)
    assert ((one.images(unseen) @ one.text(NAMES).T).argmax(1) == truth).all()
    monkeypatch.setattr(joint_embedding, "_train", None)  # the second time it comes from the cache
    again = joint_embedding.load_or_train(images, captions, labels, name="colours", embedding=SMALL)
    assert again.name == one.name and (again.text(NAMES) == one.text(NAMES)).all()
    with pytest.raises(TypeError):  # of other captions nothing was kept
        joint_embedding.load_or_train(
            images, captions[::-1], labels, name="colours", embedding=SMALL
        )
    monkeypatch.setattr(cache, "sources", lambda file: "of another code")  # nor of another code
    with pytest.raises(TypeError):
        joint_embedding.load_or_train(images, captions, labels, name="colours", embedding=SMALL)


def test_what_cannot_be_learnt_is_refused():
    images, captions, labels = coloured(0)
    with pytest.raises(UserError, match="the data set has 1 classes"):
        joint_embedding.load_or_train(images, captions, labels * 0, name="one", embedding=SMALL)
    short = Embedding(**{**vars(SMALL), "length": 14})
    with pytest.raises(UserError, match="need 15 characters"):
        joint_embedding.load_or_train(images, captions, labels, name="short", embedding=short)


def test_what_did_not_learn_is_refused_and_what_is_damaged_is_learnt_again(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))
    images, captions, labels = coloured(0)
    absurd = Embedding(**{**vars(SMALL), "learning_rate": 1e38, "steps": 100})
    with pytest.raises(
        NonFiniteError,
        match=r"of colours is not finite .* lower --embedding.learning-rate, .* 1e\+38",
    ):
        joint_embedding.load_or_train(images, captions, labels, name="colours", embedding=absurd)
    assert not [*tmp_path.rglob("*.safetensors")]
    few = Embedding(**{**vars(SMALL), "steps": 100})
    one = joint_embedding.load_or_train(images, captions, labels, name="colours", embedding=few)
    (kept,) = tmp_path.rglob("*.safetensors")
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    again = joint_embedding.load_or_train(images, captions, labels, name="colours", embedding=few)
    assert "is damaged" in caplog.text and kept.read_bytes() == content and again.name == one.name
