"""Picking rows of a data set, as a minibatch does."""

import numpy as np
import numpy.typing as npt

from minivae_kernels._arrays import FloatArray, as_float, blocks_of_rows, contiguous, refuse
from minivae_kernels._jit import block_kernel


def take_rows(
    X: FloatArray, index: npt.NDArray[np.int64], out: FloatArray | None = None
) -> FloatArray:
    """Return the rows of X that index names, ``(B, D)``, in a new array or in `out`.

    Parameters
    ----------
    X
        Shape ``(N, D)``.
    index
        Row numbers from 0 to N - 1, int64, shape ``(B,)``; a row may be named more than once.
    out
        Shape ``(B, D)`` and X's dtype, C-contiguous; X must not lie there, too.

    Raises
    ------
    IndexError
        If a row number is out of bounds; negative ones are.
    TypeError, ValueError
        If X is not float32 or float64 or index not int64, they have other shapes, or `out` is not
        as above; nothing is written then.
    """
    X = as_float(X, "take_rows")
    if not isinstance(index, np.ndarray) or index.dtype != np.int64:
        kind = getattr(index, "dtype", type(index).__name__)
        raise TypeError(f"take_rows: index must be an int64 array, not {kind}; use .astype")
    if X.ndim != 2 or index.ndim != 1:
        raise refuse("take_rows", "X must have two axes and index one", X=X, index=index)
    shape = (len(index), X.shape[1])
    if out is None:
        out = np.empty(shape, X.dtype)
    elif (
        not isinstance(out, np.ndarray)
        or (out.shape, out.dtype) != (shape, X.dtype)
        or (not out.flags.carray)
    ):
        rule = f"out must be a C-contiguous array of {X.dtype} with a row for each index"
        raise refuse("take_rows", rule, X=X, index=index, out=np.asarray(out))
    bad = np.array((-1,))
    _take.run(len(index), blocks_of_rows(out), contiguous(X), contiguous(index), out, bad)
    if bad[0] >= 0:
        rows = f"the rows of X {X.shape} are numbered from 0 to {len(X) - 1}"
        rows = rows if len(X) else f"X {X.shape} has no rows"
        raise IndexError(f"take_rows: index[{bad[0]}] is {index[bad[0]]}, but {rows}")
    return out


@block_kernel
def _take(
    start: int, stop: int, X: FloatArray, index: npt.NDArray[np.int64], out: FloatArray,
    bad: npt.NDArray[np.int64],
) -> None:  # fmt: skip
    """Copy the rows; leave in `bad` the position of an index out of bounds."""
    for b in range(start, stop):
        i = index[b]
        if i < 0 or i >= X.shape[0]:
            bad[0] = b
            return
        source, to = X[i], out[b]
        for d in range(source.size):
            to[d] = source[d]
