"""How well draws match a mixture of Gaussians whose density is known; divergences in nats."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.synthetic.worlds import Mixture
from gen_jax.evaluation import likelihood
from gen_jax.types import Array

WIDTHS = (0.2, 0.4, 0.8, 1.6, 3.2)  # of the kernels, in standard deviations of a mode
UNITS = {
    "modes": "modes with a tenth of their share of the draws or more within 3 sigma",
    "on_a_mode": "share of draws within 3 sigma of a mode",
    "kl_from_data_kernel": "nats, KL(data || model), the model's density a kernel estimate from its draws",
    "kl_to_data_kernel": "nats, KL(model || data), the model's density a kernel estimate from its draws",
}


def measures(world: Mixture, x: Array, draws: Array) -> dict[str, float]:
    """All of UNITS for draws [n, d] of a model, with points x [m, d] of the world."""
    return dict(
        zip(UNITS, (*modes(world, draws), *kernel_divergences(world, x, draws)), strict=True)
    )


def modes(world: Mixture, draws: Array) -> tuple[int, float]:
    """How many modes have draws within three standard deviations, and which share of all draws lies so near to one.

    A mode with less than a tenth of its share of the draws is not found: a stray draw is no mode. Of the truth in the
    plane 1 - exp(-9/2) = 98.9 % of the draws lie so near.
    """
    on = np.asarray(jax.jit(Mixture.occupancy)(world, draws))  # [m]
    return int((on >= 0.1 * len(draws) / len(on)).sum()), float(on.sum() / len(draws))


def divergences(
    world: Mixture, x: Array, log_q_x: Any, draws: Array, log_q_draws: Any
) -> tuple[float, float]:
    """KL(p || q) = E_p[log p - log q] by points x of the world p, and KL(q || p) = E_q[log q - log p] by draws."""
    density = jax.jit(Mixture.log_density)
    from_world = np.mean(np.asarray(density(world, x), np.float64) - log_q_x)
    return float(from_world), float(
        np.mean(log_q_draws - np.asarray(density(world, draws), np.float64))
    )


def kernel_divergences(world: Mixture, x: Array, draws: Array) -> tuple[float, float]:
    """Both, where q is a kernel estimate: half of the draws are its kernels, the other half choose its width."""
    kernels, others = draws[::2], draws[1::2]
    width = likelihood.parzen_width(kernels, others, [float(world.std) * width for width in WIDTHS])
    log_q_x, log_q_draws = (
        likelihood.parzen(kernels, jnp.asarray(points), width) for points in (x, others)
    )
    return divergences(world, x, log_q_x, others, log_q_draws)


def picture(x: Any, reach: float) -> np.ndarray:
    """The plane from -reach to reach, the brighter the more points are there: [n, 2] -> [200, 200, 1] in [0, 1]."""
    counts, *_ = np.histogram2d(x[:, 1], x[:, 0], bins=200, range=[[-reach, reach]] * 2)
    return np.asarray(1 - 0.5 ** counts[::-1, :, None])
