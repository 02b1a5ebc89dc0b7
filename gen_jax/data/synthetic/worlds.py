"""Synthetic data with known ground truth, for checking models and estimators.

The linear-Gaussian world is the variational autoencoder in which every quantity has a closed form.
Its formulas use the type of their arrays: float32 in training, float64 in tests (under
`jax.enable_x64(True)`). Everything is in nats.
"""

import functools
import math
from collections import Counter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import multivariate_normal

from gen_jax.errors import UserError
from gen_jax.types import Array, Key


class LinearGaussian(NamedTuple):
    """p(z) = N(0, I) and p(x|z) = N(W z + m, s^2 I): a linear decoder, with images as vectors."""

    weights: Array  # [d, k]  W
    mean: Array  # [d]  m
    variance: Array  # []  s^2

    def sample(self, key: Key, n: int) -> tuple[Array, Array]:
        """Return n exact pairs (x [n, d], z [n, k]); each z is an exact draw from its posterior."""
        key_z, key_x = jax.random.split(key)
        d, k = self.weights.shape
        z = jax.random.normal(key_z, (n, k), self.weights.dtype)
        noise = jax.random.normal(key_x, (n, d), self.weights.dtype)
        return z @ self.weights.T + self.mean[None] + jnp.sqrt(self.variance) * noise, z

    def moments(self) -> tuple[Array, Array]:
        """Return the mean [d] and covariance [d, d] of p(x) = N(m, W W^T + s^2 I)."""
        noise = jnp.diag(jnp.broadcast_to(self.variance, self.mean.shape))
        return self.mean, self.weights @ self.weights.T + noise

    def log_evidence(self, x: Array) -> Array:
        """Return log p(x): [n, d] -> [n]."""
        return jnp.asarray(
            jax.vmap(multivariate_normal.logpdf, (0, None, None))(x, *self.moments())
        )

    def precision(self) -> Array:
        """Return I + W^T W / s^2 [k, k], the inverse of the posterior covariance, the same for
        every x.
        """
        k = self.weights.shape[1]
        return jnp.eye(k, dtype=self.weights.dtype) + self.weights.T @ self.weights / self.variance

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Return p(z|x) = N(P^-1 W^T (x - m) / s^2, P^-1), with P the precision: [n, d] -> [n, k],
        [k, k].
        """
        covariance = jnp.linalg.inv(self.precision())
        return (x - self.mean[None]) @ self.weights @ covariance / self.variance, covariance

    def elbo(self, x: Array, q_mean: Array, q_log_variance: Array) -> Array:
        """Return E_q[log p(x|z)] - KL(q(z|x) || p(z)), for a diagonal Gaussian q: [n, d], [n, k],
        [n, k] -> [n].

        Kingma & Welling 2013, eq. 3. The expectation is exact: the squared error at the mean of z,
        plus s_z^2 |W_j|^2 for the variance of each latent.
        """
        q_variance = jnp.exp(q_log_variance)
        error = x - q_mean @ self.weights.T - self.mean[None]  # [n, d]
        squares = jnp.sum(error**2, axis=1) + q_variance @ jnp.sum(self.weights**2, axis=0)  # [n]
        log_likelihood = -0.5 * (
            len(self.mean) * jnp.log(2 * jnp.pi * self.variance) + squares / self.variance
        )
        return log_likelihood - 0.5 * jnp.sum(q_mean**2 + q_variance - 1 - q_log_variance, axis=1)

    def kl_to_posterior(self, x: Array, q_mean: Array, q_log_variance: Array) -> Array:
        """Return KL(q(z|x) || p(z|x)) of two Gaussians, the evidence minus the ELBO: [n, d],
        [n, k], [n, k] -> [n].

        It is 0.5 (tr(P S) + (mu - mu_q)^T P (mu - mu_q) - k - log det P - log det S), where S is
        the covariance of q.
        """
        precision = self.precision()
        off = self.posterior(x)[0] - q_mean  # [n, k]
        trace = jnp.exp(q_log_variance) @ jnp.diag(precision)  # [n]
        square = jnp.sum((off @ precision) * off, axis=1)  # [n]
        log_determinants = jnp.linalg.slogdet(precision)[1] + jnp.sum(q_log_variance, axis=1)
        return 0.5 * (trace + square - off.shape[1] - log_determinants)

    def best_mean_field(self, x: Array) -> tuple[Array, Array]:
        """Return mean and log variance of the diagonal q closest to p(z|x), its mean and 1 /
        diag(P): [n, d] -> [n, k], [n, k].

        Bishop 2006, equations 10.12 and 10.13.
        """
        mean, _ = self.posterior(x)
        return mean, jnp.broadcast_to(-jnp.log(jnp.diag(self.precision())), mean.shape)

    def mean_field_gap(self) -> Array:
        """Return log p(x) - max_q ELBO = 0.5 (sum_j log P_jj - log det P) over diagonal q, for
        every x: -> [].

        By Hadamard's inequality it is never negative, and 0 only if P, and so W^T W, is diagonal.
        """
        precision = self.precision()
        return 0.5 * (jnp.sum(jnp.log(jnp.diag(precision))) - jnp.linalg.slogdet(precision)[1])

    def frechet_to(self, other: "LinearGaussian") -> Array:
        """Return the squared Frechet distance |m - m'|^2 + tr(C + C') - 2 tr((C C')^1/2) of the two
        p(x): -> [].

        The last trace is the sum of the singular values of L^T L', for the Cholesky factors C = L
        L^T, C' = L' L'^T.
        """
        (mean, covariance), (mean_, covariance_) = self.moments(), other.moments()
        product = jnp.linalg.cholesky(covariance).T @ jnp.linalg.cholesky(covariance_)
        cross = jnp.sum(jnp.linalg.svd(product, compute_uv=False))
        traces = jnp.trace(covariance), jnp.trace(covariance_)
        return jnp.sum((mean - mean_) ** 2) + traces[0] + traces[1] - 2 * cross


class Mixture(NamedTuple):
    """Equal shares of N(mean_i, std^2 I), with one mode per mean if the means are far enough from
    each other.
    """

    means: Array  # [m, d]
    std: Array  # []

    def sample(self, key: Key, n: int) -> Array:
        """Draw n points: [n, d]."""
        key_mode, key_x = jax.random.split(key)
        modes = jax.random.randint(key_mode, (n,), 0, len(self.means))
        noise = jax.random.normal(key_x, (n, self.means.shape[1]), self.means.dtype)
        return jnp.asarray(self.means)[modes] + self.std * noise

    def log_density(self, x: Array) -> Array:
        """Return log 1/m sum_i N(x; mean_i, std^2 I): [n, d] -> [n]."""
        m, d = self.means.shape
        constant = jnp.log(m) + 0.5 * d * jnp.log(2 * jnp.pi * self.std**2)
        return jax.nn.logsumexp(-0.5 * self._squares(x) / self.std**2, axis=1) - constant

    def occupancy(self, x: Array) -> Array:
        """Count the points within three standard deviations of each mean: [n, d] -> [m]."""
        squares = self._squares(x)
        on = (squares < 9 * self.std**2) & (squares == squares.min(1, keepdims=True))
        return on.sum(0)

    def _squares(self, x: Array) -> Array:
        return jnp.sum((x[:, None] - self.means[None]) ** 2, axis=-1)  # [n, m]


def ring(count: int, radius: float, std: float) -> Mixture:
    """Return a mixture with means evenly spaced on a circle in the plane."""
    angles = 2 * np.pi * np.arange(count) / count
    return _mixture(radius * np.stack([np.cos(angles), np.sin(angles)], 1), std)


def grid(side: int, spacing: float, std: float) -> Mixture:
    """Return a mixture with side^2 means on a square lattice around the origin."""
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return _mixture(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), std)


def _mixture(means: np.ndarray, std: float) -> Mixture:
    return Mixture(jnp.asarray(means, jnp.float32), jnp.float32(std))


MIXTURES = {
    "ring": functools.partial(ring, 8, radius=2.0, std=0.1),
    "grid": functools.partial(grid, 5, spacing=1.0, std=0.1),
}


def points(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the points of a named mixture, always the same: {"x": [n, 2]}, 50 000 for training and
    10 000 for tests.

    Raises KeyError for an unknown name.
    """
    x = np.asarray(MIXTURES[name]().sample(jax.random.key(0), 60_000))
    return {"x": x[:50_000]}, {"x": x[50_000:]}


class Atoms(NamedTuple):
    """Points with masses in two domains; the k-th points of both are true partners."""

    x: np.ndarray  # [k, 2]
    y: np.ndarray  # [k, 2]
    masses: tuple[int, ...]  # [k]

    def symmetries(self) -> int:
        """The number of bijections that preserve the masses, and so of cycle-consistent pairings
        that fit both domains.
        """
        return math.prod(math.factorial(count) for count in Counter(self.masses).values())

    def arrays(
        self, each: int = 100, std: float = 0.05
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return {"x": [n, 2], "y": [n, 2]} for training and for tests.

        Training data are `each` points per unit of mass around each atom, unpaired. Test data are
        the atoms, paired.
        """
        draws, counts = np.random.default_rng(0), each * np.array(self.masses)
        around = {name: np.repeat(getattr(self, name), counts, axis=0) for name in ("x", "y")}
        train = {
            name: (p + std * draws.normal(size=p.shape)).astype(np.float32)
            for name, p in around.items()
        }
        return train, {"x": self.x, "y": self.y}

    def scores(self, moved: Array) -> dict[str, float]:
        """Return the scores of a map from the atoms of the first domain to points [k, 2] of the
        second.

        Each point counts as its nearest atom.
        """
        distances = np.linalg.norm(np.asarray(moved)[:, None] - self.y[None], axis=-1)  # [k, k]
        chosen, masses = distances.argmin(1), np.array(self.masses)
        fits = len({*chosen.tolist()}) == len(masses) and (masses[chosen] == masses).all()
        return {
            "fits": float(fits),
            "true_pairing": float((chosen == np.arange(len(masses))).all()),
            "chance": 1 / self.symmetries(),
            "distance": float(distances.min(1).mean()),
        }


def atoms(masses: tuple[int, ...], seed: int) -> Atoms:
    """Return atoms of these masses, evenly spaced on a circle in the plane in both domains, in
    random orders.
    """
    draws, angles = np.random.default_rng(seed), 2 * np.pi * np.arange(len(masses)) / len(masses)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    return Atoms(draws.permutation(circle), draws.permutation(circle), masses)


def discs(side: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return uint8 images of one coloured disc on a dark ground ("photo") and of the same in other
    colours ("map"): 256 pairs for training and 64 for tests.

    The true translation rotates the channels and inverts them: (r, g, b) -> (255 - g, 255 - b, 255
    - r).
    """
    draws, count = np.random.default_rng(0), 256 + 64
    centre, radius = draws.uniform(0.3, 0.7, (count, 2)), draws.uniform(0.15, 0.3, count)
    colour, line = draws.uniform(100, 255, (count, 1, 1, 3)), (np.arange(side) + 0.5) / side
    squares = (line[None] - centre[:, :1]) ** 2, (line[None] - centre[:, 1:]) ** 2  # [n, side] each
    distance = np.sqrt(squares[0][:, :, None] + squares[1][:, None])
    cover = np.clip((radius[:, None, None] - distance) * side + 0.5, 0, 1)  # coverage of a pixel
    cover = cover[..., None]
    photo = np.rint(cover * colour + (1 - cover) * 30).astype(np.uint8)
    pairs = {"photo": photo, "map": 255 - photo[..., [1, 2, 0]]}
    train = {name: a[:256] for name, a in pairs.items()}
    return train, {name: a[256:] for name, a in pairs.items()}


def principal_components(x: Array, k: int) -> LinearGaussian:
    """Return the linear-Gaussian world with the highest likelihood of x [n, d]: probabilistic PCA.

    Tipping & Bishop 1999, equations 7 and 8: W = U_k (L_k - s^2 I)^1/2 from the k largest
    eigenvalues of the sample covariance, where s^2 is the mean of the others. The free rotation is
    I, so that W^T W is diagonal and a diagonal q can equal the posterior. Raises UserError unless 0
    < k < d and n > 1.
    """
    if not 0 < k < x.shape[1] or len(x) < 2:
        raise UserError(
            f"principal_components received {len(x)} points of {x.shape[1]} dimensions and k={k}; "
            f"it needs at least 2 points and 0 < k < {x.shape[1]}: choose another k."
        )
    mean = jnp.mean(x, axis=0)
    centred = x - mean[None]
    values, vectors = jnp.linalg.eigh(centred.T @ centred / len(x))  # [d] ascending, [d, d]
    variance = jnp.mean(values[:-k])
    values, vectors = values[-k:][::-1], vectors[:, -k:][:, ::-1]  # largest first
    return LinearGaussian(vectors * jnp.sqrt(values - variance)[None], mean, variance)
