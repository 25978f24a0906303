"""The rows that a mixture is fitted to: in memory, on disk or in chunks, with weights and labels.

- `Data`: goes through the rows piece by piece, as often as EM asks;
- `as_rows`: an array of data at the door, float32 kept and everything else float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minivae.checks import as_classes, as_float64, check_data, column_names
from minivae.errors import ShapeError
from minivae.models.mixture.missing import Pattern, patterns_of
from minivae.reading import shown
from minivae.stored import counted_from, is_stored
from minivae.tensor import Array, Tensor

__all__ = ["Data", "Piece", "as_rows", "joined", "largest", "most_sampled", "select"]

Labels = npt.NDArray[np.int64]

_NUMBERS = 2**22  # in a piece of an array: what is checked or converted at once
_SAMPLED, _FEWEST = 2**24, 2**12  # numbers, and rows, of data elsewhere for a start
LARGEST = 1e150  # its square is finite


class Piece(NamedTuple):
    """Some rows, C-contiguous, with what belongs to them."""

    X: Array
    weight: Array | None
    labels: Labels | None
    patterns: list[Pattern] | None = None
    """The rows by what they miss; None if nothing is missing."""


def as_rows(
    X: Any,
    operation: str,
    n_features: int | None = None,
    name: str = "X",
    missing: str | None = None,
) -> Array:
    """Finite data of shape ``(N, D)``, in float32 if that is what they are, else in float64.

    With ``missing="marginalise"`` NaN stands for what is missing.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        If they are not that; the first offending row is named.
    """
    given = getattr(X, "dtype", None)
    dtype = np.float32 if given == np.float32 else np.float64
    rows = check_data(
        X, operation, dtype=dtype, n_features=n_features, name=name, missing=missing
    )
    if dtype is np.float64 and largest(rows) > LARGEST:
        row, column = np.argwhere(np.abs(rows) > LARGEST)[0]
        raise ValueError(
            f"{operation}: {name}[{row}, {column}] = {rows[row, column]} is too large: its square "
            "is not a number of float64; divide the data by their scale"
        )
    return rows


def largest(rows: Array) -> float:
    """The largest absolute value of those that are not missing."""
    high, low = rows.max(), rows.min()
    if np.isnan(high):
        high, low = np.fmax.reduce(rows, axis=None), np.fmin.reduce(rows, axis=None)
    return float(max(high, -low))


class Data:
    """Rows that can be gone through as often as EM asks, by ``for piece in data``.

    Parameters
    ----------
    operation
        What messages call the operation.
    X
        An array, one on disk that is read piece by piece (``numpy.memmap``, HDF5, Zarr), or an
        iterable of arrays that can be iterated again, all ``(n, D)``.
    sample_weight
        w_n, not negative, of shape ``(N,)``; None for 1.
    labels
        The components of the rows where they are known, -1 where not, ``(N,)``; None for unknown.
    K
        The number of components, for checking labels.
    missing
        ``"marginalise"`` if NaN stands for a missing value, else it is refused.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        If the rows, the weights or the labels are not what they must be.
    """

    column_names: tuple[str, ...] | None = None

    def __init__(
        self,
        operation: str,
        X: Any,
        *,
        sample_weight: Any = None,
        labels: Any = None,
        K: int = 1,
        missing: str = "refuse",
    ) -> None:
        self.operation, self.column_names = operation, column_names(X, operation)
        self.missing = missing
        self._patterns: dict[int, list[Pattern] | None] = {}  # of the parts of an array in memory
        self._chunks: Iterable[Any] | None = _chunks(X, operation)
        self._array: Any = None
        self._ends: list[int] = []  # of the chunks
        if self._chunks is not None:
            self.n_rows, self.n_features = self._count_rows()
        elif is_stored(X) and len(X.shape) == 2 and X.dtype.kind in "iuf" and 0 not in X.shape:
            self._array = X
            self.n_rows, self.n_features = X.shape
            for start, part in self._parts(X):
                with counted_from(start):
                    as_rows(np.asarray(part), operation, missing=missing)
        else:
            self._array = as_rows(X, operation, missing=missing)
            self.n_rows, self.n_features = self._array.shape
        self._weight = self._check_weight(sample_weight)
        self._labels = self._check_labels(labels, K)
        self.has_labels = self._labels is not None
        self.total_weight = float(self.n_rows)
        if self._weight is not None:  # block by block, as its sums are
            parts = np.split(self._weight, self._ends[:-1])
            self.total_weight = float(sum(part.sum() for part in parts))
        self.n_weighted = self.n_rows if self._weight is None else int((self._weight > 0).sum())

    def __iter__(self) -> Iterator[Piece]:
        if self._array is not None:
            for start, part in self._parts(self._array):
                if isinstance(part, np.memmap) or not isinstance(self._array, np.ndarray):
                    dtype = np.float32 if part.dtype == np.float32 else np.float64
                    part = np.ascontiguousarray(part, dtype=dtype).view(np.ndarray)
                yield self._piece(start, part)
            return
        start = 0
        for start, chunk in self._checked_chunks():
            if start + len(chunk) > self.n_rows:
                break
            yield self._piece(start, chunk)
            start += len(chunk)
        else:
            if start == self.n_rows:
                return
        raise ValueError(
            f"{self.operation}: the chunks gave {self.n_rows} rows at first and another number "
            "when gone through again; X must give the same rows each time"
        )

    def map(self, function: Callable[[Piece], Any]) -> Iterator[Any]:
        """function(piece) of each piece, in their order."""
        return map(function, self)

    def has_gaps(self) -> bool:
        """Whether a value is missing."""
        return self.missing == "marginalise" and any(self.map(_has_gaps))

    def as_one_piece(self) -> Piece:
        """All rows of an array in memory."""
        return self._piece(0, self._array)

    def _piece(self, start: int, X: Array) -> Piece:
        part = slice(start, start + len(X))
        return Piece(
            X,
            None if self._weight is None else self._weight[part],
            None if self._labels is None else self._labels[part],
            self._patterns_of(start, X) if self.missing == "marginalise" else None,
        )

    def _patterns_of(self, start: int, X: Array) -> list[Pattern] | None:
        if not isinstance(self._array, np.ndarray) or isinstance(self._array, np.memmap):
            return patterns_of(X)
        if start not in self._patterns:
            self._patterns[start] = patterns_of(X)
        return self._patterns[start]

    def _parts(self, X: Array) -> Iterator[tuple[int, Array]]:
        step = max(1, _NUMBERS // X.shape[1])
        return ((start, X[start : start + step]) for start in range(0, X.shape[0], step))

    def _checked_chunks(self) -> Iterator[tuple[int, Array]]:
        start, width = 0, getattr(self, "n_features", 0)
        for i, chunk in enumerate(self._chunks or ()):
            rows = as_rows(chunk, self.operation, name=f"chunk {i}", missing=self.missing)
            names = column_names(chunk, self.operation, f"chunk {i}")
            if not width:
                self.column_names = names
            elif names != self.column_names:
                raise ValueError(
                    f"{self.operation}: the columns of chunk {i} are {_called(names)}, and those "
                    f"of the first chunk {_called(self.column_names)}; all chunks must have the "
                    "same columns in the same order"
                )
            width = width or rows.shape[1]
            if rows.shape[1] != width:
                raise ShapeError(
                    f"{self.operation}: chunk {i} has shape {rows.shape}; all chunks must have "
                    f"{width} columns, as the first has"
                )
            yield start, rows
            start += len(rows)

    def _count_rows(self) -> tuple[int, int]:
        count, width = 0, 0
        for start, rows in self._checked_chunks():
            count, width = start + len(rows), rows.shape[1]
            self._ends.append(count)
        if not count:
            raise ShapeError(f"{self.operation}: X gave no chunks; it must give at least one")
        return count, width

    def _check_weight(self, sample_weight: Any) -> Array | None:
        if sample_weight is None:
            return None
        name = f"{self.operation}: sample_weight"
        weight = as_float64(sample_weight, name)
        if weight.shape != (self.n_rows,):
            raise ShapeError(f"{name} has shape {weight.shape}; it must be ({self.n_rows},)")
        bad = ~(np.isfinite(weight) & (weight >= 0))
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(f"{name}[{row}] = {weight[row]}; it must be a finite number from 0")
        if not weight.any():
            raise ValueError(f"{name} is 0 for all {self.n_rows} rows; some must not be zero")
        with np.errstate(over="ignore"):
            total = weight.sum()
        if not np.isfinite(total):
            raise ValueError(f"{name} adds up to infinity; divide the weights by their largest")
        if weight.max() < np.finfo(np.float64).tiny:
            raise ValueError(
                f"{name} is {weight.max()} at most, of which float64 keeps too few digits; divide "
                "the weights by their largest"
            )
        return np.ascontiguousarray(weight)

    def _check_labels(self, labels: Any, K: int) -> Labels | None:
        if labels is None:
            return None
        name = f"{self.operation}: labels"
        given = as_classes(labels, self.operation, "labels")
        if given.shape != (self.n_rows,):
            raise ShapeError(f"{name} have shape {given.shape}; they must be ({self.n_rows},)")
        with np.errstate(invalid="ignore"):
            whole = given.astype(np.int64) if given.dtype.kind in "iufb" else None
        if whole is None or (whole != given).any():
            raise ValueError(f"{name} must be whole numbers: -1 (unknown) or a component's number")
        bad = (whole < -1) | (whole >= K)
        if bad.any():
            row = int(bad.argmax())
            raise ValueError(
                f"{name}[{row}] = {whole[row]} is out of range: -1 (unknown), or from 0 to {K - 1}"
            )
        return np.ascontiguousarray(whole)

    # ---- for the initialisation ----

    def sample(self, limit: int, rng: np.random.Generator) -> Piece:
        """All rows if there are no more than `limit`, else so many of those that have a weight.

        Of data that are not one array in memory, no more than 2^24 numbers.
        """
        if not isinstance(self._array, np.ndarray) or isinstance(self._array, np.memmap):
            limit = most_sampled(limit, self.n_features)
        if self.n_rows <= limit:
            return joined(list(self))
        counted: int | Labels = self.n_rows
        if self._weight is not None and self.n_weighted < self.n_rows:
            counted = np.flatnonzero(self._weight)
        size = min(limit, self.n_weighted)
        chosen = np.sort(rng.choice(counted, size, replace=False, shuffle=False))
        picked, start = [], 0
        for piece in self:
            first, last = np.searchsorted(chosen, [start, start + len(piece.X)])
            index = chosen[first:last] - start
            picked.append(select(piece, index))
            start += len(piece.X)
        return joined(picked)

    def labelled_means(self, K: int) -> tuple[Labels, Array]:
        """The components that have labelled rows, and the means of those rows."""
        counts, means = np.zeros(K), np.zeros((K, self.n_features))
        if not self.has_labels:
            return np.empty(0, np.int64), means[:0]
        for n, m in self.map(partial(_labelled_means, K=K)):  # the running mean: no large sums
            counts += n
            means += (n / np.where(counts > 0, counts, 1))[:, None] * (m - means)
        known = np.flatnonzero(counts)
        return known, means[known]


def _has_gaps(piece: Piece) -> bool:
    return piece.patterns is not None


def _labelled_means(piece: Piece, K: int) -> tuple[Array, Array]:
    """How much weight the labelled rows of each component have, ``(K,)``, and their means."""
    counts, means = np.zeros(K), np.zeros((K, piece.X.shape[1]))
    for k in range(K):
        mine = select(piece, np.flatnonzero(piece.labels == k))
        w = np.ones(len(mine.X)) if mine.weight is None else mine.weight
        counts[k] = w.sum()
        if counts[k] > 0:
            about = mine.X[0].astype(np.float64)
            means[k] = about + w @ (mine.X - about) / counts[k]
    return counts, means


def _called(names: tuple[str, ...] | None) -> str:
    return "without names" if names is None else shown(list(names))


def most_sampled(limit: int, D: int) -> int:
    """The most rows that a start is found on, if the data are not one array in memory."""
    return min(limit, max(_FEWEST, _SAMPLED // D))


def select(piece: Piece, index: Labels) -> Piece:
    """Some rows of a piece, by their numbers."""
    X, weight, labels, _ = piece
    return Piece(
        X[index],
        None if weight is None else weight[index],
        None if labels is None else labels[index],
    )


def joined(pieces: list[Piece]) -> Piece:
    """Several pieces as one; one stays itself."""
    if len(pieces) == 1:
        return pieces[0]
    weights = [p.weight for p in pieces if p.weight is not None]
    labels = [p.labels for p in pieces if p.labels is not None]
    return Piece(
        np.concatenate([p.X for p in pieces]),
        np.concatenate(weights) if weights else None,
        np.concatenate(labels) if labels else None,
    )


def _chunks(X: Any, operation: str) -> Iterable[Any] | None:
    """X if it gives arrays when iterated, None if it is data itself."""
    if isinstance(X, Iterator):
        raise ValueError(
            f"{operation}: X is a {type(X).__name__}, which can be gone through only once, and EM "
            "goes through the data in each iteration; hand over a list of arrays, or an object "
            "whose __iter__ begins afresh each time"
        )
    if isinstance(X, list | tuple):
        return X if X and len(getattr(X[0], "shape", ())) == 2 else None
    is_data = isinstance(X, str | bytes | dict | Tensor) or any(
        hasattr(X, name) for name in ("__array__", "__array_interface__", "toarray", "__dlpack__")
    )
    return X if isinstance(X, Iterable) and not is_data else None
