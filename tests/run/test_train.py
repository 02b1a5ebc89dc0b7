"""The loop under real signals and kills, and its promises: one truth, one writer, nothing lost."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import vae
from gen_jax import game
from gen_jax.errors import Interrupted, InUseError, NonFiniteError, UserError
from gen_jax.game import Stage
from gen_jax.run import directory, programs, provenance, train
from gen_jax.run.checkpoint import SEAL, _sign
from gen_jax.run.experiment import presets
from gen_jax.run.log import Journal, read_lines
from tests.test_experiments import leaves

TINY = presets(vae)["tiny"][1]


def config(directory, *, steps=40, run=None, **changes):
    run = dataclasses.replace(TINY.run, **{"dir": directory, "devices": 1, **(run or {})})
    return dataclasses.replace(TINY, steps=steps, run=run, **changes)


def start(directory, *arguments):
    command = [
        sys.executable,
        "-m",
        "experiments.vae",
        "tiny",
        "--run.dir",
        str(directory),
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_step(directory, step, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        lines = read_lines(directory / "metrics.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached: {process.communicate()}")


LONG = (
    "--steps",
    "2000",
    "--run.log-every",
    "20",
    "--run.checkpoint-every",
    "100",
    "--run.sample-every",
    "1000",
)


def straight(tmp_path):
    process = start(tmp_path / "straight", *LONG)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "test/elbo" in out and "report.html" in out
    return (tmp_path / "straight" / "metrics.jsonl").read_text()


def final_state(directory):
    """What the last checkpoint of such a run holds."""
    periods = {"log_every": 20, "checkpoint_every": 100, "sample_every": 1000}
    return leaves(train.run(vae, "tiny", config(directory, steps=2000, run=periods)))


@pytest.mark.long
def test_signals_and_kills_leave_the_same_run(tmp_path):
    """SIGTERM ends with 143, SIGINT with 130, both saved; SIGKILL loses nothing that is not made
    again.
    """
    expected, directory = straight(tmp_path), tmp_path / "stopped"
    where = random.Random(7)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9), (signal.SIGINT, 130)):
        process = start(directory, *LONG)
        done = read_lines(directory / "metrics.jsonl")
        wait_for_step(
            directory, (done[-1]["step"] if done else 0) + where.randrange(100, 400), process
        )
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        assert number == signal.SIGKILL or "the same command resumes from there" in err
        assert "Traceback" not in err
    out, err = start(directory, *LONG).communicate(timeout=300)
    assert "Resuming from the checkpoint of step" in out, err
    assert (directory / "metrics.jsonl").read_text() == expected
    steps = [line["step"] for line in read_lines(directory / "metrics.jsonl")]
    assert steps == list(range(20, 2001, 20))
    assert final_state(directory) == final_state(tmp_path / "straight")


def test_killed_between_the_checkpoint_and_its_line(tmp_path, monkeypatch):
    """The line is written by the next start, from the seal; the evaluation is made then."""
    whole = train.run(vae, "tiny", config(tmp_path / "whole"))

    class Killed(BaseException):
        pass

    def dies(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(vae, "evaluate", dies)
        with pytest.raises(Killed):
            train.run(vae, "tiny", config(tmp_path / "killed"))
    assert read_lines(tmp_path / "killed" / "metrics.jsonl")[-1]["step"] == 30
    assert leaves(train.run(vae, "tiny", config(tmp_path / "killed"))) == leaves(whole)
    a, b = ((tmp_path / where / "metrics.jsonl").read_text() for where in ("whole", "killed"))
    assert a == b and '"test/elbo"' in a.splitlines()[-1]


def test_killed_before_the_first_save_is_sealed(tmp_path):
    """It starts from scratch, and the lines that were written are kept aside."""
    with pytest.raises(Interrupted):
        train.run(vae, "tiny", config(tmp_path / "killed"), until=1)
    saves = tmp_path / "killed" / "checkpoints"
    (first,) = saves.glob("step-*")
    (first / "SEAL.json").unlink()
    for line in saves.glob("line-*"):
        line.unlink()
    whole = train.run(vae, "tiny", config(tmp_path / "whole"))
    assert leaves(train.run(vae, "tiny", config(tmp_path / "killed"))) == leaves(whole)
    assert f"{first.name} did not finish" in (tmp_path / "killed" / "log.txt").read_text()


def test_a_torn_last_line_is_written_again(tmp_path):
    train.run(vae, "tiny", config(tmp_path / "run"))
    file = tmp_path / "run" / "metrics.jsonl"
    whole = file.read_text()
    file.write_text(whole[:-7])
    train.run(vae, "tiny", config(tmp_path / "run"))
    assert file.read_text() == whole


def test_streamed_data_give_the_same_run_as_resident_data(tmp_path):
    stay = train.run(vae, "tiny", config(tmp_path / "stay"))
    flow = train.run(vae, "tiny", config(tmp_path / "flow", run={"resident_megabytes": 0}))
    assert (tmp_path / "stay" / "metrics.jsonl").read_text() == (
        tmp_path / "flow" / "metrics.jsonl"
    ).read_text()
    assert leaves(stay) == leaves(flow)


def test_saved_on_one_device_and_resumed_on_eight_and_back(tmp_path, capsys):
    """The restored leaves are equal; from there on, equal but for rounding, and the journal says
    so.
    """
    small = {"log_every": 2, "checkpoint_every": 2}
    whole = train.run(vae, "tiny", config(tmp_path / "whole", steps=6, run=small))
    for devices, until in ((1, 1), (8, 3)):
        with pytest.raises(Interrupted):
            train.run(
                vae,
                "tiny",
                config(tmp_path / "run", steps=6, run={**small, "devices": devices}),
                until=until,
            )
    moved = train.run(vae, "tiny", config(tmp_path / "run", steps=6, run={**small, "devices": 1}))
    said = capsys.readouterr().out
    assert (
        "From here the run may not be bit-identical: devices was 1, is 8." in said
        and "devices was 8, is 1." in said
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), whole.params, moved.params
    )
    losses = [
        [line["vae/loss"] for line in read_lines(tmp_path / where / "metrics.jsonl")]
        for where in ("whole", "run")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_each_thing_that_bit_identity_needs_and_that_is_another_is_told(tmp_path, capsys):
    with pytest.raises(Interrupted):
        train.run(vae, "tiny", config(tmp_path / "run"), until=20)
    (step,) = (tmp_path / "run" / "checkpoints").iterdir()
    seal = json.loads((step / SEAL).read_text().partition("\n")[2])
    told = [name for name in provenance.DETERMINISM_KEYS if name != "seeds"]
    (step / SEAL).write_text(
        _sign({**seal, "environment": {**seal["environment"], **dict.fromkeys(told, "other")}})
    )
    capsys.readouterr()
    train.run(vae, "tiny", config(tmp_path / "run"))
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if line.startswith("From here the run may not be bit-identical")]
    now = json.loads((tmp_path / "run" / "env.json").read_text())
    assert lines == [
        f"From here the run may not be bit-identical: {name} was other, is {now[name]}."
        for name in told
    ]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of a CPU")
def test_threads_are_those_of_xla_one_for_each_device_at_least(monkeypatch):
    """A gradient of a strided kernel had other bits of 1, of 2 to 8 and of 32 threads, or of as
    many devices.
    """
    for given in ("64", "1"):
        monkeypatch.setenv("NPROC", given)
        assert provenance.environment(1)["threads"] == max(int(given), jax.local_device_count())


def test_another_config_in_the_same_directory_is_refused_with_its_fields(tmp_path, monkeypatch):
    """Before any data are fetched for it."""
    train.run(vae, "tiny", config(tmp_path / "run", steps=10))
    monkeypatch.delattr(train, "load_data")
    with pytest.raises(UserError, match=r"latents: 2 there, 3 here; run\.seed: 0 there, 5 here"):
        train.run(vae, "tiny", config(tmp_path / "run", steps=10, latents=3, run={"seed": 5}))
    assert read_lines(tmp_path / "run" / "metrics.jsonl")[-1]["step"] == 10


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-9], "cannot be read as JSON"),
        (lambda text: text.replace('"latents"', '"latent"'), "latent"),
        (lambda text: text.replace('"batch_size": 32', '"batch_size": -32'), "batch-size is -32"),
    ],
)
def test_a_damaged_config_is_read_strictly(tmp_path, damage, words):
    train.run(vae, "tiny", config(tmp_path / "run", steps=10))
    file = tmp_path / "run" / "config.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(UserError, match=words):
        train.run(vae, "tiny", config(tmp_path / "run", steps=10))


def test_stopped_in_the_middle_of_a_line_it_is_written_as_if_nothing_had_happened(
    tmp_path, monkeypatch
):
    """Where a chunk is shorter than a line, its sums are kept with the checkpoint."""
    # of four steps, with what they compute
    monkeypatch.setattr(programs, "MAX_CHUNK_S", 5 * programs.STEP_OVERHEAD_S)
    asked = {"log_every": 20, "checkpoint_every": 20, "sample_every": 20}
    whole = leaves(train.run(vae, "tiny", config(tmp_path / "whole", run=asked)))
    for step in (4, 24, 32):
        with pytest.raises(Interrupted):
            train.run(vae, "tiny", config(tmp_path / "run", run=asked), until=step)
        newest = max((tmp_path / "run" / "checkpoints").iterdir())
        assert (
            newest.name == f"step-{step:09d}"
            and json.loads((newest / SEAL).read_text().partition("\n")[2])["totals"]
        )
    assert leaves(train.run(vae, "tiny", config(tmp_path / "run", run=asked))) == whole
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_bytes()


def test_two_writers(tmp_path):
    with (
        directory.Lock(tmp_path / "run"),
        pytest.raises(InUseError, match="is being written by another process"),
    ):
        train.run(vae, "tiny", config(tmp_path / "run"))
    assert InUseError.exit_code == 75


@pytest.mark.parametrize(
    ("poison", "words"),
    [
        (lambda value, bad: value / ~bad, r"A loss is not finite in step 34 \(vae/loss inf\)"),
        (  # 0, with a slope of infinity times 0
            lambda value, bad: value + jnp.sqrt(jnp.where(bad, 0.0, 1.0) * value**2),
            r"The gradient of decoder/Dense_0/bias is not finite in step 34 \(vae/loss \d+",
        ),
    ],
    ids=["loss", "gradient"],
)
def test_what_is_not_finite_is_named_with_its_step_and_the_last_checkpoint_is_kept(
    tmp_path, poison, words
):
    def poisoned(config):
        players = vae.players(config)
        objective = players["vae"].objective

        def loss(model, batch, key):
            value, metrics = objective(model, batch, key)
            return poison(value, batch["step"] == 33), metrics

        return vae.games.make(vae.model(config), {"vae": players["vae"]._replace(objective=loss)})

    experiment = types.SimpleNamespace(**{**vars(vae), "game": poisoned})
    with pytest.raises(NonFiniteError, match=rf"^{words}.*; the last checkpoint is kept"):
        train.run(experiment, "tiny", config(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == [
        "step-000000020"
    ]


@pytest.mark.parametrize("part", ["model", "game", "stages", "objective"])
def test_what_an_experiment_refuses_leaves_no_directory(tmp_path, part):
    def refuse(*_):
        raise UserError("these do not go together")

    players = {"vae": vae.players(TINY)["vae"]._replace(objective=refuse)}
    changed = {
        "model": {"model": refuse, "game": lambda config: game.of(vae, config)},
        "objective": {"game": lambda config: game.make(vae.model(config), players)},
    }
    experiment = types.SimpleNamespace(**{**vars(vae), **changed.get(part, {part: refuse})})
    with pytest.raises(UserError, match="these do not go together"):
        train.run(experiment, "tiny", config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("names", [(), ("faces",), ("faces", "samples-z")])
def test_any_pictures_can_be_drawn_or_none(tmp_path, names, capsys):
    """Those whose name begins with "samples" become an animation, too."""
    picture = np.zeros((4, 4, 3), np.uint8)
    drawn = {"sample": lambda *_: dict.fromkeys(names, picture)}
    experiment = types.SimpleNamespace(**{**vars(vae), **drawn})
    often = {"log_every": 5, "sample_every": 5}
    train.run(experiment, "tiny", config(tmp_path / "run", steps=10, run=often))
    found = {path.name for path in (tmp_path / "run" / "samples").glob("*")}
    expected = {f"{name}-step-{step:08d}.png" for name in names for step in (5, 10)}
    assert found == expected | ({"progress-z.webp"} if "samples-z" in names else set())
    assert ("has no pictures, so the page has none" in capsys.readouterr().out) == (not names)


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path):
    """Its gradient was, but not the step that was made of it."""
    optimizer = optax.chain(optax.scale(1e30), optax.scale(1e30))
    players = {"vae": vae.players(TINY)["vae"]._replace(optimizer=optimizer)}
    experiment = types.SimpleNamespace(
        **{**vars(vae), "game": lambda c: vae.games.make(vae.model(c), players)}
    )
    with pytest.raises(
        NonFiniteError, match=r"^decoder/\S+ is not finite after step 1; there is no checkpoint yet"
    ):
        train.run(
            experiment,
            "tiny",
            config(tmp_path / "run", run={"log_every": 1, "checkpoint_every": 1}),
        )
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_journal_drops_what_will_be_written_again(tmp_path):
    journal = Journal(tmp_path, steps=30, batch_size=1)
    for step in (10, 20, 30):
        journal.write_metrics(step, {"a/loss": step / 7, "b/loss": float("nan")})
    assert journal.resume(20) == {"step": 20, "a/loss": 20 / 7, "b/loss": None}
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [10, 20]
    assert journal.resume(25) is None
    journal.close()


def test_periods_fall_on_whole_chunks():
    session = train.Session.__new__(train.Session)
    session.config = dataclasses.replace(TINY, steps=95)
    session.run, session.stages = (
        dataclasses.replace(TINY.run, log_every=10),
        (Stage(0, None, 1, None),),
    )
    ends = [step for step in range(1, 96) if session.ends_line(step)]
    assert ends == [*range(10, 91, 10), 95]
    assert [step for step in ends if session.is_due(25, step)] == [30, 50, 80, 95]
    assert [step for step in ends if session.is_due(0, step)] == [95]
    assert not any(session.is_due(1, step) for step in range(1, 95) if step not in ends)
    session.stages += (Stage(25, None, 1, None),)  # which ends a line, too; none falls due twice
    assert [step for step in range(1, 96) if session.is_due(25, step)] == [25, 50, 80, 95]


def test_a_directory_that_cannot_be_made_ends_with_73(tmp_path):
    (tmp_path / "file").write_text("")
    process = start(tmp_path / "file" / "run")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 73 and "cannot be written" in err and "Traceback" not in err


def test_nothing_passes_between_host_and_device_inside_a_chunk():
    """A chunk of steps runs with implicit transfers forbidden, and is traced once for each length."""
    assert not os.environ.get("JAX_DISABLE_JIT")
    one, data = game.of(vae, TINY), train.pipeline.load(vae.source(TINY))
    batch_of = train.pipeline.resident(data.train, data.prepare, batch_size=TINY.batch_size)
    raw = {name: jax.numpy.asarray(array) for name, array in data.train.items()}
    key = jax.random.key(0)
    state = jax.jit(
        lambda key: one.init(key, data.prepare({n: a[:32] for n, a in raw.items()}, key))
    )(key)
    chunk = jax.jit(
        lambda state, raw, key: game.steps(one, state, lambda step: batch_of(raw, key, step, 0), 5)
    )
    state, _ = chunk(state, raw, key)
    with jax.transfer_guard("disallow"):
        state, metrics = chunk(state, raw, key)
    assert int(state.step) == 10 and np.isfinite(metrics["vae/loss"]).all()
