"""gen_jax: generative models as games of pure functions, in JAX and Flax.

What an experiment file is written with can be imported from here, and is loaded when it is first
asked for.
"""

import importlib
from typing import Any

_FROM = {
    "config": ("Checked", "Count", "Fraction", "Natural", "NonNegative", "Positive", "Run"),
    "data.pipeline": ("Data", "Source"),
    "game": ("Game", "Player", "Stage", "State", "Trained", "make"),
    "optimizers": ("Adam",),
    "types": ("Array", "Batch", "Claim", "Key", "Measure", "Metrics", "Objective", "Params"),
    "use": ("load",),
}
_MODULES = ("distributions", "images", "losses", "objectives", "optimizers")
_HOME = {name: module for module, names in _FROM.items() for name in names}
__all__ = [*_HOME, *_MODULES, "cli"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gen_jax.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"gen_jax.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def cli(spec: Any) -> None:
    """Run the command line of the experiment file whose `__spec__` this is, and exit with its code."""
    raise SystemExit(importlib.import_module("gen_jax.run.train").main(spec and spec.name))
