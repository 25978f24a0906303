"""Optimiser steps against their twins, and rows picked by number."""

import numpy as np
import pytest

import minivae_kernels as kernels
from minivae_kernels import reference

DTYPES = [np.float32, np.float64]
ADAM = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
SHAPES = [(), (1,), (0, 3), (7, 5), (700, 500)]


def state(shape, dtype, count):
    rng = np.random.default_rng(0)
    return [np.asarray(rng.normal(size=shape)).astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("in_place", [False, True])
def test_adam_agrees_with_its_twin(shape, dtype, in_place):
    param, grad, m, v = state(shape, dtype, 4)
    np.square(v, out=v)
    twins = [x.copy() for x in (param, m, v)]
    out = param if in_place else np.empty_like(param)
    tolerance = 8 * np.finfo(dtype).eps
    for step in (1, 2, 3):
        kernels.adam_update(param, grad, m, v, out, step=step, **ADAM)
        reference.adam_update(twins[0], grad, *twins[1:], twins[0], step=step, **ADAM)
        for got, expected in zip((out, m, v), twins, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
        param = out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sgd_agrees_with_its_twin(shape, dtype):
    param, grad, velocity = state(shape, dtype, 3)
    param.flags.writeable = grad.flags.writeable = False
    twin, expected, out = velocity.copy(), np.empty_like(velocity), np.empty_like(velocity)
    kernels.sgd_update(param, grad, velocity, out, learning_rate=0.1, momentum=0.9)
    reference.sgd_update(param, grad, twin, expected, learning_rate=0.1, momentum=0.9)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(velocity, twin, rtol=tolerance, atol=tolerance)


def test_transposed_parameters_may_be_read_but_not_written():
    param, grad, m, v = state((4, 3), np.float64, 4)
    out = np.empty((4, 3))
    kernels.sgd_update(param, np.asfortranarray(grad), m, out, learning_rate=0.1, momentum=0.0)
    np.testing.assert_allclose(out, param - 0.1 * grad)
    with pytest.raises(ValueError, match="adam_update: m is written to, so it must be C-contig"):
        kernels.adam_update(param, grad, np.asfortranarray(m), v, out, step=1, **ADAM)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="sgd_update: out is written to"):
        kernels.sgd_update(param, grad, m, out, learning_rate=0.1, momentum=0.0)


def test_refusals():
    param, grad, m, v = state((4, 3), np.float64, 4)
    with pytest.raises(ValueError, match=r"adam_update: got param \(4, 3\), grad \(4,\)"):
        kernels.adam_update(param, grad[:, 0], m, v, param, step=1, **ADAM)
    with pytest.raises(TypeError, match="adam_update: v is float32 and param float64"):
        kernels.adam_update(param, grad, m, v.astype(np.float32), param, step=1, **ADAM)
    with pytest.raises(ValueError, match="step counts from 1, not 0"):
        kernels.adam_update(param, grad, m, v, param, step=0, **ADAM)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", [[], [0], [4, 0, 4, 2]])
def test_take_rows(index, dtype):
    X = np.random.default_rng(1).normal(size=(5, 3)).astype(dtype)
    index = np.array(index, np.int64)
    for layout in (X, np.asfortranarray(X), X[::-1].copy()[::-1]):
        got = kernels.take_rows(layout, index)
        np.testing.assert_array_equal(got, X[index])
        assert got.flags.writeable
        assert got.dtype == dtype
    np.testing.assert_array_equal(kernels.take_rows(X, np.repeat(index, 2)[::2]), X[index])


def test_take_rows_refuses():
    X = np.ones((5, 3))
    for bad in (5, -1):
        with pytest.raises(IndexError, match=rf"take_rows: index\[1\] is {bad}, .* from 0 to 4"):
            kernels.take_rows(X, np.array([0, bad]))
    with pytest.raises(IndexError, match=r"X \(0, 3\) has no rows"):
        kernels.take_rows(X[:0], np.array([0]))
    with pytest.raises(TypeError, match="index must be an int64 array, not float64"):
        kernels.take_rows(X, np.array([0.0]))
    with pytest.raises(ValueError, match=r"take_rows: got X \(5,\), index \(1,\)"):
        kernels.take_rows(X[:, 0], np.array([0]))
