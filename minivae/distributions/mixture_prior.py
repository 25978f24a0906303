"""A mixture of Gaussians as a prior p(z) whose parameters can be trained.

The best prior for the ELBO is the aggregate posterior, the mean of q(z | x) over the data; any
other prior costs the KL between the two. N(0, I) forces its own shape on the codes; a mixture
adapts to the shape that it finds. Hoffman and Johnson (2016); Tomczak and Welling (2018).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minivae import ops
from minivae.checks import check_data
from minivae.distributions.base import Distribution
from minivae.distributions.gaussian import LOG_2PI
from minivae.nn import Module
from minivae.tensor import Array, Tensor, Value, no_grad, primitive

__all__ = ["MixturePrior", "mixture_log_joint", "mixture_log_prob"]


def mixture_log_joint(z: Any, log_weights: Any, means: Any, factors: Any) -> Any:
    """log pi_c + log N(z; m_c, L_c L_c^T) in nats for each sample and component, ``(..., C)``.

    Parameters
    ----------
    z
        Of shape ``(..., K)``.
    log_weights, means
        log pi and m, of shapes ``(C,)`` and ``(C, K)``.
    factors
        L, lower triangular with a positive diagonal, of shape ``(C, K, K)``; what is above the
        diagonal is not looked at.
    """
    # L e = z - m turns N(z; m, L L^T) into N(e; 0, I) / |L|
    away = ops.expand_dims(ops.expand_dims(z, -2) - means, -2)  # (..., C, 1, K)
    inverses = ops.inverse_triangular(factors, lower=True)
    e = ops.matmul(away, ops.swapaxes(inverses, -1, -2))[..., 0, :]
    log_det = ops.sum(ops.log(ops.diagonal(factors, axis1=-2, axis2=-1)), -1)
    heights = log_weights - log_det - 0.5 * means.shape[-1] * LOG_2PI
    return heights - 0.5 * ops.sum(ops.square(e), -1)


def _mixture_log_prob(z: Array, log_weights: Array, means: Array, factors: Array, /) -> Array:
    """log p(z) = log sum_c pi_c N(z; m_c, L_c L_c^T) in nats for z ``(..., K)``, Eq. PRIOR.1.

    The arguments are those of :func:`mixture_log_joint`.
    """
    log_joint, _, _ = _mixture_parts(z, log_weights, means, factors)
    return np.asarray(ops.logsumexp(log_joint, 0)).reshape(z.shape[:-1])


def _mixture_parts(
    z: Array, log_weights: Array, means: Array, factors: Array
) -> tuple[Array, Array, Array]:
    """log pi_c + log N(z; m_c, L_c L_c^T) ``(C, n)``, e ``(C, K, n)`` with L e = z - m, and L^-1.

    The n samples lie along the last axis, because there are many of them and few of anything else.
    """
    rows = z.reshape(-1, z.shape[-1])
    inverses = np.linalg.inv(np.tril(factors))
    e = np.matmul(inverses, rows.T - means[..., None])
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    heights = log_weights - log_det - 0.5 * means.shape[1] * LOG_2PI
    return heights[:, None] - 0.5 * np.square(e).sum(axis=1), e, inverses


def _mixture_log_prob_vjp(
    g: Array, out: Array, z: Array, log_weights: Array, means: Array, factors: Array
) -> Value:
    # d log p = sum_c r_c (dlog pi_c + (dm + dL e - dz) . L^-T e - sum_i dL_ii / L_ii) with
    # r_c = p(c | z): the gradient of the expected log joint, by Fisher's identity
    log_joint, e, inverses = _mixture_parts(z, log_weights, means, factors)
    r = g.reshape(-1) * np.exp(log_joint - out.reshape(-1))
    counts = r.sum(axis=1)
    pull = np.matmul(inverses.swapaxes(1, 2), r[:, None] * e)
    g_factors = np.matmul(pull, e.swapaxes(1, 2))
    i = np.arange(means.shape[1])
    g_factors[:, i, i] -= counts[:, None] * inverses[:, i, i]
    g_z = -pull.sum(axis=0).T.reshape(z.shape)
    return g_z, counts, pull.sum(axis=2), np.tril(g_factors)


def _mixture_log_prob_composed(z: Value, log_weights: Value, means: Value, factors: Value) -> Value:
    return ops.logsumexp(mixture_log_joint(z, log_weights, means, factors), -1)


mixture_log_prob = primitive(
    _mixture_log_prob, _mixture_log_prob_vjp, composed=_mixture_log_prob_composed
)


class MixturePrior(Module, Distribution):
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
        """C components, each of them N(0, I), and so is their mixture."""
        return cls(np.full(C, 1.0 / C), np.zeros((C, K)), np.tile(np.eye(K), (C, 1, 1)), dtype)

    @property
    def n_components(self) -> int:
        """C."""
        return len(self.means.data)

    def _theta(self) -> tuple[Any, Any, Any]:
        """log pi, m and L, as the density takes them."""
        return ops.log_softmax(self.logits), self.means, ops.positive_diagonal(self.factors)

    def log_prob(self, z: Any) -> Any:
        """log p(z) in nats for z ``(..., K)``, Eq. PRIOR.1.

        The KL to it is -H(q) - E_q log p(z): the entropy is in closed form, the expectation a mean
        over samples (Eq. PRIOR.2, :meth:`Distribution.kl_to`).
        """
        return mixture_log_prob(z, *self._theta())

    def noise(self, rng: np.random.Generator, S: int = 1) -> Array:
        """Standard normal noise ``(S, K)``."""
        return rng.standard_normal((S, self.means.shape[1]), dtype=self.means.dtype)

    def draw(self, eps: Array, rng: np.random.Generator) -> Array:
        """z = m_c + L_c eps, with a component c drawn for each row of noise ``(S, K)``."""
        log_weights, means, factors = self.values()
        c = rng.choice(len(means), size=len(eps), p=np.exp(log_weights))
        z: Array = means[c] + np.einsum("nij,nj->ni", factors[c], eps)
        return z

    def responsibilities(self, z: Any) -> Array:
        """p(c | z), the share of each component in the density at z, ``(N, C)``, Eq. GMM.2."""
        K, dtype = self.means.shape[1], self.means.dtype
        z = check_data(z, "responsibilities", dtype=dtype, n_features=K, name="z")
        with no_grad():
            return np.asarray(ops.softmax(mixture_log_joint(z, *self._theta()), -1).data)

    def moments(self) -> tuple[Array, Array]:
        """The mean ``(K,)`` and the covariance ``(K, K)`` of z."""
        log_weights, means, factors = self.values()
        pi = np.exp(log_weights)
        mean = pi @ means
        away = (means - mean)[..., None]
        within, between = factors @ factors.swapaxes(1, 2), away @ away.swapaxes(1, 2)
        return mean, np.tensordot(pi, within + between, axes=1)

    def values(self) -> tuple[Array, Array, Array]:
        """log pi, m and L in float64; the weights add up to 1."""
        with no_grad():
            log_pi, means, L = (t.data.astype(np.float64) for t in self._theta())
        return np.asarray(ops.log_softmax(log_pi)), means, L
