"""A run that is given more steps is one that had them from the start, or it says why not."""

import json
import types

import jax
import jax.numpy as jnp
import optax
import pytest

from experiments import gan, progan, puzzlegan, stargan, vae
from gen_jax import config as configs
from gen_jax.errors import Interrupted, UserError
from gen_jax.report.run_reader import read
from gen_jax.run import train
from gen_jax.run.experiment import presets
from gen_jax.run.log import Journal, read_lines
from tests.test_experiments import leaves


def config(experiment, directory, steps=40, **run):
    """The smallest preset of a paper, with so many steps or images."""
    tiny = presets(experiment)["tiny"][1]
    changes = {f"run.{n}": value for n, value in {"dir": directory, "devices": 1, **run}.items()}
    return configs.changed(tiny, {type(tiny).LENGTH: steps, **changes})


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch):
    """Nothing is drawn or measured."""
    for experiment in (vae, gan, progan, puzzlegan, stargan):
        for name in ("evaluate", "sample"):
            monkeypatch.setattr(experiment, name, lambda *_: {})


def steps_of(directory):
    return [line["step"] for line in read_lines(directory / "metrics.jsonl")]


def record(directory):
    return json.loads((directory / "config.json").read_text())


@pytest.mark.parametrize("experiment", [vae, gan])
def test_more_steps_give_the_run_that_had_them_from_the_start(tmp_path, experiment):
    whole = train.run(experiment, "tiny", config(experiment, tmp_path / "whole", 60))
    train.run(experiment, "tiny", config(experiment, tmp_path / "run", 20))
    train.run(experiment, "tiny", config(experiment, tmp_path / "run", 40))
    again = train.run(experiment, "tiny", config(experiment, tmp_path / "run", 60))
    assert leaves(again) == leaves(whole)
    a, b = ((tmp_path / where / "metrics.jsonl").read_bytes() for where in ("run", "whole"))
    assert a == b
    found = record(tmp_path / "run")
    assert found["config"]["steps"] == 60
    entries = [(one["step"], one["steps"], one["schedules"]) for one in found["continued"]]
    assert entries == [(20, 20, []), (40, 40, [])]
    assert read(tmp_path / "run").continued == found["continued"]
    assert "continued" not in record(tmp_path / "whole")


def test_intervals_may_change_and_each_step_has_one_line(tmp_path, monkeypatch):
    """Also where the run is stopped within a line, whose sums go into the next one."""
    monkeypatch.setattr(train.programs, "MAX_CHUNK_S", 5 * train.programs.STEP_OVERHEAD_S)
    whole = train.run(vae, "tiny", config(vae, tmp_path / "whole", 60, log_every=20))
    for until, log_every, expected in ((24, 20, [20]), (36, 4, [20, 28, 32])):
        asked = config(vae, tmp_path / "run", 60, log_every=log_every)
        with pytest.raises(Interrupted):
            train.run(vae, "tiny", asked, until=until)
        assert steps_of(tmp_path / "run") == expected
    last = config(vae, tmp_path / "run", 60, log_every=15, checkpoint_every=7, keep=5)
    assert leaves(train.run(vae, "tiny", last)) == leaves(whole)
    assert steps_of(tmp_path / "run") == [20, 28, 32, 36, 45, 60]
    assert record(tmp_path / "run")["config"]["run"]["log_every"] == 15
    every = [line["vae/loss"] for line in read_lines(tmp_path / "run" / "metrics.jsonl")]
    means = [line["vae/loss"] for line in read_lines(tmp_path / "whole" / "metrics.jsonl")]
    sums = sum(loss * n for loss, n in zip(every, (20, 8, 4, 4, 9, 15), strict=True))
    assert sums == pytest.approx(20 * sum(means), rel=1e-6)


def test_a_line_that_a_kill_left_out_is_written_under_another_interval(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def dies(journal, step, metrics):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write_metrics", dies)
        with pytest.raises(Killed):
            train.run(vae, "tiny", config(vae, tmp_path / "run", 10, log_every=10))
    whole = train.run(vae, "tiny", config(vae, tmp_path / "whole", 40))
    asked = config(vae, tmp_path / "run", 40, log_every=40)
    assert leaves(train.run(vae, "tiny", asked)) == leaves(whole)
    assert steps_of(tmp_path / "run") == [10, 40]


def test_a_plan_over_all_steps_is_named_and_then_that_of_the_new_number(tmp_path, capsys):
    """Descent on a slope of 1 moves a weight by the sum of the rates of the plans in force."""
    rates = {n: optax.linear_schedule(0.1, 0.0, n) for n in (20, 40)}
    slope = optax.stateless(lambda gradients, _: jax.tree.map(jnp.ones_like, gradients))

    def players(asked):
        optimizer = optax.chain(slope, optax.sgd(rates[asked.steps]))
        return {"vae": vae.players(asked)["vae"]._replace(optimizer=optimizer)}

    def game(asked):
        return vae.games.make(vae.model(asked), players(asked))

    planned = types.SimpleNamespace(**{**vars(vae), "players": players, "game": game})
    before = train.run(planned, "tiny", config(vae, tmp_path / "run", 20))
    moved = jax.tree.leaves(before.params["decoder"])[0]
    capsys.readouterr()
    after = train.run(planned, "tiny", config(vae, tmp_path / "run", 40))
    named = (
        "The learning rate of vae was planned over 20 steps; from here it follows the plan of 40."
    )
    assert named in capsys.readouterr().out.splitlines()
    expected = sum(float(rates[40](count)) for count in range(20, 40))
    difference = moved - jax.tree.leaves(after.params["decoder"])[0]
    assert float(abs(difference - expected).max()) < 1e-4
    (entry,) = record(tmp_path / "run")["continued"]
    assert entry["schedules"] == ["the learning rate of vae"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "continued at step 20" in page and "the learning rate of vae" in page


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        (puzzlegan, ["the objective of generator"]),
        (stargan, ["the learning rate of discriminator", "the learning rate of generator"]),
    ],
)
def test_what_a_paper_plans_over_all_steps_is_found(tmp_path, experiment, expected):
    with pytest.raises(Interrupted):
        train.run(experiment, "tiny", config(experiment, tmp_path / "run"), until=10)
    with pytest.raises(Interrupted):
        train.run(experiment, "tiny", config(experiment, tmp_path / "run", 60), until=20)
    (entry,) = record(tmp_path / "run")["continued"]
    assert entry["schedules"] == expected and (entry["step"], entry["steps"]) == (10, 40)


def test_no_more_steps_than_were_trained_are_refused(tmp_path, capsys):
    with pytest.raises(Interrupted):
        train.run(vae, "tiny", config(vae, tmp_path / "run", 60), until=30)
    before = record(tmp_path / "run")
    for steps in (20, 30):
        with pytest.raises(
            UserError, match=f"was trained for 30 steps, and {steps} are asked"
        ) as e:
            train.run(vae, "tiny", config(vae, tmp_path / "run", steps))
        assert e.value.exit_code == 2 and record(tmp_path / "run") == before
    train.run(vae, "tiny", config(vae, tmp_path / "run", 40))  # fewer than planned, more than made
    assert steps_of(tmp_path / "run") == [10, 20, 30, 40]
    capsys.readouterr()
    train.run(vae, "tiny", config(vae, tmp_path / "run", 40))  # nothing is done twice
    assert "step 40/40" not in capsys.readouterr().out


def test_a_kill_before_the_first_new_checkpoint_loses_nothing(tmp_path, monkeypatch):
    """The record stays true, whichever of the two numbers is given next."""
    whole = train.run(vae, "tiny", config(vae, tmp_path / "whole", 60))
    ended = train.run(vae, "tiny", config(vae, tmp_path / "run", 40))

    class Killed(BaseException):
        pass

    def dies(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train.programs.ChunkRunner, "advance", dies)
        with pytest.raises(Killed):
            train.run(vae, "tiny", config(vae, tmp_path / "run", 60))
    assert record(tmp_path / "run")["config"]["steps"] == 60
    assert leaves(train.run(vae, "tiny", config(vae, tmp_path / "run", 40))) == leaves(ended)
    assert "continued" not in record(tmp_path / "run")
    assert leaves(train.run(vae, "tiny", config(vae, tmp_path / "run", 60))) == leaves(whole)
    (entry,) = record(tmp_path / "run")["continued"]
    assert (entry["step"], entry["steps"]) == (40, 40)


@pytest.mark.parametrize("start", [8, pytest.param(4, marks=pytest.mark.long)])
def test_more_images_lengthen_the_last_stage_of_a_paper_that_counts_them(tmp_path, start):
    """And the rest of the plan stays, as does what was trained by it."""

    def asked(name, images):
        return config(progan, tmp_path / name, images).but(start=start)

    whole = train.run(progan, "tiny", asked("whole", 800))
    before, after = asked("run", 640), asked("run", 800)
    assert after.steps == before.steps + 160 // 8
    train.run(progan, "tiny", before)
    assert leaves(train.run(progan, "tiny", after)) == leaves(whole)
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "whole")
    (entry,) = record(tmp_path / "run")["continued"]
    assert (entry["step"], entry["steps"], entry["schedules"]) == (before.steps,) * 2 + ([],)
    with pytest.raises(UserError, match="fade: "):
        train.run(progan, "tiny", after.but(fade=80))
    refused = f"was trained for {after.steps} steps, and {before.steps} are asked for"
    with pytest.raises(UserError, match=refused):
        train.run(progan, "tiny", before)
