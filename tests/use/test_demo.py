"""The web page has what the types of the abilities ask for, and answers as the model does."""

import asyncio
import inspect
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

import gen_jax
from experiments import cyclegan, stargan, text2image, vae
from gen_jax.config import Count, Fraction, Positive, changed
from gen_jax.data.catalog.pictures import read
from gen_jax.demo import __main__ as command
from gen_jax.run import train
from gen_jax.run.experiment import presets
from gen_jax.run.opened import open_run
from gen_jax.use import abilities
from gen_jax.use.abilities import Codes, Parameter
from tests.data.own_pictures import fill

NONE = inspect.Parameter.empty
CHANGES = {cyclegan: {"steps": 4, "width": 4, "pool": 12, "batch_size": 8}}


def trained(experiment, path):
    preset = "discs" if experiment is cyclegan else "tiny"
    changes = {"run.dir": path, **CHANGES.get(experiment, {})}
    train.run(experiment, preset, changed(presets(experiment)[preset][1], changes))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(vae, tmp_path_factory.mktemp("runs") / "vae")


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))  # before the import
    pytest.importorskip("gradio", reason="needs Gradio, the extra `demo`")
    from gen_jax.use import page

    return page


def in_a_loop(function, *args):
    """Gradio leaves event loops open where it finds none."""

    async def called():
        return function(*args)

    return asyncio.run(called())


@pytest.fixture
def calls(page, run):
    built = in_a_loop(page.build, open_run(run))
    return {f.api_name: f.fn for f in built.fns.values()}


def test_each_ability_answers_as_the_model_does(calls, run, tmp_path):
    model = gen_jax.load(run)
    for given, expected in (
        (("generate", 12, 3), model.generate(12, seed=3)),
        (("decode", 0.5, -1.0), model.decode([[0.5, -1.0]])),
        (("interpolate", 2, 3, 5), model.interpolate(2, 3, seed=5)),
    ):
        message, found = calls[given[0]](*given[1:])
        assert not message.visible
        np.testing.assert_array_equal(found, expected.grid())
    paths = [tmp_path / name for name in fill(tmp_path, 3)]
    images = np.stack([read(path, 8, grey=True) for path in paths])
    _, prepared, found = calls["reconstruct"]([str(path) for path in paths])
    np.testing.assert_array_equal(prepared, gen_jax.images.grid(images))
    np.testing.assert_array_equal(found, model.reconstruct(images).grid())
    _, _, table, file = calls["encode"]([str(path) for path in paths])
    np.testing.assert_array_equal(np.load(file), model.encode(images))
    np.testing.assert_allclose(table, model.encode(images), atol=1e-4)


def test_what_cannot_be_done_is_one_sentence(calls, tmp_path):
    bad = tmp_path / "copy" / "bad.png"
    bad.parent.mkdir()
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    for given, words in (
        (("reconstruct", None), "images is missing: give a picture, or several."),
        (("reconstruct", [str(bad)]), "bad.png cannot be decoded as a picture"),
        (("generate", None, 0), "count is missing"),
        (("generate", 0, 0), "count is 0; it must be a whole number from 1"),
    ):
        message, *found = calls[given[0]](*given[1:])
        assert message.visible and message.value.startswith(words)
        assert found == [None] * len(found)


@pytest.mark.parametrize(
    ("one", "kind", "has", "given", "value"),
    [
        (Parameter("n", int, 64, Count.__metadata__[0]), "Number", {"maximum": 100}, 7, 7),
        (Parameter("p", float, 0.5, Fraction.__metadata__[0]), "Slider", {"maximum": 1}, 1, 1.0),
        (Parameter("r", float, 2.0, Positive.__metadata__[0]), "Number", {"minimum": 0}, 3.0, 3.0),
        (Parameter("s", str, NONE), "Textbox", {"value": None}, "a circle", "a circle"),
        (Parameter("d", str, NONE, choices=("a", "b")), "Dropdown", {"value": "a"}, "b", "b"),
        (Parameter("d", str, "b", choices=("a", "b")), "Dropdown", {"value": "b"}, "a", "a"),
    ],
)
def test_the_type_says_what_asks_for_a_value(page, one, kind, has, given, value):
    control = page._control(one, None)
    (part,) = control.parts
    assert type(part).__name__ == kind and {name: getattr(part, name) for name in has} == has
    assert control.read(given) == value and type(control.read(given)) is one.kind


def test_few_latents_are_sliders_and_more_are_a_file(page, tmp_path):
    import gradio as gr

    def parts(latents):
        with gr.Blocks(analytics_enabled=False):
            return page._codes("codes", latents)

    few, more = in_a_loop(parts, page.FEW), in_a_loop(parts, page.FEW + 1)
    assert len(few.parts) == page.FEW and len(more.parts) == 1
    assert few.read(*range(page.FEW)).tolist() == [[*range(page.FEW)]]
    np.save(tmp_path / "codes.npy", np.eye(3))
    assert (more.read(str(tmp_path / "codes.npy")) == np.eye(3)).all()
    (tmp_path / "codes.npy").write_bytes(b"nothing")
    with pytest.raises(gen_jax.errors.UserError, match=r"codes cannot be read as \.npy"):
        more.read(str(tmp_path / "codes.npy"))
    assert Codes.__metadata__ == (abilities.CODES,)


def test_without_gradio_one_sentence_says_how_to_install_it(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "gen_jax.use.page", raising=False)
    monkeypatch.delattr("gen_jax.use.page", raising=False)
    assert command.main([str(run)]) == 2
    assert "pip install -e '.[demo]'" in capsys.readouterr().err


def test_a_port_that_is_taken_is_one_sentence(page, run, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command.main([str(run), "--port", str(port)]) == 2
    assert f"port {port} cannot be used (Address already in use)" in capsys.readouterr().err
    assert command.main([str(run), "--port", "70000"]) == 2
    assert "port is 70000; it must be a whole number from 0 to 65535." in capsys.readouterr().err


@pytest.fixture
def served(page, tmp_path):
    """A function that starts the command, and returns its address and its process."""
    started = []

    def start(run):
        process = subprocess.Popen(
            [sys.executable, "-m", "gen_jax.demo", str(run), "--port", "0"],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        started.append(process)
        return process.stdout.readline().split()[4], process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_the_command_serves_this_machine_until_ctrl_c(run, served, tmp_path):
    address, process = served(run)
    with urllib.request.urlopen(address) as answer:
        assert b"Auto-Encoding Variational Bayes" in answer.read()
    elsewhere = urllib.request.Request(address, headers={"Host": "example.org"})
    guessed = address.rsplit("/", 2)[0] + "/config"
    for asked, code in ((elsewhere, "400"), (guessed, "404")):
        with pytest.raises(urllib.error.HTTPError, match=code) as refused:
            urllib.request.urlopen(asked)
        refused.value.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130 and not [*tmp_path.iterdir()]


@pytest.fixture
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed"
    with sync_api.sync_playwright() as playwright, playwright.chromium.launch(
        executable_path=chromium, args=["--no-sandbox"]
    ) as browser, browser.new_page() as tab:  # fmt: skip
        hosts = set()
        tab.on("request", lambda r: hosts.add(r.url.partition("//")[2].partition(":")[0]))
        yield tab
        assert hosts == {"127.0.0.1"}  # nothing is loaded from elsewhere


def shown(tab, name, before=None):
    """The picture of an ability, once it is another one than before."""
    image = tab.locator(f".pixels:has(label:text-is('{name}')) img")
    image.wait_for(timeout=60_000)
    for _ in range(300):
        picture = urllib.request.urlopen(image.get_attribute("src")).read()
        if picture != before:
            return picture
        tab.wait_for_timeout(100)
    raise AssertionError("the picture has not changed")


def same(picture, expected):
    """Another process, which has other devices, may round a value to its neighbour."""
    found = np.asarray(Image.open(io.BytesIO(picture)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1)


@pytest.mark.browser
def test_a_slider_changes_the_picture_of_a_vae(run, served, browser):
    browser.goto(served(run)[0])
    browser.get_by_role("tab", name="decode").click()
    browser.get_by_role("button", name="decode", exact=True).click()
    first = shown(browser, "decode")
    browser.get_by_label("range slider for codes 1").fill("2")
    second = shown(browser, "decode", first)
    model = gen_jax.load(run)
    same(first, model.decode([[0.0, 0.0]]).grid())
    same(second, model.decode([[0.0, 2.0]]).grid())


@pytest.mark.browser
def test_a_sentence_becomes_a_picture(served, browser, tmp_path):
    run = trained(text2image, tmp_path / "run")
    browser.goto(served(run)[0])
    browser.get_by_label("sentence").first.fill("a large red circle")
    browser.keyboard.press("Enter")
    expected = gen_jax.load(run).draw("a large red circle").grid()
    same(shown(browser, "draw"), expected)


@pytest.mark.browser
def test_an_upload_is_translated_by_a_cyclegan(served, browser, tmp_path):
    run = trained(cyclegan, tmp_path / "run")
    paths = [tmp_path / "in" / name for name in fill(tmp_path / "in", 2)]
    browser.goto(served(run)[0])
    browser.locator("input[type=file]").first.set_input_files(paths)
    given = np.stack([read(path, 16) for path in paths])
    expected = gen_jax.load(run).to_y(given).grid()
    same(shown(browser, "to_y"), expected)


@pytest.mark.browser
def test_an_upload_is_translated_into_the_chosen_domain_by_a_stargan(served, browser, tmp_path):
    run = trained(stargan, tmp_path / "run")
    fill(tmp_path / "in", 1)
    browser.goto(served(run)[0])
    browser.locator("input[type=file]").first.set_input_files(tmp_path / "in/00.png")
    first = shown(browser, "translate")
    browser.get_by_label("domain").click()
    option = browser.get_by_role("option").nth(1)
    domain = option.inner_text().removeprefix("✓").strip()
    option.click()
    second = shown(browser, "translate", first)
    given = read(tmp_path / "in/00.png", 8)
    same(second, gen_jax.load(run).translate(given, domain).grid())
