"""Each datum's own q, coordinate ascent, annealing and importance sampling, on solvable models."""

import math

import numpy as np
import pytest

from minivae import LatentModel, ops
from minivae.distributions import DiagonalGaussian, FullGaussian, Gaussian, StandardNormal
from minivae.errors import ShapeError
from minivae.inference import (
    annealed_importance_sampling,
    cavi,
    estimate_from,
    fit_posterior,
    importance_sampling,
)

W, SIGMA, N = np.array([[1.5, -0.7, 0.4], [0.3, 1.1, -0.8]]), 0.4, 6
MODEL = LatentModel(StandardNormal(2), lambda z: (ops.matmul(z, W),), Gaussian(SIGMA))
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, 2))
X = Z @ W + SIGMA * RNG.normal(size=(N, 3))

# the linear model: everything is known
C = W.T @ W + SIGMA**2 * np.eye(3)
LOG_P = -0.5 * (
    np.einsum("ni,ij,nj->n", X, np.linalg.inv(C), X) + np.linalg.slogdet(2 * np.pi * C)[1]
)
PRECISION = W @ W.T / SIGMA**2 + np.eye(2)
COVARIANCE = np.linalg.inv(PRECISION)
MEANS = X @ W.T @ COVARIANCE / SIGMA**2
# what a diagonal q loses: 1/2 (sum log M_jj - log |M|)
GAP = 0.5 * (np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1])


def log_joint(z):
    return MODEL.log_joint(X, z)


# Variational --------------------------------------------------------------------------------------


@pytest.mark.equation("VI.3")
@pytest.mark.parametrize(("family", "gap"), [("diagonal", GAP), ("full", 0.0)])
def test_the_best_q_of_a_family_is_the_known_one(family, gap):
    fit = fit_posterior(log_joint, N, 2, family, random_state=0)
    # how far it is from the posterior, against the least that the family allows
    posterior = FullGaussian(MEANS, np.broadcast_to(np.linalg.cholesky(COVARIANCE), (N, 2, 2)))
    distance = fit.q.kl_to(posterior)
    np.testing.assert_allclose(distance, gap, atol=3e-4)
    assert (distance > gap - 1e-12).all()
    assert (np.abs(LOG_P - gap - fit.elbo) < 4.5 * fit.standard_error + 1e-4).all()


@pytest.mark.equation("VI.3")
def test_a_flow_comes_nearer_than_its_base():
    fit = fit_posterior(log_joint, N, 2, "flow", random_state=0, steps=300)
    assert (LOG_P - fit.elbo < 0.1 * GAP + 4.5 * fit.standard_error).all()
    with pytest.raises(ValueError, match="latent_dim=1 must be at least 2"):
        fit_posterior(lambda z: log_joint(z), N, 1, "flow")


def test_a_start_is_where_it_begins_and_nonsense_is_refused():
    q = FullGaussian(MEANS, np.broadcast_to(np.linalg.cholesky(COVARIANCE), (N, 2, 2)))
    near = DiagonalGaussian(q.mu, np.full((N, 2), math.log(0.1)))
    fit = fit_posterior(log_joint, N, 2, start=near, random_state=0, steps=1, learning_rate=1e-9)
    np.testing.assert_allclose(fit.q.mu, MEANS, atol=1e-6)
    with pytest.raises(ValueError, match="family='round' is unknown"):
        fit_posterior(log_joint, N, 2, "round")
    with pytest.raises(ShapeError, match=r"start has shape \(6, 2\); it must be \(6, 3\)"):
        fit_posterior(log_joint, N, 3, start=near)
    with pytest.raises(ValueError, match="at the start the ELBO of datum 0 is"):
        fit_posterior(lambda z: ops.sum(z, -1) * np.nan, N, 2)


def bivariate(r, flipped=False):
    """Coordinate ascent on N(0, [[1, r], [r, 1]]), and its bound with the density's constant."""
    L = np.linalg.inv(np.array([[1.0, r], [r, 1.0]]))
    sign = -1.0 if flipped else 1.0

    def update(i):
        def renew(theta):
            mu, var = (a.copy() for a in theta)
            mu[i] = -sign * L[i, 1 - i] * mu[1 - i] / L[i, i]
            var[i] = 1.0 / L[i, i]
            return mu, var

        return renew

    def bound(theta):
        mu, var = theta
        expected = mu @ L @ mu + np.diag(L) @ var + 2 * np.log(2 * np.pi) - np.linalg.slogdet(L)[1]
        return 0.5 * (np.log(2 * np.pi * np.e * var).sum() - expected)

    return [update(0), update(1)], bound


@pytest.mark.equation("VI.2")
@pytest.mark.parametrize("r", [0.0, 0.8, -0.95])
def test_mean_field_of_two_correlated_gaussians(r):
    updates, bound = bivariate(r)
    trace = cavi(updates, (np.array([1.0, -2.0]), np.ones(2)), bound)
    mu, var = trace.theta
    np.testing.assert_allclose(mu, 0.0, atol=1e-4)
    np.testing.assert_allclose(var, 1.0 - r**2)
    # log of the normaliser is 0, so the bound is minus the KL
    assert trace.bound == pytest.approx(0.5 * math.log(1 - r**2), abs=1e-8)
    assert (np.diff(trace.bounds) > -1e-12).all()
    assert trace.converged


@pytest.mark.equation("VI.2")
def test_mean_field_of_a_normal_gamma():
    # mu ~ N(0, 1 / (l tau)), tau ~ Gamma(a, b), x ~ N(mu, 1 / tau): Bishop's example, 10.1.3
    x, a0, b0, l0 = np.array([0.3, -1.2, 2.0, 0.7]), 2.0, 1.5, 0.5
    n, mean = len(x), x.mean() * len(x) / (l0 + len(x))
    a = a0 + 0.5 * (n + 1)

    def update_mu(theta):
        return {**theta, "var": theta["b"] / (a * (l0 + n))}

    def update_tau(theta):
        squares = ((x - mean) ** 2).sum() + l0 * mean**2 + (l0 + n) * theta["var"]
        return {**theta, "b": b0 + 0.5 * squares}

    def bound(theta):
        from scipy.special import digamma, gammaln

        b, var = theta["b"], theta["var"]
        tau, log_tau = a / b, digamma(a) - np.log(b)
        squares = ((x - mean) ** 2).sum() + l0 * mean**2 + (l0 + n) * var
        joint = 0.5 * ((n + 1) * (log_tau - np.log(2 * np.pi)) + np.log(l0) - tau * squares)
        joint += a0 * np.log(b0) - gammaln(a0) + (a0 - 1) * log_tau - b0 * tau
        entropy = 0.5 * np.log(2 * np.pi * np.e * var)
        entropy += a - np.log(b) + gammaln(a) + (1 - a) * digamma(a)
        return joint + entropy

    trace = cavi([update_mu, update_tau], {"var": 1.0, "b": 1.0}, bound)
    total = ((x - mean) ** 2).sum() + l0 * mean**2
    fixed = (b0 + 0.5 * total) / (1.0 - 0.5 / a)  # in closed form
    assert trace.theta["b"] == pytest.approx(fixed, rel=1e-5)
    assert (np.diff(trace.bounds) > -1e-12).all()


@pytest.mark.equation("VI.2")
def test_an_update_with_a_wrong_sign_is_refused_by_the_bound():
    updates, bound = bivariate(0.9, flipped=True)
    with pytest.raises(ValueError, match="in round 2 the bound fell"):
        cavi(updates, (np.array([1.0, -2.0]), np.full(2, 0.19)), bound)


# log p(x) -----------------------------------------------------------------------------------------


def prior_draws(S=40):
    return np.random.default_rng(1).normal(size=(S, N, 2))


def posterior_draws(S=40):
    e = np.random.default_rng(2).normal(size=(S, N, 2))
    return MEANS + e @ np.linalg.cholesky(COVARIANCE).T


@pytest.mark.equation("AIS.1")
@pytest.mark.parametrize("reverse", [False, True])
def test_annealing_estimates_log_p_from_below_and_from_above(reverse):
    z = posterior_draws() if reverse else prior_draws()
    found = annealed_importance_sampling(
        MODEL.prior.log_prob, lambda z: MODEL.log_prob_given(X, z), z, 40, 0, reverse=reverse
    )
    assert (np.abs(found.estimate - LOG_P) < 4.5 * found.standard_error).all()
    assert (found.standard_error < 0.4).all()
    assert (found.ess > 5).all()


@pytest.mark.equation("AIS.1")
@pytest.mark.parametrize("steps", [1, 4])
def test_single_chains_enclose_log_p_on_average(steps):
    rng, n = np.random.default_rng(3), 300
    x = np.repeat(X[:1], n, axis=0)
    e = rng.normal(size=(2, 1, n, 2))
    starts = (e[0], MEANS[0] + e[1] @ np.linalg.cholesky(COVARIANCE).T)
    below, above = (
        annealed_importance_sampling(
            MODEL.prior.log_prob, lambda z: MODEL.log_prob_given(x, z), z, steps, 0, reverse=back
        ).estimate
        for z, back in zip(starts, (False, True), strict=True)
    )
    error = np.std([below, above], axis=1, ddof=1) / math.sqrt(n)
    assert below.mean() + 4.5 * error[0] < LOG_P[0] < above.mean() - 4.5 * error[1]
    if steps == 1:  # E log p(x | z) under the prior and under the posterior, in closed form
        for found, mean, covariance, of in (
            (below, np.zeros(2), np.eye(2), error[0]),
            (above, MEANS[0], COVARIANCE, error[1]),
        ):
            squares = ((X[0] - mean @ W) ** 2).sum() + np.trace(W.T @ covariance @ W)
            exact = -0.5 * (3 * math.log(2 * math.pi * SIGMA**2) + squares / SIGMA**2)
            assert abs(found.mean() - exact) < 4.5 * of


@pytest.mark.equation("AIS.1")
def test_at_the_posterior_every_path_backwards_through_one_step_weighs_the_same():
    # one temperature: the weight is 1 / p(x | z), whose mean over the posterior is 1 / p(x)
    z = posterior_draws(2000)
    found = annealed_importance_sampling(
        MODEL.prior.log_prob, lambda z: MODEL.log_prob_given(X, z), z, [0.0, 1.0], 0, reverse=True
    )
    by_hand = -estimate_from(-np.asarray(MODEL.log_prob_given(X, z))).estimate
    np.testing.assert_allclose(found.estimate, by_hand, rtol=1e-12)
    # the harmonic mean: its few effective samples say not to trust it
    assert (found.ess < 0.25 * 2000).any()


def test_temperatures_must_rise_from_0_to_1():
    for wrong in ([0.1, 1.0], [0.0, 0.5], [0.0, 0.6, 0.5, 1.0]):
        with pytest.raises(ValueError, match="temperatures must rise from 0 to 1"):
            annealed_importance_sampling(
                MODEL.prior.log_prob, lambda z: MODEL.log_prob_given(X, z), prior_draws(2), wrong
            )


@pytest.mark.equation("IWAE.2")
def test_importance_sampling_and_its_error():
    exact = FullGaussian(MEANS, np.broadcast_to(np.linalg.cholesky(COVARIANCE), (N, 2, 2)))
    found = importance_sampling(log_joint, exact, 10, random_state=0)
    np.testing.assert_allclose(found.estimate, LOG_P, rtol=1e-10)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-5)
    wide = DiagonalGaussian(MEANS, np.full((N, 2), 0.3))
    found = importance_sampling(log_joint, wide, 4000, random_state=0)
    assert (np.abs(found.estimate - LOG_P) < 4.5 * found.standard_error).all()
    # the error that is stated is that of repeated estimates
    repeated = [importance_sampling(log_joint, wide, 500, random_state=i) for i in range(60)]
    spread = np.std([r.estimate for r in repeated], axis=0, ddof=1)
    stated = np.mean([r.standard_error for r in repeated], axis=0)
    np.testing.assert_allclose(stated, spread, rtol=0.4)
