"""The rows that a mixture is fitted to, in the blocks of a Dask array.

An E-step is computed where the blocks are, and what comes back are its sums, which are added in the
order of the blocks: so the result has the same bits whoever computed them, in whatever order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from minivae.errors import ShapeError
from minivae.models.mixture.data import Data, Piece, joined, most_sampled, select
from minivae.models.on_dask import delayed_blocks, is_dask
from minivae.stored import counted_from
from minivae.tensor import Array

__all__ = ["DaskData", "data_of"]

_OF_THE_CLUSTER = ("distributed", "tornado")
"""The packages whose exceptions say that a cluster failed, and not a computation."""


class _Facts(NamedTuple):
    """What the client knows of a block."""

    n: int
    width: int
    n_weighted: int
    weight: float


def data_of(operation: str, X: Any, *, client: Any = None, **more: Any) -> Data:
    """The rows of X, which is a Dask array or what else :class:`Data` takes.

    Raises
    ------
    TypeError, ValueError
        If there is a client that is none, or X is not a Dask array.
    """
    if is_dask(X):
        if client is not None and not hasattr(client, "as_current"):
            raise TypeError(
                f"{operation}: client is a {type(client).__name__}; it must be a distributed.Client"
            )
        return DaskData(operation, X, client=client, **more)
    if client is not None:
        raise ValueError(f"{operation}: client= is for a Dask array, which X is not")
    return Data(operation, X, **more)


class DaskData(Data):
    """Rows in the blocks of a Dask array; where there is a cluster, its workers hold them.

    Without a client each pass computes the blocks again by Dask's own scheduler, so that what does
    not fit into memory need not.

    Parameters
    ----------
    operation, sample_weight, labels, K, how
        As for :class:`Data`; weights and labels may be Dask arrays.
    X
        A Dask array ``(N, D)``. Blocks without rows are left out.
    client
        A ``distributed.Client``; the one that is active if left out.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        As for :class:`Data`.
    RuntimeError
        If the cluster fails in a way that it cannot mend.
    """

    def __init__(
        self,
        operation: str,
        X: Any,
        *,
        client: Any = None,
        sample_weight: Any = None,
        labels: Any = None,
        K: int = 1,
        **how: Any,
    ) -> None:
        import dask

        self.operation, self._client = operation, client or _active_client()
        self.has_labels, self.missing = labels is not None, how.get("missing", "refuse")
        beside = {"sample_weight": sample_weight, "labels": labels}
        make = dask.delayed(_piece, pure=False)
        pieces = [
            make(operation, block.rows, *block.beside, block.first, i, K, how)
            for i, block in enumerate(delayed_blocks(X, beside, operation))
        ]
        if self._client is not None:
            with self._client.as_current():
                pieces = list(dask.persist(*pieces))
        self._pieces = pieces
        facts = list(self.map(_facts))
        for fact in facts:  # of what is refused, the first, and not what was found first
            if isinstance(fact, Exception):
                raise fact
        self._pieces = [piece for piece, fact in zip(pieces, facts, strict=True) if fact.n]
        self._facts = [fact for fact in facts if fact.n]
        if not self._facts:
            raise ShapeError(f"{operation}: X has no rows; there must be at least one datum")
        self.n_rows = sum(fact.n for fact in self._facts)
        self.n_features = self._facts[0].width
        self.n_weighted = sum(fact.n_weighted for fact in self._facts)
        self.total_weight = float(sum(fact.weight for fact in self._facts))
        if not self.total_weight > 0 or not np.isfinite(self.total_weight):
            raise ValueError(
                f"{operation}: sample_weight adds up to {self.total_weight}; the sum must be "
                "positive and finite"
            )

    def __iter__(self) -> Iterator[Piece]:
        raise TypeError(f"{self.operation}: the rows of a Dask array are not gone through here")

    def map(
        self, function: Callable[..., Any], each: list[Any] | None = None
    ) -> Iterator[Any]:
        """function(piece) of each piece, or function(piece, its part of `each`), in their order."""
        import dask

        held, call = dask.delayed(function, pure=False), dask.delayed(_call, pure=False)
        more = [()] * len(self._pieces) if each is None else [(one,) for one in each]
        tasks = [call(held, piece, *one) for piece, one in zip(self._pieces, more, strict=True)]
        try:
            with nullcontext() if self._client is None else self._client.as_current():
                return iter(dask.compute(*tasks))
        except Exception as error:
            if not _is_of_the_cluster(error):
                raise
            raise RuntimeError(
                f"{self.operation}: the cluster did not compute a block of X "
                f"({type(error).__name__}: {str(error)[:300]}); the model is as it was. Is "
                "the client still connected? Blocks that Dask can compute again outlive a worker, "
                "those that were scattered do not"
            ) from error

    def sample(self, limit: int, rng: np.random.Generator) -> Piece:
        """The rows that a start is found on, which come to the client; see :class:`Data`."""
        limit = most_sampled(limit, self.n_features)
        if self.n_rows <= limit:
            return joined(list(self.map(_itself)))
        size = min(limit, self.n_weighted)
        chosen = np.sort(rng.choice(self.n_weighted, size, replace=False, shuffle=False))
        ends = np.cumsum([0, *(fact.n_weighted for fact in self._facts)])
        cuts = np.searchsorted(chosen, ends)
        each = [
            chosen[a:b] - end for a, b, end in zip(cuts, cuts[1:], ends, strict=False)
        ]
        return joined(list(self.map(_weighted_rows, each)))


def _active_client() -> Any:
    """The client that computes by default, if there is one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        return Client.current()
    except ValueError:
        return None


def _is_of_the_cluster(error: BaseException) -> bool:
    """Whether the cluster failed, and not what it computed."""
    kinds = type(error).__mro__
    return any(
        kind.__module__.split(".")[0] in _OF_THE_CLUSTER or kind.__name__ == "CancelledError"
        for kind in kinds
    )


# ---- what is computed where the blocks are ----


def _piece(
    operation: str, X: Any, weight: Any, labels: Any, first: int | None, i: int, K: int, how: Any
) -> Piece | Exception | None:
    """A block as a single piece, checked; None without rows; what is wrong with it, if it is."""
    if not len(X):
        return None
    nothing = weight is not None and len(weight) and not np.any(weight)
    try:
        with counted_from(first or 0):
            data = Data(
                operation, np.asarray(X), sample_weight=None if nothing else weight,
                labels=labels, K=K, **how,
            )  # fmt: skip
    except (ValueError, TypeError) as error:
        where = "" if first is not None else f" (in block {i}, whose rows are counted from 0)"
        return type(error)(f"{error}{where}")
    piece = data.as_one_piece()
    return piece._replace(weight=np.zeros(len(piece.X))) if nothing else piece


def _facts(piece: Piece | Exception | None) -> _Facts | Exception:
    if isinstance(piece, Exception):
        return piece
    if piece is None:
        return _Facts(0, 0, 0, 0.0)
    n, width = piece.X.shape
    if piece.weight is None:
        return _Facts(n, width, n, float(n))
    return _Facts(n, width, int((piece.weight > 0).sum()), float(piece.weight.sum()))


def _weighted_rows(piece: Piece, ranks: Array) -> Piece:
    """Some of the rows that have a weight, by their numbers among these."""
    return select(piece, ranks if piece.weight is None else np.flatnonzero(piece.weight)[ranks])


def _itself(piece: Piece) -> Piece:
    return piece


def _call(function: Callable[..., Any], piece: Piece, *one: Any) -> Any:
    return function(piece, *one)
