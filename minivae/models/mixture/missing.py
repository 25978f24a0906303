"""Rows with missing values: what EM and predictions take from what is observed of them.

Rows that miss the same features form a pattern. Given a component, the missing part is Gaussian
about a linear function of the observed part, so the sums over a pattern's rows follow from the sums
over their observed parts. The same kernels as for complete rows compute these, and each pattern
costs one factorisation per component.

References
----------
Ghahramani and Jordan (1994); Little and Rubin (2002), chapter 11.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from minivae.distributions.mixture import MixtureOfGaussians
from minivae.tensor import Array
from minivae_kernels.mixture import MixtureStatistics, mixture_statistics

__all__ = ["Pattern", "imputed", "observed_statistics", "patterns_of"]

Index = npt.NDArray[np.intp]


class Pattern(NamedTuple):
    """The rows that miss the same features."""

    rows: Index
    observed: Index
    """The features that they have."""

    missing: Index
    """The features that they miss."""


def patterns_of(X: Array) -> list[Pattern] | None:
    """The patterns of the rows of X, in which NaN is missing; None if nothing is."""
    with np.errstate(all="ignore"):  # a sum tells without a table as large as the data
        if not np.isnan(X.sum(dtype=np.float64)):
            return None
    gaps = np.isnan(X)
    if not gaps.any():  # the sum was of infinities or overflowed
        return None
    bits = np.packbits(gaps, axis=1)
    keys = bits.view(np.dtype((np.void, bits.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel()))[:-1]
    return [
        Pattern(rows, np.flatnonzero(~gaps[i]), np.flatnonzero(gaps[i]))
        for i, rows in zip(first, np.split(order, ends), strict=True)
    ]


def observed_statistics(
    X: Array,
    patterns: list[Pattern],
    theta: MixtureOfGaussians,
    *,
    centres: Array | None = None,
    sample_weight: Array | None = None,
    labels: npt.NDArray[np.int64] | None = None,
) -> MixtureStatistics:
    """The E-step's sums for rows with missing values, expected given what is observed, Eq. MISS.3.

    The responsibilities are those of the observed features, Eq. MISS.1, the missing ones have the
    moments of Eq. MISS.2. The arguments are those of
    :func:`minivae_kernels.mixture.mixture_statistics`.
    """
    c = theta.means if centres is None else centres
    parts = []
    for pattern in patterns:
        rows, observed, missing = pattern
        options: dict[str, Any] = {
            "sample_weight": None if sample_weight is None else sample_weight[rows],
            "labels": None if labels is None else labels[rows],
        }
        if not len(missing):
            parts.append(mixture_statistics(X[rows], *theta.mixture, centres=c, **options))
            continue
        marginal, slopes, rest = theta.split(observed, missing)
        if len(observed):
            seen = np.ascontiguousarray(X[np.ix_(rows, observed)])
            sums = mixture_statistics(
                seen, *marginal.mixture, centres=c[:, observed], **options
            )
        else:
            sums = _of_nothing(len(rows), marginal, **options)
        parts.append(_completed(sums, theta, pattern, slopes, rest, c))
    likelihoods, counts, first, second = zip(*parts, strict=True)
    return MixtureStatistics(math.fsum(likelihoods), sum(counts), sum(first), sum(second))


def _completed(
    sums: MixtureStatistics,
    theta: MixtureOfGaussians,
    pattern: Pattern,
    slopes: Array,
    rest: MixtureOfGaussians,
    c: Array,
) -> MixtureStatistics:
    """The sums over whole rows from those over what is observed of them, Eq. MISS.3."""
    likelihood, N, f, s = sums
    _, o, m = pattern
    kind, (K, D) = theta.covariance_type, theta.means.shape
    away = theta.means - c  # of E[x_m | x_o] where x_o is at its centre, once the slope is taken
    first, b = np.empty((K, D)), away[:, m]
    if kind in ("full", "tied"):
        b = b - (slopes @ away[:, o, None])[..., 0]
    first[:, o], first[:, m] = f, N[:, None] * b
    if kind == "spherical":
        second = s + N * ((b**2).sum(axis=1) + len(m) * rest.covariances)
        return MixtureStatistics(likelihood, N, first, second)
    if kind == "diag":
        second = np.empty((K, D))
        second[:, o], second[:, m] = s, N[:, None] * (b**2 + rest.covariances)
        return MixtureStatistics(likelihood, N, first, second)
    order, p = np.concatenate([o, m]), len(o)
    line = np.concatenate([np.broadcast_to(np.eye(p), (*slopes.shape[:-2], p, p)), slopes], axis=-2)
    g = (line @ f[..., None])[..., 0]  # sum_n r_nk times what moves with x_o
    u = np.concatenate([np.zeros((K, p)), b], axis=1)
    first[:, m] += g[:, p:]
    cross = g[:, :, None] * u[:, None, :]
    cross = cross + cross.swapaxes(1, 2) + N[:, None, None] * u[:, :, None] * u[:, None, :]
    counts = N[:, None, None]
    if kind == "tied":
        cross, counts = cross.sum(axis=0), N.sum()
    permuted = line @ s @ line.swapaxes(-1, -2) + cross
    permuted[..., p:, p:] += counts * rest.covariances  # what imputed means alone forget
    second = np.empty_like(permuted)
    second[..., order[:, None], order] = permuted
    return MixtureStatistics(likelihood, N, first, second)


def _of_nothing(
    n: int,
    marginal: MixtureOfGaussians,
    sample_weight: Array | None,
    labels: npt.NDArray[np.int64] | None,
) -> MixtureStatistics:
    """The sums over n rows of which nothing is observed, and at most the label known."""
    pi = marginal.weights
    K = len(pi)
    w = np.ones(n) if sample_weight is None else sample_weight
    free = np.ones(n, bool) if labels is None else labels < 0
    known = np.zeros(K) if labels is None else np.bincount(labels[~free], w[~free], minlength=K)
    with np.errstate(divide="ignore"):
        log_pi = np.log(pi)
    total = float(scipy.special.logsumexp(log_pi)) if free.any() else 0.0
    counts = w[free].sum() * pi / pi.sum() + known
    likelihood = w[free].sum() * total + float(known[known > 0] @ log_pi[known > 0])
    kind = marginal.covariance_type
    second = {"full": (K, 0, 0), "tied": (0, 0), "diag": (K, 0), "spherical": (K,)}[kind]
    return MixtureStatistics(likelihood, counts, np.zeros((K, 0)), np.zeros(second))


def imputed(X: Array, theta: MixtureOfGaussians) -> Array:
    """X with E[x_m | x_o] in the place of what is missing, Eq. MISS.4."""
    filled = X.copy()
    for rows, o, m in patterns_of(X) or []:
        if not len(m):
            continue
        marginal, slopes, rest = theta.split(o, m)
        if not len(o):
            pi = theta.weights / theta.weights.sum()
            filled[np.ix_(rows, m)] = pi @ rest.means
            continue
        seen = np.ascontiguousarray(X[np.ix_(rows, o)])
        r = marginal.responsibilities(seen)
        mean = r @ rest.means
        if theta.covariance_type in ("full", "tied"):
            slopes = np.broadcast_to(slopes, (len(r[0]), len(m), len(o)))
            for k, (B, mu) in enumerate(zip(slopes, marginal.means, strict=True)):
                mean += r[:, k, None] * ((seen - mu) @ B.T)
        filled[np.ix_(rows, m)] = mean
    return filled
