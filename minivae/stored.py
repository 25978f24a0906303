"""Rows that stay on disk: read in blocks, checked as they are read, trained on in a stated order.

- `StoredRows`: an array that is sliced and not held, as rows of floats;
- `is_stored`, `data_at_door`: which arrays those are, and data of either kind, checked;
- `shuffled`: the order of an epoch, which reads blocks ahead where the rows are on disk.

The order of rows on disk: blocks of about a megabyte are shuffled, `POOL` of them at a time are in
memory, and the rows of these are shuffled among themselves, Eq. LARGE.2. Data of one pool come in
the very order in which the same array in memory would.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

import minivae_kernels as kernels
from minivae.checks import check_data, refuse_dask, require_values, require_width
from minivae.errors import DtypeError, ShapeError
from minivae.tensor import Array, Tensor

__all__ = [
    "BLOCK_BYTES", "POOL", "ShuffledBlocks", "StoredRows", "at_most", "counted_from",
    "data_at_door", "is_stored", "shuffled",
]  # fmt: skip

BLOCK_BYTES = 2**20  # about the size of a block
POOL = 64  # blocks in memory whose rows are shuffled together
_LARGEST_POOL = 2**26  # bytes, where a file's own chunks are larger than a block
_AT_ONCE = 2**22  # numbers that are checked at once

_IN_MEMORY = (
    "__array_interface__", "__cuda_array_interface__", "__dlpack__", "__dask_graph__", "toarray",
    "iloc",
)  # fmt: skip
"""What arrays have that are held in memory, or are of a kind of their own."""


def is_stored(X: Any) -> bool:
    """Whether X stays on disk and is read in slices: a memmap, an HDF5 or a Zarr array."""
    if isinstance(X, np.ndarray):
        mapped = isinstance(X, np.memmap) and getattr(X, "_mmap", None) is not None
        return mapped and X.ndim > 1
    if isinstance(X, StoredRows):
        return True
    shape, dtype = getattr(X, "shape", None), getattr(X, "dtype", None)
    return (
        isinstance(shape, tuple)
        and len(shape) > 1
        and isinstance(dtype, np.dtype)
        and hasattr(X, "__getitem__")
        and not isinstance(X, Tensor)
        and not any(hasattr(X, name) for name in _IN_MEMORY)
    )


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Number the rows in a refusal of a block of X by their places in all of X."""
    try:
        yield
    except (ValueError, TypeError) as error:
        moved = re.sub(
            r"\b(X|sample_weight|labels)\[(\d+)",
            lambda row: f"{row[1]}[{int(row[2]) + first}",
            str(error),
        )
        raise type(error)(moved) from None


class StoredRows:
    """Rows of floats ``(N, D)`` that are read from an array on disk when they are asked for.

    An estimator wraps a ``numpy.memmap``, an HDF5 or a Zarr array in one by itself. You make one
    by hand for images with more than two axes, which become rows, and for whole numbers that are
    to be divided batch by batch, such as pixels by 255.

    Parameters
    ----------
    source
        Anything with ``shape``, ``dtype`` and slices of rows as arrays, ``(N, D)`` or
        ``(N, H, W)``.
    scale
        What the numbers are divided by; None leaves them.

    Raises
    ------
    ShapeError, DtypeError
        If it has no rows or no columns, or holds no real numbers.
    """

    ndim = 2

    def __init__(self, source: Any, scale: float | None = None) -> None:
        found = f"StoredRows: the array has shape {source.shape}"
        if len(source.shape) < 2 or 0 in source.shape:
            raise ShapeError(f"{found}; it must be (N, D), or images (N, H, W)")
        if source.dtype.kind not in "iufb":
            raise DtypeError(f"{found} and dtype {source.dtype}; it must hold real numbers")
        self.source: Any = source
        self.scale = scale
        self.dtype = np.dtype(np.float64 if source.dtype == np.float64 else np.float32)
        self.shape: tuple[int, int] = (int(source.shape[0]), math.prod(source.shape[1:]))
        self._selected: Array | None = None
        self._check: Callable[[Array], object] | None = None
        self._missing: str | None = None
        self._operation = "StoredRows"
        self._draw: Callable[[], Any] | None = None
        self._taken: Callable[[Array, Any], Array] | None = None
        self._pools: _Pools | None = None

    def __len__(self) -> int:
        return self.shape[0]

    # ---- views ----

    def at_door(
        self,
        operation: str,
        dtype: Any,
        check: Callable[[Array], object] | None = None,
        missing: str | None = None,
    ) -> Self:
        """The same rows in another dtype; each slice is checked when it is read."""
        view = copy.copy(self)
        view._missing = missing
        view.dtype, view._check, view._operation = np.dtype(dtype), check, operation
        return view

    def divided(self, scale: float | None) -> Self:
        """The same rows, divided by another number."""
        view = copy.copy(self)
        view.scale = scale
        return view

    def select(self, rows: Any) -> Self:
        """The rows that a slice or an array of rising numbers names; nothing is read."""
        if isinstance(rows, slice) and rows == slice(None):
            return self
        view = copy.copy(self)
        mine = np.arange(len(self)) if self._selected is None else self._selected
        view._selected = mine[rows]
        view.shape, view._pools = (len(view._selected), self.shape[1]), None
        return view

    def taken(self, take: Callable[[Array, Any], Array], draw: Callable[[], Any]) -> Self:
        """The rows as ``take(rows, rng)`` makes them; ``draw()`` is the rng of rows from 0 on."""
        view = copy.copy(self)
        view._taken, view._draw, view._rng = take, draw, draw()
        return view

    # ---- reading ----

    def read(self, start: int, stop: int) -> Array:
        """Rows ``(stop - start, D)`` as they are stored, without scaling."""
        if self._selected is None:
            part = np.asarray(self.source[start:stop])
        elif start == stop:
            part = np.empty((0, self.shape[1]), self.source.dtype)
        else:
            mine = self._selected[start:stop]
            part = np.asarray(self.source[int(mine[0]) : int(mine[-1]) + 1])[mine - mine[0]]
        if len(part) != stop - start:
            raise ShapeError(
                f"{self._operation}: X gave {len(part)} rows where {stop - start} were asked for, "
                f"from row {start} on; it must not change while it is read"
            )
        return part.reshape(stop - start, self.shape[1])

    def __getitem__(self, rows: Any) -> Array:
        """Some rows, cast and divided: a slice, which is checked, or an array of their numbers."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._checked_rows(start, max(start, stop))
            rows = np.arange(start, stop, step)
        raw = self.as_stored(rows) if self._pools is None else self._pools[rows]
        return self._as_taken(self._cast(raw))

    def _checked_rows(self, start: int, stop: int) -> Array:
        raw = self.read(start, stop)
        if self._check is None or not len(raw):
            rows = self._cast(raw)
        else:
            with counted_from(start):
                given = raw if self.scale is None else self._cast(raw)
                rows = check_data(
                    given, self._operation, dtype=self.dtype, missing=self._missing
                )
                self._check(rows)
        if start == 0 and self._draw is not None:
            self._rng = self._draw()
        return self._as_taken(rows)

    def as_stored(self, rows: Any) -> Array:
        """The rows of some numbers as they are stored, read block by block."""
        rows, B = np.asarray(rows, np.int64), self.block_rows
        order = np.argsort(rows, kind="stable")
        out = np.empty((len(rows), self.shape[1]), self.source.dtype)
        places = rows[order]
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(places // B)) + 1):
            if len(part):
                first, last = int(places[part[0]]), int(places[part[-1]])
                out[order[part]] = self.read(first, last + 1)[places[part] - first]
        return out

    def _cast(self, raw: Array) -> Array:
        with np.errstate(over="ignore"):
            if self.scale is None:
                return np.ascontiguousarray(raw, dtype=self.dtype).view(np.ndarray)
            scale = self.dtype.type(self.scale)  # cast and divided in one pass
            rows: Array = np.divide(raw, scale, dtype=self.dtype, casting="unsafe", order="C")
        return rows

    def _as_taken(self, rows: Array) -> Array:
        return rows if self._taken is None else self._taken(rows, self._rng)

    def check(self) -> None:
        """Read all rows once, and refuse the first that breaks a rule.

        Where values may be missing, a column that has none breaks one, too.
        """
        step, seen = max(1, _AT_ONCE // self.shape[1]), np.zeros((1, self.shape[1]), bool)
        for start in range(0, len(self), step):
            rows = self[start : start + step]
            if not seen.all():
                seen |= ~np.isnan(rows).all(axis=0)
        require_values(self._operation, seen)

    def sample(self, limit: int, rng: np.random.Generator) -> Array:
        """All rows, or `limit` of them drawn at random."""
        return self[at_most(len(self), limit, rng)]

    # ---- the order of an epoch ----

    @property
    def block_rows(self) -> int:
        """How many rows a block has: whole chunks of a file that has chunks, about a megabyte."""
        row = self.shape[1] * int(self.source.dtype.itemsize)
        rows = max(1, BLOCK_BYTES // row)
        chunks = getattr(self.source, "chunks", None)
        chunk = chunks[0] if isinstance(chunks, tuple) and chunks else 0
        if isinstance(chunk, int) and 0 < chunk * row <= _LARGEST_POOL:
            rows = chunk * max(1, rows // chunk)
        return min(rows, len(self))

    def pool_blocks(self, batch_size: int) -> int:
        """How many blocks are in memory together; they hold at least one batch."""
        size = self.block_rows * self.shape[1] * int(self.source.dtype.itemsize)
        most = max(1, min(POOL, _LARGEST_POOL // size))
        return max(most, -(-batch_size // self.block_rows))


def at_most(n: int, limit: int, rng: np.random.Generator) -> Any:
    """All of n rows, or the numbers of so many drawn at random, in order."""
    if n <= limit:
        return slice(None)
    return np.sort(rng.choice(n, limit, replace=False, shuffle=False))


def data_at_door(
    X: Any,
    operation: str,
    *,
    dtype: Any,
    n_features: int | None = None,
    check: Callable[[Array], object],
    missing: str | None = None,
) -> Array | StoredRows:
    """Data of shape ``(N, D)``, checked: at once in memory, and on disk as they are read.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        As ``minivae.checks.check_data`` does, and what ``check`` of rows raises.
    """
    if not is_stored(X):
        to_file = ", else a file of it (X.to_zarr, da.to_hdf5), which is read in blocks"
        refuse_dask(X, f"{operation}: X", to_file)
        data = check_data(X, operation, dtype=dtype, n_features=n_features, missing=missing)
        check(data)
        return data
    if not isinstance(X, StoredRows):
        if len(X.shape) > 2:
            raise ShapeError(
                f"{operation}: X has shape {X.shape}; it must be (N, D), one datum per row: "
                "minivae.datasets.StoredRows(X) reads images as rows"
            )
        if X.dtype.kind not in "iufb" or 0 in X.shape:  # in the words for data in memory
            like = X.shape if 0 in X.shape else (1, 1)
            check_data(np.empty(like, X.dtype), operation, dtype=dtype)
        X = StoredRows(X)
    if n_features is not None:
        require_width(operation, X.shape, n_features)
    rows: StoredRows = X
    return rows.at_door(operation, dtype, check, missing)


def shuffled(
    data: Sequence[Any], order: np.random.Generator, batch_size: int
) -> Array | ShuffledBlocks:
    """The numbers of the rows in an epoch's order, to be sliced from the front to the end.

    Eq. LARGE.2 where the first array is on disk, else any order is as likely as any other.
    """
    if isinstance(data[0], StoredRows):
        return ShuffledBlocks(data[0], order, batch_size)
    return order.permutation(len(data[0]))


class ShuffledBlocks:
    """An epoch's order of rows on disk, Eq. LARGE.2, and the reader that keeps ahead of it.

    Parameters
    ----------
    rows
        What is read; its ``rows[index]`` then finds rows of the present pool in memory.
    order
        The generator of the order; when the last slice has been taken, it stands at its end.
    batch_size
        The longest slice that will be asked for.
    """

    def __init__(
        self, rows: StoredRows, order: np.random.Generator, batch_size: int
    ) -> None:
        self.B, self.W, self.n = rows.block_rows, rows.pool_blocks(batch_size), len(rows)
        n_blocks = -(-self.n // self.B)
        # One pool is all there is: no order of blocks is drawn, and rows come as from memory.
        blocks = order.permutation(n_blocks) if n_blocks > self.W else np.arange(n_blocks)
        self.pools = [np.sort(blocks[i : i + self.W]) for i in range(0, n_blocks, self.W)]
        self.order, self.drawn = order, [np.empty(0, np.int64)]  # the numbers from `start` on
        self.start, self.ends = 0, [0]
        kept = rows._pools
        if kept is None or kept.blocks != (self.B, self.W, n_blocks):
            rows._pools = kept = _Pools(rows, self.B, self.W, n_blocks)
        self.memory = kept
        self.memory.begin(self.pools)

    def __getitem__(self, part: slice) -> Array:
        """The next rows' numbers; their pools are in memory then."""
        first, last = part.start, min(part.stop, self.n)
        while self.ends[-1] < last:
            self._open_next()
        here = int(np.searchsorted(self.ends, first, side="right")) - 1
        there = int(np.searchsorted(self.ends, last, side="left")) - 1
        self.memory.need(here, there)
        begins = np.cumsum([self.start, *map(len, self.drawn[:-1])])
        parts = [
            x[max(first - begin, 0) : max(last - begin, 0)]
            for begin, x in zip(begins, self.drawn, strict=True)
        ]
        return np.concatenate(parts)

    def _open_next(self) -> None:
        """Draw the order of one more pool, and forget all but it and the one before."""
        blocks = self.pools[len(self.ends) - 1]
        spans = [np.arange(b * self.B, min((b + 1) * self.B, self.n)) for b in blocks]
        numbers = np.concatenate(spans)
        self.drawn.append(numbers[self.order.permutation(len(numbers))])
        self.ends.append(self.ends[-1] + len(numbers))
        self.drawn = self.drawn[-2:]
        self.start = self.ends[-1] - sum(map(len, self.drawn))


class _Pools:
    """Two pools of blocks in memory as they are stored: one in use, the next being read."""

    def __init__(self, rows: StoredRows, B: int, W: int, n_blocks: int) -> None:
        self.blocks = (B, W, n_blocks)
        self.rows, self.B, self.W = rows, B, W
        self.whole = n_blocks <= W  # then it stays from epoch to epoch
        size = len(rows) if self.whole else 2 * W * B
        self.buffer = np.empty((size, rows.shape[1]), rows.source.dtype.newbyteorder("="))
        self.place = np.zeros(n_blocks, np.int64)  # of each block's first row in the buffer
        self.loading: dict[int, Future[None]] = {}
        self.reader: ThreadPoolExecutor | None = None

    def begin(self, pools: list[Array]) -> None:
        """Forget the last epoch's pools, unless all there is was one."""
        self.pools = pools
        if self.whole and self.loading:
            return
        self.close()
        self.loading = {}

    def need(self, here: int, there: int) -> None:
        """Wait for the pools from `here` to `there`, and begin with the next in the free half."""
        for pool in range(here, there + 1):
            self._load(pool).result()
        if here == there and there + 1 < len(self.pools):
            self._load(there + 1)
        elif there + 1 == len(self.pools):
            self.close()

    def _load(self, pool: int) -> Future[None]:
        if pool not in self.loading:
            if self.reader is None:
                self.reader = ThreadPoolExecutor(1, "minivae-reader")
            self.loading[pool] = self.reader.submit(self._read, pool)
        return self.loading[pool]

    def _read(self, pool: int) -> None:
        for j, block in enumerate(self.pools[pool]):
            start = int(block) * self.B
            part = self.rows.read(start, min(start + self.B, len(self.rows)))
            place = (pool % 2 * self.W + j) * self.B
            self.buffer[place : place + len(part)] = part
            self.place[block] = place

    def close(self) -> None:
        """Let the reading thread end."""
        if self.reader is not None:
            self.reader.shutdown(wait=True)
            self.reader = None

    def __getitem__(self, rows: Array) -> Array:
        """Rows by their numbers, as they are stored."""
        places = self.place[rows // self.B] + rows % self.B
        if self.buffer.dtype.kind == "f" and self.buffer.dtype.itemsize in (4, 8):
            return kernels.take_rows(self.buffer, places)
        found: Array = self.buffer[places]
        return found
