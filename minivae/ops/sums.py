"""Long sums of float32 that keep their digits.

Along an axis that is contiguous in memory NumPy adds in pairs, and needs no help. Along any other
it adds whole rows one after the other: a total of float32 then stops growing at 2^24 times its
terms, and the mean of a million numbers has lost two of its seven digits. There the compiled sums
take over, which add blocks of rows and their totals in float64.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minivae.doors import Array
from minivae_kernels.sums import cumsum_rows, sum_rows

Axis = int | tuple[int, ...] | None

_FEW = 256  # terms that may be added one after the other: it costs a digit at most


def total(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum along axes, of any layout, with a relative error of a few units in the last place."""
    if x.size <= _FEW or x.ndim < 2 or x.dtype.char != "f":
        return np.asarray(x.sum(axis=axis, keepdims=keepdims))
    axes = range(x.ndim) if axis is None else sorted(normalize_axis_tuple(axis, x.ndim))
    ordered = x.flags.c_contiguous
    if math.prod([x.shape[a] for a in axes]) <= _FEW or (
        ordered and axes[0] == x.ndim - len(axes)  # the last axes, which NumPy adds in pairs
    ):
        return np.asarray(x.sum(axis=axis, keepdims=keepdims))
    y = x
    if ordered:
        for a in axes:
            y = _along(y, a)
    else:
        # what broadcasting repeats n times without a copy counts n times
        repeated = [a for a in axes if x.strides[a] == 0]
        times = math.prod([x.shape[a] for a in repeated])
        y = x[tuple(slice(1) if a in repeated else slice(None) for a in range(x.ndim))]
        order = sorted(range(x.ndim), key=lambda a: -abs(x.strides[a]))  # as it lies in memory
        back = np.argsort(order)
        y = np.ascontiguousarray(y.transpose(order))
        y = total(y, tuple(back[axes]), keepdims=True).transpose(back) * times
    return y if keepdims else y.reshape([n for a, n in enumerate(x.shape) if a not in axes])


def _along(x: Array, axis: int) -> Array:
    """The sum along one axis, which stays with length 1."""
    if x.shape[axis] == 1 or axis == x.ndim - 1:
        return np.asarray(x.sum(axis=axis, keepdims=True))
    return sum_rows(_lines(x, axis)).reshape(*x.shape[:axis], 1, *x.shape[axis + 1 :])


def running(x: Array, axis: int | None = None) -> Array:
    """The running sums along an axis, or of the flattened array, as precise as :func:`total`."""
    if axis is None:
        x, axis = x.reshape(-1), 0
    (axis,) = normalize_axis_tuple(axis, x.ndim)
    if x.dtype.char != "f" or x.shape[axis] <= _FEW:
        return np.cumsum(x, axis=axis)
    return cumsum_rows(_lines(x, axis)).reshape(x.shape)


def _lines(x: Array, axis: int) -> Array:
    """An array with its axis in the middle of three."""
    before, behind = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    return x.reshape(before, x.shape[axis], behind)
