"""Vector registers as values: a kernel can say what it keeps in them.

The compiler makes vector instructions of loops, but what a loop adds up in an array it keeps in
memory. A product of matrices adds up a tile of the result, and is faster if the tile stays in
registers. Here a register is a value: ``read(x, i)`` holds the numbers of the flat x from i on,
registers are added and multiplied by a number as arrays are, and ``write(x, i, r)`` puts one back.

A tile is a value, too: `HEIGHT` rows of one, two or three registers. It is a small matrix, and
what makes a product of it is one line, ``tile = grow(tile, a, ..., b, ...)``, which adds the outer
product of a column of a and a row of b: for every row a number of a, spread over a register, and
for every register of the row one instruction, which multiplies and adds.

Nothing checks whether a place lies inside its array.
"""

import operator
import platform
from typing import Any

import llvmlite.binding
import numba.extending
import numpy as np
from llvmlite import ir
from numba.core import imputils, types

from minivae_kernels._native import INTERPRETED, instruction

extending: Any = numba.extending
lower: Any = imputils.lower_builtin
tuple_of: Any = types.UniTuple


_FEATURES = llvmlite.binding.get_host_cpu_features()
# What the machine code of kernels depends on, which is why it is cached under these.
BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16  # of a register
COUNT = 32 if BYTES == 64 or platform.machine().lower() in ("aarch64", "arm64") else 16

# The largest tile, in rows and registers. Its sums fill three quarters of the registers: 24 of 32,
# or 12 of 16; the rest hold three registers of b and a number of a. A processor starts two
# multiply-adds in a cycle, and each takes four: eight sums at least must not wait for each other.
# And every number that is loaded should serve many: 24 multiply-adds need 3 + 8 loads, 12 need
# 3 + 4, where two can be loaded in a cycle.
WIDTH = 3
HEIGHT = COUNT // 4


def height(width: int) -> int:
    """Return how many rows a tile has that is so many registers wide."""
    return max(HEIGHT, 8 // width)


def lanes(itemsize: int) -> int:
    """Return how many numbers of a size a register holds."""
    return BYTES // itemsize


class Registers(types.Type):
    """The type of rows of registers, each with so many numbers of one type."""

    def __init__(self, dtype: Any, count: int, rows: int = 1, width: int = 1) -> None:
        self.dtype, self.count, self.rows, self.width = dtype, count, rows, width
        self.places = [(r, w) for r in range(rows) for w in range(width)]
        super().__init__(name=f"Registers({dtype}, {count}, {rows}, {width})")


def _full(array: Any, rows: int = 1, width: int = 1) -> Registers:
    return Registers(array.dtype, lanes(array.dtype.bitwidth // 8), rows, width)


@extending.register_model(Registers)
class _Model(extending.models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Registers) -> None:
        register = ir.VectorType(manager[kind.dtype].get_value_type(), kind.count)
        super().__init__(manager, kind, ir.ArrayType(ir.ArrayType(register, kind.width), kind.rows))


def _each(context: Any, builder: Any, kind: Registers, function: Any) -> Any:
    """Return registers, of which ``function(row, column)`` gives each."""
    value = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for place in kind.places:
        value = builder.insert_value(value, function(*place), place)
    return value


def _loaded(context: Any, builder: Any, kind: Registers, data: Any, places: Any) -> Any:
    """Return what stands at ``places[row]`` of the data, and behind it."""
    vector = context.get_value_type(kind).element.element

    def register(r: int, w: int) -> Any:
        place = builder.gep(data, [builder.add(places[r], ir.IntType(64)(w * kind.count))])
        return builder.load(builder.bitcast(place, vector.as_pointer()), align=_size(kind))

    return _each(context, builder, kind, register)


def _store(context: Any, builder: Any, kind: Registers, data: Any, places: Any, value: Any) -> Any:
    for r, w in kind.places:
        register = builder.extract_value(value, (r, w))
        place = builder.gep(data, [builder.add(places[r], ir.IntType(64)(w * kind.count))])
        builder.store(register, builder.bitcast(place, register.type.as_pointer()), _size(kind))
    return context.get_dummy_value()


def _size(kind: Registers) -> int:
    return int(kind.dtype.bitwidth // 8)


def _array(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value)


def _rows(builder: Any, kind: Registers, first: Any, last: Any, stride: Any) -> list[Any]:
    """Return where rows begin, the first at `first`: those beyond the last are the last again."""
    found = []
    for r in range(kind.rows):
        row = ir.IntType(64)(r)
        inside = builder.icmp_unsigned("<", row, last)
        found.append(builder.add(first, builder.mul(builder.select(inside, row, last), stride)))
    return found


@instruction(lambda x, i: _full(x)(x, i))
def _read(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    data = _array(context, builder, signature.args[0], values[0]).data
    return _loaded(context, builder, signature.return_type, data, [values[1]])


@instruction(lambda x, i, r: types.void(x, i, r))
def _write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    data = _array(context, builder, signature.args[0], values[0]).data
    return _store(context, builder, signature.args[2], data, [values[1]], values[2])


def _zeros_of(rows: int, width: int) -> Any:
    @instruction(lambda x: _full(x, rows, width)(x))
    def zeros(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return zeros


@instruction(lambda r: r(r))
def _positive(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    def positive(*place: int) -> Any:
        register = builder.extract_value(values[0], place)
        zero = ir.Constant(register.type, None)
        return builder.select(builder.fcmp_ordered("<", register, zero), zero, register)

    return _each(context, builder, signature.return_type, positive)


def _fours(array: Any) -> Registers:
    return Registers(array.dtype, max(4, lanes(array.dtype.bitwidth // 8)))


@instruction(lambda x, i, stride: _fours(x)(x, i, stride))
def _read_fours(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    data, kind = _array(context, builder, signature.args[0], values[0]).data, signature.return_type
    places = [builder.add(values[1], builder.mul(values[2], ir.IntType(64)(r)))
              for r in range(kind.count // 4)]  # fmt: skip
    four = Registers(kind.dtype, 4)
    joined = [builder.extract_value(_loaded(context, builder, four, data, [place]), (0, 0))
              for place in places]  # fmt: skip
    while len(joined) > 1:
        size = 2 * joined[0].type.count
        mask = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(size)))
        pairs = zip(joined[::2], joined[1::2], strict=True)
        joined = [builder.shuffle_vector(*pair, mask) for pair in pairs]
    return _each(context, builder, kind, lambda *_: joined[0])


def _dealing(half: int) -> Any:
    @instruction(lambda r, s: r(r, s))
    def deal(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        r = signature.return_type
        chosen = [
            four + 2 * half + i + of_s
            for four in range(0, r.count, 4) for i in (0, 1) for of_s in (0, r.count)
        ]  # fmt: skip
        mask = ir.Constant(ir.VectorType(ir.IntType(32), r.count), chosen)
        cards = [builder.extract_value(pack, (0, 0)) for pack in values]
        return _each(context, builder, r, lambda *_: builder.shuffle_vector(*cards, mask))

    return deal


@instruction(lambda tile, x, first, last, stride: tile(tile, x, first, last, stride))
def _read_rows(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    data = _array(context, builder, signature.args[1], values[1]).data
    places = _rows(builder, signature.args[0], *values[2:])
    return _loaded(context, builder, signature.args[0], data, places)


@instruction(lambda tile, x, first, last, stride: types.void(tile, x, first, last, stride))
def _write_rows(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    data = _array(context, builder, signature.args[1], values[1]).data
    places = _rows(builder, signature.args[0], *values[2:])
    return _store(context, builder, signature.args[0], data, places, values[0])


def _fetching(written: int) -> Any:
    @instruction(lambda tile, x, first, last, stride: types.void(tile, x, first, last, stride))
    def fetch(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = _array(context, builder, signature.args[1], values[1]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        across = BYTES * signature.args[0].width
        for row in _rows(builder, signature.args[0], *values[2:]):
            start = builder.bitcast(builder.gep(data, [row]), byte)
            for offset in range(0, across, 64):
                place = builder.gep(start, [ir.IntType(64)(offset)])
                builder.call(prefetch, [place, number(written), number(3), number(1)])
        return context.get_dummy_value()

    return fetch


@instruction(lambda tile, a, i, last, k, b, j: tile(tile, a, i, last, k, b, j))
def _grow(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    tile, a, i, last, k, b, j = values
    kind, a_kind, *_, b_kind, _ = signature.args
    a = _array(context, builder, a_kind, a)
    down, along = (builder.extract_value(a.strides, axis) for axis in (0, 1))
    byte = ir.IntType(8).as_pointer()
    rows = _rows(builder, kind, builder.mul(i, down), last, down)
    # The distance to column k goes through an instruction that does nothing, and that must not
    # be repeated. Otherwise the compiler would keep a place in every row and move them all in
    # each turn of a loop, and do several columns in one turn, and run out of registers.
    number = ir.IntType(64)
    nothing = ir.InlineAsm(ir.FunctionType(number, [number]), "", "=r,0", side_effect=True)
    to = builder.call(nothing, [builder.mul(k, along)], attrs=("convergent",))
    start, numbers = builder.bitcast(a.data, byte), []
    for row in rows:
        place = builder.gep(builder.gep(start, [row]), [to])
        numbers.append(builder.load(builder.bitcast(place, a.data.type), align=_size(kind)))
    row_of_b = Registers(kind.dtype, kind.count, 1, kind.width)
    of_b = _loaded(context, builder, row_of_b, _array(context, builder, b_kind, b).data, [j])
    spread = [_spread(builder, number, kind.count) for number in numbers]

    def grown(r: int, w: int) -> Any:
        multiple = builder.fmul(spread[r], builder.extract_value(of_b, (0, w)), _CONTRACT)
        return builder.fadd(builder.extract_value(tile, (r, w)), multiple, flags=_CONTRACT)

    return _each(context, builder, kind, grown)


@instruction(lambda tile, x, i, j, stride: tile(tile, x, i, j, stride))
def _grow_by(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    kind, data = signature.args[0], _array(context, builder, signature.args[1], values[1]).data
    tile, _, i, j, stride = values

    def loaded(count: int, first: Any) -> Any:
        place = [builder.add(first, builder.mul(stride, stride.type(r))) for r in range(count)]
        column = Registers(kind.dtype, kind.count, count)
        return _loaded(context, builder, column, data, place)

    down, along = loaded(kind.rows, i), loaded(kind.width, j)

    def grown(r: int, w: int) -> Any:
        factors = builder.extract_value(down, (r, 0)), builder.extract_value(along, (w, 0))
        multiple = builder.fmul(*factors, _CONTRACT)
        return builder.fadd(builder.extract_value(tile, (r, w)), multiple, flags=_CONTRACT)

    return _each(context, builder, kind, grown)


@instruction(lambda row, tile: row(row, tile))
def _add_squares(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    def total(_: int, w: int) -> Any:
        found = builder.extract_value(values[0], (0, w))
        for r in range(signature.args[1].rows):
            register = builder.extract_value(values[1], (r, w))
            square = builder.fmul(register, register, flags=_CONTRACT)
            found = builder.fadd(found, square, flags=_CONTRACT)
        return found

    return _each(context, builder, signature.return_type, total)


@instruction(lambda tile: tuple_of(tile.dtype, len(tile.places))(tile))
def _sums(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    tile, register = signature.args[0], context.get_value_type(signature.args[0]).element.element
    kind = ir.FunctionType(register.element, [register.element, register])
    name = f"llvm.vector.reduce.fadd.v{tile.count}f{tile.dtype.bitwidth}"
    add = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    found = [
        builder.call(
            add, [register.element(-0.0), builder.extract_value(values[0], place)],
            fastmath=("reassoc",),
        )
        for place in tile.places
    ]  # fmt: skip
    return context.make_tuple(builder, signature.return_type, found)


_CONTRACT = ("contract",)  # a product and a sum may become one instruction


def _spread(builder: Any, number: Any, count: int) -> Any:
    nothing = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    all_first = ir.Constant(ir.VectorType(ir.IntType(32), count), None)
    return builder.shuffle_vector(
        builder.insert_element(nothing, number, ir.IntType(32)(0)), nothing, all_first
    )


@extending.type_callable(operator.add)
def _type_of_sum(context: Any) -> Any:
    def typer(r: Any, s: Any) -> Any:
        return r if isinstance(r, Registers) and r == s else None

    return typer


@extending.type_callable(operator.mul)
def _type_of_multiple(context: Any) -> Any:
    def typer(number: Any, r: Any) -> Any:
        return r if isinstance(r, Registers) and number == r.dtype else None

    return typer


@lower(operator.add, Registers, Registers)
def _sum(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    def total(*place: int) -> Any:
        one, other = (builder.extract_value(value, place) for value in values)
        return builder.fadd(one, other, flags=_CONTRACT)

    return _each(context, builder, signature.return_type, total)


@lower(operator.mul, types.Float, Registers)
def _multiple(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    number, r = values
    spread = _spread(builder, number, signature.return_type.count)

    def multiple(*place: int) -> Any:
        return builder.fmul(spread, builder.extract_value(r, place), flags=_CONTRACT)

    return _each(context, builder, signature.return_type, multiple)


# The same, for a debugger.


def _read_slowly(x: Any, i: Any) -> Any:
    return x.reshape(-1)[i : i + np.uintp(lanes(x.itemsize))].copy()


def _write_slowly(x: Any, i: Any, r: Any) -> None:
    x.reshape(-1)[i : i + np.uintp(r.size)] = r


def _deal_slowly(half: int) -> Any:
    def deal(r: Any, s: Any) -> Any:
        fours = [x.reshape(-1, 4)[:, 2 * half : 2 * half + 2] for x in (r, s)]
        return np.stack(fours, axis=2).reshape(-1)

    return deal


def _read_fours_slowly(x: Any, i: Any, stride: Any) -> Any:
    starts = int(i) + int(stride) * np.arange(max(4, lanes(x.itemsize)) // 4)
    return x.reshape(-1)[starts[:, None] + np.arange(4)].reshape(-1)


def _places(tile: Any, first: Any, last: Any, stride: Any) -> Any:
    rows = int(first) + np.minimum(np.arange(len(tile)), int(last)) * int(stride)
    return rows[:, None] + np.arange(tile.shape[1])


def _read_rows_slowly(tile: Any, x: Any, first: Any, last: Any, stride: Any) -> Any:
    return x.reshape(-1)[_places(tile, first, last, stride)]


def _write_rows_slowly(tile: Any, x: Any, first: Any, last: Any, stride: Any) -> None:
    x.reshape(-1)[_places(tile, first, last, stride)] = tile


def _grow_slowly(tile: Any, a: Any, i: Any, last: Any, k: Any, b: Any, j: Any) -> Any:
    column = a[int(i) + np.minimum(np.arange(len(tile)), int(last)), int(k)]
    return tile + np.outer(column, b.reshape(-1)[int(j) : int(j) + tile.shape[1]])


def _by_register(tile: Any) -> Any:
    return tile.reshape(len(tile), -1, lanes(tile.itemsize))


def _grow_by_slowly(tile: Any, x: Any, i: Any, j: Any, stride: Any) -> Any:
    rows, width, one = _by_register(tile).shape
    down = x.reshape(-1)[_places(np.empty((rows, one)), i, rows, stride)]
    along = x.reshape(-1)[_places(np.empty((width, one)), j, width, stride)]
    return tile + (down[:, None] * along).reshape(tile.shape)


def _zeros_slowly(rows: int, width: int) -> Any:
    return lambda x: np.zeros((rows, width * lanes(x.itemsize)), x.dtype)


# What kernels use: a register of numbers; one of four numbers from each of some places, i,
# i + stride, ...; one of zeros for numbers such as those of x; one with the negative set to 0; and
# one where the first, or the last, two of every four numbers are dealt like cards with those of
# another.
read: Any = _read_slowly if INTERPRETED else _read
read_fours: Any = _read_fours_slowly if INTERPRETED else _read_fours
write: Any = _write_slowly if INTERPRETED else _write
zeros: Any = (lambda x: np.zeros(lanes(x.itemsize), x.dtype)) if INTERPRETED else _zeros_of(1, 1)
positive: Any = (lambda r: np.where(r < 0, r.dtype.type(0), r)) if INTERPRETED else _positive
deal_low: Any = _deal_slowly(0) if INTERPRETED else _dealing(0)
deal_high: Any = _deal_slowly(1) if INTERPRETED else _dealing(1)

# And tiles: of zeros, of so many rows of so many registers, as those of a product, one, two and
# three registers in a row; with the outer product added of a[i : i + rows, k] and the numbers of
# the flat b from j on; read from the flat x, and written there, where rows begin at first, first +
# stride, ...; asked for, to be read or written there soon. If fewer rows are left than a tile has,
# `last` is the number of the last, and those behind it are the last again.
tile_of: Any = _zeros_slowly if INTERPRETED else _zeros_of
tiles: tuple[Any, ...] = tuple(tile_of(height(width), width) for width in range(1, WIDTH + 1))
grow: Any = _grow_slowly if INTERPRETED else _grow
read_rows: Any = _read_rows_slowly if INTERPRETED else _read_rows
fetch_to_read: Any = (lambda *_: None) if INTERPRETED else _fetching(0)
fetch_to_write: Any = (lambda *_: None) if INTERPRETED else _fetching(1)
write_rows: Any = _write_rows_slowly if INTERPRETED else _write_rows

# Of tiles whose registers belong together number by number, as those of rows x[i], x[j] do: with
# the products added of the registers at i, i + stride, ... and those at j, j + stride, ... of the
# flat x, each with each; the sums of each register's numbers, in a tuple; and a row of registers
# with the squares of a tile's rows added.
grow_by: Any = _grow_by_slowly if INTERPRETED else _grow_by
sums: Any = (lambda tile: _by_register(tile).sum(axis=2).ravel()) if INTERPRETED else _sums
add_squares: Any = (lambda row, tile: row + (tile**2).sum(axis=0)) if INTERPRETED else _add_squares
