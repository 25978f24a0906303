"""The matrix product, with its bias and relu applied before it is stored.

It is computed tile by tile. A tile is a small matrix of sums in registers, `HEIGHT` rows of up to
`WIDTH` registers (8 x 3 where a processor has 32 registers, 4 x 3 where it has 16), to which the
outer product of a column of a and a row of b is added for each k. Nothing else is loaded or stored
meanwhile: see `registers` for why it has this size.

What a tile reads of b is a panel, as wide as the tile. So that its rows lie one behind the other
it is copied first (packed), from b or from its transpose alike; and so that it stays in the first
cache while all tiles of a strip go down the rows of a, it is cut into parts of equal depth.
Between the parts the sums wait in c, which begins as the bias. That the sums are made in parts also
makes them more exact. a is read one number at a time, so it may have any strides.
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
    strided_block_kernel,
)
from minivae_kernels.elementwise import activation_backward, activation_loop
from minivae_kernels.registers import (
    BYTES,
    HEIGHT,
    WIDTH,
    deal_high,
    deal_low,
    fetch_rows,
    grow,
    height,
    positive,
    read,
    read_four,
    read_rows,
    tiles,
    write,
    write_rows,
)
from minivae_kernels.sums import sum_rows

_SHORT = 256  # rows whose sums may be taken four at a time; more would lose digits of float32
_DEEP = 2**15  # terms of a sum, more than which are added in halves
_FEW = 4 * HEIGHT  # rows of a for which b is not worth copying
_PART = min(256, 24576 // (WIDTH * BYTES))  # rows of a panel of float32 or more: 24 kB
_ROWS = 256  # of a that go down one panel: copying it costs one or two hundredths of that
_FEWER_ROWS = 64  # where there are so few panels that threads would find nothing to share

# Multiplications in what a thread takes at a time, at least; and from which on sharing pays: a
# processor with half as wide registers takes twice as long for them.
_BLOCK = 50_000
_WORTH_SHARING = 1_500_000 * BYTES // 64

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
    if wanted[2] and m > _SHORT:
        dbias = sum_rows(p[None])[0]
    elif wanted[2]:
        dbias = np.empty(n, dtype)
        _sum_rows.run(n, n, contiguous(p), dbias)
    return dx, dweight, dbias


def _multiply(a: FloatArray, b: FloatArray, bias: FloatArray, c: FloatArray, relu: bool) -> None:
    """Write a @ b + bias into c, with the negative set to 0 if `relu`."""
    (m, depth), n = a.shape, b.shape[1]
    if depth > _DEEP:  # halves of a long sum by themselves, so that its rounding does not grow
        half, rest = depth // 2, np.empty_like(c)
        _multiply(a[:, :half], b[:half], bias, c, False)
        _multiply(a[:, half:], b[half:], _NO_BIAS[a.dtype], rest, False)
        with np.errstate(all="ignore"):
            np.add(c, rest, out=c)
            if relu:
                np.maximum(c, 0, out=c)
        return
    turned = b.flags.f_contiguous and not b.flags.c_contiguous
    b = b.T if turned else contiguous(b)
    registers = -(-n * c.itemsize // BYTES)
    panels, work = -(-registers // WIDTH), m * n * depth
    shared = work >= _WORTH_SHARING
    rows = _FEWER_ROWS if shared and panels <= 4 else _ROWS
    count = -(-m // rows) * panels
    step = -(-_BLOCK * count // work) if shared else count
    _by_panels.run(count, step, a, b, turned, rows, bias, relu, c)


# The loops -------------------------------------------------------------------------------------


def _strip_of(width: int) -> Any:
    """Return the loop over a strip of tiles, one below the other, so many registers wide."""
    zeros, rows = tiles[width - 1], height(width)

    @inner
    def strip(
        a: FloatArray,
        top: int,
        bottom: int,
        low: int,
        high: int,
        b: FloatArray,
        first: int,
        step: int,
        panel: FloatArray,
        offset: FloatArray,
        relu: bool,
        c: FloatArray,
        at: int,
        n: int,
    ) -> None:
        """Add a[top:bottom, low:high] times rows of b to rows of c; at first to the offset instead.

        Rows of b stand at first, first + step, ..., and those of c at at, at + n, ... If there is a
        panel, the rows of b are copied there, as many at once as a tile has.
        """
        if panel.size:
            across = width * BYTES // c.itemsize
            for k in range(0, high - low, rows):
                last = np.uintp(min(high - low - k, rows) - 1)
                some = read_rows(zeros(c), b, np.uintp(first + k * step), last, np.uintp(step))
                write_rows(some, panel, np.uintp(k * across), last, np.uintp(across))
            b, first, step = panel, 0, across
        for i in range(top, bottom, rows):
            last = np.uintp(min(bottom - i, rows) - 1)
            tile, j, place = zeros(c), np.uintp(first), np.uintp(at + (i - top) * n)
            fetch_rows(tile, c, place, last, np.uintp(n))
            for k in range(np.uintp(low), np.uintp(high)):
                tile = grow(tile, a, np.uintp(i), last, k, b, j)
                j += np.uintp(step)
            if low:
                tile = tile + read_rows(tile, c, place, last, np.uintp(n))
            else:
                tile = tile + read_rows(tile, offset, np.uintp(0), last, np.uintp(0))
            write_rows(positive(tile) if relu else tile, c, place, last, np.uintp(n))

    return strip


_strip_1, _strip_2, _strip_3 = map(_strip_of, (1, 2, 3))


@inner
def _turn(x: FloatArray, corner: Any, rows: Any, columns: Any, panel: FloatArray, to: Any) -> None:
    """Copy some rows and columns of x, the first at the corner, into columns of a panel.

    Four by four numbers are turned in registers: two rounds of dealing them like two packs of cards
    into one.
    """
    flat, n = x.reshape(-1), np.uintp(x.shape[1])
    two, three, four = np.uintp(2), np.uintp(3), np.uintp(4)
    square, wide = rows - rows % four, columns - columns % four
    for i in range(np.uintp(0), square, four):
        for j in range(np.uintp(0), wide, four):
            at, place = corner + i * n + j, j * to + i
            a, b = read_four(flat, at), read_four(flat, at + n)
            c, d = read_four(flat, at + two * n), read_four(flat, at + three * n)
            first, second = deal_low(a, c), deal_high(a, c)
            third, fourth = deal_low(b, d), deal_high(b, d)
            write(panel, place, deal_low(first, third))
            write(panel, place + to, deal_high(first, third))
            write(panel, place + two * to, deal_low(second, fourth))
            write(panel, place + three * to, deal_high(second, fourth))
    for i in range(rows):
        for j in range(wide if i < square else np.uintp(0), columns):
            panel[j * to + i] = flat[corner + i * n + j]


@strided_block_kernel
def _by_panels(
    start: int,
    stop: int,
    a: FloatArray,
    b: FloatArray,
    turned: bool,
    rows: int,
    bias: FloatArray,
    relu: bool,
    c: FloatArray,
) -> None:
    """Write the blocks start to stop of c: so many rows of a times a panel of b, b.T if turned.

    A panel is three registers wide, or two where the columns do not divide: all are as alike as can
    be. What goes beyond the last column is computed beside c, and the rest copied.
    """
    (m, depth), n, one, dtype = a.shape, c.shape[1], BYTES // a.itemsize, c.dtype
    registers = (n + one - 1) // one
    panels = (registers + WIDTH - 1) // WIDTH
    parts = max(1, (depth + _PART - 1) // _PART)
    offset, edge = np.zeros(WIDTH * one, dtype), np.empty(min(rows, m) * WIDTH * one, dtype)
    memory, flat = np.empty((min(_PART, depth) * WIDTH + 1) * one, dtype), b.reshape(-1)
    space = memory[-(memory.ctypes.data // a.itemsize) % one :]  # begins where a cache line does
    for block in range(start, stop):
        top, p = block // panels * rows, block % panels
        bottom = min(top + rows, m)
        left, right = registers * p // panels * one, registers * (p + 1) // panels * one
        width, columns = right - left, min(right, n) - left
        for j in range(columns if bias.size else 0):
            offset[j] = bias[left + j]
        to, at, stride = (c.reshape(-1), top * n + left, n) if right <= n else (edge, 0, width)
        for part in range(parts):
            low, high = depth * part // parts, depth * (part + 1) // parts
            source, first, step, panel = flat, low * n + left, n, space
            if right > n:
                space[: (high - low) * width] = 0  # beyond the last column: garbage may be slow
            if turned:
                corner = np.uintp(left * depth + low)
                _turn(b, corner, np.uintp(columns), np.uintp(high - low), space, np.uintp(width))
            elif right > n:
                for k in range(low, high):
                    at_k, place = k * n + left, np.uintp((k - low) * width)
                    if at_k + width <= flat.size:  # the columns beyond the last are not used
                        for w in range(np.uintp(0), np.uintp(width), np.uintp(one)):
                            write(space, place + w, read(flat, np.uintp(at_k) + w))
                    else:
                        for j in range(np.uintp(columns)):
                            space[place + j] = flat[np.uintp(at_k) + j]
            if turned or right > n:  # it is copied already
                source, first, step, panel = space, 0, width, space[:0]
            elif m <= _FEW:  # it is not worth copying
                panel = space[:0]
            last = relu and part == parts - 1
            where = (a, top, bottom, low, high, source, first, step, panel, offset, last)
            if width == one:
                _strip_1(*where, to, at, stride)
            elif width == 2 * one:
                _strip_2(*where, to, at, stride)
            else:
                _strip_3(*where, to, at, stride)
        if right > n:
            for i in range(bottom - top):
                for j in range(columns):
                    c[top + i, left + j] = edge[i * width + j]


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
