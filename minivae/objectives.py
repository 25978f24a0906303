"""What a latent-variable model is trained on: the ELBO in its forms, tighter bounds, minibatch estimates.

Throughout, ``encode(x)`` gives ``(mu, log_var)`` of shape ``(N, K)``, ``decode(z)`` the parameters of p(x | z) for
z of shape ``(S*N, K)``, ``likelihood.log_prob(parameters, x)`` one number a row, and ``eps`` is standard normal noise
of shape ``(S, N, K)``: S samples for each of N data. All results are in nats per datum, of shape ``(N,)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minivae import ops
from minivae.distributions import Likelihood, kl_divergence, standard_normal_log_prob
from minivae.tensor import Array

__all__ = [
    "ElboTerms",
    "effective_sample_size",
    "elbo_terms",
    "importance_weighted_bound",
    "joint_elbo",
    "log_importance_weights",
    "minibatch_estimate",
    "posterior_sample",
]

Encode = Callable[[Any], tuple[Any, Any]]
Decode = Callable[[Any], tuple[Any, ...]]


class ElboTerms(NamedTuple):
    """The two terms of the ELBO, each of shape ``(N,)`` in nats per datum."""

    reconstruction: Any
    kl: Any

    @property
    def elbo(self) -> Any:
        """reconstruction - KL, Eq. ELBO.3."""
        return self.reconstruction - self.kl


def posterior_sample(mu: Any, log_var: Any, eps: Array) -> Any:
    """z = mu + exp(log_var / 2) eps, Eq. REP.1, of shape ``(S*N, K)``."""
    return ops.reparameterise(mu, log_var, eps.reshape(-1, eps.shape[-1]))


def _mean_over_samples(values: Any, S: int) -> Any:
    """From ``(S*N,)`` to ``(N,)``."""
    return values if S == 1 else ops.mean(ops.reshape(values, (S, -1)), 0)


def _log_q_ratio(mu: Any, log_var: Any, eps: Array, z: Any) -> Any:
    """log q(z | x) - log p(z) at z = mu + exp(log_var / 2) eps, of shape ``(S*N,)``.

    With the noise at hand, (z - mu) / sigma is eps itself: log q needs no division.
    """
    flat = eps.reshape(-1, eps.shape[-1])
    log_q = -0.5 * ops.sum(log_var, -1)
    log_q = ops.reshape(ops.broadcast_to(log_q, eps.shape[:2]), (-1,))
    constant = -0.5 * (np.square(flat).sum(axis=1) + flat.shape[1] * math.log(2.0 * math.pi)).astype(flat.dtype)
    return log_q + constant - standard_normal_log_prob(z)


def elbo_terms(
    encode: Encode, decode: Decode, likelihood: Likelihood, x: Any, eps: Array, kl: str = "analytic"
) -> ElboTerms:
    """The evidence lower bound E_q[log p(x | z)] - KL(q(z | x) || p(z)), Eq. ELBO.3.

    Parameters
    ----------
    encode, decode, likelihood, x, eps
        As above.
    kl
        ``"analytic"``, the closed form of Eq. KL.4, or ``"monte-carlo"``, the mean of log q(z | x) - log p(z) over the
        same samples, Eq. ELBO.4.

    References
    ----------
    Kingma and Welling (2014), Eqs. 3, 7 and 10.
    """
    mu, log_var = encode(x)
    z = posterior_sample(mu, log_var, eps)
    S = len(eps)
    reconstruction = _mean_over_samples(likelihood.log_prob(decode(z), x), S)
    if kl == "analytic":
        return ElboTerms(reconstruction, kl_divergence(mu, log_var))
    return ElboTerms(reconstruction, _mean_over_samples(_log_q_ratio(mu, log_var, eps, z), S))


def log_importance_weights(
    encode: Encode, decode: Decode, likelihood: Likelihood, x: Any, eps: Array
) -> Any:
    """log w = log p(x | z) + log p(z) - log q(z | x) for each sample, of shape ``(S, N)``, Eq. IWAE.1."""
    mu, log_var = encode(x)
    z = posterior_sample(mu, log_var, eps)
    log_w = likelihood.log_prob(decode(z), x) - _log_q_ratio(mu, log_var, eps, z)
    return ops.reshape(log_w, eps.shape[:2])


def joint_elbo(encode: Encode, decode: Decode, likelihood: Likelihood, x: Any, eps: Array) -> Any:
    """The ELBO as E_q[log p(x, z) - log q(z | x)], the mean of log w, Eq. ELBO.2."""
    return ops.mean(log_importance_weights(encode, decode, likelihood, x, eps), 0)


def importance_weighted_bound(log_weights: Any) -> Any:
    """log (1/S sum_s w_s), from log-weights of shape ``(S, N)``, Eq. IWAE.2.

    In expectation it lies between the ELBO (S = 1) and log p(x), and rises with S. Burda et al. (2016).
    """
    return ops.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def effective_sample_size(log_weights: Array) -> Array:
    """(sum_s w_s)^2 / sum_s w_s^2 for each datum, from log-weights ``(S, N)``, Eq. IWAE.3.

    Between 1 (one sample carries the whole weight) and S (all weigh the same). Kong (1992).
    """
    w = ops.softmax(log_weights, 0)
    return 1.0 / np.square(w).sum(axis=0)


def minibatch_estimate(terms: Any, n_total: int) -> Any:
    """(N / M) sum of M terms: an unbiased estimate of the sum over all N data, Eq. MB.2.

    Parameters
    ----------
    terms
        One number for each datum of a minibatch drawn uniformly, of shape ``(M,)``.
    n_total
        N, the number of data that the minibatch was drawn from.
    """
    return ops.sum(terms) * (n_total / terms.shape[0])
