"""KL(N(mu, exp(log_var)) || N(0, I)): the closed form against integrals and exact sums."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact import normal_rule, numerical_gradient
from minivae import ops
from minivae.distributions import (
    DiagonalGaussian,
    StandardNormal,
    gaussian_entropy,
    kl_divergence,
    standard_normal_log_prob,
)
from minivae.gradcheck import assert_gradcheck, gradcheck
from minivae.tensor import primitive
from minivae.transforms import grad

means = st.floats(-3.0, 3.0)
log_variances = st.floats(-4.0, 3.0)


def log_normal(z, mu, log_var):
    return -0.5 * (np.log(2 * np.pi) + log_var + (z - mu) ** 2 / np.exp(log_var))


def integral_of_kl(mu_q, log_var_q, mu_p=0.0, log_var_p=0.0):
    """The definition, E_q[log q - log p], by quadrature."""
    eps, weight = normal_rule()
    z = mu_q + np.exp(0.5 * log_var_q) * eps[:, 0]
    return weight @ (log_normal(z, mu_q, log_var_q) - log_normal(z, mu_p, log_var_p))


def kl_of(mu, log_var, dtype=np.float64):
    """The library's KL of one number, as a Python float."""
    (value,) = kl_divergence(np.array([[mu]], dtype), np.array([[log_var]], dtype))
    assert value.dtype == dtype
    return float(value)


def exact_kl(mu, log_var, terms=40):
    """The sum 1/2 (mu^2 + log_var^2/2! + log_var^3/3! + ...) in rational arithmetic."""
    mu, t = Fraction(mu), Fraction(log_var)
    total, term = mu * mu, t
    for k in range(2, terms):
        term = term * t / k
        total += term
    return total / 2


@pytest.mark.equation("KL.5")
@given(means, log_variances)
def test_the_closed_form_is_the_integral(mu, log_var):
    assert kl_of(mu, log_var) == pytest.approx(integral_of_kl(mu, log_var), rel=1e-11, abs=1e-12)


@pytest.mark.equation("KL.5")
@given(st.lists(st.tuples(means, log_variances), min_size=1, max_size=5))
def test_independent_dimensions_add(dimensions):
    mu, log_var = np.array(dimensions).T[:, None]
    expected = sum(integral_of_kl(m, v) for m, v in dimensions)
    by_object = DiagonalGaussian(mu, log_var).kl_to(StandardNormal(mu.shape[1]))
    for kl in (kl_divergence(mu, log_var), by_object):
        assert kl == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.equation("GAUSS.2")
@pytest.mark.equation("GAUSS.3")
@given(means, log_variances)
def test_it_is_cross_entropy_minus_entropy(mu, log_var):
    eps, weight = normal_rule()
    z = mu + np.exp(0.5 * log_var) * eps
    cross_entropy = -weight @ standard_normal_log_prob(z)
    entropy = gaussian_entropy(np.array([[log_var]]))[0]
    assert entropy == pytest.approx(-weight @ log_normal(z[:, 0], mu, log_var), abs=1e-11)
    assert kl_of(mu, log_var) == pytest.approx(cross_entropy - entropy, abs=1e-10)


@pytest.mark.equation("KL.5")
@given(means, log_variances)
def test_its_gradient_is_that_of_differences(mu, log_var):
    x = np.array([[mu], [log_var]])
    ours = np.stack(grad(lambda m, v: ops.sum(kl_divergence(m, v)), argnums=(0, 1))(x[:1], x[1:]))
    theirs = numerical_gradient(lambda x: float(kl_divergence(x[:1], x[1:])[0]), x)
    np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-8, atol=1e-9)
    # ... and of the integral, which knows nothing of the closed form
    theirs = numerical_gradient(lambda x: integral_of_kl(x[0, 0], x[1, 0]), x)
    np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.equation("KL.5")
def test_gradcheck_passes_its_gradient_and_not_one_twice_too_large():
    def without_the_half(g, out, mu, log_var):
        return g[:, None] * mu, g[:, None] * np.expm1(log_var)

    rng = np.random.default_rng(0)
    mu, log_var = rng.standard_normal((2, 4, 3))
    assert_gradcheck(kl_divergence, mu, log_var)
    wrong = primitive(lambda mu, log_var: kl_divergence(mu, log_var), without_the_half)
    assert gradcheck(wrong, mu, log_var).verdict == "FAIL"


@pytest.mark.equation("KL.5")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(exponent=st.floats(-20.0, 0.0), sign=st.sampled_from([-1.0, 1.0]))
def test_near_the_prior_every_digit_is_right(dtype, exponent, sign):
    log_var = float(dtype(sign * 10.0**exponent))
    exact = float(exact_kl(0.0, log_var))
    # a float32 of 1e-40 has few bits left: there the last of them is all that can be asked for
    least = float(np.finfo(dtype).smallest_subnormal)
    tolerance = 8 * float(np.finfo(dtype).eps)
    assert kl_of(0.0, log_var, dtype) == pytest.approx(exact, rel=tolerance, abs=least)


@pytest.mark.equation("KL.5")
def test_near_the_prior_float32_gives_the_known_numbers():
    for log_var, kl in ((1e-4, 2.5000833e-9), (1e-8, 2.5e-17), (1e-18, 2.5e-37)):
        assert kl_of(0.0, log_var, np.float32) == pytest.approx(kl, rel=3e-7, abs=0)
    # the usual ways of writing it have no digit right, and three
    t = np.float32(1e-4)
    assert 0.5 * (np.exp(t) - np.float32(1) - t) != pytest.approx(2.5e-09, rel=0.5, abs=0)
    assert 0.5 * (np.expm1(t) - t) != pytest.approx(2.5e-09, rel=0.0001, abs=0)


@pytest.mark.equation("KL.5")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(exponent=st.floats(-20.0, 0.0), sign=st.sampled_from([-1.0, 1.0]))
def test_near_the_prior_the_gradient_is_right_too(dtype, exponent, sign):
    log_var = np.array([[sign * 10.0**exponent]], dtype)
    slope = grad(lambda v: ops.sum(kl_divergence(np.zeros_like(log_var), v)))(log_var)
    assert slope.dtype == dtype
    expected = 0.5 * math.expm1(float(log_var[0, 0]))
    assert float(slope[0, 0]) == pytest.approx(expected, rel=8 * float(np.finfo(dtype).eps), abs=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_the_prior_nothing_overflows_early(dtype):
    assert kl_of(0.0, -800.0, dtype) == 399.5
    assert kl_of(3.0, -800.0, dtype) == 404.0
    large = kl_of(0.0, 80.0, dtype)
    assert large == pytest.approx(0.5 * (math.exp(80.0) - 81.0), rel=1e-5)
    assert kl_of(0.0, 800.0, dtype) == math.inf
    assert math.isnan(kl_of(math.nan, 0.0, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(mu=st.floats(-1e10, 1e10, width=32), log_var=st.floats(-1e3, 700.0, width=32))
def test_it_is_never_negative(dtype, mu, log_var):
    assert kl_of(mu, log_var, dtype) >= 0


@given(
    st.floats(-1e3, 1e3).filter(lambda m: abs(m) > 1e-150),
    st.floats(-700.0, 700.0).filter(lambda v: abs(v) > 1e-150),
)
def test_it_is_zero_at_the_prior_and_nowhere_else(mu, log_var):
    assert kl_of(0.0, 0.0) == 0.0
    assert kl_of(mu, 0.0) > 0
    assert kl_of(0.0, log_var) > 0


def test_it_is_not_symmetric():
    # N(1, 4) as seen from N(0, 1), and the other way about
    there, back = integral_of_kl(1.0, math.log(4.0)), integral_of_kl(0.0, 0.0, 1.0, math.log(4.0))
    assert there == pytest.approx(0.5 * (1.0 + 4.0 - 1.0 - math.log(4.0)))  # 1.3069
    assert back == pytest.approx(0.5 * (0.25 + 0.25 - 1.0 + math.log(4.0)))  # 0.4431
    assert kl_of(1.0, math.log(4.0)) == pytest.approx(there)
    assert kl_of(1.0, math.log(4.0)) != pytest.approx(back, rel=0.5)


def test_a_softplus_scale_at_zero_does_not_start_at_the_prior():
    # sigma = softplus(0) = log 2 costs a tenth of a nat a dimension, exp(log_var / 2) nothing
    assert kl_of(0.0, 2.0 * math.log(math.log(2.0))) == pytest.approx(0.1067, abs=1e-4)
    assert kl_of(0.0, 0.0) == 0.0
