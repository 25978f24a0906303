"""Vector registers as values: a kernel can say what it keeps in them.

The compiler makes vector instructions of loops, but what a loop adds up in an array it keeps in
memory. A product of matrices adds up a tile of the result, and is faster if the tile stays in
registers. Here a register is a value: ``read(x, i)`` holds the numbers of the flat x from i on,
registers are added and multiplied by a number as arrays are, and ``write(x, i, r)`` puts one back.
Nothing checks whether i lies inside x.
"""

import operator
import platform
from typing import Any

import llvmlite.binding
import numba.extending
import numpy as np
from llvmlite import ir
from numba.core import imputils, types

from minivae_kernels._native import INTERPRETED, intrinsic

extending: Any = numba.extending
lower: Any = imputils.lower_builtin


_FEATURES = llvmlite.binding.get_host_cpu_features()
# What the machine code of kernels depends on, which is why it is cached under these.
BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16  # of a register
COUNT = 32 if BYTES == 64 or platform.machine().lower() in ("aarch64", "arm64") else 16


def lanes(itemsize: int) -> int:
    """Return how many numbers of a size a register holds."""
    return BYTES // itemsize


class Register(types.Type):
    """The type of a register with so many numbers of one type."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Register({dtype}, {count})")


def _full(array: Any) -> Register:
    return Register(array.dtype, lanes(array.dtype.bitwidth // 8))


@extending.register_model(Register)
class _Model(extending.models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Register) -> None:
        number = manager[kind.dtype].get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, kind.count))


def _place(context: Any, builder: Any, array: Any, where: Any, vector: Any) -> Any:
    value, i = where
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [i]), vector.as_pointer())


def _reading(kind_of: Any) -> Any:
    @intrinsic
    def read(typing: Any, x: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            vector = context.get_value_type(signature.return_type)
            place = _place(context, builder, signature.args[0], values, vector)
            return builder.load(place, align=x.dtype.bitwidth // 8)

        return kind_of(x)(x, i), generate

    return read


@intrinsic
def _write(typing: Any, x: Any, i: Any, r: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        *where, r = values
        place = _place(context, builder, signature.args[0], where, r.type)
        builder.store(r, place, align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(x, i, r), generate


@intrinsic
def _zeros(typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return _full(x)(x), generate


@intrinsic
def _positive(typing: Any, r: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (r,) = values
        zero = ir.Constant(r.type, None)
        return builder.select(builder.fcmp_ordered("<", r, zero), zero, r)

    return r(r), generate


def _dealing(half: int) -> Any:
    @intrinsic
    def deal(typing: Any, r: Any, s: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            count = r.count
            first = half * count // 2
            chosen = [i + of_s for i in range(first, first + count // 2) for of_s in (0, count)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), count), chosen)
            return builder.shuffle_vector(*values, mask)

        return r(r, s), generate

    return deal


@extending.type_callable(operator.add)
def _type_of_sum(context: Any) -> Any:
    def typer(r: Any, s: Any) -> Any:
        return r if isinstance(r, Register) and r == s else None

    return typer


@extending.type_callable(operator.mul)
def _type_of_multiple(context: Any) -> Any:
    def typer(number: Any, r: Any) -> Any:
        return r if isinstance(r, Register) and number == r.dtype else None

    return typer


# contract: a product and a sum may become one instruction.
@lower(operator.add, Register, Register)
def _sum(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.fadd(*values, flags=("contract",))


@lower(operator.mul, types.Float, Register)
def _multiple(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    number, r = values
    nothing, first = ir.Constant(r.type, ir.Undefined), ir.IntType(32)(0)
    all_first = ir.Constant(ir.VectorType(ir.IntType(32), r.type.count), None)
    spread = builder.insert_element(nothing, number, first)
    spread = builder.shuffle_vector(spread, nothing, all_first)
    return builder.fmul(spread, r, flags=("contract",))


# The same, for a debugger.


def _slowly(count_of: Any) -> Any:
    return lambda x, i: x.reshape(-1)[i : i + np.uintp(count_of(x.itemsize))].copy()


def _write_slowly(x: Any, i: Any, r: Any) -> None:
    x.reshape(-1)[i : i + np.uintp(r.size)] = r


def _deal_slowly(half: int) -> Any:
    return lambda r, s: np.split(np.stack([r, s], axis=1).reshape(-1), 2)[half]


# What kernels use: a register of numbers, or of four of them; one of zeros for numbers such as
# those of x; one with the negative set to 0; and the lower or upper half of two packs of cards that
# are dealt into one.
read: Any = _slowly(lanes) if INTERPRETED else _reading(_full)
read_four: Any = (
    _slowly(lambda size: 4) if INTERPRETED else _reading(lambda x: Register(x.dtype, 4))
)
write: Any = _write_slowly if INTERPRETED else _write
zeros: Any = (lambda x: np.zeros(lanes(x.itemsize), x.dtype)) if INTERPRETED else _zeros
positive: Any = (lambda r: np.where(r < 0, r.dtype.type(0), r)) if INTERPRETED else _positive
deal_low: Any = _deal_slowly(0) if INTERPRETED else _dealing(0)
deal_high: Any = _deal_slowly(1) if INTERPRETED else _dealing(1)
