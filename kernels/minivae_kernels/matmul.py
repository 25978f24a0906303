"""The matrix product, with its bias and activation applied while the rows are still in the cache.

Two loops cover every layout without copying a whole operand for it:

- *by rows*: a row of the product is the sum of the rows of b, each times a number from a. The
  inner loop runs along contiguous rows of b; a is read one number at a time, so it may be
  transposed. The product of transposes, ``b.T @ a.T``, written transposed, serves a transposed b.
- *by dots*: an element is the dot product of a row of a and a column of b. The inner loop runs
  along the depth, so b must be transposed, or small enough to be; it serves narrow products, whose
  rows are too short for vector instructions.

Both compute a tile of the product at a time, so that each number loaded is used several times.
"""

from typing import Any

import numpy as np

from minivae_kernels._arrays import (
    FloatArray,
    as_float,
    as_floats,
    contiguous,
    line,
    refuse,
    run_flat,
)
from minivae_kernels._jit import block_kernel, summing_block_kernel
from minivae_kernels.elementwise import activation_loop

_ROWS = 6  # in a tile by rows
_DOTS = 4  # rows and columns in a tile by dots
_WIDTH = 512  # columns in a tile by rows: six such rows and four of b fit in a 32 kB cache
_NARROW = 48  # columns up to which dots are faster than rows,
_DEEP = 64  # given this depth to run along; to leave a large b transposed takes more:
_DEEP_TRANSPOSED = 256

# Multiplications in a block given to a thread, and from which on sharing pays.
_BLOCK = 100_000
_WORTH_SHARING = 400_000

_NO_BIAS: dict[Any, FloatArray] = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}


def matmul(
    a: FloatArray,
    b: FloatArray,
    *,
    bias: FloatArray | None = None,
    activation: str | None = None,
) -> FloatArray:
    """Return ``activation(a @ b + bias)``, of shape ``(M, N)``.

    Parameters
    ----------
    a, b
        Shapes ``(M, K)`` and ``(K, N)``, float32 or float64, of any strides. C-contiguous and
        transposed C-contiguous arrays are used as they are, others are copied.
    bias
        Shape ``(N,)``, added to every row.
    activation
        A name from ``ACTIVATIONS``; None is the identity.

    Raises
    ------
    TypeError
        If an array is not float32 or float64.
    ValueError
        If the shapes do not go together, or there is no such activation.
    """
    a, b = as_floats("matmul", a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        rule = "a must be (M, K) and b (K, N) with the same K; transpose one of them?"
        raise refuse("matmul", rule, a=a, b=b)
    if bias is not None:
        bias = as_float(bias, "matmul")
        if bias.shape != (b.shape[1],):
            rule = "bias must have one number for each column of the product"
            raise refuse("matmul", rule, a=a, b=b, bias=bias)
        if bias.dtype != a.dtype:
            bias, a, b = as_floats("matmul", bias, a, b)
        bias = contiguous(bias)
    activate = None if activation is None else activation_loop("matmul", activation)
    product = np.empty((a.shape[0], b.shape[1]), a.dtype)
    relu = activation == "relu"
    _multiply(a, b, _NO_BIAS[a.dtype] if bias is None else bias, product, relu)
    if activate is None or relu:
        return product
    out = np.empty_like(product)
    run_flat(activate, product.reshape(-1), out.reshape(-1))
    return out


def _multiply(a: FloatArray, b: FloatArray, bias: FloatArray, c: FloatArray, relu: bool) -> None:
    """Write a @ b + bias into c, with the negative set to 0 if `relu`."""
    (m, depth), n = a.shape, b.shape[1]
    a_transposed = a.flags.f_contiguous and not a.flags.c_contiguous
    b_transposed = b.flags.f_contiguous and not b.flags.c_contiguous
    narrow = n <= _NARROW
    if a_transposed and (b_transposed or (narrow and n < m)):
        # c.T = b.T @ a.T, by rows
        _by_rows(
            n,
            _step(n, m * depth, _ROWS),
            *_strided(b.T),
            contiguous(a.T),
            bias,
            0,
            relu,
            line(c),
            1,
            n,
        )
    elif depth >= (_DEEP_TRANSPOSED if b_transposed else _DEEP) and (b_transposed or narrow):
        _by_dots(m, _step(m, n * depth, _DOTS), contiguous(a), contiguous(b.T), bias, relu, c)
    else:
        _by_rows(
            m, _step(m, n * depth, _ROWS), *_strided(a), contiguous(b), bias, 1, relu, line(c), n, 1
        )


def _step(count: int, work: int, height: int) -> int:
    """Return how many rows a block has, of which each takes so much work: a number of tiles."""
    if count * work < _WORTH_SHARING:
        return count or 1
    return -(-_BLOCK // (work * height)) * height


def _strided(a: FloatArray) -> tuple[FloatArray, int, int]:
    """Return a flat, and the steps from row to row and from column to column."""
    if a.flags.f_contiguous and not a.flags.c_contiguous:
        return line(a.T), 1, a.shape[0]
    return line(a), a.shape[1], 1


@block_kernel
def _by_rows(
    start: int,
    stop: int,
    a: FloatArray,
    a_row: int,
    a_depth: int,
    b: FloatArray,
    bias: FloatArray,
    bias_column: int,
    relu: bool,
    c: FloatArray,
    c_row: int,
    c_column: int,
) -> None:
    """Write rows start to stop of c, six at a time, each as a sum of rows of b, four at a time.

    a and c are flat, with the steps between their rows and columns. j is unsigned: Numba would
    otherwise look in each iteration whether it is negative and counts from the end.
    """
    depth, n = b.shape
    zero = a.dtype.type(0)
    tile = np.empty((6, n + 16), a.dtype)  # + 16: rows 4 kB apart would evict each other
    c0, c1, c2, c3, c4, c5 = tile[0], tile[1], tile[2], tile[3], tile[4], tile[5]
    fours = depth - depth % 4
    for left in range(0, n, _WIDTH):
        low, high = np.uintp(left), np.uintp(min(left + _WIDTH, n))
        for i in range(start, stop, 6):
            for r in range(6):
                row = tile[r]
                offset = bias[min(i + r, stop - 1)] if bias.size and not bias_column else zero
                for j in range(low, high):
                    row[j] = bias[j] if bias.size and bias_column else offset
            # A tile at the lower edge computes the last row several times.
            i0, i1, i2 = i * a_row, min(i + 1, stop - 1) * a_row, min(i + 2, stop - 1) * a_row
            i3, i4 = min(i + 3, stop - 1) * a_row, min(i + 4, stop - 1) * a_row
            i5 = min(i + 5, stop - 1) * a_row
            for k in range(0, fours, 4):
                b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
                k0, k1 = k * a_depth, (k + 1) * a_depth
                k2, k3 = (k + 2) * a_depth, (k + 3) * a_depth
                a00, a01, a02, a03 = a[i0 + k0], a[i0 + k1], a[i0 + k2], a[i0 + k3]
                a10, a11, a12, a13 = a[i1 + k0], a[i1 + k1], a[i1 + k2], a[i1 + k3]
                a20, a21, a22, a23 = a[i2 + k0], a[i2 + k1], a[i2 + k2], a[i2 + k3]
                a30, a31, a32, a33 = a[i3 + k0], a[i3 + k1], a[i3 + k2], a[i3 + k3]
                a40, a41, a42, a43 = a[i4 + k0], a[i4 + k1], a[i4 + k2], a[i4 + k3]
                a50, a51, a52, a53 = a[i5 + k0], a[i5 + k1], a[i5 + k2], a[i5 + k3]
                for j in range(low, high):
                    x0, x1, x2, x3 = b0[j], b1[j], b2[j], b3[j]  # loaded once for six rows
                    c0[j] = c0[j] + a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                    c1[j] = c1[j] + a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                    c2[j] = c2[j] + a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                    c3[j] = c3[j] + a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
                    c4[j] = c4[j] + a40 * x0 + a41 * x1 + a42 * x2 + a43 * x3
                    c5[j] = c5[j] + a50 * x0 + a51 * x1 + a52 * x2 + a53 * x3
            for k in range(fours, depth):
                b0, k0 = b[k], k * a_depth
                a00, a10, a20 = a[i0 + k0], a[i1 + k0], a[i2 + k0]
                a30, a40, a50 = a[i3 + k0], a[i4 + k0], a[i5 + k0]
                for j in range(low, high):
                    x0 = b0[j]
                    c0[j] = c0[j] + a00 * x0
                    c1[j] = c1[j] + a10 * x0
                    c2[j] = c2[j] + a20 * x0
                    c3[j] = c3[j] + a30 * x0
                    c4[j] = c4[j] + a40 * x0
                    c5[j] = c5[j] + a50 * x0
            for r in range(min(6, stop - i)):
                row, to = tile[r], np.uintp((i + r) * c_row)
                if relu:
                    for j in range(low, high):
                        row[j] = zero if row[j] < zero else row[j]
                if c_column == 1:
                    for j in range(low, high):
                        c[to + j] = row[j]
                else:
                    for j in range(low, high):
                        c[to + j * np.uintp(c_column)] = row[j]


@summing_block_kernel
def _by_dots(
    start: int,
    stop: int,
    a: FloatArray,
    b: FloatArray,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Write rows start to stop of c, whose elements are products of rows of a and rows of b."""
    n, depth = b.shape
    zero = a.dtype.type(0)
    tile = np.empty((4, 4), a.dtype)
    for i in range(start, stop, 4):
        # The last tile may be smaller: it computes its last row or column several times.
        a0, a1 = a[i], a[min(i + 1, stop - 1)]
        a2, a3 = a[min(i + 2, stop - 1)], a[min(i + 3, stop - 1)]
        for j in range(0, n, 4):
            b0, b1 = b[j], b[min(j + 1, n - 1)]
            b2, b3 = b[min(j + 2, n - 1)], b[min(j + 3, n - 1)]
            c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = zero
            c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = zero
            for k in range(depth):
                c00 += a0[k] * b0[k]
                c01 += a0[k] * b1[k]
                c02 += a0[k] * b2[k]
                c03 += a0[k] * b3[k]
                c10 += a1[k] * b0[k]
                c11 += a1[k] * b1[k]
                c12 += a1[k] * b2[k]
                c13 += a1[k] * b3[k]
                c20 += a2[k] * b0[k]
                c21 += a2[k] * b1[k]
                c22 += a2[k] * b2[k]
                c23 += a2[k] * b3[k]
                c30 += a3[k] * b0[k]
                c31 += a3[k] * b1[k]
                c32 += a3[k] * b2[k]
                c33 += a3[k] * b3[k]
            tile[0, 0], tile[0, 1], tile[0, 2], tile[0, 3] = c00, c01, c02, c03
            tile[1, 0], tile[1, 1], tile[1, 2], tile[1, 3] = c10, c11, c12, c13
            tile[2, 0], tile[2, 1], tile[2, 2], tile[2, 3] = c20, c21, c22, c23
            tile[3, 0], tile[3, 1], tile[3, 2], tile[3, 3] = c30, c31, c32, c33
            for r in range(min(4, stop - i)):
                for s in range(min(4, n - j)):
                    offset = bias[j + s] if bias.size else zero
                    value = tile[r, s] + offset
                    c[i + r, j + s] = zero if relu and value < zero else value
