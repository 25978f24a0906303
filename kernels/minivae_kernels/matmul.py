"""The matrix product, with its bias and relu applied before it is stored.

It is computed tile by tile. A tile is a small matrix of sums in registers, `HEIGHT` rows of up to
`WIDTH` registers (8 x 3 where a processor has 32 registers, 4 x 3 where it has 16), to which the
outer product of column k of a and row k of b is added for each k. Nothing else is loaded or stored
meanwhile. Of 8 x 3 that is 24 multiply-adds for 11 loads, and more sums than wait for each other:
`registers` says why a tile has this size. The tiles that lie one below the other are a strip.

What a tile reads of b is a panel, as wide as the tile. So that its rows lie one behind the other
it is copied (packed): by the first tile, while that uses it, or before, if b is transposed. And so
that it stays in the first cache while all tiles of a strip go down the rows of a, it is cut into
parts of equal depth. Between the parts the sums wait beside the panel, and the bias is added to
the first. That the sums are made in parts also makes them more exact. a is read one number at a
time, so it may have any strides.

Where b has so few columns that they would leave three quarters of a register empty, and a is
C-contiguous, each number is computed by itself: the registers hold parts of one sum.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae_kernels._arrays import (
    WORTH_SHARING,
    FloatArray,
    as_float,
    as_floats,
    contiguous,
    refuse,
    run_flat,
)
from minivae_kernels._jit import block_kernel, inner, strided_block_kernel, summing_inner
from minivae_kernels._native import INTERPRETED
from minivae_kernels.elementwise import activation_backward, activation_loop
from minivae_kernels.registers import (
    BYTES,
    HEIGHT,
    WIDTH,
    deal_high,
    deal_low,
    fetch_to_read,
    fetch_to_write,
    grow,
    height,
    positive,
    read_fours,
    read_rows,
    tile_of,
    tiles,
    write,
    write_rows,
)
from minivae_kernels.sums import sum_rows

_SHORT = 256  # rows whose sums may be taken four at a time; more would lose digits of float32
_DEEP = 2**15  # terms of a sum, more than which are added in halves
_AHEAD = 16  # rows of b, by which they are asked for before they are copied
_PART = min(256, 24576 // (WIDTH * BYTES))  # rows of a panel of float32 or more: 24 kB
_ROWS = 256  # of a that go down one panel: copying it costs one or two hundredths of that
_FEWER_ROWS = 64  # where there are so few panels that threads would find nothing to share

# Multiplications in what a thread takes at a time, at least; and from which on sharing pays: a
# processor with half as wide registers takes twice as long for them. Where an array is so large
# that threads share what is done to its elements, its parts lie in both caches anyhow.
_BLOCK = 50_000
_WORTH_SHARING = 1_500_000 * BYTES // 64
_WORTH_IF_LARGE = _WORTH_SHARING // 2

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
        Shapes ``(M, K)`` and ``(K, N)``, float32 or float64, of any strides. A b that is
        contiguous in neither order is copied first.
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
    work = m * n * depth
    shared = work >= _WORTH_IF_LARGE and (
        work >= _WORTH_SHARING or max(a.size, b.size, c.size) >= WORTH_SHARING
    )
    if 4 * n * c.itemsize <= BYTES and a.flags.c_contiguous:  # few columns
        step = max(_FEWER_ROWS, -(-_BLOCK * m // work)) if shared else m
        turned = b.flags.f_contiguous
        columns = b.T if turned else contiguous(b)
        _by_dots.run(m, step, a, columns, turned, bias, relu, c)
        return
    apart = 1  # c is copied from where it waits then, so the tiles must be a fifth fewer
    if a.flags.f_contiguous and not bias.size and 5 * _area(n, m, c) < 4 * _area(m, n, c):
        a, b, (m, n), apart = b.T, a.T, (n, m), n  # (A B)^T = B^T A^T, where B has few columns
    turned = b.flags.f_contiguous and not b.flags.c_contiguous
    flat = (b.T if turned else contiguous(b)).reshape(-1)
    registers = -(-n * c.itemsize // BYTES)
    panels = -(-registers // WIDTH)
    rows = _FEWER_ROWS if shared and panels <= 4 else _ROWS
    count = -(-m // rows) * panels
    step = -(-_BLOCK * count // work) if shared else count
    _by_panels.run(count, step, a, flat, turned, rows, bias, relu, c.reshape(-1), apart)


def _area(m: int, n: int, c: FloatArray) -> int:
    """Return how many registers of sums the tiles have together that cover m rows of n numbers."""
    return -(-m // HEIGHT) * HEIGHT * -(-n * c.itemsize // BYTES)


# The loops -------------------------------------------------------------------------------------


def _strip_of(width: int) -> Any:
    """Return the loop over a strip of tiles, one below the other, so many registers wide."""
    zeros, rows, line = tiles[width - 1], height(width), tile_of(1, width)
    wide = tile_of(rows, _PART * 4 // BYTES)  # as wide as a part of the depth, in float32

    @inner
    def strip(
        a: FloatArray, top: int, bottom: int, low: int, high: int, pitch: int,
        b: FloatArray, first: int, step: int, copied: int,
        memory: FloatArray, panel: int, offset: Any, biased: bool, waiting: int, relu: bool,
        c: FloatArray, at: int, n: int,
    ) -> None:  # fmt: skip
        """Add a[top:bottom, low:high] times rows of b to sums that wait, or at first to the bias.

        So many rows of b, which stand at first, first + step, ..., are copied to the panel by the
        first tile while it uses them; the others stand there already. Rows of c stand at at,
        at + n, ... Rows of a are a pitch apart, if they are to be asked for, else it is 0.
        """
        one, none = np.uintp(1), np.uintp(0)
        across, apart, down = np.uintp(width * BYTES // c.itemsize), np.uintp(step), np.uintp(n)
        i, place, wait = top, np.uintp(at), np.uintp(waiting)
        while i < bottom:  # first the whole tiles, and then what is left
            whole = i + rows <= bottom
            last = np.uintp(rows - 1 if whole else bottom - i - 1)
            stop = bottom - rows if whole else i
            while i <= stop:
                tile, j = zeros(c), np.uintp(panel)
                fetch_to_write(tile, c, place, last, down)
                if pitch:  # for the next tile
                    below = np.uintp((i + rows) * pitch + low)
                    fetch_to_read(wide(c), a, below, last, np.uintp(pitch))
                k, there = np.uintp(low), np.uintp(first)
                while i == top and k < np.uintp(low + copied):
                    row = read_rows(line(c), b, there, none, none)
                    fetch_to_read(row, b, there + np.uintp(_AHEAD) * apart, none, none)
                    write_rows(row, memory, j, none, none)
                    tile = grow(tile, a, np.uintp(i), last, k, b, there)
                    there += apart
                    j += across
                    k += one
                while k < np.uintp(high):
                    tile = grow(tile, a, np.uintp(i), last, k, memory, j)
                    j += across
                    k += one
                if low:
                    tile = tile + read_rows(tile, memory, wait, last, across)
                elif biased:
                    tile = tile + read_rows(tile, memory, offset, last, none)
                write_rows(positive(tile) if relu else tile, c, place, last, down)
                place += np.uintp(rows) * down
                wait += np.uintp(rows) * across
                i += rows

    return strip


_strip_1, _strip_2, _strip_3 = map(_strip_of, (1, 2, 3))


@inner
def _turn(
    x: FloatArray, corner: int, n: int, rows: int, columns: int,
    panel: FloatArray, to: int, step: int,
) -> None:  # fmt: skip
    """Copy some rows and columns of x, which begin at the corner, into columns of a panel.

    Rows of x are n numbers apart, those of the panel stand at to, to + step, ... Squares of four by
    four numbers are turned in registers, as many at once as a register holds fours: two rounds of
    dealing numbers like cards.
    """
    high, wide = max(4, BYTES // x.itemsize), columns - columns % 4
    below, apart, behind = np.uintp(n), np.uintp(4 * n), np.uintp(step)
    done = rows if rows >= high else 0
    for first in range(0, done, high):
        i = min(first, rows - high)
        for j in range(0, wide, 4):
            at, place = np.uintp(corner + i * n + j), np.uintp(to + j * step + i)
            a, b = read_fours(x, at, apart), read_fours(x, at + below, apart)
            at += below + below
            c, d = read_fours(x, at, apart), read_fours(x, at + below, apart)
            one, two = deal_low(a, c), deal_high(a, c)
            three, four = deal_low(b, d), deal_high(b, d)
            write(panel, place, deal_low(one, three))
            write(panel, place + behind, deal_high(one, three))
            place += behind + behind
            write(panel, place, deal_low(two, four))
            write(panel, place + behind, deal_high(two, four))
    for i in range(rows):
        at, place = np.uintp(corner + i * n), np.uintp(to + i)
        for j in range(np.uintp(wide if i < done else 0), np.uintp(columns)):
            panel[place + j * behind] = x[at + j]


@strided_block_kernel
def _by_panels(
    start: int, stop: int, a: FloatArray, b: FloatArray, turned: bool, rows: int,
    bias: FloatArray, relu: bool, c: FloatArray, apart: int,
) -> None:  # fmt: skip
    """Write the blocks start to stop of c: so many rows of a times a panel of b, b.T if turned.

    b and c are flat. The numbers of a row of c are `apart` places apart: 1, or if what is computed
    is the transpose of c, as many as c has columns; then its rows are 1 apart. Panels are up to
    three registers wide, and as alike as can be. What goes beyond the last column, or does not lie
    in rows, is computed beside c and copied.
    """
    (m, depth), one = a.shape, BYTES // a.itemsize
    n = c.size // max(m, 1)
    down = n if apart == 1 else 1
    registers = (n + one - 1) // one
    panels = (registers + WIDTH - 1) // WIDTH
    parts = max(1, (depth + _PART - 1) // _PART)
    across, size = WIDTH * one, WIDTH * one * min(_PART, depth)
    memory = np.empty(size + (1 + min(rows, m)) * across + one, c.dtype)
    panel = -(memory.ctypes.data // a.itemsize) % one  # begins where a cache line does
    offset, waiting = np.uintp(panel + size), panel + size + across
    for block in range(start, stop):
        top, p = block // panels * rows, block % panels
        bottom = min(top + rows, m)
        left, right = registers * p // panels * one, registers * (p + 1) // panels * one
        width, columns = right - left, min(right, n) - left
        for j in range(np.uintp(columns if bias.size else 0)):
            memory[offset + j] = bias[np.uintp(left) + j]
        # where a thread of several begins, from the front or the back, a may be in another's cache
        far = stop - start < panels and (p == 0 or p == panels - 1)
        pitch = a.strides[0] // a.itemsize if far and a.strides[1] == a.itemsize else 0
        aside = right > n or apart > 1
        for part in range(parts):
            low, high = depth * part // parts, depth * (part + 1) // parts
            first, copied = low * n + left, high - low
            if turned:
                for i in range(np.uintp(size if right > n else 0)):
                    memory[np.uintp(panel) + i] = 0  # beyond the last column, as below
                _turn(b, left * depth + low, depth, columns, copied, memory, panel, width)
                copied = 0
            elif right > n:  # in the last rows a register would go beyond the last number of b
                copied = max(0, min(high, (b.size - left - width) // n + 1) - low)
                for k in range(copied, high - low):
                    at, place = np.uintp(first + k * n), np.uintp(panel + k * width)
                    for j in range(np.uintp(columns)):
                        memory[place + j] = b[at + j]
                    for j in range(np.uintp(columns), np.uintp(width)):
                        memory[place + j] = 0  # garbage may be subnormal, and slow
            final = part == parts - 1
            waits = aside or not final
            to, begin, stride = (memory, waiting, width) if waits else (c, top * n + left, n)
            clip = relu and final
            where = (
                *(a, top, bottom, low, high, pitch, b, first, n, copied, memory, panel, offset),
                *(bias.size > 0, waiting, clip, to, begin, stride),
            )
            if width == one:
                _strip_1(*where)
            elif width == 2 * one:
                _strip_2(*where)
            else:
                _strip_3(*where)
        if aside:
            for i in range(bottom - top):
                at, place = np.uintp(waiting + i * width), np.uintp((top + i) * down + left * apart)
                for j in range(np.uintp(columns)):
                    c[place + j * np.uintp(apart)] = memory[at + j]


def _sum_of_products(x: FloatArray, y: FloatArray) -> Any:
    """Return the sum of x[k] y[k]."""
    total = x.dtype.type(0)
    for k in range(np.uintp(x.size)):
        total += x[k] * y[k]
    return total


# NumPy adds in parts, too; the loop in a debugger would add one term after the other.
_dot: Any = np.dot if INTERPRETED else summing_inner(_sum_of_products)


@block_kernel
def _by_dots(
    start: int, stop: int, a: FloatArray, b: FloatArray, turned: bool,
    bias: FloatArray, relu: bool, c: FloatArray,
) -> None:  # fmt: skip
    """Write the rows start to stop of c, number by number; b is b.T if turned."""
    (_, depth), n = a.shape, c.shape[1]
    columns = b if turned else np.empty((n, depth), c.dtype)
    for j in range(np.uintp(0 if turned else n)):
        for k in range(np.uintp(depth)):
            columns[j, k] = b[k, j]
    for i in range(np.uintp(start), np.uintp(stop)):
        for j in range(np.uintp(n)):
            total = _dot(a[i], columns[j])
            if bias.size:
                total += bias[j]
            c[i, j] = c.dtype.type(0) if relu and total < 0 else total


@block_kernel
def _sum_rows(start: int, stop: int, x: FloatArray, out: FloatArray) -> None:
    """Write the sums of the columns start to stop of x, four rows at a time."""
    low, high, rows = np.uintp(start), np.uintp(stop), np.uintp(x.shape[0])
    one, two, three, four = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)
    for j in range(low, high):
        out[j] = 0
    i = np.uintp(0)
    while i + four <= rows:
        for j in range(low, high):
            out[j] += (x[i, j] + x[i + one, j]) + (x[i + two, j] + x[i + three, j])
        i += four
    while i < rows:
        for j in range(low, high):
            out[j] += x[i, j]
        i += one
