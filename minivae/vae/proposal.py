"""Where to draw z from when log p(x) is estimated: around the peaks of the true posterior.

The encoder answers for every datum at once, and its Gaussian q(z | x) may miss the posterior
p(z | x) of a particular one, the more so for data it was not trained on. Importance sampling from q
then rests on a few lucky samples, however many are drawn. So each datum gets a proposal of its own:

1. climb log p(x, z) from q's mean and from good points all over the prior, and keep the peaks;
2. put on each a distribution as wide as the curvature there says (Laplace's approximation), and
   weigh it by the mass that the peak then has;
3. mix in q and the prior, in case a peak was missed.

All parts are Student's t, whose heavy tails keep the importance weights bounded where the posterior
falls off more slowly than a Gaussian would. Such mixtures as proposals: Owen and Zhou (2000), Safe
and Effective Importance Sampling; how far q may be off: Cremer, Li and Duvenaud (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from minivae import ops
from minivae.distributions import Prior
from minivae.optim import Adam
from minivae.tensor import Array, Tensor, no_grad
from minivae.transforms import hvp, vjp

__all__ = ["PEAKS", "Proposal", "laplace_proposal"]

PEAKS = 8  # climbs for each datum; several may end on the same peak
DRAWS = 64  # of z, of which each climb starts from a good one
WIDER = 1.5  # are they spread than the prior, for the peaks of unusual data lie far out
STEPS, RATE = 30, 0.1  # of Adam, whose rate falls to 0 on the way
FREEDOM = 5.0  # degrees of freedom of Student's t
Q_SHARE, PRIOR_SHARE = 0.1, 0.1  # of the mixture
LEAST_LOG_SCALE = -300.0

LogJoint = Callable[[Any], Any]  # from z of shape (C, n, K) to log p(x, z) of shape (C, n)


class Proposal(NamedTuple):
    """A mixture of C Student's t distributions of z for each of n data.

    A draw from a part is ``centre + scale e`` with e from a spherical t.
    """

    log_shares: Array  # (C, n)
    centres: Array  # (C, n, K)
    scales: Array  # (C, n, K, K)

    def sample(self, S: int, generators: Sequence[np.random.Generator]) -> Array:
        """S draws for each datum, ``(n, S, K)``, each datum's from its own generator."""
        K = self.centres.shape[-1]
        z = np.empty((len(generators), S, K))
        for i, rng in enumerate(generators):
            # Each part has its share of the draws, to within one: less noise than at random.
            bounds = np.exp(self.log_shares[:, i]).cumsum()
            at = (np.arange(S) + rng.random()) / S
            part = np.minimum(np.searchsorted(bounds, at), len(bounds) - 1)
            e = rng.standard_normal((S, K))
            e /= np.sqrt(rng.chisquare(FREEDOM, (S, 1)) / FREEDOM)
            z[i] = self.centres[part, i] + np.einsum("sij,sj->si", self.scales[part, i], e)
        return z

    def log_prob(self, z: Array) -> Array:
        """The log-density of each draw, ``(n, S)``."""
        K = z.shape[-1]
        inverses = np.linalg.inv(self.scales)
        log_density = np.full(z.shape[:2], -np.inf)
        for log_share, centre, inverse in zip(self.log_shares, self.centres, inverses, strict=True):
            e = (z - centre[:, None]) @ inverse.swapaxes(-1, -2)
            log_tail = -0.5 * (FREEDOM + K) * np.log1p(np.square(e).sum(axis=-1) / FREEDOM)
            log_peak = log_share + np.linalg.slogdet(inverse)[1]
            np.logaddexp(log_density, log_peak[:, None] + log_tail, out=log_density)
        constant = gammaln(0.5 * (FREEDOM + K)) - gammaln(0.5 * FREEDOM)
        log_density += constant - 0.5 * K * math.log(FREEDOM * math.pi)
        return log_density


def laplace_proposal(
    log_joint: LogJoint,
    prior: Prior,
    mu: Array,
    log_var: Array,
    generators: Sequence[np.random.Generator],
) -> Proposal:
    """The proposal for n data.

    Parameters
    ----------
    log_joint
        log p(x, z) of z ``(C, n, K)``, computed with operations that can be differentiated.
    prior
        p(z).
    mu, log_var
        Of q(z | x), each ``(n, K)``.
    generators
        One for each datum, to draw where the climbs start.
    """
    K = mu.shape[-1]
    starts = _good_points(log_joint, prior, generators, K, mu.dtype)
    peaks, heights = _climb(log_joint, np.concatenate([mu[None], starts]))
    mean, covariance = prior.moments(K)
    precisions, axes = _curvature(log_joint, peaks, 1.0 / np.linalg.eigvalsh(covariance)[-1])
    # The mass under a Gaussian of this height and width, up to a constant
    log_masses = heights - 0.5 * np.log(precisions).sum(axis=-1)
    log_shares = log_masses - logsumexp(log_masses, axis=0)
    log_shares += math.log(1.0 - Q_SHARE - PRIOR_SHARE)
    of_safety = np.broadcast_to(np.log([[Q_SHARE], [PRIOR_SHARE]]), (2, len(mu)))
    # A q that has shrunk to a point is held where its scale and the inverse are numbers.
    scale_of_q = np.exp(np.maximum(0.5 * log_var.astype(np.float64), LEAST_LOG_SCALE))
    scale_of_q = scale_of_q[..., None] * np.eye(K)
    scale_of_prior = np.broadcast_to(np.linalg.cholesky(covariance), scale_of_q.shape)
    return Proposal(
        np.concatenate([log_shares, of_safety]),
        np.concatenate([peaks, mu[None], np.broadcast_to(mean, (1, *mu.shape))]),
        np.concatenate(
            [axes / np.sqrt(precisions)[..., None, :], scale_of_q[None], scale_of_prior[None]]
        ),
    )


def _good_points(
    log_joint: LogJoint,
    prior: Prior,
    generators: Sequence[np.random.Generator],
    K: int,
    dtype: Any,
) -> Array:
    """Points to climb from, ``(PEAKS - 1, n, K)``, each one of several draws, chosen by p(x, z)."""
    shape = (DRAWS * (PEAKS - 1), K)
    draws = np.stack(
        [prior.sample(WIDER * rng.standard_normal(shape, dtype=dtype), rng) for rng in generators],
        axis=1,
    )
    draws = draws.reshape(DRAWS, PEAKS - 1, -1, K).astype(dtype)
    with no_grad():
        heights = np.stack([log_joint(z).data for z in draws])
    # The highest of heights with Gumbel noise is a draw in proportion to p(x, z): so second peaks
    # are climbed as well, each about as often as it has mass.
    luck = np.stack([rng.gumbel(size=heights.shape[:2]) for rng in generators], axis=-1)
    chosen = (heights + luck).argmax(axis=0)[None, ..., None]
    points: Array = np.take_along_axis(draws, chosen, axis=0)[0]
    return points


def _climb(log_joint: LogJoint, z: Array) -> tuple[Array, Array]:
    """The highest points on the ways up from z, and how high they are."""
    points = Tensor(z, requires_grad=True)
    adam = Adam([points], RATE)
    peaks, heights = z.astype(np.float64), np.full(z.shape[:2], -np.inf)
    for step in range(STEPS):
        height, pull_back = vjp(log_joint, points.data)
        higher = height > heights
        heights = np.where(higher, height, heights)
        peaks = np.where(higher[..., None], points.data, peaks)
        (slope,) = pull_back(np.ones_like(height))
        adam.learning_rate = RATE * (1.0 - step / STEPS)
        adam.step([-slope])
    return peaks, heights


def _curvature(log_joint: LogJoint, z: Array, least: float) -> tuple[Array, Array]:
    """The eigenvalues ``(C, n, K)`` and axes ``(C, n, K, K)`` of minus the Hessian at each point.

    Eigenvalues are raised to ``least``, the prior's precision where it is widest: beside a peak, or
    between the components of a prior, they may lie below.
    """

    def total(z: Any) -> Any:
        return ops.sum(log_joint(z))

    columns = [-hvp(total, z, np.broadcast_to(axis, z.shape)) for axis in np.eye(z.shape[-1])]
    hessian = np.stack(columns, axis=-1)
    precisions, axes = np.linalg.eigh(0.5 * (hessian + hessian.swapaxes(-1, -2)))
    return np.maximum(precisions, least), axes
