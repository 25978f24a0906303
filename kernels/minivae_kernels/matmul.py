"""The matrix product, with its bias and relu applied before it is stored.

A row of the product is the sum of the rows of b, each times a number from a. The loops run along
contiguous rows of b; a is read one number at a time, so it may be transposed. A transposed b is
turned, four by four numbers in registers.

The product is computed in tiles: four rows of several vector registers, or eight of one where the
columns end. A tile stays in registers while 256 terms are summed: meanwhile nothing but a and b is
loaded, and a number of b that is loaded serves all rows of the tile.

A product with fewer columns than a register holds is made of dot products instead, which run along
the depth, unless a is transposed: then the whole product is computed transposed, and turned.
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
from minivae_kernels._jit import (
    block_kernel,
    inner,
    scalar,
    strided_block_kernel,
    summing_block_kernel,
)
from minivae_kernels.elementwise import activation_backward, activation_loop, add
from minivae_kernels.registers import (
    BYTES,
    COUNT,
    deal_high,
    deal_low,
    lanes,
    positive,
    read,
    read_four,
    write,
    zeros,
)
from minivae_kernels.sums import sum_rows

# A tile has four rows of so many registers. With those for a and b they are 26, or 16.
_WIDE = 5 if COUNT == 32 else 3
_HEIGHT = 32  # rows that a thread computes of a panel before it takes another block
_FEW = 256  # rows whose sums may be taken four at a time; more would lose digits of float32
_PART = 256  # terms that are summed one after the other: parts' sums lose fewer digits
_DEEP = 1024  # terms from which on halves are summed apart: a panel is to fit in the second cache
_DOTS = 4  # rows and columns in a tile of dot products
_NARROW = 48  # columns up to which the product is computed transposed, if a is

# Multiplications in what a thread takes at a time, at least; and from which on sharing pays even
# where two processors have no cache in common, and have to fetch the operands from each other.
_BLOCK = 50_000
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
        Shapes ``(M, K)`` and ``(K, N)``, float32 or float64, of any strides. A b that is not
        C-contiguous is copied first.
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
    relu = activation == "relu"
    activate = None if activation is None or relu else activation_loop("matmul", activation)
    product = np.empty((a.shape[0], b.shape[1]), a.dtype)
    _multiply(a, b, _NO_BIAS[a.dtype] if bias is None else bias, product, relu)
    if activate is None:
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
    fits = x.ndim == weight.ndim == 2 and x.shape[1] == weight.shape[0]
    if not fits or p.shape != (x.shape[0], weight.shape[1]):
        rule = "g must be (M, N), x (M, K) and weight (K, N) with the same M, K and N"
        raise refuse("linear_backward", rule, g=g, x=x, weight=weight)
    (m, depth), n = x.shape, weight.shape[1]
    none, dtype = _NO_BIAS[p.dtype], p.dtype
    dx = dweight = dbias = None
    if wanted[0]:
        dx = np.empty((m, depth), dtype)
        _multiply(p, weight.T, none, dx, False)
    if wanted[1]:
        dweight = np.empty((depth, n), dtype)
        _multiply(x.T, p, none, dweight, False)
    if wanted[2] and m > _FEW:
        dbias = sum_rows(p[None])[0]
    elif wanted[2]:
        dbias = np.empty(n, dtype)
        _sum_rows.run(n, n, contiguous(p), dbias)
    return dx, dweight, dbias


def _multiply(a: FloatArray, b: FloatArray, bias: FloatArray, c: FloatArray, relu: bool) -> None:
    """Write a @ b + bias into c, with the negative set to 0 if `relu`."""
    (m, depth), n = a.shape, b.shape[1]
    register = lanes(c.itemsize)
    if depth > _DEEP:
        b, half = _with_rows(b), depth // 2
        first, rest = np.empty_like(c), np.empty_like(c)
        _multiply(a[:, :half], b[:half], bias, first, False)
        _multiply(a[:, half:], b[half:], bias[:0], rest, False)
        c[...] = add(first, rest)
        if relu:
            np.copyto(c, 0, where=c < 0)
    elif n <= _NARROW and register <= m > n and _is_transposed(a) and not (bias.size or relu):
        transposed = np.empty((n, m), c.dtype)
        _multiply_by_rows(b.T, a.T, bias, transposed, relu)
        _turn_into(transposed, c)
    elif n < register:
        count = -(-m // _DOTS)
        step = _step(count, m * n * depth)
        _by_dots.run(count, step, contiguous(a), _turned(b), bias, relu, c)
    else:
        _multiply_by_rows(a, b, bias, c, relu)


def _multiply_by_rows(
    a: FloatArray, b: FloatArray, bias: FloatArray, c: FloatArray, relu: bool
) -> None:
    """Write it where c is at least a register wide."""
    (m, depth), n = a.shape, b.shape[1]
    b = _with_rows(b)
    register = lanes(c.itemsize)
    wide = _WIDE * register
    # What is left at the right edge: panels of one register, or a wide one that begins earlier.
    rest = -(-(n % wide) // register)
    overlap = rest > _WIDE - 2 and n > wide
    wides = n // wide + overlap
    panels = wides if overlap else wides + rest
    count = -(-m // _HEIGHT) * panels
    step = _step(count, m * n * depth)
    # The rows of a gradient of weights are shared as Adam shares them: each thread finds its own.
    down = not _is_transposed(a)
    _by_rows.run(count, step, a, b, wides, panels, down, bias, relu, c)


def _step(count: int, work: int) -> int:
    """Return how many of `count` blocks a thread takes at a time, given the multiplications."""
    return count if work < _WORTH_SHARING else -(-_BLOCK * count // work)


def _is_transposed(x: FloatArray) -> bool:
    flags = x.flags
    return not flags.c_contiguous and flags.f_contiguous


def _with_rows(x: FloatArray) -> FloatArray:
    """Return x as an array whose rows are contiguous."""
    return _turned(x.T) if _is_transposed(x) else contiguous(x)


def _turned(x: FloatArray) -> FloatArray:
    """Return x.T as an array whose rows are contiguous."""
    if _is_transposed(x):
        return x.T
    out = np.empty((x.shape[1], x.shape[0]), x.dtype)
    _turn_into(contiguous(x), out)
    return out


def _turn_into(x: FloatArray, out: FloatArray) -> None:
    _turn.run(-(-len(x) // _LINES), 4 if x.size >= _WORTH_TURNING else len(x), x, out)


_LINES = 16  # rows that are turned together: they fill one cache line, or two
_WORTH_TURNING = 1 << 15  # elements from which on threads share that


@block_kernel
def _turn(start: int, stop: int, x: FloatArray, out: FloatArray) -> None:
    """Write the groups of 16 rows numbered start to stop of x into the columns of out.

    Four by four numbers are turned in registers: two rounds of dealing them like two packs of cards
    into one.
    """
    rows, columns = np.uintp(x.shape[0]), np.uintp(x.shape[1])
    two, three, four = np.uintp(2), np.uintp(3), np.uintp(4)
    for group in range(start, stop):
        top = np.uintp(group * _LINES)
        bottom = min(top + np.uintp(_LINES), rows)
        square, wide = bottom - (bottom - top) % four, columns - columns % four
        for j in range(np.uintp(0), wide, four):
            for i in range(top, square, four):
                at = i * columns + j
                a, b = read_four(x, at), read_four(x, at + columns)
                c, d = read_four(x, at + two * columns), read_four(x, at + three * columns)
                first, second = deal_low(a, c), deal_high(a, c)
                third, fourth = deal_low(b, d), deal_high(b, d)
                to = j * rows + i
                write(out, to, deal_low(first, third))
                write(out, to + rows, deal_high(first, third))
                write(out, to + two * rows, deal_low(second, fourth))
                write(out, to + three * rows, deal_high(second, fourth))
        for j in range(columns):
            for i in range(square if j < wide else top, bottom):
                out[j, i] = x[i, j]


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


@scalar
def _write_one(c: Any, at: Any, r: Any, relu: Any) -> None:
    """Write a register, with the negative set to 0 if `relu`."""
    write(c, at, positive(r) if relu else r)


@inner
def _write_wide(
    a: FloatArray,
    top: int,
    bottom: int,
    b: FloatArray,
    left: int,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Write the tiles of a panel that lie between two rows: sums of the rows of b.

    Indices are unsigned: Numba would otherwise look each time whether they are negative and count
    from the end.
    """
    one, n, at = np.uintp(BYTES // a.itemsize), np.uintp(b.shape[1]), np.uintp(left)
    two, three, four = one + one, one + one + one, one + one + one + one
    depth, last = len(b), bottom - 1
    b0 = b1 = b2 = b3 = b4 = zeros(b)
    if bias.size:
        b0, b1, b2 = read(bias, at), read(bias, at + one), read(bias, at + two)
        if _WIDE == 5:
            b3, b4 = read(bias, at + three), read(bias, at + four)
    for i in range(top, bottom, 4):
        # At the lower edge the last row is computed several times.
        i0, i1 = np.uintp(i), np.uintp(min(i + 1, last))
        i2, i3 = np.uintp(min(i + 2, last)), np.uintp(min(i + 3, last))
        s00, s01, s02, s03, s04 = b0, b1, b2, b3, b4
        s10, s11, s12, s13, s14 = b0, b1, b2, b3, b4
        s20, s21, s22, s23, s24 = b0, b1, b2, b3, b4
        s30, s31, s32, s33, s34 = b0, b1, b2, b3, b4
        for low in range(0, depth, _PART):
            t00 = t01 = t02 = t03 = t04 = t10 = t11 = t12 = t13 = t14 = zeros(b)
            t20 = t21 = t22 = t23 = t24 = t30 = t31 = t32 = t33 = t34 = zeros(b)
            for k in range(np.uintp(low), np.uintp(min(low + _PART, depth))):
                j = k * n + at
                y0, y1, y2, y3 = a[i0, k], a[i1, k], a[i2, k], a[i3, k]
                x0, x1, x2 = read(b, j), read(b, j + one), read(b, j + two)
                t00, t01, t02 = t00 + y0 * x0, t01 + y0 * x1, t02 + y0 * x2
                t10, t11, t12 = t10 + y1 * x0, t11 + y1 * x1, t12 + y1 * x2
                t20, t21, t22 = t20 + y2 * x0, t21 + y2 * x1, t22 + y2 * x2
                t30, t31, t32 = t30 + y3 * x0, t31 + y3 * x1, t32 + y3 * x2
                if _WIDE == 5:
                    x3, x4 = read(b, j + three), read(b, j + four)
                    t03, t04 = t03 + y0 * x3, t04 + y0 * x4
                    t13, t14 = t13 + y1 * x3, t14 + y1 * x4
                    t23, t24 = t23 + y2 * x3, t24 + y2 * x4
                    t33, t34 = t33 + y3 * x3, t34 + y3 * x4
            s00, s01, s02, s03, s04 = s00 + t00, s01 + t01, s02 + t02, s03 + t03, s04 + t04
            s10, s11, s12, s13, s14 = s10 + t10, s11 + t11, s12 + t12, s13 + t13, s14 + t14
            s20, s21, s22, s23, s24 = s20 + t20, s21 + t21, s22 + t22, s23 + t23, s24 + t24
            s30, s31, s32, s33, s34 = s30 + t30, s31 + t31, s32 + t32, s33 + t33, s34 + t34
        _write_row(c, i0 * n + at, s00, s01, s02, s03, s04, relu)
        _write_row(c, i1 * n + at, s10, s11, s12, s13, s14, relu)
        _write_row(c, i2 * n + at, s20, s21, s22, s23, s24, relu)
        _write_row(c, i3 * n + at, s30, s31, s32, s33, s34, relu)


@scalar
def _write_row(c: Any, at: Any, r0: Any, r1: Any, r2: Any, r3: Any, r4: Any, relu: Any) -> None:
    """Write a row of a tile."""
    one = np.uintp(BYTES // c.itemsize)
    _write_one(c, at, r0, relu)
    _write_one(c, at + one, r1, relu)
    _write_one(c, at + one + one, r2, relu)
    if _WIDE == 5:
        _write_one(c, at + one + one + one, r3, relu)
        _write_one(c, at + one + one + one + one, r4, relu)


@inner
def _write_narrow(
    a: FloatArray,
    top: int,
    bottom: int,
    b: FloatArray,
    left: int,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Write tiles of eight rows and one register."""
    n, at, last = np.uintp(b.shape[1]), np.uintp(left), bottom - 1
    depth = len(b)
    offset = zeros(b)
    if bias.size:
        offset = read(bias, at)
    for i in range(top, bottom, 8):
        i0, i1 = np.uintp(i), np.uintp(min(i + 1, last))
        i2, i3 = np.uintp(min(i + 2, last)), np.uintp(min(i + 3, last))
        i4, i5 = np.uintp(min(i + 4, last)), np.uintp(min(i + 5, last))
        i6, i7 = np.uintp(min(i + 6, last)), np.uintp(min(i + 7, last))
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = offset
        for low in range(0, depth, _PART):
            t0 = t1 = t2 = t3 = t4 = t5 = t6 = t7 = zeros(b)
            for k in range(np.uintp(low), np.uintp(min(low + _PART, depth))):
                x = read(b, k * n + at)
                t0, t1 = t0 + a[i0, k] * x, t1 + a[i1, k] * x
                t2, t3 = t2 + a[i2, k] * x, t3 + a[i3, k] * x
                t4, t5 = t4 + a[i4, k] * x, t5 + a[i5, k] * x
                t6, t7 = t6 + a[i6, k] * x, t7 + a[i7, k] * x
            s0, s1, s2, s3 = s0 + t0, s1 + t1, s2 + t2, s3 + t3
            s4, s5, s6, s7 = s4 + t4, s5 + t5, s6 + t6, s7 + t7
        _write_one(c, i0 * n + at, s0, relu)
        _write_one(c, i1 * n + at, s1, relu)
        _write_one(c, i2 * n + at, s2, relu)
        _write_one(c, i3 * n + at, s3, relu)
        _write_one(c, i4 * n + at, s4, relu)
        _write_one(c, i5 * n + at, s5, relu)
        _write_one(c, i6 * n + at, s6, relu)
        _write_one(c, i7 * n + at, s7, relu)


@strided_block_kernel
def _by_rows(
    start: int,
    stop: int,
    a: FloatArray,
    b: FloatArray,
    wides: int,
    panels: int,
    down: bool,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Write the blocks start to stop of c: rows that are sums of rows of b.

    A block is a panel of columns in a group of rows. A panel is some registers wide, or one towards
    the right edge; the last begins where it still fits, and computes some columns again. Blocks are
    counted down the first panel, then down the next, or else along the first group, then the next.
    """
    m, n, one = a.shape[0], b.shape[1], BYTES // a.itemsize
    wide, groups = _WIDE * one, (m + _HEIGHT - 1) // _HEIGHT
    for t in range(start, stop):
        panel, group = (t // groups, t % groups) if down else (t % panels, t // panels)
        top, bottom = group * _HEIGHT, min((group + 1) * _HEIGHT, m)
        if panel < wides:
            _write_wide(a, top, bottom, b, min(panel * wide, n - wide), bias, relu, c)
        else:
            left = min(wides * wide + (panel - wides) * one, n - one)
            _write_narrow(a, top, bottom, b, left, bias, relu, c)


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
    """Write the tiles start to stop of c, whose elements are products of rows of a and rows of b.

    A tile is four rows.
    """
    (m, depth), n = a.shape, len(b)
    zero = a.dtype.type(0)
    tile = np.empty((4, 4), a.dtype)
    for t in range(start, stop):
        i = 4 * t
        # At the edges the last row or column is computed several times.
        a0, a1, a2, a3 = a[i], a[min(i + 1, m - 1)], a[min(i + 2, m - 1)], a[min(i + 3, m - 1)]
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
            for r in range(min(4, m - i)):
                for s in range(min(4, n - j)):
                    offset = bias[j + s] if bias.size else zero
                    value = tile[r, s] + offset
                    c[i + r, j + s] = zero if relu and value < zero else value
