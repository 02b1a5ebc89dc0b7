"""Comparison of samples with a mixture of Gaussians of known density. Divergences are in nats."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.synthetic.worlds import Mixture
from gen_jax.evaluation import likelihood
from gen_jax.types import Array, Measure

Values = Array | np.ndarray
WIDTHS = (0.2, 0.4, 0.8, 1.6, 3.2)  # of the kernels, in standard deviations of a mode
KL_FROM_DATA = "nats, KL(data || model), density of the model:"
KL_TO_DATA = "nats, KL(model || data), density of the model:"


def evaluate(
    world: Mixture,
    x: Array,
    draws: Mapping[str, Array],
    log_densities: Mapping[str, tuple[Values, Values]],
) -> dict[str, Measure]:
    """Return modes and divergences, test/METRIC_MODEL, of the draws [n, d] of each model.

    x [m, d] are points of the world. `log_densities` holds log q of x [m] and of the model's own
    draws [n], for models whose density is estimated by importance weights.
    """
    found = {name: measures(world, x, points) for name, points in draws.items()}
    measured = {
        f"test/{metric}_{name}": value
        for name, values in found.items()
        for metric, value in values.items()
    }
    for name, (log_q_x, log_q_draws) in log_densities.items():
        from_data, to_data = divergences(world, x, log_q_x, draws[name], log_q_draws)
        measured |= {
            f"test/kl_from_data_importance_{name}": Measure(
                from_data, f"{KL_FROM_DATA} importance-weighted"
            ),
            f"test/kl_to_data_importance_{name}": Measure(
                to_data, f"{KL_TO_DATA} importance-weighted"
            ),
        }
    return measured


def measures(world: Mixture, x: Array, draws: Array) -> dict[str, Measure]:
    """Return modes and divergences of the draws [n, d] of a model, for points x [m, d] of the
    world.
    """
    count, share = modes(world, draws)
    from_data, to_data = kernel_divergences(world, x, draws)
    estimate = "a kernel estimate from its draws"
    return {
        "modes": Measure(
            count, "modes with at least a tenth of their share of the draws within 3 sigma"
        ),
        "on_a_mode": Measure(share, "share of draws within 3 sigma of a mode"),
        "kl_from_data_kernel": Measure(from_data, f"{KL_FROM_DATA} {estimate}"),
        "kl_to_data_kernel": Measure(to_data, f"{KL_TO_DATA} {estimate}"),
    }


def modes(world: Mixture, draws: Array) -> tuple[int, float]:
    """Return the number of modes that the draws [n, d] cover, and the share of draws that lie on a
    mode.

    A draw is on a mode if it is within three standard deviations of its mean. A mode is covered if
    it has at least a tenth of its share of the draws, so a single stray draw does not count. Of
    exact draws in the plane, 1 - exp(-9/2) = 98.9 % are on a mode.
    """
    on = np.asarray(jax.jit(Mixture.occupancy)(world, draws))  # [m]
    return int((on >= 0.1 * len(draws) / len(on)).sum()), float(on.sum() / len(draws))


def divergences(
    world: Mixture, x: Array, log_q_x: Values, draws: Array, log_q_draws: Values
) -> tuple[float, float]:
    """Return KL(p || q) = E_p[log p - log q] from points x [m, d] of the world p, and KL(q || p) =
    E_q[log q - log p] from draws [n, d] of q.

    log q of both is given, [m] and [n].
    """
    density = jax.jit(Mixture.log_density)
    from_world = np.mean(np.asarray(density(world, x), np.float64) - log_q_x)
    return float(from_world), float(
        np.mean(log_q_draws - np.asarray(density(world, draws), np.float64))
    )


def kernel_divergences(world: Mixture, x: Array, draws: Array) -> tuple[float, float]:
    """Return both divergences, with a kernel density estimate as q. Half of the draws are its
    kernels, and the other half choose its width.
    """
    kernels, others = draws[::2], draws[1::2]
    width = likelihood.parzen_width(kernels, others, [float(world.std) * width for width in WIDTHS])
    log_q_x, log_q_draws = (
        likelihood.parzen(kernels, jnp.asarray(points), width) for points in (x, others)
    )
    return divergences(world, x, log_q_x, others, log_q_draws)


def picture(x: Values, reach: float) -> np.ndarray:
    """Plot the density in the plane from -reach to reach: [n, 2] -> [200, 200, 1] in [0, 1]."""
    counts, *_ = np.histogram2d(x[:, 1], x[:, 0], bins=200, range=[[-reach, reach]] * 2)
    return np.asarray(1 - 0.5 ** counts[::-1, :, None])
