"""What a run must not go on with in silence: other code, data or settings, another run's state,
lines that are gone.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import types

import jax
import numpy as np
import pytest

from experiments import vae
from gen_jax.data.catalog import sets
from gen_jax.errors import CheckpointError, DirectoryError, Interrupted, InUseError, UserError
from gen_jax.run import directory, provenance, train
from gen_jax.run.experiment import presets
from gen_jax.run.log import Journal, read_lines
from tests.test_experiments import leaves

TINY = presets(vae)["tiny"][1]


def config(place, *, steps=40, **run):
    return dataclasses.replace(
        TINY, steps=steps, run=dataclasses.replace(TINY.run, dir=place, devices=1, **run)
    )


def stopped(place, experiment=vae, **run):
    with pytest.raises(Interrupted):
        train.run(experiment, "tiny", config(place, **run), until=20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to."""
    place = tmp_path_factory.mktemp("whole") / "run"
    return place, leaves(train.run(vae, "tiny", config(place)))


def test_changed_code_is_told_by_file_and_refused_where_strict(tmp_path, monkeypatch, capsys):
    copy = tmp_path / "mine" / "paper.py"
    copy.parent.mkdir()
    shutil.copy(vae.__file__, copy)
    experiment = types.SimpleNamespace(**{**vars(vae), "__file__": str(copy)})
    stopped(tmp_path / "run", experiment)
    copy.write_text(copy.read_text() + "# edited\n")
    with pytest.raises(UserError, match=r"the code was changed in mine/paper\.py"):
        train.run(experiment, "tiny", config(tmp_path / "run", strict=True))
    capsys.readouterr()
    train.run(experiment, "tiny", config(tmp_path / "run"))
    assert (
        "From here the run may not be bit-identical: the code was changed in mine/paper.py."
        in capsys.readouterr().out
    )


def test_the_code_of_a_run_is_this_package_and_what_lies_beside_the_experiment():
    found = provenance.code(vae)
    assert {
        "experiments/vae.py",
        "gen_jax/distributions.py",
        "gen_jax/game.py",
        "gen_jax/data/pipeline.py",
    } <= {*found}
    assert all(name.startswith(("experiments/", "gen_jax/")) for name in found)


def test_each_setting_of_jax_that_may_change_a_number_is_told(tmp_path, capsys):
    stopped(tmp_path / "run")
    capsys.readouterr()
    with jax.default_matmul_precision("highest"):
        train.run(vae, "tiny", config(tmp_path / "run"))
    said = capsys.readouterr().out
    assert (
        "From here the run may not be bit-identical: jax_default_matmul_precision was None, is "
        "highest." in said
    )
    known = provenance.settings()
    assert {"jax_enable_x64", "jax_default_prng_impl", "jax_numpy_dtype_promotion"} <= {*known}
    assert not [name for name in known if "cache" in name or "log" in name]


def test_a_checkpoint_of_another_seed_is_passed_over(tmp_path, whole, capsys):
    place, expected = whole
    shutil.copytree(place, tmp_path / "run")
    stopped(tmp_path / "other", seed=1)
    newest = tmp_path / "run" / "checkpoints" / "step-000000020"
    shutil.rmtree(newest)
    shutil.copytree(tmp_path / "other" / "checkpoints" / newest.name, newest)
    shutil.rmtree(newest.with_name("step-000000040"))
    with pytest.raises(
        CheckpointError, match=r"it is of another run \(run\.seed: 1 there, 0 here\)"
    ):
        train.run(vae, "tiny", config(tmp_path / "run"))
    shutil.copytree(place / "checkpoints" / "step-000000040", newest.with_name("step-000000040"))
    assert leaves(train.run(vae, "tiny", config(tmp_path / "run"))) == expected


def test_another_data_set_is_refused_with_both_hashes(tmp_path, monkeypatch):
    for name in ("first", "second"):
        sets.make("digits", tmp_path / name)
    stopped(tmp_path / "run", data=tmp_path / "first")
    home = tmp_path / "second" / "arrays" / "digits"
    image, manifest = home / "train" / "image.npy", json.loads((home / "manifest.json").read_text())
    changed = np.load(image)[::-1]
    np.save(image, changed)
    entry = manifest["splits"]["train"]["image"]
    before, after = entry["sha256"], directory.files.sha256(image)
    entry |= {"sha256": after, "size": image.stat().st_size}
    (home / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"data.train/image: {before} there, {after} here"):
        train.run(vae, "tiny", config(tmp_path / "run", data=tmp_path / "second"))
    train.run(vae, "tiny", config(tmp_path / "run", data=tmp_path / "first"))


@pytest.mark.parametrize("change", ["lock", "moved"])
def test_one_writer_even_where_files_are_removed_and_none_where_the_directory_is_gone(
    tmp_path, change
):
    place = tmp_path / "run"
    with directory.Lock(place) as lock:
        lock.check()
        if change == "lock":
            (place / ".lock").unlink(missing_ok=True)
            with pytest.raises(InUseError):
                directory.Lock(place)
            lock.check()
        else:
            place.rename(tmp_path / "elsewhere")
            with pytest.raises(DirectoryError, match="was moved, removed or replaced"):
                lock.check()
            with directory.Lock(place) as another, pytest.raises(DirectoryError):
                another.check()
                lock.check()
    with directory.Lock(tmp_path / "run"):
        pass


def test_a_file_is_locked_where_a_directory_cannot_be(tmp_path, monkeypatch):
    real = directory.fcntl.flock

    def of_files_only(descriptor, how):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(9, "Bad file descriptor")
        real(descriptor, how)

    monkeypatch.setattr(directory.fcntl, "flock", of_files_only)
    with directory.Lock(tmp_path) as lock:
        with pytest.raises(InUseError):
            directory.Lock(tmp_path)
        (tmp_path / ".lock").unlink()
        with pytest.raises(DirectoryError, match=r"\.lock was moved, removed"):
            lock.check()


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_a_directory_that_goes_while_a_run_learns_ends_it(tmp_path, monkeypatch, how):
    """At its next line, and nothing is written under its name."""
    place, real = tmp_path / "run", Journal.write_metrics

    def line(journal, step, metrics):
        written = real(journal, step, metrics)
        if step == 10:
            place.rename(tmp_path / "elsewhere")
            if how == "removed":
                shutil.rmtree(tmp_path / "elsewhere")
            if how == "replaced":
                place.mkdir()
        return written

    monkeypatch.setattr(Journal, "write_metrics", line)
    with pytest.raises(DirectoryError, match="was moved, removed or replaced during training"):
        train.run(vae, "tiny", config(place))
    assert not place.exists() or not [*place.rglob("*")]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[:1] + lines[2:], "lacked the lines of step 20"),
        (lambda lines: [], "lacked the lines of steps 10, 20, 30"),
        (
            lambda lines: [lines[0].replace(b"4", b"5", 1), *lines[1:]],
            "lacked the lines of step 10",
        ),
        (
            lambda lines: [b"\xff\xfe\n", b"[1,2]\n", b"{}\n"],
            "lacked the lines of steps 10, 20, 30",
        ),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "had its lines in another order"),
    ],
    ids=["one", "all", "changed", "no lines", "order"],
)
def test_lines_that_are_gone_are_told_and_restored(tmp_path, whole, capsys, damage, words):
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "metrics.jsonl"
    expected = file.read_bytes()
    file.write_bytes(b"".join(damage(expected.splitlines(keepends=True))))
    capsys.readouterr()
    train.run(vae, "tiny", config(tmp_path / "run"))
    assert (
        f"metrics.jsonl {words}: restored from the checkpoint of step 40."
        in capsys.readouterr().out
    )
    assert file.read_bytes() == expected


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("damage", ["changed", "emptied", "not finite"])
def test_the_last_line_is_that_of_its_checkpoint(tmp_path, whole, capsys, damage, kept):
    """With all that was evaluated.

    Where its copy is gone, its means are known, and the rest is made again.
    """
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "metrics.jsonl"
    expected = file.read_bytes()
    *before, last = [json.loads(line) for line in expected.splitlines()]
    other = {
        "changed": {**last, "vae/loss": 1.0, "test/elbo": -1.0},
        "emptied": {"step": 40},
        "not finite": {**last, "vae/loss": float("nan")},
    }
    file.write_text("".join(json.dumps(line) + "\n" for line in (*before, other[damage])))
    if not kept:
        (tmp_path / "run" / "checkpoints" / "line-000000040.json").unlink()
    capsys.readouterr()
    train.run(vae, "tiny", config(tmp_path / "run"))
    said = capsys.readouterr().out
    assert ("lacked the line of step 40: restored from its copy." in said) == kept
    assert (
        kept
        or damage == "not finite"
        or "and the checkpoint differ in the line of step 40: it is rewritten" in said
    )
    assert file.read_bytes() == expected


def test_a_step_under_another_name_is_none(tmp_path, whole):
    """And it does not push out the steps that are saved."""
    shutil.copytree(whole[0], tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    shutil.copytree(checkpoints / "step-000000020", checkpoints / "step-20")
    shutil.rmtree(checkpoints / "step-000000040")
    (checkpoints / "step-\u00b2").mkdir()
    train.run(vae, "tiny", config(tmp_path / "run"))
    kept = {path.name for path in checkpoints.iterdir() if path.is_dir()}
    assert kept == {"step-000000020", "step-000000040", "step-20", "step-\u00b2"}


def test_another_config_that_was_tried_in_vain_is_not_taken_for_the_run(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="latents: 2 there, 3 here"):
        train.run(vae, "tiny", dataclasses.replace(config(tmp_path / "run"), latents=3))
    train.run(vae, "tiny", config(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["latents"] == 2


def test_lines_that_go_while_a_run_learns_are_written_anew(tmp_path, whole, monkeypatch, capsys):
    real = Journal.write_metrics

    def line(journal, step, metrics):
        if step == 30:
            journal.path.unlink()
        return real(journal, step, metrics)

    monkeypatch.setattr(Journal, "write_metrics", line)
    train.run(vae, "tiny", config(tmp_path / "run"))
    assert "metrics.jsonl was changed during training; it is rewritten." in capsys.readouterr().out
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (
        whole[0] / "metrics.jsonl"
    ).read_bytes()


def test_lines_without_a_checkpoint_are_not_dropped_in_silence(tmp_path, whole, capsys):
    shutil.copytree(whole[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    train.run(vae, "tiny", config(tmp_path / "run"))
    said = capsys.readouterr().out
    assert (
        "No checkpoint was found: the run starts from scratch; its 4 line(s) are kept in "
        "metrics-before-0.jsonl." in said
    )
    for kept in ("metrics.jsonl", "metrics-before-0.jsonl"):
        assert read_lines(tmp_path / "run" / kept) == read_lines(whole[0] / "metrics.jsonl")


def test_seeds_side_by_side_know_of_the_data_what_each_knows_alone(tmp_path):
    """Each learns from its own labelled images, as when it is run alone."""
    from experiments import aae_labels

    tiny = presets(aae_labels)["tiny"][1]

    def chosen(place, **run):
        asked = dataclasses.replace(
            tiny, steps=1, run=dataclasses.replace(tiny.run, dir=place, devices=1, **run)
        )
        with contextlib.ExitStack() as stack:
            interrupts, sessions = stack.enter_context(train.Interrupts()), []
            for one in train.seeds.configs(asked):
                data = train.load_data(aae_labels, one, [session.data for session in sessions])
                sessions.append(
                    train.Session(
                        aae_labels, "tiny", one, stack, interrupts, data, siblings=sessions
                    )
                )
            return [leaves(session.init_state()) for session in sessions]

    both = chosen(tmp_path / "both", seeds=2)
    assert both == [*chosen(tmp_path / "zero", seed=0), *chosen(tmp_path / "one", seed=1)]
    assert any(value != both[1][name] for name, value in both[0].items() if "labelled" in name)
