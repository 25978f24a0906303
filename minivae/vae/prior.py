"""A mixture of Gaussians as the prior of a variational autoencoder, trained or fitted afterwards.

The prior that serves the ELBO best is the aggregate posterior, the mean of q(z | x) over the data:
any other costs the KL between the two. N(0, I) asks the encoder for that shape; a mixture takes the
shape that it finds. Hoffman and Johnson (2016); Tomczak and Welling (2018).
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checks import check_data
from minivae.distributions import gaussian_entropy, mixture_log_joint, mixture_log_prob
from minivae.errors import ConvergenceWarning
from minivae.gmm import GaussianMixture
from minivae.nn import Module
from minivae.tensor import Array, Tensor, Value, no_grad, primitive

__all__ = ["MixturePrior"]


def _positive_diagonal(factors: Array, /) -> Array:
    """Each matrix ``(C, K, K)`` with the exponentials of its diagonal in their places."""
    L, i = factors.copy(), np.arange(factors.shape[-1])
    L[:, i, i] = np.exp(L[:, i, i])
    return L


def _positive_diagonal_vjp(g: Value, out: Value, factors: Value) -> Value:
    # dL_ij = dfactors_ij, and dL_ii = L_ii dfactors_ii
    return g * ops.where(np.eye(factors.shape[-1], dtype=bool), out, 1.0)


positive_diagonal = primitive(_positive_diagonal, _positive_diagonal_vjp)


class MixturePrior(Module):
    """The prior p(z) = sum_c pi_c N(z; m_c, L_c L_c^T), Eq. PRIOR.1.

    Every parameter is free: the weights are a softmax, the diagonals of the factors exponentials.

    Parameters
    ----------
    weights, means, factors
        pi, m and L, lower triangular with a positive diagonal, of shapes ``(C,)``, ``(C, K)`` and
        ``(C, K, K)``.
    dtype
        float32 or float64, of the parameters.

    Attributes
    ----------
    logits
        log pi up to a constant, ``(C,)``.
    means
        m, ``(C, K)``.
    factors
        L with the logarithms of its diagonals in their places, ``(C, K, K)``; the zeros above stay.
    """

    def __init__(self, weights: Array, means: Array, factors: Array, dtype: Any) -> None:
        with np.errstate(divide="ignore"):  # a component without weight
            logits = np.maximum(np.log(weights), np.log(np.finfo(dtype).tiny))
        eye = np.eye(means.shape[1])
        self.logits = Tensor(logits, requires_grad=True, dtype=dtype)
        self.means = Tensor(means, requires_grad=True, dtype=dtype)
        free = np.where(eye, np.log(np.where(eye, factors, 1.0)), np.tril(factors))
        self.factors = Tensor(free, requires_grad=True, dtype=dtype)

    @classmethod
    def standard(cls, C: int, K: int, dtype: Any) -> Self:
        """C components that are N(0, I), each of them and so together."""
        return cls(np.full(C, 1.0 / C), np.zeros((C, K)), np.tile(np.eye(K), (C, 1, 1)), dtype)

    @classmethod
    def of(cls, mixture: GaussianMixture, dtype: Any) -> Self:
        """The density of a fitted mixture, of whatever covariance type."""
        C, K = mixture.means_.shape
        U = np.asarray(mixture.precisions_cholesky_)
        if mixture.covariance_type_ in ("diag", "spherical"):
            U = (U if U.ndim == 2 else U[:, None])[..., None] * np.eye(K)
        # Sigma^-1 = U U^T, and so Sigma = L L^T with L = U^-T
        factors = np.broadcast_to(np.swapaxes(np.linalg.inv(U), -1, -2), (C, K, K))
        return cls(np.asarray(mixture.weights_), np.asarray(mixture.means_), factors, dtype)

    def _theta(self) -> tuple[Any, Any, Any]:
        """log pi, m and L, as the density takes them."""
        return ops.log_softmax(self.logits), self.means, positive_diagonal(self.factors)

    def log_prob(self, z: Any) -> Any:
        """log p(z) in nats, one number a row, Eq. PRIOR.1."""
        return mixture_log_prob(z, *self._theta())

    def kl_divergence(self, mu: Any, log_var: Any, z: Any) -> Any:
        """KL(q || p) = -H(q) - E_q log p(z) for q = N(mu, exp(log_var)), Eq. PRIOR.2.

        The entropy is in closed form; the expectation, which has none, is the mean over S samples
        from q, z of shape ``(S*N, K)`` for mu ``(N, K)``. One number a row of mu.
        """
        log_prior = ops.mean(ops.reshape(self.log_prob(z), (-1, mu.shape[0])), 0)
        return -gaussian_entropy(log_var) - log_prior

    def responsibilities(self, z: Any) -> Array:
        """p(c | z), the share of each component in the density at z, ``(N, C)``, Eq. GMM.2."""
        K, dtype = self.means.shape[1], self.means.dtype
        z = check_data(z, "responsibilities", dtype=dtype, n_features=K, name="z")
        with no_grad():
            return np.asarray(ops.softmax(mixture_log_joint(z, *self._theta()), -1).data)

    def sample(self, eps: Array, rng: np.random.Generator) -> Array:
        """A draw z = m_c + L_c eps for each row of standard normal noise ``(n, K)``."""
        log_weights, means, factors = self.values()
        c = rng.choice(len(means), size=len(eps), p=np.exp(log_weights))
        z: Array = means[c] + np.einsum("nij,nj->ni", factors[c], eps)
        return z

    def moments(self, latent_dim: int) -> tuple[Array, Array]:
        """The mean ``(K,)`` and the covariance ``(K, K)`` of z."""
        log_weights, means, factors = self.values()
        pi = np.exp(log_weights)
        mean = pi @ means
        away = (means - mean)[..., None]
        within, between = factors @ factors.swapaxes(1, 2), away @ away.swapaxes(1, 2)
        return mean, np.tensordot(pi, within + between, axes=1)

    def values(self) -> tuple[Array, Array, Array]:
        """log pi, m and L in float64, the weights with the sum 1."""
        with no_grad():
            log_pi, means, L = (t.data.astype(np.float64) for t in self._theta())
        return np.asarray(ops.log_softmax(log_pi)), means, L

    def start_at(self, mu: Array, log_var: Array, random_state: Any) -> None:
        """Begin at the mixture that EM finds in the means of q(z | x) over the data.

        Its covariances, widened by the variances of q, are those of the aggregate posterior: a
        latent dimension that is not in use has no spread of means, but q's variance.
        """
        mu, variances = mu.astype(np.float64), np.exp(log_var, dtype=np.float64)
        em = GaussianMixture(len(self.means.data), random_state=random_state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be an optimum
            r = em.fit(mu).predict_proba(mu)
        counts = np.maximum(r.sum(axis=0), np.finfo(float).tiny)[:, None]
        widths = (r.T @ variances / counts)[..., None] * np.eye(mu.shape[1])
        factors = np.linalg.cholesky(em.covariances_ + widths)
        start = MixturePrior(em.weights_, em.means_, factors, self.means.dtype)
        self.load_state_dict(start.state_dict())
