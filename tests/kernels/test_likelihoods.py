"""Log-densities and divergences: against the twins, exact values and finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae_kernels as kernels
from minivae_kernels import reference

DTYPES = [np.float32, np.float64]


def arguments(name, b, samples, d, dtype, seed=0):
    """Return the arguments of a density after which its gradient's come in the same order."""
    rng = np.random.default_rng(seed)
    r = b * samples
    x = rng.random((b, d))
    logits = rng.normal(size=(r, d)) * 3
    log_var = rng.normal(size=(r, d))
    found = {
        "binomial_log_prob": (logits, np.round(x * 16), 16),
        "continuous_bernoulli_log_prob": (logits, x),
        "gaussian_log_prob": (x, logits, log_var),
        "gaussian_log_prob_shared": (x, logits, np.full((1, 1), 0.3)),
        "gaussian_kl": (logits, log_var),
    }[name]
    return tuple(a.astype(dtype) if isinstance(a, np.ndarray) else a for a in found)


NAMES = [
    "binomial_log_prob",
    "continuous_bernoulli_log_prob",
    "gaussian_log_prob",
    "gaussian_log_prob_shared",
    "gaussian_kl",
]


def both(name, arguments):
    name = name.removesuffix("_shared")
    return getattr(kernels, name)(*arguments), getattr(reference, name)(*arguments)


def tuples(*values):
    return [v if isinstance(v, tuple) else (v,) for v in values]


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 4), st.integers(1, 3), st.integers(0, 37), st.sampled_from(DTYPES))
@settings(max_examples=25, deadline=None)
def test_agree_with_their_twins(name, b, samples, d, dtype):
    given_arguments = arguments(name, b, samples, d, dtype)
    got, expected = both(name, given_arguments)
    assert got.dtype == dtype
    tolerance = 40 * np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * 16 * max(d, 1))
    g = np.random.default_rng(1).normal(size=b * samples).astype(dtype)
    plain = name.removesuffix("_shared") + "_backward"
    got, expected = both(plain, (g, *given_arguments))
    for left, right in zip(*tuples(got, expected), strict=True):
        assert (left.dtype, left.shape) == (np.dtype(dtype), right.shape)
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance * 16 * max(d, 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_and_threads_change_nothing(name, dtype):
    small = arguments(name, 3, 2, 11, dtype)
    large = arguments(name, 400, 2, 800, dtype)
    odd = tuple(
        np.asfortranarray(a)[::-1].copy(order="F")[::-1] if isinstance(a, np.ndarray) else a
        for a in small
    )
    for a in odd:
        if isinstance(a, np.ndarray):
            a.flags.writeable = False
    np.testing.assert_array_equal(both(name, odd)[0], both(name, small)[0])
    function = getattr(kernels, name.removesuffix("_shared"))
    backward = getattr(kernels, name.removesuffix("_shared") + "_backward")
    g = np.ones(800, dtype)
    before = kernels.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            kernels.set_num_threads(threads)
            results.append((function(*large), *tuples(backward(g, *large))[0]))
    finally:
        kernels.set_num_threads(before)
    for left, right in zip(*results, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_slopes(name):
    given_arguments = list(arguments(name, 2, 2, 5, np.float64))
    plain = name.removesuffix("_shared")
    g = np.random.default_rng(2).normal(size=4)
    gradients = tuples(getattr(kernels, plain + "_backward")(g, *given_arguments))[0]
    positions = {"binomial": [0], "continuous": [0], "gaussian_log": [1, 2], "gaussian_kl": [0, 1]}
    found = next(v for k, v in positions.items() if name.startswith(k))
    for position, gradient in zip(found, gradients, strict=True):
        at = given_arguments[position]
        numeric = np.empty_like(at)
        for i in np.ndindex(at.shape):
            sums = []
            for h in (1e-6, -1e-6):
                moved = list(given_arguments)
                moved[position] = at.copy()
                moved[position][i] += h
                sums.append(g @ getattr(kernels, plain)(*moved))
            numeric[i] = (sums[0] - sums[1]) / 2e-6
        np.testing.assert_allclose(gradient, numeric, atol=2e-7)


def test_bernoulli_keeps_its_tail_where_the_logit_is_large():
    logits, x = np.array([[40.0], [800.0], [-800.0], [-800.0]]), np.array([[1.0]] * 3 + [[0.0]])
    got = kernels.binomial_log_prob(logits, x, 1)
    np.testing.assert_allclose(got, [-math.exp(-40), 0, -800, 0], rtol=1e-15)


def test_binomial_sums_to_one_over_the_counts():
    counts = np.arange(17.0)[:, None]
    logits = np.full((17, 1), -0.7)
    weights = [math.comb(16, k) for k in range(17)]
    total = weights @ np.exp(kernels.binomial_log_prob(logits, counts, 16))
    assert total == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("logit", [0.0, 1e-9, 1e-3, 0.5, -1.9, 1.999, 2.001, -7.0, 40.0])
def test_continuous_bernoulli_integrates_to_one_and_has_its_mean(logit):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x, weights = (nodes[:, None] + 1) / 2, weights / 2
    logits = np.full((60, 1), logit)
    density = np.exp(kernels.continuous_bernoulli_log_prob(logits, x))
    assert weights @ density == pytest.approx(1, rel=1e-13)
    gradient = kernels.continuous_bernoulli_log_prob_backward(np.ones(60), logits, x)
    mean = (x - gradient)[0, 0]
    assert weights @ (density * x[:, 0]) == pytest.approx(mean, rel=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_continuous_bernoulli_far_out(dtype):
    logits = np.array([[0.0], [-0.0], [1e4], [-1e4]], dtype)
    x = np.array([[0.3], [0.3], [1.0], [0.0]], dtype)
    got = kernels.continuous_bernoulli_log_prob(logits, x)
    far = math.log(1e4)
    np.testing.assert_allclose(got, [0, 0, far, far], rtol=1e-6)
    gradient = kernels.continuous_bernoulli_log_prob_backward(np.ones(4, dtype), logits, x)
    np.testing.assert_allclose(gradient[:, 0], [-0.2, -0.2, 1e-4, -1e-4], rtol=1e-6)


def test_gaussian_has_every_constant():
    x, mu, log_var = (np.array([[v]]) for v in (1.3, 0.2, math.log(2.25)))
    expected = -0.5 * (math.log(2 * math.pi * 2.25) + 1.1**2 / 2.25)
    assert kernels.gaussian_log_prob(x, mu, log_var)[0] == pytest.approx(expected, rel=1e-14)
    wide = [np.repeat(a, 3, axis=1) for a in (x, mu, log_var)]
    assert kernels.gaussian_log_prob(*wide)[0] == pytest.approx(3 * expected, rel=1e-14)
    assert kernels.gaussian_log_prob(*wide[:2], log_var)[0] == pytest.approx(
        3 * expected, rel=1e-14
    )


@pytest.mark.parametrize(("dtype", "units"), [(np.float32, 6), (np.float64, 6)])
def test_kl_is_accurate_near_the_prior(dtype, units):
    sizes = 10.0 ** np.linspace(-9, 2, 4001)
    log_var = np.concatenate([sizes, -sizes])[:, None].astype(dtype)
    log_var = log_var[log_var < 80][:, None]
    got = kernels.gaussian_kl(np.zeros_like(log_var), log_var)
    wide = log_var[:, 0].astype(np.longdouble)
    near = np.abs(wide) < 1
    t = np.where(near, wide, 0)
    series = sum(t**k / math.factorial(k) for k in range(25, 1, -1))
    exact = np.where(near, series, np.expm1(wide) - wide) / 2
    assert (np.abs(got - exact) <= units * np.spacing(exact.astype(dtype))).all()


def test_kl_at_extreme_variances():
    log_var = np.array([[-800.0], [0.0], [-0.0], [800.0], [np.nan]])
    got = kernels.gaussian_kl(np.zeros((5, 1)), log_var)
    np.testing.assert_array_equal(got, [399.5, 0, 0, np.inf, np.nan])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("b", "samples", "d"), [(1, 1, 1), (3, 4, 5), (2, 1, 20), (0, 1, 3), (2, 2, 0)]
)
def test_reparameterise_and_its_gradient(b, samples, d, dtype):
    rng = np.random.default_rng(4)
    mu, log_var = rng.normal(size=(2, b, d)).astype(dtype)
    eps, g = rng.normal(size=(2, b * samples, d)).astype(dtype)
    tolerance = {"rtol": 20 * np.finfo(dtype).eps, "atol": 20 * np.finfo(dtype).eps}
    z = kernels.reparameterise(mu, log_var, eps)
    np.testing.assert_allclose(z, reference.reparameterise(mu, log_var, eps), **tolerance)
    got = kernels.reparameterise_backward(g, log_var, eps)
    expected = reference.reparameterise_backward(g, log_var, eps)
    for left, right in zip(got, expected, strict=True):
        assert (left.dtype, left.shape) == (np.dtype(dtype), (b, d))
        np.testing.assert_allclose(left, right, **tolerance)


def test_long_float32_sums_do_not_drift():
    x = np.zeros((1, 2_000_000), np.float32)
    got = kernels.binomial_log_prob(x, x, 1)[0]
    assert got == pytest.approx(-2_000_000 * math.log(2), rel=1e-7)


def test_refusals_name_every_shape():
    logits, x = np.ones((5, 3)), np.ones((2, 3))
    with pytest.raises(ValueError, match=r"binomial_log_prob: got logits \(5, 3\), x \(2, 3\)"):
        kernels.binomial_log_prob(logits, x, 1)
    with pytest.raises(ValueError, match=r"got logits \(5, 3\), x \(0, 3\)"):
        kernels.binomial_log_prob(logits, x[:0], 1)
    with pytest.raises(ValueError, match=r"gaussian_kl: got mu \(2, 3\), log_var \(3,\)"):
        kernels.gaussian_kl(x, np.ones(3))
    with pytest.raises(ValueError, match=r"gaussian_log_prob: .*log_var \(2, 1\)"):
        kernels.gaussian_log_prob(x, x, np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"gaussian_kl_backward: got g \(3,\)"):
        kernels.gaussian_kl_backward(np.ones(3), x, x)
    with pytest.raises(ValueError, match=r"reparameterise_backward: got g \(4, 3\), eps \(2, 3\)"):
        kernels.reparameterise_backward(np.ones((4, 3)), x, x)
    with pytest.raises(TypeError, match="gaussian_kl: arrays must be float32 or float64"):
        kernels.gaussian_kl(x, np.ones((2, 3), int))
