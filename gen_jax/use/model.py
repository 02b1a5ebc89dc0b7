"""A trained model, as a user of Python sees it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flax import linen as nn

from gen_jax.run.opened import open_run
from gen_jax.types import Params
from gen_jax.use import abilities


class Model:
    """A trained model: each thing that it can do is a method, `model.generate(64, seed=0)`.

    `module` and `params` are the Flax module and its weights, with running averages where there are
    some; `variables` has the other collections, too.
    """

    def __init__(self, run: Path | str, step: int | None = None, experiment: Any = None) -> None:
        """Read the weights of a run directory or of an exported model; see `gen_jax.load`."""
        self._run = open_run(run, step, experiment)
        self._abilities = abilities.of(self._run)
        self.config, self.step = self._run.config, self._run.trained.step
        self.module: nn.Module = self._run.trained.module
        self.variables: dict[str, Params] = self._run.trained.variables
        self.params: Params = self.variables["params"]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return something that the model can do. Raises AttributeError if there is none."""
        known = self.__dict__.get("_abilities", {})
        if name not in known:
            raise AttributeError(f"this model has no {name!r}; it can {', '.join(known)}")
        ability = known[name]
        method = functools.partial(ability, self._run)
        method.__doc__ = ability.description
        method.__signature__ = ability.signature  # type: ignore[attr-defined]
        return method

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._abilities]

    def __repr__(self) -> str:
        known = "\n".join(f"  {name}{one.signature}" for name, one in self._abilities.items())
        return f"{self._run.experiment.__name__} at step {self.step:,}, which can\n{known}"


def load(run: Path | str, *, step: int | None = None, experiment: Any = None) -> Model:
    """Return the trained model in a run directory: gen_jax.load("runs/vae-quick-s0").

    The weights are those of a step, by default of the newest checkpoint, whose hashes are verified.
    A file of gen_jax.export is read in the same way: gen_jax.load("vae.safetensors").
    `experiment` is the module of a paper that is not in experiments/. Raises UserError if this is
    neither, and CheckpointError if its weights are damaged.
    """
    return Model(run, step, experiment)
