"""How useful a model is: for finding strange data, for finding classes, for compression.

>>> from minivae.metrics import roc_auc
>>> roc_auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
0.75
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri, xlogy
from scipy.stats import rankdata

from minivae.doors import as_array, refuse_masked
from minivae.errors import ShapeError

__all__ = [
    "adjusted_rand_index", "bits_per_value", "matched_accuracy", "normalised_mutual_information",
    "roc_auc", "roc_auc_interval", "roc_curve",
]  # fmt: skip

Floats = np.ndarray[Any, np.dtype[np.float64]]


def roc_curve(scores: Any, positive: Any) -> tuple[Floats, Floats]:
    """The rates of false and of true alarms at each threshold, from (0, 0) to (1, 1).

    Data with one score pass a threshold together, so ties are a slope and not a step.

    Parameters
    ----------
    scores
        Of shape ``(N,)``, high for what should raise an alarm.
    positive
        Booleans ``(N,)``: which should.

    Raises
    ------
    ShapeError, ValueError
        If shapes differ, a score is NaN, or one of the two kinds is missing.
    """
    scores, positive = _scored(scores, positive, "roc_curve")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of each run of ties
    right = np.cumsum(positive[order])[last] / positive.sum()
    wrong = np.cumsum(~positive[order])[last] / (~positive).sum()
    return np.append(0.0, wrong), np.append(0.0, right)


def roc_auc(scores: Any, positive: Any) -> float:
    """The probability that a positive datum scores above a negative one, Eq. USE.1.

    A tie counts half. This is the area under the curve of :func:`roc_curve`, whose arguments it
    takes. It is computed from average ranks, in N log N steps, and is exact with ties too. Mann
    and Whitney (1947); Hanley and McNeil (1982).
    """
    scores, positive = _scored(scores, positive, "roc_auc")
    n, m = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def roc_auc_interval(
    scores: Any, positive: Any, level: float = 0.95
) -> tuple[float, float, float]:
    """The area of :func:`roc_auc`, and an interval for it, Eq. USE.2.

    The variance is that of DeLong et al. (1988), computed from the share of the other kind that
    each datum beats. The interval is normal in log(A / (1 - A)), so it stays between 0 and 1. If
    the two kinds are separated without a mistake, the variance is 0 and says nothing.
    """
    scores, positive = _scored(scores, positive, "roc_auc_interval")
    if not 0 < level < 1:
        raise ValueError(f"roc_auc_interval: level={level} must be between 0 and 1")
    n, m = int(positive.sum()), int((~positive).sum())
    if min(n, m) < 2:
        raise ValueError(f"roc_auc_interval: {n} positive and {m} negative; two of each are needed")
    ranks = rankdata(scores)
    beaten = (ranks[positive] - rankdata(scores[positive])) / m
    beating = 1 - (ranks[~positive] - rankdata(scores[~positive])) / n
    area = float(beaten.mean())
    variance = beaten.var(ddof=1) / n + beating.var(ddof=1) / m
    if not 0 < area < 1:
        return area, area, area
    half = float(ndtri(0.5 + level / 2)) * math.sqrt(variance) / (area * (1 - area))
    low, high = (
        1 / (1 + math.exp(-(math.log(area / (1 - area)) + sign * half))) for sign in (-1, 1)
    )
    return area, low, high


def adjusted_rand_index(labels: Any, clusters: Any) -> float:
    """How far two partitions agree: 1 if they are equal, 0 on average by chance, Eq. USE.3.

    Hubert and Arabie (1985).

    Parameters
    ----------
    labels, clusters
        Of shape ``(N,)``; what they are called does not matter.
    """
    table = _contingency(labels, clusters, "adjusted_rand_index")
    both, rows, columns = (
        float((n * (n - 1) // 2).sum()) for n in (table, table.sum(axis=1), table.sum(axis=0))
    )
    N = int(table.sum())
    pairs = N * (N - 1) / 2
    chance = rows * columns / pairs if pairs else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)


def normalised_mutual_information(labels: Any, clusters: Any) -> float:
    """The mutual information of two partitions, divided by their mean entropy, Eq. USE.4.

    It is 1 if they are equal. It is not corrected for chance: many small clusters that mean
    nothing still score far above 0. Strehl and Ghosh (2002).
    """
    table = _contingency(labels, clusters, "normalised_mutual_information")
    p = table / table.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    H, G = (float(-xlogy(q, q).sum()) for q in (rows, columns))
    shared = H + G - float(-xlogy(p, p).sum())
    return 1.0 if H + G == 0 else max(0.0, 2 * shared / (H + G))


def matched_accuracy(labels: Any, clusters: Any) -> float:
    """The share of data in the right cluster if each class is matched to one, Eq. USE.5.

    The matching is the best one that gives each class at most one cluster: Kuhn (1955).
    """
    table = _contingency(labels, clusters, "matched_accuracy")
    return float(table[linear_sum_assignment(-table)].sum() / table.sum())


def bits_per_value(nats: Any, D: int) -> Any:
    """The code length in bits per value, for log p(x) in nats of D values, Eq. USE.6.

    Per pixel, if the values are pixels. With the ELBO in place of log p(x) it is the length that
    bits-back coding reaches: Hinton and van Camp (1993); Townsend, Bird and Barber (2019).
    """
    if D < 1:
        raise ValueError(f"bits_per_value: D={D} must be at least 1")
    return -as_array("bits_per_value", nats) / (D * math.log(2.0))


def _scored(scores: Any, positive: Any, operation: str) -> tuple[Floats, np.ndarray]:
    refuse_masked(operation, [positive])
    found, kind = as_array(operation, scores, np.float64), np.asarray(positive)
    if found.ndim != 1 or found.shape != kind.shape or kind.dtype != bool:
        raise ShapeError(
            f"{operation}: scores have shape {found.shape}, and positive {kind.shape} of dtype "
            f"{kind.dtype}; both must be (N,), and positive booleans"
        )
    if np.isnan(found).any():
        raise ValueError(f"{operation}: scores[{int(np.isnan(found).argmax())}] is NaN")
    if not kind.any() or kind.all():
        raise ValueError(f"{operation}: all data are of one kind; both kinds are needed")
    return found, kind


def _contingency(labels: Any, clusters: Any, operation: str) -> np.ndarray:
    """How many data have each label and each cluster."""
    refuse_masked(operation, [labels, clusters])
    a, b = np.asarray(labels), np.asarray(clusters)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ShapeError(
            f"{operation}: labels have shape {a.shape} and clusters {b.shape}; both must be (N,)"
        )
    for name, of_each in (("labels", a), ("clusters", b)):
        missing = [value is None or value != value for value in of_each.tolist()]
        if any(missing):
            raise ValueError(
                f"{operation}: {name}[{missing.index(True)}] is missing, which is not a group of "
                "its own; leave such data out"
            )
    rows, i = np.unique(a, return_inverse=True)
    columns, j = np.unique(b, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(table, (i, j), 1)
    return table
