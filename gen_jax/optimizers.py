"""Adam as the frameworks have it; learning rates, as functions of a player's own updates; fixed
weights.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gen_jax.config import Checked, Count, Decay, Fraction, Positive
from gen_jax.types import Array


@dataclasses.dataclass(frozen=True)
class Adam(Checked):
    """Adam and its learning rate, as a field of a config."""

    learning_rate: Positive = 1e-3  # step size, before any decay
    b1: Decay = 0.9  # decay of the first moment
    b2: Decay = 0.999  # decay of the second moment
    eps: Positive = 1e-8  # added to the root of the second moment
    epsilon_hat: bool = False  # eps before the bias correction, as TensorFlow, Torch and Lasagne
    decay: Fraction = 0  # share of the steps, at the end, in which the rate falls linearly to 0
    period: Count = 1  # steps between two changes of a rate with `decay`

    def over(self, steps: int, every: int = 1) -> optax.GradientTransformation:
        """The optimizer of a player that plays at the last of each `every` steps of a game of so
        many.
        """
        if not self.decay:
            return self.at(self.learning_rate)
        return self.at(
            linear_tail(
                self.learning_rate, steps, share=self.decay, period=self.period, every=every
            )
        )

    def at(self, rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
        """The optimizer with another learning rate, which may depend on the number of its updates."""
        return adam(rate, b1=self.b1, b2=self.b2, eps=self.eps, epsilon_hat=self.epsilon_hat)


def constant_then_linear(rate: float, updates: int) -> optax.Schedule:
    """Constant over the first half of the updates, then linear to 0."""
    half = max(updates // 2, 1)
    return optax.linear_schedule(rate, 0, half, transition_begin=half)


def linear_tail(
    rate: float, steps: int, *, share: float, period: int, every: int
) -> optax.Schedule:
    """Constant, then in the last share of a game's steps linear to 0, for a player at the last of
    each `every` steps.

    With a period above 1 the rate changes once in a period, and then by what one step would change
    it: it hardly falls.
    """
    last = max(round(share * steps), 1)  # steps

    def at(count: Array) -> Array:
        late = jnp.maximum((count + 1) * every - 1 - (steps - last), 0)
        return rate * (1 - late // period / last)

    return at


def adam(
    rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    epsilon_hat: bool = False,
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) by Algorithm 1, or with `epsilon_hat` by the faster form at the end
    of its section 2.

    That form, rate sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps), is the one of TensorFlow,
    Torch and Lasagne: eps is not corrected with v, so that the first steps are shorter where
    gradients are small.
    """
    scaled = _scale_by_epsilon_hat(b1, b2, eps) if epsilon_hat else optax.scale_by_adam(b1, b2, eps)
    return optax.chain(scaled, optax.scale_by_learning_rate(rate))


def _scale_by_epsilon_hat(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    def update(
        gradients: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        state = state._replace(count=optax.safe_increment(state.count))
        mu, nu = moments(gradients, state, b1, b2)
        state = state._replace(mu=mu, nu=nu)
        return _moves(state, b1, b2, eps), state

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def iwae_adam(rate: optax.ScalarOrSchedule, b1: float, eps: float) -> optax.GradientTransformation:
    """Adam as in the code of IWAE (Burda et al. 2016): it moves by the moments of the step before.

    w_t = w_t-1 - rate sqrt(1 - b2^t) / (1 - b1^t) m_t-1 / (sqrt(v_t-1) + eps), m_0 = 0, v_0 = 1.
    """
    b2 = 0.999

    def init(params: optax.Params) -> optax.ScaleByAdamState:
        zeros, ones = (optax.tree.full_like(params, value) for value in (0.0, 1.0))
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros, ones)

    def update(
        gradients: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        state = state._replace(count=optax.safe_increment(state.count))
        moves = _moves(state, b1, b2, eps)
        mu, nu = moments(gradients, state, b1, b2)
        return moves, state._replace(mu=mu, nu=nu)

    rule = optax.GradientTransformation(init, update)
    return optax.chain(rule, optax.scale_by_learning_rate(rate))


def _moves(state: optax.ScaleByAdamState, b1: float, b2: float, eps: float) -> optax.Updates:
    """sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps), the moves before the learning rate."""
    correction = jnp.sqrt(1 - b2**state.count) / (1 - b1**state.count)
    return jax.tree.map(lambda m, v: correction * m / (jnp.sqrt(v) + eps), state.mu, state.nu)


def moments(
    gradients: optax.Updates, state: optax.ScaleByAdamState, b1: float, b2: float
) -> tuple[optax.Updates, optax.Updates]:
    """Adam's running means of the gradients and of their squares, with these gradients."""
    mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradients)
    return mu, jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, gradients)


def freeze_conv_biases(descent: optax.GradientTransformation) -> optax.GradientTransformation:
    """Hold the biases of convolutions at 0, where they begin: some Torch codes set them so before
    each evaluation.
    """

    def held(params: optax.Params) -> optax.Params:
        def of_convolution(path: Any, _: Array) -> bool:
            return path[-1].key == "bias" and path[-2].key.startswith("Conv")

        return jax.tree_util.tree_map_with_path(of_convolution, params)

    return optax.chain(descent, optax.masked(optax.set_to_zero(), held))
