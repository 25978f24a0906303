"""Registers as values, and the product on processors with narrower or fewer of them."""

import numba
import numpy as np
import pytest

from minivae_kernels import registers

OTHER_PROCESSOR = """
import platform
import llvmlite.binding

platform.machine = lambda: "{machine}"
own = llvmlite.binding.get_host_cpu_features

class Features(dict):  # what Numba compiles for stays as it is
    def flatten(self):
        return own().flatten()

llvmlite.binding.get_host_cpu_features = lambda: Features({features})
import numpy as np
import minivae_kernels as kernels
from minivae_kernels import mixture, mixture_reference, registers
llvmlite.binding.get_host_cpu_features = own

assert (registers.BYTES, registers.COUNT) == {expected}, (registers.BYTES, registers.COUNT)
rng = np.random.default_rng(0)
for dtype in {dtypes}:
    for m, k, n in (
        (5, 7, 3), (9, 4, 17), (34, 3, 61), (3, 300, 26), (20, 5, 4), (40, 9, 6), (6, 5, 81),
        (3, 4, 175),
    ):
        a, b, bias = (rng.integers(-4, 5, s).astype(dtype) for s in ((m, k), (k, n), (n,)))
        for left in (a, np.asfortranarray(a)):
            for right in (b, np.asfortranarray(b)):
                np.testing.assert_array_equal(kernels.matmul(left, right), a @ b)
                got = kernels.matmul(left, right, bias=bias, activation="relu")
                np.testing.assert_array_equal(got, np.maximum(a @ b + bias, 0))
U = np.triu(rng.normal(size=(2, 5, 5)))
U[:, range(5), range(5)] = 1
theta = np.array([0.3, 0.7]), rng.normal(size=(2, 5)), U, "full"
X = rng.normal(size=(29, 5))
pair = (m.mixture_statistics(X, *theta) for m in (mixture, mixture_reference))
for got, expected in zip(*pair) if registers.INTERPRETED else ():  # it takes long to compile
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
print("right")
"""


def product_on(features, machine, expected, dtypes, run_python, **environment):
    script = OTHER_PROCESSOR.format(
        features=features, machine=machine, expected=expected, dtypes=dtypes
    )
    run = run_python(script, **environment)
    assert run.stdout == "right\n", run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("features", "machine", "expected"),
    [
        ({"avx512f": True}, "x86_64", (64, 32)),
        ({"avx2": True}, "AMD64", (32, 16)),
        ({}, "x86_64", (16, 16)),
        ({}, "arm64", (16, 32)),
    ],
)
def test_products_and_moments_suit_other_processors(features, machine, expected, run_python):
    both = "(np.float32, np.float64)"
    product_on(features, machine, expected, both, run_python, NUMBA_DISABLE_JIT="1")


@pytest.mark.slow
def test_processors_that_share_a_cache_do_not_share_machine_code(run_python, tmp_path):
    for features, expected in (({"avx512f": True}, (64, 32)), ({"avx2": True}, (32, 16))):
        product_on(
            features, "x86_64", expected, "(np.float32,)", run_python,
            NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_NAME="generic",
        )  # fmt: skip


@numba.njit
def _moved(x, y, number):
    """All that can be done with registers, on a flat x."""
    one = np.uintp(registers.BYTES // x.itemsize)
    first, second = registers.read(x, np.uintp(0)), registers.read(x, one)
    registers.write(y, np.uintp(0), first + number * second)
    registers.write(y, one, registers.positive(first))
    registers.write(y, one + one, registers.zeros(x))
    at, four, eight = one + one + one, np.uintp(4), np.uintp(8)
    a, b = registers.read_fours(x, np.uintp(0), eight), registers.read_fours(x, four, eight)
    registers.write(y, at, registers.deal_low(a, b))
    registers.write(y, at + max(one, four), registers.deal_high(a, b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_registers_are_small_arrays(dtype):
    one = registers.lanes(np.dtype(dtype).itemsize)
    fours = max(1, one // 4)
    x = np.random.default_rng(0).normal(size=8 * fours).astype(dtype)
    x[:3] = np.nan, -0.0, -np.inf
    y = np.ones(3 * one + 8 * fours, dtype)
    _moved(x, y, dtype(0.5))
    np.testing.assert_allclose(y[:one], x[:one] + dtype(0.5) * x[one : 2 * one], rtol=1e-6)
    np.testing.assert_array_equal(y[one : 2 * one], np.where(x[:one] < 0, 0, x[:one]))
    assert np.signbit(y[one + 1])
    np.testing.assert_array_equal(y[2 * one : 3 * one], np.zeros(one))
    # one four from every eight numbers in a, the next in b: halves of fours are dealt like cards
    a, b = x.reshape(fours, 2, 4).swapaxes(0, 1)
    for half, found in zip((slice(2), slice(2, 4)), np.split(y[3 * one :], 2), strict=True):
        np.testing.assert_array_equal(found, np.stack([a[:, half], b[:, half]], axis=2).ravel())


def _grown(width):
    start = registers.tiles[width - 1]

    @numba.njit
    def grown(a, i, last, b, c, stride):
        """Three outer products added to rows of c, and what is negative set to 0."""
        tile, one = registers.read_rows(start(c), c, np.uintp(1), last, stride), np.uintp(1)
        for k in range(np.uintp(3)):
            tile = registers.grow(tile, a, i, last, k, b, one + k * stride)
        registers.write_rows(registers.positive(tile), c, one, last, stride)

    return grown


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", range(1, registers.WIDTH + 1))
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_tiles_are_small_matrices(width, rows, dtype):
    rng = np.random.default_rng(width)
    rows = min(rows, registers.height(width))
    across = width * registers.lanes(np.dtype(dtype).itemsize)
    a = rng.integers(-4, 5, (3, 2 + rows)).astype(dtype).T
    b, c = (rng.integers(-9, 9, (n, across + 2)).astype(dtype) for n in (3, rows + 1))
    before = c.copy()
    _grown(width)(a, np.uintp(1), np.uintp(rows - 1), b.ravel(), c.ravel(), np.uintp(across + 2))
    inside = np.s_[:rows, 1 : across + 1]
    expected = before.copy()
    expected[inside] += a[1 : rows + 1, :3] @ b[:, 1 : across + 1]
    expected[inside] = np.maximum(expected[inside], 0)
    np.testing.assert_array_equal(c, expected)


@numba.njit
def _summed(x, stride, y, z):
    """Two by three sums of products of rows of x, added to; and the squares of the sums."""
    zeros = _two_by_three(x)
    row, first, third = _one_by_three(x), np.uintp(1), np.uintp(1) + stride + stride
    tile = registers.grow_by(zeros, x, first, third, stride)
    tile = registers.grow_by(tile, x, first, third, stride)
    registers.write_rows(registers.add_squares(row, tile), y, np.uintp(0), np.uintp(0), stride)
    for place, total in enumerate(registers.sums(tile)):
        z[place] = total


_two_by_three, _one_by_three = registers.tile_of(2, 3), registers.tile_of(1, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_add_up_the_products_of_rows(dtype):
    one = registers.lanes(np.dtype(dtype).itemsize)
    x = np.random.default_rng(0).integers(-4, 5, (5, one + 2)).astype(dtype)
    y, z = np.empty(3 * one, dtype), np.empty(6, dtype)
    _summed(x.ravel(), np.uintp(one + 2), y, z)
    rows = x[:, 1 : one + 1]
    products = 2 * rows[:2, None] * rows[None, 2:]
    np.testing.assert_array_equal(z.reshape(2, 3), products.sum(axis=2))
    np.testing.assert_array_equal(y.reshape(3, one), (products**2).sum(axis=0))


@pytest.mark.parametrize("width", range(1, registers.WIDTH + 1))
def test_a_tile_fits_in_the_registers_and_has_enough_sums(width):
    sums = width * registers.height(width)
    assert sums >= 8
    assert sums + width + 1 <= registers.COUNT
