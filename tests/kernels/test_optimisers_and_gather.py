"""Optimiser steps against their twins, and rows picked by number."""

import numpy as np
import pytest

import minivae_kernels as kernels
from minivae_kernels import reference
from minivae_kernels.optimisers import adam

DTYPES = [np.float32, np.float64]
ADAM = {"learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
SHAPES = [(), (1,), (0, 3), (7, 5), (700, 500)]


def state(shape, dtype, count):
    rng = np.random.default_rng(0)
    return [np.asarray(rng.normal(size=shape)).astype(dtype) for _ in range(count)]


def copies(*lists):
    return [[x.copy() for x in arrays] for arrays in lists]


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_agrees_with_its_twin(dtype):
    param, grad, m, v = ([state(s, dtype, 4)[i] for s in SHAPES] for i in range(4))
    v = [np.asarray(np.square(x)) for x in v]
    twins = copies(param, m, v)
    tolerance = 8 * np.finfo(dtype).eps
    for step in (1, 2, 3):
        kernels.adam_update(param, grad, m, v, step=step, **ADAM)
        reference.adam_update(twins[0], grad, *twins[1:], step=step, **ADAM)
        for arrays, expected in zip((param, m, v), twins, strict=True):
            for got, x in zip(arrays, expected, strict=True):
                np.testing.assert_allclose(got, x, rtol=tolerance, atol=tolerance)


def test_adam_of_the_same_arrays_sees_what_is_written_to_them():
    param, grad, m, v = (np.zeros((3, 4)) for _ in range(4))
    columns = np.asfortranarray(grad)
    update = adam([param], [columns], [m], [v])
    for step, value in ((1, 1.0), (2, -1.0)):
        columns[...] = value
        update(step, *ADAM.values())
    np.testing.assert_allclose(m, np.full((3, 4), 0.9 * 0.1 - 0.1), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sgd_agrees_with_its_twin(dtype):
    param, grad, velocity = ([state(s, dtype, 3)[i] for s in SHAPES] for i in range(3))
    for g in grad:
        g.flags.writeable = False
    twins = copies(param, velocity)
    kernels.sgd_update(param, grad, velocity, learning_rate=0.1, momentum=0.9)
    reference.sgd_update(twins[0], grad, twins[1], learning_rate=0.1, momentum=0.9)
    tolerance = 4 * np.finfo(dtype).eps
    for arrays, expected in zip((param, velocity), twins, strict=True):
        for got, x in zip(arrays, expected, strict=True):
            np.testing.assert_allclose(got, x, rtol=tolerance, atol=tolerance)


def test_the_first_call_does_not_fix_the_types_of_the_numbers(run_python):
    code = """
import numpy as np, minivae_kernels as kernels
for beta1, rate in ((0, np.float32(1)), (0.9, 1e-3)):
    param, m, v = ([np.ones(3)] for _ in range(3))
    options = dict(learning_rate=rate, beta1=beta1, beta2=0.999, epsilon=1e-8)
    kernels.adam_update(param, [np.zeros(3)], m, v, step=1, **options)
print(param[0][0], m[0][0])
"""
    param, m = map(float, run_python(code).stdout.split())
    assert m == 0.9
    assert param == pytest.approx(1 - 1e-3 * 9 / np.sqrt(999), abs=1e-10)


def test_nothing_is_written_beyond_the_end():
    # the kernel asks for cache lines ahead: beyond the last element it must not touch them
    for size in (1, 15, 511, 512, 513, 40_001):
        whole = [np.full(size + 64, 0.5) for _ in range(4)]
        param, grad, m, v = ([x[32 : 32 + size]] for x in whole)
        kernels.adam_update(param, grad, m, v, step=1, **ADAM)
        for x in whole:
            assert (x[:32] == 0.5).all()
            assert (x[32 + size :] == 0.5).all()
        assert (param[0] != 0.5).all()


def test_a_gradient_may_have_any_strides_what_is_written_not():
    param, grad, m, v = state((4, 3), np.float64, 4)
    before = param.copy()
    velocity = np.zeros((4, 3))
    columns = np.asfortranarray(grad)
    kernels.sgd_update([param], [columns], [velocity], learning_rate=0.1, momentum=0.0)
    np.testing.assert_allclose(param, before - 0.1 * grad)
    with pytest.raises(ValueError, match="adam_update: m is written to, so it must be C-contig"):
        kernels.adam_update([param], [grad], [np.asfortranarray(m)], [v], step=1, **ADAM)
    param.flags.writeable = False
    with pytest.raises(ValueError, match="sgd_update: param is written to"):
        kernels.sgd_update([param], [grad], [m], learning_rate=0.1, momentum=0.0)


def test_refusals_change_nothing():
    param, grad, m, v = state((4, 3), np.float64, 4)
    good = copies([param, grad, m, v])[0]
    before = copies(good)[0]
    refused = [
        (ValueError, r"adam_update: got param \(4, 3\), grad \(4,\)", (param, grad[:, 0], m, v)),
        (TypeError, "adam_update: v is float32 and param", (param, grad, m, v.astype(np.float32))),
        (TypeError, "adam_update: param must be float32", [x.astype(int) for x in good]),
        (TypeError, "byte order, not >f8", [x.astype(">f8") for x in good]),
    ]
    for error, message, bad in refused:
        with pytest.raises(error, match=message):
            # the first parameter is in order: it, too, stays as it was
            kernels.adam_update(*([x, y] for x, y in zip(good, bad, strict=True)), step=1, **ADAM)
    with pytest.raises(ValueError, match="step counts from 1, not 0"):
        kernels.adam_update(*([x] for x in good), step=0, **ADAM)
    with pytest.raises(ValueError, match="shorter"):
        kernels.adam_update([param, param], [grad], [m], [v], step=1, **ADAM)
    for x, y in zip(good, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", [[], [0], [4, 0, 4, 2]])
def test_take_rows(index, dtype):
    X = np.random.default_rng(1).normal(size=(5, 3)).astype(dtype)
    index = np.array(index, np.int64)
    for layout in (X, np.asfortranarray(X), X[::-1].copy()[::-1]):
        got = kernels.take_rows(layout, index)
        place = np.empty(got.shape, dtype)
        assert kernels.take_rows(layout, index, place) is place
        np.testing.assert_array_equal(place, X[index])
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
    for wrong in (np.empty((2, 3)), np.empty((1, 4)), np.empty((1, 3), np.float32)):
        before = wrong.tobytes()
        with pytest.raises(ValueError, match=r"take_rows: got .* out must be a C-contiguous array"):
            kernels.take_rows(X, np.array([0]), wrong)
        assert wrong.tobytes() == before
    with pytest.raises(ValueError, match=r"take_rows: got .*, out \(1, 3\); out must be a C-cont"):
        kernels.take_rows(X, np.array([0]), [[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match=r"take_rows: got X \(5,\), index \(1,\)"):
        kernels.take_rows(X[:, 0], np.array([0]))
