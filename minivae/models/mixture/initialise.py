"""Where EM begins: k-means, k-means++ seeds, rows of the data, or chance.

Seeds are chosen among all rows if there are at most `LIMIT`, and otherwise among `LIMIT` rows drawn
at random, so that the memory stays bounded. K-means begins with these rows and continues with all
rows, whose sums are added piece by piece; the other starts need only the sample.

References
----------
Arthur and Vassilvitskii (2007) for k-means++; Lloyd (1982).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from minivae.checks import require_values
from minivae.distributions.mixture import (
    MixtureOfGaussians,
    constrained,
    factors_of_precisions,
)
from minivae.models.mixture.data import Data, Labels, Piece
from minivae.models.mixture.em import Step, add, e_step, m_step
from minivae.models.mixture.initial_values import Given
from minivae.models.mixture.missing import patterns_of
from minivae.tensor import Array
from minivae_kernels.clustering import kmeans_plus_plus, lloyd_step
from minivae_kernels.mixture import MixtureStatistics, mixture_statistics

__all__ = [
    "LIMIT", "METHODS", "Start", "filled", "initialise", "k_means",
    "k_means_of_all", "scatter_of_all",
]

METHODS = ("kmeans", "k-means++", "random", "random_from_data")
LIMIT = 2**17

_LLOYD_STEPS = 100
_PASSES = 10  # of k-means through all rows, from where it stood still on a sample
_STILL = 1e-4  # squared shift of all centres, in mean variances of a feature, that ends k-means
_FILLING_STEPS = 10  # of EM, of the one Gaussian that gaps are filled from
_LEAST_FILLING = 1e-6  # its least variance, in those of the columns
_TABLE = 2**20  # numbers in a table of random responsibilities


class Start(NamedTuple):
    """The first parameters, and the number of distinct rows, if there were too few."""

    step: Step
    too_few: int | None


def initialise(
    data: Data, K: int, kind: str, method: str, given: Given, floor: float, rng: np.random.Generator
) -> Start:
    """The parameters that EM begins with.

    ``"kmeans"``: weights, means and covariances of k-means' clusters. ``"k-means++"``: its seeds as
    means, and for every covariance the mean scatter of the rows about their nearest seed.
    ``"random_from_data"``: the same about rows drawn at random. ``"random"``: the M-step on random
    responsibilities. Components with labelled rows begin at these rows' mean, or with k-means at
    their cluster.

    Parameters
    ----------
    data
        The rows.
    K, kind
        The number of components, the covariance type.
    method
        One of `METHODS`.
    given
        Weights, means and precisions from the user, which go before what is found.
    floor
        The least eigenvalue of a covariance.
    rng
        What is drawn from.

    Raises
    ------
    SingularError
        If the floor is 0 and a covariance is singular.
    """
    weights, means, precisions = given
    if weights is not None and means is not None and precisions is not None:
        theta = MixtureOfGaussians.from_precisions(weights, means, precisions, kind)
        return Start(Step(theta, theta.covariances, np.zeros(1, np.int64)), None)
    if data.has_gaps():
        data = filled(data, K, kind, rng)
    sample = data.sample(LIMIT, rng)
    known, centres_known = data.labelled_means(K)
    too_few = None
    if method == "random":
        step = _from_random_responsibilities(sample, K, kind, floor, rng)
    else:
        others = np.setdiff1d(np.arange(K), known)
        draws = rng.random((len(others), 2 + int(np.log(K))))
        if method == "random_from_data":
            seeds = _distinct_rows(sample, len(others), rng)
        else:
            seeds = kmeans_plus_plus(
                sample.X, draws, centres=centres_known, sample_weight=sample.weight
            )
        if len(seeds) < len(others):
            too_few = len(known) + len(seeds)
            seeds = np.append(seeds, rng.choice(_counted(sample), len(others) - len(seeds)))
        centres = np.empty((K, data.n_features))
        centres[known], centres[others] = centres_known, sample.X[seeds]
        if method == "kmeans":
            centres, _ = k_means(sample, centres)
            if data.n_weighted > len(sample.X):
                centres = k_means_of_all(data, centres, _STILL * _variance(sample))
            step = _from_clusters(data, sample, centres, kind, floor)
        else:
            step = _around_centres(sample, centres, kind, floor)
    return Start(_replace_given(step, kind, given), too_few)


def filled(data: Data, K: int, kind: str, rng: np.random.Generator) -> Data:
    """The rows, or a sample of them, each gap filled by a draw from one Gaussian for all.

    Draws are used because means would lie in a point or on a line, and look like a cluster.
    """
    X, weight, labels, _ = data.sample(LIMIT, rng)
    X = X.astype(np.float64)
    w = np.ones(len(X)) if weight is None else weight
    seen = ~np.isnan(X)
    require_values(data.operation, seen, weight)
    counts = w @ seen
    shift = X[np.argmax(seen & (w > 0)[:, None], axis=0), np.arange(X.shape[1])]
    shift = shift + w @ np.where(seen, X - shift, 0) / counts
    scale = np.sqrt(w @ np.where(seen, X - shift, 0) ** 2 / counts)
    scale[scale == 0] = 1.0
    Z = (X - shift) / scale
    one = "full" if kind in ("full", "tied") else "diag"
    D, patterns = X.shape[1], patterns_of(Z)
    unit = np.eye(D)[None] if one == "full" else np.ones((1, D))
    theta = MixtureOfGaussians(np.ones(1), np.zeros((1, D)), unit, unit, one)
    for _ in range(_FILLING_STEPS):
        sums = e_step([Piece(Z, weight, None, patterns)], theta)
        theta = m_step(sums, theta.means, theta, _LEAST_FILLING).parameters
    for rows, o, m in patterns or []:
        _, slopes, rest = theta.split(o, m)
        drawn = rest.means[0] + rng.standard_normal((len(rows), len(m))) @ rest.factors[0].T
        if one == "full":
            drawn += (Z[np.ix_(rows, o)] - theta.means[0, o]) @ slopes[0].T
        X[np.ix_(rows, m)] = shift[m] + scale[m] * drawn
    return Data(data.operation, X, sample_weight=weight, labels=labels, K=K)


def k_means(rows: Piece, centres: Array) -> tuple[Array, Labels]:
    """Lloyd's steps from the centres, until they stand still; labelled rows stay where they belong.

    Each row belongs to its nearest centre, the limit of Eq. GMM.8. A cluster without rows takes
    the row that is farthest from its centre.

    Returns
    -------
    The centres ``(K, D)``, and the labels that go with them ``(N,)``.
    """
    labels, still = None, None
    for _ in range(_LLOYD_STEPS):
        clusters = lloyd_step(
            rows.X, centres, sample_weight=rows.weight, labels=rows.labels
        )
        empty = clusters.counts == 0
        moves = clusters.first / np.where(empty, 1.0, clusters.counts)[:, None]
        if empty.any():
            away = clusters.distances
            if rows.weight is not None:
                away = np.where(rows.weight > 0, away, 0)
            if rows.labels is not None:
                away = np.where(rows.labels < 0, away, 0)
            farthest = np.argsort(-away, kind="stable")
            for k, row in zip(np.flatnonzero(empty), farthest, strict=False):
                if away[row] > 0:
                    moves[k] = rows.X[row] - centres[k]
        if labels is not None and (labels == clusters.labels).all():
            break
        labels = clusters.labels
        if still is None:
            still = _STILL * _variance(rows)
        centres = centres + moves
        if (moves**2).sum() <= still:
            break
    return centres, lloyd_step(rows.X, centres, labels=rows.labels).labels


def k_means_of_all(data: Data, centres: Array, still: float) -> Array:
    """Lloyd's steps through all rows, wherever these are, by sums that are added in their order.

    They end when all centres together move by no more than the square root of `still`. A cluster
    without rows keeps its centre.
    """
    for _ in range(_PASSES):
        of_each = list(data.map(partial(_lloyd_sums, centres)))
        counts, first = sum(n for n, _ in of_each), sum(m for _, m in of_each)
        moves = first / np.where(counts > 0, counts, 1.0)[:, None]
        centres = centres + moves
        if (moves**2).sum() <= still:
            break
    return centres


def _lloyd_sums(centres: Array, rows: Piece) -> tuple[Array, Array]:
    clusters = lloyd_step(rows.X, centres, sample_weight=rows.weight, labels=rows.labels)
    return clusters.counts, clusters.first


def _variance(rows: Piece) -> float:
    """The mean variance of a feature."""
    centre = rows.X[:1].astype(np.float64)
    for _ in range(2):  # about the first row, and then about the mean
        single = lloyd_step(rows.X, centre, sample_weight=rows.weight)
        centre = centre + single.first / single.counts[:, None]
    weight = np.ones(len(rows.X)) if rows.weight is None else rows.weight
    return float(weight @ single.distances / single.counts[0] / rows.X.shape[1])


def _distinct_rows(rows: Piece, n: int, rng: np.random.Generator) -> Labels:
    """n numbers of rows that differ, drawn by their weights; fewer if there are no more.

    A row that occurs twice is drawn as one of twice the weight is, from the same random number.
    """
    left = np.ones(len(rows.X)) if rows.weight is None else rows.weight.copy()
    chosen: list[int] = []
    for u in rng.random(n):
        above = np.cumsum(left)
        if not above[-1] > 0:
            break
        row = int(np.searchsorted(above, u * above[-1], side="right"))
        chosen.append(int(np.searchsorted(above, above[min(row, len(above) - 1)])))
        left[(rows.X[chosen[-1]] == rows.X).all(axis=1)] = 0
    return np.array(chosen, np.int64)


def _counted(rows: Piece) -> Labels:
    """The numbers of the rows that have any weight."""
    return np.arange(len(rows.X)) if rows.weight is None else np.flatnonzero(rows.weight > 0)


def _from_random_responsibilities(
    rows: Piece, K: int, kind: str, floor: float, rng: np.random.Generator
) -> Step:
    """The M-step on responsibilities that are uniform random numbers, normalised."""
    theta = _identical_components(rows, K, kind, floor)

    def portion(part: slice) -> MixtureStatistics:
        r = rng.random((len(rows.X[part]), K))
        r /= r.sum(axis=1, keepdims=True)
        return mixture_statistics(
            rows.X[part],
            *theta.mixture,
            sample_weight=None if rows.weight is None else rows.weight[part],
            labels=None if rows.labels is None else rows.labels[part],
            responsibilities=r,
        )

    at_once = max(1, _TABLE // K)
    parts = [slice(start, start + at_once) for start in range(0, len(rows.X), at_once)]
    return m_step(add(portion(part) for part in parts), theta.means, theta, floor)


def _from_clusters(
    data: Data, sample: Piece, centres: Array, kind: str, floor: float
) -> Step:
    """The M-step on the clusters of k-means; one without rows has the sample's covariance."""
    theta = replace(_identical_components(sample, len(centres), kind, floor), means=centres)
    return m_step(add(data.map(partial(_sums_of_clusters, theta))), centres, theta, floor)


def _sums_of_clusters(theta: MixtureOfGaussians, rows: Piece) -> MixtureStatistics:
    nearest = lloyd_step(rows.X, theta.means, labels=rows.labels).labels
    return e_step([rows._replace(labels=nearest)], theta)


def _around_centres(rows: Piece, centres: Array, kind: str, floor: float) -> Step:
    """The centres as means, with one covariance for all: the mean scatter about the nearest."""
    clusters = lloyd_step(rows.X, centres, sample_weight=rows.weight, labels=rows.labels)
    theta = replace(_identical_components(rows, len(centres), kind, floor), means=centres)
    if kind == "full":
        theta = replace(
            theta, precisions_cholesky=theta.precisions_cholesky[0], covariance_type="tied"
        )
    sums = e_step([rows._replace(labels=clusters.labels)], theta)
    total = sums.counts.sum()
    if kind in ("full", "tied"):
        scatter = sums.second / total
    else:
        scatter = sums.second.sum(axis=0) / total
        scatter = scatter / centres.shape[1] if kind == "spherical" else scatter
    return _with_one_covariance(scatter, centres, sums.counts / total, kind, floor)


def scatter_of_all(data: Data | list[Piece], kind: str) -> tuple[Array, Array]:
    """The mean ``(1, D)`` and the scatter of all rows, this as one covariance of that type."""
    of_each = data.map if isinstance(data, Data) else lambda f: map(f, data)
    first: Array = next(iter(of_each(_first_row)))
    D, centre = first.shape[1], first.astype(np.float64)
    one = "full" if kind == "tied" else kind
    shape = {"full": (1, D, D), "diag": (1, D), "spherical": (1,)}[one]
    unit = np.broadcast_to(np.eye(D) if one == "full" else 1.0, shape)
    theta = MixtureOfGaussians(np.ones(1), centre, unit, unit, one)
    for _ in range(2):  # about the first row, and then about the mean
        sums = add(of_each(partial(_sums_of_all, theta)))
        centre = theta.means + sums.first / sums.counts
        theta = replace(theta, means=centre)
    scatter = (sums.second / sums.counts.sum())[0]
    return centre, scatter / D if one == "spherical" else scatter


def _first_row(piece: Piece) -> Array:
    return piece.X[:1]


def _sums_of_all(theta: MixtureOfGaussians, piece: Piece) -> MixtureStatistics:
    return mixture_statistics(piece.X, *theta.mixture, sample_weight=piece.weight)


def _identical_components(rows: Piece, K: int, kind: str, floor: float) -> MixtureOfGaussians:
    """K components with the mean and the covariance of these rows."""
    centre, scatter = scatter_of_all([rows], kind)
    weights, means = np.full(K, 1 / K), np.repeat(centre, K, axis=0)
    try:
        return _with_one_covariance(scatter, means, weights, kind, floor).parameters
    except ValueError:  # without a floor: the data do not vary in some direction
        return _with_one_covariance(scatter, means, weights, kind, 1.0).parameters


def _with_one_covariance(
    scatter: Array, means: Array, weights: Array, kind: str, floor: float
) -> Step:
    """Components with one covariance."""
    K = len(means)
    if kind != "tied":
        scatter = np.repeat(np.asarray(scatter)[None], K, axis=0)
    covariances, factors, raised = constrained(scatter, kind, floor)
    return Step(
        MixtureOfGaussians(weights, means, covariances, factors, kind), scatter, raised
    )


def _replace_given(step: Step, kind: str, given: Given) -> Step:
    """The step with what the user has given in the place of what was found."""
    weights, means, precisions = given
    theta, scatter, raised = step
    if weights is not None:
        theta = replace(theta, weights=weights)
    if means is not None:
        theta = replace(theta, means=means)
    if precisions is not None:
        scatter, factors = factors_of_precisions(precisions, kind)
        theta = replace(theta, covariances=scatter, precisions_cholesky=factors)
        raised = np.zeros_like(raised)
    return Step(theta, scatter, raised)
