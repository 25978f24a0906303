"""log p(x) by importance sampling: draw z where the posterior may be, and weigh each draw.

Each draw z_s from a proposal r weighs w_s = p(x, z_s) / r(z_s), and the mean weight is an unbiased
estimate of p(x) (Eq. IWAE.2). How far to trust it, the effective sample size says (Eq. IWAE.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minivae.distributions import Distribution
from minivae.objectives import effective_sample_size, importance_weighted_bound
from minivae.tensor import Array, no_grad, values

__all__ = ["Estimate", "LogDensity", "estimate_from", "importance_sampling"]

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
    """
    z = proposal.sample(random_state, S)
    with no_grad():
        return estimate_from(values(log_density(z)) - values(proposal.log_prob(z)))


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

