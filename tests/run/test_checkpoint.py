"""Damage to any file of a checkpoint is found; the next older good step is used; never a fresh
start in silence.
"""

import contextlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.errors import CheckpointError, DirectoryError
from gen_jax.run.checkpoint import SEAL, Checkpoints, _sign
from gen_jax.run.directory import Lock
from tests.faults.damages import DAMAGE, flip


def state_of(step):
    params = {"w": jnp.arange(600.0) + step, "half": jnp.full((3,), step, jnp.bfloat16)}
    return {
        "params": params,
        "key": jax.random.key(step),
        "optimizer": optax.adam(1e-3).init(params),
        "step": jnp.int32(step),
    }


def target():
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), state_of(0)
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = tmp_path_factory.mktemp("written")
    writer = Checkpoints(directory, keep=2, environment={"jaxlib": "x"})
    for step in (1, 2, 3):
        writer.save(step, state_of(step), {"loss": float(step)})
    writer.close()
    return directory


@pytest.fixture
def checkpoints(written, tmp_path):
    shutil.copytree(written, tmp_path / "copy")
    opened = Checkpoints(tmp_path / "copy", keep=2, environment={})
    yield opened
    opened.close()


def raw(tree):
    keys = jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        tree,
    )
    return [np.asarray(leaf) for leaf in jax.tree.leaves(keys)]


def equal(a, b):
    return all(
        x.dtype == y.dtype and x.tobytes() == y.tobytes()
        for x, y in zip(raw(a), raw(b), strict=True)
    )


def test_the_newest_step_comes_back_bit_for_bit_and_only_two_are_kept(checkpoints):
    assert [path.name for path in checkpoints.steps()] == ["step-000000003", "step-000000002"]
    state, seal = checkpoints.restore(lambda step: target(), print)
    assert equal(state, state_of(3))
    assert (seal["step"], seal["record"], seal["environment"]) == (
        3,
        {"loss": 3.0},
        {"jaxlib": "x"},
    )
    assert jax.tree.structure(state) == jax.tree.structure(target())


@pytest.mark.parametrize(
    "where", [0, 0.5, 1 - 1e-9]
)  # the first byte or file, the middle, the last
@pytest.mark.parametrize("kind", DAMAGE)
def test_any_damage_to_any_file_falls_back_one_step_and_says_why(checkpoints, kind, where):
    newest = checkpoints.steps()[0]
    names = sorted(
        str(f.relative_to(newest)) for f in newest.rglob("*") if f.is_file() and f.stat().st_size
    )
    assert SEAL in names and len(names) > 5
    shutil.copytree(newest, newest.parent / "safe")
    for name in names:
        DAMAGE[kind](newest / name, where)
        said = []
        state, seal = checkpoints.restore(lambda step: target(), said.append)
        assert seal["step"] == 2 and equal(state, state_of(2)), name
        assert (
            len(said) == 1 and "step-000000003" in said[0] and (name in said[0] or name == SEAL)
        ), said
        assert len(list(newest.parent.glob("bad-*"))) == 1
        shutil.rmtree(next(newest.parent.glob("bad-*")))
        shutil.copytree(newest.parent / "safe", newest)


def test_an_extra_file_is_not_part_of_a_checkpoint(checkpoints):
    (checkpoints.steps()[0] / "state" / "stray").write_text("x")
    assert checkpoints.restore(lambda step: target(), print)[1]["step"] == 2


def test_a_whole_step_under_another_name_is_refused(checkpoints):
    newest, older = checkpoints.steps()
    shutil.copytree(older, newest.with_name("step-000000009"))
    said = []
    assert checkpoints.restore(lambda step: target(), said.append)[1]["step"] == 3
    assert said == ["Skipping checkpoint step-000000009: its seal is of step 2."]


@pytest.mark.parametrize("other", [[], {}, {"step": "3"}, {"step": 3, "files": {}}, None])
def test_a_seal_that_holds_other_things_is_passed_over(checkpoints, other):
    (checkpoints.steps()[0] / SEAL).write_text(_sign(other))
    said = []
    assert checkpoints.restore(lambda step: target(), said.append)[1]["step"] == 2
    assert said == ["Skipping checkpoint step-000000003: SEAL.json has unexpected content."]


def test_the_same_damage_again_and_again(checkpoints):
    """As in a container, where each start is the same process."""
    newest = checkpoints.steps()[0]
    shutil.copytree(newest, newest.parent / "safe")
    for times in (1, 2, 3):
        flip(newest / SEAL, 0.5)
        assert checkpoints.restore(lambda step: target(), print)[1]["step"] == 2
        assert len([*newest.parent.glob("bad-*")]) == times
        shutil.copytree(newest.parent / "safe", newest)


def test_where_all_are_bad_nothing_starts_afresh(checkpoints):
    for path in checkpoints.steps():
        flip(path / "_CHECKPOINT_METADATA", 0.5)
    with pytest.raises(
        CheckpointError,
        match=r"No good checkpoint is left .*step-000000003.*step-000000002.*another --run\.dir",
    ):
        checkpoints.restore(lambda step: target(), lambda text: None)
    assert CheckpointError.exit_code == 74


def test_where_nothing_was_saved_there_is_nothing_to_restore(tmp_path):
    assert (
        Checkpoints(tmp_path, keep=1, environment={}).restore(lambda step: target(), print) is None
    )


def test_another_tree_is_refused_by_its_path(checkpoints):
    other = {**target(), "step": jax.ShapeDtypeStruct((2,), jnp.int32)}
    with pytest.raises(
        CheckpointError,
        match=r"\['step'\] is int32\[\] in the checkpoint, but int32\[2\] in this program",
    ):
        checkpoints.restore(lambda step: other, lambda text: None)


def test_a_save_that_was_killed_is_swept_away(checkpoints):
    unfinished = checkpoints.directory / "step-000000004.orbax-checkpoint-tmp"
    unfinished.mkdir()
    assert checkpoints.restore(lambda step: target(), print)[1]["step"] == 3
    assert not unfinished.exists()


def test_saving_goes_on_after_a_fall_back_and_keeps_the_good_ones(checkpoints):
    flip(checkpoints.steps()[0] / SEAL, 0.5)
    checkpoints.restore(lambda step: target(), lambda text: None)
    checkpoints.keep = 1
    checkpoints.save(3, state_of(30), {})
    checkpoints.wait()
    assert [path.name for path in checkpoints.steps()] == ["step-000000003"]
    assert equal(checkpoints.restore(lambda step: target(), print)[0], state_of(30))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    writer = Checkpoints(tmp_path / "file", keep=1, environment={})
    with pytest.raises(
        CheckpointError, match=r"step-000000001 could not be written .*newest complete one is none"
    ):
        writer.save(1, state_of(1), {})
    writer.close()


def test_a_directory_that_is_moved_during_a_save_has_nothing_under_its_old_name(
    tmp_path, monkeypatch
):
    place = tmp_path / "run"
    with Lock(place) as lock:
        writer = Checkpoints(place / "checkpoints", keep=1, check=lock.check, environment={})
        check = writer._check_place

        def late(path):
            place.rename(tmp_path / "elsewhere")
            # as Orbax makes the folders that it misses
            shutil.copytree(tmp_path / "elsewhere", place)
            check(path)

        monkeypatch.setattr(writer, "_check_place", late)
        writer.save(1, state_of(1), {})
        with pytest.raises(DirectoryError, match="was moved, removed or replaced"):
            writer.close()
    assert not place.exists()


@pytest.mark.parametrize("left", [1, 2])
def test_only_a_first_save_may_lack_its_seal(tmp_path, left):
    """Where a step or a line says that there was a save before, nothing starts from scratch."""
    told = []
    with contextlib.closing(Checkpoints(tmp_path, keep=2, environment={})) as saves:
        for step in range(1, left + 1):
            saves.save(step, state_of(step), {})
        saves.wait()
        for path in saves.steps():
            (path / SEAL).unlink()
        if left == 1:
            saves.keep_line(1, b"line")
        with pytest.raises(CheckpointError, match="No good checkpoint is left"):
            saves.restore(lambda step: target(), told.append)
        if left == 1:
            (tmp_path / "line-000000001.json").unlink()
            assert saves.restore(lambda step: target(), told.append) is None
            assert "step-000000001 did not finish" in told[-1] and not saves.steps()
