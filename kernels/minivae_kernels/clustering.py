"""K-means: k-means++ seeds and Lloyd's steps.

Distances are sums of squared differences, in float64 whatever the data are, so that data far from
the origin lose nothing. The rows are cut into parts that depend on the shapes alone: one thread or
many, the result is the same.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minivae_kernels._arrays import FloatArray, as_float, contiguous, refuse
from minivae_kernels._blocks import BLOCK, STRIDE, parts_of, turn, workspace
from minivae_kernels._jit import block_kernel, inner, summing_block_kernel

Array = npt.NDArray[np.float64]


class Clusters(NamedTuple):
    """Where the rows belong, and what moves the centres."""

    labels: npt.NDArray[np.int64]
    """The nearest centre of each row, the first if there are several, of shape ``(N,)``."""

    distances: Array
    """The squared distance to it, of shape ``(N,)``."""

    counts: Array
    """N_k = sum w_n over the rows of each cluster, of shape ``(K,)``."""

    first: Array
    """sum w_n (x_n - centre_k) over them, of shape ``(K, D)``."""


def lloyd_step(
    X: FloatArray,
    centres: Array,
    *,
    sample_weight: Array | None = None,
    labels: npt.NDArray[np.int64] | None = None,
) -> Clusters:
    """Return the nearest centre of each row, and the sums that give the clusters' means.

    Parameters
    ----------
    X
        Shape ``(N, D)``, float32 or float64.
    centres
        Shape ``(K, D)``.
    sample_weight
        w, of shape ``(N,)``; 1 if left out.
    labels
        Of shape ``(N,)``: the cluster of a row where that is settled, -1 where it is not.

    Raises
    ------
    TypeError, ValueError
        If X is not float32 or float64, or shapes do not fit.
    """
    X, centres, weight = _checked("lloyd_step", X, centres, sample_weight)
    settled = np.full(len(X), -1) if labels is None else np.asarray(labels, np.int64)
    if settled.shape != (len(X),):
        raise refuse("lloyd_step", "labels must have a number for each row", X=X, labels=settled)
    (N, D), K = X.shape, len(centres)
    if not K or settled.max(initial=-1) >= K:
        rule = "there must be a centre for each label, and one at least"
        raise refuse("lloyd_step", rule, centres=centres, labels=settled)
    size, parts = parts_of(N, 3 * D * K)
    nearest, distances = settled.copy(), np.empty(N)
    counts, first = np.zeros((parts, K)), np.zeros((parts, K, D))
    _assign.run(parts, 1, X, size, weight, centres, nearest, distances, counts, first)
    return Clusters(nearest, distances, counts.sum(axis=0), first.sum(axis=0))


def kmeans_plus_plus(
    X: FloatArray,
    draws: Array,
    *,
    centres: Array | None = None,
    sample_weight: Array | None = None,
) -> npt.NDArray[np.int64]:
    """Return the rows that k-means++ chooses as seeds, each far from the ones before it.

    A row is drawn with probability proportional to w_n d_n^2, d_n being its distance to the nearest
    seed so far; of several such candidates the one is taken that leaves the least sum of w_n d_n^2.
    Arthur and Vassilvitskii (2007).

    Parameters
    ----------
    X
        Shape ``(N, D)``, float32 or float64.
    draws
        Uniform random numbers in [0, 1), of shape ``(K, T)``: T candidates for each seed.
    centres
        Seeds that there are already, of shape ``(C, D)``.
    sample_weight
        w, of shape ``(N,)``; 1 if left out.

    Returns
    -------
    K row numbers; fewer if the data have no more distinct rows.

    Raises
    ------
    TypeError, ValueError
        If X is not float32 or float64, or shapes do not fit.
    """
    operation = "kmeans_plus_plus"
    X = contiguous(as_float(X, operation))
    if X.ndim != 2 or np.ndim(draws) != 2:
        raise refuse(operation, "X and draws must have two axes", X=X, draws=np.asarray(draws))
    there_are = np.empty((0, X.shape[1])) if centres is None else centres
    X, there_are, weight = _checked(operation, X, there_are, sample_weight)
    search = _Seeds(X, weight)
    for centre in there_are:
        search.add(centre[None])
    chosen: list[int] = []
    for candidates in draws:
        if not search.potential > 0:  # each row is one of the seeds
            break
        indices = [search.row_at(u) for u in candidates[: None if search.seeds else 1]]
        chosen.append(indices[search.add(X[indices])])
    return np.array(chosen, np.int64)


class _Seeds:
    """The squared distance of each row to the nearest seed so far, and its sum over each block."""

    def __init__(self, X: FloatArray, weight: Array) -> None:
        self.X, self.weight, self.seeds = X, weight, 0
        self.size, self.parts = parts_of(len(X), 12 * X.shape[1])
        # Before there is a seed all distances are alike: rows are drawn by their weight.
        self.closest = np.full(len(X), np.inf)
        self.blocks = np.add.reduceat(weight, range(0, len(X), BLOCK)) if len(X) else np.zeros(0)
        self.nearer, self.sums = np.empty((0, len(X))), np.empty((0, len(self.blocks)))

    @property
    def potential(self) -> float:
        return float(self.blocks.sum())

    def row_at(self, u: float) -> int:
        """The row at which the running sum of w d^2 passes the share u of its total.

        It is looked for among the blocks first, and then among the rows of one.
        """
        block, rest = _passing(self.blocks, u * self.potential)
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        terms = self.weight[part] * self.closest[part] if self.seeds else self.weight[part]
        return part.start + _passing(terms, rest)[0]

    def add(self, candidates: FloatArray) -> int:
        """Add that candidate which leaves the least potential, and return which it is."""
        T = len(candidates)
        seeds = candidates[np.arange(-(-T // 4) * 4).clip(max=T - 1)].astype(np.float64)
        if len(self.nearer) < len(seeds):
            self.nearer = np.empty((len(seeds), len(self.X)))
            self.sums = np.empty((len(seeds), len(self.blocks)))
        for four in (slice(t, t + 4) for t in range(0, T, 4)):
            out = (self.nearer[four], self.sums[four])
            data = (self.X, self.size, self.weight, seeds[four], self.closest)
            _approach.run(self.parts, 1, *data, *out)
        best = int(self.sums[:T].sum(axis=1).argmin())
        self.blocks = self.sums[best].copy()
        self.closest = self.nearer[best].copy()
        self.seeds += 1
        return best


def _passing(terms: Array, target: float) -> tuple[int, float]:
    """The first positive term at which the running sum exceeds the target, and what is left."""
    running = np.cumsum(terms)
    index = int(np.searchsorted(running, target, side="right"))
    if index >= len(terms) or not terms[index] > 0:  # by rounding
        index = int(np.flatnonzero(terms > 0)[-1])
    return index, target - (running[index] - terms[index])


def _checked(
    operation: str, X: FloatArray, centres: Any, sample_weight: Any
) -> tuple[FloatArray, Array, Array]:
    X = contiguous(as_float(X, operation))
    centres = contiguous(np.asarray(centres, np.float64))
    if X.ndim != 2 or centres.ndim != 2 or X.shape[1] != centres.shape[1]:
        rule = "X and centres must be (N, D) and (K, D), of the same D"
        raise refuse(operation, rule, X=X, centres=centres)
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight.shape != (len(X),):
        rule = "sample_weight must have a number for each row"
        raise refuse(operation, rule, X=X, sample_weight=weight)
    return X, centres, contiguous(weight)


# The loops -------------------------------------------------------------------------------------


@inner
def _distances(x: Array, n: int, centre: Array, out: Array) -> None:
    """Write the squared distances of the rows to the centre."""
    D = centre.size
    fours = D - D % 4
    for r in range(n):
        out[r] = 0.0
    for i in range(0, fours, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        m0, m1, m2, m3 = centre[i], centre[i + 1], centre[i + 2], centre[i + 3]
        for r in range(n):
            a, b, c, d = x0[r] - m0, x1[r] - m1, x2[r] - m2, x3[r] - m3
            out[r] += a * a + b * b + c * c + d * d
    for i in range(fours, D):
        x0, m0 = x[i], centre[i]
        for r in range(n):
            a = x0[r] - m0
            out[r] += a * a


@block_kernel
def _assign(
    start: int, stop: int, X: Any, size: int, weight: Array, centres: Array, labels: Any,
    distances: Array, counts: Array, first: Array,
) -> None:  # fmt: skip
    """Find the nearest centres of the rows with label -1; add up all by their labels."""
    D, K = X.shape[1], centres.shape[0]
    x, away, least = workspace(D), np.empty(STRIDE), np.empty(STRIDE)
    nearest = np.empty(STRIDE, np.int64)
    for part in range(start, stop):
        for low in range(part * size, min((part + 1) * size, len(X)), BLOCK):
            n = min(BLOCK, len(X) - low)
            turn(X, low, n, x)
            for r in range(n):
                nearest[r], least[r] = 0, np.inf
            for k in range(K):
                _distances(x, n, centres[k], away)
                for r in range(n):
                    nearest[r] = k if away[r] < least[r] else nearest[r]
                    least[r] = away[r] if away[r] < least[r] else least[r]
            for r in range(n):
                k, w = labels[low + r], weight[low + r]
                if k < 0:
                    k = nearest[r]
                    labels[low + r] = k
                else:
                    least[r] = 0.0
                    for i in range(D):
                        least[r] += (x[i, r] - centres[k, i]) ** 2
                distances[low + r] = least[r]
                counts[part, k] += w
                row, centre, to = X[low + r], centres[k], first[part, k]
                for i in range(D):
                    to[i] += w * (np.float64(row[i]) - centre[i])


@summing_block_kernel
def _approach(
    start: int, stop: int, X: Any, size: int, weight: Array, seeds: Array, closest: Array,
    nearer: Array, sums: Array,
) -> None:  # fmt: skip
    """Take each of four seeds into the closest distances, and sum those up by blocks."""
    D = X.shape[1]
    s0, s1, s2, s3 = seeds[0], seeds[1], seeds[2], seeds[3]
    n0, n1, n2, n3 = nearer[0], nearer[1], nearer[2], nearer[3]
    for first in range(start * size, min(stop * size, len(X)), BLOCK):
        t0 = t1 = t2 = t3 = 0.0
        for r in range(first, min(first + BLOCK, len(X))):
            row, least, w = X[r], closest[r], weight[r]
            d0 = d1 = d2 = d3 = 0.0
            for i in range(D):
                x = np.float64(row[i])
                a, b, c, d = x - s0[i], x - s1[i], x - s2[i], x - s3[i]
                d0 += a * a
                d1 += b * b
                d2 += c * c
                d3 += d * d
            d0, d1 = d0 if d0 < least else least, d1 if d1 < least else least
            d2, d3 = d2 if d2 < least else least, d3 if d3 < least else least
            n0[r], n1[r], n2[r], n3[r] = d0, d1, d2, d3
            t0 += w * d0
            t1 += w * d1
            t2 += w * d2
            t3 += w * d3
        block = first // BLOCK
        sums[0, block], sums[1, block], sums[2, block], sums[3, block] = t0, t1, t2, t3
