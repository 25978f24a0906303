"""ELBO <= IWAE_K <= log p(x), and the forms of the ELBO, against integrals of small models.

The order holds in expectation. For one and two samples of a 1-D latent the expectations are
integrals; for more samples it is shown sample by sample, or with the error of the mean.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_ndtr, logsumexp, ndtr
from scipy.stats import multivariate_normal

from exact import (
    LIKELIHOODS,
    axis_noise,
    gradient,
    log_integral,
    model_of,
    normal_rule,
    numerical_gradient,
    small_model,
)
from minivae import ops
from minivae.distributions import (
    Bernoulli,
    DiagonalGaussian,
    Gaussian,
    Likelihood,
    kl_divergence,
)
from minivae.objectives import (
    effective_sample_size,
    elbo_terms,
    importance_weighted_bound,
    sample_terms,
)
from minivae.transforms import grad

names = pytest.mark.parametrize("name", LIKELIHOODS)


def spread(points, N):
    """The same noise ``(S, K)`` for each of N data, ``(S, N, K)``."""
    return np.ascontiguousarray(np.broadcast_to(points[:, None], (len(points), N, points.shape[1])))


def expected_bounds(model):
    """E IWAE_1, E IWAE_2 and log E w of a model with a 1-D latent, by quadrature, ``(N,)`` each."""
    eps, weight = normal_rule(n=301, limit=14.0)
    log_w = sample_terms(*model.parts, spread(eps, len(model.x))).log_weights.data
    pairs = np.logaddexp(log_w[:, None], log_w[None, :]) - math.log(2.0)
    return (
        weight @ log_w,
        np.einsum("i,j,ijn->n", weight, weight, pairs),
        logsumexp(log_w, axis=0, b=weight[:, None]),
    )


# The integral itself -----------------------------------------------------------------------------


def test_the_trapezoid_rule_knows_a_gaussian_integral():
    # x = W z + noise in 2-D: log p(x) = log N(x; 0, W W^T + 0.09 I)
    W, x = np.array([[1.0, -0.5], [0.3, 2.0]]), np.array([[0.4, -1.2], [2.0, 1.0]])

    def log_joint(z):
        residual = x - (z @ W.T)[:, None]
        likelihood = -0.5 * (residual**2 / 0.09 + math.log(2 * math.pi * 0.09)).sum(-1)
        return likelihood - 0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)[:, None]

    exact = multivariate_normal(cov=W @ W.T + 0.09 * np.eye(2)).logpdf(x)
    np.testing.assert_allclose(log_integral(log_joint, K=2), exact, rtol=1e-11)


def test_the_trapezoid_rule_beats_gauss_hermite_on_a_narrow_posterior():
    def likelihood(z):  # four steep steps of a probability
        return np.prod([1 / (1 + np.exp(-s * (6 * z - b))) for s, b in ((1, 2), (-1, 5))], axis=0)

    def trapezoid(n):
        points, weight = normal_rule(n=n, limit=8.0)
        return weight @ likelihood(points[:, 0])

    points, weight = np.polynomial.hermite_e.hermegauss(64)
    hermite = weight @ likelihood(points) / math.sqrt(2 * math.pi)
    assert trapezoid(257) == pytest.approx(trapezoid(1025), rel=1e-12)
    assert abs(hermite / trapezoid(1025) - 1) > 1e-5


# The bounds --------------------------------------------------------------------------------------


@pytest.mark.equation("ELBO.2")
@pytest.mark.equation("IWAE.2")
@names
@pytest.mark.parametrize("seed", range(3))
def test_the_bounds_are_in_order(name, seed):
    model = small_model(name, seed=seed)
    elbo, iwae, log_mean_weight = expected_bounds(model)
    log_p = model.log_marginal(1)
    # the weights' mean is p(x) itself: two integrals, over eps and over z
    np.testing.assert_allclose(log_mean_weight, log_p, rtol=1e-9)
    # and the order is strict, because no q here is the posterior
    assert (elbo < iwae - 1e-4).all()
    assert (iwae < log_p - 1e-4).all()


@pytest.mark.equation("ELBO.3")
@pytest.mark.equation("ELBO.2")
@names
def test_the_gap_is_the_divergence_from_the_posterior(name):
    # log p(x) = ELBO + KL(q || p(z | x)), the KL by an integral over z
    model = small_model(name)
    elbo, _, _ = expected_bounds(model)
    log_p = model.log_marginal(1)
    q = model.encode(model.x)
    mu, log_var = q.mu.data, q.log_var.data
    z = np.linspace(-14.0, 14.0, 4001)
    log_q = -0.5 * (math.log(2 * math.pi) + log_var + (z - mu) ** 2 * np.exp(-log_var))
    log_posterior = model.log_joint(z[:, None]).T - log_p[:, None]
    gap = (np.exp(log_q) * (log_q - log_posterior)).sum(axis=1) * (z[1] - z[0])
    np.testing.assert_allclose(elbo + gap, log_p, rtol=1e-9)


@pytest.mark.equation("ELBO.4")
@pytest.mark.parametrize("weight", [0.5, -1.0])
def test_a_kl_of_another_weight_or_sign_is_no_bound(weight):
    # the check can see it: near the posterior there is no room for half a KL
    x, eps = np.array([[1.5]]), axis_noise(1, 1)
    model = model_of(lambda z: (2.0 * z,), Gaussian(0.5))
    terms = elbo_terms(model, linear_posterior(2.0, 0.5, x), x, eps)
    log_p = -0.5 * (math.log(2 * math.pi * 4.25) + 1.5**2 / 4.25)
    assert terms.elbo == pytest.approx(log_p)
    assert terms.reconstruction - weight * terms.kl > log_p + 0.1


@pytest.mark.equation("IWAE.2")
@names
@pytest.mark.parametrize("K", [1, 2])
def test_more_samples_never_hurt(name, K):
    # log of a mean is at least the mean of logs over parts: no randomness is left in this order
    model = small_model(name, K=K)
    eps = np.random.default_rng(1).standard_normal((500, len(model.x), K))
    log_w = sample_terms(*model.parts, eps).log_weights.data

    def mean_bound(S):
        parts = log_w.reshape(-1, S, len(model.x))
        return np.mean([importance_weighted_bound(part) for part in parts], axis=0)

    bounds = [mean_bound(S) for S in (1, 2, 10, 50, 500)]
    assert (np.diff(bounds, axis=0) > 0).all()
    np.testing.assert_allclose(bounds[0], log_w.mean(axis=0), rtol=1e-12)


@pytest.mark.equation("IWAE.2")
@names
@pytest.mark.parametrize("K", [1, 2])
def test_many_samples_come_near_log_p(name, K):
    # drawn from a q wider than the prior, so that no weight is large and the error can be trusted
    model = small_model(name, K=K)
    log_p = model.log_marginal(K)
    S, N = 20_000, len(model.x)
    q = DiagonalGaussian(np.zeros((N, K)), np.full((N, K), 0.2))
    eps = np.random.default_rng(2).standard_normal((S, N, K))
    terms = sample_terms(model.model, q, model.x, eps)
    log_w = terms.log_weights.data
    ratio = np.exp(log_w - log_p)  # its mean is 1
    error = ratio.std(axis=0) / math.sqrt(S)
    assert (error < 0.05).all()
    assert (np.abs(ratio.mean(axis=0) - 1) < 4 * error).all()
    # so the bound of all samples is log p(x) but for that error, and that of one is far below
    assert (np.abs(importance_weighted_bound(log_w) - log_p) < 5 * error).all()
    assert (log_w.mean(axis=0) < log_p - 5 * error).all()


@pytest.mark.equation("ELBO.2")
@names
def test_in_two_dimensions_the_elbo_is_below_log_p(name):
    model = small_model(name, K=2)
    eps, weight = normal_rule(K=2, n=121, limit=12.0)
    terms = sample_terms(*model.parts, spread(eps, len(model.x)))
    log_p = model.log_marginal(2)
    log_w = terms.log_weights.data
    np.testing.assert_allclose(logsumexp(log_w, axis=0, b=weight[:, None]), log_p, rtol=1e-6)
    assert (weight @ log_w < log_p - 1e-4).all()


def test_a_missed_mode_keeps_a_gap():
    # p(x | z) likes z near 2 and near -2, q only the first: half of p(x) is seldom seen
    class TwoHumps(Likelihood):
        def log_prob(self, parameters, x):
            (z,) = parameters
            return np.logaddexp(-8 * (z[:, 0] - 2) ** 2, -8 * (z[:, 0] + 2) ** 2)

    q = DiagonalGaussian(np.full((1, 1), 2.0), np.full((1, 1), math.log(0.06)))
    eps = np.random.default_rng(0).standard_normal((4000, 1, 1))
    model = model_of(lambda z: (z,), TwoHumps())
    log_w = sample_terms(model, q, np.zeros((1, 1)), eps).log_weights
    z = np.linspace(-9, 9, 4001)
    joint = np.exp(TwoHumps().log_prob((z[:, None],), None) - 0.5 * z**2) / math.sqrt(2 * math.pi)
    log_p = math.log(joint.sum() * (z[1] - z[0]))
    bound = importance_weighted_bound(log_w)[0]
    assert bound == pytest.approx(log_p - math.log(2.0), abs=0.05)
    # and the effective sample size does not know: it sees only where q has been
    assert effective_sample_size(log_w)[0] > 2000


# The forms of the ELBO ---------------------------------------------------------------------------


@pytest.mark.equation("ELBO.2")
@pytest.mark.equation("ELBO.5")
@pytest.mark.equation("IWAE.1")
@names
@given(S=st.integers(1, 4), seed=st.integers(0, 99))
def test_two_forms_agree_sample_by_sample(name, S, seed):
    # E[log p(x, z) - log q] and E[log p(x | z)] - E[log q - log p(z)]: the same numbers, regrouped
    model = small_model(name, K=2)
    eps = np.random.default_rng(seed).standard_normal((S, len(model.x), 2))
    terms = sample_terms(*model.parts, eps)
    np.testing.assert_allclose(
        terms.means.elbo.data, terms.log_weights.data.mean(axis=0), rtol=1e-13, atol=1e-13
    )
    # the joint form as it is written, from the definitions
    q = model.encode(model.x)
    mu, log_var = q.mu.data, q.log_var.data
    z = mu + np.exp(0.5 * log_var) * eps
    log_q = -0.5 * (np.log(2 * np.pi) + log_var + (z - mu) ** 2 / np.exp(log_var)).sum(-1)
    for s in range(S):
        log_joint = model.log_joint(z[s])
        own = np.arange(len(model.x))  # the s-th z of each datum with that datum
        np.testing.assert_allclose(
            terms.log_weights.data[s], log_joint[own, own] - log_q[s], rtol=1e-11, atol=1e-11
        )


@pytest.mark.equation("ELBO.4")
@pytest.mark.equation("ELBO.5")
@names
def test_the_third_form_agrees_in_expectation(name):
    # the analytic KL, against the Monte-Carlo KL integrated over the noise; gradients too
    model = small_model(name, N=2)
    eps, weight = normal_rule(n=241)
    noise = spread(eps, 2)

    def monte_carlo():
        terms = sample_terms(*model.parts, noise)
        return ops.sum(weight[:, None] * (terms.log_likelihood - terms.log_ratio))

    def joint():
        return ops.sum(weight[:, None] * sample_terms(*model.parts, noise).log_weights)

    def analytic():
        terms = sample_terms(*model.parts, noise)
        _, kl = elbo_terms(*model.parts, noise)
        return ops.sum(weight[:, None] * terms.log_likelihood) - ops.sum(kl)

    values = [form().item() for form in (monte_carlo, joint, analytic)]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    slopes = [gradient(form, model.parameters) for form in (monte_carlo, joint, analytic)]
    scale = np.abs(slopes[0]).max()
    for slope in slopes[1:]:
        np.testing.assert_allclose(slope, slopes[0], rtol=0, atol=1e-12 * scale)


@pytest.mark.equation("ELBO.4")
@names
def test_the_reconstruction_is_the_mean_over_samples(name):
    model = small_model(name)
    eps = np.random.default_rng(0).standard_normal((4, len(model.x), 1))
    terms = elbo_terms(*model.parts, eps)
    one_by_one = [elbo_terms(*model.parts, eps[s : s + 1]).reconstruction.data for s in range(4)]
    np.testing.assert_allclose(terms.reconstruction.data, np.mean(one_by_one, axis=0), rtol=1e-12)
    assert (terms.elbo.data == terms.reconstruction.data - terms.kl.data).all()


def test_noise_in_float32_gives_float32():
    small = small_model("bernoulli")
    q = small.encode(small.x)
    q = DiagonalGaussian(*(ops.astype(t, np.float32) for t in (q.mu, q.log_var)))

    def decode(z):
        parameters = small.model.likelihood(small.model.decoder(z))
        return tuple(ops.astype(t, np.float32) for t in parameters)

    model = model_of(decode, Bernoulli())
    x, eps = small.x.astype(np.float32), np.ones((2, 3, 1), np.float32)
    assert sample_terms(model, q, x, eps).log_weights.dtype == np.float32
    assert elbo_terms(model, q, x, eps).elbo.dtype == np.float32


# Models solved by hand ---------------------------------------------------------------------------


def linear_posterior(w, sigma, x):
    """The exact posterior of x = w z + noise, whose mean is w x / (w^2 + sigma^2)."""
    total = w**2 + sigma**2
    return DiagonalGaussian(w * x / total, np.full_like(x, math.log(sigma**2 / total)))


@pytest.mark.equation("ELBO.2")
@pytest.mark.equation("IWAE.2")
@given(
    w=st.floats(-3.0, 3.0),
    sigma=st.floats(0.1, 2.0),
    x=st.floats(-5.0, 5.0),
    S=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_at_the_posterior_every_sample_weighs_p(w, sigma, x, S, seed):
    # p(x | z) p(z) / p(z | x) is p(x) whatever z: the bound is tight without any expectation
    x = np.array([[x], [-x]])
    eps = np.random.default_rng(seed).standard_normal((S, 2, 1))
    log_p = -0.5 * (math.log(2 * math.pi * (w**2 + sigma**2)) + x[:, 0] ** 2 / (w**2 + sigma**2))
    model = model_of(lambda z: (w * z,), Gaussian(sigma))
    terms = sample_terms(model, linear_posterior(w, sigma, x), x, eps)
    tolerance = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(terms.log_weights, np.tile(log_p, (S, 1)), **tolerance)
    np.testing.assert_allclose(importance_weighted_bound(terms.log_weights), log_p, **tolerance)
    np.testing.assert_allclose(effective_sample_size(terms.log_weights), S, rtol=1e-10)


@pytest.mark.equation("ELBO.3")
@pytest.mark.equation("ELBO.4")
@given(w=st.floats(-2.0, 2.0), sigma=st.floats(0.3, 2.0), mu=st.floats(-2, 2), v=st.floats(-2, 1))
def test_away_from_the_posterior_the_gap_is_a_closed_form(w, sigma, mu, v):
    x = np.array([[0.8]])
    total = w**2 + sigma**2
    log_p = -0.5 * (math.log(2 * math.pi * total) + 0.64 / total)
    q = DiagonalGaussian(np.array([[mu]]), np.array([[v]]))
    model = model_of(lambda z: (w * z,), Gaussian(sigma))
    elbo = elbo_terms(model, q, x, axis_noise(1, 1)).elbo[0]
    m, s2 = w * 0.8 / total, sigma**2 / total  # the posterior
    gap = 0.5 * (math.log(s2) - v + (math.exp(v) + (mu - m) ** 2) / s2 - 1)
    assert elbo == pytest.approx(log_p - gap, rel=1e-11, abs=1e-11)
    assert elbo <= log_p + 1e-12


@given(
    beta=st.floats(0.1, 5.0), w=st.floats(-3.0, 3.0), sigma=st.floats(0.2, 2.0), x=st.floats(-3, 3)
)
def test_beta_shrinks_the_posterior_as_it_should(beta, w, sigma, x):
    # the best q under weight beta: variance v = 1 / (1 + w^2 / (beta s2)), mean v w x / (beta s2)
    v = 1.0 / (1.0 + w**2 / (beta * sigma**2))
    mu = v * w * x / (beta * sigma**2)
    eps, model = axis_noise(1, 1), model_of(lambda z: (w * z,), Gaussian(sigma))

    def objective(mu, log_var):
        terms = elbo_terms(model, DiagonalGaussian(mu, log_var), np.array([[x]]), eps)
        return ops.sum(terms.reconstruction - beta * terms.kl)

    best = np.array([[mu]]), np.array([[math.log(v)]])
    slopes = np.ravel(grad(objective, argnums=(0, 1))(*best))
    scale = 1.0 + (w**2 + x**2) / sigma**2 + beta
    np.testing.assert_allclose(slopes, 0.0, atol=1e-12 * scale)
    for shift in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)):
        assert objective(*(b + s for b, s in zip(best, shift, strict=True))) < objective(*best)


class Probit(Likelihood):
    """p(x_d = 1 | z) = Phi(w_d z + b_d): a nonlinear decoder whose p(x) is known."""

    def log_prob(self, parameters, x):
        (t,) = parameters
        sign = np.tile(2.0 * x - 1.0, (len(t) // len(x), 1))
        return log_ndtr(sign * t).sum(axis=1)


@pytest.mark.equation("IWAE.1")
@given(w=st.floats(-3.0, 3.0), b=st.floats(-2.0, 2.0))
def test_the_probit_decoder_has_a_known_likelihood(w, b):
    # p(x = 1) = Phi(b / sqrt(1 + w^2)), from any q, by the mean weight
    eps, weight = normal_rule(n=401)
    x = np.array([[1.0], [0.0]])
    q = DiagonalGaussian(np.array([[0.3], [-0.2]]), np.array([[0.1], [-0.3]]))
    terms = sample_terms(model_of(lambda z: (w * z + b,), Probit()), q, x, spread(eps, 2))
    p = np.exp(logsumexp(terms.log_weights, axis=0, b=weight[:, None]))
    exact = ndtr(np.array([1, -1]) * b / math.sqrt(1 + w**2))
    np.testing.assert_allclose(p, exact, rtol=1e-9)


@pytest.mark.equation("IWAE.2")
@given(w=st.tuples(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0)))
def test_two_probit_pixels_agree_by_the_arcsine_law(w):
    # P(1, 1) = 1/4 + asin(rho) / 2 pi
    x, w = np.array([[1.0, 1.0]]), np.array(w)
    rho = w.prod() / math.sqrt((1 + w[0] ** 2) * (1 + w[1] ** 2))
    eps, weight = normal_rule(n=401)
    q = DiagonalGaussian(np.zeros((1, 1)), np.zeros((1, 1)))
    terms = sample_terms(model_of(lambda z: (z * w,), Probit()), q, x, eps[:, None])
    log_p = math.log(0.25 + math.asin(rho) / (2 * math.pi))
    assert logsumexp(terms.log_weights[:, 0], b=weight) == pytest.approx(log_p, rel=1e-9)
    assert weight @ terms.log_weights[:, 0] <= log_p + 1e-12


# What the parts do -------------------------------------------------------------------------------


@pytest.mark.equation("IWAE.2")
def test_the_bound_of_one_sample_is_its_weight():
    log_w = np.array([[-3.0, 700.0]])
    np.testing.assert_array_equal(importance_weighted_bound(log_w), log_w[0])


@pytest.mark.equation("IWAE.2")
@given(st.lists(st.floats(-20.0, 5.0), min_size=1, max_size=8), st.floats(-2000.0, 2000.0))
def test_the_bound_is_the_log_of_the_mean_weight(log_w, shift):
    log_w = np.array(log_w)[:, None]
    expected = math.log(np.exp(log_w).mean())
    # far outside the range of exp it is the same, shifted
    bound = importance_weighted_bound(log_w + shift)[0] - shift
    assert bound == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.equation("IWAE.2")
def test_the_bounds_gradient_is_the_normalised_weights():
    log_w = np.random.default_rng(0).standard_normal((5, 3))
    ours = grad(lambda w: ops.sum(importance_weighted_bound(w)))(log_w)
    np.testing.assert_allclose(ours, np.exp(log_w) / np.exp(log_w).sum(axis=0), rtol=1e-13)
    theirs = numerical_gradient(lambda w: importance_weighted_bound(w).sum(), log_w)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.equation("IWAE.3")
@given(st.integers(1, 9), st.floats(-1000.0, 1000.0))
def test_the_effective_sample_size_counts_the_samples_that_weigh(S, shift):
    even = np.full((S, 1), shift)
    assert effective_sample_size(even)[0] == pytest.approx(S)
    one = even - 1e4 * (np.arange(S) > 0)[:, None]
    assert effective_sample_size(one)[0] == pytest.approx(1.0)


@pytest.mark.equation("IWAE.3")
def test_the_effective_sample_size_by_hand():
    # weights 1, 1, 2: 4^2 / (1 + 1 + 4)
    assert effective_sample_size(np.log([[1.0], [1.0], [2.0]]))[0] == pytest.approx(16 / 6)


@pytest.mark.equation("KL.5")
@names
def test_the_kl_term_is_the_closed_form_of_the_encoders_output(name):
    model = small_model(name, K=2)
    terms = elbo_terms(*model.parts, axis_noise(2, len(model.x)))
    q = model.encode(model.x)
    np.testing.assert_array_equal(terms.kl.data, kl_divergence(q.mu, q.log_var).data)
