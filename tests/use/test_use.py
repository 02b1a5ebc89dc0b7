"""A trained model is loaded from its directory, and does what its paper declares."""

import json
import sys

import jax
import numpy as np
import pytest

import gen_jax
from experiments import vae
from gen_jax import images
from gen_jax.config import changed
from gen_jax.errors import CheckpointError, DataError, UserError
from gen_jax.export import __main__ as export
from gen_jax.run import train
from gen_jax.run.experiment import completed, presets
from gen_jax.run.opened import open_run
from gen_jax.use import __main__ as command
from gen_jax.use import abilities
from gen_jax.use.picture_files import PictureFiles
from gen_jax.use.pictures import Pictures
from tests.data.own_pictures import fill, save

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
        (lambda m: m.decode([[1.0, 1e300]]), "not finite in float32"),
        (lambda m: m.decode(np.zeros((0, 2))), r"codes has shape \[0, 2\]"),
        (lambda m: m.decode([["a", "b"]]), "codes is of type <U1; give real numbers"),
        (lambda m: m.generate(1.5), r"count is 1\.5; it must be a whole number from 1"),
        (lambda m: m.generate(True), "count is True"),
        (lambda m: m.interpolate(np.zeros((99, 99))), r"count is array\(.{,30}; it must be"),
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
        ("os", UserError, "a run of os, which is not in experiments/: give --experiment os"),
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
    assert command.main([str(run), "reconstruct", "--in", folder, "--out", again]) == 0
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
        (["encode", "--images", "nowhere", "--out", "a.npy"], 2, "nowhere does not exist"),
        (["encode", "--images", "number.npy", "--out", "a.npy"], 2, "number.npy has no pictures"),
        (["decode", "--codes", "number.npy", "--out", "a"], 2, "codes has shape [1, 1]; give"),
        (["decode", "--codes", "nowhere.npy", "--out", "a.png"], 2, "as .npy (No such file or"),
        (
            ["decode", "--codes", "own/1.png", "--out", "a.png"],
            2,
            "1.png cannot be read as .npy: g",
        ),
        (["generate", "--out", "own"], 2, "out is own, a folder that is not empty: give a new one"),
        (["generate", "--experiment=experiments.gan", "--out", "a.png"], 2, "gan was given"),
        (["reconstruct", "--in", "own", "--out", "own/new"], 2, "own/new, where the pictures"),
        (["reconstruct", "--in", "own/1.png", "--out", "own"], 2, "out is own, where the pictures"),
        (["reconstruct", "--in", "own", "--out", "new"], 2, "own has 2 pictures 1, for one file"),
        (["generate", "--step", "7", "--out", "a.png"], 2, "it has 20, 40"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    run, arguments, code, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("1.png", "1.jpg"):
        save(tmp_path / "own" / name)
    np.save(tmp_path / "number.npy", 1.0)
    assert command.main([str(run), *arguments]) == code
    assert words in capsys.readouterr().err and len([*tmp_path.rglob("*")]) == 4


def test_a_folder_is_read_and_written_in_parts(run, tmp_path, monkeypatch, capsys):
    """Names, with those of sub-folders, are kept, and each part is written before the next."""
    monkeypatch.setattr(abilities, "CHUNK", 3)
    own, out = tmp_path / "own", tmp_path / "out"
    given = fill(own, 4, channels=1) | fill(own, 3, "deep/er/", channels=1)
    for name in (".hidden.png", "notes.txt", "deep/clip.mov"):
        (own / name).touch()
    seen, read = [], PictureFiles.__getitem__

    def reading(self, some):
        seen.append((some.stop - some.start, sum(path.is_file() for path in out.rglob("*"))))
        return read(self, some)

    monkeypatch.setattr(PictureFiles, "__getitem__", reading)
    assert command.main([str(run), "reconstruct", "--in", str(own), "--out", str(out)]) == 0
    assert seen == [(3, 0), (3, 3), (3, 6)]
    left_out = "1 hidden files or folders, 2 files that are no pictures by their suffix"
    assert capsys.readouterr().out == (
        f"left out of {own}: {left_out}\nwrote 7 of step 40 to {out}\n"
    )
    expected = gen_jax.load(run).reconstruct(np.stack([*given.values()]))
    for name, pixels in zip(given, expected, strict=True):
        np.testing.assert_array_equal(images.load(out / name)[..., :1], pixels)
    assert sum(path.is_file() for path in out.rglob("*")) == 7


def test_a_torn_picture_is_named_and_what_was_written_stays(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(abilities, "CHUNK", 3)
    own, out = tmp_path / "own", tmp_path / "out"
    fill(own, 7, channels=1)
    torn = own / "04.png"
    torn.write_bytes(torn.read_bytes()[:-30])
    assert command.main([str(run), "reconstruct", "--in", str(own), "--out", str(out)]) == 65
    said = capsys.readouterr()
    assert said.out == f"wrote 3 of step 40 to {out}\n"
    assert f"{torn} cannot be decoded as a picture" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["00.png", "01.png", "02.png"]
    assert all(images.load(path).shape == (8, 8, 3) for path in out.iterdir())


def test_a_picture_is_not_replaced_through_a_link_to_it(run, tmp_path, capsys):
    own, links = tmp_path / "own", tmp_path / "links"
    (name, pixels), *_ = fill(own, 1).items()
    links.mkdir()
    (links / "a.png").symlink_to(own / name)
    for given in (links, links / "a.png"):
        command_line = [str(run), "reconstruct", "--in", str(given), "--out", str(own / name)]
        assert command.main(command_line) == 2
        assert "where the pictures of" in capsys.readouterr().err
    np.testing.assert_array_equal(images.load(own / name), pixels)


def test_a_model_of_the_users_own_file_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        '"""Mine."""\n'
        "from experiments import vae\nfrom gen_jax import Player\n\nBASE = vae\n\n\n"
        "def players(config):\n    return vae.players(config)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import mine

    path = tmp_path / "run"
    paper = completed(mine)
    train.run(paper, "tiny", changed(presets(paper)["tiny"][1], {"run.dir": path}))
    draw = [str(path), "generate", "--out", str(tmp_path / "a.png")]
    assert command.main(draw) == 2
    assert "a run of mine, which is not in experiments/: give --experiment mine" in (
        capsys.readouterr().err
    )
    assert command.main([*draw, "--experiment", "mine"]) == 0
    found = gen_jax.load(path, experiment=mine).generate().grid()
    np.testing.assert_array_equal(images.load(tmp_path / "a.png"), found)
    out = str(tmp_path / "a.safetensors")
    assert export.main([str(path), "--out", out, "--experiment", "mine"]) == 0
    assert command.main([out, "generate", "--experiment=mine", "--out", draw[-1]]) == 0
    sys.modules.pop("mine")
    assert command.main([*draw, "--experiment", "nowhere"]) == 2


def test_each_part_has_noise_of_its_own(run, monkeypatch):
    monkeypatch.setattr(abilities, "CHUNK", 3)

    def noise(config, model, key, images: abilities.Images) -> abilities.Images:
        return jax.random.uniform(key, images.shape)

    opened = open_run(run)
    ability = abilities._ability(noise, opened.config)
    found = ability(opened, np.zeros((7, 8, 8, 1)), seed=5)
    keys = [jax.random.key(5), *(jax.random.fold_in(jax.random.key(5), i) for i in (1, 2))]
    sizes = zip(keys, (3, 3, 1), strict=True)
    parts = [np.asarray(jax.random.uniform(key, (n, 8, 8, 1))) for key, n in sizes]
    np.testing.assert_array_equal(found, images.to_uint8(np.concatenate(parts)))


def test_what_it_can_do_is_told_without_weights(run, tmp_path, capsys):
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    assert command.main([str(tmp_path)]) == 0
    with pytest.raises(SystemExit) as ended:
        command.main([str(tmp_path), "encode", "--help"])
    assert ended.value.code == 0 and "--in PATH, --images PATH" in capsys.readouterr().out
    assert command.main([str(tmp_path), "generate", "--out", str(tmp_path / "a.png")]) == 2
    assert "has no checkpoint: train it first" in capsys.readouterr().err
