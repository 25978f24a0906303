"""The matrix product: every layout and loop against NumPy, its epilogue, its edges."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae_kernels as kernels
from minivae_kernels import reference, registers
from minivae_kernels.recording import listening

DTYPES = [np.float32, np.float64]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


def operands(m, k, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=s).astype(dtype) for s in ((m, k), (k, n), (n,)))


def check(got, a, b, bias=None):
    exact = a.astype(np.float64) @ b.astype(np.float64)
    size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    if bias is not None:
        exact, size = exact + bias, size + np.abs(bias)
    assert got.dtype == a.dtype
    assert got.shape == exact.shape
    # rounding errors of a sum of K terms, each at most eps of the sum of their sizes
    bound = (a.shape[1] + 2) * np.finfo(a.dtype).eps * size
    assert (np.abs(got - exact) <= bound).all()


sides = st.one_of(st.integers(0, 14), st.sampled_from([47, 48, 49, 65]))
widths = st.one_of(sides, st.integers(15, 170))  # of each number of registers beside each other


@pytest.mark.equation("KERNEL.1")
@given(
    sides,
    st.one_of(sides, st.sampled_from([64, 67, 256, 259])),
    widths,
    st.sampled_from(DTYPES),
    st.sampled_from(sorted(LAYOUTS)),
    st.sampled_from(sorted(LAYOUTS)),
    st.booleans(),
)
@settings(max_examples=250, deadline=None)
def test_agrees_with_numpy_in_every_layout(m, k, n, dtype, layout_a, layout_b, with_bias):
    a, b, bias = operands(m, k, n, dtype)
    got = kernels.matmul(
        LAYOUTS[layout_a](a), LAYOUTS[layout_b](b), bias=bias if with_bias else None
    )
    check(got, a, b, bias if with_bias else None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout_a", "CF")
@pytest.mark.parametrize("layout_b", "CF")
@pytest.mark.parametrize(
    "shape",
    [(400, 300, 20), (3000, 300, 2), (3000, 70, 1), (1, 9, 1), (70, 0, 3), (0, 4, 1)],
    ids=str,
)
def test_few_columns(set_threads, shape, layout_a, layout_b, dtype):
    """They are computed as (B^T A)^T = A^T B, if a is transposed, or number by number."""
    a, b, bias = operands(*shape, dtype)
    for biased in ({}, {"bias": bias, "activation": "relu"}):
        found, loops = [], []
        for n in (1, 2):
            set_threads(n)
            with listening(lambda kernel, *_, loops=loops: loops.append(kernel.body.__name__)):
                found.append(kernels.matmul(LAYOUTS[layout_a](a), LAYOUTS[layout_b](b), **biased))
        np.testing.assert_array_equal(found[1], found[0])
        if shape[0] == 3000:
            few = 4 * b[0].nbytes <= registers.BYTES and layout_a == "C"
            assert loops == ["_by_dots" if few else "_by_panels"] * 2
        if biased:
            np.testing.assert_allclose(
                found[0], np.maximum(a @ b + bias, 0), atol=2e3 * np.finfo(dtype).eps
            )
        else:
            check(found[0], a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout_a", "CF")
@pytest.mark.parametrize("layout_b", "CF")
@pytest.mark.parametrize("shape", [(128, 300, 400), (61, 523, 601), (400, 128, 20)])
def test_large_products_in_blocks(shape, layout_a, layout_b, dtype):
    a, b, bias = operands(*shape, dtype)
    check(kernels.matmul(LAYOUTS[layout_a](a), LAYOUTS[layout_b](b), bias=bias), a, b, bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [257, 258, 513, 784, 2048, 2049, 5000])
@pytest.mark.parametrize(("m", "n"), [(1, 49), (3, 400), (5, 801), (130, 64), (40, 3)])
def test_products_of_integers_in_parts_are_exact(m, n, depth, dtype):
    rng = np.random.default_rng(depth)
    a, b = (rng.integers(-4, 5, s).astype(dtype) for s in ((m, depth), (depth, n)))
    bias = rng.integers(-9, 9, n).astype(dtype)
    exact = a.astype(int) @ b.astype(int) + bias.astype(int)
    np.testing.assert_array_equal(kernels.matmul(a, b, bias=bias), exact)
    rectified = kernels.matmul(np.asfortranarray(a), b, bias=bias, activation="relu")
    np.testing.assert_array_equal(rectified, np.maximum(exact, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", "CF")
@pytest.mark.parametrize("activation", [None, *kernels.ACTIVATIONS])
def test_activation_is_applied_to_the_sum(activation, layout, dtype):
    for shape in ((7, 5, 9), (130, 400, 350), (9, 70, 8)):
        a, b, bias = operands(*shape, dtype)
        a = LAYOUTS[layout](a * dtype(0.1))
        got = kernels.matmul(a, LAYOUTS[layout](b), bias=bias, activation=activation)
        expected = reference.matmul(a, b, bias=bias, activation=activation)
        np.testing.assert_allclose(got, expected, atol=2e3 * np.finfo(dtype).eps)


def test_read_only_operands_are_left_alone():
    a, b, bias = operands(6, 4, 5, np.float32)
    copies = [x.copy() for x in (a, b, bias)]
    for x in (a, b, bias):
        x.flags.writeable = False
    check(kernels.matmul(a, b, bias=bias), a, b, bias)
    for x, copy in zip((a, b, bias), copies, strict=True):
        np.testing.assert_array_equal(x, copy)


def test_a_stride_of_zero():
    a = np.broadcast_to(np.arange(3.0), (4, 3))
    b = np.broadcast_to(np.arange(3.0)[:, None], (3, 5))
    np.testing.assert_array_equal(kernels.matmul(a, b), a @ b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_depth_leaves_the_bias(dtype):
    a, b = np.empty((3, 0), dtype), np.empty((0, 2), dtype)
    np.testing.assert_array_equal(kernels.matmul(a, b), np.zeros((3, 2)))
    bias = np.array([1, -2], dtype)
    got = kernels.matmul(a, b, bias=bias, activation="relu")
    np.testing.assert_array_equal(got, [[1, 0]] * 3)
    assert kernels.matmul(a[:0], b[:, :0]).shape == (0, 0)


@pytest.mark.parametrize("shape", [(7, 6, 9), (7, 66, 9), (7, 66, 30), (7, 2500, 30), (7, 66, 2)])
def test_nan_and_infinity_reach_only_their_rows_and_columns(shape):
    a, b, _ = operands(*shape, np.float64)
    a[1, 2], a[5, 5] = np.nan, 0.0
    b[5, 1] = np.inf
    with np.errstate(invalid="ignore"):
        got, expected = kernels.matmul(a, b), a @ b
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(expected))


def test_the_halves_of_a_deep_product_overflow_without_a_warning():
    a, b = np.full((2, 3000), 1e20, np.float32), np.full((3000, 20), 1.3e15, np.float32)
    assert np.isfinite(kernels.matmul(a[:, :1500], b[:1500])).all()
    np.testing.assert_array_equal(kernels.matmul(a, b), np.full((2, 20), np.inf))


def test_mixed_precision_promotes():
    a, b, bias = operands(3, 4, 5, np.float32)
    assert kernels.matmul(a, b.astype(np.float64)).dtype == np.float64
    assert kernels.matmul(a, b, bias=bias.astype(np.float64)).dtype == np.float64


def test_refusals_name_every_shape():
    a, b, bias = operands(2, 3, 5, np.float64)
    with pytest.raises(ValueError, match=r"matmul: got a \(2, 3\), b \(2, 3\); .*same K"):
        kernels.matmul(a, a)
    with pytest.raises(ValueError, match=r"matmul: .* bias \(4,\); bias must have one number"):
        kernels.matmul(a, b, bias=bias[:4])
    with pytest.raises(ValueError, match="no activation is called 'gelu'"):
        kernels.matmul(a, b, activation="gelu")
    with pytest.raises(TypeError, match="matmul: arrays must be float32 or float64, not int64"):
        kernels.matmul(np.ones((2, 3), np.int64), b)
    with pytest.raises(ValueError, match=r"matmul: got a \(3,\)"):
        kernels.matmul(np.ones(3), b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout_b", "CF")
@pytest.mark.parametrize(
    "shape", [(128, 784, 400), (128, 400, 40), (60, 4000, 50), (50, 9001, 3), (3, 2049, 90)]
)
def test_errors_are_no_larger_than_those_of_blas(shape, layout_b, dtype):
    a, b, _ = operands(*shape, dtype)
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)

    def error(c):
        return np.sqrt(np.mean((c - exact).astype(np.float64) ** 2))

    ours, theirs = error(kernels.matmul(a, LAYOUTS[layout_b](b))), error(a @ b)
    assert ours < 1.25 * theirs


@pytest.mark.equation("MLP.2")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
@pytest.mark.parametrize(
    ("m", "k", "n"), [(0, 3, 2), (1, 1, 1), (7, 5, 3), (33, 20, 130), (128, 300, 200)]
)
def test_a_layer_backwards_agrees_with_its_twin(m, k, n, activation, dtype):
    rng = np.random.default_rng(0)
    g, x, weight = (rng.normal(size=s).astype(dtype) for s in ((m, n), (m, k), (k, n)))
    out = kernels.matmul(x, weight / np.sqrt(dtype(k)), activation=activation)
    found = kernels.linear_backward(g, out, x, weight, activation)
    expected = reference.linear_backward(
        *(a.astype(float) for a in (g, out, x, weight)), activation
    )
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(
            a, b, rtol=0, atol=40 * np.finfo(dtype).eps * (1 + abs(b)).max(initial=0)
        )
    one = kernels.linear_backward(g, out, x, weight, activation, (False, True, False))
    assert one[0] is one[2] is None
    np.testing.assert_array_equal(one[1], found[1])


def test_a_layer_backwards_takes_any_strides_and_many_threads_alike(set_threads):
    rng = np.random.default_rng(1)
    g, x, weight = (rng.normal(size=s) for s in ((200, 190), (200, 150), (150, 190)))
    out = kernels.matmul(x, weight)
    plain = kernels.linear_backward(g, out, x, weight, "relu")
    views = (
        LAYOUTS[name](a)
        for name, a in zip(("strided", "F", "reversed", "F"), (g, out, x, weight), strict=True)
    )
    for a, b in zip(kernels.linear_backward(*views, "relu"), plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-12)
    set_threads(1)
    for a, b in zip(kernels.linear_backward(g, out, x, weight, "relu"), plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_backwards_refuses():
    g, x, weight = np.zeros((4, 2)), np.zeros((4, 3)), np.zeros((3, 2))
    with pytest.raises(
        ValueError, match=r"linear_backward: got g \(4, 2\), x \(4, 3\), weight \(2"
    ):
        kernels.linear_backward(g, g, x, weight.T, "identity")
    with pytest.raises(ValueError, match="no activation is called 'gelu'"):
        kernels.linear_backward(g, g, x, weight, "gelu")


GUARDED = """
import ctypes
import sys
import numpy as np
import minivae_kernels as kernels

PAGE, SIZE, PRIVATE = 4096 * 16, 1 << 21, 0x1002 if sys.platform == "darwin" else 0x22
system = ctypes.CDLL(None)
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
system.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

def between_forbidden_pages():
    start = system.mmap(None, SIZE + 2 * PAGE, 3, PRIVATE, -1, 0)
    assert start != 2**64 - 1
    for page in (start, start + PAGE + SIZE):
        assert system.mprotect(page, PAGE, 0) == 0
    return start + PAGE

places = [between_forbidden_pages() for _ in range(4)]

def array(i, shape, dtype, at_the_end):
    bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = (ctypes.c_char * bytes).from_address(int(places[i] + at_the_end * (SIZE - bytes)))
    return np.frombuffer(memory, dtype).reshape(shape)

multiply = sys.modules["minivae_kernels.matmul"]._multiply
rng = np.random.default_rng(0)
for _ in range(600):
    dtype = rng.choice([np.float32, np.float64])
    (m, depth, n), ends = rng.integers(1, rng.choice([12, 40, 170]), 3), rng.integers(2, size=4)
    depth = rng.integers(250, 300) if rng.random() < 0.1 else depth
    turned, relu, biased = rng.integers(2, size=2), bool(rng.integers(2)), rng.integers(2)
    a = array(0, (depth, m) if turned[0] else (m, depth), dtype, ends[0])
    b = array(1, (n, depth) if turned[1] else (depth, n), dtype, ends[1])
    bias, c = array(2, (n,), dtype, ends[2]), array(3, (m, n), dtype, ends[3])
    for x in (a, b, bias):
        x[...] = rng.integers(-3, 4, x.shape)
    c[...] = np.nan
    a, b = a.T if turned[0] else a, b.T if turned[1] else b
    multiply(a, b, bias if biased else bias[:0], c, relu)
    exact = a @ b + biased * bias
    np.testing.assert_array_equal(c, np.maximum(exact, 0) if relu else exact)
print("untouched")
"""


@pytest.mark.skipif(os.name != "posix", reason="memory is protected by POSIX functions")
def test_nothing_beyond_the_arrays_is_touched(run_python):
    run = run_python(GUARDED)
    assert (run.returncode, run.stdout) == (0, "untouched\n"), run.stderr
