"""What lies between the kernels and the processor: the compiler, and memory shared by threads."""

import ast
import functools
import hashlib
import inspect
import os
import platform
import textwrap
import warnings
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending
from llvmlite import ir
from numba import types
from numba.core.caching import NullCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError

Function = TypeVar("Function", bound=Callable[..., Any])

INTERPRETED = bool(vars(numba.config)["DISABLE_JIT"])  # NUMBA_DISABLE_JIT=1: for a debugger

# What Numba calls these functions with cannot be told to a type checker.
njit: Any = numba.njit
Writer = Callable[[Any, Any, Any, Any], Any]

# nogil: another Python thread may run meanwhile. error_model: 1/0 is inf, as in NumPy.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


@functools.cache
def _stamp() -> str:
    """Name what machine code is made from: every file of the package, by its content.

    Numba's cache looks at the file of the function alone, but a kernel is also made of what it
    calls. It is kept under this name, and so may call what stands in any file.
    """
    content = hashlib.sha256()
    with suppress(OSError):  # not files: they do not change either
        for path in sorted(Path(__file__).parent.glob("*.py")):
            content.update(path.read_bytes())
    return content.hexdigest()[:12]


_folder: Path | None = None  # where machine code is kept
_warned = False


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function that Python calls, keeping the machine code on disk where possible."""
    global _folder
    if INTERPRETED:
        return function
    function.__qualname__ += f"-{_stamp()}"
    result: Any
    try:
        result = njit(cache=True, **OPTIONS, **options)(function)
        _folder = Path(result.stats.cache_path)
    except RuntimeError:  # no folder for the cache can be written to
        result = njit(**OPTIONS, **options)(function)
    return cast(Function, result)


def compile_for(dispatcher: Any, signature: tuple[Any, ...]) -> Callable[..., None]:
    """Compile what `compiled` has returned for these types, or read it from the disk."""
    for last in (False, True):
        try:
            dispatcher.compile(signature)
        except NumbaError:
            raise
        except Exception as error:
            _discard(dispatcher.py_func, error)
        if signature in dispatcher.overloads:  # also where only keeping it has failed
            break
        if last:
            dispatcher._cache = NullCache()
            dispatcher.compile(signature)
    entry: Callable[..., None] = dispatcher.overloads[signature].entry_point
    return entry


def is_kept(dispatcher: Any) -> bool:
    """Tell whether the disk holds what `compiled` has returned, or cannot hold anything."""
    return _folder is None or any(_folder.glob(f"*{dispatcher.py_func.__qualname__}-*"))


def callback(function: Callable[..., int]) -> Any:
    """Compile a function of four numbers that machine code calls by its address."""
    signature = types.int64(*[types.int64] * 4)
    function.__qualname__ += f"-{_stamp()}"
    for _ in range(2):
        try:
            return numba.cfunc(signature, cache=True)(function)
        except NumbaError:
            raise
        except RuntimeError:  # no folder for the cache can be written to
            break
        except Exception as error:
            _discard(function, error)
    return numba.cfunc(signature)(function)


def _discard(function: Callable[..., Any], error: Exception) -> None:
    """Delete what the disk holds of a function: it cannot be read, or not be written in full."""
    global _warned
    for path in _folder.glob(f"*{function.__qualname__}-*") if _folder else ():
        with suppress(OSError):
            path.unlink()
    if not _warned:
        _warned = True
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        warnings.warn(
            f"a compiled kernel in {_folder} cannot be read or written ({reason[:200]}); it was "
            "discarded, and the kernel is compiled anew; `minivae doctor` looks for others",
            RuntimeWarning,
            stacklevel=2,
        )


# A process is forked when nobody compiles: in the child the compiler's lock would stay shut.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


_CONTRACT = frozenset(("contract",))


def scalar(function: Function, fastmath: Set[str] = _CONTRACT) -> Function:
    """Compile a function of numbers that other compiled functions call."""
    if INTERPRETED:
        return function
    # contract: a*b + c may be one instruction; it keeps NaN, infinity, -0 and compensated sums.
    # forceinline: a loop with a call left in it would not become vector instructions.
    options = OPTIONS | {"fastmath": set(fastmath), "no_cpython_wrapper": True}
    result: Function = njit(forceinline=True, **options)(function)
    return result


def inner(function: Function, fastmath: Set[str] = _CONTRACT) -> Function:
    """Compile a loop that other compiled functions call."""
    if INTERPRETED:
        return function
    options = OPTIONS | {"fastmath": set(fastmath), "no_cpython_wrapper": True}
    first = {"use_whole_registers": use_whole_registers}
    result: Function = njit(**options)(beginning_with("use_whole_registers()", function, **first))
    return result


def summing_inner(function: Function) -> Function:
    """Compile such a loop whose own sums may be reordered, so that they run in vector registers.

    The scalar functions that it calls keep their order: each carries its own rules.
    """
    return inner(function, _CONTRACT | {"reassoc"})


def beginning_with(lines: str, function: Function, **names: Any) -> Function:
    """Return the function with lines before its own, as if they stood in the file."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition: Any = tree.body[0]
    definition.name, definition.decorator_list = function.__name__, []
    definition.body[:0] = ast.parse(lines).body
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    closed_over = inspect.getclosurevars(function).nonlocals
    found: dict[str, Any] = {**function.__globals__, **closed_over, **names}
    exec(compile(tree, function.__code__.co_filename, "exec"), found)
    result: Function = found[function.__name__]
    return result


def instruction(types_of: Callable[..., Any]) -> Callable[[Writer], Any]:
    """Turn a function that writes machine instructions into one that compiled code can call.

    `types_of` takes the types of the arguments, and gives those of the result and the arguments.
    """

    def callable_from(write: Writer) -> Any:
        def typed(typing: Any, *kinds: Any) -> Any:
            return types_of(*kinds), write

        names = ["typing", *inspect.signature(types_of).parameters]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in names]
        vars(typed)["__signature__"] = inspect.Signature(parameters)
        return numba.extending.intrinsic(functools.update_wrapper(typed, write))

    return callable_from


# The compiler takes vectors of half a register on some processors with 64-byte registers, because
# the first of them ran slower with whole ones. This attribute of a function asks for whole ones;
# llvmlite lists only attributes that are words, so it is put in beside the list.
_WHOLE_REGISTERS = '"prefer-vector-width"="512"'


@instruction(lambda: types.void())
def use_whole_registers(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Let the loops of the function in which this stands use registers of full width."""
    set.add(builder.function.attributes, _WHOLE_REGISTERS)
    return context.get_dummy_value()


@instruction(lambda x: x(x))
def borrowed(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Return an array whose references are not counted, for its owner holds it during the call.

    Every row or slice of an array counts a reference up and down. Two threads that do so take the
    counter's cache line from each other each time, which may last longer than the row's loop.
    """
    if not isinstance(signature.return_type, types.Array):
        return values[0]
    array = context.make_array(signature.return_type)(context, builder, values[0])
    array.meminfo = context.get_constant_null(types.voidptr)
    return array._getvalue()


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


@instruction(lambda board, position: types.int64(types.int64, types.int64))
def load(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Return board[position], and see all that was written before it was stored."""
    return builder.load_atomic(_at(builder, *values), "acquire", 8)


@instruction(lambda board, position, value: types.void(types.int64, types.int64, types.int64))
def store(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Write board[position], after all that was written before."""
    board, position, value = values
    builder.store_atomic(value, _at(builder, board, position), "release", 8)
    return context.get_dummy_value()


@instruction(lambda board, position, value: types.int64(types.int64, types.int64, types.int64))
def add(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Add to board[position] in one step that no other thread can divide; return the old number."""
    board, position, value = values
    return builder.atomic_rmw("add", _at(builder, board, position), value, "acq_rel")


@instruction(lambda: types.void())
def pause(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Tell the processor that this loop only waits."""
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


@instruction(lambda: types.int64())
def clock(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Return the processor's time, in ticks that begin and last as it likes; 0 if it has none."""
    machine, kind = platform.machine().lower(), ir.FunctionType(_WORD, [])
    if machine in ("x86_64", "amd64"):
        counter = builder.module.declare_intrinsic("llvm.readcyclecounter", fnty=kind)
    elif machine in ("arm64", "aarch64"):
        counter = ir.InlineAsm(kind, "mrs $0, cntvct_el0", "=r", side_effect=True)
    else:
        return _WORD(0)
    return builder.call(counter, [])


@instruction(lambda address, a, b, c, d: types.void(*[types.int64] * 5))
def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Call the machine code at an address with four numbers, of which it may use fewer."""
    kind = ir.FunctionType(ir.VoidType(), [_WORD] * 4)
    builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
    return context.get_dummy_value()


@instruction(lambda board, position, first, second: types.int32(*[types.int64] * 4))
def call_again(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Call what `write_this_call` has written, with other first arguments; return its status."""
    board, position, first, second = values
    place = _at(builder, board, position)
    again = builder.inttoptr(builder.load(place), _AGAIN.as_pointer())
    return builder.call(again, [builder.ptrtoint(place, _WORD), first, second])


def check_convention(function: Any) -> None:
    """Refuse a Numba that hands arguments over otherwise than `write_this_call` takes for granted.

    That is nobody's promise: which versions do it is written in pyproject.toml.
    """
    found = [function.ftype.return_type, *(x.name for x in function.args[:4])]
    if found != [ir.IntType(32), "retptr", "excinfo", "arg.start", "arg.stop"]:
        raise TypeError(
            f"Numba {numba.__version__} calls functions in a way that minivae does not know; "
            "install an older one, as minivae's requirements say"
        )


@instruction(lambda board, position: types.void(types.int64, types.int64))
def write_this_call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Write to the board how to call the function in which this stands, with its arguments.

    The address at `position`, the arguments from the third on behind it.
    """
    function = builder.function
    if len(function.args) > CALL_SIZE:
        raise TypeError("too many arguments to share a kernel")
    check_convention(function)
    board, position = values
    result, error, _, _, *rest = function.args  # Numba passes places for two results
    again = ir.Function(builder.module, _AGAIN, f"{function.name}.again")
    again.linkage = "internal"
    set.add(again.attributes, _WHOLE_REGISTERS)  # the kernel may become a part of it
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
