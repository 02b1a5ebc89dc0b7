"""A generative model as a game: a Flax module whose fields are networks, and players that update
them.

A player owns some networks, minimises its own objective with its own Optax optimizer, and keeps
everything else fixed. A VAE has one player, a GAN two, an AAE three. The order of play is data:
`every`, `together` and the order of the dict. This is the only file that calls Flax's init and
apply for training.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct

from gen_jax.errors import UserError
from gen_jax.precision import Precision, cast_floats, compute_dtype
from gen_jax.types import Array, Batch, Key, Metrics, Objective, Params

C = TypeVar("C", bound="HasRun", contravariant=True)

# A metric of each step: 1 if all losses and gradients are finite, else the code of `_finite`.
FINITE = "finite"


class Player(NamedTuple):
    """One optimisation problem of the game."""

    moves: tuple[str, ...]  # the networks that it updates; everything else is fixed
    objective: Objective  # (model, batch, key) -> (loss, metrics)
    optimizer: optax.GradientTransformation  # any Optax chain
    every: int = 1  # plays if step % every == at
    at: int = 0
    average: float | None = None  # decay of a running average of its networks; None for no average


class State(struct.PyTreeNode):
    """The complete state of a run; its next steps are a function of the state and the data."""

    step: Array  # [] int32
    key: Key  # constant; each step folds in its number
    params: Params  # by network
    variables: dict[str, Params]  # by Flax collection except params: batch_stats, pools
    optimizers: dict[str, optax.OptState]  # by player
    average: Params  # by network: running average of its params


class Game(NamedTuple):
    """Two pure functions. A paper whose training is not a game of players returns its own pair."""

    init: Callable[[Key, Batch], State]
    # (state, batch), and optionally the name of a device axis along which the batch is split
    step: Callable[..., tuple[State, Metrics]]


class Stage(NamedTuple):
    """A part of a run, from step `first` on, with its own game on the same networks."""

    first: int
    game: Game
    batch_size: int
    on_enter: Callable[[State], State]  # converts the final state of the previous stage


class Trained(NamedTuple):
    """A module with its weights.

    Its networks and methods are compiled functions: `model.generator(z)`.

    `model(function, *args)` is the compiled `function(bound module, *args)`, for functions that use
    several networks. Each function compiles once for each shape: use a named function, not a
    lambda.
    """

    module: nn.Module
    variables: dict[str, Params]
    step: int = 0  # number of training steps

    def __call__(self, function: Callable[..., Any], *args: object) -> Any:
        return _apply(self.module, function, self.variables, *args)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a network or a method of the module. Raises AttributeError if there is none of
        this name.
        """
        if name.startswith("__") or not hasattr(self.module, name):
            raise AttributeError(f"{type(self.module).__name__} has no network or method {name!r}")
        return functools.partial(_call, self.module, name, self.variables)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(
    module: nn.Module, function: Callable[..., Any], variables: dict[str, Params], *args: object
) -> Any:
    return module.apply(variables, *args, method=function)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _call(module: nn.Module, name: str, variables: dict[str, Params], *args: object) -> Any:
    return module.apply(variables, *args, method=lambda bound, *args: getattr(bound, name)(*args))


def trained(module: nn.Module, state: State) -> Trained:
    """Return the module, with averaged weights for the networks that have an average."""
    params = {**state.params, **state.average}
    return Trained(module, {"params": params, **state.variables}, int(state.step))


def reset_optimizers(players: Mapping[str, Player]) -> Callable[[State], State]:
    """Return a function that gives the state newly initialised optimizer states."""

    def on_enter(state: State) -> State:
        new = {n: p.optimizer.init(_subtree(state.params, p)) for n, p in players.items()}
        return state.replace(optimizers=new)

    return on_enter


def make(
    model: nn.Module,
    players: Mapping[str, Player],
    *,
    together: bool = False,
    precision: Precision = "float32",
) -> Game:
    """Return the game of `players` on the networks of `model`.

    Players move in turn, and each uses the networks as updated by the players before it (Goodfellow
    et al. 2014, Algorithm 1). With `together`, all gradients are taken at the same point and with
    the same noise (the official code of that paper). Metrics are named PLAYER/NAME. Those of a
    player that does not play at a step are NaN. In bfloat16, only the networks compute in bfloat16;
    weights, optimizers, statistics and losses stay in float32.

    `step` takes an optional name of a device axis along which the batch is split. Gradients,
    metrics and batch statistics are then averaged over the devices, and each device draws its own
    noise. It raises UserError if the networks have other variables, which cannot be averaged.
    `init` raises UserError for an unknown network, and for an objective that does not return a
    scalar loss and scalar metrics.
    """
    _check_players(players)
    decays = {n: p.average for p in players.values() for n in p.moves if p.average is not None}

    def init(key: Key, batch: Batch) -> State:
        def trace_objectives(model: nn.Module, batch: Batch, key: Key) -> None:
            """Evaluate the objectives, from which the networks infer their shapes."""
            for i, (name, player) in enumerate(players.items()):
                _check_returned(name, player.objective(model, batch, jax.random.fold_in(key, i)))

        init_key, state_key = jax.random.split(key)
        zero = jnp.zeros((), jnp.int32)
        batch = {**batch, "step": zero}
        variables = dict(model.init(init_key, batch, state_key, method=trace_objectives))
        params = variables.pop("params")
        for name in {move for player in players.values() for move in player.moves} - {*params}:
            if not isinstance(getattr(model, name, None), nn.Module):
                raise UserError(
                    f"a player moves '{name}', which is not a network of {type(model).__name__}, "
                    f"which has {sorted(params)}."
                )
        # A shared buffer cannot be donated twice.
        copies = jax.tree.map(jnp.copy, {n: params[n] for n in decays if n in params})
        return reset_optimizers(players)(State(zero, state_key, params, variables, {}, copies))

    def update(
        name: str, state: State, batch: Batch, key: Key, linearized_at: State, axis: str | None
    ) -> tuple[State, Metrics]:
        """Update one player from `state`, with the gradient at `linearized_at`."""
        player, at = players[name], linearized_at

        def loss(own: Params) -> tuple[Array, tuple[Metrics, Any]]:
            variables = {"params": cast_floats({**at.params, **own}, precision), **at.variables}
            with compute_dtype(precision):
                (value, metrics), changed = model.apply(
                    variables, batch, key, method=player.objective, mutable=list(at.variables)
                )
            return value, ({"loss": value, **metrics}, changed)

        gradients, (metrics, changed) = jax.grad(loss, has_aux=True)(_subtree(at.params, player))
        if axis:
            gradients, metrics, changed = jax.lax.pmean((gradients, metrics, changed), axis)
        own = _subtree(state.params, player)
        updates, optimizer = player.optimizer.update(gradients, state.optimizers[name], own)
        new = {c: {**old, **_subtree(changed[c], player)} for c, old in state.variables.items()}
        moved = state.replace(
            params={**state.params, **optax.apply_updates(own, updates)},
            variables=new,
            optimizers={**state.optimizers, name: optimizer},
        )
        named = {f"{name}/{n}": jnp.asarray(value, jnp.float32) for n, value in metrics.items()}
        return moved, {**named, FINITE: _finite(metrics["loss"], gradients, state.params)}

    def step(state: State, batch: Batch, axis: str | None = None) -> tuple[State, Metrics]:
        if axis:
            check_per_device(state)
        batch, start = {**batch, "step": state.step}, state
        metrics: Metrics = {FINITE: jnp.float32(1)}
        for i, (name, player) in enumerate(players.items()):
            key = jax.random.fold_in(state.key, state.step)
            key = jax.random.fold_in(key, 0 if together else i)
            key = jax.random.fold_in(key, jax.lax.axis_index(axis)) if axis else key

            def update_player(
                state: State, name: str = name, key: Key = key
            ) -> tuple[State, Metrics]:
                return update(name, state, batch, key, start if together else state, axis)

            if player.every == 1:
                state, new = update_player(state)
            else:
                idle = dict.fromkeys(jax.eval_shape(update_player, state)[1], jnp.float32(jnp.nan))
                idle[FINITE] = jnp.float32(1)
                plays = start.step % player.every == player.at
                rest = functools.partial(_rest, idle)
                state, new = jax.lax.cond(plays, update_player, rest, state)
            finite = jnp.where(metrics[FINITE] == 1, new[FINITE], metrics[FINITE])
            metrics |= {**new, FINITE: finite}
        average = dict(state.average)
        for n, decay in decays.items():
            if n in average:  # not a network without weights
                average[n] = optax.incremental_update(state.params[n], average[n], 1 - decay)
        return state.replace(step=state.step + 1, average=average), metrics

    return Game(init, step)


def _rest(metrics: Metrics, state: State) -> tuple[State, Metrics]:
    """Skip the turn of a player."""
    return state, metrics


def _check_players(players: Mapping[str, Player]) -> None:
    """Raise UserError if these are no players by name, or could never play."""
    if not isinstance(players, Mapping):
        kind = type(players).__name__
        raise UserError(f"the players are a {kind}; they must be a dictionary, name -> Player.")
    if not players:
        raise UserError("there are no players; a game needs at least one.")
    for name, player in players.items():
        if isinstance(player.moves, str):
            one = player.moves
            raise UserError(f"player '{name}' moves the string '{one}'; give a tuple, ('{one}',).")
        if not player.moves:
            raise UserError(f"player '{name}' moves no network; name at least one.")
        if not 0 <= player.at < player.every:
            raise UserError(
                f"player '{name}' has every={player.every} and at={player.at}, so it never plays; "
                "give 0 <= at < every."
            )
        if player.average is not None and not 0 <= player.average < 1:
            raise UserError(f"player '{name}' has average={player.average}; give 0 <= average < 1.")
        if not isinstance(player.optimizer, optax.GradientTransformation):
            kind = type(player.optimizer).__name__
            raise UserError(
                f"the optimizer of player '{name}' is of type {kind}; give one of Optax, "
                "such as Adam(1e-3).over(steps)."
            )


def _check_returned(name: str, returned: object) -> None:
    """Raise UserError if this is not what an objective returns."""
    match returned:
        case (loss, Mapping() as metrics):
            if "loss" in metrics:
                raise UserError(
                    f"'loss' is the loss of player '{name}'; name the metric otherwise."
                )
            for metric, value in {"loss": loss, **metrics}.items():
                if not isinstance(value, int | float | jax.Array | np.ndarray | np.generic):
                    kind = type(value).__name__
                    raise UserError(f"{name}/{metric} is of type {kind}; it must be a number.")
                if shape := jnp.shape(value):
                    raise UserError(
                        f"{name}/{metric} has shape {list(shape)}; it must be a scalar, "
                        "such as the mean."
                    )
        case _:
            raise UserError(
                f"the objective of player '{name}' returned a {type(returned).__name__}; it must "
                "return (loss, metrics), where metrics is a dictionary."
            )


class HasPrecision(Protocol):
    @property
    def precision(self) -> Precision: ...


class HasRun(Protocol):
    """The part of a config that a game needs."""

    @property
    def run(self) -> HasPrecision: ...


class HasPlayers(Protocol[C]):
    """The part of an experiment that a game needs. It may also have `game(config) -> Game`."""

    def model(self, config: C) -> nn.Module: ...
    def players(self, config: C) -> dict[str, Player]: ...


def check_per_device(state: State) -> None:
    """Raise UserError if devices cannot run separate steps: only batch statistics are averaged."""
    if others := {*state.variables} - {"batch_stats"}:
        raise UserError(
            f"each device would have its own {', '.join(others)}: give --run.parallel jit."
        )


def of(experiment: HasPlayers[C], config: C) -> Game:
    """Return the experiment's own `game(config)`, else a game of its players, who move in turn."""
    own: Callable[[C], Game] | None = getattr(experiment, "game", None)
    if own:
        return own(config)
    model, players = experiment.model(config), experiment.players(config)
    return make(model, players, precision=config.run.precision)


def starting_at_mean(one: Game, layer: tuple[str, ...], clip: float) -> Game:
    """Return `one`, with the bias of a layer initialised at the logits of the batch's "mean" image,
    if any.

    `layer` is the path of the layer, starting with its network. The mean is clipped to
    [clip, 1 - clip]. `init` raises KeyError if there is no such layer.
    """

    def init(key: Key, batch: Batch) -> State:
        state = one.init(key, batch)
        if "mean" not in batch:
            return state
        mean = jnp.clip(batch["mean"], clip, 1 - clip)
        logits = jnp.log(mean) - jnp.log1p(-mean)
        return state.replace(params=_with_leaf(state.params, (*layer, "bias"), logits))

    return Game(init, one.step)


def _with_leaf(tree: Params, path: tuple[str, ...], leaf: Array) -> Params:
    """Return the same tree with the leaf at a path replaced."""
    first, *rest = path
    return {**tree, first: _with_leaf(tree[first], tuple(rest), leaf) if rest else leaf}


def _subtree(tree: Params, player: Player) -> Params:
    """Return the player's part of a tree by network; networks without weights have none."""
    return {name: tree[name] for name in player.moves if name in tree}


def _finite(loss: Array, gradients: Params, params: Params) -> Array:
    """Return a code []: 1 if all is finite, 0 if the loss is not, -n if the gradient of weight n is
    not.
    """
    numbers = {path: n for n, path in enumerate(named_params(params), 1)}
    none = len(numbers) + 1
    bad = [
        jnp.where(jnp.isfinite(gradient.sum()), none, numbers[path])
        for path, gradient in named_params(gradients).items()
    ]
    first = jnp.stack(bad).min()
    code = jnp.where(jnp.isfinite(loss), jnp.where(first == none, 1, -first), 0)
    return code.astype(jnp.float32)


def named_params(params: Params) -> dict[str, Array]:
    """Return each weight by its path, 'encoder/Dense_0/kernel'."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def steps(
    game: Game,
    state: State,
    batch_of: Callable[[Array], Batch],
    count: int,
    axis: str | None = None,
) -> tuple[State, Metrics]:
    """Run `count` steps in one program; the metrics are stacked, [count] each.

    `batch_of` returns the batch of a step.
    """
    devices = (axis,) if axis else ()

    def body(state: State, _: None) -> tuple[State, Metrics]:
        return game.step(state, batch_of(state.step), *devices)

    return jax.lax.scan(body, state, length=count)
