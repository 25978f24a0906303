"""Gradients through samples: z = mu + exp(log_var / 2) eps, and the score function beside it.

Expectations over eps are integrals, so unbiasedness is an equation between numbers, not a remark
about averages.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact import axis_noise, model_of, normal_rule, numerical_gradient, small_model
from minivae import ops
from minivae.distributions import DiagonalGaussian, Gaussian
from minivae.objectives import elbo_terms, sample_terms
from minivae.tensor import Tensor
from minivae.transforms import grad

means = st.floats(-2.0, 2.0)
log_variances = st.floats(-3.0, 1.5)

# f, and E f(z) for z ~ N(m, v) in closed form
EXPECTATIONS = {
    "z": (lambda z: z, lambda m, v: m),
    "z^2": (ops.square, lambda m, v: m**2 + v),
    "z^4": (lambda z: z**4, lambda m, v: m**4 + 6 * m**2 * v + 3 * v**2),
    "sin 3z": (lambda z: ops.sin(3 * z), lambda m, v: np.sin(3 * m) * np.exp(-4.5 * v)),
    "exp(z/2)": (lambda z: ops.exp(0.5 * z), lambda m, v: np.exp(0.5 * m + v / 8)),
}


def pathwise(f, mu, log_var, eps):
    """The gradient of f(z) with respect to mu and log_var at each point of noise, ``(n, 2)``."""
    n = len(eps)

    def total(mu, log_var):
        return ops.sum(f(ops.reparameterise(mu, log_var, eps)))

    # a row for each point, so that the sum's gradient is each point's own
    slopes = grad(total, argnums=(0, 1))(np.full((n, 1), mu), np.full((n, 1), log_var))
    return np.concatenate(slopes, axis=1)


def score_function(f, mu, log_var, eps):
    """f(z) times the gradient of log q(z) at a z that is held fast, ``(n, 2)``."""
    n = len(eps)
    z = mu + np.exp(0.5 * log_var) * eps

    def log_q(mu, log_var):
        return ops.sum(-0.5 * (log_var + ops.square(z - mu) * ops.exp(-log_var)))

    slopes = grad(log_q, argnums=(0, 1))(np.full((n, 1), mu), np.full((n, 1), log_var))
    return f(z) * np.concatenate(slopes, axis=1)


def derivative_of(closed_form, mu, log_var):
    return numerical_gradient(lambda p: closed_form(p[0], np.exp(p[1])), np.array([mu, log_var]))


def moments(gradients, weight):
    """Mean and variance over the noise."""
    mean = weight @ gradients
    return mean, weight @ (gradients - mean) ** 2


@pytest.mark.equation("REP.1")
@pytest.mark.parametrize("name", EXPECTATIONS)
@given(mu=means, log_var=log_variances)
def test_both_gradients_have_the_derivative_as_their_mean(name, mu, log_var):
    f, closed_form = EXPECTATIONS[name]
    eps, weight = normal_rule(limit=12.0)
    through, _ = moments(pathwise(f, mu, log_var, eps), weight)
    score, _ = moments(score_function(f, mu, log_var, eps), weight)
    np.testing.assert_allclose(through, score, rtol=1e-10, atol=1e-11)
    derivative = derivative_of(closed_form, mu, log_var)
    np.testing.assert_allclose(through, derivative, rtol=1e-8, atol=1e-9)


@pytest.mark.equation("REP.1")
@given(mu=means, log_var=log_variances)
def test_the_gradient_of_a_square_is_right_to_the_last_digits(mu, log_var):
    # E z^2 = mu^2 + e^log_var: its derivatives are 2 mu and e^log_var
    eps, weight = normal_rule()
    mean, _ = moments(pathwise(ops.square, mu, log_var, eps), weight)
    np.testing.assert_allclose(mean, [2 * mu, np.exp(log_var)], rtol=1e-12, atol=1e-12)


@pytest.mark.equation("REP.1")
@given(mu=means)
def test_for_a_square_the_path_is_the_better_way(mu):
    eps, weight = normal_rule(limit=12.0)
    _, through = moments(pathwise(ops.square, mu, 0.0, eps), weight)
    _, score = moments(score_function(ops.square, mu, 0.0, eps), weight)
    assert through[0] == pytest.approx(4.0)
    assert score[0] == pytest.approx(15.0 + 14.0 * mu**2 + mu**4)


@pytest.mark.equation("REP.1")
def test_for_a_fast_wave_the_score_function_is_the_better_way():
    # nothing makes the path better in general: f = sin 10z has slopes of 10 and values of 1
    def f(z):
        return ops.sin(10 * z)

    eps, weight = normal_rule(n=801, limit=12.0)
    _, through = moments(pathwise(f, 0.0, 0.0, eps), weight)
    _, score = moments(score_function(f, 0.0, 0.0, eps), weight)
    assert through[0] == pytest.approx(50.0)
    assert score[0] == pytest.approx(0.5)


@pytest.mark.equation("REP.1")
def test_a_sample_cut_from_the_tape_has_no_gradient_through_the_path():
    # what the quadrature would say of a z that forgot where it came from
    eps, weight = normal_rule()

    def forgetful(mu, log_var):
        z = ops.reparameterise(mu, log_var, eps).detach()
        return ops.sum(weight * ops.square(z)[:, 0])

    slope = grad(forgetful)(np.full((len(eps), 1), 1.3), np.zeros((len(eps), 1)))
    assert slope.sum() == 0.0 != 2 * 1.3


@pytest.mark.equation("REP.1")
@given(S=st.integers(1, 4), N=st.integers(1, 4), K=st.integers(1, 3), seed=st.integers(0, 99))
def test_samples_come_row_by_row(S, N, K, seed):
    rng = np.random.default_rng(seed)
    mu, log_var = rng.standard_normal((2, N, K))
    eps = rng.standard_normal((S, N, K))
    z = DiagonalGaussian(mu, log_var).rsample(eps)
    assert z.shape == (S, N, K)
    expected = mu + np.exp(0.5 * log_var) * eps
    np.testing.assert_allclose(z, expected, rtol=1e-14, atol=1e-14)

    # and the samples of a datum add their gradients
    g = rng.standard_normal((S * N, K))
    slopes = grad(lambda m, v, e: ops.sum(g * ops.reparameterise(m, v, e)), argnums=(0, 1, 2))(
        mu, log_var, eps.reshape(-1, K)
    )
    g, sigma = g.reshape(S, N, K), np.exp(0.5 * log_var)
    np.testing.assert_allclose(slopes[0], g.sum(axis=0), atol=1e-13)
    np.testing.assert_allclose(slopes[1], (g * eps * sigma / 2).sum(axis=0), atol=1e-13)
    np.testing.assert_allclose(slopes[2].reshape(S, N, K), g * sigma, atol=1e-13)


def linear_gaussian(w, sigma, x):
    """The ELBO of a linear decoder of one latent, as a function of mu and log_var."""

    def closed_form(p):
        mu, log_var = p
        v = np.exp(log_var)
        error = (x - w * mu) ** 2 + w**2 * v  # E (x - w z)^2
        kl = 0.5 * (mu**2 + v - 1.0 - log_var)
        return -0.5 * (np.log(2 * np.pi * sigma**2) + error / sigma**2) - kl

    return closed_form


@pytest.mark.equation("ELBO.4")
@pytest.mark.equation("REP.1")
@given(w=st.floats(-2.0, 2.0), sigma=st.floats(0.3, 2.0), x=means, mu=means, log_var=log_variances)
def test_the_elbo_of_a_linear_decoder_and_its_gradient(w, sigma, x, mu, log_var):
    # everything is quadratic in z, so two points of noise, at +-1, give the expectation exactly
    closed_form, eps = linear_gaussian(w, sigma, x), axis_noise(1, 1)

    def elbo(mu, log_var, w):
        model = model_of(lambda z: (z * w,), Gaussian(sigma))
        terms = elbo_terms(model, DiagonalGaussian(mu, log_var), np.array([[x]]), eps)
        return ops.sum(terms.elbo)

    arguments = [np.array([[number]]) for number in (mu, log_var, w)]
    assert elbo(*arguments) == pytest.approx(closed_form((mu, log_var)), rel=1e-12)
    ours = np.ravel(grad(elbo, argnums=(0, 1, 2))(*arguments))
    v = np.exp(log_var)
    by_hand = [
        w * (x - w * mu) / sigma**2 - mu,
        -0.5 * w**2 * v / sigma**2 - 0.5 * (v - 1.0),
        (mu * (x - w * mu) - w * v) / sigma**2,
    ]
    scale = max(1.0, np.abs(by_hand).max())
    np.testing.assert_allclose(ours, by_hand, rtol=0, atol=1e-12 * scale)


@pytest.mark.equation("REP.1")
@pytest.mark.parametrize("name", ["bernoulli", "continuous-bernoulli", "binomial"])
def test_of_a_nonlinear_decoder_the_gradient_is_unbiased(name):
    # two integrals that share nothing: over eps with z moving, and over z with q moving
    model = small_model(name, N=1)
    mu, log_var = 0.7, -0.6

    eps, weight = normal_rule(n=401)

    def through(mu, log_var):
        q = DiagonalGaussian(mu, log_var)
        terms = sample_terms(model.model, q, model.x, eps[:, None])
        return ops.sum(weight * terms.log_weights[:, 0])

    ours = grad(through, argnums=(0, 1))(np.array([[mu]]), np.array([[log_var]]))

    z = np.linspace(-14.0, 14.0, 2001)[:, None]
    log_joint = model.log_joint(z)[:, 0]
    z = z[:, 0]
    v = np.exp(log_var)
    log_q = -0.5 * (np.log(2 * np.pi * v) + (z - mu) ** 2 / v)
    mass = np.exp(log_q) * (z[1] - z[0])
    gain = log_joint - log_q  # E_q of the score itself is 0, so log q adds nothing more
    score = np.stack([(z - mu) / v, 0.5 * ((z - mu) ** 2 / v - 1.0)])
    np.testing.assert_allclose(np.ravel(ours), score @ (mass * gain), rtol=1e-10, atol=1e-11)


def test_gradients_reach_tensors_that_are_not_the_posteriors():
    # the decoder's parameters move the ELBO through log p(x | z) only: E_q d log p / dw
    w = Tensor([[1.5]], requires_grad=True)
    eps = axis_noise(1, 1)
    q = DiagonalGaussian(np.array([[0.4]]), np.array([[-1.0]]))
    model = model_of(lambda z: (z * w,), Gaussian(0.5))
    terms = elbo_terms(model, q, np.array([[2.0]]), eps)
    ops.sum(terms.elbo).backward()
    expected = (0.4 * (2.0 - 1.5 * 0.4) - 1.5 * np.exp(-1.0)) / 0.25
    assert w.grad is not None
    assert w.grad.item() == pytest.approx(expected)
