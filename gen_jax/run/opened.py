"""Opens the directory of a run, or an exported model: its experiment, its config and its trained
networks.
"""

import dataclasses
import functools
import importlib
from pathlib import Path
from typing import Any, cast

from gen_jax import config as configs
from gen_jax.errors import DataError, UserError
from gen_jax.game import Trained
from gen_jax.run import exported, weights
from gen_jax.run.directory import read_json
from gen_jax.run.experiment import Experiment, check, completed

OWN = "experiments."  # modules outside this package are imported only if the user names them


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run whose networks can be used."""

    directory: Path  # or the file of an exported model
    experiment: Experiment[Any]
    preset: str
    config: Any
    step: int | None = None  # of the weights; by default the newest

    @functools.cached_property
    def trained(self) -> Trained:
        """The networks, loaded when first asked for, with averages where the run has them.

        Raises UserError if there is no such step, and CheckpointError if it is damaged.
        """
        load = exported.load if self.directory.is_file() else weights.load
        return self.with_weights(load(self.directory, self.step))

    def with_weights(self, found: weights.Weights) -> Trained:
        """Return the networks with these weights, with averages where there are some."""
        variables = {"params": {**found.params, **found.average}, **found.variables}
        return Trained(self.experiment.model(self.config), variables, found.step)


def open_run(
    directory: Path | str,
    step: int | None = None,
    experiment: Experiment[Any] | str | None = None,
) -> Opened:
    """Return a run, whose weights are those of a step, by default of the newest checkpoint; or an
    exported model.

    `experiment` is the module of a paper that is not in experiments/, or its name. Raises UserError
    if this is no run and no model, or of another paper; DataError or CheckpointError if a file is
    damaged.
    """
    path = Path(directory)
    file = path if path.is_file() else path / "config.json"
    if not file.is_file():
        raise UserError(
            f"{path} has no config.json: give the directory of a run, or an exported model."
        )
    known = exported.describe(path) if file == path else read_json(file)
    name, fields = str(known.get("experiment")), known.get("config")
    if not isinstance(fields, dict):
        raise DataError(f"{file} has no config: restore it.")
    if experiment is None and not name.startswith(OWN):
        raise UserError(
            f"{path} is a run of {name}, which is not in experiments/: give --experiment {name}, "
            "or in Python this module as the experiment."
        )
    asked = getattr(experiment, "__name__", experiment)
    if asked not in (None, name):
        raise UserError(f"{path} is a run of {name}, and {asked} was given as the experiment.")
    if experiment is None or isinstance(experiment, str):
        experiment = _import(name, path)
    experiment = completed(experiment)
    check(experiment)
    config = configs.from_json(experiment.Config, fields, str(file))
    return Opened(path, experiment, str(known.get("preset")), config, step)


def _import(name: str, path: Path) -> Experiment[Any]:
    try:
        return cast(Experiment[Any], importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UserError(
            f"{path} is a run of {name}, which is not here: be in its folder, or add this to "
            "PYTHONPATH."
        ) from error
