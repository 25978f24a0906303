"""Equations of samples, families, VAEs and mixtures, held against other answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, multivariate_normal, norm

from exact import model_of, normal_rule
from examples import (
    elbo_bar,
    elbo_gap,
    em_steps,
    iwae,
    likelihoods,
    linear_vae,
    pathwise_and_score,
    quantile_grid,
    two_hills,
)
from minivae import ops
from minivae.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiagonalGaussian,
    Gaussian,
    Poisson,
)
from minivae.objectives import importance_weighted_bound, sample_terms

means = st.floats(-2.0, 2.0)
log_variances = st.floats(-2.0, 1.0)


def moments(gradient, weight):
    mean = weight @ gradient
    return mean, weight @ (gradient - mean) ** 2


# Reparameterisation -------------------------------------------------------------------------------


@pytest.mark.equation("SCORE.1")
@given(means, log_variances)
def test_the_score_is_the_slope_of_the_log_density_and_has_mean_zero(mu, log_var):
    eps, weight = normal_rule()
    z, h = mu + math.exp(0.5 * log_var) * eps[:, 0], 1e-5

    def log_q(mu, log_var):
        return norm(mu, math.exp(0.5 * log_var)).logpdf(z)

    s_mu, s_log_var = (s[:, 0] for s in pathwise_and_score.score(log_var, eps))
    by_mu = (log_q(mu + h, log_var) - log_q(mu - h, log_var)) / (2 * h)
    by_log_var = (log_q(mu, log_var + h) - log_q(mu, log_var - h)) / (2 * h)
    np.testing.assert_allclose(s_mu, by_mu, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(s_log_var, by_log_var, rtol=1e-5, atol=1e-5)
    assert weight @ s_mu == pytest.approx(0, abs=1e-10)
    assert weight @ s_log_var == pytest.approx(0, abs=1e-10)


@pytest.mark.equation("SCORE.2")
@pytest.mark.equation("REP.2")
@given(means, log_variances, st.floats(-3, 3))
def test_path_and_score_have_the_derivative_of_the_closed_form_as_their_mean(mu, log_var, b):
    # E z^4 = m^4 + 6 m^2 v + 3 v^2
    eps, weight = normal_rule(n=401, limit=12.0)
    v = math.exp(log_var)
    exact = [4 * mu**3 + 12 * mu * v, (6 * mu**2 + 6 * v) * v]
    path = pathwise_and_score.pathwise_gradient(lambda z: ops.sum(z**4, -1), mu, log_var, eps)
    score = pathwise_and_score.score_gradient(lambda z: z[:, 0] ** 4, mu, log_var, eps, b)
    for gradient in (path, score):
        ours = [weight @ g[:, 0] for g in gradient]
        np.testing.assert_allclose(ours, exact, rtol=1e-9, atol=1e-8)


def test_the_path_of_a_step_is_biased_and_its_score_is_not():
    # the negative control: what REP.2 asks of f, and SCORE.2 does not
    eps, weight = normal_rule(n=4002, limit=9.0)
    step = pathwise_and_score.score_gradient(lambda z: (z[:, 0] > 0) * 1.0, 0.0, 0.0, eps)
    assert weight @ step[0][:, 0] == pytest.approx(norm.pdf(0), abs=1e-4)
    path = pathwise_and_score.pathwise_gradient(
        lambda z: ops.sum(ops.where(z > 0, 1.0, 0.0 * z)), 0.0, 0.0, eps
    )
    assert weight @ path[0][:, 0] == 0


@pytest.mark.equation("REP.2")
@pytest.mark.equation("SCORE.2")
@pytest.mark.parametrize("w", [0.1, 1.0, 2.0, 10.0])
def test_the_variances_of_a_wave_are_those_of_the_text(w):
    eps, weight = normal_rule(n=1601, limit=12.0)
    path = pathwise_and_score.pathwise_gradient(lambda z: ops.sum(ops.sin(w * z)), 0.0, 0.0, eps)
    score = pathwise_and_score.score_gradient(lambda z: np.sin(w * z[:, 0]), 0.0, 0.0, eps)
    mean, decay, fast = w * math.exp(-(w**2) / 2), math.exp(-2 * w**2), math.exp(-(w**2))
    for gradient, variance in (
        (path, 0.5 * w**2 * (1 + decay) - w**2 * fast),
        (score, 0.5 * (1 - (1 - 4 * w**2) * decay) - w**2 * fast),
    ):
        assert moments(gradient[0][:, 0], weight) == pytest.approx((mean, variance), abs=1e-10)


@pytest.mark.equation("SCORE.2")
@pytest.mark.equation("SCORE.3")
@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_variances_of_a_sum_of_squares_grow_with_its_dimensions(K):
    eps, weight = normal_rule(K=K, n={1: 201, 2: 61, 3: 41}[K], limit=8.0)

    def f(z):
        return (z**2).sum(axis=-1)

    path = pathwise_and_score.pathwise_gradient(
        lambda z: ops.sum(ops.square(z), -1), np.zeros(K), np.zeros(K), eps
    )
    assert moments(path[0][:, 0], weight)[1] == pytest.approx(4, rel=1e-8)
    b = pathwise_and_score.best_baseline(f(eps), eps[:, 0], weight)
    assert b == pytest.approx(K + 2, rel=1e-8)
    for baseline, variance in ((0, (K + 2) * (K + 4)), (b, 2 * (K + 2))):
        score = pathwise_and_score.score_gradient(f, 0.0, np.zeros(K), eps, baseline)
        assert moments(score[0][:, 0], weight)[1] == pytest.approx(variance, rel=1e-8)


@pytest.mark.equation("SCORE.3")
@given(means, log_variances)
def test_no_baseline_beats_the_best(mu, log_var):
    eps, weight = normal_rule(limit=12.0)
    s = pathwise_and_score.score(log_var, eps)[0][:, 0]
    f = np.exp(0.5 * (mu + math.exp(0.5 * log_var) * eps[:, 0]))
    b = pathwise_and_score.best_baseline(f, s, weight)
    least = moments((f - b) * s, weight)[1]
    for other in (0.9 * b, b + 0.1, f @ weight):
        assert moments((f - other) * s, weight)[1] >= least * (1 - 1e-10)


# Families -----------------------------------------------------------------------------------------


@pytest.mark.equation("GAUSS.1")
@given(st.integers(0, 99), st.integers(1, 3))
def test_log_q_at_a_sample_is_scipys(seed, K):
    # the ratio log q - log p is what the code keeps; the prior is known apart
    rng = np.random.default_rng(seed)
    mu, log_var = rng.standard_normal((2, 2, K))
    eps = rng.standard_normal((3, 2, K))
    model = model_of(lambda z: (z,), Gaussian(1.0), K)
    terms = sample_terms(model, DiagonalGaussian(mu, log_var), np.zeros((2, K)), eps)
    z = mu + np.exp(0.5 * log_var) * eps
    log_q = norm(mu, np.exp(0.5 * log_var)).logpdf(z).sum(-1)
    np.testing.assert_allclose(
        np.asarray(terms.log_ratio) + norm.logpdf(z).sum(-1), log_q, rtol=1e-10, atol=1e-10
    )


@pytest.mark.equation("LIK.8")
@given(st.floats(-60, 60), st.floats(1e-4, 10))
def test_the_floor_is_a_softplus_above_it(raw, floor):
    v0 = 2 * math.log(floor)
    v = Gaussian("network", floor).log_var(np.array([raw]))[0]
    assert v == pytest.approx(v0 + np.logaddexp(0, raw - v0), rel=1e-12, abs=1e-12)
    assert v >= max(raw, v0) - 1e-12


@pytest.mark.equation("LIK.6")
@given(st.floats(-30, 30))
def test_the_mean_grey_value_is_the_slope_of_the_log_normaliser(logit):
    x, weight = np.polynomial.legendre.leggauss(60)
    x, density = 0.5 * (x + 1), np.exp(logit * (0.5 * (x + 1) - (logit > 0)))
    exact = (weight @ (x * density)) / (weight @ density)
    (mean,) = ContinuousBernoulli().mean((np.array([logit]),))
    assert mean == pytest.approx(exact, rel=1e-10)


# The linear VAE -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((80, 2)) @ rng.standard_normal((2, 5)) + 0.5 * rng.standard_normal(
        (80, 5)
    )


def total(X, W, var):
    model = multivariate_normal(X.mean(axis=0), W @ W.T + var * np.eye(X.shape[1]))
    return model.logpdf(X).mean()


@pytest.mark.equation("PPCA.2")
@pytest.mark.equation("PPCA.3")
@pytest.mark.parametrize("q", [1, 2, 3])
def test_no_linear_model_is_more_likely_than_the_principal_axes(data, q):
    W, values, var = linear_vae.principal_axes(data, q)
    best = total(data, W, var)
    assert best == pytest.approx(linear_vae.log_likelihood(values, q), rel=1e-12)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            step = size * rng.standard_normal(W.shape)
            assert total(data, W + step, var * math.exp(size * rng.standard_normal())) < best
    # not even one that keeps other axes
    vectors = np.linalg.eigh(np.cov(data.T, bias=True))[1][:, ::-1]
    left_out = np.delete(values, range(1, q + 1)).mean()
    kept = np.maximum(values[1 : q + 1] - left_out, 0)
    assert total(data, vectors[:, 1 : q + 1] * np.sqrt(kept), left_out) < best


@pytest.mark.equation("PPCA.4")
def test_the_posterior_is_joint_over_marginal(data):
    W, _, var = linear_vae.principal_axes(data, 2)
    mean = data.mean(axis=0)
    m, V = linear_vae.posterior(data, W, mean, var)
    marginal = multivariate_normal(mean, W @ W.T + var * np.eye(5))
    for z in np.random.default_rng(2).standard_normal((3, 2)):
        for x, centre in zip(data[:5], m[:5], strict=True):
            joint = norm.logpdf(z).sum() + norm(W @ z + mean, math.sqrt(var)).logpdf(x).sum()
            expected = joint - marginal.logpdf(x)
            assert multivariate_normal(centre, V).logpdf(z) == pytest.approx(expected, rel=1e-10)


@pytest.mark.equation("PPCA.5")
@given(st.floats(0, math.pi))
def test_the_cost_of_a_rotation_is_the_least_divergence_of_a_diagonal_q(angle):
    W, var = np.array([[2.0, 0.0], [0.0, 0.7], [0.0, 0.0]]), 0.3
    c, s = math.cos(angle), math.sin(angle)
    turned = W @ np.array([[c, -s], [s, c]])
    cost = linear_vae.rotation_cost(turned, var)
    V = linear_vae.posterior(np.zeros((1, 3)), turned, np.zeros(3), var)[1]
    precision = np.linalg.inv(V)

    def divergence(variances):
        trace = np.diag(precision) @ variances
        return 0.5 * (trace - 2 + np.linalg.slogdet(V)[1] - np.log(variances).sum())

    best = 1 / np.diag(precision)
    assert divergence(best) == pytest.approx(cost, abs=1e-12)
    assert cost >= -1e-12
    for factor in (0.9, 1.1):
        assert divergence(factor * best) > cost
    # and the off-diagonal, put in place of the diagonal's best, would cost more
    assert divergence(np.diag(V)) >= cost - 1e-12


@pytest.mark.equation("PPCA.6")
@given(st.floats(0.1, 4.0), st.floats(0.1, 2.0), st.floats(0.2, 5.0))
def test_the_energy_is_the_best_of_all(variance, var, beta):
    # the objective of one axis, over the decoder's energy, the best encoder put in
    def objective(a):
        nu, k = beta * var / (a + beta * var), math.sqrt(a) / (a + beta * var)
        fit = ((1 - math.sqrt(a) * k) ** 2 * variance + a * nu) / (2 * var)
        return -fit - 0.5 * beta * (k**2 * variance + nu - 1 - math.log(nu))

    (energy,) = linear_vae.energies(np.array([variance]), 1, var, beta)
    for other in (0.0, 0.5 * energy, 1.5 * energy + 0.1, energy + 1e-3, 10.0):
        assert objective(other) <= objective(energy) + 1e-12


# What the text says of its figures ------------------------------------------------------------


def test_moving_by_a_factor_and_by_a_difference_cost_differently():
    def gap(var):
        return elbo_gap.kl_of_gaussians(0.0, math.log(var), 0.0, 0.0)

    assert gap(4.0) > 2 * gap(1 / 4)  # too wide by a factor costs more than too narrow by it
    assert gap(1 + 0.9) < 0.5 * gap(1 - 0.9)  # by a difference, less


def test_each_divergence_has_its_own_best_gaussian_for_two_hills():
    mu, sigma = two_hills.best(two_hills.exclusive, (1.0, 0.0))
    assert (mu, sigma) == pytest.approx((2.0, 0.5), abs=1e-2)  # one hill
    mu, sigma = two_hills.best(two_hills.inclusive, (1.0, 0.0))
    assert (mu, sigma) == pytest.approx((0.0, math.sqrt(4 + 0.25)), abs=1e-2)  # p's own moments
    # half of the mass is missed, at the price of log 2
    assert two_hills.exclusive(2.0, 0.5) == pytest.approx(math.log(2), abs=1e-3)


def test_the_bars_end_at_log_p():
    x, w, sigma = elbo_bar.x, elbo_bar.w, elbo_bar.sigma
    for name, (mu, log_var) in elbo_bar.guides().items():
        reconstruction, kl = elbo_bar.parts(mu, log_var)
        gap = elbo_gap.kl_of_gaussians(mu, log_var, *elbo_gap.posterior(x, w, sigma))
        assert reconstruction - kl + gap == pytest.approx(elbo_bar.log_p, rel=1e-9), name
    assert elbo_bar.log_p == pytest.approx(norm.logpdf(x, 0, math.hypot(w, sigma)), rel=1e-12)


def test_the_bounds_of_em_touch_the_likelihood_and_the_m_step_is_their_top():
    r, top = em_steps.responsibilities(2.6), em_steps.m_step(em_steps.responsibilities(2.6))
    assert em_steps.bound(r, 2.6) == pytest.approx(em_steps.log_likelihood(2.6), rel=1e-12)
    for mean in np.linspace(-3, 3, 13):
        assert em_steps.bound(r, mean) <= em_steps.log_likelihood(mean) + 1e-9
        assert em_steps.bound(r, mean) <= em_steps.bound(r, top)
    assert em_steps.log_likelihood(top) > em_steps.bound(r, top) > em_steps.log_likelihood(2.6)


def test_the_bars_of_a_likelihood_sum_to_one():
    counts = np.arange(200)
    assert likelihoods.curve(Poisson(), (math.log(4),), counts).sum() == pytest.approx(1, rel=1e-9)
    both = likelihoods.curve(Bernoulli(), (likelihoods.logit(0.3),), [0, 1])
    np.testing.assert_allclose(both, [0.7, 0.3], rtol=1e-12)


def test_more_than_half_of_the_grid_is_outside_the_priors_disc():
    steps = quantile_grid.equal_steps(quantile_grid.n)
    distance = steps[:, None] ** 2 + steps**2
    assert quantile_grid.n == 15
    assert np.mean(distance > chi2(2).ppf(0.95)) > 0.5


def test_how_far_a_hundred_samples_go_depends_on_q():
    # the share of the ELBO's gap that they close, over 4000 bounds of 100 samples each
    closed = {}
    for name, (mu, sigma) in iwae.encoders.items():
        q = DiagonalGaussian(np.full((1, 1), mu), np.full((1, 1), 2 * math.log(sigma)))
        eps = np.random.default_rng(0).standard_normal((400_000, 1, 1))
        terms = sample_terms(iwae.model, q, iwae.x, eps)
        log_w = np.asarray(terms.log_weights)
        gap = iwae.log_p - log_w.mean()
        bounds = np.asarray(importance_weighted_bound(log_w.reshape(100, -1)))
        assert bounds.std() / math.sqrt(len(bounds)) < 0.02 * gap
        closed[name] = 1 - (iwae.log_p - bounds.mean()) / gap
    assert closed["near the posterior"] > 0.9
    assert 0.5 < closed["too narrow"] < 0.65


def test_steps_of_equal_probability_have_nearly_the_priors_spread():
    assert np.mean(quantile_grid.equal_steps(20) ** 2) == pytest.approx(3.32, abs=0.01)
    assert np.mean(quantile_grid.quantile_steps(20) ** 2) == pytest.approx(0.94, abs=0.01)
    steps = norm.cdf(quantile_grid.quantile_steps(20))
    np.testing.assert_allclose(np.diff(steps), 1 / 20, rtol=1e-9)
