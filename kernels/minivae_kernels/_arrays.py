"""What every wrapper does at the door: check, and bring arrays into the form the loops take.

The loops take C-contiguous arrays: Numba compiles once for each combination of dtype and layout, so
one form means one compilation for a dtype.
"""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from minivae_kernels._jit import BlockKernel

Number = TypeVar("Number", bound=np.generic)
FloatArray = npt.NDArray[np.floating[Any]]

FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))

# Elements in a block that is given to a thread, and the size from which sharing pays even where
# the processors have no cache in common.
_BLOCK = 1 << 13
WORTH_SHARING = 1 << 15


def as_float(x: FloatArray, operation: str) -> FloatArray:
    """Return x as an array of float32 or float64.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    if type(x) is np.ndarray and x.dtype in FLOATS:
        return x
    x = np.asarray(x)
    native = x.dtype.newbyteorder("=")
    if native not in FLOATS:
        raise TypeError(
            f"{operation}: arrays must be float32 or float64, not {x.dtype}; convert with .astype"
        )
    return x.astype(native, copy=False)


def as_floats(operation: str, *arrays: FloatArray) -> tuple[FloatArray, ...]:
    """Return the arrays in one dtype: float64 if any of them is, else float32."""
    dtype = getattr(arrays[0], "dtype", None)
    if dtype in FLOATS:
        for x in arrays:
            if type(x) is not np.ndarray or x.dtype is not dtype:
                break
        else:
            return arrays
    checked = [as_float(x, operation) for x in arrays]
    common = np.result_type(*checked)
    return tuple(x.astype(common, copy=False) for x in checked)


def refuse(operation: str, rule: str, **arrays: npt.NDArray[Any]) -> ValueError:
    """Return the error that names the operation, every shape and the rule."""
    shapes = ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
    return ValueError(f"{operation}: got {shapes}; {rule}")


def contiguous(x: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return x, or a copy of it if it is not C-contiguous."""
    return x if x.flags.c_contiguous else x.copy()


def line(x: FloatArray) -> FloatArray:
    """Return x in one dimension, copied only if it is not C-contiguous."""
    return x if x.ndim == 1 and x.flags.c_contiguous else x.ravel()


def blocks_of_rows(x: FloatArray) -> int:
    """Return how many rows of x a block has that is given to a thread."""
    count, size = len(x), x.size
    return count if size < WORTH_SHARING else max(1, _BLOCK * count // size)


def run_flat(loop: BlockKernel, x: FloatArray, *others: Any) -> None:
    """Run a loop over flat arrays, shared among threads if they are long."""
    loop.run(x.size, x.size if x.size < WORTH_SHARING else _BLOCK, x, *others)


def run_rows(loop: BlockKernel, by_row: FloatArray, x: FloatArray, *others: Any) -> None:
    """Run a loop over the rows of an array, in blocks that threads share if it is large."""
    loop.run(len(by_row), blocks_of_rows(by_row), x, *others)
