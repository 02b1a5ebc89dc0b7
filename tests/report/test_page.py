"""The page of runs: its numbers, its honesty, and that it holds all it shows and nothing that acts."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_jax import images
from gen_jax.errors import DataError, UserError
from gen_jax.report import __main__ as command
from gen_jax.report import charts as curves
from gen_jax.report import curves as overviews
from gen_jax.report import page as report
from gen_jax.report import pictures as albums
from gen_jax.report import rows
from gen_jax.report import run_reader as runs
from gen_jax.types import Claim

PAPER = {
    "title": "A Paper", "authors": "A. Author", "venue": "Venue 2014", "arxiv": "1312.6114", "replicated": "This.",
    "not_replicated": "That.", "cost": "none", "units": {"test/nll": "nats per image"},
    "claims": {
        "test/nll": {"value": 86.76, "spread": None, "where": "Table 1", "status": "unverified", "better": "lower"},
        "test/fid": {"value": 12, "spread": 0.5, "where": "Table 2", "status": "read", "protocol": "50k samples"},
    },
}  # fmt: skip
EVIL = "<script>alert('&')</script>\ud800"  # and half a character, which no file can hold


def make(directory: Path, seed: int = 0, *, nll: float = 87.0, **changes) -> Path:
    """A run directory; `changes` replace whole files, by their name without suffix."""
    lines = [{"step": step, "vae/loss": 100.0 / step, "vae/norm": None} for step in (100, 200, 300)]
    lines[1] |= {"test/nll": nll + 10, "vae/norm": 4.0}
    lines[2] |= {"test/nll": nll}
    files = {
        "config.json": {"schema": 1, "experiment": "experiments.vae", "preset": "quick",
                        "config": {"steps": 300, "optimizer": {"rate": 0.02}, "run": {"seed": seed, "dir": str(seed)}}},
        "paper.json": PAPER, "env.json": {"jax": "0.10.2", "devices": 1}, "log.txt": "begun\n",
        "command.txt": "python -m experiments.vae quick\n",
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
    }  # fmt: skip
    files |= {
        name: changes[name.partition(".")[0]] for name in files if name.partition(".")[0] in changes
    }
    directory.mkdir(parents=True)
    for name, value in files.items():
        if value is not None:
            (directory / name).write_bytes(
                (value if isinstance(value, str) else json.dumps(value)).encode(
                    "utf-8", "surrogatepass"
                )
            )
    return directory


def draw(directory: Path) -> Path:
    """Samples at three steps, something without a step, and an animation."""
    frames = np.random.default_rng(0).random((3, 4, 6, 6, 1))
    for step, frame in zip((100, 200, 300), frames, strict=True):
        images.save(directory / "samples" / f"samples-step-{step:08d}.png", images.grid(frame))
    images.save(directory / "samples" / "reals.png", np.full((400, 700), 99, np.uint8))
    images.animation(
        directory / "samples" / "progress.webp", [images.grid(frame) for frame in frames]
    )
    return directory


class Page(HTMLParser):
    """The elements and the words of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.words = re.sub(r"\s+", " ", self.words)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.words += "" if tag == "wbr" else " "

    def handle_data(self, data):
        self.words += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_interval_by_hand():
    # t(0.975, 2) = 4.302653; the standard deviation of 1, 2, 3 is 1
    np.testing.assert_allclose(
        report.interval([1, 2, 3]), [2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5], rtol=1e-6
    )
    np.testing.assert_allclose(
        report.interval([5, 7]), [6, 6 - 12.706205, 6 + 12.706205], rtol=1e-6
    )


ONES = [1, 2, 3]  # their interval is -0.484 to 4.484


@pytest.mark.parametrize(
    ("value", "spread", "tolerance", "better", "values", "expected"),
    [
        (2, None, None, "lower", [], "not measured"),
        (2, None, None, "lower", [2.0], "fewer than three seeds: no verdict"),
        (2.98, None, None, "lower", [26.2, 32.5], "fewer than three seeds: no verdict"),  # DCGAN's
        (2.98, None, None, "lower", [26.2, 32.5, 29.0], "worse"),
        (
            29,
            None,
            None,
            "lower",
            [26.2, 32.5, 29.0],
            "not distinguishable",
        ),  # the interval is wider than 5 %
        (29, None, None, "lower", [28.9, 29.0, 29.1], "agrees"),
        (
            2,
            2.48,
            None,
            "lower",
            ONES,
            "not distinguishable",
        ),  # an interval must lie in the band, not touch it
        (2, 2.49, None, "lower", ONES, "agrees"),
        (2, None, 2.49, "lower", ONES, "agrees"),
        (
            2,
            2.49,
            2.0,
            "lower",
            ONES,
            "not distinguishable",
        ),  # a stated tolerance goes before the spread
        (5, 0.5, None, "lower", ONES, "better"),
        (5, 0.5, None, "higher", ONES, "worse"),
        (5, 0.52, None, "lower", ONES, "not distinguishable"),
        (-1, 0.5, None, "lower", ONES, "worse"),
        (-1, 0.5, None, "higher", ONES, "better"),
        (4.7, None, None, "higher", ONES, "not distinguishable"),  # 5 % of it reach down to 4.465
        (4.73, None, None, "higher", ONES, "worse"),
        (
            -100,
            None,
            None,
            "higher",
            [-99, -100, -101],
            "agrees",
        ),  # 5 % of a value below 0, either way
        (0, None, None, "lower", [0, 0, 0], "not distinguishable"),  # 5 % of nothing
        (0, None, None, "lower", ONES, "not distinguishable"),
        (0, None, None, "lower", [10, 11, 12], "worse"),
        (0, None, 0.1, "lower", [0, 0, 0.01], "agrees"),
    ],
)
def test_verdicts(value, spread, tolerance, better, values, expected):
    assert (
        report.verdict(Claim(value, spread, "Table 1", "read", better, "", tolerance), values)
        == expected
    )


def test_more_noise_never_makes_runs_agree():
    """As overlap did: of the same mean, the wider the interval, the less is known."""
    claim, deviations = Claim(10.0, 1.0, "", "read"), (0.1, 0.3, 1.0, 10.0, 100.0)
    found = [report.verdict(claim, [10.2 - d, 10.2, 10.2 + d]) for d in deviations]
    assert found == ["agrees"] * 2 + ["not distinguishable"] * 3


def test_runs_on_other_data_than_the_claim_s_have_no_verdict(tmp_path):
    for data, expected in (("mnist", "agrees"), ("digits", "on mnist, here digits: no verdict")):
        config = {"steps": 300, "data": data}
        seeds = [
            runs.read(make(tmp_path / data / str(i), i, nll=87 + 0.01 * i, config={
                "schema": 1, "experiment": "experiments.vae", "preset": "quick",
                "config": {**config, "run": {"seed": i}}})) for i in range(3)
        ]  # fmt: skip
        claim = Claim(88.0, 20.0, "", "read", data="mnist")
        assert rows.row("test/nll", seeds, claim)["verdict"] == expected


def test_runs_of_one_seed_have_no_verdict(tmp_path):
    same = [runs.read(make(tmp_path / f"s{i}", 7, nll=87.0 + i)) for i in range(3)]
    assert (
        rows.row("test/nll", same, Claim(88.0, 20.0, "", "read"))["verdict"]
        == "runs share a seed: no verdict"
    )
    other = [runs.read(make(tmp_path / f"o{i}", i, nll=87.0 + i)) for i in range(3)]
    assert rows.row("test/nll", other, Claim(88.0, 20.0, "", "read"))["verdict"] == "agrees"


def test_a_claim_of_before_there_were_tolerances_is_read(tmp_path):
    claim = PAPER["claims"]["test/nll"]
    for tolerance, given in ((None, claim), (0.5, {**claim, "tolerance": 0.5})):
        paper = {**PAPER, "claims": {"test/nll": given}}
        assert "tolerance" in given or tolerance is None
        read = runs.read(make(tmp_path / str(tolerance), paper=paper))
        assert read.paper.claims["test/nll"].tolerance == tolerance
        assert ("tolerance 0.5" in Page(report.write(read.directory)).words) == (
            tolerance is not None
        )


def test_the_table_of_one_run(tmp_path):
    page = Page(report.write(make(tmp_path / "run")))
    for words in ("86.76 unverified Table 1", "12 ± 0.5 Table 2", "87 step 300", "fewer than three seeds: no verdict",
                  "nats per image, lower is better", "Protocol: 50k samples", "not measured"):  # fmt: skip
        assert words in page.words
    assert "vae/norm 4 step 200" in page.words  # the last time that it was not null


def test_the_table_of_three_runs(tmp_path):
    seeds = [make(tmp_path / f"s{seed}", seed, nll=86 + seed) for seed in (1, 2, 3)]
    page = Page(report.compare(seeds, tmp_path / "page.html"))
    interval = "88.0 ± 2.5 95 % interval 85.5 to 90.5, n = 3, step 300"
    for words in (interval, "not distinguishable", "1 · 2 · 3", "3 runs"):
        assert words in page.words
    assert "Before you read" not in page.words  # runs that differ in seed and directory only


def test_the_axis_is_to_scale(tmp_path):
    seeds = [runs.read(make(tmp_path / f"s{seed}", seed, nll=87.0 + seed)) for seed in (0, 1, 2)]
    # interval 88 +- 2.484
    plot = rows.row("test/nll", seeds, Claim(88.0, 2.0, "", "read"))["plot"]
    assert plot["interval"] == [6, 114] and plot["paper"][1] == 60
    np.testing.assert_allclose(np.diff(plot["runs"]) * 2 * 2.484 / 108, 1, atol=0.01)
    # the shade is 88 +- 4.4
    wide = rows.row("test/nll", seeds, Claim(88.0, None, "", "read"))["plot"]
    assert wide["paper"] == [6, 60, 114]


def test_what_makes_runs_unequal_is_said(tmp_path):
    config = {"schema": 1, "experiment": "experiments.vae", "preset": "quick"}
    beside = [{"run": {"seed": 7, "seeds": seeds}} for seeds in (1, 2)]
    first = make(tmp_path / "a", config={**config, "config": beside[0]})
    second = make(
        tmp_path / "b", config={**config, "config": beside[1]}, metrics='{"step": 9}\n',
        paper={**PAPER, "replicated": "More."},
    )  # fmt: skip
    words = Page(report.compare([first, second], tmp_path / "page.html")).words
    for note in (
        "run.seeds is 1, 2",
        "share a seed",
        "a at 300, b at 9",
        "no metrics",
        "differently; this page uses",
    ):
        assert note in words


def test_a_claim_has_its_chart_whatever_it_is_called(tmp_path):
    """Before 0.2 Progressive GAN's numbers had no "test/", and were one chart without their claims."""
    lines = [
        {"step": s, "swd": 20.0 / s, "ms_ssim": 0.1, "test/swd": 9.0, "gan/loss": 1, "gan/gap": 2}
        for s in (1, 2)
    ]
    claims = {"swd": {"value": 2.96, "spread": None, "where": "", "status": "read"}}
    run = make(
        tmp_path / "run",
        metrics="".join(json.dumps(line) + "\n" for line in lines),
        paper={**PAPER, "claims": claims},
    )
    charts = {chart["name"]: chart for chart in overviews.charts([runs.read(run)])}
    assert [*charts] == ["test/swd", "gan", "ms_ssim", "swd"] and len(charts["gan"]["legend"]) == 2
    assert charts["swd"]["claim"].value == 2.96 and charts["test/swd"]["claim"] is None


def test_a_torn_last_line_is_left_out_and_said(tmp_path):
    torn = make(tmp_path / "run", metrics='{"step": 1, "a/b": 2.5}\n{"step": 2, "a/b": 7')
    words = Page(report.write(torn)).words
    assert "last line of metrics.jsonl was cut off" in words and "a/b 2.5 step 1" in words


@pytest.mark.parametrize(
    ("file", "text"),
    [("metrics", line + '\n{"step": 2}\n') for line in
     ('{"step": 1', '{"step": 1, "a": NaN}', '{"step": 1, "a": 1e999}', '{"step": 1, "a": "x"}', '{"a": 1}', "[]",
      '{"step": true}', '{"step": -1}', "\x00\x00", '{"step": 1, "a": [' + "[" * 100_000, "")]
    + [("config", text) for text in ("{", "[]", '{"schema": 2, "config": {}}', '{"schema": 1}')]
    + [("paper", text) for text in ("{}", json.dumps({**PAPER, "title": 3}), json.dumps({**PAPER, "claims": {"x": 1}}),
       json.dumps({**PAPER, "claims": {"x": {"value": float("nan"), "spread": None, "where": "", "status": "read"}}}),
       json.dumps({**PAPER, "claims": {"x": {"value": 1, "spread": None, "where": "", "status": "perhaps"}}}),
       json.dumps({**PAPER, "claims": {"x": {**PAPER["claims"]["test/nll"], "tolerance": float("nan")}}}))]
    + [(file, None) for file in ("config", "paper", "env", "metrics")],
)  # fmt: skip
def test_damage_is_one_sentence(tmp_path, capsys, file, text):
    run = make(tmp_path / "run", **{file: text})
    assert command.main([str(run)]) == DataError.exit_code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and f"{file}.json" in said.err
    assert not (run / "report.html").exists()


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, ""),
        (lambda file: file.write_bytes(b""), "it is not a PNG, WebP or GIF"),
        (lambda file: (file.unlink(), file.mkdir()), "Is a directory"),
    ],
    ids=["cut", "empty", "directory"],
)
@pytest.mark.parametrize(
    ("name", "kinds", "last", "strip"),
    [
        ("progress.webp", ["samples", "reals"], 300, [100, 200]),
        ("samples-step-00000100.png", ["samples", "reals", "progress"], 300, [200]),
        (
            "samples-step-00000300.png",
            ["samples", "reals", "progress"],
            200,
            [100],
        ),  # the one before it is the latest
    ],
)
def test_a_damaged_picture_is_one_sentence(tmp_path, damage, reason, name, kinds, last, strip):
    """In the notes of a page that shows all the others."""
    run = draw(make(tmp_path / "run"))
    damage(run / "samples" / name)
    page = report.write(run)
    assert f"run: the picture {name} is left out: {reason}" in Page(page).words
    assert report.write(run).read_bytes() == page.read_bytes()
    found, left_out = albums.pictures([runs.read(run)])
    assert [one["kind"] for one in found] == kinds and len(left_out) == 1
    assert found[0]["step"] == last and [step for step, _ in found[0]["strip"]] == [
        f"step {step}" for step in strip
    ]


def test_where_the_first_run_has_no_whole_picture_the_next_one_shows_its_own(tmp_path):
    seeds = [draw(make(tmp_path / f"s{seed}", seed)) for seed in (0, 1, 2)]
    cut(seeds[0] / "samples" / "reals.png")
    found, left_out = albums.pictures([runs.read(seed) for seed in seeds])
    reals = next(one for one in found if one["kind"] == "reals")
    assert (
        reals["run"] == "s1"
        and reals["latest"]["width"] == 700
        and [name for name, _ in reals["others"]] == ["s2"]
    )
    assert len(left_out) == 1 and left_out[0].startswith("s0: the picture reals.png is left out: ")


def test_what_cannot_be_compared_is_refused(tmp_path, capsys):
    one, two = make(tmp_path / "one"), make(tmp_path / "two", 1)
    config = {"schema": 1, "experiment": "experiments.gan", "preset": "paper", "config": {}}
    paper = {**PAPER, "units": {"test/kl": "nats"}}
    other = make(tmp_path / "other", config=config, paper=paper)
    page = ["--out", str(tmp_path / "page.html")]
    for arguments, words in (
        ([one, other, *page], "experiments.vae and experiments.gan, which have"),
        ([one, tmp_path / "." / "one", *page], "given twice"),
        ([one, two], "There are 2 runs"),
        ([tmp_path / "none"], "is not a directory"),
        ([], "There are 0 runs"),
        (page, "at least one"),
    ):
        assert command.main([str(argument) for argument in arguments]) == UserError.exit_code
        assert words in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_the_command_line_prints_the_page(tmp_path, capsys):
    one, two, page = make(tmp_path / "one"), make(tmp_path / "two", 1), tmp_path / "page.html"
    assert command.main([str(one)]) == 0 and capsys.readouterr().out == f"{one / 'report.html'}\n"
    assert (
        command.main([str(one), str(two), "--out", str(page)]) == 0
        and capsys.readouterr().out == f"{page}\n"
    )
    assert page.exists()


def test_words_from_files_stay_words(tmp_path):
    evil = make(
        tmp_path / "run",
        metrics="".join(json.dumps({"step": s, EVIL: s, f"g/{EVIL}": s, f"test/{EVIL}$": s}) + "\n" for s in (1, 2)),
        log=f"{EVIL}\n", command=f"{EVIL}\n", env={EVIL: EVIL},
        config={"schema": 1, "experiment": EVIL, "preset": EVIL, "config": {EVIL: {"x": EVIL}}},
        paper={**PAPER, **dict.fromkeys(("title", "authors", "venue", "replicated", "not_replicated"), EVIL),
               "arxiv": '"><script>', "units": {EVIL: EVIL},
               "claims": {EVIL: {"value": 1, "spread": 1, "where": EVIL, "status": "read", "protocol": EVIL}}},
    )  # fmt: skip
    images.save(evil / "samples" / '"><script>-step-1.png', np.zeros((4, 4)))
    page = Page(report.write(evil))
    assert page.words.count(EVIL[:-1]) >= 20
    assert not page.all("script") and not [
        a for _, attributes in page.elements for a in attributes if a[:2] == "on"
    ]
    assert page.all("a") == [{"href": "https://arxiv.org/abs/%22%3E%3Cscript%3E"}]


def test_the_page_holds_all_that_it_shows(tmp_path):
    page = Page(report.write(draw(make(tmp_path / "run"))))
    sources = [image["src"] for image in page.all("img")] + [
        source["srcset"] for source in page.all("source")
    ]
    assert len(sources) == 6  # samples and two earlier steps, reals, the animation and its still
    for source in sources:
        head, _, data = source.partition(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            assert head == f"data:image/{image.format.lower()}"
    for _, attributes in page.elements:
        for name, value in attributes.items():
            if name in ("src", "srcset", "data", "poster", "href", "action", "xlink:href", "style"):
                assert re.match(r"data:|https://arxiv\.org/abs/|#m|(?!.*(url|//))", value)
    assert {link["rel"] for link in page.all("link")} == {"icon"}
    style = (
        report.write(tmp_path / "run").read_text().partition("<style>")[2].partition("</style>")[0]
    )
    assert "url(" not in style and "@import" not in style
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_pictures_are_the_latest_whole_and_in_order(tmp_path):
    run = draw(make(tmp_path / "run"))
    samples, reals, film = albums.pictures([runs.read(run)])[0]
    assert [one["kind"] for one in (samples, reals, film)] == ["samples", "reals", "progress"]
    latest = base64.b64decode(samples["latest"]["src"].partition(",")[2])
    assert latest == (run / "samples" / "samples-step-00000300.png").read_bytes()
    assert [caption for caption, _ in samples["strip"]] == ["step 100", "step 200"]
    assert samples["latest"]["width"] == 18 * (640 // 18) and reals["latest"]["width"] == 700
    assert film["latest"]["still"] and not samples["latest"]["still"]


def test_other_runs_show_their_latest_picture(tmp_path):
    seeds = [draw(make(tmp_path / f"s{seed}", seed)) for seed in (0, 1, 2)]
    samples = albums.pictures([runs.read(seed) for seed in seeds])[0][0]
    assert samples["run"] == "s0" and [name for name, _ in samples["others"]] == ["s1", "s2"]


def test_a_long_strip_keeps_both_ends(tmp_path):
    run = make(tmp_path / "run")
    for step in range(1, 31):
        images.save(run / "samples" / f"x-step-{step}.png", np.zeros((4, 4)))
    strip = [caption for caption, _ in albums.pictures([runs.read(run)])[0][0]["strip"]]
    assert len(strip) == 6 and strip[0] == "step 1" and strip[-1] == "step 29"


def test_the_page_can_be_read_by_all(tmp_path):
    page = Page(report.write(draw(make(tmp_path / "run"))))
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
    assert all(image["alt"] for image in page.all("img")) and all(
        head["scope"] for head in page.all("th")
    )
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    labels = [a["aria-label"] for a in page.all("div") if a.get("role") == "img"]
    assert "test/nll from 97 at step 200 to 87 at step 300" in labels


@pytest.mark.parametrize("name", ["light", "dark"])
def test_colours_have_contrast(tmp_path, name):
    style = report.write(make(tmp_path / "run")).read_text()
    light, dark = re.findall(r":root \{(.*?)\n *\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w]+): (#\w{6})", light if name == "light" else dark))

    def luminance(colour):  # WCAG 2, relative luminance
        parts = np.array([int(colours[colour][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]

    texts = (
        "text",
        "muted",
        "link",
        "agrees",
        "better",
        "worse",
        "paper",
        *(f"hue{i}" for i in range(curves.HUES)),
    )
    for ground in ("page", "card"):
        for text in texts:
            low, high = sorted((luminance(text), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_equal_runs_give_equal_pages(tmp_path):
    run = draw(make(tmp_path / "run"))
    first = report.write(run).read_bytes()
    assert report.write(run).read_bytes() == first
    assert sorted(path.name for path in run.iterdir() if path.suffix == ".tmp") == []
