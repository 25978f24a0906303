"""Long sums of float32 keep their digits: along any axis, in any layout, in any operation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae import Tensor, ops, vjp
from minivae.ops.sums import running, total
from minivae.tensor import unbroadcast

TENTH = np.float64(np.float32(0.1))


def tenths(*shape):
    """Nothing but 0.1, whose sums in single file go wrong fastest."""
    return np.full(shape, 0.1, np.float32)


LAYOUTS = {
    "as it is": lambda a: a,
    "Fortran": np.asfortranarray,
    "backwards": lambda a: a[::-1, ::-1],
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "swapped": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1),
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "repeated along the last": lambda a: np.broadcast_to(a[..., :1], a.shape),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())

CASES = [
    ((1_000_000, 1), 0), ((1_000_000, 2), 0), ((2, 1_000_000), 1), ((500_000, 2), (0, 1)),
    ((300_000, 2, 2), (0, 2)), ((2, 300_000, 3), 1), ((2, 300_000, 3), (0, 1)),
    ((1000, 1000, 2), (0, 1)), ((1000, 2, 1000), (0, -1)), ((400_000, 3), None),
]  # fmt: skip


@every_layout
@pytest.mark.parametrize(("shape", "axis"), CASES, ids=str)
def test_a_million_tenths(shape, axis, layout):
    x = layout(tenths(*shape))
    expected = np.sum(np.broadcast_to(TENTH, shape), axis=axis)
    n = round(expected.flat[0] / TENTH)
    assert n >= 300_000
    for keepdims in (False, True):
        found = total(x, axis, keepdims)
        assert (type(found), found.dtype) == (np.ndarray, np.float32)
        assert found.shape == np.sum(x, axis=axis, keepdims=keepdims).shape
        np.testing.assert_allclose(found, n * TENTH, rtol=2e-6)


@every_layout
@given(data=st.data())
def test_a_sum_is_numpys_in_float64(layout, data):
    ndim = data.draw(st.integers(2, 4))
    sides = [0, 1, 2, 3, 5, 8, 300, 1500]
    shape = [data.draw(st.sampled_from(sides[:6])) for _ in range(ndim)]
    shape[data.draw(st.integers(0, ndim - 1))] = data.draw(st.sampled_from(sides))
    axes = st.sets(st.integers(-ndim, ndim - 1), max_size=ndim)
    axis = data.draw(st.none() | st.integers(-ndim, ndim - 1) | axes.map(tuple))
    if isinstance(axis, tuple) and len({a % ndim for a in axis}) < len(axis):
        axis = tuple({a % ndim for a in axis})
    x = layout(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    for keepdims in (False, True):
        expected = np.sum(x, axis=axis, keepdims=keepdims, dtype=np.float64)
        size = np.sum(np.abs(x), axis=axis, keepdims=keepdims, dtype=np.float64)
        found = total(x, axis, keepdims)
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        np.testing.assert_array_less(np.abs(found - expected), 4e-6 * size + 1e-30)


def test_a_sum_is_an_array_of_its_own():
    x = tenths(600, 3)
    for axis in (0, 1, (0, 1), None, ()):
        assert not np.shares_memory(total(x, axis), x)


@every_layout
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_a_running_sum_is_numpys_in_float64(axis, layout):
    x = layout(np.random.default_rng(0).normal(size=(700, 400)).astype(np.float32) + 1)
    expected = np.cumsum(x, axis=axis, dtype=np.float64)
    found = running(x, axis)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


N = 1_000_000
MANY = {
    "sum": (lambda x: ops.sum(x, 0), N * TENTH),
    "mean": (lambda x: ops.mean(x, 0), TENTH),
    "norm": (lambda x: ops.norm(x, 0), TENTH * math.sqrt(N)),
    "var": (lambda x: ops.var(x + np.arange(N, dtype=np.float32)[:, None] % 2, 0), 0.25),
    "cumsum": (lambda x: ops.cumsum(x, 0)[-1], N * TENTH),
    "logsumexp": (lambda x: ops.logsumexp(x, 0), TENTH + math.log(N)),
    "softmax": (lambda x: ops.softmax(x, 0)[0], 1 / N),
    "log_softmax": (lambda x: ops.log_softmax(x, 0)[0], -math.log(N)),
    "max": (lambda x: ops.max(x, 0), TENTH),
    "einsum of one": (lambda x: ops.einsum("ij->j", x), N * TENTH),
    "einsum of two": (lambda x: ops.einsum("ij,ij->j", x, x), N * TENTH**2),
    "einsum with a product": (lambda x: ops.einsum("ij,ik->jk", x, x), N * TENTH**2),
    "einsum of three": (lambda x: ops.einsum("ij,ij,ij->j", x, x, x), N * TENTH**3),
    "a vector and a matrix": (lambda x: x[:, 0] @ x, N * TENTH**2),
    "a matrix and a vector": (lambda x: x.T @ x[:, 0], N * TENTH**2),
    "two vectors": (lambda x: x[:, 0] @ x[:, 0], N * TENTH**2),
    "two matrices": (lambda x: x.T @ x, N * TENTH**2),
    "batches": (lambda x: ops.swapaxes(x[None], 1, 2) @ x[None], N * TENTH**2),
}


@pytest.mark.parametrize(("operation", "expected"), MANY.values(), ids=MANY.keys())
def test_an_operation_on_a_million_rows(operation, expected):
    value = operation(Tensor(tenths(N, 2)))
    assert value.dtype == np.float32
    np.testing.assert_allclose(value.data, expected, rtol=1e-5)


def test_the_spread_of_a_constant_is_none():
    # NumPy's deviation of these is 1.3, for its mean is wrong
    x = np.full((N, 2), 30.1, np.float32)
    assert ops.std(x, 0).max() < 1e-5


GRADIENTS = {
    "a bias": (lambda x, b: x + b, (2,), 1.0),
    "a factor": (lambda x, b: x * b, (2,), TENTH),
    "a column": (lambda x, b: ops.sum(x * b, 0), (1, 2), TENTH),
    "a number": (lambda x, b: x + b, (), 2.0),
    "a repeated row": (lambda x, b: x * ops.broadcast_to(b, (N, 2)), (2,), TENTH),
    "a picked row": (lambda x, b: x * b[np.zeros(N, int)], (1, 2), TENTH),
    "a layer's bias": (
        lambda x, b: ops.linear(x, np.eye(2, dtype=np.float32), b), (2,), 1.0,
    ),
    "a layer's bias behind a sigmoid": (
        lambda x, b: ops.linear(0.0 * x, np.eye(2, dtype=np.float32), b, activation="sigmoid"),
        (2,), 0.25,
    ),
    "a share of the largest": (lambda x, b: ops.max(x, 0) + 0.0 * b, (2,), 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("operation", "shape", "each"), GRADIENTS.values(), ids=GRADIENTS.keys())
def test_a_gradient_over_a_million_rows(operation, shape, each):
    x, b = tenths(N, 2), Tensor(np.zeros(shape, np.float32), requires_grad=True)
    out = operation(x, b)
    out.backward(np.ones(out.shape, np.float32))
    assert b.grad.dtype == np.float32
    np.testing.assert_allclose(b.grad, N * each, rtol=1e-5)


def test_the_largest_of_many_share_evenly():
    _, pull_back = vjp(lambda x: ops.max(x, 0), np.ones((2**24 + 8, 1), np.float32))
    assert np.sum(pull_back(np.ones(1))[0], dtype=np.float64) == pytest.approx(1.0, rel=1e-6)


def test_unbroadcasting_keeps_its_digits():
    found = unbroadcast(tenths(2, N, 3), (1, 3))
    np.testing.assert_allclose(found, np.full((1, 3), 2 * N * TENTH), rtol=1e-6)


def test_twenty_million_rows():
    # where single file stops at 2^24
    x = np.ones((20_000_000, 1), np.float32)
    pair = np.broadcast_to(x, (20_000_000, 2))
    np.testing.assert_array_equal(total(pair, 0), [2e7, 2e7])
    np.testing.assert_array_equal(running(x, 0)[-1], 2e7)
    np.testing.assert_array_equal(ops.mean(pair, 0), [1.0, 1.0])


@pytest.mark.parametrize(
    ("a", "b"),
    [((5000,), (5000,)), ((5000,), (5000, 3)), ((2, 5000), (5000,)), ((5000,), (4, 5000, 3))],
)
def test_long_products_have_the_shapes_of_numpy(a, b):
    rng = np.random.default_rng(0)
    x, y = rng.random(a), rng.random(b)
    found = ops.matmul(x.astype(np.float32), y.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, x @ y, rtol=1e-6, strict=False)
    assert np.shape(found) == np.shape(x @ y)
