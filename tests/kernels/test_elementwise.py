"""The elementwise functions: accuracy in units in the last place, edges, layouts, derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minivae_kernels as kernels
from minivae_kernels import reference

DTYPES = [np.float32, np.float64]
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
INTEGER = {np.float32: np.uint32, np.float64: np.uint64}

# units in the last place that each function may be off
ACCURACY = {
    "exp": 1.1,
    "expm1": 2,
    "log": 1,
    "log1p": 1.5,
    "tanh": 3,
    "sigmoid": 2,
    "softplus": 2,
    "relu": 0,
}

needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 60, reason="no type wider than float64 here"
)
PRECISIONS = [np.float32, pytest.param(np.float64, marks=needs_longdouble)]


def points(dtype):
    """Every binade, both sides of 0 and of 1, every power of 2 that e^x passes, the ends."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    patterns = rng.integers(0, 2 ** (8 * info.dtype.itemsize), 50_000, dtype=INTEGER[dtype])
    everywhere = patterns.view(dtype)
    usual = rng.normal(size=50_000) * 10.0 ** rng.uniform(-8, 2.6, 50_000)
    near_one = 1 + rng.normal(size=20_000) * 10.0 ** rng.uniform(-7, 0, 20_000)
    powers = np.arange(-64, 65)[:, None] * np.log(2) + rng.normal(size=(129, 4_000)) * 0.02
    edge = float(np.log(info.max))
    edges = np.concatenate([np.linspace(c - 1, c + 1, 2_001) for c in (edge, -edge, 2 * edge)])
    tails = np.linspace(float(np.log(info.tiny)) - 40, float(np.log(info.tiny)) + 1, 2_001)
    special = [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, info.max, -info.max]
    special += [-0.44071543, -1.275348, 0.0011409819]  # where softplus was, and is, farthest off
    special += [info.tiny, -info.tiny, info.smallest_subnormal, -info.smallest_subnormal]
    parts = (usual, near_one, -near_one, powers.ravel(), edges, tails, special)
    return np.concatenate(
        [everywhere[~np.isnan(everywhere)], *(np.asarray(p, dtype) for p in parts)]
    )


def units_off(got, exact):
    """The distance from the exact values in units in the last place of the nearest number."""
    with np.errstate(all="ignore"):
        nearest = exact.astype(got.dtype)
        finite = np.isfinite(nearest) & np.isfinite(got)
        spacing = np.spacing(np.abs(np.where(finite, nearest, 1)))
        off = np.abs(got.astype(exact.dtype) - exact) / spacing
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    return np.where(finite, off, np.where(same, 0, np.inf)).astype(float)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_over_the_whole_range(name, dtype):
    x = points(dtype)
    got = getattr(kernels, name)(x)
    with np.errstate(all="ignore"):
        exact = getattr(reference, name)(x.astype(WIDER[dtype]))
    off = units_off(got, exact)
    worst = np.argmax(off)
    assert off[worst] <= ACCURACY[name], f"{name}({x[worst]!r}) = {got[worst]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "x", "value"),
    [
        ("exp", [-np.inf, np.inf, 0.0, -0.0], [0, np.inf, 1, 1]),
        ("expm1", [-np.inf, np.inf, 0.0, -0.0], [-1, np.inf, 0.0, -0.0]),
        ("log", [0.0, -0.0, 1, np.inf, -1], [-np.inf, -np.inf, 0, np.inf, np.nan]),
        ("log1p", [-1, 0.0, -0.0, np.inf, -2], [-np.inf, 0.0, -0.0, np.inf, np.nan]),
        ("tanh", [-np.inf, np.inf, 0.0, -0.0], [-1, 1, 0.0, -0.0]),
        ("sigmoid", [-np.inf, np.inf, 0.0], [0, 1, 0.5]),
        ("softplus", [-np.inf, np.inf], [0, np.inf]),
        ("relu", [-np.inf, np.inf, -1, 2, 0.0], [0, np.inf, 0, 2, 0]),
    ],
)
def test_edges_and_nan(name, x, value, dtype):
    got = getattr(kernels, name)(np.array([*x, np.nan], dtype))
    expected = np.array([*value, np.nan], dtype)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got[:-1]), np.signbit(expected[:-1]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_odd_functions_are_odd_to_the_bit(dtype):
    x = points(dtype)
    np.testing.assert_array_equal(kernels.tanh(-x), -kernels.tanh(x))


def layouts(x):
    """The same two-dimensional values in every layout that NumPy has."""
    padded = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    padded[:, ::2] = x
    locked = x.copy()
    locked.flags.writeable = False
    return {
        "contiguous": x,
        "read-only": locked,
        "Fortran": np.asfortranarray(x),
        "every other": padded[:, ::2],
        "reversed": x[::-1, ::-1].copy()[::-1, ::-1],
        "swapped bytes": x.astype(x.dtype.newbyteorder()),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 7), (3, 0)])
def test_layouts_give_the_same(shape, dtype):
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    for name in ACCURACY:
        function = getattr(kernels, name)
        expected = function(np.abs(x))
        for layout in layouts(np.abs(x)).values():
            got = function(layout)
            assert (got.shape, got.dtype) == (shape, np.dtype(dtype))
            assert got.flags.c_contiguous
            assert got.flags.writeable
            np.testing.assert_array_equal(got, expected)


@given(
    hnp.arrays(
        st.sampled_from(DTYPES),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
        elements=st.floats(-30, 30, width=32),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_shape_agrees_with_the_twin(x):
    before = x.copy()
    for name in ("exp", "expm1", "tanh", "sigmoid", "softplus", "relu"):
        got = getattr(kernels, name)(x)
        assert type(got) is np.ndarray
        assert got.shape == x.shape
        assert not np.shares_memory(got, x)
        expected = getattr(reference, name)(x)
        np.testing.assert_allclose(got, expected, rtol=6 * np.finfo(x.dtype).eps)
    np.testing.assert_array_equal(x, before)


def test_scalars_and_broadcast_views():
    assert kernels.exp(np.float64(0.0)).shape == ()
    view = np.broadcast_to(np.array([0.0, 1.0]), (3, 2))
    np.testing.assert_array_equal(kernels.tanh(view), np.tile(kernels.tanh(view[0]), (3, 1)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", kernels.ACTIVATIONS)
def test_activation_backward_is_the_derivative(name, dtype):
    x = np.linspace(-6, 6, 101).astype(dtype)
    g = np.random.default_rng(2).normal(size=x.shape).astype(dtype)
    got = kernels.activation_backward(g, kernels.activation_forward(x, name), name)
    h = 1e-6
    wide = x.astype(np.float64)
    rise = reference.activation_forward(wide + h, name) - reference.activation_forward(
        wide - h, name
    )
    smooth = np.abs(x) > h if name == "relu" else slice(None)
    assert got.dtype == dtype
    np.testing.assert_allclose(got[smooth], (g * rise / (2 * h))[smooth], atol=2e-6, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_helpers_at_the_edges(dtype):
    g = np.array([2, 2, 2, np.inf], dtype)
    out = np.array([0.0, 1.0, np.nan, 0.0], dtype)
    np.testing.assert_array_equal(kernels.relu_backward(g, out), [0, 2, np.nan, 0])
    one = np.ones(2, dtype)
    np.testing.assert_array_equal(kernels.tanh_backward(one, np.array([1, -1], dtype)), [0, 0])
    np.testing.assert_array_equal(kernels.sigmoid_backward(one, np.array([0, 1], dtype)), [0, 0])
    np.testing.assert_array_equal(
        kernels.softplus_backward(one, np.array([0, np.inf], dtype)), [0, 1]
    )


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "relu"])
def test_backward_helpers_agree_with_their_twins(name):
    rng = np.random.default_rng(3)
    g, out = rng.normal(size=(2, 4, 5))
    got = getattr(kernels, f"{name}_backward")(g, np.abs(out).T.copy().T)
    expected = getattr(reference, f"{name}_backward")(g, np.abs(out))
    np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_mixed_precision_promotes():
    g, out = np.ones(3, np.float32), np.zeros(3)
    assert kernels.tanh_backward(g, out).dtype == np.float64


def test_refusals_name_the_operation_and_the_shapes():
    with pytest.raises(TypeError, match=r"exp: arrays must be float32 or float64, not int64"):
        kernels.exp(np.arange(3))
    with pytest.raises(ValueError, match=r"tanh_backward: got g \(2,\), out \(3,\)"):
        kernels.tanh_backward(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"no activation is called 'gelu'; choose from 'identity'"):
        kernels.activation_forward(np.ones(2), "gelu")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (7, 5), (200, 300)])
def test_add_agrees_with_its_twin(shape, dtype):
    rng = np.random.default_rng(0)
    x, y = (np.asarray(rng.normal(size=shape)).astype(dtype) for _ in range(2))
    got = kernels.add(x, y.T.copy().T)
    assert got.dtype == dtype
    assert got.shape == shape
    np.testing.assert_array_equal(got, reference.add(x, y))


def test_add_refuses_two_shapes():
    with pytest.raises(ValueError, match=r"add: got x \(3,\), y \(1,\); both must have one shape"):
        kernels.add(np.ones(3), np.ones(1))
