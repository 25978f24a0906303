"""What lies between the kernels and the processor: the compiler, and memory shared by threads."""

import functools
import platform
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
import numba.extending
from llvmlite import ir
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])

INTERPRETED = bool(vars(numba.config)["DISABLE_JIT"])  # NUMBA_DISABLE_JIT=1: for a debugger

# What Numba calls these functions with cannot be told to a type checker.
njit: Any = numba.njit
intrinsic: Any = numba.extending.intrinsic

# nogil: another Python thread may run meanwhile. error_model: 1/0 is inf, as in NumPy.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


@functools.cache
def _stamp() -> str:
    """Name what machine code is made from beside its own file, which is all that the cache sees."""
    changed = []
    with suppress(OSError):  # not files: they do not change either
        for name in ("_blocks", "_jit", "_native", "_sharing", "registers"):
            changed.append(Path(__file__).with_name(f"{name}.py").stat().st_mtime_ns)
    return f"{hash(tuple(changed)) & 0xFFFFFFFF:x}"


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function that Python calls, keeping the machine code on disk where possible."""
    if INTERPRETED:
        return function
    function.__qualname__ += f"-{_stamp()}"
    result: Function
    try:
        result = njit(cache=True, **OPTIONS, **options)(function)
    except RuntimeError:  # no folder for the cache can be written to
        result = njit(**OPTIONS, **options)(function)
    return result


def callback(function: Callable[..., int]) -> Any:
    """Compile a function of four numbers that machine code calls by its address."""
    signature = types.int64(*[types.int64] * 4)
    function.__qualname__ += f"-{_stamp()}"
    try:
        return numba.cfunc(signature, cache=True)(function)
    except RuntimeError:
        return numba.cfunc(signature)(function)


_CONTRACT = frozenset(("contract",))


def scalar(function: Function, fastmath: Set[str] = _CONTRACT) -> Function:
    """Compile a function of numbers that compiled functions in the same file call.

    In the same file, because the cache on disk does not see changes in another one.
    """
    if INTERPRETED:
        return function
    # contract: a*b + c may be one instruction; it keeps NaN, infinity, -0 and compensated sums.
    # forceinline: a loop with a call left in it would not become vector instructions.
    options = OPTIONS | {"fastmath": set(fastmath), "no_cpython_wrapper": True}
    result: Function = njit(forceinline=True, **options)(function)
    return result


def inner(function: Function) -> Function:
    """Compile a loop that compiled functions in the same file call."""
    if INTERPRETED:
        return function
    result: Function = njit(fastmath=set(_CONTRACT), no_cpython_wrapper=True, **OPTIONS)(function)
    return result


@intrinsic
def _fetch_to_write(typing: Any, x: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, values[0])
        byte = ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(array.data, [values[1]]), byte)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(prefetch, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(x, i), generate


# Asks for the cache line of x[i], to write there soon; i may lie beyond the end of x.
fetch_to_write: Any = (lambda x, i: None) if INTERPRETED else _fetch_to_write


# Shared memory ---------------------------------------------------------------------------------
#
# A board is a row of 64-bit numbers that several threads read and write. It is known by its
# address, its numbers by their position. Ordinary loads and stores would not do: the compiler may
# take them out of a loop, and the processor may put them in another order.

CALL_SIZE = 120  # the numbers that an address and its arguments may take
_WORD = ir.IntType(64)
_AGAIN = ir.FunctionType(ir.IntType(32), [_WORD, _WORD, _WORD])


def _at(builder: Any, board: Any, position: Any) -> Any:
    return builder.gep(builder.inttoptr(board, _WORD.as_pointer()), [position])


@intrinsic
def load(typing: Any, board: Any, position: Any) -> Any:
    """Return board[position], and see all that was written before it was stored."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_at(builder, *values), "acquire", 8)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def store(typing: Any, board: Any, position: Any, value: Any) -> Any:
    """Write board[position], after all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        board, position, value = values
        builder.store_atomic(value, _at(builder, board, position), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def add(typing: Any, board: Any, position: Any, value: Any) -> Any:
    """Add to board[position] in one step that no other thread can divide; return the old number."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        board, position, value = values
        return builder.atomic_rmw("add", _at(builder, board, position), value, "acq_rel")

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing: Any) -> Any:
    """Tell the processor that this loop only waits."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", fnty=kind), [])
        elif machine in ("arm64", "aarch64"):
            number = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [number])
            hint = builder.module.declare_intrinsic("llvm.aarch64.hint", fnty=kind)
            builder.call(hint, [number(1)])  # yield
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def call(typing: Any, address: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call the machine code at an address with four numbers, of which it may use fewer."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_WORD] * 4)
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def call_again(typing: Any, board: Any, position: Any, first: Any, second: Any) -> Any:
    """Call what `write_this_call` has written, with other first arguments; return its status."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        board, position, first, second = values
        place = _at(builder, board, position)
        again = builder.inttoptr(builder.load(place), _AGAIN.as_pointer())
        return builder.call(again, [builder.ptrtoint(place, _WORD), first, second])

    return types.int32(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def write_this_call(typing: Any, board: Any, position: Any) -> Any:
    """Write to the board how to call the function in which this stands, with its arguments.

    The address at `position`, the arguments from the third on behind it.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = builder.function
        if len(function.args) > CALL_SIZE:
            raise TypeError("too many arguments to share a kernel")
        board, position = values
        result, error, _, _, *rest = function.args  # Numba passes places for two results
        again = ir.Function(builder.module, _AGAIN, f"{function.name}.again")
        again.linkage = "internal"
        inner = ir.IRBuilder(again.append_basic_block())
        places = [inner.bitcast(inner.alloca(_WORD, 4), x.type) for x in (result, error)]
        arguments = [*places, *again.args[1:]]
        for i, argument in enumerate(rest):
            kind, offset = argument.type.as_pointer(), ir.Constant(_WORD, i + 1)
            place = _at(builder, board, builder.add(position, offset))
            builder.store(argument, builder.bitcast(place, kind))
            arguments.append(inner.load(inner.bitcast(_at(inner, again.args[0], offset), kind)))
        inner.ret(inner.call(function, arguments))
        builder.store(builder.ptrtoint(again, _WORD), _at(builder, board, position))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
