"""What a loop needs to know of a number's dtype: its constants, its bits, polynomials in it.

A loop is written once for float32 and float64. What differs is a pair, ``(of float32, of
float64)``, of which the compiler takes one when it comes to it, by the type of a number. Branches
would do, but the compiler reads both before it drops one, with all that they call.
"""

from typing import Any

import numpy as np
from numba.core import types

from minivae_kernels._native import INTERPRETED, instruction

Number = Any  # np.float32 or np.float64, or in machine code an integer of as many bits


def _place(x: Any) -> int:
    """Return where a pair holds what belongs to numbers of this type."""
    return int(x.bitwidth == 64)


def _integer(x: Any) -> Any:
    return (types.int32, types.int64)[_place(x)]


@instruction(lambda x, pair: pair.types[_place(x)](x, pair))
def _of(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.extract_value(values[1], _place(signature.args[0]))


@instruction(lambda x: _integer(x)(x))
def _bits(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.bitcast(values[0], context.get_value_type(signature.return_type))


@instruction(lambda x, i: x(x, i))
def _from_bits(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    x, i = signature.args
    narrow = context.cast(builder, values[1], i, _integer(x))
    return builder.bitcast(narrow, context.get_value_type(x))


@instruction(lambda x, tables: x(x, tables))
def _polynomial(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    x, tables = signature.args
    table = builder.extract_value(values[1], _place(x))
    total = builder.extract_value(table, 0)
    for power in range(1, tables.types[_place(x)].count):
        multiple = builder.fmul(total, values[0], flags=("contract",))
        coefficient = builder.extract_value(table, power)
        total = builder.fadd(multiple, coefficient, flags=("contract",))
    return total


# The same, for a debugger.


def _of_slowly(x: Any, pair: Any) -> Any:
    return pair[0 if isinstance(x, np.float32) else 1]


def _bits_slowly(x: Any) -> Any:
    return x.view(np.int32) if isinstance(x, np.float32) else np.float64(x).view(np.int64)


def _polynomial_slowly(x: Any, tables: Any) -> Any:
    total, *others = _of_slowly(x, tables)
    for coefficient in others:
        total = total * x + coefficient
    return total


def _from_bits_slowly(x: Any, i: Any) -> Any:
    integer, number = _of_slowly(x, ((np.int32, np.float32), (np.int64, np.float64)))
    return integer(i).view(number)


# What kernels use: of a pair what belongs to numbers such as x; the bits of x, as an integer of as
# many; the number like x that has the last bits of an integer; and the polynomial at x with those
# of two tables of coefficients, the highest power's first.
of: Any = _of_slowly if INTERPRETED else _of
bits: Any = _bits_slowly if INTERPRETED else _bits
from_bits: Any = _from_bits_slowly if INTERPRETED else _from_bits
polynomial: Any = _polynomial_slowly if INTERPRETED else _polynomial
