"""The web page has what the types of the abilities ask for, and answers as the model does."""

import asyncio
import sys

import numpy as np
import pytest

import gen_jax
from experiments import vae
from gen_jax.config import changed
from gen_jax.demo import __main__ as command
from gen_jax.run import train
from gen_jax.run.experiment import presets
from gen_jax.run.opened import open_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "vae"
    train.run(vae, "tiny", changed(presets(vae)["tiny"][1], {"run.dir": path}))
    return path


def test_without_gradio_one_sentence_says_how_to_install_it(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "gen_jax.use.page", raising=False)
    assert command.main([str(run)]) == 2
    assert "pip install 'gen_jax[demo]'" in capsys.readouterr().err


def test_the_page_decodes_as_the_model_does(run):
    pytest.importorskip("gradio", reason="needs Gradio, the extra `demo`")
    from gen_jax.use import page

    async def built():  # Gradio leaves event loops open where none runs
        return page.build(open_run(run))

    functions = {f.api_name: f for f in asyncio.run(built()).fns.values()}
    assert {"generate", "reconstruct", "encode", "decode", "interpolate"} <= {*functions}
    message, found = functions["decode"].fn(0.5, -1.0)
    assert not message.value
    expected = gen_jax.load(run).decode(np.array([[0.5, -1.0]])).grid()
    np.testing.assert_array_equal(found, expected)
    message, _, found = functions["reconstruct"].fn(None)
    assert found is None and "images is missing" in message.value
