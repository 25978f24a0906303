"""The functions of `sums` in plain NumPy: what they do, and what the tests compare them with."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


def mean(x: FloatArray) -> FloatArray:
    """Return the mean of the numbers of x ``(N,)``, of shape ``()``."""
    return np.asarray(x.mean(dtype=np.float64)).astype(x.dtype)


def sum_rows(x: FloatArray) -> FloatArray:
    """Return the sums along the middle axis of x ``(A, N, D)``, of shape ``(A, D)``."""
    return np.asarray(x.sum(axis=1, dtype=np.float64)).astype(x.dtype)


def cumsum_rows(x: FloatArray) -> FloatArray:
    """Return the running sums along the middle axis of x ``(A, N, D)``, of its shape."""
    return np.asarray(x.cumsum(axis=1, dtype=np.float64)).astype(x.dtype)
