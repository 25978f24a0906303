"""Equations of the engine, the kernels, the bound and minibatches, held against other answers."""

import re
from fractions import Fraction
from itertools import combinations, product
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import multivariate_normal, norm

import minivae_kernels as kernels
from exact import normal_rule
from examples import (
    blind_cotangents,
    computation_graph,
    elbo_gap,
    grid_cost,
    minibatch_variance,
    step_size,
)
from minivae import Tensor, hvp, ops, primitive, vjp
from minivae.figures import draw_graph, save_figure
from minivae.gradcheck import differences, gradcheck, rules
from minivae.gradcheck.check import _tolerance
from minivae.tensor import unbroadcast
from minivae_kernels import _loops

CHAPTER_1 = Path(__file__).parents[2] / "derivations" / "08_reverse_mode.md"


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def positive(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).uniform(0.5, 2.0, shape)


# Reverse mode -------------------------------------------------------------------------------------


@pytest.mark.equation("AD.2")
@pytest.mark.equation("AD.3")
def test_the_first_example_by_hand():
    # y = x1 x2 + sin x1 at (2, 3): x1 is used twice, so 3 + cos 2 and 2
    x1, x2 = Tensor(2.0, requires_grad=True), Tensor(3.0, requires_grad=True)
    (x1 * x2 + ops.sin(x1)).backward()
    assert x1.grad == pytest.approx(3 + np.cos(2.0), rel=1e-15)
    assert x2.grad == 2.0


@pytest.mark.equation("AD.2")
@given(seed=st.integers(0, 99))
def test_a_pull_back_is_the_transposed_jacobian(seed):
    # <g, J v> = <J^T g, v> for every g and v, J v by differences
    x, v, g = normal(5, seed=seed), normal(5, seed=seed + 1), normal(5, seed=seed + 2)
    _, pull_back = vjp(ops.softmax, x)
    h = 1e-5
    forward = g @ (softmax(x + h * v) - softmax(x - h * v)) / (2 * h)
    assert pull_back(g)[0] @ v == pytest.approx(forward, abs=1e-9)


@pytest.mark.equation("AD.4")
@given(
    st.sampled_from([((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 3)), ((1,), (4, 2, 3))]),
    st.integers(0, 99),
)
def test_unbroadcasting_is_the_adjoint_of_broadcasting(shapes, seed):
    small, large = shapes
    x, g = normal(*small, seed=seed), normal(*large, seed=seed)
    pulled = unbroadcast(g, small)
    assert pulled.shape == small
    assert np.sum(g * np.broadcast_to(x, large)) == pytest.approx(np.sum(pulled * x), abs=1e-12)


@pytest.mark.equation("AD.5")
def test_a_hessian_vector_product_by_hand():
    # f = x1^2 x2 + exp(x2) at (1, 0): H = [[2 x2, 2 x1], [2 x1, exp(x2)]] = [[0, 2], [2, 1]]
    def f(x):
        return x[0] ** 2 * x[1] + ops.exp(x[1])

    np.testing.assert_allclose(hvp(f, np.array([1.0, 0.0]), np.array([3.0, 4.0])), [8.0, 10.0])


def book_einsum(g, out, x, y):
    return np.einsum("ik,jk->ij", g, y), np.einsum("ij,ik->jk", x, g)


def book_max(g, out, x):
    attained = x == x.max(axis=1, keepdims=True)
    return g[:, None] * attained / attained.sum(axis=1, keepdims=True)


def book_min(g, out, x):
    attained = x == x.min(axis=1, keepdims=True)
    return g[:, None] * attained / attained.sum(axis=1, keepdims=True)


def book_prod(g, out, x):
    others = [np.prod(np.delete(x, j, axis=1), axis=1) for j in range(x.shape[1])]
    return g[:, None] * np.stack(others, axis=1)


def book_scatter(g, out, x):
    to = np.zeros(x.shape)
    np.add.at(to, [0, 0, 2], g)
    return to


def book_linear(g, out, x, weight, bias):
    p = g * (1 - out**2)
    return p @ weight.T, x.T @ p, p.sum(0)


def book_take(g, out, x):
    to = np.zeros(x.shape)
    np.add.at(to, (np.arange(3)[:, None], [[0, 0], [1, 3], [2, 2]]), g)
    return to


def book_solve(g, out, a, b):
    inverse = np.linalg.inv(np.tril(a))
    return np.tril(-inverse.T @ g @ out.T), inverse.T @ g


def mean_of_cb(logits):
    return 1 / (1 - np.exp(-logits)) - 1 / logits


X, POS, G_ROWS = normal(3, 4), positive(3, 4), np.s_[:, None]
LV, SQUARE = normal(3, 4, seed=1), normal(3, 3) + 2 * np.eye(3)
COUNTS = np.arange(12.0).reshape(3, 4) % 6
# Every row of the chapter's index: the operation, where, and the VJP as the index prints it.
INDEX = {
    "add": (ops.add, (X, LV), lambda g, out, x, y: (g, g)),
    "subtract": (ops.subtract, (X, LV), lambda g, out, x, y: (g, -g)),
    "multiply": (ops.multiply, (X, LV), lambda g, out, x, y: (g * y, g * x)),
    "divide": (ops.divide, (X, POS), lambda g, out, x, y: (g / y, -g * x / y**2)),
    "negative": (ops.negative, (X,), lambda g, out, x: -g),
    "positive": (ops.positive, (X,), lambda g, out, x: g),
    "astype": (lambda x: ops.astype(x, np.float64), (X,), lambda g, out, x: g),
    "power": (
        ops.power,
        (POS, X),
        lambda g, out, x, y: (g * y * x ** (y - 1), g * x**y * np.log(x)),
    ),
    "square": (ops.square, (X,), lambda g, out, x: 2 * g * x),
    "exp": (ops.exp, (X,), lambda g, out, x: g * out),
    "expm1": (ops.expm1, (X,), lambda g, out, x: g * np.exp(x)),
    "log": (ops.log, (POS,), lambda g, out, x: g / x),
    "log1p": (ops.log1p, (POS,), lambda g, out, x: g / (1 + x)),
    "xlogy": (ops.xlogy, (X, POS), lambda g, out, x, y: (g * np.log(y), g * x / y)),
    "sqrt": (ops.sqrt, (POS,), lambda g, out, x: g / (2 * out)),
    "abs": (ops.abs, (X,), lambda g, out, x: g * np.sign(x)),
    "sin": (ops.sin, (X,), lambda g, out, x: g * np.cos(x)),
    "cos": (ops.cos, (X,), lambda g, out, x: -g * np.sin(x)),
    "tanh": (ops.tanh, (X,), lambda g, out, x: g * (1 - out**2)),
    "sigmoid": (ops.sigmoid, (X,), lambda g, out, x: g * out * (1 - out)),
    "softplus": (ops.softplus, (X,), lambda g, out, x: g / (1 + np.exp(-x))),
    "relu": (ops.relu, (X,), lambda g, out, x: g * (x > 0)),
    "maximum": (ops.maximum, (X, LV), lambda g, out, x, y: (g * (x > y), g * (y > x))),
    "minimum": (ops.minimum, (X, LV), lambda g, out, x, y: (g * (x < y), g * (y < x))),
    "where": (
        lambda x, y: ops.where(X > 0, x, y),
        (X, LV),
        lambda g, out, x, y: (g * (X > 0), g * ~(X > 0)),
    ),
    "clip": (
        lambda x: ops.clip(x, -0.5, 0.5),
        (X,),
        lambda g, out, x: g * ((x >= -0.5) & (x <= 0.5)),
    ),
    "positive_diagonal": (
        ops.positive_diagonal,
        (SQUARE,),
        lambda g, out, x: np.where(np.eye(3), g * out, g),
    ),
    "reshape": (lambda x: ops.reshape(x, (4, 3)), (X,), lambda g, out, x: g.reshape(3, 4)),
    "transpose": (ops.transpose, (X,), lambda g, out, x: g.T),
    "swapaxes": (lambda x: ops.swapaxes(x, 0, 1), (X,), lambda g, out, x: g.T),
    "squeeze": (ops.squeeze, (normal(3, 1),), lambda g, out, x: g[:, None]),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), (X,), lambda g, out, x: g[:, 0]),
    "broadcast_to": (
        lambda x: ops.broadcast_to(x, (3, 4)),
        (normal(4),),
        lambda g, out, x: g.sum(0),
    ),
    "flip": (lambda x: ops.flip(x, 1), (X,), lambda g, out, x: g[:, ::-1]),
    "concatenate": (
        lambda x, y: ops.concatenate([x, y]),
        (X, LV),
        lambda g, out, x, y: (g[:3], g[3:]),
    ),
    "stack": (lambda x, y: ops.stack([x, y]), (X, LV), lambda g, out, x, y: (g[0], g[1])),
    "getitem": (lambda x: x[np.array([0, 0, 2])], (X,), book_scatter),
    "scatter_add": (
        lambda x: ops.scatter_add(x, np.array([0, 0, 2]), (5, 4)),
        (X,),
        lambda g, out, x: g[[0, 0, 2]],
    ),
    "take_along_axis": (
        lambda x: ops.take_along_axis(x, np.array([[0, 0], [1, 3], [2, 2]]), 1),
        (X,),
        book_take,
    ),
    "diagonal": (ops.diagonal, (SQUARE,), lambda g, out, x: np.diag(g)),
    "tril": (ops.tril, (X,), lambda g, out, x: np.tril(g)),
    "triu": (ops.triu, (X,), lambda g, out, x: np.triu(g)),
    "sum": (lambda x: ops.sum(x, 1), (X,), lambda g, out, x: np.repeat(g[G_ROWS], 4, 1)),
    "mean": (lambda x: ops.mean(x, 1), (X,), lambda g, out, x: np.repeat(g[G_ROWS], 4, 1) / 4),
    "var": (
        lambda x: ops.var(x, 1, ddof=1),
        (X,),
        lambda g, out, x: 2 * g[G_ROWS] * (x - x.mean(1)[G_ROWS]) / (4 - 1),
    ),
    "std": (
        lambda x: ops.std(x, 1),
        (X,),
        lambda g, out, x: g[G_ROWS] * (x - x.mean(1)[G_ROWS]) / (4 * out[G_ROWS]),
    ),
    "norm": (lambda x: ops.norm(x, 1), (X,), lambda g, out, x: g[G_ROWS] * x / out[G_ROWS]),
    "max": (lambda x: ops.max(x, 1), (np.round(X),), book_max),
    "min": (lambda x: ops.min(x, 1), (np.round(X),), book_min),
    "prod": (lambda x: ops.prod(x, 1), (POS * (POS > 0.6),), book_prod),
    "cumsum": (
        lambda x: ops.cumsum(x, 1),
        (X,),
        lambda g, out, x: np.stack([g[:, j:].sum(1) for j in range(4)], 1),
    ),
    "logsumexp": (
        lambda x: ops.logsumexp(x, 1),
        (X,),
        lambda g, out, x: g[G_ROWS] * softmax(x, 1),
    ),
    "softmax": (
        ops.softmax,
        (X,),
        lambda g, out, x: out * (g - (out * g).sum(1)[G_ROWS]),
    ),
    "log_softmax": (
        ops.log_softmax,
        (X,),
        lambda g, out, x: g - softmax(x, 1) * g.sum(1)[G_ROWS],
    ),
    "matmul": (ops.matmul, (X, normal(4, 5)), lambda g, out, x, y: (g @ y.T, x.T @ g)),
    "einsum": (lambda x, y: ops.einsum("ij,jk->ik", x, y), (X, normal(4, 5)), book_einsum),
    "solve_triangular": (
        lambda a, b: ops.solve_triangular(a, b, lower=True),
        (SQUARE, X),
        book_solve,
    ),
    "inverse_triangular": (
        lambda a: ops.inverse_triangular(a, lower=True),
        (SQUARE,),
        lambda g, out, a: np.tril(-out.T @ g @ out.T),
    ),
    "linear": (
        lambda x, w, b: ops.linear(x, w, b, activation="tanh"),
        (X, normal(4, 5), normal(5)),
        book_linear,
    ),
    "reparameterise": (
        ops.reparameterise,
        (X, LV, normal(3, 4, seed=2)),
        lambda g, out, mu, log_var, eps: (
            g,
            g * eps * np.exp(log_var / 2) / 2,
            g * np.exp(log_var / 2),
        ),
    ),
    "gaussian_kl": (
        ops.gaussian_kl,
        (X, LV),
        lambda g, out, mu, log_var: (g[G_ROWS] * mu, g[G_ROWS] * (np.exp(log_var) - 1) / 2),
    ),
    "binomial_log_prob": (
        lambda logits, x: ops.binomial_log_prob(logits, x, n_trials=5.0),
        (X, COUNTS),
        lambda g, out, logits, x: (
            g[G_ROWS] * (x - 5 / (1 + np.exp(-logits))),
            g[G_ROWS] * logits,
        ),
    ),
    "gaussian_log_prob": (
        ops.gaussian_log_prob,
        (X, LV, normal(3, 4, seed=2)),
        lambda g, out, mu, log_var, x: (
            g[G_ROWS] * (x - mu) / np.exp(log_var),
            g[G_ROWS] * ((x - mu) ** 2 / np.exp(log_var) - 1) / 2,
            -g[G_ROWS] * (x - mu) / np.exp(log_var),
        ),
    ),
    "continuous_bernoulli_log_prob": (
        ops.continuous_bernoulli_log_prob,
        (X, COUNTS / 6),
        lambda g, out, logits, x: (g[G_ROWS] * (x - mean_of_cb(logits)), g[G_ROWS] * logits),
    ),
}


@pytest.mark.equation("AD.6")
@pytest.mark.equation("AD.7")
@pytest.mark.equation("AD.8")
@pytest.mark.equation("AD.9")
@pytest.mark.equation("AD.10")
@pytest.mark.equation("MLP.2")
@pytest.mark.parametrize("name", INDEX)
def test_each_vjp_of_the_index_is_the_engines(name):
    operation, inputs, printed = INDEX[name]
    out, pull_back = vjp(operation, *inputs)
    g = normal(*out.shape, seed=9)
    expected = printed(g, out, *inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, book in zip(pull_back(g), expected, strict=True):
        np.testing.assert_allclose(ours, book, rtol=1e-12, atol=1e-13)
        # ... and another sign, which is the commonest misprint, would be seen
        assert not np.allclose(ours, -book, rtol=1e-3, atol=0)


def test_the_index_lists_every_operation_once():
    index = CHAPTER_1.read_text(encoding="utf-8").partition("## An index")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)`", index, flags=re.MULTILINE)
    assert sorted(rows) == sorted({*ops.__all__} - {"ACTIVATIONS"})
    assert set(rows) == INDEX.keys()


# Checking gradients -------------------------------------------------------------------------------


@pytest.mark.equation("CHECK.1")
@pytest.mark.equation("CHECK.4")
def test_central_differences_are_exact_for_squares_and_extrapolated_ones_for_fourth_powers():
    assert step_size.central(lambda x: x**2, 3.0, 0.5) == 6.0
    assert step_size.central(lambda x: x**3, 1.0, 0.5) == 3.25  # 3 + h^2
    assert step_size.extrapolated(lambda x: x**4, 1.0, 0.5) == 4.0
    # the check's own: an odd step, and a slope of 3 with nothing wrong but rounding
    found = differences.slope(lambda x: np.array([x**3]), 1.0, np.ones(1), 3.0)
    assert found.kind == "smooth"
    assert found.value == pytest.approx(3.0, rel=1e-10)
    two = [differences._Quotient(h, 1.0 + h**2, 0.0, 0.0) for h in (0.4, 0.1)]
    assert differences._richardson(two)[0] == pytest.approx(1.0, rel=1e-15)


@pytest.mark.equation("CHECK.2")
@pytest.mark.parametrize("x", [0.3, 1.0, 2.0])
def test_the_error_of_a_central_difference_is_bounded(x):
    steps = np.logspace(-1, -11, 101)
    error = np.abs(step_size.central(np.sin, x, steps) - np.cos(x))
    third = 1.0  # |sin'''| is at most 1
    # sin itself is off by less than one rounding, its cosine by another
    assert (error <= 2 * step_size.error_of(steps, np.sin(x), third) + 2e-16).all()
    # the bound is not idle: somewhere, at large steps as at small, the error comes near it
    for some in (steps > 1e-3, steps < 1e-7):
        near = error[some] / step_size.error_of(steps[some], np.sin(x), np.cos(x))
        assert near.max() > 0.3


@pytest.mark.equation("CHECK.3")
@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_no_step_is_better_than_the_best(value, third):
    best = step_size.best_step(value, third)
    least = step_size.error_of(best, value, third)
    assert least == pytest.approx(third * best**2 / 2, rel=1e-12)
    for factor in (0.5, 0.99, 1.01, 2.0):
        assert step_size.error_of(factor * best, value, third) > least


@pytest.mark.equation("CHECK.5")
def test_wrong_vjps_that_all_ones_let_pass():
    x, ones = normal(6), np.ones(6)
    g = rules.cotangent((6,), np.random.default_rng(0))
    for name, (forward, wrong) in blind_cotangents.WRONG.items():
        blind = blind_cotangents.disagreement(forward, wrong, x, ones) < 1e-9
        assert blind == ("seen by both" not in name), name
        assert blind_cotangents.disagreement(forward, wrong, x, g) > 1e-2, name


@pytest.mark.equation("CHECK.5")
@given(n=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_random_cotangent_is_none_of_the_blind_ones(n, seed):
    g = rules.cotangent((n,), np.random.default_rng(seed))
    assert len(np.unique(g)) == n
    assert (np.abs(g) >= 0.5).all()
    assert n == 1 or g.min() < 0 < g.max()


@pytest.mark.equation("CHECK.6")
def test_a_relative_error_certifies_and_an_absolute_one_only_excuses():
    assert _tolerance(2.0, -3.0, 1e-12) == pytest.approx(3e-6)
    assert _tolerance(0.0, 1e-20, 1e-12) == 1e-12
    # a gradient of 1e-9 that is wrong by half is small, and wrong
    assert gradcheck(lambda x: 1e-9 * ops.sin(x), normal(3))
    x = normal(3)
    wrong = primitive(lambda x: 1e-9 * np.sin(x), lambda g, out, x: 0.5e-9 * g * np.cos(x))
    assert gradcheck(wrong, x).verdict == "FAIL"


# Kernels ------------------------------------------------------------------------------------------


@pytest.mark.equation("KERNEL.1")
def test_a_product_in_whole_numbers_is_exact():
    a, b = np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(4, 5) - 7
    bias = np.arange(5.0)
    expected = [
        [sum(a[i, k] * b[k, j] for k in range(4)) + bias[j] for j in range(5)] for i in range(3)
    ]
    np.testing.assert_array_equal(kernels.matmul(a, b, bias=bias), expected)
    relu = np.maximum(expected, 0.0)
    np.testing.assert_array_equal(kernels.matmul(a, b, bias=bias, activation="relu"), relu)


@pytest.mark.equation("KERNEL.4")
@given(st.floats(-80.0, 80.0))
def test_exp_is_a_power_of_two_times_a_short_range(x):
    n = round(x / np.log(2.0))
    r = x - n * np.log(2.0)
    assert abs(r) <= np.log(2.0) / 2 + 1e-13
    expected = 2.0**n * np.exp(r)
    assert kernels.exp(np.array([x]))[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.equation("KERNEL.4")
def test_the_polynomials_of_exp_are_short_and_good():
    r = np.linspace(-0.5, 0.5, 1001) * np.log(2.0)
    for table, digits in ((_loops._EXP_32, 1e-7), (_loops._EXP_64, 2e-16)):
        p = np.polyval(np.array(table, np.float64), r)
        assert np.abs((1 + r + r**2 * p) / np.exp(r) - 1).max() < 2 * digits
    # a Taylor series of as many terms is worse by more than ten
    series = 1 + r + r**2 * np.polyval([1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2], r)
    fitted = 1 + r + r**2 * np.polyval(np.array(_loops._EXP_32, np.float64), r)
    assert np.abs(series / np.exp(r) - 1).max() > 3 * np.abs(fitted / np.exp(r) - 1).max()


# Latent variables ---------------------------------------------------------------------------------


@pytest.mark.equation("LVM.7")
@pytest.mark.parametrize("K", [1, 2])
def test_a_grid_finds_the_marginal_of_a_linear_model(K):
    x, W, sigma = grid_cost.model(K)
    exact = grid_cost.log_marginal(x, W, sigma)
    assert grid_cost.grid_log_marginal(x, W, sigma, 40) == pytest.approx(exact, abs=1e-8)
    # a coarse grid does not, so the agreement says something
    assert abs(grid_cost.grid_log_marginal(x, W, sigma, 4) - exact) > 0.1


@pytest.mark.equation("LVM.5")
@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_marginal_of_a_linear_model_is_a_gaussian(K):
    x, W, sigma = grid_cost.model(K)
    exact = multivariate_normal(cov=W @ W.T + sigma**2 * np.eye(len(x))).logpdf(x)
    assert grid_cost.log_marginal(x, W, sigma) == pytest.approx(exact, rel=1e-12)


@pytest.mark.equation("LVM.5")
@pytest.mark.equation("LVM.6")
@given(x=st.floats(-4.0, 4.0), w=st.floats(-3.0, 3.0), sigma=st.floats(0.3, 2.0))
def test_posterior_times_marginal_is_the_joint(x, w, sigma):
    mu, log_var = elbo_gap.posterior(x, w, sigma)
    z = np.linspace(-3.0, 3.0, 7)
    joint = norm.logpdf(z) + norm.logpdf(x, w * z, sigma)
    by_bayes = norm.logpdf(z, mu, np.exp(log_var / 2)) + elbo_gap.log_marginal(x, w, sigma)
    np.testing.assert_allclose(by_bayes, joint, rtol=1e-10, atol=1e-10)


# KL and the ELBO ----------------------------------------------------------------------------------

gaussians = given(
    mu=st.floats(-2.0, 2.0),
    log_var=st.floats(-2.0, 2.0),
    mu_p=st.floats(-2.0, 2.0),
    log_var_p=st.floats(-2.0, 2.0),
)


@pytest.mark.equation("KL.4")
@gaussians
def test_the_divergence_of_two_gaussians_is_the_integral(mu, log_var, mu_p, log_var_p):
    eps, weight = normal_rule()
    z = mu + np.exp(log_var / 2) * eps[:, 0]
    log_q = norm.logpdf(z, mu, np.exp(log_var / 2))
    integral = weight @ (log_q - norm.logpdf(z, mu_p, np.exp(log_var_p / 2)))
    closed = elbo_gap.kl_of_gaussians(mu, log_var, mu_p, log_var_p)
    assert closed == pytest.approx(integral, rel=1e-10, abs=1e-10)
    assert closed >= 0


@pytest.mark.equation("ELBO.3")
@given(
    x=st.floats(-4.0, 4.0),
    w=st.floats(-3.0, 3.0),
    sigma=st.floats(0.3, 2.0),
    shift=st.floats(-2.0, 2.0),
    ratio=st.floats(-2.0, 2.0),
)
def test_elbo_and_gap_make_up_log_p(x, w, sigma, shift, ratio):
    mu, log_var = elbo_gap.posterior(x, w, sigma)
    q = mu + shift, log_var + ratio
    gap = elbo_gap.kl_of_gaussians(*q, mu, log_var)
    total = elbo_gap.elbo(x, w, sigma, *q) + gap
    assert total == pytest.approx(elbo_gap.log_marginal(x, w, sigma), rel=1e-9, abs=1e-9)
    # the divergence the other way round would not do
    if abs(ratio) > 0.1:
        assert elbo_gap.kl_of_gaussians(mu, log_var, *q) != pytest.approx(gap, rel=1e-6)


# Minibatches --------------------------------------------------------------------------------------


@pytest.mark.equation("MB.3")
@pytest.mark.equation("MB.4")
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=5), st.integers(1, 3))
def test_the_variance_of_every_minibatch(terms, M):
    N, M = len(terms), min(M, len(terms))
    exact = {}
    for draw, batches in (
        ("with", list(product(terms, repeat=M))),
        ("without", list(combinations(terms, M))),
    ):
        estimates = [Fraction(N, M) * sum(batch) for batch in batches]
        mean = Fraction(sum(estimates), len(estimates))
        assert mean == sum(terms)
        exact[draw] = Fraction(sum((e - mean) ** 2 for e in estimates), len(estimates))
    assert len(list(combinations(terms, M))) == comb(N, M)
    terms = np.array(terms, float)
    assert minibatch_variance.variance_with(terms, M) == pytest.approx(float(exact["with"]))
    assert minibatch_variance.variance_without(terms, M) == pytest.approx(float(exact["without"]))


# The graph of a computation ----------------------------------------------------------------------


def written(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_the_graph_of_an_elbo_has_its_noise_among_the_leaves(tmp_path):
    figure = draw_graph(*computation_graph.elbo())
    labels = written(figure)
    assert labels.count("x\n(8, 20)") == 1  # the encoder's and the likelihood's are one
    drawn = {"eps\n(1, 8, 2)", "phi.mu.weight\n(16, 2)", "reparameterise\n(1, 8, 2)"}
    assert drawn < set(labels)
    operations = [line.partition("\n")[0] for line in labels if line.startswith("linear")]
    assert sorted(operations) == ["linear, identity"] * 3 + ["linear, tanh"] * 2
    save_figure(figure, tmp_path / "graph.png")
    assert figure._repr_png_().startswith(b"\x89PNG")
    # the noise has a colour of its own
    colours = {t.get_text(): t.get_bbox_patch().get_facecolor() for t in figure.axes[0].texts[-20:]}
    assert colours["eps\n(1, 8, 2)"] not in {
        colour for label, colour in colours.items() if not label.startswith("eps")
    }


def test_boxes_do_not_overlap_and_arrows_lead_down():
    figure = draw_graph(*computation_graph.elbo())
    figure.draw_without_rendering()
    texts = [t for t in figure.axes[0].texts if t.get_text()]
    boxes = [t.get_bbox_patch().get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    arrows = [t for t in figure.axes[0].texts if not t.get_text()]
    assert all(arrow.xy[1] < arrow.get_position()[1] for arrow in arrows)


def test_a_tensor_used_twice_has_one_box():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    assert sorted(written(draw_graph(y + y))) == ["add\n(2,)", "multiply\n(2,)", "x\n(2,)"]
    assert "first\n(2,)" in written(draw_graph(y, {"first": x}))


def test_what_has_no_graph_is_refused():
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="0 operations on the tape"):
        draw_graph(x)
    for _ in range(201):
        x = x + 1.0
    with pytest.raises(ValueError, match=r"201 operations .* or a part of it"):
        draw_graph(x)
