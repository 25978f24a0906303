"""What the engine answers at kinks and edges, where a choice had to be made, a row each."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from minivae import Tensor, grad, ops, primitive, vjp

inf, nan = math.inf, math.nan


class Rule(NamedTuple):
    """A function of one array, a point, its value there and its gradient.

    Where the value is not a single number, the gradient is that of its sum.
    """

    what: str
    function: Callable[[Any], Any]
    at: Any
    value: Any
    gradient: Any


def second(f):
    """The second derivative of a function of each element."""
    first = grad(lambda x: ops.sum(f(x)))
    return grad(lambda x: ops.sum(first(x)))


CONVENTIONS = [
    # kinks: the derivative is taken from the inside, or evenly
    Rule("relu at 0 is flat", ops.relu, [0.0, -0.0], [0.0, 0.0], [0.0, 0.0]),
    Rule("|x| at 0 is flat", ops.abs, [0.0, -0.0], [0.0, 0.0], [0.0, 0.0]),
    Rule("clip counts its bounds in", lambda x: ops.clip(x, -1.0, 1.0),
         [-2.0, -1.0, 0.0, 1.0, 2.0], [-1.0, -1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
    Rule("maximum(x, 1) splits a tie", lambda x: ops.maximum(x, 1.0),
         [0.0, 1.0, 2.0], [1.0, 1.0, 2.0], [0.0, 0.5, 1.0]),
    Rule("minimum(x, 1) splits a tie", lambda x: ops.minimum(x, 1.0),
         [0.0, 1.0, 2.0], [0.0, 1.0, 1.0], [1.0, 0.5, 0.0]),
    Rule("maximum(x, x) is x", lambda x: ops.maximum(x, x), [3.0], [3.0], [1.0]),
    Rule("max splits a tie", ops.max, [1.0, 3.0, 3.0], 3.0, [0.0, 0.5, 0.5]),
    Rule("max along an axis splits a tie", lambda x: ops.max(x, 0), [[3.0, 1.0], [3.0, 0.0]],
         [3.0, 1.0], [[0.5, 1.0], [0.5, 0.0]]),
    Rule("max along two axes splits a tie", lambda x: ops.max(x, (0, 1)),
         [[[2.0], [2.0]], [[2.0], [1.0]]], [2.0], [[[1 / 3], [1 / 3]], [[1 / 3], [0.0]]]),
    Rule("min splits a tie", ops.min, [1.0, 1.0, 3.0], 1.0, [0.5, 0.5, 0.0]),
    # where the slope is infinite, it is infinite
    Rule("the square root of 0 is steep", ops.sqrt, [0.0], [0.0], [inf]),
    Rule("x ** 0.5 at 0 is steep", lambda x: x**0.5, [0.0], [0.0], [inf]),
    Rule("the logarithm of 0 is steep", ops.log, [0.0], [-inf], [inf]),
    # 0 / 0 where the limit is known or a subgradient is useful
    Rule("the norm of 0 is flat", ops.norm, [0.0, 0.0], 0.0, [0.0, 0.0]),
    Rule("the norm along an axis, of 0", lambda x: ops.norm(x, 1), [[0.0, 0.0], [3.0, 4.0]],
         [0.0, 5.0], [[0.0, 0.0], [0.6, 0.8]]),
    Rule("the norm does not overflow", ops.norm, [3e200, 4e200], 5e200, [0.6, 0.8]),
    Rule("the norm does not underflow", ops.norm, [3e-200, 4e-200], 5e-200, [0.6, 0.8]),
    Rule("the deviation of equal numbers is flat", ops.std, [2.0, 2.0], 0.0, [0.0, 0.0]),
    Rule("xlogy(x, x) at 0 is 0 and flat", lambda x: ops.xlogy(x, x), [0.0], [0.0], [0.0]),
    Rule("xlogy(x, 0) at 0 is flat", lambda x: ops.xlogy(x, 0.0), [0.0], [0.0], [0.0]),
    Rule("xlogy(0, y) is flat", lambda y: ops.xlogy(0.0, y), [0.0, 2.0], [0.0] * 2, [0.0] * 2),
    Rule("x log x, written so, is not", lambda x: x * ops.log(x), [0.0], [nan], [nan]),
    # powers
    Rule("x ** 2 at 0", lambda x: x**2, [0.0], [0.0], [0.0]),
    Rule("x ** 1 at 0", lambda x: x**1, [0.0], [0.0], [1.0]),
    Rule("x ** 0 at 0", lambda x: x**0, [0.0], [1.0], [0.0]),
    Rule("x ** 0.0 at 0", lambda x: x**0.0, [0.0], [1.0], [0.0]),
    Rule("0 ** y at 0 and above", lambda y: 0.0**y, [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]),
    Rule("0 ** y below 0", lambda y: 0.0**y, [-1.0], [inf], [-inf]),
    Rule("(-2) ** y has no slope in y", lambda y: (-2.0) ** y, [2.0], [4.0], [nan]),
    Rule("(-2) ** 3 has one in x", lambda x: x**3.0, [-2.0], [-8.0], [12.0]),
    Rule("x ** -1 at 0", lambda x: x**-1, [0.0], [inf], [-inf]),
    Rule("2 ** x", lambda x: 2**x, [3.0], [8.0], [8 * math.log(2)]),
    # products
    Rule("prod with one zero", ops.prod, [0.0, 2.0, 3.0], 0.0, [6.0, 0.0, 0.0]),
    Rule("prod with two zeros", ops.prod, [0.0, 0.0, 3.0], 0.0, [0.0, 0.0, 0.0]),
    # infinity and NaN
    Rule("relu keeps NaN", ops.relu, [nan], [nan], [nan]),
    Rule("|nan|", ops.abs, [nan], [nan], [nan]),
    Rule("maximum(nan, 1) is NaN", lambda x: ops.maximum(x, 1.0), [nan], [nan], [1.0]),
    Rule("max with a NaN is NaN", ops.max, [1.0, nan], nan, [nan, nan]),
    Rule("clip keeps NaN, and is flat", lambda x: ops.clip(x, 0.0, 1.0), [nan], [nan], [0.0]),
    Rule("relu at the infinities", ops.relu, [-inf, inf], [0.0, inf], [0.0, 1.0]),
    Rule("sigmoid far out", ops.sigmoid, [-1000.0, 1000.0], [0.0, 1.0], [0.0, 0.0]),
    Rule("1 / (1 + exp(-x)), written so, is not", lambda x: 1 / (1 + ops.exp(-x)), [-1000.0],
         [0.0], [nan]),
    Rule("sigmoid keeps its digits", ops.sigmoid, [40.0], [1.0], [math.exp(-40)]),
    Rule("softplus far out", ops.softplus, [-1000.0, 0.0, 1000.0], [0.0, math.log(2), 1000.0],
         [0.0, 0.5, 1.0]),
    Rule("tanh far out", ops.tanh, [-1000.0, 1000.0], [-1.0, 1.0], [0.0, 0.0]),
    Rule("expm1 far below 0", ops.expm1, [-40.0], [-1.0], [math.exp(-40)]),
    Rule("logsumexp does not overflow", ops.logsumexp, [1000.0, 1000.0], 1000.0 + math.log(2),
         [0.5, 0.5]),
    Rule("log(sum(exp)), written so, does", lambda x: ops.log(ops.sum(ops.exp(x))),
         [1000.0, 1000.0], inf, [nan, nan]),
    Rule("logsumexp of -inf alone is flat", ops.logsumexp, [-inf, -inf], -inf, [0.0, 0.0]),
    Rule("logsumexp beside -inf", ops.logsumexp, [-inf, 0.0], 0.0, [0.0, 1.0]),
    Rule("softmax does not overflow", lambda x: ops.softmax(x)[0], [1000.0, 1000.0], 0.5,
         [0.25, -0.25]),
    Rule("log_softmax keeps its digits", lambda x: ops.log_softmax(x)[1], [1e8, 1e8 - 1],
         -math.log1p(math.e), [-math.e / (1 + math.e), math.e / (1 + math.e)]),
    Rule("0 times infinity is NaN", lambda x: 0.0 * ops.exp(x), [1000.0], [nan], [nan]),
    Rule("x / x at 0", lambda x: x / x, [0.0], [nan], [nan]),
    Rule("x - x at 0", lambda x: x - x, [0.0], [0.0], [0.0]),
    Rule("log(relu(x)) below 0 is flat", lambda x: ops.log(ops.relu(x)), [-1.0], [-inf], [0.0]),
    # where
    Rule("where, and sqrt steep in the branch not taken",
         lambda x: ops.where(np.array([False]), ops.sqrt(x), 0.0), [0.0], [0.0], [nan]),
    Rule("where inside and outside",
         lambda x: ops.where(x > 0, ops.sqrt(ops.where(x > 0, x, 1.0)), 0.0),
         [0.0], [0.0], [0.0]),
    Rule("where, and NaN in the branch not taken",
         lambda x: ops.where(np.array([True]), x, x * nan), [1.0], [1.0], [nan]),
    Rule("where, and infinity comes back", lambda x: ops.log(ops.where(x < 1, x, x + 1)), [0.0],
         [-inf], [inf]),
    # the evidence in logits
    Rule("Bernoulli far out", lambda x: ops.binomial_log_prob(x, [[1.0, 0.0]]),
         [[-800.0, 800.0]], [-1600.0], [[1.0, -1.0]]),
    Rule("KL with a tiny variance", lambda x: ops.gaussian_kl(np.zeros((1, 1)), x),
         [[-800.0]], [399.5], [[-0.5]]),
    # plain but often wrong
    Rule("an element picked twice", lambda x: x[[0, 0, 1]], [1.0, 2.0, 3.0], [1.0, 1.0, 2.0],
         [2.0, 1.0, 0.0]),
    Rule("variance of one number, ddof=1", lambda x: ops.var(x, ddof=1), [2.0], nan, [nan]),
    Rule("variance of one number, ddof=2", lambda x: ops.var(x, ddof=2), [2.0], nan, [nan]),
    # second derivatives
    Rule("relu is straight", second(ops.relu), [-1.0, 0.0, 1.0], [0.0] * 3, [0.0] * 3),
    Rule("|x| is straight", second(ops.abs), [-1.0, 0.0, 1.0], [0.0] * 3, [0.0] * 3),
    Rule("tanh is flat far out", second(ops.tanh), [1000.0], [0.0], [0.0]),
    Rule("x ** 2 at 0 curves", second(lambda x: x**2), [0.0], [2.0], [0.0]),
    Rule("x ** 3 at 0", second(lambda x: x**3), [0.0], [0.0], [6.0]),
    Rule("x ** 1 at 0 is straight", second(lambda x: x**1), [0.0], [0.0], [0.0]),
    Rule("x ** 0 at 0 is straight", second(lambda x: x**0), [0.0], [0.0], [0.0]),
]  # fmt: skip


class Edge(NamedTuple):
    """An array that is empty or of an awkward dtype, and what becomes of it.

    The gradient is that of the sum, in the array's dtype; None where none can be asked for.
    """

    what: str
    function: Callable[[Any], Any]
    at: np.ndarray
    dtype: str
    value: Any
    gradient: Any = None


def empty(*shape):
    """Nothing, of a shape."""
    return np.zeros(shape)


f32 = np.float32


def u8(numbers):
    """Small integers, as pixels are stored."""
    return np.array(numbers, np.uint8)


EDGES = [
    # empty arrays
    Edge("sum of nothing", ops.sum, empty(0), "float64", 0.0, []),
    Edge("prod of nothing", ops.prod, empty(0), "float64", 1.0, []),
    Edge("mean of nothing", ops.mean, empty(0), "float64", nan, []),
    Edge("var of nothing", ops.var, empty(0), "float64", nan, []),
    Edge("norm of nothing", ops.norm, empty(0), "float64", 0.0, []),
    Edge("logsumexp of nothing", ops.logsumexp, empty(0), "float64", -inf, []),
    Edge("softmax of nothing", ops.softmax, empty(0), "float64", [], []),
    Edge("cumsum of nothing", ops.cumsum, empty(0), "float64", [], []),
    Edge("max of no rows", lambda x: ops.max(x, 1), empty(0, 3), "float64", [],
         empty(0, 3)),
    Edge("an empty inner axis", lambda x: x @ empty(0, 2), empty(3, 0), "float64",
         empty(3, 2), empty(3, 0)),
    Edge("a product of no rows", lambda x: x @ np.ones((3, 2)), empty(0, 3), "float64", empty(0, 2),
         empty(0, 3)),
    Edge("an axis of length 1 met nothing", lambda x: empty(0, 3) * x, np.ones((1, 3)), "float64",
         empty(0, 3), empty(1, 3)),
    Edge("a number met nothing", lambda x: empty(0) + x, np.array(1.0), "float64", [], 0.0),
    Edge("nothing picked", lambda x: x[[]], np.ones(2), "float64", [], [0.0, 0.0]),
    Edge("nothing joined", lambda x: ops.concatenate([x, empty(0)]), np.ones(2), "float64",
         [1.0, 1.0], [1.0, 1.0]),
    # float32 stays, whatever plain number meets it
    Edge("float32 and a number", lambda x: x * 0.5, f32([2]), "float32", [1.0], [0.5]),
    Edge("float32, np.float64", lambda x: x * np.float64(0.5), f32([2]), "float32", [1.0], [0.5]),
    Edge("np.float64, float32", lambda x: np.float64(0.5) * x, f32([2]), "float32", [1.0], [0.5]),
    Edge("float32 and np.int64", lambda x: x / np.int64(4), f32([2]), "float32", [0.5], [0.25]),
    Edge("float32 and np.bool", lambda x: x * np.True_, f32([2]), "float32", [2.0], [1.0]),
    Edge("float32 in where", lambda x: ops.where(x > 0, x, 0.0), f32([2, -2]), "float32",
         [2.0, 0.0], [1.0, 0.0]),
    Edge("float32 in xlogy", lambda x: ops.xlogy(x, 1.0), f32([2]), "float32", [0.0], [0.0]),
    Edge("float32, clip", lambda x: x.clip(np.float64(0), 1), f32([2]), "float32", [1.0], [0.0]),
    Edge("float32 in maximum", lambda x: ops.maximum(x, np.float64(0)), f32([2]), "float32",
         [2.0], [1.0]),
    Edge("float32 to a power", lambda x: x ** np.float64(2), f32([2]), "float32", [4.0], [4.0]),
    Edge("mean of float32", ops.mean, f32([2, 4]), "float32", 3.0, [0.5, 0.5]),
    # float64 arrays and lists promote; the gradient comes back in the leaf's dtype
    Edge("float32 and float64", lambda x: x * np.ones(1), f32([2]), "float64", [2.0], [1.0]),
    Edge("float32 and a list", lambda x: x * [2.0], f32([2]), "float64", [4.0], [2.0]),
    Edge("float32 and integers", lambda x: x * np.array([3]), f32([2]), "float64", [6.0], [3.0]),
    Edge("astype", lambda x: x.astype("float32"), np.array([2.0]), "float32", [2.0], [1.0]),
    # integers and booleans are constants
    Edge("a root of integers", ops.sqrt, np.array([4]), "float64", [2.0]),
    Edge("exp of booleans", ops.exp, np.array([False]), "float64", [1.0]),
    Edge("an integer to a negative power", lambda x: x**-1, np.array([2]), "float64", [0.5]),
    Edge("integers divided", lambda x: x / 2, np.array([1]), "float64", [0.5]),
    Edge("integers added", lambda x: x + 2, np.array([1]), "float64", [3]),
    Edge("integers subtracted", lambda x: x - 2, u8([1]), "float64", [-1]),
    Edge("small integers added", lambda x: x + x, u8([200]), "float64", [400]),
    Edge("small integers and a number", lambda x: x + 300, u8([200]), "float64", [500]),
    Edge("small integers multiplied", lambda x: x * x, u8([200]), "float64", [40000]),
    Edge("small integers squared", ops.square, u8([200]), "float64", [40000]),
    Edge("large integers squared", ops.square, np.array([2**40]), "float64", [2.0**80]),
    Edge("minus a small integer", lambda x: -x, u8([200]), "float64", [-200]),
    Edge("the size of the least integer", ops.abs, np.array([-128], np.int8), "float64", [128]),
    Edge("a product of small integers", lambda x: x @ x, u8([200, 200]), "float64", 80000),
    Edge("an einsum of small integers", lambda x: ops.einsum("i,i->", x, x), u8([200, 200]),
         "float64", 80000),
    Edge("prod of large integers", ops.prod, np.array([2**40, 2**40]), "float64", 2.0**80),
    Edge("sum of small integers", ops.sum, u8([200, 200]), "float64", 400),
    Edge("cumsum of small integers", ops.cumsum, u8([200, 200]), "float64", [200, 400]),
    Edge("scatter_add of small integers", lambda x: ops.scatter_add(x, [0, 0], (1,)),
         u8([200, 200]), "float64", [400]),
    Edge("float32 and small integers", lambda x: x * u8([3]), f32([2]), "float32", [6.0], [3.0]),
    # what only moves or chooses keeps them
    Edge("the largest integer", ops.max, u8([3, 200]), "uint8", 200),
    Edge("the larger of integers", lambda x: ops.maximum(x, u8([7])), u8([3]), "uint8", [7]),
    Edge("the larger of an integer and a number", lambda x: ops.maximum(x, 300), u8([3]),
         "float64", [300]),
    Edge("integers chosen", lambda x: ops.where(x > 5, x, 0), u8([3, 200]), "uint8", [0, 200]),
    Edge("a number chosen beside integers", lambda x: ops.where(x > 5, x, 300), u8([3, 200]),
         "float64", [300, 200]),
    Edge("integers clipped", lambda x: ops.clip(x, 1, 300), u8([0, 200]), "uint8", [1, 200]),
    Edge("integers picked", lambda x: x[[1, 1]], u8([3, 200]), "uint8", [200, 200]),
    Edge("the mean of integers", ops.mean, np.array([1, 2]), "float64", 1.5),
    Edge("the norm of integers", ops.norm, np.array([3, 4]), "float64", 5.0),
    Edge("the norm of small integers", ops.norm, np.array([-128], np.int8), "float64", 128.0),
    Edge("the norm of booleans", ops.norm, np.array([True, True]), "float64", math.sqrt(2)),
    Edge("the logsumexp of integers", ops.logsumexp, np.array([0, 0]), "float64", math.log(2)),
    Edge("the softmax of integers", ops.softmax, np.array([0, 0]), "float64", [0.5, 0.5]),
    Edge("the log_softmax of integers", ops.log_softmax, np.array([0]), "float64", [0.0]),
    Edge("a sum of booleans counts", ops.sum, np.array([True, True]), "float64", 2),
    Edge("integers are flat", lambda x: x.astype(int), np.array([2.7]), "int64", [2], [0.0]),
    # long sums of float32 are not sequential: that would stop at 2 ** 24
    Edge("a long sum of float32", ops.sum, np.ones(2**24 + 8, f32), "float32", 2.0**24 + 8),
]  # fmt: skip


def ids(rows):
    return [row.what for row in rows]


@pytest.mark.parametrize("row", CONVENTIONS, ids=ids(CONVENTIONS))
def test_convention(row):
    x = np.array(row.at)
    value, pull_back = vjp(row.function, x)
    np.testing.assert_allclose(value, row.value, rtol=1e-15, atol=0)
    (gradient,) = pull_back(np.ones(value.shape))
    np.testing.assert_allclose(
        gradient, row.gradient, rtol=1e-7 if "log_softmax" in row.what else 1e-14
    )
    assert gradient.shape == x.shape


@pytest.mark.parametrize("row", EDGES, ids=ids(EDGES))
def test_edge(row):
    value = row.function(Tensor(row.at))
    assert value.dtype == row.dtype
    assert value.shape == np.shape(row.value)
    np.testing.assert_allclose(value.data, row.value, rtol=1e-14)
    if row.gradient is not None:
        value, pull_back = vjp(row.function, row.at)
        (gradient,) = pull_back(np.ones(value.shape))
        assert gradient.dtype == row.at.dtype
        assert gradient.shape == row.at.shape
        np.testing.assert_array_equal(gradient, row.gradient)


def test_every_row_has_a_name_of_its_own():
    names = ids([*CONVENTIONS, *EDGES])
    assert len(names) == len(set(names))


def test_maximum_splits_ties_between_its_two_arguments():
    ones = np.ones(1)
    for operation in (ops.maximum, ops.minimum):
        assert [g.item() for g in vjp(operation, ones, ones)[1](ones)] == [0.5, 0.5]


def test_power_is_flat_in_both_arguments_at_zero_and_zero():
    zero = np.zeros(1)
    assert [g.item() for g in vjp(ops.power, zero, zero)[1](np.ones(1))] == [0.0, 0.0]


def test_mixed_second_derivatives_beside_a_corner():
    def mixed(f, x, y):
        return grad(lambda y: grad(f)(x, y))(y)

    assert mixed(ops.xlogy, 0.0, 2.0) == mixed(lambda y, x: ops.xlogy(x, y), 2.0, 0.0) == 0.5
    assert mixed(ops.power, 2.0, 0.0) == mixed(lambda y, x: ops.power(x, y), 0.0, 2.0) == 0.5


def test_kl_near_the_prior_keeps_its_digits_in_float32():
    log_var = f32([[1e-4]])
    exact = 0.5 * (math.expm1(1e-4) - 1e-4)
    assert ops.gaussian_kl(f32([[0.0]]), log_var).item() == pytest.approx(exact, rel=1e-3)


def test_a_gradient_has_the_dtype_of_its_leaf_whatever_a_vjp_returns():
    twice = primitive(lambda x: 2 * x, lambda g, out, x: (2.0 * g).astype(np.float64))
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    twice(x).sum().backward()
    assert x.grad.dtype == np.float32


def test_a_forward_without_real_numbers_is_refused():
    turned = primitive(lambda x: x * 1j, lambda g, out, x: g)
    with pytest.raises(TypeError, match="its forward's value"):
        turned(np.ones(2))
