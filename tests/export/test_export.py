"""A trained model is taken away: its file, what others read of it, and its functions."""

import configparser
import importlib
import json
import pickle
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from jax import export
from safetensors.numpy import load_file

import gen_jax
from experiments import gan, vae
from gen_jax.config import changed, hints_of
from gen_jax.data.catalog import sets
from gen_jax.errors import CheckpointError, UserError
from gen_jax.export import __main__ as command
from gen_jax.export import functions, save
from gen_jax.run import exported, train, weights
from gen_jax.run.description import licence
from gen_jax.run.experiment import presets
from gen_jax.run.opened import open_run
from gen_jax.use import abilities

ROOT = Path(__file__).parents[2]


def trained(experiment, path):
    changes = {"run.dir": path, "run.keep": 2, "run.checkpoint_every": 20}
    train.run(experiment, "tiny", changed(presets(experiment)["tiny"][1], changes))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(vae, tmp_path_factory.mktemp("runs") / "vae")


@pytest.fixture(scope="module")
def gan_run(tmp_path_factory):
    return trained(gan, tmp_path_factory.mktemp("runs") / "gan")


@pytest.fixture
def file(run, tmp_path):
    save(run, tmp_path / "vae.safetensors")
    return tmp_path / "vae.safetensors"


def described(file):
    with safetensors.safe_open(file, "numpy") as opened:
        return json.loads(opened.metadata()["gen_jax"])


def blocks():
    return re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text("utf-8"), re.S
    )


def test_other_readers_get_the_weights_bit_for_bit(run, file):
    arrays, ours = load_file(file), weights.load(run)
    layers = {
        "encoder": ("MLP_0/Dense_0", "mean", "log_variance"),
        "decoder": ("MLP_0/Dense_0", "Dense_0"),
    }
    assert {*arrays} == {
        f"params/{network}/{layer}/{array}"
        for network, names in layers.items()
        for layer in names
        for array in ("kernel", "bias")
    }
    for name, array in arrays.items():
        _, network, *path = name.split("/")
        expected = ours.params[network]
        for part in path:
            expected = expected[part]
        np.testing.assert_array_equal(array, expected, strict=True)


def test_a_model_that_comes_back_is_that_of_the_run(run, file):
    model, back = gen_jax.load(run), gen_jax.load(file)
    assert (back.step, back.config.steps, repr(back)) == (40, model.config.steps, repr(model))
    jax.tree.map(np.testing.assert_array_equal, back.variables, model.variables)
    np.testing.assert_array_equal(back.generate(5, seed=3), model.generate(5, seed=3))
    assert gen_jax.load(file, step=40).step == 40
    with pytest.raises(UserError, match=r"has step 40, not 20: leave out the step"):
        gen_jax.load(file, step=20)
    with pytest.raises(UserError, match=r"experiments\.gan was given"):
        gen_jax.load(file, experiment=gan)


def test_the_description(run, file):
    known, environment = described(file), json.loads((run / "env.json").read_text())
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert known["version"] == setup["metadata"]["version"]
    names = ("experiment", "preset", "step", "seed", "commit", "code", "jax")
    assert [known[name] for name in names] == [
        *(
            "experiments.vae",
            "tiny",
            40,
            0,
            environment["commit"],
            environment["code"],
            jax.__version__,
        )
    ]
    assert known["config"] == json.loads((run / "config.json").read_text())["config"] | {
        "run": known["config"]["run"]
    }
    assert (
        known["config"]["run"]["dir"] is None and str(run.parent).encode() not in file.read_bytes()
    )
    assert known["architecture"]["decoder"]["class"] == "gen_jax.networks.mlp.BernoulliMLP"
    assert known["architecture"]["decoder"]["features"] == 64
    sizes = {name: 0 for name in ("encoder", "decoder")}
    for name, array in load_file(file).items():
        sizes[name.split("/")[1]] += array.size
    assert {name: one["parameters"] for name, one in known["networks"].items()} == sizes
    assert known["data"]["name"] == "digits" and "CC BY 4.0" in known["data"]["licence"]


def test_equal_runs_give_equal_files(run, tmp_path):
    shutil.copytree(run, tmp_path / "moved")
    for name, source in (("a", run), ("b", tmp_path / "moved")):
        save(source, tmp_path / name / "vae.safetensors", functions=True)
    found = [sorted((tmp_path / name).iterdir()) for name in "ab"]
    assert [len(paths) for paths in found] == [6, 6]
    for one, other in zip(*found, strict=True):
        assert one.read_bytes() == other.read_bytes() and str(ROOT).encode() not in one.read_bytes()
    save(run, tmp_path / "earlier.safetensors", step=20)
    assert (tmp_path / "earlier.safetensors").read_bytes() != found[0][-1].read_bytes()
    assert described(tmp_path / "earlier.safetensors")["step"] == 20


def test_both_weights_are_written_and_averages_are_used(run, file, tmp_path):
    """And what training alone reads is not written."""
    found, known = weights.load(run), described(file)
    del known["sha256"]
    average = {"decoder": jax.tree.map(lambda a: 2 * a, found.params["decoder"])}
    kept = {"batch_stats": {"decoder": {"mean": jnp.ones(3)}}}
    pool = {"pool": {"pool_x": {"images": jnp.zeros((2, 8, 8, 1)), "count": jnp.int32(1)}}}
    more = found._replace(average=average, variables={**kept, **pool})
    exported.write(tmp_path / "average.safetensors", more, known)
    arrays, plain = load_file(tmp_path / "average.safetensors"), load_file(file)
    name = "decoder/Dense_0/kernel"
    np.testing.assert_array_equal(arrays[f"average/{name}"], 2 * plain[f"params/{name}"])
    assert {*arrays} - {*plain} == {"batch_stats/decoder/mean"} | {
        name.replace("params", "average") for name in plain if "decoder" in name
    }
    model = gen_jax.load(tmp_path / "average.safetensors")
    np.testing.assert_array_equal(
        model.params["decoder"]["Dense_0"]["kernel"], arrays[f"average/{name}"]
    )
    jax.tree.map(np.testing.assert_array_equal, model.params["encoder"], found.params["encoder"])
    assert {*model.variables} == {"params", "batch_stats"}

    opened = open_run(run)
    decode = functions.function(opened, abilities.of(opened)["decode"], more)
    codes = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    images = export.deserialize(bytearray(decode.content)).call(arrays, codes=codes)
    np.testing.assert_array_equal(gen_jax.images.to_uint8(np.asarray(images)), model.decode(codes))


def test_the_example_of_the_docs_decodes_as_the_model_does(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(run, "vae.safetensors", functions=True)
    names = {}
    by_hand, by_function = blocks()
    assert "gen_jax import" not in by_hand + by_function
    model = gen_jax.load(run)
    for block in (by_hand, by_function):
        with jax.numpy_rank_promotion("allow"):
            exec(block, names)
        means = open_run(run).trained.decoder(names["z"]).mean
        np.testing.assert_allclose(names["images"].reshape(8, 64), means, atol=1e-6)
        images = gen_jax.images.to_uint8(np.asarray(names.pop("images")))
        assert np.abs(images.astype(int) - model.decode(names["z"])).max() <= 1
    assert means.std() > 0.01


@pytest.mark.parametrize("paper", ["vae", "gan"])
def test_functions_compute_what_the_model_does(paper, request, tmp_path, monkeypatch):
    """Any number of images and codes, and as many draws as by default; without pickle."""

    def fails(*_, **__):
        raise AssertionError("pickled")

    path = request.getfixturevalue({"vae": "run", "gan": "gan_run"}[paper])
    with monkeypatch.context() as patch:
        for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
            patch.setattr(pickle, name, fails)
        lines = save(path, tmp_path / "model.safetensors", functions=True)
    arrays, opened = load_file(tmp_path / "model.safetensors"), open_run(path)
    known = abilities.of(opened)
    assert len(lines) == len(known) + 1 and {
        *described(tmp_path / "model.safetensors")["functions"]
    } == {*known}
    generator = np.random.default_rng(0)
    for name, ability in known.items():
        content = (tmp_path / f"model.{name}.jaxexport").read_bytes()
        call = export.deserialize(bytearray(content))
        assert call.platforms == ("cpu", "cuda", "tpu")
        for n in (3, 5):
            shapes = {abilities.IMAGES: (n, 8, 8, 1), abilities.CODES: (n, opened.config.latents)}
            kinds = {one.name: one.kind for one in ability.parameters}
            given = {
                name: generator.random(shapes[kind], np.float32)
                for name, kind in kinds.items()
                if kind is not int
            }
            ours = {one.name: one.default for one in ability.parameters if one.kind is int} | given
            if ability.seeded:
                given["seed"], ours["key"] = n, jax.random.key(n)
            expected = np.asarray(ability.function(opened.config, opened.trained, **ours))
            np.testing.assert_allclose(call.call(arrays, **given), expected, atol=1e-6)


def signed(
    config: vae.Config,
    model,
    images: abilities.Images,
    sign: Annotated[str, abilities.Choices(lambda _: ("plus", "minus"))],
) -> abilities.Images:
    """Add or subtract."""
    return images if sign == "plus" else -images


def counted(config: vae.Config, model, images: abilities.Images) -> abilities.Images:
    """Needs to know how many there are."""
    return images * len(images)


def spoken(config: vae.Config, model, sentence: str) -> abilities.Images:
    """Takes a text."""


def outside(config: vae.Config, model, images: abilities.Images) -> np.ndarray:
    """Leaves JAX."""
    return np.asarray(images)


def test_choices_are_indices_and_what_cannot_be_exported_is_said(run):
    opened, found = open_run(run), weights.load(run)

    def made(one):
        return functions.function(opened, abilities._ability(one, opened.config), found)

    arrays, x = exported.names(found), np.ones((60, 8, 8, 1), np.float32)
    plus = made(signed)
    assert (
        plus.signature == "(weights, images: float32[n,8,8,1], sign: int32[]) -> float32[n,8,8,1]"
    )
    assert plus.choices == {"sign": ("plus", "minus")}
    call = export.deserialize(bytearray(plus.content)).call
    for index, sign in enumerate((1, -1)):
        np.testing.assert_array_equal(call(arrays, images=x[:2], sign=index), sign * x[:2])
    assert made(counted).arguments == {"images": "float32[60,8,8,1]"}
    np.testing.assert_array_equal(
        export.deserialize(bytearray(made(counted).content)).call(arrays, images=x), 60 * x
    )
    with pytest.raises(UserError, match="sentence is a text"):
        made(spoken)
    with pytest.raises(UserError, match="cannot trace it"):
        made(outside)


def texts(hint):
    """All texts among the values that an annotation allows."""
    for one in get_args(hint):
        yield from [one] if isinstance(one, str) else texts(one)


def test_the_licence_of_each_data_set_is_known_or_said_to_be_not():
    papers = [path.stem for path in (ROOT / "experiments").glob("[!_]*.py")]
    kinds = [importlib.import_module(f"experiments.{paper}").Config for paper in papers]
    names = {name for kind in kinds for name in texts(hints_of(kind)["data"])}
    named = {name: licence(SimpleNamespace(config=SimpleNamespace(data=name))) for name in names}
    computed = {name for name in names if named[name]["source"] == "computed by gen_jax"}
    assert computed == {"ring", "grid", "atoms", "discs", "shapes"}
    unknown = {name for name in names if named[name]["licence"].startswith("not known")}
    assert unknown == names - computed - {*sets.SOURCES}
    assert {"celeb_a", "maps", "birds"} <= unknown and "mnist" not in unknown
    own = licence(SimpleNamespace(config=SimpleNamespace(data="folder:photos@8")))
    assert own["licence"] == "not known" and "user" in own["source"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["RUN", "--out", "a.npz"], 2, "out is a.npz; give a .safetensors"),
        (
            ["RUN", "--out", "there.safetensors"],
            2,
            "there.safetensors exists: give another out, or --force",
        ),
        (["RUN", "--out", "f.safetensors", "--functions"], 2, "f.decode.jaxexport exists"),
        (["RUN", "--out", "a.safetensors", "--step", "7"], 2, "it has 20, 40"),
        (["nowhere", "--out", "a.safetensors"], 2, "nowhere has no config.json"),
        (["there.safetensors", "--out", "a.safetensors"], 74, "there.safetensors cannot be read"),
        (["broken", "--out", "a.safetensors"], 65, "config.json cannot be read as JSON"),
        (["RUN", "--out", "there.safetensors/a.safetensors"], 73, "cannot be written"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    run, arguments, code, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.safetensors").write_text("mine")
    (tmp_path / "f.decode.jaxexport").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    assert command.main([str(run) if one == "RUN" else one for one in arguments]) == code
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.safetensors").read_text() == "mine"


def test_the_command_line_replaces_files_by_force(run, file, capsys):
    before = file.read_bytes()
    file.write_text("another")
    assert command.main([str(run), "--out", str(file), "--force"]) == 0
    assert file.read_bytes() == before
    total = sum(array.size for array in load_file(file).values())
    assert f"wrote {file}, {total:,} parameters at step 40" in capsys.readouterr().out


def test_a_damaged_file_is_one_sentence(file, tmp_path):
    whole = file.read_bytes()
    for content, words in (
        (whole[:-1], "cannot be read"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "was changed after it was written"),
        (whole.replace(b'\\"tiny\\"', b'\\"fake\\"'), "was changed"),
        (b"", "cannot be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=words):
            gen_jax.load(file)
    file.write_bytes(whole)
    arrays, known = load_file(file), exported.describe(file)
    known.pop("sha256")
    for more in ({"params": np.zeros(1)}, {"params/decoder": np.zeros(1)}):
        found = {**known, "sha256": exported._sha256(known, arrays | more)}
        safetensors.numpy.save_file(arrays | more, file, {"gen_jax": json.dumps(found)})
        with pytest.raises(CheckpointError, match="do not fit"):
            gen_jax.load(file)
    safetensors.numpy.save_file({"a": np.zeros(1)}, file)
    with pytest.raises(UserError, match="no description of gen_jax"):
        gen_jax.load(file)
    safetensors.numpy.save_file({"a": np.zeros(1)}, file, {"gen_jax": '{"format": 2}'})
    with pytest.raises(UserError, match="is of format 2, and this program reads 1"):
        gen_jax.load(file)
