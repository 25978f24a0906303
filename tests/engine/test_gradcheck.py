"""The gradient check, checked: wrong VJPs it must refuse and name, right ones it must pass."""

import re
from collections import Counter
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wrong_vjps import RIGHT, WRONG, normal, positive, softmax
from minivae import Tensor, grad, no_grad, ops, primitive
from minivae.errors import GradientError, ShapeError
from minivae.gradcheck import assert_gradcheck, gradcheck
from minivae.gradcheck.hypotheses import Comparison, named_constant

X, Y = normal(3, 4), normal(4, 5)


def ids(cases):
    return [case.name for case in cases]


# Wrong ones --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", WRONG, ids=ids(WRONG))
def test_a_wrong_vjp_fails_with_the_right_diagnosis(wrong):
    report = gradcheck(wrong.function, *wrong.pair.inputs)
    assert report.verdict == "FAIL"
    assert not report
    assert re.search(wrong.diagnosis, report.diagnosis), report.diagnosis
    assert report.table


def test_the_bank_is_large_and_names_are_unique():
    assert len(WRONG) >= 60
    assert [name for name, n in Counter(ids(WRONG)).items() if n > 1] == []


@pytest.mark.parametrize("right", RIGHT, ids=ids(RIGHT))
def test_what_the_wrong_ones_are_made_from_is_right(right):
    assert_gradcheck(primitive(right.forward, right.vjp), *right.inputs)


# What common checks are blind to: exact zeros, permutations, the degenerate -----------------------


def permuted(vjp):
    return primitive(lambda x: x.transpose(1, 2, 0), vjp)


def test_a_vjp_that_gives_nothing_for_some_cotangents():
    large = primitive(np.sin, lambda g, out, x: None if np.abs(g).max() > 1.6 else g * np.cos(x))
    report = gradcheck(large, normal(4))
    assert report.verdict == "FAIL"
    assert "not linear in the cotangent g" in report.diagnosis


@pytest.mark.parametrize("entry", [0, -1])
@pytest.mark.parametrize("size", [2, 3, 5, 9])
def test_one_entry_of_g_does_not_pass_for_their_sum(size, entry):
    copied = primitive(lambda b: np.zeros(size) + b, lambda g, out, b: g[entry])
    negated = primitive(lambda b: np.zeros(size) + b, lambda g, out, b: -g[entry])
    for seed in range(20):
        assert gradcheck(copied, np.array(0.3), seed=seed).verdict == "FAIL"
        assert gradcheck(negated, np.array(0.3), seed=seed).verdict == "FAIL"


@pytest.mark.parametrize(
    ("function", "x", "verdict"),
    [
        (permuted(lambda g, out, x: g.transpose(1, 2, 0)), normal(3, 3, 3), "FAIL"),
        (permuted(lambda g, out, x: g), normal(3, 3, 3), "FAIL"),
        (primitive(lambda x: x[::-1], lambda g, out, x: g), normal(5), "FAIL"),
        (primitive(softmax, lambda g, out, x: 0 * g), normal(3, 4), "FAIL"),
        (primitive(lambda x: x - x.mean(), lambda g, out, x: 0 * g), normal(5), "FAIL"),
        (primitive(lambda x: np.log(x + 1e5), lambda g, out, x: 0 * g), normal(5), "FAIL"),
        (primitive(lambda x: np.exp(x - 200), lambda g, out, x: 0 * g), normal(5), "FAIL"),
        (primitive(lambda x: x**0, lambda g, out, x: 0 * g * x**-1), normal(5), "INCONCLUSIVE"),
    ],
    ids=[
        "permute with the permutation itself",
        "permute that does nothing",
        "flip forgotten",
        "softmax returns zeros",
        "x - mean(x) returns zeros",
        "log(x + 1e5) returns zeros",
        "exp(x - 200) returns zeros",
        "x**0 with garbage times 0",
    ],
)
def test_nothing_that_blinds_a_common_check_passes(function, x, verdict):
    assert gradcheck(function, x).verdict == verdict


# Right ones at awkward scales --------------------------------------------------------------------


def repeat(function, times, x):
    return reduce(lambda value, _: function(value), range(times), x)


def mixture(mu, log_sigma, logits):
    z = (DATA[:, None] - mu) * ops.exp(-log_sigma)
    return ops.sum(ops.logsumexp(ops.log_softmax(logits) - log_sigma - 0.5 * z * z, axis=1))


V, P, DATA = normal(5), positive(5), 10 * normal(20, seed=3)
TINY_AND_HUGE = (1e-150, 1e-30, 1e-8, 1e-3, 1e3, 1e8, 1e30, 1e150)

AWKWARD = [
    *((f"sin(x) * {s:g}", lambda x, s=s: ops.sin(x) * s, (V,)) for s in TINY_AND_HUGE),
    *((f"log at {s:g}", ops.log, (P * s,)) for s in TINY_AND_HUGE),
    *((f"sqrt at {s:g}", ops.sqrt, (P * s,)) for s in TINY_AND_HUGE),
    *((f"1 / x at {s:g}", lambda x: 1.0 / x, (P * s,)) for s in TINY_AND_HUGE),
    *((f"norm at {s:g}", ops.norm, (V * s,)) for s in TINY_AND_HUGE),
    *((f"sum at {s:g}", ops.sum, (V * s,)) for s in TINY_AND_HUGE),
    *((f"tanh(x / {s:g})", lambda x, s=s: ops.tanh(x / s), (V * s,)) for s in TINY_AND_HUGE),
    *((f"sin({s:g} x)", lambda x, s=s: ops.sin(s * x), (V,)) for s in (1e2, 1e4, 1e6, 1e8)),
    *((f"variance around {s:g}", ops.var, (V + s,)) for s in (1e-6, 1e3, 1e6)),
    *((f"deviation around {s:g}", ops.std, (V + s,)) for s in (1e-6, 1e3, 1e6)),
    *((f"softmax over {s:g}", ops.softmax, (normal(3, 6) * s,)) for s in (10, 100)),
    *((f"log_softmax over {s:g}", ops.log_softmax, (normal(3, 6) * s,)) for s in (10, 100)),
    *((f"Gaussian KL at {s:g}", ops.gaussian_kl, (s * normal(3, 4), s * normal(3, 4, seed=1)))
      for s in (1e-8, 1e-4, 30)),
    ("log sum exp, naive", lambda x: ops.log(ops.sum(ops.exp(x))), (V * 5,)),
    ("log sum exp, naive, at 700", lambda x: ops.log(ops.sum(ops.exp(x))), (V + 700,)),
    ("logsumexp at 1e4", ops.logsumexp, (V + 1e4,)),
    ("logsumexp over 100", ops.logsumexp, (V * 100,)),
    ("cumulative sum", ops.cumsum, (normal(40),)),
    ("cumulative sum of exp", lambda x: ops.cumsum(ops.exp(10 * x)), (normal(30),)),
    ("chain of products", lambda a, b, c, d: a @ b @ c @ d,
     (normal(3, 4), normal(4, 5), 1e-6 * normal(5, 4), 1e6 * normal(4, 2))),
    ("1e12 x beside sin(y), one number",
     lambda x, y: ops.sum(1e12 * x) + ops.sum(ops.sin(y)), (V, V)),
    ("1e12 x beside sin(y)", lambda x, y: ops.concatenate([1e12 * x, ops.sin(y)]), (V, V)),
    ("1e12 x exp(1e-6 y)", lambda x, y: 1e12 * x * ops.exp(1e-6 * y), (V, V)),
    ("weights from 1e-8 to 1e8",
     lambda x: ops.sum(ops.sin(x) * np.array([1e8, 1, 1e-8, 1e4, 1e-4])), (V,)),
    ("exp(x - 200)", lambda x: ops.exp(x - 200), (V,)),
    ("log(x + 1e10)", lambda x: ops.log(x + 1e10), (V,)),
    ("sin((x + 1e8) - 1e8)", lambda x: ops.sin((x + 1e8) - 1e8), (V,)),
    ("tanh, saturated", ops.tanh, (np.array([0.5, 5, 10, 15, 18, 20, 40, 300, -20]),)),
    ("sigmoid, saturated", ops.sigmoid, (np.array([0.5, 10, 20, 40, 800, -30, -100, -700]),)),
    ("log sigmoid, naive",
     lambda x: ops.log(ops.sigmoid(x)), (np.array([33.0, 20, 5, 0.1, -40]),)),
    ("softplus, saturated", ops.softplus, (np.array([0.5, 10, 40, 800, -30, -100, -700]),)),
    ("sqrt(x^2 + 1e-12) near 0", lambda x: ops.sqrt(x * x + 1e-12), (V * 1e-6,)),
    ("norm near 0, plus 1", lambda x: ops.norm(x) + 1.0, (V * 1e-4,)),
    ("relu near its kink", ops.relu, (np.array([1e-3, 1e-6, -1e-6, 1e-9, -1e-9, 0.5, -0.5]),)),
    ("1 + relu near its kink",
     lambda x: 1.0 + ops.relu(x), (np.array([1e-2, -1e-2, 1e-5, -1e-5]),)),
    ("abs near its kink", ops.abs, (np.array([1e-3, 1e-6, -1e-6, 1e-9, -1e-9, 0.5]),)),
    ("clip, on and near its bounds", lambda x: ops.clip(x, -1.0, 1.0),
     (np.array([-2, -1, -0.9999, 0, 1, 1.0001, 3]),)),
    ("max with some ties", lambda x: ops.max(x, axis=1), (np.array([[1.0, 3, 3], [2, 1, 0]]),)),
    ("relu with a zero", ops.relu, (np.array([0.0, 1.0, -1.0]),)),
    ("x |x| with a zero", lambda x: x * ops.abs(x), (np.array([0.0, 1, -1, 1e-5]),)),
    ("x^3 with a zero", lambda x: x**3.0, (np.array([0.0, 1, -2]),)),
    ("1 + x^2 with a small x", lambda x: 1.0 + x**2.0, (np.array([1e-3, 1, -2, 1e-7]),)),
    ("sharp sigmoid", lambda x: ops.sigmoid(1e4 * x), (V * 1e-4,)),
    ("sharp softplus", lambda x: ops.softplus(1e6 * x), (V * 1e-6,)),
    ("narrow bump", lambda x: ops.exp(-0.5 * ((x - 1.0) / 1e-3) ** 2.0), (1 + V * 1e-3,)),
    ("Gaussian with sigma around e^-10",
     lambda mu, log_sigma: -0.5 * ((1.0 - mu) * ops.exp(-log_sigma)) ** 2.0 - log_sigma,
     (V, V - 10)),
    ("mixture, far apart", mixture, (50 * normal(3), normal(3) - 2, 10 * normal(3))),
    ("product with a zero", ops.prod, (np.array([2.0, 0, 3, 4]),)),
    ("product of hundreds", ops.prod, (normal(8) * 100,)),
    ("x^y", lambda x, y: x**y, (P * 10, V * 5)),
    ("x / sum(x) from 1e-6 to 1e3",
     lambda x: x / ops.sum(x), (P * np.array([1, 1e-3, 1e3, 1e-6, 1e2]),)),
    ("layer norm around 1e5",
     lambda x: (x - ops.mean(x, -1, True)) / ops.std(x, -1, keepdims=True),
     (1e4 * normal(3, 5) + 1e5,)),
    ("logit near its ends",
     lambda p: ops.log(p) - ops.log1p(-p), (np.array([1e-9, 0.5, 1 - 1e-9]),)),
    ("arc near its end", lambda x: ops.sqrt(1.0 - x * x), (1 - P * 1e-8,)),
    ("exp(x) - 1 - x near 0", lambda x: ops.exp(x) - 1.0 - x, (V * 1e-3,)),
    ("1 - cos near 0", lambda x: 1.0 - ops.cos(x), (V * 1e-4,)),
    ("sin at its top", ops.sin, (np.array([np.pi / 2, 1.0]),)),
    ("chaos", lambda x: repeat(lambda v: 3.9 * v * (1.0 - v), 12, x), (P / 2.5,)),
    ("twenty layers", lambda x: repeat(lambda v: ops.tanh(v @ (1.5 * normal(4, 4))), 20, x), (X,)),
    ("a loss around 1e3",
     lambda x, w: ops.sum(10.0 * ops.softplus(ops.tanh(x @ w))), (normal(10, 8), normal(8, 6))),
    ("a thousand elements", lambda x: ops.sin(x) * x, (normal(20, 50),)),
    ("no elements in one input", lambda x, y: ops.concatenate([x, y]), (np.zeros(0), V)),
    ("an input that is not used", lambda x, y: ops.sin(x), (V, V)),
    ("a number", lambda x: x * x, (2.0,)),
]  # fmt: skip


awkward = pytest.mark.parametrize(
    ("function", "inputs"), [case[1:] for case in AWKWARD], ids=[case[0] for case in AWKWARD]
)


@awkward
def test_a_right_gradient_passes_at_any_scale(function, inputs):
    assert_gradcheck(function, *inputs)


def test_there_are_many_awkward_functions():
    assert len(AWKWARD) >= 60


off_by_a_trifle = primitive(lambda x: x.copy(), lambda g, out, x: 1.003 * g)


@awkward
def test_a_gradient_wrong_by_a_trifle_fails_at_any_scale(function, inputs):
    report = gradcheck(lambda *xs: off_by_a_trifle(function(*xs)), *inputs)
    assert report.verdict == "FAIL"
    assert report.diagnosis == "in lambda: the gradient of x is off by a constant factor of 1.003"


# Rules -------------------------------------------------------------------------------------------


def vjp_of_product(change):
    return primitive(lambda x, y: x @ y, lambda g, out, x, y: change(g @ y.T, x.T @ g))


def doubling(vjp):
    return primitive(lambda x: 2 * x, vjp)


def sine(vjp):
    return primitive(lambda x: np.sin(x), vjp)


def in_place(g, out, x):
    g *= 2
    return g


def into_the_input(g, out, x):
    x *= 2
    return g


def into_the_output(g, out, x):
    out *= g
    return out


def not_yet(g, out, x):
    raise NotImplementedError("exercise 7")


def one_buffer():
    buffer = np.zeros_like(X)
    return sine(lambda g, out, x: np.multiply(g, np.cos(x), out=buffer))


def counting():
    calls = iter(range(1, 1000))
    return sine(lambda g, out, x: g * np.cos(x) * next(calls))


def shifting_in_place(x):
    x -= x.max()
    return np.exp(x)


@pytest.mark.parametrize(
    ("function", "inputs", "diagnosis"),
    [
        (vjp_of_product(lambda a, b: a), (X, Y), "1 cotangents for 2 inputs"),
        (vjp_of_product(lambda a, b: (a, b, None)), (X, Y), "3 cotangents for 2 inputs"),
        (vjp_of_product(lambda a, b: (a.T, b)), (X, Y),
         r"of x has shape \(4, 3\), the input \(3, 4\): it is transposed"),
        (vjp_of_product(lambda a, b: (a, b[None])), (X, Y), "sum over the leading axes is missing"),
        (primitive(lambda x, b: x + b, lambda g, out, x, b: (g, g)), (X, V[:4]),
         r"of b has shape \(3, 4\), the input \(4,\): the sum over the axes that were broadcast"),
        (primitive(lambda x: x.sum(axis=0), lambda g, out, x: g), (X,), "not broadcast back"),
        (doubling(lambda g, out, x: 2 * g.ravel()), (X,), "a reshape is missing"),
        (doubling(lambda g, out, x: (2 * g).astype(np.float32)), (X,), "dtype float32"),
        (doubling(lambda g, out, x: (2 * g).astype(int)), (X,), "dtype int64"),
        (doubling(lambda g, out, x: (2 * g).astype(object)), (X,), "dtype object"),
        (doubling(lambda g, out, x: "2 g"), (X,), "is str, not an array"),
        (doubling(in_place), (X,), "changes the cotangent g in place"),
        (doubling(into_the_input), (X,), "writes into its inputs"),
        (doubling(into_the_output), (X,), "writes into its inputs or its output"),
        (primitive(shifting_in_place, lambda g, out, x: g * out), (X,),
         "function writes into its inputs"),
        (one_buffer(), (X,), "returns the same array at every call"),
        (counting(), (X,), "two calls of the VJP differ"),
        (sine(lambda g, out, x: g * np.cos(x) * (1 + 1e-7 * np.random.default_rng().normal())),
         (X,), "two calls of the VJP differ"),
        (doubling(lambda g, out, x: 2 * g.ravel(order="K").reshape(g.shape)), (X,),
         "memory layout of g"),
        (sine(not_yet), (X,), "not written yet: exercise 7"),
        (vjp_of_product(lambda a, b: 1 / 0), (X, Y), "raises ZeroDivisionError: division by zero"),
        (lambda x: x * np.random.default_rng().normal(size=(3, 4)), (X,),
         "two calls of the function differ"),
        (lambda x: x.astype(np.float32) * 2.0, (X,), "returns float32 for float64 inputs"),
    ],
)  # fmt: skip
def test_a_broken_rule_fails_before_any_number(function, inputs, diagnosis):
    report = gradcheck(function, *inputs)
    assert report.verdict == "FAIL"
    assert re.search(diagnosis, report.diagnosis), report.diagnosis
    assert report.table == []


def test_the_rule_that_is_broken_inside_a_larger_function_is_named_with_its_operation():
    def scaled(x):
        return 2 * x

    report = gradcheck(lambda x: ops.sum(primitive(scaled, in_place)(ops.exp(x))), X)
    assert report.diagnosis.startswith("in scaled: the VJP changes the cotangent g in place")


def test_an_exception_of_the_vjp_is_kept():
    report = gradcheck(sine(not_yet), X)
    assert isinstance(report.error, NotImplementedError)
    with pytest.raises(AssertionError, match="exercise 7") as failure:
        assert_gradcheck(sine(not_yet), X)
    assert isinstance(failure.value.__cause__, NotImplementedError)


def test_a_vjp_may_return_its_cotangent_and_lists():
    assert_gradcheck(primitive(lambda x: x.copy(), lambda g, out, x: g), X)
    assert_gradcheck(primitive(lambda x, y: x + y, lambda g, out, x, y: [g, g]), X, X)


# A mistake inside a larger function --------------------------------------------------------------


def wrong_sine(x):
    return np.sin(x)


wrong_sine = primitive(wrong_sine, lambda g, out, x: -g * np.cos(x))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.sum(wrong_sine(x)),
        lambda x: ops.sum(ops.square(wrong_sine(x @ Y))),
        lambda x: ops.sum(wrong_sine(ops.exp(x)) + ops.tanh(x) * wrong_sine(x)),
        lambda x: ops.logsumexp(3.0 * wrong_sine(x / 2.0) @ Y, axis=1),
    ],
)
def test_the_operation_to_blame_is_found(function):
    report = gradcheck(function, X)
    assert report.diagnosis == "in wrong_sine: the gradient of x has the wrong sign"


def leaves_out_the_norm(x):
    with no_grad():
        total = ops.sum(ops.exp(x))
    return ops.exp(x) / total


@pytest.mark.parametrize(
    ("function", "diagnosis"),
    [
        (lambda x: x * x.detach(), "half .*look for .detach"),
        (lambda x: ops.sin(x) * ops.exp(x).detach(), "look for .detach"),
        (leaves_out_the_norm, "no_grad in the function"),
        (lambda x: x.data * 2.0, "is zero.*not on the tape"),
    ],
)
def test_a_function_that_leaves_the_tape_is_told_so(function, diagnosis):
    report = gradcheck(function, X)
    assert report.verdict == "FAIL"
    assert re.search(diagnosis, report.diagnosis), report.diagnosis


# Nothing can be said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "x", "diagnosis"),
    [
        (ops.relu, np.zeros(3), "every element of x is at a kink"),
        (ops.abs, np.zeros(()), "every element of x is at a kink"),
        (ops.max, np.array([3.0, 3.0]), "every element of x is at a kink"),
        (lambda x: ops.clip(x, 0.0, 1.0), np.array([0.0, 1.0]), "every element of x is at a kink"),
        (ops.norm, np.zeros(3), "every element of x is at a kink"),
        (ops.sqrt, np.zeros(2), "every element of x is at a kink"),
        (ops.relu, np.array([0.0, -1.0]), "at a kink, or its gradient vanishes"),
        (lambda x: ops.sin(1e17 * x), V, "too rough in x"),
        (lambda x: x**3.0, np.zeros(2), "both gradients vanish everywhere"),
        (ops.relu, np.array([-1.0, -2.0]), "both gradients vanish everywhere"),
        (ops.tanh, np.array([400.0, 500.0]), "both gradients vanish everywhere"),
        (lambda x: x**0.0, V, "both gradients vanish everywhere"),
        (lambda x: x * 1.0, np.zeros((0, 3)), "both gradients vanish everywhere"),
        (primitive(lambda x: np.floor(x), lambda g, out, x: 0 * g), V, "both gradients vanish"),
        (ops.log, np.array([0.0, 1.0]), r"not finite, at out\[0\]"),
    ],
)  # fmt: skip
def test_a_check_that_proves_nothing_is_inconclusive(function, x, diagnosis):
    report = gradcheck(function, x)
    assert report.verdict == "INCONCLUSIVE"
    assert not report
    assert re.search(diagnosis, report.diagnosis), report.diagnosis
    with pytest.raises(AssertionError, match="INCONCLUSIVE"):
        assert_gradcheck(function, x)


@pytest.mark.parametrize("function", [lambda x: x**0.0, lambda x: ops.sum(0.0 * x)])
def test_a_gradient_that_is_meant_to_vanish_passes_when_said_so(function):
    assert not gradcheck(function, V)
    assert gradcheck(function, V, expect_zero=True)


def test_a_composition_of_right_vjps_is_not_called_wrong_by_rounding():
    x = 1e6 * normal(3, 4)  # lost beside a product of 1e24, so that the outputs stand still

    def f(x):
        large = ops.prod(x, axis=1, keepdims=True)
        return (large + x) - large

    report = gradcheck(f, x)
    assert report.verdict == "INCONCLUSIVE"
    assert "follows by the chain rule" in report.diagnosis


def test_a_function_that_moves_in_jumps_gives_no_ground_for_a_pass():
    forward = primitive(lambda x: (x + 1e8) - 1e8, lambda g, out, x: 0 * g)
    assert not gradcheck(forward, V)


def test_a_wrong_value_comes_before_nothing_to_say():
    one_sided = primitive(lambda x: np.maximum(x, 0), lambda g, out, x: g)
    report = gradcheck(one_sided, np.array([0.0, 0.0, -1.0]))
    assert report.verdict == "FAIL"
    assert report.kinks == [("x", (0,)), ("x", (1,))]


def test_kinks_are_left_out_and_listed():
    report = gradcheck(ops.relu, np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert report.verdict == "PASS"
    assert report.kinks == [("x", (0, 0)), ("x", (1, 1))]
    assert (report.checked, report.total) == (2, 4)
    assert "Left out, at a kink: x[0, 0], x[1, 1]." in str(report)


# The call ----------------------------------------------------------------------------------------


def test_integers_booleans_and_strings_are_handed_on():
    assert_gradcheck(lambda x, i: x[i], V, np.array([0, 0, 3]))
    assert_gradcheck(ops.where, V > 0, V, ops.exp(V))
    assert_gradcheck(ops.einsum, "ij,jk->ik", X, Y)


def test_lists_numbers_tensors_and_float32_are_checked_in_float64():
    dtypes = []

    def function(*xs):
        dtypes.extend(x.dtype for x in xs)
        return ops.sum(xs[0]) * xs[1] + xs[2] * ops.sin(xs[3])

    assert_gradcheck(function, [1, 2, 3], 2, Tensor(0.5, requires_grad=True), np.float32(1.5))
    assert set(dtypes) == {np.dtype(np.float64)}


def test_second_derivatives_are_checked_as_gradients_of_gradients():
    assert_gradcheck(grad(lambda x: ops.sum(ops.sin(x) * x)), X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradcheck(lambda: 1.0), ValueError, "give the inputs"),
        (lambda: gradcheck(ops.exp, np.arange(3)), ValueError, "nothing to differentiate"),
        (lambda: gradcheck(ops.exp, np.array([1.0, np.nan])), ValueError, "input x has NaN"),
        (lambda: gradcheck(lambda x: None, X), GradientError, "returned NoneType"),
        (lambda: gradcheck(lambda x: (x, x), X), GradientError, "returned tuple"),
        (lambda: gradcheck(lambda x: x > 0, X), GradientError, "returned bool"),
        (lambda: gradcheck(lambda x: x @ X, X), ShapeError, "matmul"),
        (lambda: gradcheck(lambda x: np.arctan(x), X), GradientError, "arctan"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_error_of_the_function_says_where_it_came_from():
    with pytest.raises(GradientError) as failure:
        gradcheck(lambda x: np.arctan(x), X)
    (note,) = failure.value.__notes__
    assert note.startswith("gradcheck: raised while computing lambda: x (3, 4).")
    assert "primitive(forward, vjp)" in note


def test_a_function_may_refuse_what_lies_outside_its_domain():
    def entropy(p):
        if (p.data <= 0).any() or (p.data >= 1).any():
            raise ValueError("probabilities lie between 0 and 1")
        return -p * ops.log(p)

    assert_gradcheck(entropy, np.array([1e-12, 1e-3, 0.5, 0.99, 1 - 1e-9]))


def test_a_check_can_be_repeated_and_disturbs_nothing():
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    x = X.copy()
    first, second = (gradcheck(ops.tanh, x) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert gradcheck(ops.tanh, x, seed=1).table != first.table


def test_a_large_input_is_sampled_and_the_rest_checked_together():
    x = normal(100, 100)
    report = gradcheck(ops.sin, x, max_elements=50)
    assert report.verdict == "PASS"
    assert (report.checked, report.total, report.sampled) == (50, 10_000, True)
    assert "50 of 10000 elements compared one by one, the others together." in str(report)

    asked = []
    gradcheck(lambda y: (asked.append(0), ops.sin(y))[1], x[:20], max_elements=50)
    assert len(asked) < 1000  # calls: what is right and moved together is not looked at one by one

    def one_wrong(g, out, x):
        c = g * np.cos(x)
        c[77, 7] *= 1.01
        return c

    report = gradcheck(sine(one_wrong), x, max_elements=50)
    assert report.verdict == "FAIL"
    assert report.table[0].index == (77, 7)
    assert "x[77, 7]" in report.diagnosis


# The report --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", WRONG[::7] + WRONG[-40:], ids=ids(WRONG[::7] + WRONG[-40:]))
def test_the_report_fits_one_screen(wrong):
    lines = str(gradcheck(wrong.function, *wrong.pair.inputs)).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("FAIL  ")


def test_a_report_with_everything_long_still_fits():
    def a_function_with_quite_a_long_name_for_a_function(*inputs):
        return sum(ops.relu(x) for x in inputs)

    report = gradcheck(
        a_function_with_quite_a_long_name_for_a_function, *[np.zeros((1, 2, 1))] * 12
    )
    lines = str(report).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_the_report_reads_like_this():
    report = gradcheck(sine(lambda g, out, x: -g * np.cos(x)), np.array([0.0, 1.0]))
    assert str(report) == (
        "FAIL  lambda: x (2,)\n"
        "\n"
        "  the gradient of x has the wrong sign\n"
        "\n"
        "                              analytic       numeric       ratio   rel. error\n"
        "  x[0]                         1.13696      -1.13696          -1      2.0e+00\n"
        "  x[1]                       -0.415918      0.415918          -1      2.0e+00\n"
        "\n"
        "  2 of 2 elements compared."
    )


def test_the_table_has_the_worst_elements_first():
    def vjp(g, out, x, y):
        return g * y, g * x * (1 + np.array([0, 1e-3, 0, 1e-2, 0, 1e-1]))

    report = gradcheck(primitive(lambda x, y: x * y, vjp), normal(6), positive(6))
    assert len(report.table) == 5
    first = report.table[0]
    assert (first.input, first.name, first.index) == (1, "y", (5,))
    assert first.ratio == pytest.approx(1.1)
    assert first.relative_error == pytest.approx(0.1 / 1.1)
    assert [row.index[0] for row in report.table[:3]] == [5, 3, 1]


def test_a_gradient_that_overflows_is_judged_without_warnings():
    huge = primitive(lambda x: 1e306 * x, lambda g, out, x: 1e306 * g)
    assert gradcheck(huge, V * 1e-3)
    exploding = primitive(lambda x: np.exp(x), lambda g, out, x: g * np.exp(1e3 + 0 * x))
    assert "the gradient is" in gradcheck(exploding, V).diagnosis


def test_inputs_are_called_what_the_function_calls_them():
    def affine(weights, /, bias, *others):
        return weights * bias + others[0]

    report = gradcheck(affine, V, V + 1, V + 2)
    assert report.function == "affine: weights (5,), bias (5,), input 2 (5,)"


# Any program, any element ------------------------------------------------------------------------

SMOOTH = [
    ops.sin,
    ops.tanh,
    ops.sigmoid,
    ops.softplus,
    ops.softmax,
    ops.log_softmax,
    lambda x: ops.exp(0.3 * ops.sin(x)),
    lambda x: x * ops.cos(x),
    lambda x: ops.cumsum(x, axis=-1),
    lambda x: x / ops.sqrt(1.0 + ops.sum(ops.square(x))),
    lambda x: x @ normal(4, 4),
    lambda x: ops.flip(x, 0) + x,
    lambda x: ops.concatenate([x[1:], x[:1]]),
]
programs = st.lists(st.sampled_from(SMOOTH), min_size=1, max_size=5)
matrices = st.integers(0, 2**32 - 1).map(lambda seed: normal(3, 4, seed=seed))


@given(programs, matrices)
def test_random_smooth_programs_pass(program, x):
    assert_gradcheck(lambda x: reduce(lambda value, f: f(value), program, x), x)


@given(st.sampled_from(RIGHT), st.data())
def test_one_wrong_element_is_found_and_named(pair, data):
    number = data.draw(st.integers(0, len(pair.inputs) - 1))
    shape = np.shape(pair.inputs[number])
    index = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    factor = data.draw(st.sampled_from([-1.0, 0.0, 0.5, 0.999, 1.00001, 2.0, 100.0]))

    def vjp(g, out, *inputs):
        cotangents = pair.vjp(g, out, *inputs)
        single = not isinstance(cotangents, tuple)
        found = [np.array(c) for c in ((cotangents,) if single else cotangents)]
        found[number][index] *= factor
        return found

    report = gradcheck(primitive(pair.forward, vjp), *pair.inputs)
    assert report.verdict == "FAIL"
    assert (report.table[0].input, report.table[0].index) == (number, index)


WAVES = {
    "a wave of period 1": (lambda x: x + np.sin(2 * np.pi * x), lambda g, out, x: g),
    "a wave of period 2": (lambda x: x + np.sin(np.pi * x), lambda g, out, x: g),
    "a bowl with waves": (lambda x: x**2 - np.cos(2 * np.pi * x), lambda g, out, x: g * 2 * x),
    "whole steps": (np.floor, lambda g, out, x: g),
    "steps of 1/255": (lambda x: np.round(255 * x) / 255, lambda g, out, x: g),
}


@pytest.mark.parametrize("name", WAVES)
@pytest.mark.parametrize("seed", range(5))
def test_whole_periods_do_not_pass_for_a_straight_line(name, seed):
    forward, wrong = WAVES[name]
    wave = primitive(lambda x: forward(x), wrong)
    report = gradcheck(wave, np.random.default_rng(seed).standard_normal(3))
    assert report.verdict == "FAIL"


@pytest.mark.parametrize("n", [4, 5, 6])
def test_one_wrong_element_is_found_among_those_not_compared(n):
    for i in range(n):
        wrong = np.where(np.arange(n) == i, 1.5, 1.0)
        sine = primitive(lambda x: np.sin(x), lambda g, out, x, wrong=wrong: wrong * g * np.cos(x))
        report = gradcheck(sine, normal(n), max_elements=3)
        assert report.verdict == "FAIL"
        assert f"x[{i}]" in str(report)


@pytest.mark.parametrize(
    ("k", "name"),
    [
        (np.log(2 * np.pi), "(log(2 pi))"),
        (0.5 * np.log(2 * np.pi), "(1/2 log(2 pi))"),
        (2.5 * np.log(2 * np.pi), "(1/2 5 log(2 pi))"),
        (5 * np.log(np.pi), "(5 log pi)"),
        (np.log(2), "(log 2)"),
        (1.0, "(1)"),
        (np.log(5), "(log 5: of N, an average in log space)"),
    ],
)
def test_a_constant_that_is_missing_is_named(k, name):
    x = normal(5, 2)
    right = x.sum(axis=1)
    wrong = Comparison(found=right - k, expected=right, slack=np.zeros(5), inputs={"x": x})
    assert name in named_constant(wrong)
    assert named_constant(Comparison(found=right - 0.77, expected=right, slack=np.zeros(5))) is None
