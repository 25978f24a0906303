"""Whether chains have forgotten their starts, and how many independent draws they are worth.

All functions take draws with the axes ``(C, T, ...)``, C chains of T draws each, and give one
number for each place of the other axes. Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy

from minivae.tensor import Array, as_array

__all__ = ["ess", "ess_bulk", "ess_tail", "mcse", "r_hat"]

PORTION = 1 << 20  # draws at a time, so that copies of many are not made at once


def _by_columns(statistic: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The statistic of a few data and dimensions at a time."""

    @functools.wraps(statistic)
    def whole(draws: Array) -> Array:
        if np.ndim(draws) < 2:
            return statistic(draws)
        C, T, *others = np.shape(draws)
        columns = np.reshape(draws, (C, T, -1))
        width = max(1, PORTION // max(C * T, 1))
        starts = range(0, columns.shape[-1], width)
        found = [statistic(columns[..., i : i + width]) for i in starts]
        return np.concatenate(found).reshape(others)

    return whole


@_by_columns
def r_hat(draws: Array) -> Array:
    """The rank-normalised split R-hat, Eq. CHAIN.4: at most about 1.01 if the chains agree.

    The larger of two values, for the draws and for their distances from the median, so that chains
    with equal means but different spreads are detected too.
    """
    halves = _split(draws)
    away = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.maximum(_plain_r_hat(_normal_ranks(halves)), _plain_r_hat(_normal_ranks(away)))


@_by_columns
def ess_bulk(draws: Array) -> Array:
    """The effective sample size for the centre: that of the rank-normalised draws."""
    return ess(_normal_ranks(_split(draws)))


@_by_columns
def ess_tail(draws: Array) -> Array:
    """The effective sample size for the tails: the lesser of those of the 5% and 95% quantiles."""
    halves = _split(draws)
    sizes = []
    for share in (0.05, 0.95):
        below = halves <= np.quantile(halves, share, axis=(0, 1))
        sizes.append(ess(below.astype(np.float64)))
    return np.minimum(*sizes)


@_by_columns
def mcse(draws: Array) -> Array:
    """The Monte-Carlo standard error of the mean over chains and draws, Eq. CHAIN.6."""
    error: Array = draws.std(axis=(0, 1), ddof=1, dtype=np.float64) / np.sqrt(ess(_split(draws)))
    return error


def ess(draws: Array) -> Array:
    """C T / (1 + 2 sum_t rho_t), with rho the chains' autocorrelation, Eq. CHAIN.5.

    The sum ends where the noise begins: Geyer's initial monotone sequence of sums of two. Draws
    that never change are worth none, and their size is NaN.
    """
    draws = _checked(draws, 2)
    C, T = draws.shape[:2]
    within, plus = _variances(draws)
    centred = draws - draws.mean(axis=1, keepdims=True)
    # all autocovariances at once: the inverse transform of the power spectrum, padded against wrap
    n = 2 ** math.ceil(math.log2(2 * T))
    spectrum = np.abs(np.fft.rfft(centred, n, axis=1)) ** 2
    autocovariance = np.fft.irfft(spectrum, n, axis=1)[:, :T].mean(axis=0) / T
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1.0 - (within - autocovariance * T / (T - 1)) / plus
    rho[0] = 1.0
    pairs = rho[: T - T % 2].reshape(T // 2, 2, *rho.shape[1:]).sum(axis=1)
    positive = np.logical_and.accumulate(pairs > 0, axis=0)
    tau = -1.0 + 2.0 * np.where(positive, np.minimum.accumulate(pairs, axis=0), 0.0).sum(axis=0)
    # antithetic chains may be worth more than C T draws, but not without end
    size = C * T / np.maximum(tau, 1.0 / math.log10(C * T))
    return np.where(plus > 0, size, np.nan)


def _plain_r_hat(draws: Array) -> Array:
    within, plus = _variances(draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(plus / within)


def _variances(draws: Array) -> tuple[Array, Array]:
    """W, the mean variance within chains, and (T - 1)/T W + the variance of their means."""
    T = draws.shape[1]
    within = draws.var(axis=1, ddof=1).mean(axis=0)
    between = draws.mean(axis=1).var(axis=0, ddof=1) if len(draws) > 1 else 0.0
    return within, (T - 1) / T * within + between


def _checked(given: Any, least: int) -> Array:
    draws: Array = as_array("diagnostics", given, np.float64)
    if draws.ndim < 2 or draws.shape[1] < least:
        raise ValueError(
            f"diagnostics: draws of shape {draws.shape} are too few; they must be (C, T, ...) with "
            f"T at least {least}"
        )
    return draws


def _split(draws: Array) -> Array:
    """Each chain cut in half, so that a drift within one shows as a difference between two."""
    draws = _checked(draws, 4)
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_ranks(draws: Array) -> Array:
    """Normal scores of the ranks among all draws of all chains; ties get their average rank."""
    from scipy.stats import rankdata  # scipy.stats takes longer to load than all the rest

    S = draws.shape[0] * draws.shape[1]
    ranks = rankdata(draws.reshape(S, -1), axis=0).reshape(draws.shape)
    scores: Array = scipy.special.ndtri((ranks - 0.375) / (S + 0.25))
    return scores
