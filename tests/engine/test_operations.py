"""Every operation: its value against NumPy, its derivatives against differences, its manners."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from scipy import special

from engine.numeric import curvature_error, gradient_error, inner
from minivae import Tensor, no_grad, ops, vjp
from minivae.tensor import Primitive

# Drawing inputs ----------------------------------------------------------------------------------


class Inputs(NamedTuple):
    """Arrays, and the parameters to call the operation with."""

    arrays: list[np.ndarray]
    params: dict[str, Any]


def spread(seed, shapes, low=-2.0, high=2.0):
    """Arrays of random numbers, all evenly spread from ``low`` to ``high``.

    So that no tie lies within the reach of the differences, nor 0 if ``low`` is ``-high``.
    """
    rng = np.random.default_rng(seed)
    sizes = [int(np.prod(shape)) for shape in shapes]
    n = max(sum(sizes), 1)
    places = rng.permutation(n) + 0.37 + rng.uniform(-0.05, 0.05, n)
    parts = np.split(low + (high - low) * places / n, np.cumsum(sizes)[:-1])
    return [part[:size].reshape(s) for part, size, s in zip(parts, sizes, shapes, strict=True)]


seeds = st.integers(0, 9999)


@st.composite
def elementwise(draw, n=1, low=-2.0, high=2.0, **params):
    """Arrays whose shapes broadcast together: 0-d and empty ones too."""
    drawn = draw(mutually_broadcastable_shapes(num_shapes=n, min_side=0, max_side=3, max_dims=3))
    return Inputs(spread(draw(seeds), drawn.input_shapes, low, high), params)


SHAPES = [(), (1,), (4,), (0,), (2, 3), (3, 1), (1, 0, 2), (2, 1, 3), (0, 3)]


def axes_of(shape, several):
    """Everything that ``axis`` may be: None, numbers from either end, tuples, the empty tuple."""
    n = len(shape)
    single = [*range(-n, n)]
    some = [(0,), (-1,), (0, -1), (1, 0), tuple(range(n))] if several else []
    fitting = [a for a in some if len({i % n for i in a if -n <= i < n}) == len(a)] if n else []
    return [None, *single, *fitting, *([()] if several else [])]


@st.composite
def reducing(draw, keepdims=True, several=True, nothing=True):
    """An array, an axis of it, and whether it is kept."""
    shape = draw(st.sampled_from(SHAPES if nothing else [s for s in SHAPES if 0 not in s]))
    params = {"axis": draw(st.sampled_from(axes_of(shape, several)))}
    if keepdims:
        params["keepdims"] = draw(st.booleans())
    return Inputs(spread(draw(seeds), [shape]), params)


@st.composite
def choosing(draw, *rows):
    """One of a few calls: shapes and parameters."""
    shapes, params = draw(st.sampled_from(rows))
    return Inputs(spread(draw(seeds), shapes), params)


# The table ---------------------------------------------------------------------------------------


class Row(NamedTuple):
    """An operation, what it must equal, and where to try it."""

    call: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: st.SearchStrategy[Inputs]
    nan: bool = True  # NaN in, NaN out
    curved: bool = True  # second derivatives are promised


def unary(name, reference, low=-2.0, high=2.0):
    return Row(getattr(ops, name), reference, elementwise(1, low, high))


def logsumexp(x, axis=None, keepdims=False):
    axis = tuple(range(x.ndim)) if axis is None else axis
    total = np.sum(np.exp(x), axis=axis, keepdims=keepdims)
    return np.log(total, out=np.full_like(total, -np.inf), where=total != 0)


def moment(name):
    """NumPy's, without its warnings of empty slices."""

    def reference(x, **params):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return getattr(np, name)(x, **params)

    return reference


def tiled(x, rows):
    return np.tile(x, (rows // len(x), 1)) if len(x) else x


def gaussian_log_prob(mu, log_var, x):
    residual = tiled(x, len(mu)) - mu
    return -0.5 * np.sum(np.log(2 * np.pi) + log_var + residual**2 / np.exp(log_var), axis=1)


def continuous_bernoulli_log_prob(logits, x):
    log_c = np.log(logits / np.tanh(logits / 2))
    return np.sum(tiled(x, len(logits)) * logits - np.logaddexp(0, logits) + log_c, axis=1)


def linear(x, weight, bias, activation="identity"):
    activations = {"identity": np.positive, "relu": lambda a: np.maximum(a, 0), "tanh": np.tanh}
    activations |= {"sigmoid": special.expit, "softplus": lambda a: np.logaddexp(0, a)}
    return activations[activation](x @ weight + bias)


def off_the_kink(inputs):
    """Whether differences of relu are on one side of 0."""
    relu = inputs.params.get("activation") == "relu"
    return not relu or np.abs(linear(*inputs.arrays)).min() > 0.05


def scattered(x, index, shape):
    out = np.zeros(shape, x.dtype)
    np.add.at(out, index, x)
    return out


def heavy_diagonal(a):
    """A matrix that is far from singular."""
    return a + 4 * np.eye(a.shape[-1], dtype=a.dtype)


def solve_triangular(a, b, trans=0, lower=False):
    a = (np.tril if lower else np.triu)(heavy_diagonal(a))
    x = np.linalg.solve(np.swapaxes(a, -1, -2) if trans else a, b[:, None] if b.ndim == 1 else b)
    return x[..., 0] if b.ndim == 1 else x


BANDS = [
    ([(3, 3)], {}),
    ([(2, 4)], {"k": 1}),
    ([(2, 3, 2)], {"k": -1}),
    ([(0, 2, 2)], {}),
]
CONDITION = np.array([[True, False, True], [False, True, True]])

TABLE = {
    # arithmetic
    "add": Row(ops.add, np.add, elementwise(2)),
    "subtract": Row(ops.subtract, np.subtract, elementwise(2)),
    "multiply": Row(ops.multiply, np.multiply, elementwise(2)),
    "divide": Row(ops.divide, np.divide, elementwise(2, 0.5, 2.0)),
    "negative": unary("negative", np.negative),
    "positive": unary("positive", np.positive),
    "astype": Row(ops.astype, np.ndarray.astype, elementwise(1, dtype=np.float64)),
    "power": Row(ops.power, np.power, elementwise(2, 0.3, 2.0), nan=False),  # nan ** 0 is 1
    "square": unary("square", np.square),
    # exponentials, roots, circles
    "exp": unary("exp", np.exp),
    "expm1": unary("expm1", np.expm1),
    "log": unary("log", np.log, 0.3, 3.0),
    "log1p": unary("log1p", np.log1p, -0.7, 3.0),
    "xlogy": Row(ops.xlogy, special.xlogy, elementwise(2, 0.3, 2.0)),
    "sqrt": unary("sqrt", np.sqrt, 0.3, 3.0),
    "abs": unary("abs", np.abs),
    "sin": unary("sin", np.sin),
    "cos": unary("cos", np.cos),
    # activations
    "tanh": unary("tanh", np.tanh),
    "sigmoid": unary("sigmoid", special.expit),
    "softplus": unary("softplus", lambda x: np.logaddexp(0, x)),
    "relu": unary("relu", lambda x: np.maximum(x, 0)),
    # choices
    "maximum": Row(ops.maximum, np.maximum, choosing(([(2, 3), (3,)], {}), ([(), (2,)], {}))),
    "minimum": Row(ops.minimum, np.minimum, choosing(([(2, 3), (2, 1)], {}), ([(3,), ()], {}))),
    "where": Row(
        lambda x, y: ops.where(CONDITION, x, y),
        lambda x, y: np.where(CONDITION, x, y),
        choosing(([(2, 3), (3,)], {}), ([(), (2, 1)], {}), ([(4, 1, 3), (2, 3)], {})),
        nan=False,
    ),
    "clip": Row(
        ops.clip,
        lambda x, lower=None, upper=None: np.clip(x, lower, upper),
        choosing(
            ([(2, 3)], {"lower": -0.55, "upper": 0.85}),
            ([(4,)], {"lower": 0.2}),
            ([()], {"upper": 3.0}),
            ([(3,)], {"lower": np.array([[-0.5], [0.25]]), "upper": 5.0}),
        ),
    ),
    # reductions
    "sum": Row(ops.sum, np.sum, reducing()),
    "mean": Row(ops.mean, moment("mean"), reducing()),
    "var": Row(ops.var, moment("var"), reducing()),
    "std": Row(ops.std, moment("std"), reducing(nothing=False), curved=False),  # tested below
    "norm": Row(
        ops.norm,
        lambda x, axis=None, keepdims=False: np.sqrt(np.sum(x**2, axis=axis, keepdims=keepdims)),
        reducing(),
    ),
    "max": Row(ops.max, np.max, reducing(nothing=False)),
    "min": Row(ops.min, np.min, reducing(nothing=False)),
    "prod": Row(ops.prod, np.prod, reducing()),
    "cumsum": Row(ops.cumsum, np.cumsum, reducing(keepdims=False, several=False)),
    "logsumexp": Row(ops.logsumexp, logsumexp, reducing()),
    "softmax": Row(ops.softmax, special.softmax, reducing(keepdims=False, nothing=False)),
    "log_softmax": Row(
        ops.log_softmax, special.log_softmax, reducing(keepdims=False, nothing=False)
    ),
    # products
    "matmul": Row(
        ops.matmul,
        np.matmul,
        choosing(
            *[
                ([a, b], {})
                for a, b in [
                    ((3,), (3,)),
                    ((3,), (3, 2)),
                    ((2, 3), (3,)),
                    ((2, 3), (3, 4)),
                    ((2, 1, 2, 3), (3, 2)),
                    ((2, 3), (4, 3, 2)),
                    ((2, 1, 1, 3), (5, 3, 2)),
                    ((3,), (2, 3, 1)),
                    ((2, 2, 3), (3,)),
                    ((0, 3), (3, 2)),
                    ((2, 0), (0, 3)),
                    ((0,), (0,)),
                    ((1, 2, 3), (0, 3, 2)),
                ]
            ]
        ),
    ),
    "einsum": Row(
        lambda *xs, subscripts: ops.einsum(subscripts, *xs),
        lambda *xs, subscripts: np.einsum(subscripts, *xs),
        choosing(
            *[
                (shapes, {"subscripts": text})
                for text, *shapes in [
                    ("ij,jk->ik", (2, 3), (3, 4)),
                    ("ij,jk", (2, 3), (3, 4)),
                    ("ba,cb", (2, 3), (4, 2)),
                    ("ij->ji", (2, 3)),
                    ("ij->", (2, 3)),
                    ("ij->i", (2, 3)),
                    ("ii->i", (3, 3)),
                    ("ii", (3, 3)),
                    ("iij->j", (2, 2, 3)),
                    ("iii->i", (2, 2, 2)),
                    ("ii,i->", (3, 3), (3,)),
                    ("i,j->ij", (2,), (3,)),
                    (",ij->ij", (), (2, 3)),
                    ("i,i,i->", (4,), (4,), (4,)),
                    ("ij,kj,k->i", (2, 3), (4, 3), (4,)),
                    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
                    ("...i,...i", (2, 3), (4, 1, 3)),
                    ("i...->...", (3, 2)),
                    ("...,...->...", (2, 3), (3,)),
                    ("ij,ij->ij", (2, 1), (2, 3)),
                    ("ij,j->i", (2, 3), (1,)),
                    ("ij,jk->k", (0, 3), (3, 2)),
                    ("ij,jk->ik", (2, 0), (0, 3)),
                    ("i j , j -> i", (2, 3), (3,)),
                    ("iJ,J->i", (2, 3), (3,)),
                ]
            ]
        ),
    ),
    # triangular matrices
    "tril": Row(ops.tril, np.tril, choosing(*BANDS)),
    "triu": Row(ops.triu, np.triu, choosing(*BANDS)),
    "positive_diagonal": Row(
        ops.positive_diagonal,
        lambda x: np.where(np.eye(x.shape[-1], dtype=bool), np.exp(x), x),
        choosing(([(3, 3)], {}), ([(2, 1, 2, 2)], {}), ([(0, 2, 2)], {}), ([(0, 0)], {})),
    ),
    "solve_triangular": Row(
        lambda a, b, **params: ops.solve_triangular(heavy_diagonal(a), b, **params),
        solve_triangular,
        choosing(
            *[
                ([a, b], {"trans": trans, "lower": lower})
                for a, b in [
                    ((3, 3), (3, 2)),
                    ((3, 3), (3,)),
                    ((2, 3, 3), (3,)),
                    ((2, 1, 2, 2), (3, 2, 1)),
                    ((2, 2), (3, 2, 2)),
                    ((1, 1), (1, 4)),
                    ((0, 2, 2), (2, 3)),
                    ((0, 0), (0, 2)),
                ]
                for trans in (0, 1)
                for lower in (False, True)
            ],
            ([(2, 2), (2, 2)], {}),
        ),
        nan=False,  # tested below
    ),
    "inverse_triangular": Row(
        lambda a, lower=False: ops.inverse_triangular(heavy_diagonal(a), lower),
        lambda a, lower=False: solve_triangular(a, np.eye(a.shape[-1]), lower=lower),
        choosing(
            ([(3, 3)], {"lower": True}),
            ([(2, 2, 2)], {"lower": True}),
            ([(2, 1, 3, 3)], {"lower": False}),
            ([(0, 2, 2)], {}),
        ),
        nan=False,
    ),
    # shapes
    "reshape": Row(
        ops.reshape,
        lambda x, shape: np.reshape(x, shape),  # whose name was another before NumPy 2.1
        choosing(
            ([(2, 3)], {"shape": (3, 2)}),
            ([(2, 3)], {"shape": -1}),
            ([(2, 3)], {"shape": (1, -1, 2)}),
            ([()], {"shape": (1, 1)}),
            ([(1,)], {"shape": ()}),
            ([(0, 3)], {"shape": (3, 0, 2)}),
        ),
    ),
    "transpose": Row(
        ops.transpose,
        np.transpose,
        choosing(
            ([(2, 3, 4)], {}),
            ([(2, 3, 4)], {"axes": (1, 2, 0)}),
            ([(2, 3, 4)], {"axes": (-1, 0, -2)}),
            ([(2, 3)], {"axes": [1, 0]}),
            ([()], {}),
            ([(0, 2)], {"axes": None}),
        ),
    ),
    "swapaxes": Row(
        ops.swapaxes,
        np.swapaxes,
        choosing(
            ([(2, 3, 4)], {"axis1": 0, "axis2": -1}),
            ([(2, 3)], {"axis1": 1, "axis2": 1}),
            ([(0, 3)], {"axis1": -1, "axis2": 0}),
        ),
    ),
    "squeeze": Row(
        ops.squeeze,
        np.squeeze,
        choosing(
            ([(1, 3, 1)], {}),
            ([(1, 3, 1)], {"axis": -1}),
            ([(1, 3, 1)], {"axis": (0, -1)}),
            ([(1, 1)], {"axis": ()}),
            ([()], {}),
            ([(0, 1)], {}),
        ),
    ),
    "expand_dims": Row(
        ops.expand_dims,
        np.expand_dims,
        choosing(
            ([(2, 3)], {"axis": 1}),
            ([(2, 3)], {"axis": (0, -1)}),
            ([()], {"axis": 0}),
            ([(0,)], {"axis": -1}),
        ),
    ),
    "broadcast_to": Row(
        ops.broadcast_to,
        np.broadcast_to,
        choosing(
            ([(3, 1)], {"shape": (2, 3, 4)}),
            ([()], {"shape": (2,)}),
            ([(3,)], {"shape": (3,)}),
            ([(1,)], {"shape": (0,)}),
            ([(1, 3)], {"shape": (0, 3)}),
            ([()], {"shape": ()}),
        ),
    ),
    "flip": Row(
        ops.flip,
        np.flip,
        choosing(
            ([(2, 3)], {}),
            ([(2, 3)], {"axis": -1}),
            ([(2, 3, 2)], {"axis": (0, 2)}),
            ([()], {}),
            ([(0, 2)], {"axis": 0}),
        ),
    ),
    "concatenate": Row(
        lambda *xs, **params: ops.concatenate(xs, **params),
        lambda *xs, **params: np.concatenate(xs, **params),
        choosing(
            ([(2, 3), (1, 3), (4, 3)], {}),
            ([(2, 3), (2, 1)], {"axis": -1}),
            ([(2, 1, 3), (2, 2, 3)], {"axis": -2}),
            ([(2, 1, 3), (2, 1, 1)], {"axis": -1}),
            ([(2, 3), (4,)], {"axis": None}),
            ([(0, 3), (2, 3)], {"axis": 0}),
            ([(3,)], {}),
        ),
        nan=False,
    ),
    "stack": Row(
        lambda *xs, **params: ops.stack(xs, **params),
        lambda *xs, **params: np.stack(xs, **params),
        choosing(
            ([(2, 3), (2, 3)], {}),
            ([(2, 3), (2, 3), (2, 3)], {"axis": 1}),
            ([(), ()], {}),
            ([(2,), (2,)], {"axis": -1}),
            ([(0,), (0,)], {"axis": 1}),
        ),
        nan=False,
    ),
    # indexing
    "getitem": Row(
        ops.getitem,
        lambda x, index: np.asarray(x[index]),
        choosing(
            *[
                ([shape], {"index": index})
                for shape, index in [
                    ((4,), 1),
                    ((4,), -1),
                    ((4,), np.int64(2)),
                    ((4,), slice(None, None, -2)),
                    ((4,), slice(3, 1)),
                    ((4,), [0, 0, 1]),
                    ((4,), []),
                    ((4,), np.array([[0, -1], [3, 0]])),
                    ((4,), [True, False, False, True]),
                    ((4,), np.zeros(4, bool)),
                    ((4,), None),
                    ((4,), True),
                    ((4,), False),
                    ((), ()),
                    ((), ...),
                    ((), None),
                    ((2, 3), 1),
                    ((2, 3), (1, 2)),
                    ((2, 3), (..., 0)),
                    ((2, 3), (slice(None), None, [2, 0, 2])),
                    ((2, 3), ([0, 1, 0], [2, 2, 2])),
                    ((2, 3), ([[0], [1]], [0, 0])),
                    ((2, 3), (1, [True, False, True])),
                    ((2, 3), np.array([[True, False, True], [False, False, True]])),
                    ((2, 3), ([True, False], slice(1, None))),
                    ((2, 3, 2), ([0, 0], slice(None), [1, 1])),
                    ((2, 3, 2), (0, ..., None, -1)),
                    ((0, 3), slice(None)),
                    ((0, 3), (slice(None), [1, 1])),
                ]
            ]
        ),
        nan=False,
    ),
    "scatter_add": Row(
        ops.scatter_add,
        scattered,
        choosing(
            ([(3,)], {"index": [0, 0, 1], "shape": (4,)}),
            ([(2, 3)], {"index": (slice(None), [2, 0, 2]), "shape": (2, 3)}),
            ([(2,)], {"index": slice(0, 4, 2), "shape": (5,)}),
            ([()], {"index": (1, 1), "shape": (2, 2)}),
            ([(0,)], {"index": [], "shape": (2,)}),
        ),
    ),
    "take_along_axis": Row(
        ops.take_along_axis,
        np.take_along_axis,
        choosing(
            *[
                ([shape], {"indices": np.array(indices), "axis": axis})
                for shape, indices, axis in [
                    ((3,), [2, 0, 0], 0),
                    ((2, 3), [[2], [0]], 1),
                    ((2, 3), [[2, 2], [-1, 0]], -1),
                    ((2, 3), [[1, 0, 1]], 0),
                    ((2, 3), [[1]], -1),
                    ((1, 3), [[0, 1], [2, 2]], 1),
                    ((2, 2, 3), [[[2], [1]]], -1),
                    ((0, 3), np.zeros((0, 1), int), 1),
                    ((2, 3), np.zeros((2, 0), int), 1),
                ]
            ]
        ),
        nan=False,
    ),
    "diagonal": Row(
        ops.diagonal,
        np.diagonal,
        choosing(
            ([(3, 3)], {}),
            ([(2, 4)], {"offset": 1}),
            ([(2, 4)], {"offset": -1}),
            ([(2, 2)], {"offset": 3}),
            ([(2, 3, 3)], {"axis1": -2, "axis2": -1}),
            ([(3, 2, 2)], {"offset": -1, "axis1": 2, "axis2": 0}),
            ([(0, 2, 2)], {"axis1": 1, "axis2": 2}),
        ),
        nan=False,
    ),
    # fused
    "linear": Row(
        ops.linear,
        linear,
        choosing(
            *[
                ([(n, 3), (3, 2), (2,)], {"activation": a})
                for n, a in [
                    (2, "identity"),
                    (1, "tanh"),
                    (3, "sigmoid"),
                    (2, "softplus"),
                    (0, "tanh"),
                ]
            ],
            ([(2, 3), (3, 2), (2,)], {"activation": "relu"}),
            ([(2, 0), (0, 2), (2,)], {}),
        ).filter(off_the_kink),
    ),
    "reparameterise": Row(
        ops.reparameterise,
        lambda mu, log_var, eps: tiled(mu, len(eps)) + np.exp(tiled(log_var, len(eps)) / 2) * eps,
        choosing(
            ([(2, 3), (2, 3), (2, 3)], {}),
            ([(2, 1), (2, 1), (6, 1)], {}),
            ([(0, 2), (0, 2), (0, 2)], {}),
        ),
    ),
    "gaussian_kl": Row(
        ops.gaussian_kl,
        lambda mu, log_var: 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1),
        choosing(([(2, 3), (2, 3)], {}), ([(0, 3), (0, 3)], {}), ([(2, 0), (2, 0)], {})),
    ),
    "binomial_log_prob": Row(
        ops.binomial_log_prob,
        lambda logits, x, n_trials=1.0: np.sum(
            tiled(x, len(logits)) * logits - n_trials * np.logaddexp(0, logits), axis=1
        ),
        choosing(
            ([(2, 3), (2, 3)], {}),
            ([(6, 2), (2, 2)], {"n_trials": 16.0}),
            ([(0, 3), (0, 3)], {"n_trials": 2.0}),
        ),
    ),
    "gaussian_log_prob": Row(
        ops.gaussian_log_prob,
        gaussian_log_prob,
        choosing(
            ([(2, 3), (2, 3), (2, 3)], {}),
            ([(6, 2), (6, 2), (2, 2)], {}),
            ([(4, 2), (1, 1), (2, 2)], {}),
            ([(0, 2), (0, 2), (0, 2)], {}),
        ),
    ),
    "continuous_bernoulli_log_prob": Row(
        ops.continuous_bernoulli_log_prob,
        continuous_bernoulli_log_prob,
        choosing(([(2, 3), (2, 3)], {}), ([(6, 2), (2, 2)], {}), ([(0, 3), (0, 3)], {})),
    ),
}

every_operation = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
some = settings(max_examples=max(12, settings.default.max_examples // 4))
few = settings(max_examples=max(5, settings.default.max_examples // 10))


def bound(row, inputs):
    """The operation as a function of its arrays alone."""
    return lambda *xs: row.call(*xs, **inputs.params)


def test_the_table_lists_every_operation():
    assert set(TABLE) == set(ops.__all__) - {"ACTIVATIONS"}


# Values ------------------------------------------------------------------------------------------


@every_operation
@given(data=st.data())
def test_value_is_numpys(row, data):
    inputs = data.draw(row.inputs)
    with np.errstate(all="ignore"):
        expected = row.reference(*inputs.arrays, **inputs.params)
    value = row.call(*inputs.arrays, **inputs.params)
    assert type(value) is np.ndarray
    assert value.shape == expected.shape
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    tensor = row.call(*map(Tensor, inputs.arrays), **inputs.params)
    assert type(tensor) is Tensor
    assert not tensor.requires_grad
    np.testing.assert_array_equal(tensor.data, value)


@every_operation
@some
@given(data=st.data())
def test_float32_stays_float32(row, data):
    inputs = data.draw(row.inputs)
    if inputs.params.get("dtype") is not None:
        inputs = inputs._replace(params={"dtype": np.float32})
    small = [a.astype(np.float32) for a in inputs.arrays]
    if isinstance(inputs.params.get("lower"), np.ndarray):
        inputs.params["lower"] = inputs.params["lower"].astype(np.float32)
    value, pull_back = vjp(bound(row, inputs), *small)
    assert value.dtype == np.float32
    assert all(g.dtype == np.float32 for g in pull_back(np.ones(value.shape, np.float32)))
    exact = row.call(*[a.astype(np.float64) for a in small], **inputs.params)
    np.testing.assert_allclose(value, exact, rtol=2e-5, atol=2e-5)


@every_operation
@some
@given(data=st.data())
def test_nan_goes_through(row, data):
    inputs = data.draw(row.inputs)
    spoilt = [np.full_like(a, np.nan) for a in inputs.arrays]
    value = row.call(*spoilt, **inputs.params)
    if row.nan and value.size and all(a.size for a in inputs.arrays):
        with np.errstate(all="ignore"):
            hit = row.reference(*spoilt, **inputs.params)
        np.testing.assert_array_equal(np.isnan(value), np.isnan(hit))
        assert np.isnan(value).any()


def test_solving_looks_at_one_triangle_and_goes_on_from_zeros_and_nan():
    lower = np.array([[2.0, np.nan, np.inf], [1.0, 0.0, np.nan], [3.0, 4.0, 5.0]])
    x = ops.solve_triangular(lower, np.ones(3), lower=True)
    np.testing.assert_array_equal(x, [0.5, np.inf, -np.inf])
    x = ops.solve_triangular(lower, np.array([2.0, 1.0, np.nan]), lower=True)
    np.testing.assert_array_equal(x, [1.0, np.nan, np.nan])
    # each equation is met to the last digits, however uneven the diagonal: pivots would lose them
    rng = np.random.default_rng(0)
    L = np.tril(rng.standard_normal((8, 8))) + np.diag(10.0 ** np.arange(-20, 20, 5))
    b = rng.standard_normal(8)
    x = ops.solve_triangular(L, b, lower=True)
    np.testing.assert_array_less(np.abs(L @ x - b), 1e-14 * (np.abs(L) @ np.abs(x)))


@every_operation
@few
@given(data=st.data(), scale=st.sampled_from([1e-200, 1e-30, 1e30, 1e200, np.inf, np.nan]))
def test_numpys_warnings_as_errors_stop_nothing(row, data, scale):
    inputs = data.draw(row.inputs)
    extreme = [a * scale for a in inputs.arrays]
    f = bound(row, inputs)

    def slope(*xs):
        value, pull_back = vjp(f, *xs)
        return sum((g * g).sum() for g in pull_back(np.full(value.shape, scale)))

    with np.errstate(all="raise"):
        for dtype in (np.float32, np.float64):
            leaves = [Tensor(a, requires_grad=True, dtype=dtype) for a in extreme]
            out = f(*leaves)
            for _ in range(2):
                out.backward(np.full(out.shape, scale))
            if row.curved:
                vjp(slope, *leaves)[1]()


# Derivatives -------------------------------------------------------------------------------------


@every_operation
@given(data=st.data())
def test_gradient_is_that_of_differences(row, data):
    inputs = data.draw(row.inputs)
    assert gradient_error(bound(row, inputs), inputs.arrays, np.random.default_rng(0)) < 1e-8


@every_operation
@some
@given(data=st.data())
def test_second_derivative_is_that_of_differences(row, data):
    inputs = data.draw(row.inputs)
    if row.curved:
        assert curvature_error(bound(row, inputs), inputs.arrays, np.random.default_rng(0)) < 1e-7


def test_second_derivative_of_std_away_from_zero():
    x = spread(0, [(3, 4)])[0]
    for params in [{}, {"axis": 1, "ddof": 1}, {"axis": (0, 1), "keepdims": True}]:
        f = bound(TABLE["std"], Inputs([x], params))
        assert curvature_error(f, [x], np.random.default_rng(0)) < 1e-7


# Along x + ih the imaginary part of an analytic function is h times its derivative, uncancelled.
ANALYTIC = [
    "add", "subtract", "multiply", "divide", "negative", "square", "power", "exp", "expm1", "log",
    "log1p", "sqrt", "sin", "cos", "tanh", "sum", "prod", "cumsum", "matmul", "tril", "diagonal",
]  # fmt: skip


@pytest.mark.parametrize("name", ANALYTIC)
@some
@given(data=st.data())
def test_gradient_is_exact_to_the_last_digits(name, data):
    inputs = data.draw(TABLE[name].inputs)
    rng = np.random.default_rng(0)
    directions = [rng.standard_normal(a.shape) for a in inputs.arrays]
    moved = [a + 1e-30j * d for a, d in zip(inputs.arrays, directions, strict=True)]
    exact = np.imag(getattr(np, name)(*moved, **inputs.params)) / 1e-30
    g = rng.standard_normal(exact.shape)
    gradients = vjp(bound(TABLE[name], inputs), *inputs.arrays)[1](g)
    found = inner(gradients, directions)
    scale = sum(inner([abs(a)], [abs(d)]) for a, d in zip(gradients, directions, strict=True))
    assert found == pytest.approx(inner([g], [exact]), rel=1e-13, abs=1e-13 * (scale + 1e-300))


# Manners -----------------------------------------------------------------------------------------


def leaves_and_result(row, inputs, dtypes=(np.float64,)):
    """The operation recorded: its leaves, of the given dtypes in turn, and its result."""
    leaves = [
        Tensor(a, requires_grad=True, dtype=dtypes[i % len(dtypes)])
        for i, a in enumerate(inputs.arrays)
    ]
    return leaves, bound(row, inputs)(*leaves)


@every_operation
@some
@given(data=st.data())
def test_gradients_are_the_callers_own(row, data):
    inputs = data.draw(row.inputs)
    leaves, out = leaves_and_result(row, inputs)
    held = [t.data for t in (*leaves, out)]
    before = [a.copy() for a in held]
    g = np.random.default_rng(0).standard_normal(out.shape)
    g_before = g.copy()
    out.backward(g)
    gradients = [t.grad for t in leaves]
    assert all(type(a) is np.ndarray for a in gradients)
    assert [a.shape for a in gradients] == [t.shape for t in leaves]
    assert all(a.flags.writeable and a.flags.owndata for a in gradients)
    others = [*held, g, *gradients]
    for i, a in enumerate(gradients):
        assert not any(np.shares_memory(a, b) for b in others[: len(held) + 1 + i])
    for a in gradients:
        a[...] = np.nan
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(held, before, strict=True))
    np.testing.assert_array_equal(g, g_before)


@every_operation
@some
@given(data=st.data())
def test_a_gradient_has_its_leafs_dtype(row, data):
    inputs = data.draw(row.inputs)
    leaves, out = leaves_and_result(row, inputs, [np.float32, np.float64])
    out.backward(np.ones(out.shape))
    assert [t.grad.dtype for t in leaves] == [t.dtype for t in leaves]
    out.backward(np.ones(out.shape, np.float32))
    assert [t.grad.dtype for t in leaves] == [t.dtype for t in leaves]


def backwards(a):
    return a[tuple(slice(None, None, -1) for _ in a.shape)].copy()[
        tuple(slice(None, None, -1) for _ in a.shape)
    ]


def every_other(a):
    wide = np.repeat(a[..., None], 2, axis=-1)
    return wide[..., 0]


LAYOUTS = {
    "backwards": backwards,
    "Fortran": lambda a: np.array(a, order="F"),
    "every other": every_other,
}


@every_operation
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@few
@given(data=st.data())
def test_strides_change_nothing(row, layout, data):
    inputs = data.draw(row.inputs)
    f = bound(row, inputs)
    value, pull_back = vjp(f, *inputs.arrays)
    g = np.random.default_rng(0).standard_normal(value.shape)
    strided_value, strided_pull_back = vjp(f, *map(layout, inputs.arrays))
    np.testing.assert_allclose(strided_value, value, rtol=1e-14, atol=1e-15)
    plain_value = f(*map(layout, inputs.arrays))
    np.testing.assert_allclose(plain_value, value, rtol=1e-14, atol=1e-15)
    for a, b in zip(strided_pull_back(layout(g)), pull_back(g), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


@every_operation
@few
@given(data=st.data())
def test_read_only_arrays_that_repeat_one_number_are_taken(row, data):
    inputs = data.draw(row.inputs)
    f = bound(row, inputs)
    same = [np.full(a.shape, 0.7) for a in inputs.arrays]
    repeated = [np.broadcast_to(np.array(0.7), a.shape) for a in inputs.arrays]
    value, pull_back = vjp(f, *same)
    other_value, other_pull_back = vjp(f, *repeated)
    np.testing.assert_allclose(other_value, value, rtol=1e-14)
    np.testing.assert_allclose(f(*repeated), value, rtol=1e-14)
    g = np.broadcast_to(np.array(1.5), value.shape)
    for a, b in zip(other_pull_back(g), pull_back(np.full(value.shape, 1.5)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@every_operation
@few
@given(data=st.data())
def test_nothing_is_recorded_without_need(row, data):
    inputs = data.draw(row.inputs)
    leaves, out = leaves_and_result(row, inputs)
    assert out.requires_grad
    with no_grad():
        quiet = bound(row, inputs)(*leaves)
    assert not quiet.requires_grad
    np.testing.assert_array_equal(quiet.data, out.data)
    with pytest.raises(ValueError, match="read-only"):
        quiet.data[...] = 0


@every_operation
@few
@given(data=st.data())
def test_constants_may_stand_beside_variables(row, data):
    inputs = data.draw(row.inputs)
    g = None
    for i in range(len(inputs.arrays)):
        leaf = Tensor(inputs.arrays[i], requires_grad=True)
        mixed = [leaf if j == i else a for j, a in enumerate(inputs.arrays)]
        out = bound(row, inputs)(*mixed)
        g = np.random.default_rng(0).standard_normal(out.shape) if g is None else g
        out.backward(g)
        alone = vjp(bound(row, inputs), *inputs.arrays)[1](g)[i]
        np.testing.assert_allclose(leaf.grad, alone, rtol=1e-14, atol=1e-15)


FUSED = [name for name in TABLE if getattr(getattr(ops, name), "composed", None)]


@pytest.mark.parametrize("name", FUSED)
@given(data=st.data())
def test_a_fused_operation_is_what_its_twin_composes(name, data):
    row, operation = TABLE[name], getattr(ops, name)
    inputs = data.draw(row.inputs)
    params = {**operation._defaults, **inputs.params}
    value, pull_back = vjp(bound(row, inputs), *inputs.arrays)
    twin_value, twin_pull_back = vjp(lambda *xs: operation.composed(*xs, **params), *inputs.arrays)
    np.testing.assert_allclose(value, twin_value, rtol=1e-12, atol=1e-13)
    g = np.random.default_rng(0).standard_normal(value.shape)
    for a, b in zip(pull_back(g), twin_pull_back(g), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_fused_operation_given_one_tensor_twice():
    def f(x):
        return ops.gaussian_kl(x, x) + ops.sum(ops.reparameterise(x, x, x), -1)

    x = spread(0, [(2, 3)])
    assert gradient_error(f, x, np.random.default_rng(0)) < 1e-8
    assert curvature_error(f, x, np.random.default_rng(0)) < 1e-7


def test_every_fused_operation_has_a_twin():
    assert set(FUSED) == set(ops.fused.__all__) - {"ACTIVATIONS"} | {"mean"}


@pytest.mark.parametrize("name", [n for n in TABLE if isinstance(getattr(ops, n), Primitive)])
def test_an_operation_says_what_it_is(name):
    operation = getattr(ops, name)
    assert operation.__name__ == name
    assert operation.__doc__
    assert repr(operation) == f"<primitive {name}>"
