"""The order of the data: a bijection for each epoch, the same batch resident and streamed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.data import pipeline
from gen_jax.errors import UserError

KEY = jax.random.key(3)
ARRAYS = {
    "image": np.arange(70 * 4, dtype=np.uint8).reshape(70, 2, 2, 1),
    "label": np.arange(70, dtype=np.int32),
}


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 1000, 65_537])
def test_permute_is_a_bijection(count):
    order = pipeline.permute(jnp.arange(count), count, KEY)
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


def test_permute_is_uniform():
    keys = jax.random.split(KEY, 20_000)
    # [20000, 6]
    orders = np.asarray(jax.vmap(lambda key: pipeline.permute(jnp.arange(6), 6, key))(keys))
    counts = np.stack([np.bincount(column, minlength=6) for column in orders.T])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3
    pairs = np.bincount(orders[:, 0] * 6 + orders[:, 1], minlength=36).reshape(6, 6)
    assert stats.chisquare(pairs[~np.eye(6, dtype=bool)]).pvalue > 1e-3


def test_an_epoch_shows_each_example_once_and_the_next_one_in_another_order():
    seen = [np.asarray(pipeline.indices(KEY, step, count=70, batch_size=10)) for step in range(14)]
    first, second = np.concatenate(seen[:7]), np.concatenate(seen[7:])
    np.testing.assert_array_equal(np.sort(first), np.arange(70))
    np.testing.assert_array_equal(np.sort(second), np.arange(70))
    assert (first == second).mean() < 0.2


def test_the_last_partial_batch_is_left_out():
    seen = [np.asarray(pipeline.indices(KEY, step, count=70, batch_size=30)) for step in range(2)]
    assert len(set(np.concatenate(seen).tolist())) == 60


def noisy(batch, key):
    return {**batch, "noise": jax.random.normal(key, (len(batch["label"]),))}


def test_resident_and_streamed_batches_are_equal(key_reuse):
    chunks = [(3, 4), (7, 2)]  # (first step, steps)
    stay = pipeline.resident(ARRAYS, noisy, batch_size=16)
    flow = pipeline.streamed(noisy)
    raws = list(pipeline.stream(ARRAYS, KEY, iter(chunks), batch_size=16))
    assert [raw["image"].shape for raw in raws] == [(4, 16, 2, 2, 1), (2, 16, 2, 2, 1)]
    whole = {name: jnp.asarray(array) for name, array in ARRAYS.items()}
    for (first, count), raw in zip(chunks, raws, strict=True):
        for step in range(first, first + count):
            a = stay(whole, KEY, jnp.int32(step), jnp.int32(first))
            b = flow(
                {name: jnp.asarray(array) for name, array in raw.items()},
                KEY,
                jnp.int32(step),
                jnp.int32(first),
            )
            jax.tree.map(np.testing.assert_array_equal, a, b)
            np.testing.assert_array_equal(a["image"][:, 0, 0, 0], (4 * a["label"]) % 256)


def test_unpaired_fields_have_orders_of_their_own_and_the_same_resident_and_streamed():
    arrays = {
        name: np.arange(size, dtype=np.int32)
        for name, size in (("label", 30), ("photo", 30), ("map", 20))
    }
    options = {"batch_size": 10, "unpaired": ("photo", "map")}
    stay = pipeline.resident(arrays, pipeline.identity, **options)
    (raw,) = pipeline.stream(arrays, KEY, iter([(0, 6)]), **options)
    whole = {name: jnp.asarray(array) for name, array in arrays.items()}
    steps = [stay(whole, KEY, jnp.int32(step), jnp.int32(0)) for step in range(6)]
    for name in arrays:
        np.testing.assert_array_equal(raw[name], [batch[name] for batch in steps])
    epochs = {name: raw[name].reshape(-1, len(arrays[name])) for name in arrays}
    for name, rows in epochs.items():
        assert all((np.sort(row) == np.arange(len(arrays[name]))).all() for row in rows)
    pairs = {name: whole[name] for name in ("label", "photo")}
    alone = pipeline.resident(pairs, pipeline.identity, batch_size=10)(
        pairs, KEY, jnp.int32(0), jnp.int32(0)
    )
    np.testing.assert_array_equal(alone["photo"], alone["label"])  # together where nobody asks
    np.testing.assert_array_equal(alone["label"], steps[0]["label"])
    assert (
        (epochs["photo"] == epochs["label"]).mean()
        < 0.3
        > (epochs["photo"].ravel() == raw["map"].ravel()).mean()
    )


def unpaired(**lengths):
    arrays = {name: np.arange(size, dtype=np.int32) for name, size in lengths.items()}
    return pipeline.Source("zoo", arrays=lambda: (arrays, arrays), unpaired=("x", "y"))


@pytest.mark.long
def test_domains_of_different_lengths_are_all_seen_and_nothing_beyond_them():
    """Twelve horses and thirty zebras, in whatever order the fields are named."""
    for data in (pipeline.load(unpaired(x=12, y=30)), pipeline.load(unpaired(y=30, x=12))):
        assert pipeline.size(data.train) == 12
        with pytest.raises(UserError, match="batch-size is 13; the data have 12 examples"):
            pipeline.check_batch(data.train, 13)
        stay = pipeline.resident(data.train, data.prepare, batch_size=6, unpaired=data.unpaired)
        (raw,) = pipeline.stream(
            data.train, KEY, iter([(0, 10)]), batch_size=6, unpaired=data.unpaired
        )
        whole = {name: jnp.asarray(array) for name, array in data.train.items()}
        for name in whole:
            same = [stay(whole, KEY, jnp.int32(step), jnp.int32(0))[name] for step in range(10)]
            np.testing.assert_array_equal(raw[name], same)
            # of the horses five, of the zebras two
            epochs = raw[name].reshape(-1, len(whole[name]))
            np.testing.assert_array_equal(np.sort(epochs), [range(len(whole[name]))] * len(epochs))
        seen = [batch for batch, _ in pipeline.batches(data.test, data.prepare, KEY, batch_size=8)]
        assert [{name: len(array) for name, array in batch.items()} for batch in seen] == [
            dict.fromkeys(data.test, 8),
            dict.fromkeys(data.test, 4),
        ]


def test_fields_of_different_lengths_must_be_domains():
    with pytest.raises(
        UserError, match=r"zoo has fields of 30 to 31 examples; .* name them in `unpaired`"
    ):
        pipeline.load(unpaired(x=12, y=30, label=30, size=31))
    assert len(pipeline.load(unpaired(x=12, y=30, label=30)).train["label"]) == 30


def test_streaming_gathers_only_one_chunk_ahead():
    asked = []

    def chunks():
        for step in range(5):
            asked.append(step)
            yield step, 1

    flow = pipeline.stream(ARRAYS, KEY, chunks(), batch_size=4)
    assert len(list(itertools.islice(flow, 2))) == 2
    assert asked == [0, 1, 2]
    flow.close()


def test_what_fails_while_it_is_gathered_ends_the_stream():
    """In another thread, one chunk ahead: an error, not a wait without end."""

    class Torn(np.ndarray):
        def __getitem__(self, chosen):
            raise OSError("the disk is gone")

    flow = pipeline.stream(
        {"x": np.zeros((8, 2)).view(Torn)}, KEY, iter([(0, 1), (1, 1)]), batch_size=4
    )
    with pytest.raises(OSError, match="the disk is gone"):
        next(flow)


def test_batches_for_evaluation_keep_the_order_and_the_remainder():
    seen = [
        np.asarray(batch["label"])
        for batch, _ in pipeline.batches(ARRAYS, noisy, KEY, batch_size=32)
    ]
    assert [len(s) for s in seen] == [32, 32, 6]
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(70))
    few = [
        len(batch["label"])
        for batch, _ in pipeline.batches(ARRAYS, noisy, KEY, batch_size=32, count=40)
    ]
    assert few == [32, 8]


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UserError, match="batch-size is 71; the data have 70 examples"):
        pipeline.check_batch(ARRAYS, 71)
    pipeline.check_batch(ARRAYS, 70)
