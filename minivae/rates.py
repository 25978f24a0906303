"""Rate and distortion: a KL that costs nothing up to a threshold, and the best noise scale."""

from __future__ import annotations

import math
from typing import Any

from minivae import ops
from minivae.tensor import values

__all__ = ["free_bits", "optimal_noise", "profile_log_prob"]


def free_bits(kl: Any, least: float) -> Any:
    """sum_k max(mean_n KL_nk, least): what the KL costs if a dimension's first nats are free.

    Eq. RATE.2. A dimension below ``least`` has no gradient that would collapse it. The result is
    never below the KL, so the reconstruction minus it is still a lower bound, though a looser one.
    Kingma et al. (2016).

    Parameters
    ----------
    kl
        The KL of each datum and dimension, ``(N, K)``, in nats.
    least
        In nats per dimension.
    """
    return ops.sum(ops.maximum(ops.mean(kl, 0), least))


def optimal_noise(x: Any, mu: Any) -> Any:
    """The scale sigma at which N(x; mu, sigma^2 I) is greatest, Eq. RATE.3.

    The root of the mean squared error over all values of x and mu, of one shape.

    Raises
    ------
    ValueError
        If the error is 0: the likelihood then has no maximum.
    """
    squared = ops.mean(ops.square(x - mu))
    if not float(values(squared)) > 0.0:
        raise ValueError(
            "optimal_noise: x and mu are equal, so the likelihood grows without bound as sigma "
            "falls; give sigma a floor"
        )
    return ops.sqrt(squared)


def profile_log_prob(x: Any, mu: Any) -> Any:
    """The mean of log N(x_n; mu_n, sigma^2 I) at its best sigma, Eq. RATE.4, in nats per datum.

    Up to constants it is -D/2 log MSE: with the noise at its optimum the Gaussian loss is the
    logarithm of the squared error. Its gradient in mu is that of the log-density with sigma held.
    Rybkin, Daniilidis and Levine (2021).

    Parameters
    ----------
    x, mu
        Data and means ``(N, D)``.
    """
    D = x.shape[-1]
    return -D * ops.log(optimal_noise(x, mu)) - 0.5 * D * (1.0 + math.log(2.0 * math.pi))
