"""What goes wrong in engines like this one, a test for each: the graph, its memory, its limits.

Traps that are a matter of choice, at kinks and edges, are rows of the convention table instead.
"""

import copy
import functools
import gc
import math
import pickle
import subprocess
import sys
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special

from minivae import (
    Tensor,
    grad,
    gradcheck,
    hvp,
    no_grad,
    ops,
    primitive,
    value_and_grad,
    vjp,
)
from minivae.errors import DtypeError, GradientError, ShapeError
from minivae.optim import SGD
from minivae.tensor import values


def leaf(*data, **kwargs):
    """A leaf that asks for its gradient."""
    return Tensor(data[0] if len(data) == 1 else list(data), requires_grad=True, **kwargs)


# The graph ---------------------------------------------------------------------------------------


def test_a_shared_subexpression_counts_every_use():
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0


def test_a_result_used_twice_hands_over_its_whole_cotangent_once():
    a = leaf(-3.0)
    b = a + a
    (b + b).backward()
    assert a.grad == 4.0


def test_one_tensor_in_every_place_of_an_operation():
    x = leaf(3.0)
    ops.stack([x, x, x]).sum().backward()
    assert x.grad == 3.0
    assert grad(lambda x: ops.where(np.True_, x, x))(2.0) == 1.0
    assert grad(lambda x: ops.sum(ops.einsum("i,i,i->", x, x, x)))(np.array([2.0])) == [12.0]


def test_a_long_and_a_short_way_to_the_same_tensor():
    x = leaf(0.5)
    long = x
    for _ in range(10):
        long = long * 1.0
    (long * x + x * long).backward()
    assert x.grad == 2.0


def chain(n, x):
    for _ in range(n):
        x = x * 1.0
    return x


def test_a_chain_of_100_000_operations():
    x = leaf(2.0)
    chain(100_000, x).backward()
    assert x.grad == 1.0


def effort(f):
    """How many functions are called while ``f`` runs: a stopwatch that does not waver."""
    calls = 0

    def count(frame, event, arg):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        f()
    finally:
        sys.setprofile(None)
    return calls


def test_effort_is_linear_in_the_length_of_a_chain():
    short, long = chain(300, leaf(2.0)), chain(3000, leaf(2.0))
    assert effort(long.backward) < 10.5 * effort(short.backward)


def test_effort_of_second_derivatives_is_linear_in_the_number_of_layers():
    def curvature(n):
        weights = [leaf([[0.5, 0.5], [0.5, -0.5]]) for _ in range(n)]

        def net(h):
            for w in weights:
                h = ops.linear(h, w, np.zeros(2), activation="tanh")
            return ops.sum(h)

        return lambda: hvp(net, np.ones((1, 2)), np.ones((1, 2)))

    curvature(2)()  # loads and compiles
    assert effort(curvature(150)) < 10 * effort(curvature(15))


def test_a_gradient_inside_costs_no_more_on_a_long_tape():
    def at(x):
        return lambda: grad(lambda y: y * y * y)(x)

    def beside(x):
        return lambda: grad(lambda y: y * x)(Tensor(1.0))

    x = leaf(2.0)
    end = chain(3000, x)
    for slope in (at, beside):
        assert slope(end)().requires_grad
        assert effort(slope(end)) == effort(slope(chain(1, x)))


@pytest.mark.equation("AD.3")
def test_40_diamonds_take_40_steps():
    calls = []

    def double_vjp(g, out, x, y):
        calls.append(1)
        return g, g

    double = primitive(lambda x, y, /: x + y, double_vjp)
    x = y = leaf(1.0)
    for _ in range(40):
        y = double(y, y)
    y.backward()
    assert x.grad == 2.0**40
    assert len(calls) == 40


def test_40_diamonds_in_second_derivatives():
    def diamonds(x):
        for _ in range(40):
            x = (x + x) * 0.5
        return x * x * x

    assert grad(grad(diamonds))(2.0) == pytest.approx(12.0)


@pytest.mark.equation("AD.3")
def test_backward_twice_adds_exactly_once_more():
    x = leaf(2.0)
    y = x * x * x
    y.backward()
    once = x.grad.copy()
    y.backward()
    assert x.grad == 2 * once == 24.0


def test_two_losses_share_a_trunk():
    x = leaf(2.0)
    trunk = x * x
    (trunk * 3.0).backward()
    (trunk + 1.0).backward()
    assert x.grad == 16.0


def test_a_loss_of_a_loss():
    x = leaf(2.0)
    y = x * x
    y.backward()
    (y * y).backward()
    assert x.grad == 4.0 + 32.0


def test_the_order_in_which_branches_were_made_does_not_matter():
    x = leaf(2.0)
    late = leaf(5.0)
    early = x * 3.0
    mixed = early * late + late * x
    mixed.backward()
    assert (x.grad, late.grad) == (20.0, 8.0)


def test_only_leaves_get_a_gradient():
    x, constant = leaf(1.0), Tensor(2.0)
    y = x * constant
    (y * 2.0).backward()
    assert (x.grad, y.grad, constant.grad) == (4.0, None, None)


def test_a_leaf_may_be_the_root():
    x = leaf(3.0)
    x.backward()
    assert x.grad == 1.0


def test_an_unused_leaf_gets_none_from_backward_and_zeros_from_grad():
    x, unused = leaf(1.0), leaf(1.0, 2.0)
    (x * 2.0).backward()
    assert unused.grad is None
    np.testing.assert_array_equal(grad(lambda x, y: x, 1)(1.0, np.ones(2)), [0.0, 0.0])


def test_an_output_that_depends_on_nothing():
    with pytest.raises(GradientError, match=r"backward: nothing here asked.*requires_grad=True"):
        (Tensor(1.0) * 2.0).backward()
    assert grad(lambda x: Tensor(3.0))(1.0) == 0.0
    assert grad(lambda x: 3.0)(1.0) == 0.0
    assert grad(lambda x: np.float32(3.0))(1.0) == 0.0


def test_an_integer_on_the_way_cuts_the_graph():
    x = leaf(2.7, 1.2)
    cut = x.astype(int)
    assert not cut.requires_grad
    (cut * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 1.0])
    ((x > 2.0) * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 1.0])


def test_comparisons_give_plain_booleans():
    x = leaf(1.0, 2.0)
    for found, expected in [
        (x == 1, [True, False]),
        (x != [1.0, 5.0], [False, True]),
        (x < Tensor([2.0, 2.0]), [True, False]),
        (x <= 1, [True, False]),
        (2 > x, [True, False]),  # noqa: SIM300
        (np.array([1.0, 1.0]) >= x, [True, False]),
    ]:
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)


# Turning the tape off ----------------------------------------------------------------------------


def test_no_grad_leaves_the_tape_off_and_nests():
    x = leaf(1.0)
    with no_grad():
        assert not (x * 2.0).requires_grad
        with no_grad():
            pass
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_is_over_after_an_exception():
    x = leaf(1.0)
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2.0).requires_grad


def test_no_grad_decorates_a_function():
    @no_grad()
    def evaluate(x):
        return x * 2.0

    x = leaf(1.0)
    assert not evaluate(x).requires_grad
    assert not evaluate(x).requires_grad
    assert (x * 2.0).requires_grad


def test_one_no_grad_serves_again_and_inside_itself():
    x, quiet = leaf(1.0), no_grad()
    for _ in range(2):
        with quiet:
            with quiet:
                assert not (x * 2.0).requires_grad
            assert not (x * 2.0).requires_grad
        assert (x * 2.0).requires_grad
    assert not quiet(lambda: x * 2.0)().requires_grad


def test_blocks_may_be_left_in_any_order():
    x = leaf(1.0)

    def quiet_numbers():
        with no_grad():
            yield 1
            yield 2

    first, second = quiet_numbers(), quiet_numbers()
    next(first)
    next(second)
    first.close()
    assert not (x * 2.0).requires_grad  # the second is still inside
    with no_grad():
        second.close()
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad
    third = quiet_numbers()
    next(third)
    assert grad(lambda x: x * (third.close() or 3.0))(1.0) == 3.0  # inside it the tape is on
    assert (x * 2.0).requires_grad


def test_a_stopped_generator_is_named_where_it_keeps_the_tape_off():
    def quiet_numbers():
        with no_grad():
            yield 1

    numbers = quiet_numbers()
    next(numbers)
    with pytest.raises(GradientError, match="generator that stopped inside"):
        (leaf(1.0) * 2.0).backward()
    numbers.close()
    (leaf(1.0) * 2.0).backward()


def test_no_grad_does_not_decorate_what_runs_later():
    def numbers():
        yield 1

    async def number():
        return 1

    for late in (numbers, number):
        with pytest.raises(TypeError, match=r"numbers? only begins when it is called.*inside it"):
            no_grad()(late)


def test_everything_is_as_before_after_an_exception_in_the_function():
    def fails(x):
        raise KeyError

    for transform in (grad, value_and_grad):
        with pytest.raises(KeyError):
            transform(fails)(1.0)
    with no_grad(), pytest.raises(KeyError):
        grad(fails)(1.0)
    assert type(grad(ops.tanh)(0.0)) is np.ndarray  # not inside a transform any more
    with no_grad():
        assert not (leaf(1.0) * 2.0).requires_grad


def test_everything_is_as_before_after_an_exception_in_a_vjp():
    def fails(g, out, x):
        raise KeyError

    bad = primitive(lambda x, /: x * 1.0, fails)
    x = leaf(1.0)
    y = bad(x) + x
    for _ in range(2):
        with pytest.raises(KeyError):
            y.backward()
        with pytest.raises(KeyError):
            grad(grad(lambda x: bad(x)))(1.0)
    assert x.grad is None
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        np.ones(1) / np.zeros(1)
    assert (x * 2.0).requires_grad
    assert grad(grad(lambda x: x**3.0))(1.0) == 6.0


def test_grad_works_where_the_tape_is_off():
    x = leaf(1.0, 2.0)
    with no_grad():
        np.testing.assert_array_equal(
            grad(lambda x: ops.sum(x * x))(np.array([1.0, 2.0])), [2.0, 4.0]
        )
        g = grad(lambda x: ops.sum(x * x))(x)
    np.testing.assert_array_equal(g.data, [2.0, 4.0])
    assert not g.requires_grad


def test_a_fused_operation_is_differentiated_where_the_tape_is_off():
    w = leaf([[3.0]])
    with no_grad():
        g = grad(lambda x: ops.sum(ops.gaussian_kl(w * x, x)))(Tensor([[0.0]]))
        np.testing.assert_array_equal(g.data, [[0.0]])
        g = grad(lambda x: ops.sum(ops.gaussian_kl(w * x, x)))(Tensor([[1.0]]))
    np.testing.assert_allclose(g.data, [[9.0 + 0.5 * np.expm1(1.0)]], rtol=1e-14)
    assert not g.requires_grad


def test_a_gradient_inside_a_gradient_counts_as_a_constant_under_no_grad():
    def f(x):
        with no_grad():
            slope = grad(lambda y: y * y)(x)
        return slope * x

    assert grad(f)(3.0) == 6.0


# Gradients of gradients --------------------------------------------------------------------------


def test_an_inner_gradient_is_not_confused_with_the_outer_one():
    # d/dx (x * d/dy (x + y)) = 1
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(2.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert grad(lambda x: grad(lambda y: x * x * y)(np.array(7.0)))(3.0) == 6.0


def test_an_outer_variable_is_seen_through_a_closure():
    def outer(x):
        inner = grad(lambda y: ops.sum(x * y * y))(np.ones(3))  # 2 x y, from an array
        return ops.sum(inner * inner)

    np.testing.assert_allclose(grad(outer)(np.array([1.0, 2.0, 3.0])), [8.0, 16.0, 24.0])


def test_third_derivatives():
    assert grad(grad(grad(lambda x: x**4.0)))(2.0) == 48.0
    assert grad(grad(grad(ops.sin)))(0.3) == pytest.approx(-np.cos(0.3), rel=1e-14)


@pytest.mark.equation("AD.5")
def test_hvp_of_a_quadratic_is_its_matrix():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    v = np.array([1.0, -2.0])
    found = hvp(lambda x: 0.5 * (x @ (a @ x)), np.array([0.3, 0.7]), v)
    np.testing.assert_allclose(found, a @ v, rtol=1e-14)


def test_a_pulled_back_cotangent_can_be_differentiated():
    _, pull_back = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    g = grad(lambda g: ops.sum(pull_back(g)[0] * np.array([1.0, 10.0])))(np.ones(2))
    np.testing.assert_array_equal(g, [2.0, 40.0])


def test_pulling_back_again_and_again():
    value, pull_back = vjp(lambda x, y: x * y, np.array([1.0, 2.0]), 3.0)
    np.testing.assert_array_equal(value, [3.0, 6.0])
    for scale in (1.0, 2.0, 1.0):
        gx, gy = pull_back(np.full(2, scale))
        np.testing.assert_array_equal(gx, [3.0 * scale, 3.0 * scale])
        assert gy == 3.0 * scale
    assert pull_back([1, 0])[1] == 1.0  # a list will do
    assert pull_back(Tensor([1.0, 0.0]))[1].item() == 1.0


def test_descending_with_tensors_does_not_drag_a_graph_along():
    x = Tensor([1.0, 2.0])
    for _ in range(3):
        value, slope = value_and_grad(lambda x: ops.sum(x * x))(x)
        assert not value.requires_grad
        assert not slope.requires_grad
        x = x - 0.25 * slope
    np.testing.assert_array_equal(np.asarray(x), [0.125, 0.25])
    w = leaf(3.0)
    value, slope = value_and_grad(lambda x: w * x * x)(Tensor(2.0))  # w has a stake in it
    (value + slope).backward()
    assert w.grad == 8.0


def test_a_gradient_penalty_reaches_the_weights_it_closes_over():
    w = leaf(2.0, 3.0)
    x = leaf(1.0, 1.0)
    slope = grad(lambda x: ops.sum(w * x * x))(x)
    (slope * slope).sum().backward()
    np.testing.assert_array_equal(w.grad, [16.0, 24.0])
    np.testing.assert_array_equal(x.grad, [32.0, 72.0])


# What the transforms take and give ---------------------------------------------------------------


def test_arrays_in_arrays_out_and_tensors_in_tensors_out():
    f = value_and_grad(lambda x: ops.sum(x * x))
    value, gradient = f(np.ones(2))
    assert type(value) is type(gradient) is np.ndarray
    value[...] = gradient[...] = 0.0  # they are the caller's
    assert all(type(t) is Tensor for t in f(Tensor([1.0, 1.0])))
    assert all(type(t) is Tensor for t in f(leaf(1.0, 1.0)))


def test_grad_does_not_touch_the_leaf_it_is_given():
    x = leaf(1.0, 2.0)
    grad(lambda y: ops.sum(y * y))(x)
    assert x.grad is None


def test_grad_of_a_result_stops_there_and_goes_on():
    x = leaf(2.0)
    slope = grad(lambda y: y * y * y)(x * x)  # 3 x^4
    slope.backward()
    assert slope.item() == 48.0
    assert x.grad == 96.0


def test_which_arguments():
    def f(x, y, *, scale=1.0):
        return scale * x * y * y

    assert grad(f)(2.0, 3.0) == 9.0
    assert grad(f, 1)(2.0, 3.0) == grad(f, -1)(2.0, 3.0) == 12.0
    assert [float(g) for g in grad(f, (1, 0))(2.0, 3.0, scale=2.0)] == [24.0, 18.0]
    assert [float(g) for g in grad(f, [-1])(2.0, 3.0)] == [12.0]
    assert grad(f, ())(2.0, 3.0) == ()
    assert grad(f, np.int64(1))(2.0, 3.0) == 12.0
    for wrong in (2, -3, (0, 0), (0, -2)):
        with pytest.raises(GradientError, match="does not fit 2 arguments"):
            grad(f, wrong)(2.0, 3.0)
    with pytest.raises(GradientError, match="does not fit 0 arguments"):
        grad(lambda: Tensor(1.0))()


def test_an_argument_that_is_not_differentiated_is_left_alone():
    def f(x, table, factor):
        assert type(factor) is int
        return x * table["a"] * factor

    assert grad(f)(2.0, {"a": 3.0}, 2) == 6.0


def test_lists_tuples_and_dicts_of_arrays_are_differentiated_as_they_are():
    def loss(p, scale):
        (a, b), c = p["pair"], p["c"]
        return scale * ops.sum(a * b) + ops.sum(c[0] ** 2)

    p = {
        "pair": (np.array([1.0, 2.0]), np.array([3.0, 4.0])),
        "c": [np.array([[5.0]], np.float32)],
        "unused": [np.ones(2), 1.0],
        "empty": {},
    }
    value, g = value_and_grad(loss)(p, 2.0)
    assert value == 2.0 * 11.0 + 25.0
    assert [*g] == [*p]
    assert type(g["pair"]) is tuple
    np.testing.assert_array_equal(g["pair"][0], [6.0, 8.0])
    np.testing.assert_array_equal(g["pair"][1], [2.0, 4.0])
    assert g["c"][0].dtype == np.float32
    np.testing.assert_array_equal(g["c"][0], [[10.0]])
    np.testing.assert_array_equal(g["unused"][0], [0.0, 0.0])
    assert (g["unused"][1], g["empty"]) == (0.0, {})
    both = grad(loss, (1, 0))(p, 2.0)
    assert both[0] == 11.0
    np.testing.assert_array_equal(both[1]["c"][0], [[10.0]])


class Pair(NamedTuple):
    a: Any
    b: Any


def test_a_list_is_never_stacked():
    seen = []

    def f(p):
        seen.append(type(p))
        return p[0] * p[1] * p[1]

    for given in ([2.0, 3.0], (2.0, 3.0), Pair(2.0, 3.0), [np.array(2.0), 3.0]):
        g = grad(f)(given)
        assert type(g) is type(given) is seen[-1]
        assert [x.item() for x in g] == [9.0, 12.0]
    with pytest.raises(DtypeError, match="cannot compute with str"):
        grad(f)(["a", 3.0])
    with pytest.raises(DtypeError, match="cannot compute with NoneType"):
        grad(f)([None, 3.0])
    value, pull_back = vjp(lambda p, x: p[0] * x + p[1], [np.ones(2), np.zeros(2)], 3.0)
    (first, second), gx = pull_back(np.array([1.0, 2.0]))
    np.testing.assert_array_equal([value, first, second], [[3.0, 3.0], [3.0, 6.0], [1.0, 2.0]])
    assert gx == 3.0


def test_trees_of_tensors_give_tensors_and_can_be_differentiated_again():
    w = leaf(2.0)

    def energy(p):
        return w * p["x"] ** 3 * p["y"][0]

    g = grad(energy)({"x": Tensor(3.0), "y": [Tensor(5.0)]})
    (g["x"] + g["y"][0]).backward()  # 3 w x^2 y + w x^3
    assert (g["x"].item(), g["y"][0].item(), w.grad) == (270.0, 54.0, 162.0)
    second = grad(lambda p: grad(energy)(p)["x"])({"x": 3.0, "y": [5.0]})
    assert (second["x"].item(), second["y"][0].item()) == (180.0, 54.0)


@pytest.mark.equation("AD.5")
def test_hvp_of_a_tree():
    def f(p):
        return p["x"] ** 2 * p["y"]

    # the Hessian at (3, 5) is [[10, 6], [6, 0]]
    found = hvp(f, {"x": 3.0, "y": 5.0}, {"y": 100.0, "x": 1.0})
    assert (found["x"].item(), found["y"].item()) == (610.0, 6.0)
    with pytest.raises(ShapeError, match=r"^hvp: a tree of the form dict of 'x', 'y' was"):
        hvp(f, {"x": 3.0, "y": 5.0}, {"x": 3.0})
    with pytest.raises(ShapeError, match=r"^hvp: x has shape \(\) and v \(2,\)"):
        hvp(f, {"x": 3.0, "y": 5.0}, {"x": 3.0, "y": np.ones(2)})
    with pytest.raises(ShapeError, match=r"the form list of 2 was given one of the form ndarray"):
        hvp(lambda p: p[0], [1.0, 2.0], np.ones(2))


def test_grad_keeps_name_and_docstring():
    def energy(x):
        """The energy."""

    assert (grad(energy).__name__, grad(energy).__doc__) == ("energy", "The energy.")
    assert value_and_grad(energy).__name__ == "energy"


@pytest.mark.parametrize("x", [np.array(2.0), np.array([2.0]), np.array([[2.0]])])
def test_a_single_number_may_have_axes(x):
    np.testing.assert_array_equal(grad(lambda x: x * x)(x), 2 * x)


def test_gradients_of_empty_arrays_are_empty():
    assert grad(lambda x: ops.sum(x * x))(np.zeros((0, 3))).shape == (0, 3)
    assert hvp(lambda x: ops.sum(x * x), np.zeros((0, 3)), np.zeros((0, 3))).shape == (0, 3)


# Memory ------------------------------------------------------------------------------------------


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_nothing_waits_for_the_cyclic_collector():
    def work():
        x = leaf(1.0, 2.0)
        y = ops.tanh(x * x)
        z = ops.logsumexp(y + x)
        z.backward()
        grad(lambda x: ops.sum(ops.prod(x) * x))(np.ones(3))
        hvp(lambda x: ops.sum(x**3.0), np.ones(3), np.ones(3))
        return [weakref.ref(t) for t in (x, y, z)]

    work()  # what is loaded at the first call is none of our business
    gc.collect()
    assert [w() for w in work()] == [None] * 3
    assert gc.collect() == 0


@pytest.mark.usefixtures("no_collector")
def test_an_exception_leaves_nothing_behind_either():
    x = leaf(1.0, 2.0)
    watched = weakref.ref(x)
    for fails in (lambda x: x + np.ones(3), lambda x: x[7], lambda x: x.backward()):
        with pytest.raises((ShapeError, IndexError, GradientError)):
            fails(x)
    del x
    gc.collect()  # a traceback is a cycle
    assert watched() is None


@pytest.mark.slow
def test_300_000_linked_nodes_are_freed_without_recursion():
    code = (
        "from minivae import Tensor\n"
        "x = Tensor(1.0, requires_grad=True)\n"
        "for _ in range(300_000):\n"
        "    x = x * 1.0\n"
        "del x\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_gradient_does_not_keep_the_graph_alive():
    x = leaf(1.0, 2.0)
    y = x * x
    watched = weakref.ref(y)
    ops.sum(y).backward()
    del y
    assert watched() is None
    assert x.grad is not None


# Aliasing and writing ----------------------------------------------------------------------------


def test_the_data_are_copied_at_the_door():
    a = np.array([1.0, 2.0])
    x = Tensor(a, requires_grad=True)
    y = (x * x).sum()
    a[:] = 100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])
    assert a.flags.writeable


def test_a_constant_changed_after_the_forward_changes_nothing():
    x, c, bounds = leaf(1.0, 2.0), np.array([2.0, 3.0]), np.array([0, 1])
    y, picked = x * c, x[bounds]
    c[:] = 0.0
    bounds[:] = 0
    (y.sum() + picked.sum()).backward()
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])
    index = [0, 0]
    again = x[index]
    index[:] = [1, 1]
    again.sum().backward()
    np.testing.assert_array_equal(x.grad, [5.0, 4.0])


def test_the_callers_arrays_stay_writeable():
    a = np.ones(2)
    outputs = [Tensor([1.0, 2.0]) * a, leaf(1.0, 2.0) * a, ops.reshape(a, (2, 1))]
    through = primitive(lambda x, y, /: y, lambda g, out, x, y: (None, g))
    outputs.append(through(Tensor(1.0), a))
    a[0] = 5.0
    assert len(outputs) == 4


def test_values_cannot_be_written():
    x = leaf(1.0, 2.0)
    for t in (x, x * 2.0, x.reshape(2, 1), x[:1], x.T, Tensor([1.0]), x.detach()):
        with pytest.raises(ValueError, match="read-only"):
            t.data[...] = 0.0
    with pytest.raises(TypeError, match=r"never written to: .*ops\.where.*p\.data = "):
        x[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        x.data += 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        x.data.flags.writeable = True
    copied = x.numpy()
    copied[0] = 7.0
    assert x.data[0] == 1.0


def test_adding_in_place_makes_a_new_tensor():
    x = leaf(1.0, 2.0)
    y = x
    y += 1.0
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    assert y is not x


def test_gradients_are_not_shared():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = np.ones(2)
    (x + y).backward(seed)
    assert not np.shares_memory(x.grad, y.grad)
    x.grad *= 2.0
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])
    np.testing.assert_array_equal(seed, [1.0, 1.0])
    (x * 1.0).reshape(2, 1).backward(seed.reshape(2, 1))
    assert not np.shares_memory(x.grad, seed)


def test_an_accumulated_gradient_is_an_array_also_without_axes():
    x = leaf(2.0)
    for _ in range(3):
        (x * x).backward()
        assert type(x.grad) is np.ndarray
    assert x.grad == 12.0


def test_a_vjp_may_return_its_cotangent_or_a_view_of_it():
    def view_vjp(g, out, x, y):
        return g, g[::-1][::-1]

    add = primitive(lambda x, y, /: x + y, view_vjp)
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    add(x, y).backward(np.ones(2))
    assert x.grad.flags.owndata
    assert y.grad.flags.owndata
    assert not np.shares_memory(x.grad, y.grad)


def test_a_vjp_may_return_what_is_on_the_tape():
    for vjp_of_exp in (lambda g, out, x: out, lambda g, out, x: x):  # right where g = 1, x = out
        operation = primitive(lambda x, /: np.exp(x), vjp_of_exp)
        x = leaf(1.0, 2.0)
        operation(x).backward(np.ones(2))
        assert x.grad.flags.writeable
        assert not np.shares_memory(x.grad, x.data)


def test_new_data_between_forward_and_backward():
    x = leaf(2.0, 3.0)
    y = (x * x * x).sum()
    x.data = [10.0, 10.0]
    y.backward()  # the gradient of what was computed
    np.testing.assert_array_equal(x.grad, [12.0, 27.0])
    z = x * x
    x.data = np.zeros(2)
    with pytest.raises(GradientError, match="new data before second derivatives"):
        vjp(lambda: z)[1](leaf(1.0, 1.0))


def test_new_data_are_checked_and_copied():
    x = leaf(2.0, 3.0, dtype=np.float32)
    for a in (np.array([5, 6]), np.array([5, 6], np.float32)):
        x.data = a
        a[:] = 0
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x.data, [5.0, 6.0])
    with pytest.raises(ShapeError, match=r"data: a leaf of shape \(2,\) was given shape \(3,\)"):
        x.data = np.zeros(3)
    with pytest.raises(GradientError, match="only a leaf"):
        (x * 2.0).data = np.zeros(2)
    with pytest.raises(DtypeError, match="cannot compute with"):
        x.data = ["a", "b"]


# What Python asks of an object -------------------------------------------------------------------


def test_length_iteration_and_membership():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    first, second = x
    (first * 2.0 + second).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2.0, 2.0], [1.0, 1.0]])
    assert 2.0 in Tensor([1.0, 2.0])
    assert 3.0 not in Tensor([1.0, 2.0])
    for ask in (len, iter, list):
        with pytest.raises(TypeError):
            ask(Tensor(3.0))


def test_numbers_and_truth():
    assert (float(Tensor(2.5)), int(Tensor(2.5)), Tensor([2.5]).item()) == (2.5, 2, 2.5)
    assert bool(Tensor(1.0))
    assert not Tensor([0.0])
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))


def test_tensors_are_keys_by_identity():
    x, y = Tensor(1.0), Tensor(1.0)
    assert len({x: 0, y: 1}) == 2
    assert {x: 0, y: 1}[y] == 1


def test_a_leaf_can_be_copied_and_pickled():
    x = leaf([[1.0, 2.0]], dtype=np.float32)
    (x * x).sum().backward()
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y is not x
        assert y.requires_grad
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.data, x.data)
        np.testing.assert_array_equal(y.grad, x.grad)
        with pytest.raises(ValueError, match="read-only"):
            y.data[0] = 0.0
        y.grad = None
        (y * 3.0).sum().backward()
        np.testing.assert_array_equal(y.grad, [[3.0, 3.0]])
    assert copy.deepcopy(x).grad is not x.grad
    for copier in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(GradientError, match="only a leaf"):
            copier(x * 2.0)


def test_a_leaf_from_another_process_is_walked_to():
    code = (
        "import pickle, sys\n"
        "from minivae import Tensor\n"
        "for _ in range(1000): Tensor(0.0)\n"
        "sys.stdout.buffer.write(pickle.dumps(Tensor(2.0, requires_grad=True)))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=120
    )
    x = pickle.loads(child.stdout)
    (x * x).backward()
    assert x.grad == 4.0


def test_how_it_prints():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], dtype=float64)"
    assert repr(leaf(1.0)) == "Tensor(1., dtype=float64, requires_grad=True)"
    assert repr(leaf(1.0) + 1) == "Tensor(2., dtype=float64, add)"


def test_the_operators_are_numpys():
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.5, 2.0], [1.0, 3.0]])
    x, y = Tensor(a), Tensor(b)
    for left, right in ((x, y), (x, b), (a, y), (x, b.tolist()), (a.tolist(), y)):
        np.testing.assert_array_equal((left + right).data, a + b)
        np.testing.assert_array_equal((left - right).data, a - b)
        np.testing.assert_array_equal((left * right).data, a * b)
        np.testing.assert_array_equal((left / right).data, a / b)
        np.testing.assert_array_equal((left**right).data, a**b)
        np.testing.assert_array_equal((left @ right).data, a @ b)
    for number in (2, 2.0, np.float64(2), np.float32(2), np.int8(2), np.array(2.0)):
        for found, expected in [
            (number + x, 2 + a),
            (number - x, 2 - a),
            (number * x, 2 * a),
            (number / x, 2 / a),
            (number**x, 2**a),
            (x - number, a - 2),
            (x**number, a**2),
        ]:
            assert type(found) is Tensor
            np.testing.assert_array_equal(found.data, expected)
    np.testing.assert_array_equal((-x).data, -a)
    np.testing.assert_array_equal((+x).data, a)
    np.testing.assert_array_equal(abs(-x).data, a)


def test_the_methods_are_numpys():
    a = np.arange(6.0).reshape(1, 2, 3) - 2.0
    x = Tensor(a)
    for found, expected in [
        (x.sum(), a.sum()),
        (x.sum(axis=-1, keepdims=True), a.sum(axis=-1, keepdims=True)),
        (x.mean(1), a.mean(1)),
        (x.var(2, ddof=1), a.var(2, ddof=1)),
        (x.std(axis=(1, 2)), a.std(axis=(1, 2))),
        (x.max(0), a.max(0)),
        (x.min(), a.min()),
        (x.prod(2), a.prod(2)),
        (x.cumsum(2), a.cumsum(2)),
        (x.reshape(3, 2), a.reshape(3, 2)),
        (x.reshape((3, -1)), a.reshape(3, -1)),
        (x.reshape(-1), a.reshape(-1)),
        (x.ravel(), a.ravel()),
        (x.transpose(), a.transpose()),
        (x.transpose(1, 0, 2), a.transpose(1, 0, 2)),
        (x.transpose((2, 0, 1)), a.transpose(2, 0, 1)),
        (x.T, a.T),
        (x.swapaxes(0, 2), a.swapaxes(0, 2)),
        (x.squeeze(), a.squeeze()),
        (x.squeeze(0), a.squeeze(0)),
        (x.clip(-1, 2), a.clip(-1, 2)),
        (x.astype(np.float32), a.astype(np.float32)),
        (x.diagonal(), a.diagonal()),
        (x.exp(), np.exp(a)),
        (x.square().log1p(), np.log1p(a * a)),
        (x.abs(), np.abs(a)),
        (x.sin() + x.cos(), np.sin(a) + np.cos(a)),
        (x.detach(), a),
    ]:
        assert type(found) is Tensor
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.data, expected, rtol=1e-15)
    assert (x.shape, x.ndim, x.size, x.dtype) == (a.shape, a.ndim, a.size, a.dtype)


def test_a_method_is_the_operation_of_its_name():
    names = [n for n in dir(Tensor) if n in ops.__all__ and n not in ("reshape", "transpose")]
    assert {"exp", "log", "sqrt", "tanh", "sigmoid", "relu", "softplus", "logsumexp"} < {*names}
    x = leaf([[0.5, 2.0], [1.5, 0.25]])
    extra = {"astype": ["float64"], "clip": [0.3, 1.8], "swapaxes": [0, 1]}
    for name in names:
        found = getattr(x, name)(*extra.get(name, []))
        ours = getattr(ops, name)(x, *extra.get(name, []))
        np.testing.assert_array_equal(found.data, ours.data)
        assert found._node.operation is ours._node.operation


# dtypes at the door ------------------------------------------------------------------------------


def test_lists_become_float64_and_arrays_keep_theirs():
    assert Tensor([1, 2]).dtype == Tensor(3).dtype == Tensor([True]).dtype == np.float64
    assert Tensor([[1], [2]], dtype=int).dtype == np.int64
    for dtype in (np.float32, np.float64, np.int32, np.uint8, np.bool_):
        assert Tensor(np.zeros(2, dtype)).dtype == dtype
        assert Tensor(Tensor(np.zeros(2, dtype))).dtype == dtype
        assert Tensor(dtype(1)).dtype == dtype
    assert Tensor(np.zeros(2, np.float16), dtype=np.float32).dtype == np.float32


class Foreign:
    """An array of another library."""

    dtype = np.dtype(np.float32)

    def __array__(self, dtype=None, copy=None):
        return np.ones(2, np.float32)


def test_arrays_of_other_libraries_keep_their_dtype():
    assert Tensor(Foreign()).dtype == np.float32
    assert (Tensor(np.ones(2, np.float32)) * Foreign()).dtype == np.float32


def test_a_matrix_is_an_array():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    x = leaf([[1.0, 1.0], [1.0, 1.0]])
    (x * matrix).sum().backward()
    np.testing.assert_array_equal(x.grad, [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    "data",
    [
        None, "1.0", b"1", [None, 1.0], ["1"], 1j, [1j], {1.0}, {"a": 1}, object(), 10**400,
        np.array([1], object), np.zeros(2, complex), np.zeros(2, np.float16),
        np.zeros(2, np.longdouble), np.array(["2020-01-01"], "M8[D]"), np.zeros(2, ">f8"),
    ],
    ids=lambda data: repr(data)[:40].partition(" object at")[0],  # the same in each process
)  # fmt: skip
def test_what_is_no_real_number_is_refused(data):
    with pytest.raises(DtypeError, match=r"^Tensor: cannot compute with .*float32 or float64"):
        Tensor(data)
    for operation in (lambda: ops.exp(data), lambda: leaf(1.0, 2.0) * data):
        if data != 10**400 if isinstance(data, int) else True:
            with pytest.raises(DtypeError, match=r"^(exp|multiply): cannot compute with"):
                operation()


@pytest.mark.parametrize("dtype", ["complex64", "float16", "U3", object])
def test_a_dtype_that_is_no_real_number_is_refused(dtype):
    with pytest.raises((DtypeError, ValueError)):
        Tensor([1.0], dtype=dtype)
    with pytest.raises((DtypeError, ValueError)):
        leaf(1.0).astype(dtype)


def test_integers_cannot_ask_for_gradients():
    for make in (
        lambda: Tensor([1, 2], requires_grad=True, dtype=int),
        lambda: Tensor(np.array([1, 2]), requires_grad=True),
        lambda: grad(lambda x: ops.sum(x * x))(np.array([1, 2])),
        lambda: grad(lambda x: ops.sum(x * x))(Tensor(np.array([True]))),
    ):
        with pytest.raises(DtypeError, match=r"(int64|bool) numbers have no gradient.*dtype=float"):
            make()


def test_booleans_have_no_difference():
    with pytest.raises(DtypeError, match=r"subtract: booleans"):
        Tensor(np.array([True])) - np.array([True])


def test_numbers_under_a_mask_are_not_computed_with():
    hidden = np.ma.array([1.0, -999.0], mask=[False, True])
    x = leaf(1.0, 2.0)
    operation = primitive(lambda x, y, /: x * y, lambda g, out, x, y: (g * y, g * x))
    for take in (
        lambda: Tensor(hidden),
        lambda: Tensor([hidden, hidden]),
        lambda: Tensor(np.ma.array([1.0, 2.0])),  # nothing is masked now, but who knows when
        lambda: ops.exp(hidden),
        lambda: ops.sum(hidden),
        lambda: x * hidden,
        lambda: ops.add(x, [hidden, [1.0, 2.0]]),
        lambda: ops.concatenate([x, hidden]),
        lambda: ops.where(hidden > 0, x, 0.0),
        lambda: ops.einsum("i,i->", x, hidden),
        lambda: ops.clip(x, hidden, None),
        lambda: ops.clip(x, 0.0, hidden),
        lambda: x[np.ma.array([0, 1], mask=[False, True])],
        lambda: x[(np.ma.array([0, 1], mask=[False, True]),)],
        lambda: ops.take_along_axis(x, np.ma.array([0, 1], mask=[False, True])),
        lambda: operation(hidden, 1.0),
        lambda: operation(x, hidden),
        lambda: grad(ops.sum)(hidden),
        lambda: grad(lambda p: p["a"].sum())({"a": hidden}),
        lambda: hvp(ops.sum, np.ones(2), hidden),
        lambda: vjp(ops.exp, x)[1](hidden),
        lambda: (x * 1.0).backward(hidden),
        lambda: setattr(x, "data", hidden),
        lambda: SGD([x]).step([hidden]),
    ):
        with pytest.raises(DtypeError, match=r"a masked array hides some.*\.filled\(value\)"):
            take()
    for lose in (lambda: hidden * x, lambda: hidden - x, lambda: np.ma.exp(x)):
        with pytest.raises(GradientError, match="would lose the gradient"):
            lose()
    np.testing.assert_array_equal((hidden * Tensor([2.0, 2.0])).mask, [False, True])
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    np.testing.assert_array_equal(Tensor(hidden.filled(0.0)).data, [1.0, 0.0])


def test_a_column_with_missing_values_is_named():
    column = np.array([1.0, None, 2.0], object)
    for take in (lambda: Tensor(column), lambda: leaf(1.0, 1.0, 1.0) * column):
        with pytest.raises(DtypeError, match=r"ndarray of dtype object \(a column with missing"):
            take()


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([300.0], np.uint8), ([-1], np.uint8), ([np.nan], int), ([np.inf], int), ([1e20], int),
        ([[1.0, 2.0], [3.0, 128.5]], np.int8),
    ],
)  # fmt: skip
def test_a_number_that_integers_do_not_hold_is_refused(data, dtype):
    for cast, name in (
        (lambda: Tensor(data, dtype=dtype), "Tensor"),
        (lambda: Tensor(data).astype(dtype), "astype"),
        (lambda: ops.astype(np.array(data), dtype), "astype"),
    ):
        with pytest.raises(DtypeError, match=rf"^{name}: .* is out of the range of u?int"):
            cast()


def test_what_integers_hold_is_cast_as_numpy_casts():
    np.testing.assert_array_equal(Tensor([2.9, -2.9, 255.0], dtype=int).data, [2, -2, 255])
    np.testing.assert_array_equal(Tensor([255.9, 0.0]).astype(np.uint8).data, [255, 0])
    np.testing.assert_array_equal(Tensor([2.0, 0.0], dtype=bool).data, [True, False])
    assert Tensor(np.zeros((0, 2)), dtype=np.uint8).shape == (0, 2)


def test_bounds_of_clip_are_constants():
    x = leaf(-1.0, 0.5, 2.0)
    (ops.clip(x, Tensor(0.0), Tensor([1.0])) * 3.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 3.0, 0.0])
    np.testing.assert_array_equal(ops.clip(x, [0.0, 1.0, 2.0], np.int8(3)).data, [0.0, 1.0, 2.0])
    with pytest.raises(GradientError, match=r"^clip: a bound.*maximum\(x, lower\)"):
        ops.clip(x, leaf(0.0), 1.0)
    with pytest.raises(GradientError, match=r"^clip: a bound.*minimum\(x, upper\)"):
        x.clip(upper=leaf(0.0))
    for wrong in ("0", 1j, [None]):
        with pytest.raises(DtypeError, match=r"^clip: cannot compute with"):
            ops.clip(x, wrong, None)


# Losing a gradient without a word ----------------------------------------------------------------


def test_a_list_of_tensors_does_not_lose_their_gradients():
    x = leaf(1.0)
    for lose in (
        lambda: Tensor([x, x]),
        lambda: ops.add(Tensor([1.0, 2.0]), [x, 1.0]),
        lambda: Tensor([1.0, 2.0]) * [[x], [x]],
        lambda: np.asarray(x),
        lambda: np.array([x, x]),
        lambda: np.concatenate([leaf(1.0, 2.0)]),
        lambda: np.linalg.norm(leaf(1.0, 2.0)),
    ):
        with pytest.raises(GradientError, match=r"would lose the gradient.*stack"):
            lose()
    constants = [Tensor(1.0), Tensor(2.0)]
    np.testing.assert_array_equal(Tensor(constants).data, [1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(constants[0]), 1.0)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "var", "std"])
@pytest.mark.parametrize("axis", [None, 0])
def test_reductions_of_numpy_keep_the_gradient(name, axis):
    x = Tensor(np.arange(6.0).reshape(2, 3) + 1, requires_grad=True)
    ours, theirs = getattr(ops, name)(x, axis=axis), getattr(np, name)(x, axis=axis)
    np.testing.assert_array_equal(theirs.data, ours.data)
    gradients = []
    for out in (ours, theirs):
        x.grad = None
        ops.sum(out).backward()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)
    with pytest.raises(TypeError, match="out"):
        getattr(np, name)(x, axis=axis, out=np.zeros(ours.shape))


def test_numpy_functions_do_not_take_tensors_apart():
    x = leaf(1.0, 2.0)
    for function in (np.sort, np.median, np.argmax, np.cumprod, np.diff, np.linalg.det):
        with pytest.raises(GradientError, match="would lose the gradient"):
            function(x)


UFUNCS = [
    (np.exp, ops.exp), (np.expm1, ops.expm1), (np.log, ops.log), (np.log1p, ops.log1p),
    (np.sqrt, ops.sqrt), (np.square, ops.square), (np.abs, ops.abs), (np.fabs, ops.abs),
    (np.sin, ops.sin), (np.cos, ops.cos), (np.tanh, ops.tanh), (np.negative, ops.negative),
    (np.positive, ops.positive), (special.expit, ops.sigmoid),
    (np.add, ops.add), (np.subtract, ops.subtract), (np.multiply, ops.multiply),
    (np.divide, ops.divide), (np.true_divide, ops.divide), (np.power, ops.power),
    (np.maximum, ops.maximum), (np.minimum, ops.minimum), (special.xlogy, ops.xlogy),
    (np.matmul, ops.matmul),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), UFUNCS, ids=[f.__name__ for f, _ in UFUNCS])
def test_a_ufunc_of_a_tensor_is_the_operation_of_that_name(theirs, ours):
    x, y = leaf(0.5, 2.0), np.array([1.5, 0.25])
    calls = [(x,)] if theirs.nin == 1 else [(x, y), (y, x), (x, Tensor(y))]
    for inputs in calls:
        gradients, found = [], []
        for f in (theirs, ours):
            x.grad = None
            out = f(*inputs)
            found.append(out.data)
            assert type(out) is Tensor
            expected = theirs(*map(np.array, map(values, inputs)))
            np.testing.assert_allclose(out.data, expected, rtol=4e-16)  # NumPy's own error varies
            ops.sum(out * [1.0, 10.0]).backward()
            gradients.append(x.grad)
        np.testing.assert_array_equal(*found)
        np.testing.assert_array_equal(*gradients)
        assert gradients[0].any()


def test_what_no_operation_is_called_is_refused_where_a_gradient_would_be_lost():
    x, y = leaf(1.0, 2.0), np.ones(2)
    for lose in (
        lambda: np.arctan(x),
        lambda: np.floor(x),
        lambda: np.sign(x),
        lambda: np.add.reduce(x),
        lambda: np.multiply.outer(y, x),
        lambda: np.add(x, y, dtype=np.float32),
        lambda: np.modf(x),
        lambda: y // x,
        lambda: divmod(y, x),
    ):
        with pytest.raises(GradientError, match=r"would lose the gradient here; use minivae\.ops"):
            lose()
    # nothing is lost of a constant, nor by a question
    constant = Tensor([1.0, 2.0])
    np.testing.assert_array_equal(np.arctan(constant), np.arctan([1.0, 2.0]))
    np.testing.assert_array_equal(np.add.reduce(constant), 3.0)
    np.testing.assert_array_equal(np.add(y, constant, out=np.zeros(2)), [2.0, 3.0])
    for ask, expected in [
        (np.isfinite, [True, True]),
        (np.signbit, [False, False]),
        (lambda t: np.less(t, y), [False, False]),
        (lambda t: np.equal(y, t), [True, False]),
        (np.logical_not, [False, False]),
    ]:
        assert type(ask(x)) is np.ndarray
        np.testing.assert_array_equal(ask(x), expected)


def test_adding_to_an_array_in_place_is_refused_and_leaves_it_alone():
    x, y = leaf(1.0, 2.0), np.zeros(2)

    def add_in_place(y):
        y += x

    for write in (
        add_in_place,
        lambda y: np.add(y, x, out=y),
        lambda y: np.exp(y, out=x),
        lambda y: np.exp(y, out=Tensor(y)),
        lambda y: np.exp(x, where=y > 0, out=y),
    ):
        with pytest.raises(GradientError, match=r"write y = y \+ t, not y \+= t or out=y"):
            write(y)
    with pytest.raises(GradientError, match="would lose the gradient here"):
        np.add.at(y, [0, 0], x)
    np.testing.assert_array_equal(y, 0.0)
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    y = y + x
    assert y.requires_grad


def test_leaving_the_tape_by_the_door_for_plain_numbers():
    x = np.array([1.0, 2.0, 3.0])

    def filled(x):
        y = np.zeros(3)
        for i in range(3):
            y[i] = x[i] ** 2
        return ops.sum(x * y)

    # NumPy says "setting an array element with a sequence", and names our error as the cause: it
    # does so of whatever has a length. Inside grad and the like ours is put in its place.
    with pytest.raises(ValueError, match="setting an array element") as caught:
        filled(leaf(1.0, 2.0, 3.0))
    assert isinstance(caught.value.__cause__, GradientError)
    for look in (grad(filled), lambda x: gradcheck(filled, x), lambda x: vjp(filled, x)):
        with pytest.raises(GradientError, match=r"or y\[i\] = t; use minivae.ops"):
            look(x)
    with pytest.raises(ValueError, match="other") as other:
        grad(lambda x: (_ for _ in ()).throw(ValueError("other")))(x)
    assert other.value.__cause__ is None
    for lose in (
        lambda x: ops.sum(x * math.exp(x[0])),
        lambda x: sum(float(a) for a in x) * x[0],
        lambda x: x[0] * np.float64(x[0]) ** 2,
        lambda x: x[0] * int(x[0]),
        lambda x: x[0] * complex(x[0]).real,
        lambda x: ops.sum(ops.stack([float(a) ** 2 for a in x])),
        lambda x: ops.sum(x * np.array([float(a) for a in x])),
        lambda x: ops.sum(x * np.full(3, x[0])),
        lambda x: x[0] * np.float32(x[0]),
        lambda x: x[0] * math.floor(x[0]),
    ):
        with pytest.raises(GradientError, match=r"would lose the gradient"):
            grad(lose)(x)
    with pytest.raises(GradientError, match=r"float: .*math\.exp\(t\) or y\[i\] = t.*t\.item\(\)"):
        float(leaf(1.0))
    # the right ways: 3 x^2, and what is meant as a constant
    np.testing.assert_allclose(grad(lambda x: ops.sum(x * x**2))(x), [3.0, 12.0, 27.0])
    right = grad(lambda x: ops.sum(x * ops.stack([a**2 for a in x])))(x)
    np.testing.assert_allclose(right, [3.0, 12.0, 27.0])
    meant = grad(lambda x: ops.sum(x * x[0].item()))(x)
    np.testing.assert_array_equal(meant, [1.0, 1.0, 1.0])
    # plain numbers of constants, and of what is computed off the tape
    with no_grad():
        assert float(leaf(2.0) * 2.0) == 4.0
    assert math.sqrt(Tensor(4.0)) == 2.0
    assert f"{leaf(1.0) / 3.0:.3f} {Tensor([1.0])}" == "0.333 Tensor([1.], dtype=float64)"


def test_a_constant_tensor_is_an_array_where_one_is_asked_for():
    t = Tensor(np.ones(2, np.float32))
    assert np.asarray(t).dtype == np.float32
    assert np.asarray(t, dtype=float).dtype == np.float64
    assert not np.asarray(t).flags.writeable  # no copy: it cannot be written
    assert np.array(t).flags.writeable


# An operation of one's own -----------------------------------------------------------------------


def cube_vjp(g, out, x):
    return g * 3 * x**2


cube = primitive(lambda x, /: x**3, cube_vjp)


def test_an_operation_of_ones_own_works_everywhere():
    assert grad(cube)(2.0) == 12.0
    assert grad(grad(cube))(2.0) == 12.0
    assert cube_vjp(1.0, 8.0, 2.0) == cube.vjp(1.0, 8.0, 2.0) == 12.0
    np.testing.assert_array_equal(cube(np.array([1.0, 2.0])), [1.0, 8.0])


def test_a_vjp_in_plain_numpy_works():
    softplus = primitive(
        lambda x, /: np.logaddexp(0, x), lambda g, out, x: g * (1 / (1 + np.exp(-x)))
    )
    assert grad(softplus)(0.0) == 0.5
    assert grad(grad(softplus))(0.0) == 0.25  # for np.exp of a tensor is ops.exp
    sinc = primitive(np.sinc, lambda g, out, x: g * (np.cos(np.pi * x) - np.sinc(x)) / x)
    assert grad(sinc)(0.5) == pytest.approx(-4 / np.pi)
    with pytest.raises(GradientError, match="would lose the gradient"):
        grad(grad(sinc))(0.5)


def test_numpys_own_functions_make_operations():
    tanh = primitive(np.tanh, lambda g, out, x: g * (1 - out * out))
    assert tanh.__name__ == "tanh"
    assert grad(tanh)(0.3) == pytest.approx(1 - np.tanh(0.3) ** 2, rel=1e-15)
    hypot = primitive(np.hypot, lambda g, out, x, y: (g * x / out, g * y / out), broadcasts=True)
    gx, gy = vjp(hypot, np.array([3.0, 0.0]), 4.0)[1](np.ones(2))
    np.testing.assert_allclose(gx, [0.6, 0.0])
    np.testing.assert_allclose(gy, 1.8)


def test_parameters_by_position_by_name_and_by_default():
    seen = []

    def scale(x, /, factor=2.0, *, offset=0.0):
        return x * factor + offset

    def scale_vjp(g, out, x, factor, offset):
        seen.append((factor, offset))
        return g * factor

    operation = primitive(scale, scale_vjp)
    assert grad(lambda x: operation(x))(1.0) == 2.0
    assert grad(lambda x: operation(x, 3.0))(1.0) == 3.0
    assert grad(lambda x: operation(x, offset=1.0, factor=4.0))(1.0) == 4.0
    assert seen == [(2.0, 0.0), (3.0, 0.0), (4.0, 1.0)]
    for wrong in (
        lambda x: operation(x, 1.0, 2.0),
        lambda x: operation(x, 1.0, factor=2.0),
        lambda x: operation(x, size=1.0),
        lambda x: operation(),
        lambda x: ops.add(x),
        lambda x: ops.add(x, x, x),
        lambda x: ops.sum(x, 0, True, True),
    ):
        with pytest.raises(TypeError):
            wrong(leaf(1.0))


def test_without_a_slash_what_has_no_default_is_an_input():
    operation = primitive(lambda x, y, power=2: x * y**power, lambda g, out, x, y, power: (g, None))
    assert grad(lambda x: operation(x, 3.0))(1.0) == 1.0
    assert operation(2.0, 3.0, 3) == 54.0


class Scale:
    """A function that is an object."""

    def __init__(self, factor):
        self.factor = factor
        self.vjp = None  # an attribute of its own, which is not the business of the operation

    def __call__(self, x, /):
        return x * self.factor


class ScaleVjp(Scale):
    def __call__(self, g, out, x):
        return g * self.factor


def test_partial_functions_and_callable_objects_make_operations():
    def scale(x, /, factor):
        return x * factor

    def scale_vjp(factor, g, out, x):
        return g * factor

    of_parts = primitive(
        functools.partial(functools.partial(scale), factor=3.0), functools.partial(scale_vjp, 3.0)
    )
    of_objects = primitive(Scale(3.0), ScaleVjp(3.0))
    of_methods = primitive(Scale(3.0).__call__, ScaleVjp(3.0).__call__)
    for operation, name in ((of_parts, "scale"), (of_objects, "Scale"), (of_methods, "__call__")):
        assert operation.__name__ == name.lstrip("_")
        assert operation(2.0) == 6.0
        assert grad(operation)(2.0) == 3.0
        assert grad(grad(lambda x, f=operation: f(x) * x))(2.0) == 6.0
        assert repr(operation(leaf(1.0))).endswith(f", {operation.__name__})")


@pytest.mark.parametrize(
    "forward",
    [lambda x: None, lambda x: x * 1j, lambda x: [None], lambda x: "1", lambda x: x.astype("f2"),
     lambda x: {1.0}],
)  # fmt: skip
def test_a_forward_that_gives_no_real_numbers_is_refused(forward):
    def odd(x, /):
        return forward(x)

    operation = primitive(odd, lambda g, out, x: g)
    for x in (np.ones(2), Tensor([1.0]), leaf(1.0)):
        with pytest.raises(DtypeError, match=r"^odd, its forward's value: cannot compute with"):
            operation(x)


def test_wanted_says_which_cotangents_will_be_used():
    seen = []

    def product_vjp(g, out, x, y, wanted):
        seen.append(tuple(wanted))
        return g * y if wanted[0] else None, g * x if wanted[1] else None

    product = primitive(lambda x, y, /: x * y, product_vjp)
    x, y = leaf(2.0), leaf(3.0)
    product(x, 5.0).backward()
    product(x, y).backward()
    product(Tensor(1.0), y).backward()
    grad(lambda x: product(x, y))(2.0)
    assert seen == [(True, False), (True, True), (False, True), (True, False)]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda g: (g, g), r"wrong: its VJP gave 2 cotangents for 1 inputs"),
        (lambda g: (), r"wrong: its VJP gave 0 cotangents for 1 inputs"),
        (lambda g: g[:1], r"wrong: its VJP returned a cotangent of shape \(1,\).* shape \(2,\)"),
        (lambda g: g.sum(), r"wrong: its VJP returned a cotangent of shape \(\).* shape \(2,\)"),
        (lambda g: 0.0, r"wrong: its VJP returned a cotangent of shape \(\)"),
        (lambda g: np.stack([g, g]), r"wrong: its VJP returned a cotangent of shape \(2, 2\)"),
    ],
)
def test_a_vjp_that_breaks_its_contract_is_named_not_repaired(returned, message):
    def wrong(x, /):
        return x * 1.0

    operation = primitive(wrong, lambda g, out, x: returned(g))
    with pytest.raises(GradientError, match=message):
        operation(leaf(1.0, 2.0)).backward(np.ones(2))


def test_broadcasting_is_undone_only_where_it_was_declared():
    def product(x, y, /):
        return x * y

    declared = primitive(product, lambda g, out, x, y: (g * y, g * x), broadcasts=True)
    silent = primitive(product, lambda g, out, x, y: (g * y, g * x))
    x, y = np.ones((2, 1)), np.ones(3)
    assert [g.shape for g in vjp(declared, x, y)[1](np.ones((2, 3)))] == [(2, 1), (3,)]
    with pytest.raises(GradientError, match=r"product: .*shape \(2, 3\).*shape \(2, 1\)"):
        vjp(silent, x, y)[1](np.ones((2, 3)))
    careless = primitive(product, lambda g, out, x, y: (g.sum(), g * x), broadcasts=True)
    with pytest.raises(GradientError, match=r"product: .*shape \(\).*shape \(2, 1\)"):
        vjp(careless, x, y)[1](np.ones((2, 3)))


def test_a_vjp_is_given_a_cotangent_of_its_outputs_dtype():
    seen = []

    def same_vjp(g, out, x):
        seen.append(g.dtype)
        return g

    same = primitive(lambda x, /: x * 1, same_vjp)
    x = leaf(1.0, 2.0, dtype=np.float32)
    for g in (np.ones(2), [1, 2], np.ones(2, int)):
        same(x).backward(g)
    (same(x) * np.ones(2)).backward(np.ones(2))
    assert seen == [np.float32] * 4


def test_a_vjp_may_say_that_there_is_no_gradient():
    stop = primitive(lambda x, /: x * 1.0, lambda g, out, x: None)
    assert grad(lambda x: stop(x) * x)(3.0) == 3.0
    x = leaf(3.0)
    stop(x).backward()
    assert x.grad is None


def test_a_vjp_may_close_over_a_tensor_or_return_plain_numbers():
    w = leaf(3.0)
    times_w = primitive(lambda x, /: x * 3.0, lambda g, out, x: g * w)
    x = leaf(2.0)
    times_w(x).backward()
    assert type(x.grad) is np.ndarray
    plain = primitive(lambda x, /: float(x) * 3.0, lambda g, out, x: 3.0 * float(g))
    assert grad(plain)(2.0) == 3.0
    flags = primitive(lambda x, /: np.abs(x), lambda g, out, x: g * (x > 0))
    assert grad(flags)(2.0) == 1.0


# Errors say what was wrong -----------------------------------------------------------------------

x23 = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x + np.ones(4), ShapeError, r"^add: .*\(2, 3\) and \(4,\)"),
        (lambda x: ops.where(x > 0, x, np.ones(5)), ShapeError, r"^where: .*\(5,\)"),
        (lambda x: ops.clip(x, np.zeros(4), 1.0), ShapeError, r"^clip: "),
        (lambda x: x @ x, ShapeError, r"^matmul: shapes \(2, 3\) @ \(2, 3\).*transposed"),
        (lambda x: x @ 2.0, ShapeError, r"^matmul: shapes \(2, 3\) @ \(\)"),
        (lambda x: np.ones((2, 2, 3, 2)) @ ops.stack([x] * 3), ShapeError, r"^matmul: "),
        (lambda x: x.reshape(4, 2), ShapeError, r"^reshape: .*size 6.*\(4,2\).*\(2, 3\)"),
        (lambda x: x.sum(2), ShapeError, r"^sum: axis 2 is out of bounds.*\(2, 3\)"),
        (lambda x: x.sum((0, 0)), ShapeError, r"^sum: duplicate value in 'axis'"),
        (lambda x: x.max(-3), ShapeError, r"^max: axis -3 is out of bounds.*\(2, 3\)"),
        (lambda x: ops.logsumexp(x, 5), ShapeError, r"^logsumexp: axis 5.*\(2, 3\)"),
        (lambda x: ops.softmax(x, 2), ShapeError, r"^softmax: axis 2.*\(2, 3\)"),
        (lambda x: ops.norm(x, 2), ShapeError, r"^norm: axis 2.*\(2, 3\)"),
        (lambda x: x.transpose(0, 2), ShapeError, r"^transpose: .*\(2, 3\)"),
        (lambda x: x.squeeze(0), ShapeError, r"^squeeze: .*\(2, 3\)"),
        (lambda x: ops.broadcast_to(x, (2, 2)), ShapeError, r"^broadcast_to: .*\(2, 3\)"),
        (lambda x: ops.concatenate([x, np.ones((2, 4))]), ShapeError, r"^concatenate: .*\(2, 4\)"),
        (lambda x: ops.concatenate([]), ShapeError, r"^concatenate: "),
        (lambda x: ops.stack([x, x[0]]), ShapeError, r"^concatenate: .*\(1, 3\)"),
        (lambda x: x[2], IndexError, r"^getitem: index 2 .*\(2, 3\)"),
        (lambda x: x[0, 0, 0], IndexError, r"^getitem: too many indices.*\(2, 3\)"),
        (lambda x: x[[0, 5]], IndexError, r"^getitem: index 5 .*\(2, 3\)"),
        (lambda x: x[np.ones(3, bool)], IndexError, r"^getitem: boolean index.*\(2, 3\)"),
        (lambda x: x[Tensor([0.0])], IndexError, r"^getitem: .*integer.*\(2, 3\)"),
        (lambda x: x[:0].max(), ShapeError, r"^max: .*\(0, 3\) has no max"),
        (lambda x: x[:, :0].min(1), ShapeError, r"^min: .*\(2, 0\) has no min along axis 1"),
        (lambda x: ops.einsum("ij,jk", x, x), ShapeError, r"^einsum: .*\(2, 3\)"),
        (lambda x: ops.einsum("ijk->i", x), ShapeError, r"^einsum: 'ijk'.*\(2, 3\)"),
        (lambda x: ops.einsum("ij->i", x, x), ShapeError, r"^einsum: .*1 operands, 2 were given"),
        (lambda x: ops.einsum("ij->k", x), ShapeError, r"^einsum: "),
        (lambda x: ops.einsum(x, "ij"), TypeError, r"^einsum: the subscripts come first"),
        (lambda x: ops.solve_triangular(x, x), ShapeError, r"^solve_triangular: shape \(2, 3\) is"),
        (lambda x: ops.solve_triangular(np.eye(3), x), ShapeError, r"^solve.*\(3, 3\).*\(2, 3\)"),
        (lambda x: ops.solve_triangular(np.eye(3), 1.0), ShapeError, r"^solve_tri.*\(3, 3\).*\(\)"),
        (lambda x: ops.solve_triangular(np.ones((4, 2, 2)), x[None][[0] * 3]), ShapeError,
         r"^solve_triangular: .*\(4, 2, 2\) and \(3, 2, 3\)"),
        (lambda x: ops.inverse_triangular(x), ShapeError, r"^inverse_triangular: shape \(2, 3\)"),
        (lambda x: ops.positive_diagonal(x), ShapeError, r"^positive_diagonal: shape \(2, 3\)"),
        (lambda x: ops.take_along_axis(x, [0, 1]), ShapeError,
         r"^take_along_axis: indices of shape \(2,\) for x of shape \(2, 3\).*labels\[:, None\]"),
        (lambda x: ops.take_along_axis(x, [[3]]), IndexError, r"^getitem: index 3 .*\(2, 3\)"),
        (lambda x: ops.linear(x, np.ones((2, 3)), np.ones(3)), ShapeError, r"^linear: shapes x"),
        (lambda x: ops.linear(x, np.ones((3, 2)), 1.0), ShapeError, r"^linear: .*bias \(\)"),
        (lambda x: ops.linear(x, np.ones((3, 2)), np.ones(2), "wave"), ValueError,
         r"^linear: no activation is called 'wave'; .*'softplus'$"),
        (lambda x: ops.gaussian_kl(x, np.ones((2, 2))), ValueError, r"^gaussian_kl: .*\(2, 2\)"),
        (lambda x: x.backward(), GradientError, r"^backward: .*\(2, 3\) is not a single number"),
        (lambda x: x.backward(np.ones(3)), ShapeError, r"^backward: .*\(3,\).*\(2, 3\)"),
        (lambda x: x.backward(1.0), ShapeError, r"^backward: .*\(\).*\(2, 3\)"),
        (lambda x: x.backward(x23 * 1j), DtypeError, r"^backward: cannot compute with"),
        (lambda x: x.backward("one"), DtypeError, r"^backward: cannot compute with str"),
        (lambda x: grad(ops.tanh)(x), GradientError, r"^grad: .*\(2, 3\) is not a single number"),
        (lambda x: vjp(ops.tanh, x)[1](np.ones(2)), ShapeError, r"^vjp: .*\(2,\).*\(2, 3\)"),
        (lambda x: hvp(ops.sum, x, np.ones(3)), ShapeError, r"^hvp: x .*\(2, 3\) and v \(3,\)"),
        (lambda x: grad(lambda x: None)(x), DtypeError, r"^grad: the function.* NoneType"),
        (lambda x: grad(lambda x: "1")(x), DtypeError, r"^grad: the function.* str"),
        (lambda x: grad(lambda x: (x, x))(x), GradientError, r"^grad: the function.*several"),
    ],
)
def test_an_error_names_the_operation_and_the_shapes(call, error, message):
    with pytest.raises(error, match=message):
        call(Tensor(x23, requires_grad=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "from minivae import Tensor; Tensor(2.0) * 2",
        "from minivae.tensor import Tensor; Tensor([2.0]).sum()",
        "import numpy; from minivae import Tensor; assert type(numpy.exp(Tensor(2.0))) is Tensor",
        "from minivae import grad; grad(lambda x: x * x)(2.0)",
    ],
)
def test_operators_work_whatever_was_imported(use):
    subprocess.run([sys.executable, "-W", "error", "-c", use], check=True)
