"""The lecture, executed: what it claims of these models, where every quantity is known.

In float64, in nats.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import stats

from gen_jax.data.synthetic import worlds
from gen_jax.data.synthetic.worlds import LinearGaussian
from gen_jax.errors import UserError
from gen_jax.evaluation import feature_distances, likelihood

D, K = 6, 3
elbo, log_evidence = jax.jit(LinearGaussian.elbo), jax.jit(LinearGaussian.log_evidence)
best_mean_field, mean_field_gap = (
    jax.jit(LinearGaussian.best_mean_field),
    jax.jit(LinearGaussian.mean_field_gap),
)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def arbitrary(seed=0):
    """A world whose W^T W is not diagonal."""
    random = np.random.default_rng(seed)
    return LinearGaussian(
        *map(jnp.asarray, (random.normal(size=(D, K)), random.normal(size=D), np.float64(0.4)))
    )


def diagonal(seed=0):
    """A world whose W^T W is diagonal: the posterior factorizes."""
    columns = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, K)))[0]
    return arbitrary(seed)._replace(weights=jnp.asarray(columns * [2.0, 1.0, 0.5]))


def sample(world, seed, n):
    return jax.jit(LinearGaussian.sample, static_argnums=2)(world, jax.random.key(seed), n)


def any_posterior(seed, n):
    """n arbitrary diagonal Gaussians q(z|x): mean and log variance."""
    random = np.random.default_rng(seed)
    return random.normal(0, 2, (n, K)), random.normal(-1, 1.5, (n, K))


# The world is what it says: against SciPy and against conditioning of the joint Gaussian.


def test_world_is_the_gaussian_that_it_says():
    world = arbitrary()
    w, m, variance = (np.asarray(field) for field in world)
    x, z = (np.asarray(part) for part in sample(world, 0, 200_000))
    covariance = w @ w.T + variance * np.eye(D)
    np.testing.assert_allclose(
        log_evidence(world, x[:50]), stats.multivariate_normal(m, covariance).logpdf(x[:50])
    )

    gain = w.T @ np.linalg.inv(covariance)  # Cov(z, x) Cov(x)^-1
    mean, posterior = jax.jit(LinearGaussian.posterior)(world, x[:50])
    np.testing.assert_allclose(mean, (x[:50] - m) @ gain.T, atol=1e-12)
    np.testing.assert_allclose(posterior, np.eye(K) - gain @ w, atol=1e-12)

    joint = np.block([[covariance, w], [w.T, np.eye(K)]])  # of (x, z)
    sampled = np.cov(np.hstack([x, z]).T)
    error = np.sqrt((np.outer(np.diag(joint), np.diag(joint)) + joint**2) / len(x))
    assert (np.abs(sampled - joint) < 5 * error).all()
    assert (np.abs(x.mean(axis=0) - m) < 5 * np.sqrt(np.diag(covariance) / len(x))).all()


def test_world_keeps_single_precision():
    world = LinearGaussian(*(part.astype(jnp.float32) for part in arbitrary()))
    x, z = sample(world, 0, 100)
    q = [part.astype(np.float32) for part in any_posterior(1, 100)]
    divergence = jax.jit(LinearGaussian.kl_to_posterior)(world, x, *q)
    found = [
        x,
        z,
        log_evidence(world, x),
        elbo(world, x, *q),
        divergence,
        *best_mean_field(world, x),
    ]
    assert {part.dtype.name for part in (*found, *world.posterior(x), world.frechet_to(world))} == {
        "float32"
    }
    np.testing.assert_allclose(found[3] + divergence, found[2], rtol=1e-4)


# log p(x) = ELBO + KL(q(z|x) || p(z|x)), for every q.


def test_evidence_is_elbo_plus_divergence():
    world = arbitrary()
    x, _ = sample(world, 1, 1000)
    q = any_posterior(2, 1000)
    divergence = np.asarray(jax.jit(LinearGaussian.kl_to_posterior)(world, x, *q))
    np.testing.assert_allclose(
        elbo(world, x, *q) + divergence, log_evidence(world, x), rtol=0, atol=1e-10
    )
    assert divergence.min() > 0.01 and np.ptp(divergence) > 10


def test_elbo_is_the_expectation_that_defines_it():
    """E_q[log p(x|z) + log p(z) - log q(z|x)], by Gauss-Hermite quadrature: exact for a quadratic
    integrand.
    """
    world = arbitrary()
    x, _ = sample(world, 3, 20)
    mean, log_variance = any_posterior(4, 20)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    noise = np.stack(np.meshgrid(*[nodes] * K), axis=-1).reshape(-1, K)  # [27, k]
    weights = np.prod(np.stack(np.meshgrid(*[weights] * K), axis=-1).reshape(-1, K), axis=1) / (
        2 * np.pi
    ) ** (K / 2)
    z = mean + np.exp(log_variance / 2) * noise[:, None]  # [27, n, k]
    expected = weights @ np.asarray(jax.jit(log_weight)(world, x, z, mean, log_variance))
    np.testing.assert_allclose(elbo(world, x, mean, log_variance), expected, rtol=1e-12)


def log_weight(world, x, z, q_mean, q_log_variance):
    """log p(x|z) + log p(z) - log q(z|x), one density at a time.  # [n, d], [m, n, k] -> [m, n]"""
    likelihood = norm.logpdf(
        x[None], z @ world.weights.T + world.mean[None, None], jnp.sqrt(world.variance)
    ).sum(-1)
    prior, q = (
        norm.logpdf(z).sum(-1),
        norm.logpdf(z, q_mean[None], jnp.exp(q_log_variance / 2)[None]).sum(-1),
    )
    return likelihood + prior - q


# The mean-field gap: a diagonal q is not free.


@pytest.mark.parametrize("make", [arbitrary, diagonal])
def test_mean_field_gap(make):
    """0.5 (sum log P_jj - log det P): what even the best diagonal q loses; zero if and only if W^T
    W is diagonal.
    """
    world = make()
    x, _ = sample(world, 5, 50)
    best = best_mean_field(world, x)
    gap = float(mean_field_gap(world))
    most = elbo(world, x, *best)
    np.testing.assert_allclose(log_evidence(world, x) - most, gap, atol=1e-12)
    assert (abs(gap) < 1e-14) if make is diagonal else (gap > 0.1)

    # a little of one in the next
    mixed = world._replace(weights=world.weights @ (np.eye(K) + 1e-3 * np.eye(K, k=1)))
    assert mean_field_gap(mixed) > 1e-8

    slopes = jax.jit(jax.grad(lambda q: world.elbo(x, *q).sum()))(best)
    for slope in slopes:
        np.testing.assert_allclose(slope, 0, atol=1e-12)
    for seed in range(
        20
    ):  # concave in the mean and the log variance, so that a stationary point is the best
        other = [b + 0.1 * change for b, change in zip(best, any_posterior(seed, 50), strict=True)]
        assert (elbo(world, x, *other) < most).all()


# Probabilistic PCA is the optimum of the linear auto-encoder.


def dataset():
    """Points of no special distribution: their covariance is not that of any linear-Gaussian world."""
    random = np.random.default_rng(6)
    return jnp.asarray(random.exponential(size=(200, D)) @ random.normal(size=(D, D)) + 3)


def linear_vae(params, x):
    """The mean ELBO of a VAE with a linear encoder and decoder."""
    world = LinearGaussian(params["weights"], params["mean"], jnp.exp(params["log_variance"]))
    q_mean = x @ params["encoder"] + params["bias"][None]
    return world.elbo(x, q_mean, jnp.broadcast_to(params["q_log_variance"], q_mean.shape)).mean()


def test_ppca_is_the_optimum_of_the_linear_vae():
    """No player can gain anything there, and its ELBO is the evidence: the posterior of pPCA
    factorizes.
    """
    x = dataset()
    world = worlds.principal_components(x, K)
    _, covariance = world.posterior(x)
    encoder = world.weights @ covariance / world.variance
    optimum = {
        "weights": world.weights,
        "mean": world.mean,
        "log_variance": jnp.log(world.variance),
        "encoder": encoder,
        "bias": -world.mean @ encoder,
        "q_log_variance": jnp.log(jnp.diag(covariance)),
    }
    value_and_slopes = jax.jit(jax.value_and_grad(functools.partial(linear_vae, x=x)))
    best, slopes = value_and_slopes(optimum)
    for name, slope in slopes.items():
        np.testing.assert_allclose(slope, 0, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(best, log_evidence(world, x).mean(), rtol=1e-13)

    random = np.random.default_rng(7)
    for _ in range(20):  # elsewhere there is a slope, and a lower ELBO
        moved = {
            name: value + 0.05 * random.normal(size=value.shape) for name, value in optimum.items()
        }
        value, slopes = value_and_slopes(moved)
        assert value < best - 1e-4
        assert all(np.abs(slope).max() > 1e-6 for slope in slopes.values())


def test_evidence_of_ppca():
    """-1/2 (sum of the k largest log l + (d - k) log s^2 + d log 2 pi + d) (Tipping & Bishop 1999,
    eq. 4).
    """
    x = dataset()
    largest = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    rest = largest[K:].mean()
    expected = -0.5 * (
        np.log(largest[:K]).sum() + (D - K) * np.log(rest) + D * np.log(2 * np.pi) + D
    )
    world = worlds.principal_components(x, K)
    np.testing.assert_allclose(log_evidence(world, x).mean(), expected, rtol=1e-13)
    turned = world._replace(weights=world.weights @ np.linalg.qr(arbitrary().weights[:K])[0])
    # W is known up to a rotation,
    np.testing.assert_allclose(log_evidence(turned, x).mean(), expected, rtol=1e-13)
    assert mean_field_gap(turned) > 0.01  # but only one rotation suits a diagonal q


@pytest.mark.parametrize("k", [0, D])
def test_ppca_of_no_or_all_components_is_refused(k):
    with pytest.raises(UserError, match="another k"):
        worlds.principal_components(dataset(), k)


# The importance-weighted bound grows with k to the evidence.


def bounds(world, x, q_mean, q_log_variance, samples, repeats):
    """The bound on log p(x) of one image, repeated: its mean and standard error."""
    mean, log_variance = (jnp.broadcast_to(part, (repeats, K)) for part in (q_mean, q_log_variance))

    def log_weights(key, m):
        z = mean[None] + jnp.exp(log_variance / 2)[None] * jax.random.normal(key, (m, repeats, K))
        return log_weight(world, jnp.broadcast_to(x, (repeats, D)), z, mean, log_variance)

    run = functools.partial(
        likelihood.importance_weighted, log_weights, samples=samples, chunk=min(samples, 50)
    )
    values = np.asarray(jax.jit(run)(jax.random.key(samples)))
    return values.mean(), values.std() / repeats**0.5, values


def test_importance_weighted_bound_grows_to_the_evidence():
    """ELBO = L_1 < L_5 < L_50 < L_500 < log p(x), by more than three standard errors (Burda et al.
    2016, th. 1).
    """
    world = arbitrary()
    x, _ = sample(world, 8, 1)
    mean, log_variance = best_mean_field(world, x)
    q = mean + 0.3, log_variance + 0.5
    found = [bounds(world, x, *q, samples, 4000)[:2] for samples in (1, 5, 50, 500)]
    steps = [*found, (log_evidence(world, x)[0], 0.0)]
    for (low, low_error), (high, high_error) in itertools.pairwise(steps):
        assert high - low > 3 * (low_error**2 + high_error**2) ** 0.5
    assert abs(found[0][0] - elbo(world, x, *q)[0]) < 4 * found[0][1]
    assert steps[4][0] - found[3][0] < 0.06 < 3 < steps[4][0] - found[0][0]


@pytest.mark.parametrize("samples", [1, 5, 50, 500])
def test_importance_weighted_bound_is_the_evidence_at_the_exact_posterior(samples):
    world = diagonal()
    x, _ = sample(world, 9, 1)
    *_, values = bounds(world, x, *best_mean_field(world, x), samples, 100)
    np.testing.assert_allclose(values, log_evidence(world, x)[0], atol=1e-12)


# An auto-encoder is not a generative model.


def test_an_autoencoder_is_not_a_generative_model():
    """Scale the decoder by a and the encoder by 1/a: the reconstructions stay, what N(0, I) decodes
    to does not.

    N(m, a^2 U U^T) is sum_k (sqrt(l) - a)^2 + sum of the other l away from the data (Frechet); no
    scale makes it zero, and reconstruction cannot tell one from the other. The world that pPCA
    finds in its own data has distance 0.
    """
    random = np.random.default_rng(10)
    truth = diagonal()
    mean, covariance = map(np.asarray, truth.moments())
    white = (
        np.linalg.qr(np.hstack([np.ones((500, 1)), random.normal(size=(500, D))]))[0][:, 1:]
        * 500**0.5
    )
    # 500 points with just this mean and covariance
    x = white @ np.linalg.cholesky(covariance).T + mean
    data = feature_distances.Moments(mean, covariance, 500)

    values, vectors = np.linalg.eigh(covariance)
    values, u = values[::-1], vectors[:, ::-1][:, :K]
    errors, distances = [], []
    for scale in (0.1, 0.5, 1.0, 3.0):
        codes = (x - mean) @ u / scale  # [n, k]
        errors.append(np.sum((codes @ u.T * scale + mean - x) ** 2, axis=1).mean())
        # of decoder(z), z ~ N(0, I)
        decoded = feature_distances.Moments(mean, scale**2 * u @ u.T, 500)
        distances.append(feature_distances.distance(data, decoded))
        closed = np.sum((np.sqrt(values[:K]) - scale) ** 2) + values[K:].sum()
        np.testing.assert_allclose(distances[-1], closed, rtol=1e-12)
    np.testing.assert_allclose(errors, values[K:].sum(), rtol=1e-12)
    assert min(distances) >= values[K:].sum() and max(distances) > 4 * min(distances)

    found = worlds.principal_components(jnp.asarray(x), K)
    assert (
        feature_distances.distance(
            data, feature_distances.Moments(*map(np.asarray, found.moments()), 500)
        )
        < 1e-12
    )
    assert abs(found.frechet_to(truth)) < 1e-12
