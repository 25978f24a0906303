"""Gaussians over z: diagonal, full, and the standard normal."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.distributions.base import Distribution, numbers
from minivae.errors import ShapeError
from minivae.tensor import Array

__all__ = [
    "DiagonalGaussian",
    "FullGaussian",
    "StandardNormal",
    "gaussian_entropy",
    "kl_divergence",
    "standard_normal_log_prob",
]

LOG_2PI = math.log(2.0 * math.pi)
LEAST_LOG_SCALE = -300.0


def kl_divergence(mu: Any, log_var: Any) -> Any:
    """KL(N(mu, exp(log_var)) || N(0, I)) in nats, Eq. KL.5.

    Parameters
    ----------
    mu, log_var
        Arrays or tensors of shape ``(N, K)``.

    Returns
    -------
    array or Tensor
        Of shape ``(N,)``; exact to rounding however near the prior. Kingma and Welling (2014),
        appendix B.
    """
    return ops.gaussian_kl(mu, log_var)


def standard_normal_log_prob(z: Any) -> Any:
    """log N(z; 0, I) in nats for z ``(..., K)``, of shape ``(...)``, Eq. GAUSS.2."""
    return -0.5 * ops.sum(ops.square(z), -1) - 0.5 * z.shape[-1] * LOG_2PI


def gaussian_entropy(log_var: Any) -> Any:
    """The entropy of N(mu, exp(log_var)) in nats, one number per row, Eq. GAUSS.3."""
    return 0.5 * ops.sum(log_var, -1) + 0.5 * log_var.shape[-1] * (1.0 + LOG_2PI)


class DiagonalGaussian(Distribution):
    """N(mu, exp(log_var)), independent in each dimension; both of shape ``(N, K)``.

    As a prior p(z) both have shape ``(K,)``; as p(z | c), ``(N, K)``.
    """

    parts = ("mu", "log_var")

    def __init__(self, mu: Any, log_var: Any) -> None:
        if np.shape(mu) != np.shape(log_var):
            raise ShapeError(
                f"DiagonalGaussian: mu has shape {np.shape(mu)} and log_var {np.shape(log_var)}; "
                "they must have one shape, (N, K)"
            )
        self.mu, self.log_var = mu, log_var

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Standard normal noise ``(S, N, K)``."""
        return normal_noise(rng, S, self.mu)

    def rsample(self, eps: Any) -> Any:
        """z = mu + exp(log_var / 2) eps, Eq. REP.1."""
        if len(self.mu.shape) == 2:
            return ops.reparameterise(self.mu, self.log_var, eps)
        return self.mu + ops.exp(0.5 * self.log_var) * eps

    def log_prob(self, z: Any) -> Any:
        """log N(z; mu, exp(log_var)) in nats, Eq. GAUSS.1."""
        squares = ops.square(z - self.mu) * ops.exp(-self.log_var)
        return -0.5 * ops.sum(squares + self.log_var + LOG_2PI, -1)

    def rsample_and_log_prob(self, eps: Any) -> tuple[Any, Any]:
        """z and log q(z), of shapes ``(S, N, K)`` and ``(S, N)``, Eq. GAUSS.1.

        With the noise at hand, (z - mu) / sigma is eps itself: no division, no cancellation.
        """
        squares = np.square(eps).sum(axis=-1) + eps.shape[-1] * LOG_2PI
        log_q = -0.5 * (ops.sum(self.log_var, -1) + squares.astype(eps.dtype))
        return self.rsample(eps), log_q

    def entropy(self) -> Any:
        """In closed form, Eq. GAUSS.3."""
        return gaussian_entropy(self.log_var)

    def _kl_closed(self, prior: Distribution, per_dimension: bool) -> Any:
        if isinstance(prior, StandardNormal):  # Eq. KL.5
            if not per_dimension and len(self.mu.shape) == 2:
                return kl_divergence(self.mu, self.log_var)
            terms = 0.5 * (ops.square(self.mu) + (ops.expm1(self.log_var) - self.log_var))
        elif isinstance(prior, DiagonalGaussian):  # the same, in units of the prior's sigma
            away = ops.square(self.mu - prior.mu) * ops.exp(-prior.log_var)
            ratio = self.log_var - prior.log_var
            terms = 0.5 * (away + (ops.expm1(ratio) - ratio))
        elif isinstance(prior, FullGaussian) and not per_dimension:
            return self.full()._kl_closed(prior, False)
        else:
            return None
        return terms if per_dimension else ops.sum(terms, -1)

    def full(self) -> FullGaussian:
        """The same distribution as a Gaussian with a full covariance matrix."""
        sigma = ops.exp(0.5 * self.log_var)
        return FullGaussian(
            self.mu, ops.expand_dims(sigma, -1) * np.eye(sigma.shape[-1], dtype=sigma.dtype)
        )

    def moments(self) -> tuple[Array, Array]:
        """mu, and exp(log_var) on a diagonal."""
        mu, var = numbers(self.mu), np.exp(numbers(self.log_var), dtype=np.float64)
        return mu, var[..., None] * np.eye(mu.shape[-1])

    def factor(self) -> Array:
        """exp(log_var / 2) on a diagonal.

        A q that has shrunk to a point is kept where its scale and the inverse are finite.
        """
        log_sigma = np.maximum(0.5 * numbers(self.log_var).astype(np.float64), LEAST_LOG_SCALE)
        return np.exp(log_sigma)[..., None] * np.eye(log_sigma.shape[-1])


class StandardNormal(Distribution):
    """The prior p(z) = N(0, I) over K dimensions."""

    def __init__(self, latent_dim: int, dtype: Any = np.float64) -> None:
        self.latent_dim, self.dtype = latent_dim, np.dtype(dtype)

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Standard normal noise ``(S, K)``."""
        return rng.standard_normal((S, self.latent_dim), dtype=self.dtype)

    def rsample(self, eps: Any) -> Any:
        """The noise itself."""
        return eps

    def log_prob(self, z: Any) -> Any:
        """log N(z; 0, I) in nats, Eq. GAUSS.2."""
        return standard_normal_log_prob(z)

    def entropy(self) -> Any:
        """K (1 + log 2 pi) / 2, Eq. GAUSS.3."""
        return 0.5 * self.latent_dim * (1.0 + LOG_2PI)

    def _kl_closed(self, prior: Distribution, per_dimension: bool) -> Any:
        zero = np.zeros(self.latent_dim, self.dtype)
        return DiagonalGaussian(zero, zero)._kl_closed(prior, per_dimension)

    def detach(self) -> Self:
        """Itself: it has no parameters."""
        return self

    def moments(self) -> tuple[Array, Array]:
        """The mean 0 and the covariance I."""
        return np.zeros(self.latent_dim), np.eye(self.latent_dim)


class FullGaussian(Distribution):
    """N(mu, L L^T) with mu ``(N, K)`` and L ``(N, K, K)``, lower triangular, its diagonal positive.

    As a prior, ``(K,)`` and ``(K, K)``.
    """

    parts = ("mu", "L")

    def __init__(self, mu: Any, L: Any) -> None:
        if (*np.shape(mu), np.shape(mu)[-1]) != np.shape(L):
            raise ShapeError(
                f"FullGaussian: mu has shape {np.shape(mu)} and L {np.shape(L)}; they must be "
                "(N, K) and (N, K, K)"
            )
        self.mu, self.L = mu, L

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Standard normal noise ``(S, N, K)``."""
        return normal_noise(rng, S, self.mu)

    def rsample(self, eps: Any) -> Any:
        """z = mu + L eps."""
        return self.mu + _times(self.L, eps)

    def log_prob(self, z: Any) -> Any:
        """log N(z; mu, L L^T) in nats: that of e with L e = z - mu, and the volume ``|L|``."""
        e = _times(ops.inverse_triangular(self.L, lower=True), z - self.mu)
        return standard_normal_log_prob(e) - self._log_det()

    def rsample_and_log_prob(self, eps: Any) -> tuple[Any, Any]:
        """z and log q(z), computed from the noise without a triangular solve."""
        return self.rsample(eps), standard_normal_log_prob(eps) - self._log_det()

    def entropy(self) -> Any:
        """``K (1 + log 2 pi) / 2 + log |L|``, Eq. GAUSS.3."""
        return 0.5 * self.mu.shape[-1] * (1.0 + LOG_2PI) + self._log_det()

    def _log_det(self) -> Any:
        """log |L|."""
        return ops.sum(ops.log(ops.diagonal(self.L, axis1=-2, axis2=-1)), -1)

    def _kl_closed(self, prior: Distribution, per_dimension: bool) -> Any:
        if per_dimension:
            return None
        if isinstance(prior, StandardNormal):
            away, inner = self.mu, self.L
            log_ratio = self._log_det()
        elif isinstance(prior, DiagonalGaussian | FullGaussian):
            other = prior if isinstance(prior, FullGaussian) else prior.full()
            inverse = ops.inverse_triangular(other.L, lower=True)
            away, inner = _times(inverse, self.mu - other.mu), ops.matmul(inverse, self.L)
            log_ratio = self._log_det() - other._log_det()
        else:
            return None
        # (|away|^2 + |inner|^2 - K) / 2 - log |inner|
        squares = ops.sum(ops.square(away), -1) + ops.sum(ops.square(inner), (-2, -1))
        return 0.5 * (squares - self.mu.shape[-1]) - log_ratio

    def moments(self) -> tuple[Array, Array]:
        """mu and L L^T."""
        L = self.factor()
        return numbers(self.mu), L @ L.swapaxes(-1, -2)

    def factor(self) -> Array:
        """L."""
        return numbers(self.L).astype(np.float64)


def _times(L: Any, e: Any) -> Any:
    """L e for vectors e ``(..., K)`` and matrices L ``(N, K, K)`` or ``(K, K)``."""
    return ops.sum(L * ops.expand_dims(e, -2), -1)


def normal_noise(rng: np.random.Generator, S: int, like: Any) -> Array:
    """Standard normal noise for S samples of parameters ``(N, K)`` or ``(K,)``, in their dtype.

    It is drawn datum by datum, so that what a datum gets does not depend on those after it.
    """
    *N, K = like.shape
    noise = rng.standard_normal((*N, S, K), dtype=like.dtype)
    return noise.swapaxes(0, 1).copy() if N else noise
