"""Sums along an axis that is not the last: each block of rows by itself, its total in float64.

NumPy adds whole rows one after the other there. A float32 total then stops growing at 2^24 times
its terms, and a mean of a million numbers has lost two of its seven digits. Along the last axis,
where NumPy adds in pairs, it needs no help, but for the mean of a minibatch: that takes NumPy
longer to begin than to compute.
"""

import numpy as np
import numpy.typing as npt

from minivae_kernels._arrays import FloatArray, as_float, contiguous, refuse
from minivae_kernels._jit import block_kernel, summing_block_kernel

_ROWS = 1024  # in a block, at least: the blocks' own sums take little memory beside the array
_BLOCK = 1 << 15  # elements in a block, at least
_WIDE = 64  # elements that are worth adding at once: narrow rows are taken several at a time
_WORTH_SHARING = 1 << 17


def mean(x: FloatArray) -> FloatArray:
    """Return the mean of the numbers of x ``(N,)``, of shape ``()``; their sum is one of float64.

    Raises
    ------
    TypeError, ValueError
        If x is not float32 or float64, or has not one axis, with something on it.
    """
    x = as_float(x, "mean")
    if x.ndim != 1 or not x.size:
        raise refuse("mean", "x must have one axis, and numbers on it", x=x)
    out = np.empty((), x.dtype)
    _mean.run(1, 1, contiguous(x), out)
    return out


def sum_rows(x: FloatArray) -> FloatArray:
    """Return the sums along the middle axis of x ``(A, N, D)``, of shape ``(A, D)``.

    The sums are correct to the last digit or two of their dtype, but for terms that cancel.

    Raises
    ------
    TypeError, ValueError
        If x is not float32 or float64, or has not three axes.
    """
    x = _three_axes(x, "sum_rows")
    A, N, D = x.shape
    group = max(1, _WIDE // max(D, 1))  # rows that lie one after the other are as one wide row
    rows = max(_ROWS, _BLOCK // max(D, 1))
    blocks = -(-N // rows)
    part = np.zeros((A * blocks, group * D))
    if part.size:
        share = max(1, A * blocks * _WORTH_SHARING // x.size)
        _sum_blocks.run(A * blocks, share, x.reshape(-1), N * D, rows * D, part)
    several = part.reshape(A, blocks * group, D)
    return (several[:, 0] if blocks * group == 1 else several.sum(axis=1)).astype(x.dtype)


def cumsum_rows(x: FloatArray) -> FloatArray:
    """Return the running sums along the middle axis of x ``(A, N, D)``, of its shape.

    Raises
    ------
    TypeError, ValueError
        If x is not float32 or float64, or has not three axes.
    """
    x = _three_axes(x, "cumsum_rows")
    A, _, D = x.shape
    out, running = np.empty(x.shape, x.dtype), np.zeros((A, D))
    if x.size:
        _run_on.run(A, A, x, running, out)
    return out


def _three_axes(x: FloatArray, operation: str) -> FloatArray:
    x = as_float(x, operation)
    if x.ndim != 3:
        raise refuse(operation, "x must have three axes, the middle one to sum along", x=x)
    return contiguous(x)


@summing_block_kernel
def _mean(start: int, stop: int, x: FloatArray, out: FloatArray) -> None:
    """Write the mean of all of x: there is one block."""
    total = 0.0
    for i in range(np.uintp(x.size)):
        total += x[i]
    out[()] = total / x.size


@block_kernel
def _sum_blocks(
    start: int, stop: int, x: FloatArray, matrix: int, block: int, part: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    """Write the sums of the blocks start to stop of a flat x into rows of part.

    Matrices of `matrix` elements are cut into blocks of `block`, the last of them shorter. Element
    j of a block belongs to column j modulo D, and so does place j modulo the width of part.
    """
    wide = part.shape[1]
    blocks = -(-matrix // block)
    for b in range(start, stop):
        i = b // blocks * matrix + b % blocks * block
        end = min(i + block, (b // blocks + 1) * matrix)
        total = part[b]
        while i + 8 * wide <= end:  # eight rows in pairs, so that few numbers become float64
            x0, x1 = x[i : i + wide], x[i + wide : i + 2 * wide]
            x2, x3 = x[i + 2 * wide : i + 3 * wide], x[i + 3 * wide : i + 4 * wide]
            x4, x5 = x[i + 4 * wide : i + 5 * wide], x[i + 5 * wide : i + 6 * wide]
            x6, x7 = x[i + 6 * wide : i + 7 * wide], x[i + 7 * wide : i + 8 * wide]
            for j in range(wide):
                low = (x0[j] + x1[j]) + (x2[j] + x3[j])
                total[j] += low + ((x4[j] + x5[j]) + (x6[j] + x7[j]))
            i += 8 * wide
        while i < end:
            for j in range(min(wide, end - i)):
                total[j] += x[i + j]
            i += wide


@block_kernel
def _run_on(
    start: int, stop: int, x: FloatArray, running: npt.NDArray[np.float64], out: FloatArray,
) -> None:  # fmt: skip
    """Write the running sums of the matrices start to stop."""
    for a in range(start, stop):
        if x.shape[2] == 1:
            so_far = 0.0
            for n in range(x.shape[1]):
                so_far += x[a, n, 0]
                out[a, n, 0] = so_far
            continue
        total = running[a]
        for n in range(x.shape[1]):
            row, to = x[a, n], out[a, n]
            for d in range(row.size):
                total[d] += row[d]
                to[d] = total[d]
