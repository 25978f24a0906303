"""Dask arrays as data for an estimator: rows in blocks, wherever these are.

- `is_dask`, `delayed_blocks`: what a Dask array is, and its blocks of rows;
- `row_by_row`: makes a method that treats each row by itself take Dask arrays, lazily, and arrays
  on disk, by portions.

Dask is imported when a Dask array is passed, and not before.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from minivae.checks import require_width
from minivae.errors import ShapeError
from minivae.stored import counted_from, is_stored
from minivae.tensor import Array

__all__ = ["Block", "delayed_blocks", "is_dask", "mean_of_rows", "row_by_row"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

_PORTION = 2**22  # numbers of an array on disk that are looked at together


def is_dask(X: Any) -> bool:
    """Whether X is a Dask collection; this does not import Dask."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


class Block(NamedTuple):
    """A block of rows that is still to be computed."""

    rows: Any
    """Delayed, ``(n, D)``."""

    beside: list[Any]
    """The same rows of other arrays, delayed, or None."""

    n: float
    """How many rows it has; NaN if that is not known."""

    first: int | None
    """The number of its first row, if it is known."""


def delayed_blocks(X: Any, beside: dict[str, Any], operation: str) -> list[Block]:
    """The blocks of rows of a Dask array ``(N, D)``, with the same rows of other arrays.

    Parameters
    ----------
    X
        The array; its columns are put together where they are in several blocks.
    beside
        Arrays with a number for each row of X by their names, Dask's or NumPy's, or None.
    operation
        What messages call the operation.

    Raises
    ------
    TypeError, ShapeError
        If X is a frame, is not 2-D, or another array is, or has not a number for each row.
    """
    import dask.array as da

    if not isinstance(X, da.Array):
        raise TypeError(
            f"{operation}: X is a {type(X).__module__.split('.')[0]} {type(X).__name__}; it must "
            "be a dask.array: X.to_dask_array(lengths=True)"
        )
    if X.ndim != 2:
        raise ShapeError(
            f"{operation}: X has shape {X.shape}; it must be (N, D), one datum per row"
        )
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    rows = X.chunks[0]
    columns = [_in_blocks(name, a, rows, operation) for name, a in beside.items()]
    starts: list[int | None] = [None] * len(rows)
    if not any(map(math.isnan, rows)):
        starts = [int(n) for n in np.cumsum([0, *rows[:-1]])]
    parts = zip(X.to_delayed().ravel(), rows, starts, strict=True)
    return [
        Block(part, [column[i] for column in columns], n, first)
        for i, (part, n, first) in enumerate(parts)
    ]


def _in_blocks(name: str, array: Any, rows: tuple[float, ...], operation: str) -> list[Any]:
    """The blocks of an array that lies beside X, or so many None."""
    import dask.array as da

    if array is None:
        return [None] * len(rows)
    unknown = any(map(math.isnan, rows))
    n = "an unknown number of" if unknown else int(sum(rows))
    if is_dask(array) and not isinstance(array, da.Array):
        kind = f"{type(array).__module__.split('.')[0]} {type(array).__name__}"
        raise TypeError(
            f"{operation}: {name} is a {kind}; it must be an array: "
            f"{name}.to_dask_array(lengths=True)"
        )
    if is_dask(array) and not unknown and array.ndim and math.isnan(array.shape[0]):
        raise ShapeError(
            f"{operation}: {name} has blocks of unknown length, and X has not; call "
            f"{name}.compute_chunk_sizes() first"
        )
    if not is_dask(array):
        array = np.asarray(array)
        if unknown:
            raise ShapeError(
                f"{operation}: X has blocks of unknown length, and {name} is not a Dask array; "
                "call X.compute_chunk_sizes() first"
            )
        fits = array.ndim == 1 and len(array) == n
        array = da.from_array(array, chunks=(rows,)) if fits else array
    else:
        as_long = array.ndim and (array.numblocks[0] == len(rows) if unknown else len(array) == n)
        fits = as_long and array.ndim == 1
        if fits and not unknown:
            array = array.rechunk({0: rows})
    if not fits:
        raise ShapeError(
            f"{operation}: {name} has shape {array.shape}, and X has {n} rows in {len(rows)} "
            "blocks; there must be one number for each"
        )
    return list(array.to_delayed().ravel())


def row_by_row(
    *,
    fitted: str,
    columns: Callable[[Any], int] | None = None,
    dtype: Callable[[Any], Any] | None = lambda model: np.float64,
    stored: bool = False,
    numbered: bool = False,
) -> Callable[[_Method], _Method]:
    """A decorator of methods ``(self, X, ...)`` that give a number, or a row, for each row of X.

    Of a Dask array they return a lazy one with the same blocks, computed by a copy of the model as
    it is now, and a row gets what it would get in memory.

    Parameters
    ----------
    fitted
        The attribute without which the model is not fitted.
    columns
        How many numbers there are for each row, of a model; None for a single one.
    dtype
        Of the result, of a model; None for that of X as floats.
    stored
        Whether arrays on disk are to be looked at by portions here.
    numbered
        Whether a row's noise depends on its number, which a model finds in its ``_first_row``.
    """

    def decorate(method: _Method) -> _Method:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def whatever(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
            if is_dask(X):
                arguments = signature.bind(self, X, *args, **kwargs).arguments
                operation = arguments.get("operation", method.__name__)
                self._require_fitted(operation, fitted)
                width = None if columns is None else columns(self)
                of = np.float32 if X.dtype == np.float32 else np.float64
                kind = np.dtype(of if dtype is None else dtype(self))
                name = method.__name__
                return _lazily(self, name, operation, arguments, width, kind, numbered)
            if stored and _comes_in_portions(X):
                return _by_portions(self, method.__name__, X, args, kwargs)
            return method(self, X, *args, **kwargs)

        return cast(_Method, whatever)

    return decorate


def mean_of_rows(model: Any, method: str, X: Any, *args: Any) -> float:
    """The mean of what a method says of each row, without a number for each if they are on disk."""
    if not _comes_in_portions(X):
        return float(getattr(model, method)(X, *args).mean())
    return float(sum(part.sum() for _, part in _portions(model, method, X, args, {})) / X.shape[0])


def _comes_in_portions(X: Any) -> bool:
    return is_stored(X) and len(X.shape) == 2 and 0 not in X.shape


def _portions(
    model: Any, method: str, X: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[tuple[int, Array]]:
    """What the method says of some rows on disk at a time, and the number of the first."""
    step = max(1, _PORTION // X.shape[1])
    for i in range(0, X.shape[0], step):
        yield i, _of_block(method, model, np.asarray(X[i : i + step]), i, *args, **kwargs)


def _by_portions(
    model: Any, method: str, X: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Array:
    """What the method says of rows on disk, into one array of that size and no second."""
    out = np.empty(0)
    for i, part in _portions(model, method, X, args, kwargs):
        if not i:
            out = np.empty((X.shape[0], *part.shape[1:]), part.dtype)
        out[i : i + len(part)] = part
    return out


def _lazily(
    model: Any, method: str, operation: str, given: dict[str, Any], width: int | None, dtype: Any,
    numbered: bool,
) -> Any:
    import dask
    import dask.array as da

    names = list(given)[2:]
    refused = [name for name in ("eps", "return_ess") if given.get(name) not in (None, False)]
    if refused:
        raise ValueError(f"{operation}: {refused[0]} does not go with a Dask array")
    X = given[list(given)[1]]
    if getattr(X, "ndim", 0) == 2:
        require_width(operation, X.shape, model.n_features_in_)
    others = {name: given[name] for name in names}
    held = dask.delayed(copy.deepcopy(model), pure=False)
    of_block, after = (dask.delayed(f, pure=False) for f in (_of_block, _after))
    parts: list[Any] = []
    first: Any = 0
    for block in delayed_blocks(X, {}, operation):
        shape = (block.n,) if width is None else (block.n, width)
        if not numbered or block.first is not None:
            first = block.first
        out = of_block(
            method, held, block.rows, first, dtype=dtype, like=shape[1:], numbered=numbered,
            **others,
        )  # fmt: skip
        if numbered and block.first is None:  # only the blocks before tell
            first = after(first, block.rows)
        parts.append(da.from_delayed(out, shape, dtype))
    return da.concatenate(parts, allow_unknown_chunksizes=True)


def _of_block(
    method: str, model: Any, X: Array, first: int | None, *args: Any, dtype: Any = None,
    like: tuple[int, ...] = (), numbered: bool = False, **kwargs: Any,
) -> Array:
    """What the method says of some rows, in the words for rows of all of X."""
    if not len(X):  # of a filter that left none
        return np.empty((0, *like), dtype)
    if numbered:
        model = copy.copy(model)  # that of other blocks is another's
        model._first_row = first
    with counted_from(first or 0):
        return np.asarray(getattr(model, method)(X, *args, **kwargs), dtype)


def _after(first: int, rows: Array) -> int:
    """The number of the row after these."""
    return first + len(rows)
