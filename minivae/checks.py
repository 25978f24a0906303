"""Checks at the door: data as arrays of finite numbers, or a sentence about what is wrong.

- `check_data`: data as a contiguous array of finite numbers;
- `as_float64`: weights and initial values; `refuse_masked`: no number is taken from under a mask;
- `is_whole`, `is_real`, `require_whole`: single numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.errors import DtypeError, ShapeError
from minivae.tensor import Array, Tensor

__all__ = ["as_float64", "check_data", "is_real", "is_whole", "refuse_masked", "require_whole"]


def is_whole(value: Any) -> bool:
    """Whether this is a whole number; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_whole(operation: str, name: str, value: Any, least: int) -> None:
    """Refuse what is not a whole number from ``least``.

    Raises
    ------
    ValueError
        It names the operation, the argument and its value.
    """
    if not is_whole(value) or value < least:
        raise ValueError(f"{operation}: {name}={value!r} must be a whole number from {least}")


def is_real(value: Any) -> bool:
    """Whether this is a real number, NaN and the infinities among them."""
    return is_whole(value) or isinstance(value, float | np.floating)


def refuse_masked(values: Any, name: str) -> None:
    """Refuse a masked array of which something is masked: what is hidden there would be taken.

    Raises
    ------
    ValueError
        It begins with the name.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} is masked in {np.sum(values.mask)} places; drop those rows, or fill the gaps"
        )


def as_float64(values: Any, name: str) -> Array:
    """A float64 array of its own, or a sentence that these are not numbers.

    Raises
    ------
    ValueError
        If they are not, or are masked; it begins with the name.
    """
    refuse_masked(values, name)
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of real numbers: {error}") from error


def check_data(
    X: Any, operation: str, *, dtype: Any, n_features: int | None = None, name: str = "X"
) -> Array:
    """Data as a contiguous array of shape ``(N, D)``, or a word about what is wrong with them.

    Parameters
    ----------
    X
        Whatever the caller was given.
    operation, name
        What messages call the operation and its argument.
    dtype
        float32 or float64, of the result.
    n_features
        D, if it is known already.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        If the data are not 2-D, empty, not numbers, of another width, or not finite (the first
        such number is named).
    """
    array = _as_array(X, operation, name)
    found = f"{operation}: {name} has shape {array.shape}"
    if array.ndim != 2:
        raise ShapeError(f"{found}; it must be (N, D), one datum a row: {_mend_axes(X, array)}")
    if 0 in array.shape:
        raise ShapeError(f"{found}; there must be at least one datum and one feature")
    if n_features is not None and array.shape[1] != n_features:
        raise ShapeError(f"{found}; the model takes rows of {n_features}")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f":
        _check_finite(array, numbers, operation, name)
    return numbers


def _as_array(X: Any, operation: str, name: str) -> Array:
    if isinstance(X, Tensor):
        return X.data
    refuse_masked(X, f"{operation}: {name}")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ShapeError(
            f"{operation}: {name} is not an array; all its rows must have one length"
        ) from error
    if array.dtype.kind not in "iufb":
        kind = f"{array.dtype} data" if array.ndim else f"a {type(X).__name__}"
        raise DtypeError(
            f"{operation}: {name} is {kind}; it must be an array of real numbers "
            "(a sparse matrix is made one by .toarray())"
        )
    return array


def _mend_axes(X: Any, array: Array) -> str:
    if array.ndim == 3 and isinstance(X, list | tuple):
        return "chunks of rows must be put together, np.concatenate(X), and images flattened"
    if array.ndim > 2:
        return "images must be flattened, X.reshape(len(X), -1)"
    if array.ndim == 1 and array.dtype.kind in "iub":
        return "are these the labels? A single datum is X[None, :]"
    return "a single datum is X[None, :]"


def _check_finite(given: Array, numbers: Array, operation: str, name: str) -> None:
    # A sum tells without a temporary as large as the data; if it overflows, the rows are looked at.
    with np.errstate(all="ignore"):
        if np.isfinite(numbers.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(numbers)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    place = f"{operation}: {name}[{row}, {column}] = {given[row, column]}"
    if np.isfinite(given[row, column]):
        raise ValueError(
            f"{place} is too large for {numbers.dtype}; divide the data by their scale"
        )
    raise ValueError(
        f"{place}, one of {bad.any(axis=1).sum()} rows that are not finite; drop such rows, or "
        "fill the gaps"
    )
