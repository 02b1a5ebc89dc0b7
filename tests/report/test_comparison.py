"""The page of several configurations: their groups, labels, order, verdicts and pictures."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from gen_jax import images
from gen_jax.errors import UserError
from gen_jax.report import __main__ as command
from gen_jax.report import charts as curves
from gen_jax.report import page as report
from gen_jax.report import run_reader as runs
from gen_jax.report.curves import overlaid
from gen_jax.report.groups import NEUTRAL, grouped, order_of
from gen_jax.report.pictures import side_by_side
from gen_jax.study import results
from tests.report.test_page import EVIL, PAPER, Page, cut, draw, make


def play(directory, rate=0.02, seed=0, *, preset="quick", nll=87.0, run=None, **changes):
    """A run directory of a sweep over rates."""
    settings = {"seed": seed, "dir": str(directory), "log_every": 100, **(run or {})}
    config = {"steps": 300, "optimizer": {"rate": rate}, "run": settings}
    described = {"schema": 1, "experiment": "experiments.vae", "preset": preset, "config": config}
    return make(directory, seed, nll=nll, **{"config": described, **changes})


def read(*directories):
    return [runs.read(directory) for directory in directories]


def sweep(folder, values, seeds=3):
    """Runs of several rates: rate -> mean of test/nll over its seeds, or None if not measured."""
    return [
        play(
            folder / f"r{rate}-s{seed}", rate, seed, nll=(value or 0) + 0.1 * (seed - 1),
            **({} if value is not None else {"metrics": '{"step": 1, "vae/loss": 2}\n'}),
        )
        for rate, value in values.items()
        for seed in range(seeds)
    ]  # fmt: skip


def column(path, rows=3):
    """The first words of the rows of the table."""
    return re.findall(r'<th scope="row" class="mono" data-value="([^"]*)"', path.read_text())[:rows]


def test_what_is_one_group_is_one_configuration_of_a_study():
    assert {*NEUTRAL} <= {*results.NEUTRAL}


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ({"seed": 1}, 1),
        ({"seed": 1, "run": {"log_every": 7}}, 1),
        ({"seed": 1, "run": {"devices": 2}}, 1),
        ({"seed": 1, "preset": "paper"}, 1),  # another name for the same
        ({"seed": 1, "run": {"precision": "float32"}}, 1),  # the other is older than that setting
        ({"seed": 1, "run": {"init_from": "runs/a"}}, 2),
        ({"seed": 1, "run": {"precision": "bfloat16"}}, 2),
        ({"rate": 0.01}, 2),
    ],
)
def test_groups(tmp_path, changes, groups):
    found = grouped(read(play(tmp_path / "a"), play(tmp_path / "b", **changes)))
    assert len(found) == groups and sum(len(group.runs) for group in found) == 2


def test_seeds_of_a_sweep_are_together_wherever_they_stand(tmp_path):
    mixed = [play(tmp_path / f"{i}", (0.1, 0.2)[i % 2], i // 2) for i in range(6)]
    found = grouped(read(*mixed))
    names = [[run.name for run in group.runs] for group in found]
    assert names == [["0", "2", "4"], ["1", "3", "5"]]


def test_labels_are_what_differs(tmp_path):
    config = {"schema": 1, "experiment": "experiments.vae", "preset": "full"}
    new = {"steps": 9, "optimizer": {"rate": 0.02, "decay": [0.5, 1]}, "run": {"seed": 3}}
    found = grouped(
        read(
            play(tmp_path / "a"),
            play(tmp_path / "b", 0.00001, run={"log_every": 7}),
            make(tmp_path / "c", config={**config, "config": new}),
        )
    )
    assert [group.label for group in found] == [
        "quick, steps=300, optimizer.rate=0.02, optimizer.decay=absent",
        "quick, steps=300, optimizer.rate=1e-05, optimizer.decay=absent",
        "full, steps=9, optimizer.rate=0.02, optimizer.decay=[0.5, 1]",
    ]
    assert [group.label for group in grouped(read(tmp_path / "a", tmp_path / "b"))] == [
        "optimizer.rate=0.02",
        "optimizer.rate=1e-05",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected", "words"),
    [
        # test/nll has a claim, and lower is better
        ([], ["0.3", "0.1", "0.2"], "ascending (lower is better)"),
        (["--descending"], ["0.1", "0.3", "0.2"], "descending (lower is better)"),
        (["--sort", "test/nll", "--ascending"], ["0.3", "0.1", "0.2"], "ascending"),
        # vae/norm has none, and is in the order given where it is equal
        (["--sort", "vae/norm"], ["0.2", "0.1", "0.3"], "ascending; which values are better"),
        (["--sort", "vae/norm", "--descending"], ["0.1", "0.3", "0.2"], "descending (higher is"),
    ],
)  # fmt: skip
def test_order(tmp_path, arguments, expected, words):
    directories = sweep(tmp_path, {0.2: None, 0.1: 90.0, 0.3: 80.0}, seeds=1)
    if "vae/norm" in arguments and "--descending" not in arguments:
        (directories[0] / "metrics.jsonl").write_text('{"step": 1, "vae/norm": 3}\n')
    page = tmp_path / "page.html"
    assert command.main([*map(str, directories), "--out", str(page), *arguments]) == 0
    assert column(page) == expected and words in Page(page).words


def test_without_a_claim_the_first_measure_of_evaluation_sorts(tmp_path):
    units = {"none/such": "", "test/nll": "nats", "vae/loss": ""}
    paper = {**PAPER, "claims": {}, "units": units}
    made = read(*(play(tmp_path / f"{i}", i, paper=paper) for i in range(2)))
    assert order_of(made, None, None).metric == "test/nll"
    assert order_of(made, None, None).better is None


def test_without_measures_the_order_is_the_given_one(tmp_path):
    made = [
        play(tmp_path / f"{rate}", rate, metrics='{"step": 1, "vae/loss": 2}\n')
        for rate in (0.2, 0.3, 0.1)
    ]
    page = report.compare(made, tmp_path / "page.html")
    assert column(page) == ["0.2", "0.3", "0.1"] and "in the given order" in Page(page).words


def test_a_metric_that_no_run_has_is_refused(tmp_path, capsys):
    made = map(str, sweep(tmp_path, {0.1: 90.0, 0.2: 80.0}, seeds=1))
    out = ["--out", str(tmp_path / "page.html")]
    assert command.main([*made, *out, "--sort", "test/elbo"]) == UserError.exit_code
    assert "test/elbo, which none of them has: give one of test/nll" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_each_group_has_its_numbers_and_its_verdict(tmp_path):
    made = sweep(tmp_path, {0.1: 86.8, 0.2: 60.0, 0.3: 99.0})
    words = Page(report.compare(made[:-1], tmp_path / "page.html")).words
    # t(0.975, 2) * 0.1 / sqrt(3) = 0.248
    assert (
        "0.2 60.00 ± 0.25 n = 3, step 300 better 0.1 86.80 ± 0.25 n = 3, step 300 agrees" in words
    )
    assert "n = 2, step 300 fewer than three seeds: no verdict" in words
    assert "86.76 unverified Table 1" in words and "3 configurations · 8 runs" in words
    assert "no run has measured: test/fid 12" in words


def test_seeds_that_are_equal_are_said_of_their_group_only(tmp_path):
    made = [play(tmp_path / "a", 0.1), play(tmp_path / "b", 0.2), play(tmp_path / "c", 0.2)]
    words = Page(report.compare(made, tmp_path / "page.html")).words
    assert "optimizer.rate=0.2: Runs share a seed" in words and words.count("share a seed,") == 1


def test_all_groups_are_in_each_chart(tmp_path):
    groups = grouped(read(*sweep(tmp_path, {0.1: 90.0, 0.2: 80.0})))
    charts = overlaid(groups, "vae/norm")
    assert [chart["name"] for chart in charts] == ["test/nll", "vae/loss"]
    assert [chart["name"] for chart in overlaid(groups, "vae/loss")] == ["vae/loss", "test/nll"]
    for hue in (0, 1):  # three runs and their mean
        lines = re.findall(
            rf"<path [^>]*stroke: var\(--hue{hue}\)[^>]*stroke-width: ", charts[0]["svg"]
        )
        assert len(lines) == 4
    assert "hue2" not in charts[0]["svg"]
    first, second = charts[0]["label"].split("; ")
    assert first == "optimizer.rate=0.1 from 100 at step 200 to 90 at step 300"
    assert second.startswith("optimizer.rate=0.2 from 90 ")


def test_a_group_without_the_metric_keeps_its_colour(tmp_path):
    groups = grouped(read(*sweep(tmp_path, {0.1: None, 0.2: 80.0})))
    (chart,) = [one for one in overlaid(groups, None) if one["name"] == "test/nll"]
    assert "--hue1" in chart["svg"] and "--hue0" not in chart["svg"]


def test_thirty_groups_stay_legible(tmp_path):
    rates = {round(0.01 * i, 2): 60.0 + i for i in range(30)}
    page = report.compare(sweep(tmp_path, rates), tmp_path / "page.html")
    words, text = Page(page).words, page.read_text()
    assert column(page, 30) == [str(rate) for rate in rates]
    assert "the 18 others" in words and "Only the first 12 configurations" in words
    chart = text.partition("<h3>test/<wbr>nll</h3>")[2].partition("</figure>")[0]
    means = re.findall(r"<path [^>]*stroke: (var\(--\w+\))[^>]*stroke-opacity: 0.35", chart)
    assert means == ["var(--paper)"] * 18  # and no lines of runs
    for hue in range(curves.HUES):
        assert len(re.findall(rf"<path [^>]*fill: none[^>]*var\(--hue{hue}\)", chart)) == 2
    assert len(text) < 2e6


def test_the_pictures_are_of_the_best_run_of_each_group(tmp_path):
    made = sweep(tmp_path, {0.1: 90.0, 0.2: 80.0})
    for directory in made:
        draw(directory)
    cut(made[1] / "samples" / "samples-step-00000300.png")
    (made[4] / "samples" / "reals.png").unlink()
    found, notes = side_by_side([*zip(("one", "two"), read(made[1], made[4]), strict=True)])
    samples, reals = found  # the animation is left out
    assert [samples["kind"], reals["kind"]] == ["samples", "reals"]
    assert [(one["label"], one["step"]) for one in samples["runs"]] == [
        ("one", 200),
        ("two", 300),
    ]
    assert [bool(one["picture"]) for one in reals["runs"]] == [True, False]
    assert len(notes) == 1 and notes[0].startswith("r0.1-s1: the picture samples-step-00000300.png")
    words = Page(report.compare(made, tmp_path / "page.html")).words
    assert "optimizer.rate=0.2 r0.2-s0, step 300 optimizer.rate=0.1 r0.1-s0, step 300" in words
    assert "best run of its configuration by test/nll" in words


def test_the_best_run_is_by_the_claim_whatever_the_order(tmp_path):
    made = read(
        *(play(tmp_path / f"{i}", 0.1, i, nll=nll) for i, nll in enumerate((9.0, 3.0, 5.0)))
    )
    for descending in (None, True, False):
        assert order_of(made, None, descending).representative(grouped(made)[0]) is made[1]
    assert order_of(made, "vae/norm", None).representative(grouped(made)[0]) is made[0]


def of_another(directory, nll, **paper):
    config = {"schema": 1, "experiment": "beta_vae", "preset": "quick", "config": {}}
    return make(directory, nll=nll, config=config, paper={**PAPER, **paper})


def test_a_variant_is_beside_its_base_without_the_claims_of_either(tmp_path):
    made = [play(tmp_path / "a"), of_another(tmp_path / "b", 70.0)]
    path = report.compare(made, tmp_path / "page.html", sort="test/nll")
    assert column(path, 2) == ["beta_vae", "experiments.vae"]
    words = Page(path).words
    assert "86.76" not in words and "no verdict" not in words and "70" in words


def test_runs_without_a_common_measure_are_refused(tmp_path, capsys):
    made = [play(tmp_path / "a"), of_another(tmp_path / "b", 70.0, units={"test/fid": ""})]
    assert command.main([*map(str, made), "--out", str(tmp_path / "page.html")]) == 2
    assert "experiments.vae and beta_vae, which have no measure" in capsys.readouterr().err


def test_words_from_files_stay_words(tmp_path):
    evil = '"><script>' + EVIL
    changes = {
        "metrics": "".join(
            json.dumps({"step": s, evil: s, f"test/{evil}": s}) + "\n" for s in (1, 2)
        ),
        "command": evil,
        "env": {evil: evil},
        "paper": {**PAPER, "title": evil, "units": {f"test/{evil}": evil},
                  "claims": {evil: {"value": 1, "spread": 1, "where": evil, "status": "read",
                                    "protocol": evil}}},
    }  # fmt: skip
    made = []
    for i in range(2):
        config = {
            "schema": 1,
            "experiment": evil,
            "preset": f"{i}{evil}",
            "config": {evil: f"{i}{evil}"},
        }
        made.append(make(tmp_path / f"{i}</b>".replace("/", "_"), config=config, **changes))
        images.save(made[i] / "samples" / '"><script>-step-1.png', np.zeros((4, 4)))
    page = Page(report.compare(made, tmp_path / "page.html"))
    assert page.words.count(evil[:-1]) >= 20 and len(page.all("script")) == 1
    assert not [a for _, attributes in page.elements for a in attributes if a[:2] == "on"]


def test_the_only_script_is_the_one_that_the_page_allows(tmp_path):
    path = report.compare(sweep(tmp_path, {0.1: 90.0, 0.2: 80.0}), tmp_path / "page.html")
    (script,) = re.findall(r"<script>(.*?)</script>", path.read_text(), re.DOTALL)
    (policy,) = [meta["content"] for meta in Page(path).all("meta") if meta.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy and "default-src 'none'" in policy
    assert not re.search(r"https?:|fetch|import|innerHTML", script)


def test_equal_runs_give_equal_pages_that_can_be_read_by_all(tmp_path):
    made = [draw(one) for one in sweep(tmp_path, {0.1: 90.0, 0.2: None}, seeds=1)]
    first = report.compare(made, tmp_path / "page.html").read_bytes()
    page = Page(report.compare(made, tmp_path / "page.html"))
    assert (tmp_path / "page.html").read_bytes() == first
    assert len(page.all("h1")) == 1 and all(image["alt"] for image in page.all("img"))
    assert all(head["scope"] for head in page.all("th"))
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    assert [h["aria-sort"] for h in page.all("th") if "aria-sort" in h] == ["ascending"]
