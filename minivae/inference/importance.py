"""log p(x) by importance sampling: draw z where the posterior may be, and weigh each draw.

Each draw z_s from a proposal r weighs w_s = p(x, z_s) / r(z_s), and the mean weight is an unbiased
estimate of p(x) (Eq. IWAE.2). The effective sample size says how far to trust it (Eq. IWAE.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minivae.checks import require_whole
from minivae.distributions import Distribution
from minivae.errors import EffectiveSampleSizeWarning, warn
from minivae.objectives import effective_sample_size, importance_weighted_bound
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, no_grad, values

__all__ = ["Estimate", "LogDensity", "estimate_from", "importance_sampling"]

PORTION = 100  # draws for each datum at a time
HEAVY = 0.7  # the tail index from which a mean of weights is not to be trusted

LogDensity = Callable[[Any], Any]
"""From z of shape ``(C, n, K)`` to log p(x, z) of shape ``(C, n)``, for n data."""


class Estimate(NamedTuple):
    """An estimate of log p(x) for each of n data, in nats."""

    estimate: Array
    """In expectation below log p(x), and rising to it with the number of draws; ``(n,)``."""

    standard_error: Array
    """Of the estimate, ``(n,)``: how much another set of draws would differ."""

    ess: Array
    """The effective sample size, between 1 and S; ``(n,)``."""


def importance_sampling(
    log_density: LogDensity, proposal: Distribution, S: int = 1000, random_state: Any = None
) -> Estimate:
    """log p(x) for each of n data from S draws of a proposal.

    Parameters
    ----------
    log_density
        log p(x, z).
    proposal
        A distribution over z for n data, such as q(z | x) or a Laplace proposal.
    S
        How many draws for each datum.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.

    Raises
    ------
    ValueError
        If a weight is not a number, or infinite.

    Warns
    -----
    EffectiveSampleSizeWarning
        If few draws carry the weight, or the largest weights fall off so slowly that larger ones
        are to be expected, as from a proposal that is narrower than the density. Vehtari, Simpson,
        Gelman, Yao and Gabry (2024).
    """
    require_whole("importance_sampling", "S", S, least=1)
    rng, portions = stream(entropy_from(random_state)), []
    with no_grad():
        for begun in range(0, S, PORTION):
            z = proposal.sample(rng, min(PORTION, S - begun))
            portions.append(values(log_density(z)) - values(proposal.log_prob(z)))
    log_weights = np.concatenate(portions)
    refuse_weights("importance_sampling", log_weights)
    found = estimate_from(log_weights)
    poor = ~(found.ess >= min(10.0, 0.5 * S)) | (_tail_index(log_weights) > HEAVY)
    if poor.any():
        warn(
            f"importance_sampling: the estimates of {poor.sum()} of {poor.size} data rest on their "
            f"largest weights (effective sample sizes from {found.ess[poor].min():.1f} of {S}) and "
            "are likely too low; the proposal is narrower, or far wider, than the density",
            EffectiveSampleSizeWarning,
        )
    return found


def refuse_weights(name: str, log_weights: Array) -> None:
    """Refuse log-weights ``(S, n)`` that are not numbers; -inf, a weight of 0, is one."""
    wrong = ~(log_weights < np.inf)
    if wrong.any():
        s, i = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name}: the log-weight of draw {s} of datum {i} is {log_weights[s, i]}; the densities"
            " must be numbers wherever z is drawn"
        )


def _tail_index(log_weights: Array) -> Array:
    """How slowly the largest weights fall off: from 1/2 on they have no variance, from 1 no mean.

    The moment estimator of Dekkers, Einmahl and de Haan (1989).
    """
    S = len(log_weights)
    largest = min(S // 5, math.ceil(3 * math.sqrt(S)))
    if largest < 20:
        return np.zeros(log_weights.shape[1:])
    top = np.partition(log_weights, S - largest - 1, axis=0)[S - largest - 1 :]
    first, second = (np.mean((top[1:] - top[0]) ** power, axis=0) for power in (1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        index: Array = first + 1.0 - 0.5 / (1.0 - np.square(first) / second)
    return np.where(second > 0, index, 0.0)


def estimate_from(log_weights: Array) -> Estimate:
    """The estimate that log-weights ``(S, n)`` amount to.

    The error of the logarithm of a mean weight is that of the mean relative to it:
    Var(mean w) / mean(w)^2 = 1/ESS - 1/S.
    """
    S, ess = len(log_weights), effective_sample_size(log_weights)
    error = ess * math.inf  # one draw does not show how much another would differ
    if S > 1:
        error = np.sqrt(np.maximum(1.0 / ess - 1.0 / S, 0.0) * S / (S - 1))
    return Estimate(importance_weighted_bound(log_weights), error, ess)

