"""Studies: rows, what is read from a run directory, what is played and resumed, and the page."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import progan, vae
from gen_jax import Claim, images
from gen_jax.errors import DataError, UserError
from gen_jax.run.experiment import command_line, presets
from gen_jax.study import __main__ as command
from gen_jax.study import gallery, outbox, page, play, results, rows
from gen_jax.study.place import Place
from gen_jax.study.rows import Part, Row

ROW = Row("mine", "vae", "tiny", "Why?", {"test/elbo": "ELBO, nats"}, seeds=2)
STUDY = """
from gen_jax.study import Row

ROWS = [
    Row("explodes", paper="vae", preset="tiny", question="What fails?", measures={},
        changes={"optimizer.learning_rate": 1e30}, seeds=1),
    Row("rates", paper="vae", preset="tiny", question="Which rate?",
        measures={"test/elbo": "ELBO, nats"}, sweep={"optimizer.learning_rate": (1e-3, 1e-2)},
        seeds=1),
]
"""


def study(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "gen_jax.study", *map(str, arguments)],
        capture_output=True, text=True, check=False, **more,
    )  # fmt: skip


def run_directory(path: Path, part: Part, values, *, log: str = "", **changes) -> Path:
    """A directory as a run of the part leaves it; {step: ELBO}."""
    config = dataclasses.asdict(part.config()) | changes
    files = {
        "config.json": {"schema": 1, "experiment": part.row.module, "preset": part.row.preset,
                        "config": config, "data": {"digits": "abc"}},
        "paper.json": {"title": "A", "authors": "B", "venue": "C", "replicated": "D",
                       "not_replicated": "E", "units": {"test/elbo": "nats"}},
        "env.json": {"machine": "m", "commit": "c0ffee", "code": "f00d", "backend": "cpu"},
    }  # fmt: skip
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_text(json.dumps(content))
    lines = [{"step": step, "vae/loss": 1.0, "test/elbo": value} for step, value in values.items()]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "log.txt").write_text(log)
    return path


# Rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", rows.GIVEN)
def test_the_command_of_each_given_row_gives_its_config(name):
    seen = set()
    for part in rows.parts(rows.load(name)):
        if part.group not in seen:
            seen.add(part.group)
            _, *arguments = part.command()[1:]
            seed = f"--run.seed={part.seed}"
            _, config = command_line(rows.experiment_of(part.row), [*arguments, seed])
            assert config == part.config()


@pytest.mark.parametrize("name", rows.GIVEN)
def test_each_given_row_compares_only_with_claims_of_its_paper(name):
    for row in rows.load(name):
        claims, data = rows.experiment_of(row).CLAIMS, next(rows.parts([row])).config().data
        assert all(claims[name].data in (None, data) for name in row.claims)
        assert row.published is None or row.published in presets(rows.experiment_of(row))


def test_given_rows_of_one_name_learn_the_same():
    named = {}
    for row in (row for study in rows.GIVEN for row in rows.load(study)):
        first = named.setdefault(row.name, row)
        assert (row.measures, row.claims, row.question) == (
            first.measures, first.claims, first.question,
        )  # fmt: skip
        config = json.loads(json.dumps(dataclasses.asdict(Part(first, 0).config()), default=str))
        assert not results.differences(config, Part(row, 0).config(), row.name)


def test_a_sweep_is_all_combinations_with_all_seeds():
    row = dataclasses.replace(ROW, sweep={"latents": (2, 3), "optimizer.b1": (0.5, 0.9)})
    parts = [*rows.parts([row])]
    assert [part.name for part in parts[:3]] == [
        "mine-latents=2-b1=0.5-s0", "mine-latents=2-b1=0.5-s1", "mine-latents=2-b1=0.9-s0",
    ]  # fmt: skip
    assert len(parts) == 8
    config = parts[-1].config()
    assert (config.latents, config.optimizer.b1, config.run.seed) == (3, 0.9, 1)


def test_a_rehearsal_is_another_row_of_the_same_paper():
    row = next(row for row in rows.load("gpu") if row.name == "gan-official")
    small = rows.rehearsal(row)
    assert Part(small, 0).command() == ["-m", "experiments.gan", "tiny"]
    assert (small.name, small.seeds, small.minutes) == ("gan-official-rehearsed", 2, row.minutes)


def test_flags():
    changes = {"run.fsdp": False, "glorot": True, "weight_prior": False, "hidden": (3, 4)}
    assert rows.flags(changes) == [
        "--run.no-fsdp", "--glorot", "--no-weight-prior", "--hidden", "3", "4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "A b"}, "a row is named 'A b'"),
        ({"seeds": 0}, "seeds of row mine is 0; it must be above 0"),
        ({"seeds": "3"}, "seeds of row mine is '3'; it must be a whole number"),
        ({"seeds": True}, "seeds of row mine is True; it must be a whole number"),
        ({"first_seed": -1}, "first_seed of row mine is -1; it must be 0 or more"),
        ({"minutes": "5"}, "minutes of row mine is '5'; it must be a number, or None"),
        ({"minutes": float("nan")}, "minutes of row mine is nan; it must be above 0"),
        ({"paper": 3}, "paper of row mine is 3; it must be a text"),
        ({"measures": ["test/elbo"]}, "measures of row mine is .* it must be a dictionary"),
        ({"claims": "test/elbo"}, "claims of row mine is 'test/elbo'; it must be a tuple of names"),
        ({"changes": {"run.seed": 3}}, "row mine changes run.seed: give seeds and first_seed"),
        ({"sweep": {"steps": ()}}, r"the sweep of steps in row mine is \(\); it must be a tuple"),
        ({"sweep": {"steps": 3}}, "the sweep of steps in row mine is 3"),
        ({"published": "none"}, "row mine: experiments.vae has no preset none"),
        ({"paper": "tests.study.broken"}, "broken.py, line 3: ZeroDivisionError"),
        ({"claims": ("test/x",)}, "row mine claims test/x, which is not in its measures"),
        ({"preset": "none"}, "experiments.vae has no preset none; it has paper"),
        ({"paper": "nothing"}, "there is no module experiments.nothing"),
        ({"changes": {"widht": 3}}, "row mine: Config has no field widht"),
        ({"changes": {"optimiser.b1": 3}}, "row mine: Config has no field optimiser"),
        ({"changes": {"steps.b1": 3}}, "row mine: a int has no fields: b1"),
        ({"changes": {"latents": 0}}, "row mine: latents is 0; it must be a whole number"),
    ],
)
def test_a_bad_row_is_one_sentence(changes, message):
    with pytest.raises(UserError, match=message):
        Part(dataclasses.replace(ROW, **changes), 0).config()
    assert ROW.published is None and Part(ROW, 0).config()


def test_fields_that_are_only_valid_together_change_together():
    row = Row("grown", "progan", "official", "?", {},
              changes={"images": 2_000_000, "fade": 1000, "stabilise": 1000})  # fmt: skip
    assert Part(row, 0).config().images == 2_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is neither a study"),
        ("ROWS = 3", "has no list ROWS"),
        ("ROWS = []", "has no list ROWS"),
        ("ROWS = ['vae']", "has 'vae' in ROWS"),
        ("x = 1 +", "mine.py cannot be read: line 1: invalid syntax"),
        (STUDY.replace("sweep", "sweeep"), "line 7: TypeError: .* unexpected keyword .*'sweeep'"),
        (
            STUDY.replace('"rates"', '"explodes"')
            .replace("sweep=", "changes=")
            .replace("(1e-3, 1e-2)", "1e-3"),
            "two runs named explodes-s0",
        ),
        (STUDY.replace("1e-2", "0.001"), "two runs named rates-learning_rate=0.001-s0"),
    ],
)
def test_a_bad_study_is_one_sentence(text, message, tmp_path):
    path = tmp_path / "mine.py"
    if text:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        rows.load(path)


# Results ------------------------------------------------------------------------------------------


def test_what_is_read_from_a_run_directory(tmp_path):
    part = Part(ROW, 1)
    log = (
        "2026-01-01 10:00:00 1,234 parameters, 40 steps, 1 device(s): x\n"
        "2026-01-01 10:01:00 step 20/40  vae/loss 3  2 steps/s  64 images/s\nnot a time\n"
        "2026-01-01 23:00:00 Resuming from the checkpoint of step 20 in x.\n"
        "2026-01-01 23:00:30 step 40/40  vae/loss 3  2 steps/s  64 images/s\n"
    )
    found = results.read_run(
        part, run_directory(tmp_path / "x", part, {20: -3.0, 40: -2.0}, log=log)
    )
    assert (found.seed, found.steps, found.images, found.minutes) == (1, 40, 40 * 32, 1.5)
    assert found.measures == {"test/elbo": results.Measured("nats", {"20": -3.0, "40": -2.0})}
    assert (found.code_hash, found.data, found.beside) == ("f00d", {"digits": "abc"}, 1)
    other = results.read_run(Part(ROW, 0), run_directory(tmp_path / "y", Part(ROW, 0), {40: -2.0}))
    assert other.config_hash == found.config_hash and other.minutes is None


def test_a_run_of_another_config_is_no_run_of_the_row(tmp_path):
    path = run_directory(tmp_path / "x", Part(ROW, 0), {40: -2.0}, latents=7)
    with pytest.raises(UserError, match="is not a run of row mine: latents: 7 there, 2 here"):
        results.read_run(Part(ROW, 0), path)


def test_results_are_kept_by_seed_and_found_by_config(tmp_path):
    for seed, value in ((1, -1.0), (0, -2.0), (1, -3.0)):
        part = Part(ROW, seed)
        path = run_directory(tmp_path / f"{seed}{value}", part, {40: value})
        results.add(part, results.read_run(part, path), tmp_path)
    known = results.load(ROW, tmp_path)
    assert [one.seed for one in known] == [0, 1]
    assert results.of_part(known, Part(ROW, 1)).measures["test/elbo"].values == {"40": -3.0}
    changed = dataclasses.replace(ROW, changes={"latents": 3})
    assert results.of_part(known, Part(changed, 1)) is None
    often = dataclasses.replace(ROW, changes={"run.log_every": 5})  # learns the same
    assert results.of_part(known, Part(often, 1))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"row": 3}', "[" * 10**5])
def test_a_damaged_result_is_named(text, tmp_path):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(DataError, match=r"mine.json is not (a result|JSON)"):
        results.load(ROW, tmp_path)


def test_a_result_of_another_row_is_named(tmp_path):
    results.add(Part(ROW, 0), played(0, {"40": -1.0}), tmp_path)
    (tmp_path / "mine.json").rename(tmp_path / "other.json")
    with pytest.raises(DataError, match=r"other.json is the result of row mine"):
        results.load(dataclasses.replace(ROW, name="other"), tmp_path)


def test_images_of_stages_are_counted_with_their_batches():
    config = presets(progan)["tiny"][1]
    sizes = {stage.first: stage.batch_size for stage in progan.stages(config)}
    for steps in (0, 1, 30, config.steps):
        counted = sum(sizes[max(first for first in sizes if first <= at)] for at in range(steps))
        assert results.images_after(progan, config, steps) == counted
    assert len({*sizes.values()}) > 1
    assert results.images_after(vae, presets(vae)["tiny"][1], 7) == 7 * 32


# Playing ------------------------------------------------------------------------------------------


def test_a_study_plays_on_past_a_failure_and_plays_nothing_twice(tmp_path):
    (tmp_path / "mine.py").write_text(STUDY)
    where = ("--study", tmp_path / "mine.py", "--runs", tmp_path, "--results", tmp_path / "results")
    first = study(*where, "--jobs", 2)
    assert first.returncode == 1, first.stderr
    assert "explodes-s0: failed with exit code 70" in first.stdout
    assert "2 of 3 runs are done" in first.stdout
    known = json.loads((tmp_path / "results/rates.json").read_text())["runs"]
    assert [run["values"] for run in known] == [
        {"optimizer.learning_rate": 0.001}, {"optimizer.learning_rate": 0.01},
    ]  # fmt: skip
    assert all(run["minutes"] > 0 and "test/elbo" in run["measures"] for run in known)
    listed = study(*where, "--list").stdout
    assert "failed, 0 of 40 steps: exit code 70" in listed and "2 of 3 runs are done" in listed
    # Killed between the end of a run and its result: the directory tells.
    (tmp_path / "results/rates.json").unlink()
    assert "2 of 3 runs are done" in study(*where, "--list").stdout
    again = json.loads((tmp_path / "results/rates.json").read_text())["runs"]
    assert again == known
    assert "rates" not in study(*where, "--rows", "rates").stdout.replace("results", "")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)]
)
def test_a_study_that_is_stopped_goes_on_to_the_same_end(number, tmp_path):
    long = '"steps": 2000, "run.checkpoint_every": 100, "run.sample_every": 0'
    text = STUDY.replace('"optimizer.learning_rate": 1e30', long)
    (tmp_path / "mine.py").write_text(text)

    def arguments(where):
        mine = ("--study", tmp_path / "mine.py", "--rows", "explodes")
        return [*map(str, (*mine, "--runs", where, "--results", where))]

    def measures(where):
        return json.loads((where / "explodes.json").read_text())["runs"][0]["measures"]

    through, stopped = tmp_path / "through", tmp_path / "stopped"
    assert study(*arguments(through)).returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "gen_jax.study", *arguments(stopped)],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    lines = stopped / "explodes-s0/metrics.jsonl"
    wait_for(lambda: lines.exists() and len(lines.read_text()) > 200)
    if number == signal.SIGKILL:  # of the study and of its run, as when a machine stops
        found = subprocess.run(["pgrep", "-f", str(stopped)], capture_output=True, check=True)
        for pid in found.stdout.split():
            os.kill(int(pid), number)
    else:
        process.send_signal(number)
    assert process.wait(60) == (130 if number == signal.SIGINT else -number)
    assert "0 of 1 runs are done" in study(*arguments(stopped), "--list").stdout
    assert study(*arguments(stopped)).returncode == 0
    assert measures(through) == measures(stopped) != {}


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_seeds_play_side_by_side_if_all_or_none_have_begun(tmp_path):
    place = Place(tmp_path, tmp_path)
    parts = [*rows.parts([ROW])]
    (job,) = play.jobs(parts, place, side_by_side=True)
    assert job.arguments[-3:] == [
        "--run.seed=0", "--run.seeds=2", f"--run.dir={tmp_path / 'mine'}",
    ]  # fmt: skip
    alone = [f"--run.dir={tmp_path / 'mine-s0'}", f"--run.dir={tmp_path / 'mine-s1'}"]
    for together in (True, False):
        if together:
            run_directory(tmp_path / "mine-s0", parts[0], {20: 1.0})
        one, two = play.jobs(parts, place, side_by_side=together)
        assert [one.arguments[-1], two.arguments[-1]] == alone


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="of Linux")
def test_a_nice_study_has_nice_runs(monkeypatch):
    monkeypatch.setattr(play.os, "nice", lambda _: 7)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        group = Path(f"/proc/{process.pid}/autogroup")
        assert group.read_text().endswith("nice 0\n")
        play._make_nice(process.pid)
        assert group.read_text().endswith("nice 7\n")
        process.kill()


def test_the_expected_time_is_that_of_the_row_on_this_machine(tmp_path):
    place, parts = Place(tmp_path / "runs", tmp_path), [*rows.parts([ROW])]
    assert place.state(parts[0]) == ("waiting", 0, 40, None, "")
    log = "2026-01-01 10:01:00 step 10/40  vae/loss 3  0.5 steps/s  64 images/s\n"
    run_directory(tmp_path / "runs/mine-s0", parts[0], {}, log=log)
    assert place.state(parts[0]) == ("begun", 10, 40, 1.0, "")
    assert place.state(parts[1]) == ("waiting", 0, 40, 40 / 0.5 / 60, "")


@pytest.mark.long
def test_a_row_is_measured_by_playing_a_part_of_it(tmp_path, monkeypatch, capsys):
    text = STUDY.replace('"optimizer.learning_rate": 1e30', '"steps": 1000000')
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.setattr(command, "MEASURE_MINUTES", 0.3)
    where = ["--runs", str(tmp_path), "--results", str(tmp_path), "--rows", "explodes"]
    assert command.main(["--study", str(tmp_path / "mine.py"), *where, "--measure"]) == 0
    listed = capsys.readouterr().out.splitlines()[-2]
    assert "explodes-s0  begun, " in listed and "left: " in listed
    assert "never timed" not in listed


# The page -----------------------------------------------------------------------------------------


def played(seed, values, **changes):
    part = Part(ROW, seed)
    one = results.Played(
        seed, {}, 40, 1280, 2.0, 1,
        {"test/elbo": results.Measured("nats", values)},
        json.loads(json.dumps(dataclasses.asdict(part.config()))), "hash", "code", {},
        {"backend": "cpu", "threads": 1, "machine": "Linux x86_64, 2 cores, A CPU", "commit": "c"},
    )  # fmt: skip
    return dataclasses.replace(one, **changes)


def test_a_line_has_the_last_value_or_that_of_the_best_step(monkeypatch):
    monkeypatch.setattr(vae, "CLAIMS", {"test/elbo": Claim(-2, 0.5, "Table 1", "read", "higher")})
    row = dataclasses.replace(ROW, claims=("test/elbo",), seeds=3)
    runs = [played(seed, {"20": -2.0 - 0.01 * seed, "40": -9.0}) for seed in range(3)]
    (last,) = page.lines_of(row, runs)
    assert last.values == [-9.0] * 3 and last.verdict == "worse"
    (best,) = page.lines_of(dataclasses.replace(row, best="test/elbo"), runs)
    assert best.values == [-2.0, -2.01, -2.02] and best.verdict == "agrees"
    assert page.ours(best) == "−2.010 ± 0.025 (−2, −2.01, −2.02)"
    assert "; measured at step 20, the one with the highest test/elbo; " in page._note([best])
    assert "measured at" not in page._note([last])
    (few,) = page.lines_of(row, runs[:2])
    assert few.verdict == "fewer than three seeds: no verdict" and page.ours(few) == "−9, −9"
    (none,) = page.lines_of(row, [])
    assert none.verdict == "not measured"
    (silent,) = page.lines_of(dataclasses.replace(row, claims=()), runs)
    assert silent.claim is None and silent.verdict == ""


def test_the_budget_is_that_of_the_shortest_run():
    row = dataclasses.replace(ROW, published="quick")
    whole = presets(vae)["quick"][1]
    share = 100 * 1280 / (whole.steps * whole.batch_size)
    text = page.budget(row, [played(0, {}), played(1, {}, steps=50, images=1600)])
    assert text == f"40 to 50 steps, {share:.3g} % of the published 1,500,000 images"
    assert page.budget(ROW, [played(0, {}), played(1, {}, steps=20)]) == "20 to 40 of 40 steps"
    assert page.budget(ROW, [played(0, {}, steps=20)]) == "20 of 40 steps"


def test_the_pages_are_what_the_results_give():
    for path, text in page.pages(results.FOLDER).items():
        assert path.read_text("utf-8") == text, "run python -m gen_jax.study page"


def test_ablations_come_last_as_the_readme_shows_the_first_row_that_was_played():
    ablations = {row.name for row in rows.load("ablations")}
    for paper in page.PAPERS:
        last = [row.name in ablations for row in page._known() if row.paper == paper]
        assert last == sorted(last)


def test_a_page_that_is_stale_or_without_marks_is_named(tmp_path, monkeypatch, capsys):
    path, readme = tmp_path / "results.md", tmp_path / "README.md"
    monkeypatch.setattr(page, "RESULTS", path)
    monkeypatch.setattr(page, "README", readme)
    (tmp_path / "none.json").write_text("")
    for one, names in ((path, ["results"]), (readme, ["pictures", "numbers"])):
        marks = [f"{page.BEGIN.format(name)}\nold\n{page.END.format(name)}" for name in names]
        one.write_text("\n".join(["before", *marks, "after"]))
    begin, end = page.BEGIN.format("results"), page.END.format("results")
    assert command.main(["page", "--check", "--results", str(tmp_path)]) == 1
    assert "is not what" in capsys.readouterr().out and "old" in path.read_text()
    assert command.main(["page", "--results", str(tmp_path)]) == 0
    assert command.main(["page", "--check", "--results", str(tmp_path)]) == 0
    text = path.read_text()
    assert text.startswith(f"before\n{begin}\n") and text.endswith(f"{end}\nafter")
    assert "old" not in text + readme.read_text() and "| not measured |" in readme.read_text()
    assert "claim: agrees (0), not measured (15)." in text and "wrote" in capsys.readouterr().out
    assert command.main(["page", "--results", str(tmp_path)]) == 0
    assert "the pages are what the results give" in capsys.readouterr().out
    path.write_text("no marks")
    assert command.main(["page", "--results", str(tmp_path)]) == 65
    assert "lacks the lines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one study: headline"),
        (["smoke", "--study", "mine.py"], "give one study: headline"),
        (["smoke", "--rows", "none"], "there is no row none; the rows are vae-tiny"),
        (["smoke", "--jobs", "0"], "jobs is 0"),
        (["smoke", "--minutes", "nan"], "minutes is nan; it must be a number above 0"),
        (["smoke", "--minutes", "0"], "minutes is 0.0; it must be a number above 0"),
        (["smoke", "runs/x"], "runs/x is given after smoke; paths go with `import`"),
        (["smoke", "--check"], "--check goes with page"),
        (["smoke", "--sbatch", "partition=gpu"], "--sbatch goes with --submit"),
        (["smoke", "--submit", "local", "--out", "x"], "--out and --submit were given"),
        (["page", "--study", "mine.py"], "the pages show the studies of gen_jax alone"),
        (["page", "--results", "nowhere"], "results is nowhere, which has no results"),
        (["import"], "import was given nothing"),
        (["import", "nowhere"], "nowhere does not exist"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, capsys):
    assert command.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_imported_into_the_result_of_its_row(tmp_path, capsys):
    (part,) = rows.parts([row for row in rows.load("smoke") if row.name == "vae-tiny"])
    path = run_directory(tmp_path / "x", part, {40: -2.0})
    assert command.main(["import", str(path), "--results", str(tmp_path)]) == 0
    assert results.load(part.row, tmp_path)[0].measures["test/elbo"].values == {"40": -2.0}
    path = run_directory(tmp_path / "y", part, {40: -2.0}, latents=7)
    assert command.main(["import", str(path), "--results", str(tmp_path)]) == 2
    assert "is a run of no row" in capsys.readouterr().err


@pytest.mark.parametrize(("plans", "code"), [([], 0), (["the step size"], 2)])
def test_a_run_whose_schedule_was_planned_over_fewer_steps_is_refused(
    tmp_path, capsys, plans, code
):
    (part,) = rows.parts([row for row in rows.load("smoke") if row.name == "vae-tiny"])
    path = run_directory(tmp_path / "x", part, {40: -2.0})
    file = path / "config.json"
    entry = {"step": 20, "steps": 20, "date": "", "schedules": plans}
    file.write_text(json.dumps({**json.loads(file.read_text()), "continued": [entry]}))
    assert command.main(["import", str(path), "--results", str(tmp_path)]) == code
    assert ("over which the step size was planned" in capsys.readouterr().err) is bool(plans)


# What comes back from a machine -------------------------------------------------------------------


def test_what_is_in_the_outbox_is_imported_again(tmp_path, capsys):
    parts = [*rows.parts([row for row in rows.load("smoke") if row.name == "vae-tiny"])]
    place = Place(tmp_path / "runs", tmp_path / "results")
    for part in parts:
        path = run_directory(place.directory(part), part, {40: -2.0})
        images.save(path / "samples/samples-step-00000020.png", np.zeros((8, 8, 1)))
        images.save(path / "samples/samples-step-00000040.png", np.ones((8, 8, 1)))
        place.collect(part)
    outbox.Outbox(tmp_path / "out", place, parts).update()
    with tarfile.open(tmp_path / "out/pictures.tar") as archive:
        assert archive.getnames() == ["vae-tiny-s0/samples-step-00000040.png"]
    found = tmp_path / "out/results.json"
    assert command.main(["import", str(found), "--results", str(tmp_path / "again")]) == 0
    name = "vae-tiny.json"
    assert (tmp_path / "again" / name).read_text() == (place.results / name).read_text()
    found.write_text(found.read_text().replace('"latents": 2', '"latents": 3'))
    assert command.main(["import", str(found), "--results", str(tmp_path / "again")]) == 2
    assert "is of no row of the studies" in capsys.readouterr().err
    found.write_text("[]")
    assert command.main(["import", str(found), "--results", str(tmp_path / "again")]) == 65


def test_a_shorter_run_does_not_replace_a_longer_one(tmp_path):
    for steps, kept in ((30, 30), (40, 40), (20, 40)):
        results.add(Part(ROW, 0), played(0, {str(steps): 1.0}, steps=steps), tmp_path)
        (one,) = results.load(ROW, tmp_path)
        assert one.steps == kept
    results.add(Part(ROW, 0), played(0, {"5": 1.0}, steps=5, config_hash="new"), tmp_path)
    assert results.load(ROW, tmp_path)[0].steps == 5


# Pictures -----------------------------------------------------------------------------------------


def test_the_picture_of_the_best_run_is_kept(tmp_path):
    noise = np.random.default_rng(0).random((300, 300, 3))
    for seed, value in ((0, -3.0), (1, -2.0), (2, -2.5)):
        part = Part(dataclasses.replace(ROW, seeds=3), seed)
        path = run_directory(tmp_path / f"runs/{part.name}", part, {40: value})
        images.save(path / "samples/samples-step-00000020.png", np.zeros((8, 8, 1)))
        images.save(path / "samples/samples-step-00000040.png", seed * noise / 2)
        Place(tmp_path / "runs", tmp_path).collect(part)
    row = dataclasses.replace(ROW, seeds=3)
    (kept,) = (tmp_path / "pictures").iterdir()
    assert kept.name == "mine-s1-step-40.webp" and kept.stat().st_size <= gallery.MOST_BYTES
    with Image.open(kept) as image:
        assert abs(np.asarray(image, float).mean() - 0.5 * 0.5 * 255) < 3
    text = gallery.gallery([row], {row.name: results.load(row, tmp_path)}, tmp_path)
    assert (
        f'src="{kept}"' in text
        and "<code>mine</code>, seed 1, step 40<br>ELBO, nats: \N{MINUS SIGN}2<" in text
    )
    lower = dataclasses.replace(row, lower=True)
    assert gallery.best(lower, results.load(row, tmp_path)).seed == 0
    assert gallery.gallery([row], {row.name: []}, tmp_path) == "No picture yet."


def test_a_picture_is_of_the_step_that_its_row_reports(tmp_path):
    part = Part(dataclasses.replace(ROW, best="test/elbo", seeds=1), 0)
    path = run_directory(tmp_path / f"runs/{part.name}", part, {15: -4.0, 30: -2.0, 40: -3.0})
    for step in (10, 20, 40):
        images.save(path / f"samples/samples-step-{step:08}.png", np.full((8, 8, 1), step / 40))
    Place(tmp_path / "runs", tmp_path).collect(part)
    (kept,) = (tmp_path / "pictures").iterdir()
    assert kept.name == "mine-s0-step-20.webp"  # the last before 30
    with Image.open(kept) as image:
        assert abs(np.asarray(image, float).mean() - 0.5 * 255) < 3
    text = gallery.gallery([part.row], {"mine": results.load(part.row, tmp_path)}, tmp_path)
    assert "seed 0, step 20</td>" in text  # the value is of another step
    results.add(Part(part.row, 1), played(1, {"30": -1.0}), tmp_path)
    runs = {"mine": results.load(part.row, tmp_path)}
    assert gallery.gallery([part.row], runs, tmp_path) == "No picture yet."  # none of the best run


def test_a_picture_goes_when_its_run_is_replaced(tmp_path):
    for seed, value in ((0, -1.0), (1, -2.0)):
        part = Part(dataclasses.replace(ROW, seeds=2), seed)
        path = run_directory(tmp_path / f"runs/{part.name}", part, {40: value})
        images.save(path / "samples/samples-step-00000040.png", np.zeros((8, 8, 1)))
        Place(tmp_path / "runs", tmp_path).collect(part)
    other = tmp_path / "pictures/mine-s0-step-2-s0-step-40.webp"  # of a row with a longer name
    stray = tmp_path / "pictures/mine-s0-step-40 (1).webp"
    for path in (other, stray):
        path.write_bytes(b"")
    row = dataclasses.replace(ROW, seeds=2, changes={"steps": 40, "optimizer.learning_rate": 0.5})
    path = run_directory(tmp_path / "new/mine-s0", Part(row, 0), {40: -50.0})
    assert "mine-s0-step-40.webp" in gallery.gallery(
        [ROW], {"mine": results.load(ROW, tmp_path)}, tmp_path
    )
    Place(tmp_path / "new", tmp_path).collect(Part(row, 0))
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [other.name, stray.name]


def test_a_sweep_of_tuples_has_each_run_once(tmp_path):
    row = dataclasses.replace(ROW, paper="autoencoder", sweep={"hidden": ((30,), (40,))})
    part = next(rows.parts([row]))
    path = run_directory(tmp_path / f"runs/{part.name}", part, {20: -3.0})
    images.save(path / "samples/samples-step-00000020.png", np.zeros((8, 8, 1)))
    for _ in range(2):
        Place(tmp_path / "runs", tmp_path).collect(part)
    assert len(results.load(row, tmp_path)) == 1
    assert [p.name for p in (tmp_path / "pictures").iterdir()] == [f"{part.name}-step-20.webp"]


@pytest.mark.parametrize("step, value", [("final", -1.0), ("040", -1.0), ("40", float("nan"))])
def test_a_result_with_a_damaged_value_is_refused(tmp_path, step, value):
    results.add(Part(ROW, 0), played(0, {"40": -1.0}), tmp_path)
    path = tmp_path / "mine.json"
    path.write_text(path.read_text().replace('"40": -1.0', f'"{step}": {json.dumps(value)}'))
    with pytest.raises(DataError, match=f"mine.json has a value at step '{step}' of seed 0"):
        results.load(ROW, tmp_path)


def test_a_result_with_a_damaged_config_is_refused(tmp_path):
    results.add(Part(ROW, 0), played(0, {"40": -1.0}), tmp_path)
    broken = dataclasses.replace(results.load(ROW, tmp_path)[0], config={"unknown": 1})
    with pytest.raises(DataError, match=r"Restore or delete results/mine\.json"):
        results.of_group([broken], Part(ROW, 0))


def test_an_animation_stays_one_and_fits(tmp_path):
    noise = np.kron(np.random.default_rng(0).random((40, 8, 8, 3)), np.ones((1, 30, 30, 1)))
    images.animation(tmp_path / "progress.webp", list((255 * noise).astype(np.uint8)))
    small = gallery.shrink(tmp_path / "progress.webp")
    assert len(small) <= gallery.MOST_BYTES
    with Image.open(io.BytesIO(small)) as image:
        assert image.n_frames == gallery.FRAMES[0] + 1
        image.seek(gallery.FRAMES[0])
        last = np.asarray(image.convert("RGB").resize((240, 240)), float)
    assert np.abs(last - 255 * noise[-1]).mean() < 10
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"x.png is not a picture"):
        gallery.shrink(tmp_path / "x.png")


def test_an_animation_of_fine_noise_has_fewer_frames(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 110, 110, 3), np.uint8)
    images.animation(tmp_path / "progress.webp", list(noise))
    small = gallery.shrink(tmp_path / "progress.webp")
    assert len(small) <= gallery.MOST_BYTES
    with Image.open(io.BytesIO(small)) as image:
        assert 1 < image.n_frames <= gallery.FRAMES[1] + 1


def test_a_run_of_one_s_own_study_is_imported_and_what_it_lacks_is_named(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(STUDY.replace("test/elbo", "test/elboo"))
    _, _, part = rows.parts(rows.load(tmp_path / "mine.py"))
    path = run_directory(tmp_path / "x", part, {40: -2.0})
    where = ["--results", str(tmp_path), "--runs", str(tmp_path)]
    mine = ["--study", str(tmp_path / "mine.py"), *where]
    assert command.main(["import", str(path), *where]) == 2
    assert command.main(["import", str(path), *mine]) == 0
    capsys.readouterr()
    assert command.main([*mine, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "done: its row names test/elboo, but test/elbo were measured" in listed


def test_a_directory_of_another_run_is_named_in_the_list(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(STUDY)
    _, part, _ = rows.parts(rows.load(tmp_path / "mine.py"))
    log = "2026-01-01 10:01:00 step 40/40  vae/loss 3  0.5 steps/s  64 images/s\n"
    run_directory(tmp_path / part.name, part, {40: -2.0}, log=log, latents=7)
    where = ["--results", str(tmp_path), "--runs", str(tmp_path)]
    assert command.main(["--study", str(tmp_path / "mine.py"), *where, "--list"]) == 0
    listed = capsys.readouterr().out
    assert "latents: 7 there, 2 here: remove it, or give the row another name" in listed
    assert "0 of 3 runs are done; 2 of the others take" in listed


def test_a_platform_that_is_not_there_is_one_sentence(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    where = ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    assert command.main(["smoke", "--platform", "nonsense", *where]) == 69
    assert "JAX finds no device" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()
