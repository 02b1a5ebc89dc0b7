"""A trained model is loaded from its directory, and does what its paper declares."""

import json

import numpy as np
import pytest

import gen_jax
from experiments import vae
from gen_jax import images
from gen_jax.config import changed
from gen_jax.errors import CheckpointError, DataError, UserError
from gen_jax.run import train
from gen_jax.run.experiment import presets
from gen_jax.run.opened import open_run
from gen_jax.use import __main__ as command
from gen_jax.use import abilities
from gen_jax.use.pictures import Pictures

PAPERS = ("aae", "aae_labels", "autoencoder", "dcgan", "gan", "infogan", "progan", "puzzlegan")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "vae"
    changes = {"run.dir": path, "run.keep": 2, "run.checkpoint_every": 20}
    train.run(vae, "tiny", changed(presets(vae)["tiny"][1], changes))
    return path


def test_the_networks_are_those_of_the_run(run):
    model = gen_jax.load(run)
    assert model.step == 40 and "generate(count=64, *, seed=0)" in repr(model)
    first = model.generate(5, seed=3)
    assert isinstance(first, Pictures) and first.dtype == np.uint8 and first.shape == (5, 8, 8, 1)
    np.testing.assert_array_equal(first, model.generate(count=5, seed=3))
    assert (first != model.generate(5, seed=4)).any()
    trained = open_run(run).trained
    codes = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    means = np.asarray(trained.decoder(codes).mean).reshape(3, 8, 8, 1)
    np.testing.assert_array_equal(model.decode(codes), np.rint(255 * means).astype(np.uint8))
    assert (gen_jax.load(run, step=20).decode(codes) != model.decode(codes)).any()


def test_images_are_reconstructed_in_parts_as_at_once(run, monkeypatch):
    model = gen_jax.load(run)
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8)
    whole = model.reconstruct(images)
    np.testing.assert_array_equal(whole, model.decode(model.encode(images / np.float32(255))))
    monkeypatch.setattr(abilities, "CHUNK", 3)
    assert np.abs(model.reconstruct(images).astype(int) - whole).max() <= 1
    rows = model.interpolate(count=4, columns=5)
    assert rows.shape == (4, 5, 8, 8, 1) and rows.grid().shape == (4 * 10 + 2, 5 * 10 + 2, 3)
    assert rows._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.generate(0), "count is 0; it must be a whole number from 1"),
        (lambda m: m.generate(seed=-1), "seed is -1"),
        (lambda m: m.generate(1, 2, 3), "too many positional arguments"),
        (lambda m: m.decode([[1.0]]), r"codes has shape \[1, 1\]; give numbers \[n, 2\]"),
        (lambda m: m.decode([[1.0, np.inf]]), "not finite"),
        (lambda m: m.encode(np.zeros((2, 4, 8, 1))), r"give \[n, 8, 8, 1\]"),
        (lambda m: m.encode(np.full((2, 8, 8, 1), 2.0)), "neither uint8 nor real values"),
    ],
)
def test_a_wrong_argument_is_one_sentence(run, call, words):
    with pytest.raises(UserError, match=words):
        call(gen_jax.load(run))


def test_what_is_no_usable_run_is_one_sentence(run, tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json"):
        gen_jax.load(tmp_path)
    with pytest.raises(UserError, match="no checkpoint of step 7; it has 20, 40"):
        gen_jax.load(run, step=7)
    with pytest.raises(AttributeError, match="can generate, reconstruct"):
        gen_jax.load(run).translate  # noqa: B018
    known = json.loads((run / "config.json").read_text())
    for experiment, error, words in (
        ("os", UserError, "a run of os: give this module"),
        ("experiments.nothing", UserError, "which is not here"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**known, "experiment": experiment}))
        with pytest.raises(error, match=words):
            gen_jax.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises((DataError, UserError)):
        gen_jax.load(tmp_path)
    with pytest.raises(UserError, match=r"experiments\.vae was given"):
        (tmp_path / "config.json").write_text(json.dumps({**known, "experiment": "mine.vae"}))
        gen_jax.load(tmp_path, experiment=vae)


def test_damaged_weights_are_named_and_no_other_step_is_taken(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    large = max((copy / "checkpoints/step-000000040").rglob("*"), key=lambda p: p.stat().st_size)
    large.write_bytes(large.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"was changed.*: give one of the steps 20"):
        gen_jax.load(copy)
    assert gen_jax.load(copy, step=20).step == 20


@pytest.mark.parametrize("name", PAPERS)
def test_what_a_paper_declares_can_be_asked_for(name):
    """Types, defaults and choices of each ability, without a training."""
    import importlib

    experiment = importlib.import_module(f"experiments.{name}")
    module = importlib.import_module(f"experiments.abilities.{name}")
    config = presets(experiment)["tiny"][1]
    found = [abilities._ability(function, config) for function in module.abilities(config)]
    assert found and len(module.shape(config)) == 3
    for one in found:
        assert one.description and str(one.signature)
        for parameter in one.parameters:
            assert parameter.kind in (int, float, str, abilities.IMAGES, abilities.CODES)
            if parameter.choices and isinstance(parameter.default, str):
                assert parameter.default in parameter.choices


def test_the_command_line_does_what_python_does(run, tmp_path, capsys):
    model = gen_jax.load(run)
    assert command.main([str(run)]) == 0
    assert "reconstruct(images)\n    Encode images" in capsys.readouterr().out
    grid, folder, again = (str(tmp_path / name) for name in ("grid.png", "drawn", "again"))
    draw = [str(run), "generate", "--count", "12", "--seed", "3", "--out"]
    assert command.main([*draw, grid]) == 0 and command.main([*draw, folder]) == 0
    drawn = model.generate(12, seed=3)
    np.testing.assert_array_equal(images.load(tmp_path / "grid.png"), drawn.grid())
    names = [f"{i:02d}.png" for i in range(12)]
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == names
    assert command.main([str(run), "reconstruct", "--images", folder, "--out", again]) == 0
    for name, expected in zip(names, model.reconstruct(drawn), strict=True):  # names are kept
        np.testing.assert_array_equal(images.load(tmp_path / "again" / name)[..., :1], expected)
    codes = str(tmp_path / "codes.npy")
    assert command.main([str(run), "encode", "--images", folder, "--out", codes]) == 0
    np.testing.assert_array_equal(np.load(codes), model.encode(drawn))
    assert command.main([str(run), "decode", "--codes", codes, "--step=20", "--out", grid]) == 0
    earlier = gen_jax.load(run, step=20).decode(np.load(codes))
    np.testing.assert_array_equal(images.load(tmp_path / "grid.png"), earlier.grid())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["generate", "--out", "a.txt"], 2, "out is a.txt; give a .png or a folder"),
        (["translate", "--out", "a.png"], 2, "it can generate, reconstruct"),
        (["encode", "--images", "nowhere", "--out", "a.npy"], 2, "nowhere has no pictures"),
        (["decode", "--codes", "nowhere.npy", "--out", "a.png"], 2, "cannot be read as .npy"),
        (["generate", "--step", "x", "--out", "a.png"], 2, "step is 'x'"),
        (["generate", "--step", "7", "--out", "a.png"], 2, "it has 20, 40"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    run, arguments, code, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert command.main([str(run), *arguments]) == code
    assert words in capsys.readouterr().err and not [*tmp_path.iterdir()]
