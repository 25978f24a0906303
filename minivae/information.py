"""What a code knows about its datum: ELBO surgery, total correlation, and bounds from a critic.

Throughout, q is a distribution over z for each of N data, in nats. Averaged over the data it is
the aggregate posterior, whose KL to the prior is what a better prior saves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minivae import ops
from minivae.distributions import DiagonalGaussian, Distribution
from minivae.errors import ShapeError
from minivae.tensor import Array, no_grad, values

__all__ = [
    "Surgery",
    "aggregate_log_prob",
    "density_ratio_loss",
    "donsker_varadhan",
    "elbo_surgery",
    "minibatch_log_prob",
    "stratified_log_weights",
    "surgery_by_quadrature",
    "total_correlation",
]

PAIRS_AT_ONCE = 2**20  # densities of one z under one datum's q, which bounds memory
MOST_POINTS = 2**22
REACH = 9.0  # standard deviations, beyond which a Gaussian has less than 1e-18 of its mass
SETTLED = 1e-8


class Surgery(NamedTuple):
    """The mean KL from q(z | x) to the prior in two parts, in nats per datum, Eq. SURG.2."""

    information: float
    """I(x; z) under q, between 0 and log N."""

    marginal_kl: float
    """KL(aggregate posterior || prior)."""

    @property
    def kl(self) -> float:
        """The mean KL, the sum of its two parts."""
        return self.information + self.marginal_kl


def aggregate_log_prob(q: Distribution, z: Any) -> Any:
    """log 1/N sum_n q(z | x_n) in nats for z ``(..., K)``, Eq. SURG.1."""
    each = q.log_prob(ops.expand_dims(z, -2))
    return ops.logsumexp(each, -1) - math.log(each.shape[-1])


def elbo_surgery(q: Distribution, prior: Distribution, z: Array) -> Surgery:
    """The two parts of the mean KL, from samples of z compared with all N data, Eq. SURG.2.

    Unbiased for these N data: the sum over the data is complete, and only z is random. It
    evaluates S N^2 densities. Hoffman and Johnson (2016).

    Parameters
    ----------
    q
        q(z | x) of all N data.
    prior
        p(z).
    z
        Samples of each datum's q, ``(S, N, K)``.
    """
    with no_grad():
        own, log_prior = (values(f.log_prob(z)).mean(dtype=np.float64) for f in (q, prior))
    log_aggregate = _aggregate(q, z.reshape(-1, z.shape[-1])).mean(dtype=np.float64)
    return Surgery(float(own - log_aggregate), float(log_aggregate - log_prior))


def _aggregate(q: Distribution, rows: Array) -> Array:
    """log of the aggregate posterior at rows ``(n, K)``, in portions."""
    N = q.moments()[0].shape[0]
    size = max(1, PAIRS_AT_ONCE // N)
    with no_grad():
        portions = [
            values(aggregate_log_prob(q, rows[start : start + size]))
            for start in range(0, len(rows), size)
        ]
    return np.concatenate(portions)


def surgery_by_quadrature(q: Distribution, prior: Distribution) -> Surgery:
    """The two parts of the mean KL by the trapezoid rule, for z of one or two dimensions.

    Eq. SURG.2. The grid's step is halved until the result stays the same.

    Raises
    ------
    ValueError
        If z has more dimensions, or q is too narrow for a grid of four million points.
    """
    mean, covariance = q.moments()
    K = mean.shape[-1]
    if K > 2:
        raise ValueError(
            f"surgery_by_quadrature: z has {K} dimensions; a grid takes 1 or 2, elbo_surgery any"
        )
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    low, high = (mean - REACH * sd).min(axis=0), (mean + REACH * sd).max(axis=0)
    n = np.ceil((high - low) / sd.min(axis=0)).astype(int)
    own = -float(values(q.entropy()).mean(dtype=np.float64))
    before: Surgery | None = None
    while n.prod() <= MOST_POINTS:
        axes = [np.linspace(a, b, k + 1) for a, b, k in zip(low, high, n, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, K)
        cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
        log_aggregate = _aggregate(q, grid)
        mass = np.exp(log_aggregate) * cell
        with no_grad():
            log_prior = values(prior.log_prob(grid))
        entropy = -float(mass @ log_aggregate)
        found = Surgery(own + entropy, -entropy - float(mass @ log_prior))
        if before is not None and np.abs(np.subtract(found, before)).max() < SETTLED:
            return found
        n, before = 2 * n, found
    raise ValueError(
        f"surgery_by_quadrature: the narrowest q has a scale of {sd.min():.2g} in a range of "
        f"{(high - low).max():.2g}, too fine for a grid; use elbo_surgery"
    )


# ---- from a minibatch ----


def stratified_log_weights(M: int, N: int) -> Array:
    """Logarithms of the weights ``(M, M)`` that a minibatch of M of N data gives them, Eq. SURG.3.

    z_i comes from datum i, which is certain to be in the batch and counts 1/N. The others are
    M - 1 of the other N - 1, and share the rest. So the mean over all minibatches is the aggregate
    posterior. Chen et al. (2018) give one of the others a weight of its own, with the same mean.

    Raises
    ------
    ValueError
        If M is not from 2 to N.
    """
    if not 2 <= M <= N:
        raise ValueError(f"stratified_log_weights: M={M} of N={N} data; M must be from 2 to N")
    weights = np.full((M, M), math.log(N - 1.0) - math.log(N * (M - 1.0)))
    np.fill_diagonal(weights, -math.log(N))
    return weights


def minibatch_log_prob(log_q: Any, n_total: int | None = None) -> Any:
    """log of the aggregate posterior at each z_i of a minibatch, ``(M, ...)``, Eq. SURG.3.

    The density is unbiased; its logarithm is too low on average (Jensen).

    Parameters
    ----------
    log_q
        log q(z_i | x_j), of shape ``(M, M, ...)``, with z_i a sample of datum i.
    n_total
        N. Without it every datum of the batch counts 1/M, and the density is too high, because
        one of its M terms belongs to the datum that z_i comes from. So I(x; z) never exceeds log M.
    """
    M = log_q.shape[0]
    if log_q.shape[1] != M:
        raise ShapeError(
            f"minibatch_log_prob: log_q has shape {log_q.shape}; it must be (M, M, ...), a row "
            "each z_i and a column each x_j"
        )
    if n_total is None:
        return ops.logsumexp(log_q, 1) - math.log(M)
    weights = stratified_log_weights(M, n_total).astype(log_q.dtype)
    return ops.logsumexp(log_q + weights.reshape(M, M, *[1] * (len(log_q.shape) - 2)), 1)


def total_correlation(q: DiagonalGaussian, z: Any, n_total: int | None = None) -> Any:
    """KL(aggregate || product of its marginals), estimated from a minibatch, Eq. TC.1.

    It measures how far the codes' dimensions depend on each other. Each logarithm is taken of an
    estimated density (:func:`minibatch_log_prob`), so the result is biased; with all N data only
    z is random.
    Chen et al. (2018).

    Parameters
    ----------
    q
        q(z | x) of the M data of the batch.
    z
        A sample of each, ``(M, K)``.
    n_total
        N, the number of data that the batch was drawn from.
    """
    rows = ops.expand_dims(ops.expand_dims(z, 1), -1)  # (M, 1, K, 1): a dimension at a time
    by_dimension = DiagonalGaussian(ops.expand_dims(q.mu, -1), ops.expand_dims(q.log_var, -1))
    log_q = by_dimension.log_prob(rows)  # (M, M, K)
    joint = minibatch_log_prob(ops.sum(log_q, -1), n_total)
    apart = ops.sum(minibatch_log_prob(log_q, n_total), -1)
    return ops.mean(joint - apart)


# ---- by a critic ----


def donsker_varadhan(joint: Any, product: Any) -> Any:
    """E_joint T - log E_product exp(T), a lower bound on the mutual information, Eq. MI.1.

    For a fixed critic T the exact expectations give a lower bound on I. The mean of a few
    exponentials misses the rare large ones, so the estimate from a batch is too high on average,
    and its spread grows with I. Belghazi et al. (2018).

    Parameters
    ----------
    joint
        T of pairs that belong together, ``(n,)``.
    product
        T of pairs that do not, ``(m,)``.
    """
    return ops.mean(joint) - (ops.logsumexp(product, 0) - math.log(product.shape[0]))


def density_ratio_loss(on_q: Any, on_p: Any) -> Any:
    """The logistic loss of a critic T that distinguishes draws of q from draws of p, Eq. AVB.1.

    It is the mean of softplus(-T) over draws of q plus that of softplus(T) over draws of p. It is
    lowest at T = log q - log p, so that E_q T is the KL even if q has no computable density.
    Mescheder et al. (2017).
    """
    return ops.mean(ops.softplus(-on_q)) + ops.mean(ops.softplus(on_p))
