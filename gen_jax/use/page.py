"""A web page of what a trained model can do, with Gradio (the extra `demo`).

An ability is a tab, and the type of a parameter says what asks for it: a number in a range is a
slider, another number a field, a choice a list, images an upload. Of codes, up to FEW latents are
a slider each, and more are an uploaded .npy.
"""

import inspect
import itertools
import math
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from gen_jax import console, images
from gen_jax.data.catalog.folder_layouts import SUFFIXES
from gen_jax.data.catalog.pictures import read, without_warnings
from gen_jax.errors import DataError, UserError
from gen_jax.run.opened import Opened
from gen_jax.use import abilities
from gen_jax.use.abilities import CODES, IMAGES, MAX_SEED, Ability, Parameter

HOST, PORTS = "127.0.0.1", range(7860, 7960)
FEW = 20  # latents that have a slider each
REACH = 3  # of these sliders, at first
MOST = 100  # of a whole number whose range has no smaller end
STYLE = """
.pixels .image-container {padding-top: 1.6rem}
.pixels .image-frame, .pixels img {width: 100%}
.pixels img {height: auto; max-height: 75vh; object-fit: contain; image-rendering: pixelated}
"""


class Control(NamedTuple):
    """What asks for one value."""

    parts: Sequence[Any]  # components of Gradio
    read: Callable[..., Any]  # their values -> the value
    events: Sequence[Any]  # after which the ability is called


def serve(run: Opened, port: int | None = None) -> None:
    """Offer the page of a run at an address of this machine, until the process is interrupted.

    Raises UserError if the port cannot be used, and CheckpointError if the weights are damaged.
    """
    with _listening(port) as listening:
        path = f"/{secrets.token_urlsafe(12)}"
        config = uvicorn.Config(app(run, path), log_level="critical", timeout_graceful_shutdown=1)
        host, number = listening.getsockname()
        console.show(f"The page is at http://{host}:{number}{path}/ until Ctrl-C.")
        uvicorn.Server(config).run([listening])


def app(run: Opened, path: str) -> FastAPI:
    """Return the page as an application that answers only requests to this machine's own names.

    Who knows its path may read the pictures that this process can read, as an upload names one.
    """
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return gr.mount_gradio_app(
        outer,
        build(run),
        path=path,
        server_name=HOST,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        css=STYLE,
        theme=gr.themes.Default(
            primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        ),
    )


def build(run: Opened) -> gr.Blocks:
    """Return the page of a run. Raises UserError if its paper declares no abilities."""
    known, step = abilities.of(run), run.trained.step
    title = inspect.cleandoc(run.experiment.__doc__ or "").partition("\n")[0].rstrip(".")
    with gr.Blocks(title=f"{run.directory.name}: {title}", analytics_enabled=False) as page:
        gr.Markdown(f"## {title}\n`{run.directory}` at step {step:,}")
        for ability in known.values():
            with gr.Tab(ability.name):
                _tab(ability, run)
    return page


def _tab(ability: Ability, run: Opened) -> None:
    gr.Markdown(ability.description)
    with gr.Row():
        with gr.Column():
            controls = {one.name: _control(one, run) for one in ability.parameters}
            if ability.seeded:
                controls["seed"] = _seed()
            button = gr.Button(ability.name, variant="primary")
            given = [one.name for one in ability.parameters if one.kind == IMAGES]
            prepared = [_pixels(f"{name}, as they go in") for name in given]
        with gr.Column():
            message = gr.Textbox(label="Not done", visible=False)
            results = _results(ability)
    shown = [message, *prepared, *results]

    def call(*values: Any) -> list[Any]:
        rest, asked = iter(values), {}
        try:
            for name, one in controls.items():
                asked[name] = one.read(*itertools.islice(rest, len(one.parts)))
            found = _shown(ability, ability(run, **asked))
        except Exception as error:
            sentence = console.known(error)
            if sentence is None:
                raise
            return [gr.Textbox(str(sentence), visible=True), *[None] * (len(shown) - 1)]
        grids = [images.grid(asked[name]) for name in given]
        return [gr.Textbox("", visible=False), *grids, *found]

    gr.on(
        [button.click, *(event for one in controls.values() for event in one.events)],
        call,
        [part for one in controls.values() for part in one.parts],
        shown,
        api_name=ability.name,
        show_progress="minimal",
        trigger_mode="always_last",
        concurrency_id="model",
    )


def _control(one: Parameter, run: Opened) -> Control:
    default = None if one.default is inspect.Parameter.empty else one.default
    if one.kind == IMAGES:
        return _upload(one.name, abilities.shape_of(run))
    if one.kind == CODES:
        return _codes(one.name, run.config.latents)
    if one.choices:
        choice = gr.Dropdown([*one.choices], value=default or one.choices[0], label=one.name)
        return Control([choice], str, [choice.input])
    if one.kind is str:
        text = gr.Textbox(default, label=one.name)
        return Control([text], lambda value: _given(one.name, value, "a text"), [text.submit])
    return _number(one, default)


def _number(one: Parameter, default: float | None) -> Control:
    least, most = (one.range.least, one.range.most) if one.range else (-math.inf, math.inf)
    whole = one.kind is int
    if most - least <= MOST:
        step = 1 if whole else (most - least) / 100
        slider = gr.Slider(least, most, default, step=step, label=one.name)
        return Control([slider], int if whole else float, [slider.change])
    if whole:
        most = min(most, max(MOST, default or 0))
    ends = [end if math.isfinite(end) else None for end in (least, most)]
    field = gr.Number(
        default, label=one.name, precision=0 if whole else None, minimum=ends[0], maximum=ends[1]
    )
    return Control([field], lambda value: _given(one.name, value, "a number"), [field.submit])


def _seed() -> Control:
    another = gr.Button("another seed", render=False)
    seed = gr.Number(0, label="seed", precision=0, minimum=0, maximum=MAX_SEED, buttons=[another])
    another.click(lambda: random.randrange(1000), None, seed, api_visibility="private")
    return Control([seed], lambda value: _given("seed", value, "a number"), [seed.change])


def _upload(name: str, shape: tuple[int, int, int]) -> Control:
    upload = gr.File(label=name, file_count="multiple", file_types=[*SUFFIXES])
    side, _, channels = shape

    def pictures(paths: list[str] | None) -> np.ndarray:
        found = []
        for path in map(Path, _given(name, paths, "a picture, or several")):
            try:
                with without_warnings():
                    found.append(read(path, side, grey=channels == 1))
            except DataError as error:  # which names the copy
                raise DataError(str(error).replace(str(path), path.name)) from error
        return np.stack(found)

    return Control([upload], pictures, [upload.upload])


def _codes(name: str, latents: int) -> Control:
    if latents > FEW:
        label = f"{name}: a .npy of numbers [n, {latents}]"
        upload = gr.File(label=label, file_types=[".npy"])
        return Control(
            [upload],
            lambda path: abilities.read_codes(_given(name, path, "a .npy"), name),
            [upload.upload],
        )
    another = gr.Button("another code", render=False)
    reach = gr.Number(REACH, label="reach of the sliders", minimum=0.1, buttons=[another])
    with gr.Row():
        sliders = [
            gr.Slider(-REACH, REACH, 0, step=0.01, label=f"{name} {i}", min_width=140, buttons=[])
            for i in range(latents)
        ]

    def resized(reach: float) -> dict[Any, Any]:
        return {slider: gr.Slider(minimum=-reach, maximum=reach) for slider in sliders}

    def drawn(reach: float) -> dict[Any, float]:
        """Of N(0, I), if the sliders reach to three standard deviations."""
        draws = np.random.default_rng().normal(0, reach / 3, latents).clip(-reach, reach)
        return dict(zip(sliders, draws.round(2).tolist(), strict=True))

    reach.change(resized, reach, sliders, api_visibility="private")
    another.click(drawn, reach, sliders, api_visibility="private")
    return Control(sliders, lambda *values: np.array([values]), [s.change for s in sliders])


def _given(name: str, value: Any, what: str) -> Any:
    if value in (None, "", []):
        raise UserError(f"{name} is missing: give {what}.")
    return value


def _pixels(label: str) -> Any:
    return gr.Image(
        label=label,
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_classes="pixels",
    )


def _results(ability: Ability) -> list[Any]:
    if ability.returns == IMAGES:
        return [_pixels(ability.name)]
    table = gr.Dataframe(label=ability.name, interactive=False, show_row_numbers=True)
    return [table, gr.File(label="the same, as .npy", interactive=False)]


def _shown(ability: Ability, found: Any) -> list[Any]:
    """Return what `_results` shows: a picture, or a table and a file."""
    if ability.returns == IMAGES:
        return [found.grid()]
    file = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))) / f"{ability.name}.npy"
    np.save(file, found)
    rows = found.reshape(len(found), -1)
    return [rows if rows.dtype.kind in "iu" else rows.astype(np.float64).round(4), str(file)]


def _listening(port: int | None) -> socket.socket:
    """Return a socket at a port, or at the first that is free. Raises UserError if there is none."""
    if port is not None and not 0 <= port < 2**16:
        raise UserError(f"port is {port}; it must be a whole number from 0 to 65535.")
    for one in PORTS if port is None else [port]:
        try:
            return socket.create_server((HOST, one))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
    raise UserError(f"port {one} cannot be used ({reason}): give another --port.")
