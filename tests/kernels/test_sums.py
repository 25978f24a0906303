"""Sums of rows, and means, against their twins: any shape, any strides, any number of threads."""

import numpy as np
import pytest

from minivae_kernels import reference, sums, sums_reference
from minivae_kernels.matmul import linear_backward

DTYPES = [np.float32, np.float64]
FUNCTIONS = ["sum_rows", "cumsum_rows"]
# around the eight rows that are added at once, the wide rows of 64, the blocks of 1024 and 2^15
SHAPES = [
    (1, 0, 3), (0, 4, 2), (2, 3, 0), (1, 1, 1), (2, 7, 3), (1, 8, 64), (1, 9, 65), (3, 129, 1),
    (1, 1023, 5), (2, 1025, 33), (1, 2500, 70), (3, 40_000, 1), (1, 70_001, 3), (1, 9000, 100),
]  # fmt: skip


def numbers(shape, dtype):
    return np.random.default_rng(0).normal(size=shape).astype(dtype) + dtype(0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_sums_agree_with_their_twins(name, shape, dtype):
    x = numbers(shape, dtype)
    before = x.copy()
    found = getattr(sums, name)(x)
    expected = getattr(sums_reference, name)(x)
    assert (found.dtype, found.shape) == (x.dtype, expected.shape)
    # relative to the sum of sizes: what cancels has no digits to lose
    size = getattr(sums_reference, name)(np.abs(x))
    noise = 4 * np.finfo(dtype).eps + shape[1] * np.finfo(np.float64).eps  # the twin's, too
    np.testing.assert_array_less(np.abs(found - expected), noise * size + 1e-30)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 7, 16, 100, 1000, 1025])
def test_a_mean_is_its_twins(size, dtype):
    x = 1000 + numbers((size, 2), dtype)
    found, expected = sums.mean(x[:, 0]), sums_reference.mean(x[:, 0])
    assert (found.dtype, found.shape) == (x.dtype, ())
    # of float32 the sum has digits to spare, and the mean is rounded once
    np.testing.assert_allclose(found, expected, rtol=(2e-15 if dtype is np.float64 else 6e-8))
    np.testing.assert_array_equal(sums.mean(x[:, 0].copy()), found)


def test_a_mean_passes_on_what_is_not_finite_and_refuses_what_has_none():
    assert sums.mean(np.array([1, np.inf], np.float32)) == np.inf
    assert np.isnan(sums.mean(np.array([np.inf, -np.inf])))
    for x in (np.ones((2, 2)), np.ones(0)):
        with pytest.raises(ValueError, match=r"^mean: got x .*; x must have one axis"):
            sums.mean(x)
    with pytest.raises(TypeError, match=r"^mean: arrays must be float32 or float64, not int64"):
        sums.mean(np.ones(3, int))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_strides_change_nothing(name):
    x = numbers((4, 300, 6), np.float32)
    function = getattr(sums, name)
    np.testing.assert_array_equal(function(x[::-2, :, 1:4]), function(x[::-2, :, 1:4].copy()))
    np.testing.assert_array_equal(function(x.T), function(x.T.copy()))
    read_only = np.broadcast_to(np.float32(0.5), (2, 300, 3))
    np.testing.assert_array_equal(function(read_only), function(read_only.copy()))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_column(name, bad):
    x = np.ones((2, 2000, 3), np.float32)
    x[1, 1500, 2] = bad
    found = getattr(sums, name)(x)
    expected = getattr(sums_reference, name)(x)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found).any() == np.isnan(bad)


def test_any_number_of_threads_gives_the_same_bits(set_threads):
    x = numbers((3, 50_000, 7), np.float32)
    found = []
    for n in (1, 2, 3, 5):
        set_threads(n)
        found.append((sums.sum_rows(x), sums.cumsum_rows(x)))
    for results in found[1:]:
        for a, b in zip(results, found[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_array_of_three_axes_is_refused(name):
    function = getattr(sums, name)
    with pytest.raises(ValueError, match=rf"^{name}: got x \(3, 4\); x must have three axes"):
        function(np.ones((3, 4)))
    with pytest.raises(TypeError, match=rf"^{name}: arrays must be float32 or float64, not int64"):
        function(np.ones((1, 3, 4), int))


@pytest.mark.parametrize("rows", [1023, 1024, 1025, 1_000_000])
def test_a_bias_keeps_its_digits_however_many_rows(rows):
    g = np.full((rows, 3), 0.1, np.float32)
    x, weight = np.ones((rows, 1), np.float32), np.ones((1, 3), np.float32)
    _, _, dbias = linear_backward(g, g, x, weight, "identity", (False, False, True))
    np.testing.assert_allclose(dbias, rows * np.float64(np.float32(0.1)), rtol=1e-5)
    if rows < 2000:
        expected = reference.linear_backward(g, g, x, weight, "identity")[2]
        np.testing.assert_allclose(dbias, expected, rtol=1e-5)
