"""Each datum's own q, coordinate ascent, annealing and importance sampling, on solvable models."""

import math
import re
import tracemalloc
import warnings

import numpy as np
import pytest

from minivae import LatentModel, ops
from minivae.alternate import ascend
from minivae.distributions import DiagonalGaussian, FullGaussian, Gaussian, StandardNormal
from minivae.errors import EffectiveSampleSizeWarning, GradientError, ShapeError
from minivae.inference import (
    StudentMixture,
    annealed_importance_sampling,
    cavi,
    estimate_from,
    fit_posterior,
    hmc,
    importance_sampling,
    laplace_proposal,
    metropolis,
    variational_em,
)
from minivae.inference.importance import _tail_index
from minivae.inference.variational import measured
from minivae.randomness import stream
from minivae.tensor import Tensor, no_grad, values

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
    np.testing.assert_allclose(distance, gap, atol=1e-3)
    assert (distance > gap - 1e-12).all()
    assert (np.abs(LOG_P - gap - fit.elbo) < 4.5 * fit.standard_error + 1e-4).all()


@pytest.mark.equation("VI.3")
def test_a_flow_comes_nearer_than_its_base():
    fit = fit_posterior(log_joint, N, 2, "flow", random_state=0, steps=300)
    assert (LOG_P - fit.elbo < 0.1 * GAP + 4.5 * fit.standard_error).all()
    with pytest.raises(ValueError, match="latent_dim=1 must be a whole number from 2"):
        fit_posterior(lambda z: log_joint(z), N, 1, "flow")


def test_a_start_is_where_it_begins_and_nonsense_is_refused():
    q = FullGaussian(MEANS, np.broadcast_to(np.linalg.cholesky(COVARIANCE), (N, 2, 2)))
    near = DiagonalGaussian(q.mu, np.full((N, 2), math.log(0.1)))
    fit = fit_posterior(log_joint, N, 2, start=near, random_state=0, steps=1, learning_rate=1e-9)
    np.testing.assert_allclose(fit.q.mu, MEANS, atol=1e-6)
    with pytest.raises(TypeError, match="start is a FullGaussian; it must be a DiagonalGaussian"):
        fit_posterior(log_joint, N, 2, start=q)
    with pytest.raises(ValueError, match="family='round' is unknown"):
        fit_posterior(log_joint, N, 2, "round")
    with pytest.raises(ShapeError, match=r"start has shape \(6, 2\); it must be \(6, 3\)"):
        fit_posterior(log_joint, N, 3, start=near)
    with pytest.raises(ValueError, match="at the start the ELBO of datum 0 is"):
        fit_posterior(lambda z: ops.sum(z, -1) * np.nan, N, 2)


def test_an_encoders_answer_is_refined_and_never_lost():
    best = DiagonalGaussian(MEANS, -np.log(np.broadcast_to(np.diag(PRECISION), (N, 2))))
    free = fit_posterior(log_joint, N, 2, random_state=0)
    bad = DiagonalGaussian(MEANS + np.array([1.0, -1.5]), np.full((N, 2), -1.0))
    refined = fit_posterior(log_joint, N, 2, start=bad, random_state=0)
    np.testing.assert_allclose(refined.elbo, free.elbo, atol=1e-3)  # of the same draws
    # a search that goes astray ends far below where it began
    for start in (best, bad):
        for family in ("diagonal", "full", "flow"):
            held = fit_posterior(log_joint, N, 2, family, start, 0, steps=2, learning_rate=3.0)
            unmoved = measured(log_joint, start, stream(0, 1), N, 2)
            assert (held.elbo >= unmoved.elbo - 1e-12).all()
            again = measured(log_joint, held.q, stream(0, 1), N, 2)
            np.testing.assert_allclose(again.elbo, held.elbo, rtol=1e-10)
    lost = fit_posterior(log_joint, N, 2, start=best, random_state=0, steps=2, learning_rate=3.0)
    np.testing.assert_array_equal(lost.q.mu, best.mu)


def test_a_fit_is_in_the_densitys_precision_and_leaves_the_models_gradients_alone():
    w = Tensor(W.astype(np.float32), requires_grad=True)
    model = LatentModel(StandardNormal(2), lambda z: (ops.matmul(z, w),), Gaussian(SIGMA))
    x = X.astype(np.float32)
    fit = fit_posterior(lambda z: model.log_joint(x, z), N, 2, random_state=0, steps=100)
    assert fit.q.mu.dtype == np.float32
    assert fit.elbo.dtype == np.float64
    assert w.grad is None
    double = fit_posterior(log_joint, N, 2, random_state=0, steps=100)
    assert double.q.mu.dtype == np.float64
    np.testing.assert_allclose(fit.elbo, double.elbo, atol=1e-3)


# Variational EM: PPCA of one latent, whose expectations two noises of 1 and -1 make exact

EM_X = np.random.default_rng(4).normal(size=(12, 3)) * [2.0, 1.0, 0.9] @ np.linalg.qr(
    np.random.default_rng(5).normal(size=(3, 3))
)[0]
EM_X -= EM_X.mean(axis=0)
EM_START = (
    {"mu": np.zeros((12, 1)), "log_var": np.zeros((12, 1))},
    {"w": np.full((1, 3), 0.3), "log_sigma": np.zeros(1)},
)


def free_energy(q, theta):
    """The sum over data of the ELBO, Eq. VI.4."""
    own = DiagonalGaussian(q["mu"], q["log_var"])
    z = own.rsample(np.array([1.0, -1.0]).reshape(2, 1, 1) * np.ones((12, 1)))
    away = ops.square(EM_X - z * theta["w"]) / ops.exp(2.0 * theta["log_sigma"])
    log_p = -0.5 * (away + math.log(2 * math.pi)) - theta["log_sigma"]
    return ops.sum(ops.mean(ops.sum(log_p, -1), 0) - own.kl_to(StandardNormal(1), z))


@pytest.mark.equation("VI.4")
def test_every_half_step_of_variational_em_raises_the_bound():
    q, theta = EM_START
    heights = [free_energy(q, theta)]
    for _ in range(4):
        better, new = variational_em(free_energy, q, theta, 0.0, 1).theta
        heights += [free_energy(better, theta), free_energy(better, new)]
        # the E-step alone is at the top: the posterior of the linear model
        precision = 1.0 + (theta["w"] ** 2).sum() / np.exp(2 * theta["log_sigma"])
        np.testing.assert_allclose(better["log_var"], -np.log(precision).item(), atol=1e-5)
        q, theta = better, new
    assert (np.diff(heights) > 0).all()


@pytest.mark.equation("VI.4")
def test_variational_em_and_joint_ascent_reach_the_optimum_of_ppca():
    trace = variational_em(free_energy, *EM_START, tol=1e-9, max_iter=200)
    at_once = ascend(lambda both: free_energy(*both), EM_START)
    values = np.sort(np.linalg.eigvalsh(EM_X.T @ EM_X / 12))
    log_p = -6 * (3 * np.log(2 * np.pi) + np.log(values[2]) + 2 * np.log(values[:2].mean()) + 3)
    assert trace.converged
    assert (np.diff(trace.bounds) > 0).all()
    assert trace.bound == pytest.approx(log_p, abs=1e-6)
    assert free_energy(*at_once) == pytest.approx(log_p, abs=1e-8)
    np.testing.assert_allclose(trace.theta[1]["w"], at_once[1]["w"], atol=1e-3)


def test_an_ascent_refuses_what_is_not_finite_and_never_goes_down():
    with pytest.raises(ValueError, match="ascend: the function is nan at the start"):
        ascend(lambda x: ops.sum(ops.log(x)), np.array([-1.0]))
    top = ascend(lambda x: -sum(ops.sum(ops.square(part)) for part in x),
                 [np.zeros(2), np.zeros((1, 3))])  # fmt: skip
    assert [part.shape for part in top] == [(2,), (1, 3)]
    assert all((part == 0).all() for part in top)


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
@pytest.mark.filterwarnings("ignore::minivae.errors.EffectiveSampleSizeWarning")
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


def test_a_proposal_that_is_too_narrow_is_told():
    def density(z):  # of 20 data, each N(0, I)
        return StandardNormal(2).log_prob(z)

    def sampled(sd, S):
        proposal = DiagonalGaussian(np.zeros((20, 2)), np.full((20, 2), 2 * math.log(sd)))
        return importance_sampling(density, proposal, S, 0)

    with pytest.warns(EffectiveSampleSizeWarning, match=r"sizes from .* of 2000.*narrower"):
        sampled(0.3, 2000)
    for wide in (0.9, 1.5, 4.0):  # errors are raised by warnings here
        sampled(wide, 2000)


@pytest.mark.filterwarnings("ignore::minivae.errors.EffectiveSampleSizeWarning")
def test_the_memory_of_importance_sampling_is_that_of_its_weights():
    def peak(S):
        tracemalloc.start()
        wide = DiagonalGaussian(MEANS, np.zeros((N, 2)))
        importance_sampling(lambda z: log_joint(z), wide, S, 0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    grown = peak(4000) - peak(1000)
    assert grown < 6 * 3000 * N * 8  # several copies of one weight a draw, and no z


def nan_density(z):
    return ops.sum(z, -1) * np.nan


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda q: importance_sampling(log_joint, q, 0), "S=0 must be a whole number from 1"),
        (lambda q: importance_sampling(nan_density, q, 50), "log-weight of draw 0 of datum 0 is"),
        (lambda q: annealed_importance_sampling(
            MODEL.prior.log_prob, nan_density, np.zeros((2, N, 2)), 3),
         "log-weight of draw 0 of datum 0 is nan"),
        (lambda q: annealed_importance_sampling(log_joint, log_joint, np.zeros((2, N, 2)), 0),
         "temperatures=0 must be a whole number from 1"),
        (lambda q: annealed_importance_sampling(log_joint, log_joint, np.zeros((N, 2)), 3),
         "must be numbers of shape"),
        (lambda q: fit_posterior(lambda z: ops.sum(log_joint(z)), N, 2), "log-density has shape"),
    ],
)  # fmt: skip
def test_weights_and_shapes_that_are_none_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(DiagonalGaussian(np.zeros((N, 2)), np.zeros((N, 2))))


def standard(z):
    """Of each datum N(0, I)."""
    return -0.5 * ops.sum(ops.square(z), -1) - 0.5 * z.shape[-1] * math.log(2.0 * math.pi)


def said_of(proposal, S):
    """Of how many data importance sampling warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EffectiveSampleSizeWarning)
        importance_sampling(standard, proposal, S, 0)
    return sum(int(re.search(r"estimates of (\d+) of", str(w.message))[1]) for w in caught)


@pytest.mark.parametrize("S", [100, 1000])
@pytest.mark.parametrize(("sd", "K"), [(0.3, 1), (0.5, 1), (0.65, 1), (0.4, 2)])
def test_all_data_whose_weights_have_no_variance_are_told(sd, K, S):
    narrow = DiagonalGaussian(np.zeros((200, K)), np.full((200, K), 2 * math.log(sd)))
    assert said_of(narrow, S) == 200  # var_q < var_p / 2


@pytest.mark.parametrize("S", [100, 1000])
@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.0, 1.5), (0.0, 2.0), (0.0, 0.9), (0.5, 1)])
def test_right_proposals_are_not_told(mean, sd, S):
    q = DiagonalGaussian(np.full((200, 1), mean), np.full((200, 1), 2 * math.log(sd)))
    assert said_of(q, S) == 0


def test_a_proposal_with_heavy_tails_is_not_told():
    shares, centres = np.zeros((1, 40)), np.zeros((1, 40, 2))
    t = StudentMixture(shares, centres, np.broadcast_to(np.eye(2), (1, 40, 2, 2)))
    assert said_of(t, 100) == said_of(t, 1000) == 0


def test_that_no_draw_has_any_density_is_said():
    q = DiagonalGaussian(np.zeros((2, 1)), np.zeros((2, 1)))
    nowhere = np.array([0.0, -np.inf])
    with pytest.warns(EffectiveSampleSizeWarning, match="no draw has any density for 1 of 2") as w:
        found = importance_sampling(lambda z: standard(z) + nowhere, q, 50, 0)
    assert len(w) == 1
    np.testing.assert_allclose(found.estimate, [0.0, -np.inf], atol=1e-12)


POINTS = np.zeros((3, 2, 1))


@pytest.mark.parametrize("sampled", [
    lambda f: importance_sampling(f, DiagonalGaussian(np.zeros((2, 1)), np.zeros((2, 1))), 3, 0),
    lambda f: annealed_importance_sampling(f, standard, POINTS, 3, 0),
    lambda f: annealed_importance_sampling(standard, f, POINTS, 3, 0),
    lambda f: metropolis(f, POINTS, 10, 10, 0),
    lambda f: hmc(f, POINTS, 10, 10, 0),
    lambda f: fit_posterior(f, 2, 1, steps=1),
])  # fmt: skip
def test_a_density_is_a_function_with_a_number_for_each_draw(sampled):
    for wrong in (lambda z: -ops.sum(ops.square(z)), lambda z: -ops.square(z)):
        with pytest.raises(ShapeError, match=r"the log-.* has shape .*; it must be \(\d, 2\)"):
            sampled(wrong)
    with pytest.raises(TypeError, match=r"the log-.* is of type int; it must be a function"):
        sampled(3)


@pytest.mark.parametrize("differentiated", [
    lambda f: annealed_importance_sampling(f, standard, POINTS, 3, 0),
    lambda f: annealed_importance_sampling(standard, f, POINTS, 3, 0),
    lambda f: hmc(f, POINTS, 10, 10, 0),
    lambda f: fit_posterior(f, 2, 1, steps=1),
    lambda f: laplace_proposal(
        f, StandardNormal(1), DiagonalGaussian(POINTS[0], POINTS[0]), [stream(0), stream(1)]),
])  # fmt: skip
def test_a_density_off_the_tape_is_refused_where_its_gradient_is_taken(differentiated):
    for off in (lambda z: -0.5 * np.square(values(z)).sum(axis=-1), lambda z: standard(z.detach())):
        with pytest.raises(GradientError, match="does not depend on z by operations"):
            differentiated(off)
    differentiated(lambda z: 0.0 * standard(z))  # level, but on the tape


def test_a_callers_silence_is_not_the_densitys():
    with no_grad():
        assert np.ptp(hmc(standard, POINTS, 10, 10, 0).draws) > 1.0


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_a_log_prior_that_is_no_number_where_chains_begin_is_refused(wrong):
    with pytest.raises(ValueError, match=f"log-prior where chain 0 of datum 0 begins is {wrong}"):
        annealed_importance_sampling(lambda z: standard(z) + wrong, standard, POINTS, 3, 0)


@pytest.mark.parametrize(
    ("bound", "settings", "said"),
    [
        (lambda theta: np.nan, {}, "bound is nan; it must be one number, and finite"),
        (lambda theta: np.ones(2), {}, r"bound is array\(\[1., 1.\]\); it must be one number"),
        (lambda theta: 1.0, {"max_iter": 1.5}, "max_iter=1.5 must be a whole number from 0"),
        (lambda theta: 1.0, {"tol": np.nan}, "tol=nan must be a number from 0"),
    ],
)
def test_a_bound_or_an_end_that_is_no_number_is_refused(bound, settings, said):
    with pytest.raises(ValueError, match=f"cavi: .*{said}"):
        cavi([lambda theta: theta], 0.0, bound, **settings)
    if settings:
        with pytest.raises(ValueError, match=f"variational_em: {said}"):
            variational_em(lambda q, t: -((q - t) ** 2), np.array(1.0), np.array(2.0), **settings)


@pytest.mark.parametrize(("S", "largest"), [(99, 0), (100, 20), (224, 44), (400, 60), (9999, 300)])
def test_the_tail_index_is_the_moment_estimator_of_the_largest_weights(S, largest):
    u = (np.arange(S) + 0.5) / S
    gammas = np.repeat([0.2, 0.5, 0.9], 100)  # each in many orders
    log_weights = np.random.default_rng(0).permuted(-np.log(u)[:, None] * gammas, axis=0)
    found = _tail_index(log_weights)
    if not largest:
        assert (found == 0).all()
        return
    ranked = np.sort(log_weights, axis=0)[::-1]
    excess = ranked[:largest] - ranked[largest]
    first, second = excess.mean(axis=0), (excess**2).mean(axis=0)
    expected = first + 1 - 0.5 / (1 - first**2 / second)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(found, gammas, atol=0.5 / np.sqrt(largest) + 0.1)
    assert _tail_index(np.zeros((S, 1))).tolist() == [0]


def test_a_fit_inside_no_grad_is_the_fit_outside():
    outside = fit_posterior(standard, 2, 1, steps=5, random_state=0)
    with no_grad():
        inside = fit_posterior(standard, 2, 1, steps=5, random_state=0)
    np.testing.assert_array_equal(inside.elbo, outside.elbo)
