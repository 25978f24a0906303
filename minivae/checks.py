"""Checks at the door: data as arrays of finite numbers, or a sentence about what is wrong.

- `check_data`: data as a contiguous array of finite numbers;
- `column_names`: what the columns of a table are called; `require_columns`: that they are the same;
- `require_values`: that no column is missing altogether;
- `as_classes`: classes as whole numbers or names;
- `as_float64`: weights and initial values;
- `refuse_masked`, `refuse_dask`: no number is taken from under a mask, or loaded in silence;
- `is_whole`, `is_real`, `require_whole`: single numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae.errors import DtypeError, ShapeError, warn
from minivae.tensor import Array, Tensor

__all__ = [
    "as_classes", "as_float64", "check_data", "column_names", "is_real", "is_whole", "n_rows",
    "refuse_dask", "refuse_masked", "require_columns", "require_values", "require_whole",
    "require_width",
]  # fmt: skip

_SHOWN_NAMES = 5
_MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")  # of pandas, Arrow, NumPy


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
    """Refuse a masked array with masked entries, because the hidden numbers would be used.

    Lists of such arrays are refused as well.

    Raises
    ------
    ValueError
        It begins with the name.
    """
    if isinstance(values, list | tuple):
        for part in values:
            refuse_masked(part, name)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} is masked in {np.sum(values.mask)} places; drop those rows, or fill the gaps"
        )


def refuse_dask(X: Any, name: str, mend: str = "") -> None:
    """Refuse a Dask collection where it would be loaded into memory as a whole.

    Raises
    ------
    DtypeError
        It begins with the name; ``mend`` is a way to do without loading it.
    """
    if hasattr(X, "__dask_graph__"):
        what = name.rpartition(": ")[2]
        raise DtypeError(
            f"{name} is a Dask {type(X).__name__}, which is not taken block by block here: hand "
            f"over {what}.compute() if memory holds it{mend}"
        )


def as_float64(values: Any, name: str) -> Array:
    """A new float64 array, or an error that says that these are not numbers.

    Raises
    ------
    ValueError
        If they are not, or are masked; it begins with the name.
    """
    refuse_masked(values, name)
    try:
        return np.array(_real(np.asarray(values), name.rpartition(": ")[2]), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of real numbers: {error}") from error


def check_data(
    X: Any,
    operation: str,
    *,
    dtype: Any,
    n_features: int | None = None,
    name: str = "X",
    missing: str | None = None,
) -> Array:
    """Data as a contiguous array of shape ``(N, D)``, or an error that says what is wrong.

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
    missing
        ``"marginalise"`` where NaN stands for a missing value, ``"refuse"`` where it might,
        ``"refit"`` where it might after another fit, None where it cannot.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        If the data are not 2-D, empty, not numbers, of another width, or not finite (the first
        such number is named).
    """
    array = _as_array(X, operation, name)
    found = f"{operation}: {name} has shape {array.shape}"
    if array.ndim != 2:
        raise ShapeError(f"{found}; it must be (N, D), one datum per row: {_mend_axes(X, array)}")
    if 0 in array.shape:
        what = "feature" if len(array) else "sample"
        raise ShapeError(  # what follows the colon are scikit-learn's words
            f"{found}; there must be at least one datum and one feature: 0 {what}(s) "
            f"(shape={array.shape}) while a minimum of 1 is required."
        )
    if n_features is not None:
        require_width(operation, array.shape, n_features, name)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f":
        _check_finite(array, numbers, operation, name, missing)
    return numbers


def require_width(
    operation: str, shape: tuple[Any, ...], fitted: int, name: str = "X"
) -> None:
    """Refuse data whose number of columns differs from that of ``fit``.

    Raises
    ------
    ShapeError
        In scikit-learn's words.
    """
    width = shape[1]
    if width != fitted:
        raise ShapeError(  # what follows the colon are scikit-learn's words
            f"{operation}: {name} has shape {shape}; it must have rows of {fitted}: {name} has "
            f"{width} features, but {operation} is expecting {fitted} features as input"
        )


def require_values(operation: str, seen: Array, weight: Array | None = None) -> None:
    """Refuse a column without any value in a row that counts, of which nothing can be learnt.

    Parameters
    ----------
    operation, weight
        What messages call the operation, and the rows' weights ``(N,)``, or None.
    seen
        Which values there are, ``(N, D)``.
    """
    there = seen if weight is None else seen[weight > 0]
    none = ~there.any(axis=0)
    if none.any():
        raise ValueError(
            f"{operation}: column {int(none.argmax())} of X has no value in any row; drop it"
        )


def n_rows(X: Any, operation: str, name: str = "X") -> int:
    """How many rows there are; this is checked before anything else.

    Raises
    ------
    ShapeError, DtypeError
        If it has no rows.
    """
    refuse_dask(X, f"{operation}: {name}")
    shape = getattr(X, "shape", None) or _as_array(X, operation, name).shape
    return int(shape[0])


def _as_array(X: Any, operation: str, name: str) -> Array:
    if isinstance(X, Tensor):
        return X.data
    refuse_dask(X, f"{operation}: {name}")
    refuse_masked(X, f"{operation}: {name}")
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ShapeError(
            f"{operation}: {name} is not an array; all its rows must have one length"
        ) from error
    _refuse_complex(array, operation, name)
    if array.dtype.kind not in "iufbO" or (array.dtype.kind == "O" and not array.ndim):
        kind = f"{array.dtype} data" if array.ndim else f"a {type(X).__name__}"
        raise DtypeError(
            f"{operation}: {name} is {kind}; it must be an array of real numbers "
            "(a sparse matrix is made one by .toarray())"
        )
    try:
        return _real(array, name)
    except TypeError as error:
        raise DtypeError(
            f"{operation}: {error}; encode words as numbers, and leave out columns that are not "
            "data"
        ) from error


def _refuse_complex(array: Array, operation: str, name: str) -> None:
    if array.dtype.kind == "c":
        raise DtypeError(
            f"{operation}: {name} is {array.dtype} data; it must be an array of real numbers: "
            "Complex data not supported"
        )


def _real(array: Array, name: str) -> Array:
    """The array, or where it holds Python objects its numbers, what is missing as NaN."""
    if array.dtype.kind in "US":
        raise TypeError(f"{name} holds words, such as {str(array.flat[0])!r}")
    if array.dtype.kind == "c":
        raise TypeError(f"{name} is {array.dtype} data")
    if array.dtype.kind != "O":
        return array
    numbers = np.empty(array.shape)
    for place, value in np.ndenumerate(array):
        if type(value).__name__ in _MISSING:
            numbers[place] = np.nan
            continue
        at = f"{name}[{', '.join(map(str, place))}]"
        if isinstance(value, str | bytes):
            raise TypeError(f"{at} is the word {value!r}, and not a number")
        try:
            numbers[place] = float(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{at} is not a number: {error}") from error
    return numbers


def _mend_axes(X: Any, array: Array) -> str:
    # "Reshape your data" are scikit-learn's words, which programs look for.
    if array.ndim == 3 and isinstance(X, list | tuple):
        return "chunks of rows must be put together, np.concatenate(X), and images flattened"
    if array.ndim > 2:
        return "images must be flattened, X.reshape(len(X), -1)"
    mend = "Reshape your data: a single datum is X[None, :], a single feature X[:, None]"
    if array.ndim == 1 and array.dtype.kind in "iub":
        return f"are these the labels? {mend}"
    return mend


def _check_finite(
    given: Array, numbers: Array, operation: str, name: str, missing: str | None
) -> None:
    # A sum tells without a temporary as large as the data; if it overflows, the rows are looked at.
    with np.errstate(all="ignore"):
        if np.isfinite(numbers.sum(dtype=np.float64)):
            return
    bad = np.isinf(numbers) if missing == "marginalise" else ~np.isfinite(numbers)
    if not bad.any():
        return
    row, column = np.argwhere(bad)[0]
    place = f"{operation}: {name}[{row}, {column}] = {given[row, column]}"
    if np.isfinite(given[row, column]):
        raise ValueError(
            f"{place} is too large for {numbers.dtype}; divide the data by their scale"
        )
    mend = "drop such rows, or fill the gaps"
    if missing in ("refuse", "refit") and np.isnan(given[row, column]):
        mend = (
            "drop such rows, fill the gaps, or, if NaN stands for a missing value, set "
            "missing='marginalise'"
        ) + (" and fit again" if missing == "refit" else "")
    raise ValueError(
        f"{place}, one of {bad.any(axis=1).sum()} rows that hold NaN or infinity; {mend}"
    )


# ---- tables ----


def column_names(X: Any, operation: str, name: str = "X") -> tuple[str, ...] | None:
    """What the columns of a table are called; None unless all of them have strings as names.

    A table is whatever has ``columns`` with names, as those of pandas and polars, or
    ``column_names``, as those of Arrow.

    Raises
    ------
    DtypeError
        If some names are strings and others are not.
    """
    names = getattr(X, "column_names", None)
    names = getattr(X, "columns", None) if names is None else names
    if names is None or callable(names) or isinstance(X, type):
        return None
    given = list(names)
    strings = sum(isinstance(column, str) for column in given)
    if 0 < strings < len(given):
        types = sorted({type(column).__qualname__ for column in given})
        raise DtypeError(
            f"{operation}: Feature names are only supported if all input features have string "
            f"names, but {name} has {types} as feature name / column name types; make strings of "
            "them all: X.columns = X.columns.astype(str)"
        )
    return tuple(map(str, given)) if strings else None


def require_columns(
    operation: str,
    names: Sequence[str] | None,
    fitted: Sequence[str] | None,
    model: str,
    name: str = "X",
) -> None:
    """Refuse columns that are not those of ``fit`` in the same order, by scikit-learn's rules.

    Raises
    ------
    ValueError
        In scikit-learn's words: names that are new, that are missing, or in another order.

    Warns
    -----
    UserWarning
        If only the data of ``fit``, or only these, have names.
    """
    if names is None or fitted is None:
        if names is not None:
            has = f"has feature names, but {model} was fitted without feature names"
        elif fitted is not None:
            has = f"does not have valid feature names, but {model} was fitted with feature names"
        else:
            return
        warn(f"{name} {has}", UserWarning)
        return
    if list(names) == list(fitted):
        return
    lines = ["The feature names should match those that were passed during fit."]
    found = [
        ("Feature names unseen at fit time:", sorted(set(names) - set(fitted))),
        ("Feature names seen at fit time, yet now missing:", sorted(set(fitted) - set(names))),
    ]
    for title, some in found:
        if some:
            lines += [title, *(f"- {column}" for column in some[:_SHOWN_NAMES])]
            lines += ["- ..."] if len(some) > _SHOWN_NAMES else []
    if len(lines) == 1:
        lines += ["Feature names must be in the same order as they were in fit."]
    raise ValueError(f"{operation}: " + "\n".join([*lines, ""]))


def as_classes(y: Any, operation: str, name: str = "y") -> Array:
    """Classes as an array of whole numbers or of names; objects become the one or the other.

    Raises
    ------
    DtypeError
        If they are neither of these, or some are missing.
    """
    if y is None:
        raise ShapeError(  # in scikit-learn's words
            f"{operation}: requires y to be passed, but the target {name} is None; it must be "
            "(N,), one class per datum"
        )
    refuse_dask(y, f"{operation}: {name}")
    refuse_masked(y, f"{operation}: {name}")
    try:
        given = np.asarray(y)
    except ValueError as error:
        raise ShapeError(f"{operation}: {name} is not an array; it must be (N,)") from error
    _refuse_complex(given, operation, name)
    if given.dtype.kind not in "OT":
        return given
    values = given.ravel().tolist()
    for i, value in enumerate(values):
        if type(value).__name__ in _MISSING or value != value:
            raise DtypeError(
                f"{operation}: {name}[{i}] is missing; leave out the rows without a class"
            )
    if all(isinstance(value, str) for value in values):
        return given.astype(str)
    if all(is_real(value) or isinstance(value, bool | np.bool_) for value in values):
        return np.array(values).reshape(given.shape)
    types = sorted({type(value).__qualname__ for value in values})
    raise DtypeError(
        f"{operation}: Unknown label type: {name} holds objects of the types {types}; classes are "
        "whole numbers or names"
    )


def classes_of_each(y: Any, operation: str, n: int) -> Array:
    """One class for each of n data, ``(n,)``: whole numbers, of any type, or names.

    Raises
    ------
    ShapeError, DtypeError
        If they are anything else.
    """
    given = as_classes(y, operation)
    if given.ndim != 1 or len(given) != n:
        raise ShapeError(
            f"{operation}: y has shape {given.shape} for {n} data; it must be ({n},), one class a "
            "datum"
        )
    if given.dtype.kind not in "biuUS" and not (
        given.dtype.kind == "f" and (np.isfinite(given) & (given == np.round(given))).all()
    ):
        raise DtypeError(
            f"{operation}: Unknown label type: y has dtype {given.dtype} and numbers that are not "
            "whole; classes are whole numbers or names"
        )
    return given
