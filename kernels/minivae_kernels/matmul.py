"""The matrix product, with its bias and activation applied while the rows are still in the cache.

Two ways cover every layout without copying a whole operand for it:

- *by rows*: a row of the product is the sum of the rows of b, each times a number from a. The
  inner loop runs along contiguous rows of b; a is read one number at a time, so it may be
  transposed. The product of transposes, ``b.T @ a.T``, written transposed, serves a transposed b.
- *by dots*: an element is the dot product of a row of a and a column of b. The inner loop runs
  along the depth, so b must be transposed, or small enough to be; it serves narrow products, whose
  rows are too short for vector instructions.

Both compute a tile of the product at a time, so that each number loaded is used several times.

Where two processors share a product whose b is a layer's weights, each sums half the terms of every
element: it then reads one half of b's rows, finds it in its own cache the next time, and is the one
that Adam lets write there. What both read would have to be taken from the other's cache before it
could be written.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae_kernels._arrays import (
    FloatArray,
    as_float,
    as_floats,
    contiguous,
    refuse,
    run_flat,
)
from minivae_kernels._jit import block_kernel, inner, strided_block_kernel, summing_block_kernel
from minivae_kernels._native import keep_apart
from minivae_kernels.elementwise import activation_backward, activation_loop

_ROWS = 4  # in a tile by rows
_WIDTH = 800  # columns in it, at most: four such rows and four of b fit in a 32 kB cache
_PART = 256  # terms that are summed one after the other: parts' sums lose fewer digits
_DOTS = 4  # rows and columns in a tile by dots
_STRIP = 1 << 16  # numbers of b in a strip by dots: they stay in the second cache for all rows of a
_HELD = 1_600_000  # bytes of b, of which the second caches of two processors hold each a half
_NARROW = 48  # columns up to which dots are faster than rows,
_DEEP = 64  # given this depth to run along

# Multiplications in a block given to a thread, and from which on sharing pays even where two
# processors have no cache in common, and have to fetch the operands from each other.
_BLOCK = 100_000
_WORTH_SHARING = 1_000_000

_NO_BIAS: dict[Any, FloatArray] = {np.dtype(t): np.empty(0, t) for t in (np.float32, np.float64)}


def matmul(
    a: FloatArray,
    b: FloatArray,
    *,
    bias: FloatArray | None = None,
    activation: str | None = None,
) -> FloatArray:
    """Return ``activation(a @ b + bias)``, of shape ``(M, N)``, Eq. KERNEL.1.

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


def linear_backward(
    g: FloatArray,
    out: FloatArray,
    x: FloatArray,
    weight: FloatArray,
    activation: str,
    wanted: Sequence[bool] = (True, True, True),
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None]:
    """Return the gradients of ``out = activation(x @ weight + bias)`` in x, weight and bias.

    p = g * activation'(x @ weight + bias), read off the output; dx = p weight^T, dweight = x^T p,
    and dbias is the sum of the rows of p.

    Parameters
    ----------
    g, out
        The gradient of the output, and the output, of shape ``(M, N)``.
    x, weight
        Shapes ``(M, K)`` and ``(K, N)``.
    activation
        A name from ``ACTIVATIONS``.
    wanted
        Which of the three are wanted; the others are None.

    Raises
    ------
    TypeError
        If an array is not float32 or float64.
    ValueError
        If the shapes do not go together, or there is no such activation.
    """
    p = g if activation == "identity" else activation_backward(g, out, activation)
    p, x, weight = as_floats("linear_backward", p, x, weight)
    (m, depth), n = x.shape, weight.shape[1]
    if p.shape != (m, n) or weight.shape[0] != depth:
        rule = "g must be (M, N), x (M, K) and weight (K, N) with the same M, K and N"
        raise refuse("linear_backward", rule, g=g, x=x, weight=weight)
    none, dtype = _NO_BIAS[p.dtype], p.dtype
    dx = dweight = dbias = None
    if wanted[0]:
        dx = np.empty((m, depth), dtype)
        _multiply(p, weight.T, none, dx, False)
    if wanted[1]:
        dweight = np.empty((depth, n), dtype)
        _multiply(x.T, p, none, dweight, False)
    if wanted[2]:
        dbias = np.empty(n, dtype)
        _sum_rows.run(n, n, contiguous(p), dbias)
    return dx, dweight, dbias


def _multiply(a: FloatArray, b: FloatArray, bias: FloatArray, c: FloatArray, relu: bool) -> None:
    """Write a @ b + bias into c, with the negative set to 0 if `relu`."""
    (m, depth), n = a.shape, b.shape[1]
    small = m * n * depth < _WORTH_SHARING
    b_transposed = _is_transposed(b)
    if n <= _NARROW and depth >= _DEEP and n < m and _is_transposed(a):
        # c.T = b.T @ a.T, by rows, in two strips: a block is to write whole rows of c
        strips, tiles = -(-m // _WIDTH), -(-n // _ROWS)
        width = _even(m, 2 * strips)
        count = tiles * -(-m // width)
        step = count if small else tiles
        _sum_parts(count, step, b.T, n, a.T, width, bias, False, relu, c.ravel(), 1, n)
    elif depth >= _DEEP and (n <= _NARROW or (depth >= 4 * m and b_transposed)):
        width = n if n * depth <= _STRIP else _even(n, -(-n * depth // _STRIP))
        count = -(-m // _DOTS) * -(-n // width) if n else 0
        step = count if small else -(-_BLOCK // (_DOTS * width * depth))
        _by_dots.run(count, step, contiguous(a), _turned(b), width, bias, relu, c)
    else:
        b = _turned(b.T) if b_transposed else contiguous(b)
        width = n if n <= _WIDTH else _even(n, -(-n // _WIDTH))
        if depth > _PART and b.nbytes <= _HELD:
            _sum_halves(a, m, b, width, small, bias, relu, c)
            return
        count = -(-m // _ROWS) * -(-n // width) if n else 0
        step = count if small else -(-_BLOCK // (_ROWS * width * min(depth, _PART)))
        _sum_parts(count, step, a, m, b, width, bias, True, relu, c.ravel(), n, 1)


def _sum_parts(
    count: int,
    step: int,
    a: FloatArray,
    rows: int,
    b: FloatArray,
    width: int,
    bias: FloatArray,
    bias_along: bool,
    relu: bool,
    *c: Any,
) -> None:
    """Multiply by rows, a part of the depth after the other."""
    depth, added = len(b), False
    if depth > _PART:
        part = _even(depth, -(-depth // _PART))
        for first in range(0, depth - part, part):
            pair = a[:, first : first + part], rows, b[first : first + part]
            _by_rows.run(count, step, *pair, added, width, bias, bias_along, False, *c)
            added, bias = True, bias[:0]
        a, b = a[:, first + part :], b[first + part :]
    _by_rows.run(count, step, a, rows, b, added, width, bias, bias_along, relu, *c)


def _sum_halves(
    a: FloatArray,
    rows: int,
    b: FloatArray,
    width: int,
    small: bool,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Multiply by rows, half the depth on one processor and half on the other, and add."""
    depth, n = b.shape
    parts = -(-depth // (2 * _PART))  # in a half
    part = 4 * -(-depth // (8 * parts))
    tiles, other = -(-rows // _ROWS), np.empty_like(c)
    step = 2 * tiles if small else -(-_BLOCK // (_ROWS * n * part))
    _by_halves.run(2 * tiles, step, a, rows, b, parts * part, part, width, c, other)
    _add_half.run(rows, rows if c.size < _WORTH_TURNING else 8, other, bias, relu, c)


def _even(n: int, parts: int) -> int:
    """Return the width of so many parts of n, about even: multiples of 16."""
    return max(16, -(-n // (16 * max(1, parts))) * 16)


def _is_transposed(x: FloatArray) -> bool:
    flags = x.flags
    return not flags.c_contiguous and flags.f_contiguous


def _turned(x: FloatArray) -> FloatArray:
    """Return x.T as an array whose rows are contiguous."""
    if _is_transposed(x):
        return x.T
    out = np.empty((x.shape[1], x.shape[0]), x.dtype)
    _turn.run(-(-len(x) // _LINES), 4 if x.size >= _WORTH_TURNING else len(x), contiguous(x), out)
    return out


_LINES = 8  # rows that are turned together
_WORTH_TURNING = 1 << 15  # elements from which on threads share that


@block_kernel
def _turn(start: int, stop: int, x: FloatArray, out: FloatArray) -> None:
    """Write the eights of rows numbered start to stop of x into the columns of out."""
    last = np.uintp(x.shape[0] - 1)
    for eight in range(start, stop):
        i = np.uintp(8 * eight)
        # At the end the last row is written several times.
        i1, i2, i3 = (
            min(i + np.uintp(1), last),
            min(i + np.uintp(2), last),
            min(i + np.uintp(3), last),
        )
        i4, i5, i6 = (
            min(i + np.uintp(4), last),
            min(i + np.uintp(5), last),
            min(i + np.uintp(6), last),
        )
        i7 = min(i + np.uintp(7), last)
        x0, x1, x2, x3, x4, x5, x6, x7 = x[i], x[i1], x[i2], x[i3], x[i4], x[i5], x[i6], x[i7]
        for j in range(np.uintp(x.shape[1])):
            to = out[j]
            to[i], to[i1], to[i2], to[i3] = x0[j], x1[j], x2[j], x3[j]
            to[i4], to[i5], to[i6], to[i7] = x4[j], x5[j], x6[j], x7[j]


@block_kernel
def _sum_rows(start: int, stop: int, x: FloatArray, out: FloatArray) -> None:
    """Write the sums of the columns start to stop of x, four rows at a time."""
    low, columns = np.uintp(start), np.uintp(stop - start)
    for j in range(columns):
        out[low + j] = 0
    rows = x.shape[0]
    fours = rows - rows % 4
    for i in range(0, fours, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(columns):
            at = low + j
            out[at] += (x0[at] + x1[at]) + (x2[at] + x3[at])
    for i in range(fours, rows):
        x0 = x[i]
        for j in range(columns):
            out[low + j] += x0[low + j]


@inner
def _add_products(
    tile: FloatArray,
    a: FloatArray,
    i: int,
    rows: int,
    b: FloatArray,
    low: Any,
    columns: Any,
) -> None:
    """Add to a tile the numbers of four rows of a, times rows of b, four at a time.

    j is unsigned: Numba would otherwise look in each iteration whether it is negative and counts
    from the end.
    """
    keep_apart()
    c0, c1, c2, c3 = tile[0], tile[1], tile[2], tile[3]
    # A tile at the lower edge computes the last row several times.
    last = rows - 1
    a0, a1, a2, a3 = a[i], a[min(i + 1, last)], a[min(i + 2, last)], a[min(i + 3, last)]
    depth = len(b)
    fours = depth - depth % 4
    for k in range(0, fours, 4):
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        a00, a01, a02, a03 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
        a10, a11, a12, a13 = a1[k], a1[k + 1], a1[k + 2], a1[k + 3]
        a20, a21, a22, a23 = a2[k], a2[k + 1], a2[k + 2], a2[k + 3]
        a30, a31, a32, a33 = a3[k], a3[k + 1], a3[k + 2], a3[k + 3]
        for j in range(columns):
            x0, x1, x2, x3 = b0[low + j], b1[low + j], b2[low + j], b3[low + j]
            c0[j] = c0[j] + a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
            c1[j] = c1[j] + a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
            c2[j] = c2[j] + a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
            c3[j] = c3[j] + a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
    for k in range(fours, depth):
        b0 = b[k]
        a00, a10, a20, a30 = a0[k], a1[k], a2[k], a3[k]
        for j in range(columns):
            x0 = b0[low + j]
            c0[j] = c0[j] + a00 * x0
            c1[j] = c1[j] + a10 * x0
            c2[j] = c2[j] + a20 * x0
            c3[j] = c3[j] + a30 * x0


@strided_block_kernel
def _by_halves(
    start: int,
    stop: int,
    a: FloatArray,
    rows: int,
    b: FloatArray,
    half: int,
    part: int,
    width: int,
    c: FloatArray,
    other: FloatArray,
) -> None:
    """Write the tiles start to stop: of c the first `half` terms of its sums, of other the rest.

    A tile is four rows, summed a part after the other, strip by strip.
    """
    depth, n = b.shape
    tile = np.empty((4, width + 16), a.dtype)
    tiles = (rows + 3) // 4
    for t in range(start, stop):
        i = t % tiles * 4
        to, first, last = (c, 0, half) if t < tiles else (other, half, depth)
        for left in range(0, n, width):
            low, columns = np.uintp(left), np.uintp(min(width, n - left))
            for k in range(first, last, part):
                end = min(k + part, last)
                tile[:] = 0
                _add_products(tile, a[:, k:end], i, rows, b[k:end], low, columns)
                for r in range(min(4, rows - i)):
                    row, out = tile[r], to[i + r]
                    if k == first:
                        for j in range(columns):
                            out[low + j] = row[j]
                    else:
                        for j in range(columns):
                            out[low + j] += row[j]


@block_kernel
def _add_half(
    start: int, stop: int, other: FloatArray, bias: FloatArray, relu: bool, c: FloatArray
) -> None:
    """Add to rows start to stop of c the other half and the bias, and set the negative to 0."""
    zero, columns = c.dtype.type(0), np.uintp(c.shape[1])
    for i in range(start, stop):
        row, rest = c[i], other[i]
        for j in range(columns):
            row[j] += rest[j]
        if bias.size:
            for j in range(columns):
                row[j] += bias[j]
        if relu:
            for j in range(columns):
                row[j] = zero if row[j] < zero else row[j]


@strided_block_kernel
def _by_rows(
    start: int,
    stop: int,
    a: FloatArray,
    rows: int,
    b: FloatArray,
    added: bool,
    width: int,
    bias: FloatArray,
    bias_along: bool,
    relu: bool,
    c: FloatArray,
    c_row: int,
    c_column: int,
) -> None:
    """Write the tiles start to stop of c: four rows, each a sum of rows of b.

    Or, if `added`, that sum and what is there. Tiles are counted down the first strip of `width`
    columns, then down the next. c is flat, with the steps between its rows and columns; bias lies
    along the rows or down the columns.
    """
    n = b.shape[1]
    zero = a.dtype.type(0)
    tile = np.empty((4, width + 16), a.dtype)  # + 16: rows 4 kB apart would evict each other
    tiles = (rows + 3) // 4
    for t in range(start, stop):
        left, i = t // tiles * width, t % tiles * 4
        low, columns = np.uintp(left), np.uintp(min(width, n - left))
        for r in range(4):
            row = tile[r]
            offset = bias[min(i + r, rows - 1)] if bias.size and not bias_along else zero
            for j in range(columns):
                row[j] = bias[low + j] if bias.size and bias_along else offset
        _add_products(tile, a, i, rows, b, low, columns)
        for r in range(min(4, rows - i)):
            row, to = tile[r], np.uintp((i + r) * c_row + left * c_column)
            if added:
                for j in range(columns):
                    row[j] += c[to + j * np.uintp(c_column)]
            if relu:
                for j in range(columns):
                    row[j] = zero if row[j] < zero else row[j]
            if c_column == 1:
                for j in range(columns):
                    c[to + j] = row[j]
            else:
                for j in range(columns):
                    c[to + j * np.uintp(c_column)] = row[j]


@summing_block_kernel
def _by_dots(
    start: int,
    stop: int,
    a: FloatArray,
    b: FloatArray,
    width: int,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Write the tiles start to stop of c, whose elements are products of rows of a and rows of b.

    A tile is four rows of a strip of `width` columns; tiles are counted down the first strip, then
    down the next.
    """
    (m, depth), n = a.shape, len(b)
    zero = a.dtype.type(0)
    tile = np.empty((4, 4), a.dtype)
    tiles = (m + 3) // 4
    for t in range(start, stop):
        left, i = t // tiles * width, t % tiles * 4
        # At the edges the last row or column is computed several times.
        a0, a1, a2, a3 = a[i], a[min(i + 1, m - 1)], a[min(i + 2, m - 1)], a[min(i + 3, m - 1)]
        for j in range(left, min(left + width, n), 4):
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
            for r in range(min(4, m - i)):
                for s in range(min(4, n - j)):
                    offset = bias[j + s] if bias.size else zero
                    value = tile[r, s] + offset
                    c[i + r, j + s] = zero if relu and value < zero else value
