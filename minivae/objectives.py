"""What a latent-variable model is trained on: the ELBO, tighter bounds, minibatch estimates.

Throughout, ``encode(x)`` gives ``(mu, log_var)`` of shape ``(N, K)``, ``decode(z)`` the parameters
of p(x | z) for z of shape ``(S*N, K)``, ``likelihood.log_prob(parameters, x)`` one number a row,
and ``eps`` is standard normal noise of shape ``(S, N, K)``: S samples for each of N data. All
results are in nats per datum, of shape ``(N,)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minivae import ops
from minivae.distributions import Likelihood, Prior, StandardNormal
from minivae.tensor import Array

__all__ = [
    "ElboTerms",
    "SampleTerms",
    "categorical_log_prob",
    "effective_sample_size",
    "elbo_terms",
    "expected_log_joint",
    "importance_weighted_bound",
    "minibatch_estimate",
    "posterior_sample",
    "sample_terms",
]

Encode = Callable[[Any], tuple[Any, Any]]
Decode = Callable[[Any], tuple[Any, ...]]
STANDARD = StandardNormal()


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


def _log_q(log_var: Any, eps: Array) -> Any:
    """log q(z | x) at z = mu + exp(log_var / 2) eps, of shape ``(S, N)``, Eq. GAUSS.1.

    With the noise at hand, (z - mu) / sigma is eps itself: no division, no cancellation.
    """
    squares = np.square(eps).sum(axis=-1) + eps.shape[-1] * math.log(2.0 * math.pi)
    return -0.5 * (ops.sum(log_var, -1) + squares.astype(eps.dtype))


class SampleTerms(NamedTuple):
    """Both terms of the ELBO at each sample of z, of shape ``(S, N)`` in nats per datum."""

    log_likelihood: Any  # log p(x | z)
    log_ratio: Any  # log q(z | x) - log p(z)

    @property
    def log_weights(self) -> Any:
        """log w = log p(x | z) + log p(z) - log q(z | x), Eq. IWAE.1."""
        return self.log_likelihood - self.log_ratio

    @property
    def means(self) -> ElboTerms:
        """The Monte-Carlo ELBO's two terms, Eq. ELBO.4."""
        return ElboTerms(ops.mean(self.log_likelihood, 0), ops.mean(self.log_ratio, 0))


def sample_terms(
    encode: Encode,
    decode: Decode,
    likelihood: Likelihood,
    x: Any,
    eps: Array,
    prior: Prior = STANDARD,
) -> SampleTerms:
    """log p(x | z) and log q(z | x) - log p(z) at S samples of z for each datum."""
    mu, log_var = encode(x)
    z = posterior_sample(mu, log_var, eps)
    log_likelihood = ops.reshape(likelihood.log_prob(decode(z), x), eps.shape[:2])
    log_prior = ops.reshape(prior.log_prob(z), eps.shape[:2])
    return SampleTerms(log_likelihood, _log_q(log_var, eps) - log_prior)


def elbo_terms(
    encode: Encode,
    decode: Decode,
    likelihood: Likelihood,
    x: Any,
    eps: Array,
    prior: Prior = STANDARD,
) -> ElboTerms:
    """The evidence lower bound E_q[log p(x | z)] - KL(q(z | x) || p(z)), Eq. ELBO.3.

    The KL is in closed form, if the prior has one. Its twin with a Monte-Carlo KL is
    ``sample_terms(...).means``, Eq. ELBO.4; for the joint form, the mean of log p(x, z) -
    log q(z | x), average ``sample_terms(...).log_weights``, Eq. ELBO.2. Kingma and Welling (2014).
    """
    mu, log_var = encode(x)
    z = posterior_sample(mu, log_var, eps)
    reconstruction = likelihood.log_prob(decode(z), x)
    if len(eps) > 1:
        reconstruction = ops.mean(ops.reshape(reconstruction, eps.shape[:2]), 0)
    return ElboTerms(reconstruction, prior.kl_divergence(mu, log_var, z))


def importance_weighted_bound(log_weights: Any) -> Any:
    """log (1/S sum_s w_s), from log-weights of shape ``(S, N)``, Eq. IWAE.2.

    In expectation it lies between the ELBO (S = 1) and log p(x), and rises with S. Burda et al.
    (2016).
    """
    return ops.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])


def effective_sample_size(log_weights: Array) -> Array:
    """(sum_s w_s)^2 / sum_s w_s^2 for each datum, from log-weights ``(S, N)``, Eq. IWAE.3.

    Between 1 (one sample carries the whole weight) and S (all weigh the same). Kong (1992).
    """
    w: Array = ops.softmax(log_weights, 0)
    sizes: Array = 1.0 / np.square(w).sum(axis=0)
    return sizes


def expected_log_joint(log_joint: Any, responsibilities: Array) -> Any:
    """sum_k r_nk log p(x_n, z_n = k), the expected complete-data log-likelihood of each datum.

    Its gradient, with the responsibilities of the same parameters held, is the gradient of
    log p(x_n): Fisher's identity, Eq. GMM.9. So the M-step's objective leads uphill, and where EM
    stands still the likelihood is level. Dempster, Laird and Rubin (1977).

    Parameters
    ----------
    log_joint
        log p(x_n, z_n = k), of shape ``(N, K)``.
    responsibilities
        p(z_n = k | x_n), of shape ``(N, K)``; numbers that no gradient passes through.
    """
    return ops.sum(responsibilities * log_joint, -1)


def categorical_log_prob(log_weights: Any, decode: Decode, likelihood: Likelihood, x: Any) -> Any:
    """log p(x) = log sum_k pi_k p(x | z = k), one number a row: z summed out, Eq. GMM.10.

    Parameters
    ----------
    log_weights
        log pi, of shape ``(K,)``: p(z) over K categories.
    decode
        Takes the K categories as one-hot rows ``(K, K)``. With a Gaussian likelihood the model is
        a mixture of K Gaussians with diagonal covariances.
    likelihood, x
        p(x | z), and data of shape ``(N, D)``.
    """
    K, (N, D) = log_weights.shape[0], x.shape
    parameters = tuple(
        _repeat_each(p, N) if p.shape == (K, D) else p  # else a scale that all share
        for p in decode(np.eye(K, dtype=log_weights.dtype))
    )
    log_likelihood = ops.reshape(likelihood.log_prob(parameters, x), (K, N))
    return ops.logsumexp(ops.expand_dims(log_weights, 1) + log_likelihood, 0)


def _repeat_each(p: Any, times: int) -> Any:
    """Each row that many times in a row."""
    K, D = p.shape
    return ops.reshape(ops.broadcast_to(ops.expand_dims(p, 1), (K, times, D)), (K * times, D))


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
