"""What every wrapper does at the door: check, and bring arrays into the form the loops take.

The loops take C-contiguous arrays, inputs marked read-only: Numba compiles once for each
combination of dtype, layout and that mark, so one form means one compilation for a dtype.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from minivae_kernels.threads import parallel_blocks

Number = TypeVar("Number", bound=np.generic)
FloatArray = npt.NDArray[np.floating[Any]]

_FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))

# Elements in a block that is given to a thread, and the size from which sharing pays. Measured on
# two threads in float32: at 2^18 elements handing over costs exp and Adam what it gains, at 2^19
# they take two thirds of the time.
_BLOCK = 1 << 16
_WORTH_SHARING = 1 << 19


def as_float(x: FloatArray, operation: str) -> FloatArray:
    """Return x as an array of float32 or float64.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    if type(x) is np.ndarray and x.dtype in _FLOATS:
        return x
    x = np.asarray(x)
    native = x.dtype.newbyteorder("=")
    if native not in _FLOATS:
        raise TypeError(
            f"{operation}: arrays must be float32 or float64, not {x.dtype}; convert with .astype"
        )
    return x.astype(native, copy=False)


def as_floats(operation: str, *arrays: FloatArray) -> tuple[FloatArray, ...]:
    """Return the arrays in one dtype: float64 if any of them is, else float32."""
    dtype = getattr(arrays[0], "dtype", None)
    for x in arrays:
        if type(x) is not np.ndarray or x.dtype is not dtype:
            break
    else:
        if dtype in _FLOATS:
            return arrays
    checked = [as_float(x, operation) for x in arrays]
    common = np.result_type(*checked)
    return tuple(x.astype(common, copy=False) for x in checked)


def flat(x: FloatArray) -> FloatArray:
    """Return x read-only in one dimension, copied only if it is not C-contiguous."""
    view = x.ravel()
    if view.flags.writeable:
        view.flags.writeable = False
    return view


def rows(x: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return x read-only in its own shape, copied only if it is not C-contiguous."""
    flags = x.flags
    if flags.c_contiguous:
        if not flags.writeable:
            return x
        view = x.view()
    else:
        view = x.copy()
    view.flags.writeable = False
    return view


def refuse(operation: str, rule: str, **arrays: npt.NDArray[Any]) -> ValueError:
    """Return the error that names the operation, every shape and the rule."""
    shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
    return ValueError(f"{operation}: got {shapes}; {rule}")


def run_flat(loop: Callable[..., object], *arrays: FloatArray) -> None:
    """Run a loop over flat arrays of one size, shared among threads if they are long."""
    size = arrays[0].size
    if size < _WORTH_SHARING:
        loop(*arrays)
    else:
        starts = range(0, size, _BLOCK)
        parallel_blocks(loop, [tuple(x[i : i + _BLOCK] for x in arrays) for i in starts])


def run_rows(loop: Callable[..., object], shared: tuple[Any, ...], *arrays: FloatArray) -> None:
    """Run ``loop(first, *shared, *rows)`` over arrays of equally many rows, in blocks of rows.

    `first` is the number of the block's first row; the shared arguments go to every block whole.
    """
    count = len(arrays[0])
    size = max(x.size for x in arrays)
    if size < _WORTH_SHARING:
        loop(0, *shared, *arrays)
    else:
        step = max(1, _BLOCK * count // size)
        starts = range(0, count, step)
        parallel_blocks(loop, [(i, *shared, *(x[i : i + step] for x in arrays)) for i in starts])
