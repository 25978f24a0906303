"""How the loops are compiled: one decorator for kernels, one for the functions they call."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

_INTERPRETED = bool(vars(numba.config)["DISABLE_JIT"])  # NUMBA_DISABLE_JIT=1: for a debugger

# nogil: another Python thread may run meanwhile. error_model: 1/0 is inf, as in NumPy.
# contract: a*b + c may be one instruction; it keeps NaN, infinity, -0 and compensated sums.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(function: Function) -> Function:
    """Compile a loop that Python calls, keeping the machine code on disk where that is possible."""
    return _compile(function, {"contract"})


def summing_kernel(function: Function) -> Function:
    """Compile a loop whose own sums may be reordered, so that they run in vector registers.

    The scalar functions that it calls keep their order: each carries its own rules.
    """
    return _compile(function, {"contract", "reassoc"})


def scalar(function: Function) -> Function:
    """Compile a function of numbers that kernels in the same file call.

    In the same file, because the cache on disk does not see changes in another one.
    """
    if _INTERPRETED:
        return function
    # forceinline: a loop with a call left in it would not become vector instructions.
    options = _OPTIONS | {"fastmath": {"contract"}, "no_cpython_wrapper": True}
    compiled: Function = numba.njit(forceinline=True, **options)(function)
    return compiled


def _compile(function: Function, fastmath: set[str]) -> Function:
    if _INTERPRETED:
        # Compiled code overflows to infinity without a word, so the interpreted code does too.
        silent: Function = np.errstate(all="ignore")(function)
        return silent
    options = _OPTIONS | {"fastmath": fastmath}
    compiled: Function
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache can be written to
        compiled = numba.njit(**options)(function)
    return compiled
