"""What type checkers read of __init__.py, which loads these names when they are first asked for."""

from importlib.machinery import ModuleSpec
from typing import NoReturn

from gen_jax import distributions as distributions
from gen_jax import images as images
from gen_jax import losses as losses
from gen_jax import objectives as objectives
from gen_jax import optimizers as optimizers
from gen_jax.config import Checked as Checked
from gen_jax.config import Count as Count
from gen_jax.config import Fraction as Fraction
from gen_jax.config import Natural as Natural
from gen_jax.config import NonNegative as NonNegative
from gen_jax.config import Positive as Positive
from gen_jax.config import Run as Run
from gen_jax.data.pipeline import Data as Data
from gen_jax.data.pipeline import Source as Source
from gen_jax.game import Game as Game
from gen_jax.game import Player as Player
from gen_jax.game import Stage as Stage
from gen_jax.game import State as State
from gen_jax.game import Trained as Trained
from gen_jax.game import make as make
from gen_jax.optimizers import Adam as Adam
from gen_jax.types import Array as Array
from gen_jax.types import Batch as Batch
from gen_jax.types import Claim as Claim
from gen_jax.types import Key as Key
from gen_jax.types import Measure as Measure
from gen_jax.types import Metrics as Metrics
from gen_jax.types import Objective as Objective
from gen_jax.types import Params as Params
from gen_jax.use import load as load

def cli(spec: ModuleSpec | None) -> NoReturn: ...
