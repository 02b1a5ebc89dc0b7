"""Estimates of log p(x), in nats per image."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.types import Array, Key, Measure

PARZEN = (
    "Parzen window of 10 000 draws, width from 10 values by validation images, 10 000 test images"
)
WIDTHS = tuple(float(width) for width in np.logspace(-1, 0, 10))  # Goodfellow et al. 2014


def importance_weighted(
    log_weights: Callable[[Key, int], Array], key: Key, *, samples: int, chunk: int
) -> Array:
    """Return log 1/k sum_i w_i of each image, [b]: w_i = p(x, z_i) / q(z_i|x) of k draws z_i ~
    q(z|x).

    Its expectation is at most log p(x) and grows with k (Burda et al. 2016, section 3).
    `log_weights(key, m)` draws m values of log w for each image, [m, b]; at most `chunk` of the
    `samples` are in memory at once. The draws depend on the key, on `samples` and on `chunk`. The
    function can be called inside jit. Raises UserError if `samples` or `chunk` is below 1.
    """
    if samples < 1 or chunk < 1:
        raise UserError(
            f"{samples} samples in chunks of {chunk} are too few: give at least 1 of each."
        )
    following, first = divmod(samples - 1, chunk)  # the first chunk takes the remainder
    keys = jax.random.split(key, following + 1)

    def add(total: Array, key: Key) -> tuple[Array, None]:
        return jnp.logaddexp(total, jax.nn.logsumexp(log_weights(key, chunk), axis=0)), None

    total = jax.nn.logsumexp(log_weights(keys[0], first + 1), axis=0)  # [b]
    return jax.lax.scan(add, total, keys[1:])[0] - math.log(samples)


def parzen(samples: Array | np.ndarray, x: Array | np.ndarray, width: float) -> np.ndarray:
    """Return log 1/n sum_i N(x; s_i, width^2 I), in nats: samples [n, d], x [m, d] -> [m].

    This is the Parzen window estimate of Goodfellow et al. 2014, section 5. It is a biased and
    noisy estimate of the likelihood of a model (Theis et al. 2016), included because the papers
    report it.
    """
    samples = jnp.asarray(samples, jnp.float32)
    blocks = [jnp.asarray(x[i : i + 500], jnp.float32) for i in range(0, len(x), 500)]
    return np.concatenate([_window(samples, block, jnp.float32(width)) for block in blocks])


@jax.jit
def _window(samples: Array, x: Array, width: Array) -> Array:
    n, d = samples.shape
    products = jnp.matmul(x, samples.T, precision=jax.lax.Precision.HIGHEST)  # [m, n]
    squares = (x**2).sum(1)[:, None] + (samples**2).sum(1)[None] - 2 * products
    return (
        jax.nn.logsumexp(-0.5 * squares / width**2, axis=1)
        - math.log(n)
        - 0.5 * d * jnp.log(2 * jnp.pi * width**2)
    )


def parzen_width(
    samples: Array | np.ndarray, validation: Array | np.ndarray, widths: Sequence[float]
) -> float:
    """Return the width with the highest likelihood: samples [n, d], validation [m, d] -> one of
    `widths`.
    """
    return max(widths, key=lambda width: float(parzen(samples, validation, width).mean()))


def parzen_estimate(
    samples: Array | np.ndarray,
    train: np.ndarray,
    validation: Array | np.ndarray,
    test: Array | np.ndarray,
    widths: Sequence[float] = WIDTHS,
) -> dict[str, Measure]:
    """Return the mean over test images and its standard error, at the width chosen on validation
    images.

    This is the protocol of Goodfellow et al. 2014, section 5. The measure rewards blur (Theis et
    al. 2016), so the value of as many training images in place of the samples is returned as well.
    In nats: samples [n, d], training images [l, d], validation images [m, d], test images [k, d].
    """
    unit = "nats per image"
    width = parzen_width(samples, validation, widths)
    log_p = parzen(samples, test, width)
    kept = parzen(samples, validation, width).mean()
    real = train[: len(samples)]
    of_real = parzen(real, test, parzen_width(real, validation, widths)).mean()
    return {
        "test/parzen": Measure(log_p.mean(), unit),
        "test/parzen_standard_error": Measure(log_p.std() / math.sqrt(len(log_p)), unit),
        "test/parzen_of_real": Measure(of_real, f"{unit}, of {len(real)} training images"),
        "validation/parzen": Measure(kept, unit),
        "validation/parzen_width": Measure(width, "of pixels in [0, 1]"),
    }
