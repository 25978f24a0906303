"""The posterior of a Bayesian mixture: mean-field coordinate ascent in its classic form.

Weights, means and precisions are latent, too. The best q is a Dirichlet (or sticks of Beta
variables) times a Gaussian-Wishart for each component; its E-step is that of an ordinary mixture
with other weights, and goes through the data by the same kernels.

- `Posterior`: q of all parameters, and the mixture that its E-step is of;
- `m_step`: the best q given the responsibilities;
- `bound`: on log p(X), every term of it.

References
----------
Bishop (2006), section 10.2; Blei and Jordan (2006) for the sticks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy

from minivae.distributions.mixture import MixtureOfGaussians, as_matrices, constrained
from minivae.models.mixture.em import moments
from minivae.tensor import Array
from minivae_kernels.mixture import MixtureStatistics

__all__ = [
    "Posterior", "bound", "expected_log_weights", "expected_weights", "kl_of_components",
    "kl_of_weights", "m_step",
]  # fmt: skip


class Posterior(NamedTuple):
    """q(pi) q(mu, Lambda); also the prior, whose components are all equal."""

    concentration: Array
    """alpha of the Dirichlet, ``(K,)``, or both parameters of the sticks' Betas, ``(2, K)``."""

    mean_precision: Array
    """beta: q(mu_k given Lambda_k) = N(m_k, (beta_k Lambda_k)^-1), ``(K,)``."""

    degrees_of_freedom: Array
    """nu for each component; ``()`` for tied, where the one Wishart has K nu."""

    expected: MixtureOfGaussians
    """E[pi], m, and the inverses of E[Lambda]."""

    @property
    def wisharts(self) -> tuple[int, int]:
        """The dimension p of the Wisharts, and of how many nu one has its degrees of freedom."""
        K, D = self.expected.means.shape
        return {"full": (D, 1), "tied": (D, K), "diag": (1, 1), "spherical": (1, D)}[
            self.expected.covariance_type
        ]

    @property
    def mixture(self) -> MixtureOfGaussians:
        """exp E[log pi_k N(x; mu_k, Lambda_k^-1)] as weights times Gaussians, Eq. VBM.2."""
        D, (p, times) = self.expected.means.shape[1], self.wisharts
        short = _expected_log_det(times * self.degrees_of_freedom, p)  # below log |E[Lambda]|
        log_weights = expected_log_weights(self.concentration)
        log_weights = log_weights + 0.5 * (short * (D // p) - D / self.mean_precision)
        return replace(self.expected, weights=np.exp(log_weights))


def _expected_log_det(nu: Array, p: int) -> Array:
    """E[log |Lambda|] - log |E[Lambda]| of Wisharts of dimension p."""
    psi = scipy.special.digamma((nu[..., None] - np.arange(p)) / 2).sum(axis=-1)
    return np.asarray(psi - p * np.log(nu / 2))


def expected_log_weights(concentration: Array) -> Array:
    """E[log pi] of a Dirichlet or of sticks that are broken off one after the other, Eq. VBM.3."""
    logs = scipy.special.digamma(concentration) - scipy.special.digamma(concentration.sum(axis=0))
    if concentration.ndim == 1:
        return np.asarray(logs)
    broken, left = logs
    return np.asarray(broken + np.cumsum(left) - left)


def expected_weights(concentration: Array) -> Array:
    """E[pi] likewise; what sticks leave over is shared in proportion."""
    shares = concentration / concentration.sum(axis=0)
    if concentration.ndim == 1:
        return np.asarray(shares)
    weights = shares[0] * np.concatenate([[1.0], np.cumprod(shares[1, :-1])])
    return np.asarray(weights / weights.sum())


def m_step(sums: MixtureStatistics, centres: Array, q: Posterior, prior: Posterior,
           floor: float) -> Posterior:  # fmt: skip
    """The best q(pi) q(mu, Lambda) given the responsibilities, Eq. VBM.1.

    No eigenvalue of E[Lambda]^-1 is below the floor: the best under that constraint, Eq. GMM.7.
    """
    N, theta = sums.counts, q.expected
    kind, K = theta.covariance_type, len(theta.means)
    means, scatter = moments(sums, centres, theta)
    if prior.concentration.ndim == 1:
        concentration = prior.concentration + N
    else:
        after = np.cumsum(N[::-1])[::-1] - N
        concentration = prior.concentration + np.stack([N, after])
    beta = prior.mean_precision + N
    away = means - prior.expected.means
    m = prior.expected.means + (N / beta)[:, None] * away
    between = prior.mean_precision * N / beta  # of the data's mean from the prior's
    nu, S_0 = _inverse_scale(prior)
    if kind == "full":
        shape = (K, 1, 1)
        spread = N.reshape(shape) * scatter
        spread = spread + between.reshape(shape) * away[:, :, None] * away[:, None, :]
        freedom = nu + N
    elif kind == "tied":
        spread = (N.sum() * scatter + (between[:, None] * away).T @ away) / K
        freedom = nu + N.sum() / K
    elif kind == "diag":
        spread = N[:, None] * scatter + between[:, None] * away**2
        freedom = nu + N
    else:
        spread = N * scatter + between * (away**2).mean(axis=1)
        freedom = nu + N
    divisor = freedom.reshape(freedom.shape + (1,) * (S_0.ndim - freedom.ndim))
    covariances, factors, _ = constrained((S_0 + spread) / divisor, kind, floor)
    weights = expected_weights(concentration)
    expected = MixtureOfGaussians(weights, m, covariances, factors, kind)
    return Posterior(concentration, beta, freedom, expected)


def _inverse_scale(q: Posterior) -> tuple[Array, Array]:
    """nu, and the inverse scale matrix: nu E[Lambda]^-1, in the covariances' shape."""
    nu, S = q.degrees_of_freedom, q.expected.covariances
    return nu, nu.reshape(nu.shape + (1,) * (S.ndim - nu.ndim)) * S


def bound(sums: MixtureStatistics, q: Posterior, prior: Posterior) -> float:
    """The bound on log p(X) of all data, in nats, with every constant in, Eq. VBM.4."""
    return sums.log_likelihood - kl_of_weights(q, prior) - kl_of_components(q, prior)


def kl_of_weights(q: Posterior, prior: Posterior) -> float:
    """KL(q(pi) || p(pi)) of Dirichlets, or the sum over sticks, Eq. VBM.5."""
    a, b = q.concentration, prior.concentration
    total = scipy.special.gammaln(a.sum(axis=0)) - scipy.special.gammaln(b.sum(axis=0))
    logs = scipy.special.digamma(a) - scipy.special.digamma(a.sum(axis=0))
    ratio = scipy.special.gammaln(b) - scipy.special.gammaln(a)
    return float(np.sum(total) + np.sum(ratio + (a - b) * logs))


def kl_of_components(q: Posterior, prior: Posterior) -> float:
    """KL(q(mu, Lambda) || p(mu, Lambda)), including the Wishart's part, Eq. VBM.6."""
    theta, theta_0 = q.expected, prior.expected
    (K, D), (p, times) = theta.means.shape, q.wisharts
    ratio = prior.mean_precision / q.mean_precision
    precisions = as_matrices(theta.precisions, theta.covariance_type, K, D)
    away = theta.means - theta_0.means
    squares = np.einsum("ki,kij,kj->k", away, precisions, away)
    gaussian = 0.5 * (D * (ratio - 1 - np.log(ratio)) + prior.mean_precision * squares)

    nu, nu_0 = times * q.degrees_of_freedom, times * prior.degrees_of_freedom
    _, scale_0 = _inverse_scale(prior)
    log_det, log_det_0 = _log_det(theta), _log_det(theta_0)  # of E[Lambda] = nu W
    if theta.covariance_type in ("full", "tied"):
        trace = times * np.einsum("...ij,...ij->...", scale_0, theta.precisions)
    else:
        trace = times * scale_0 * theta.precisions
    if theta.covariance_type == "diag":  # a Wishart for each feature
        nu, nu_0 = nu[:, None], nu_0[:, None]
    psi = scipy.special.digamma((nu[..., None] - np.arange(p)) / 2).sum(axis=-1)
    wishart = (
        0.5 * nu_0 * (log_det_0 - p * np.log(nu_0) - log_det + p * np.log(nu))
        + scipy.special.multigammaln(nu_0 / 2, p) - scipy.special.multigammaln(nu / 2, p)
        + 0.5 * (nu - nu_0) * psi + 0.5 * (trace - nu * p)
    )  # fmt: skip
    return float(gaussian.sum() + wishart.sum())


def _log_det(theta: MixtureOfGaussians) -> Array:
    """log |E[Lambda]| of each Wishart."""
    U = theta.precisions_cholesky
    if theta.covariance_type in ("full", "tied"):
        U = np.diagonal(U, axis1=-2, axis2=-1)
        return np.asarray(2 * np.log(U).sum(axis=-1))
    return np.asarray(2 * np.log(U))
