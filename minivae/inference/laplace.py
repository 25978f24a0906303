"""Where to draw z from when log p(x) is estimated: around the peaks of the true posterior.

The encoder answers for every datum at once, and its Gaussian q(z | x) may miss the posterior
p(z | x) of a particular one, the more so for data it was not trained on. Importance sampling from q
then rests on a few lucky samples, however many are drawn. So each datum gets its own proposal:

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
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from minivae import ops
from minivae.distributions import Distribution
from minivae.inference.importance import LogDensity, asked
from minivae.optim import Adam
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor, no_grad
from minivae.transforms import hvp, vjp

__all__ = ["PEAKS", "StudentMixture", "laplace_proposal"]

PEAKS = 8  # climbs for each datum; several may end on the same peak
DRAWS = 64  # of z, of which each climb starts from a good one
WIDER = 1.5  # are they spread than the prior, for the peaks of unusual data lie far out
STEPS, RATE = 30, 0.1  # of Adam, whose rate falls to 0 on the way
FREEDOM = 5.0  # degrees of freedom of Student's t
Q_SHARE, PRIOR_SHARE = 0.1, 0.1  # of the mixture


class StudentMixture(Distribution):
    """A mixture of C Student's t distributions of z for each of n data.

    A draw from a part is ``centre + scale e`` with e from a spherical t.

    Parameters
    ----------
    log_shares, centres, scales
        Of shapes ``(C, n)``, ``(C, n, K)`` and ``(C, n, K, K)``.
    """

    def __init__(self, log_shares: Array, centres: Array, scales: Array) -> None:
        self.log_shares, self.centres, self.scales = log_shares, centres, scales

    def sample(self, random_state: Any = None, S: int | None = None) -> Array:
        """S draws for each datum, ``(S, n, K)``; one, ``(n, K)``, without S."""
        entropy, n = entropy_from(random_state), self.centres.shape[1]
        z = self.sample_each(S or 1, [stream(entropy, i) for i in range(n)])
        return z[0] if S is None else z

    def sample_each(self, S: int, generators: Sequence[np.random.Generator]) -> Array:
        """S draws for each datum, ``(S, n, K)``, each datum's from its own generator."""
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
        return z.swapaxes(0, 1)

    def log_prob(self, z: Any) -> Array:
        """The log-density of each draw ``(S, n, K)``, of shape ``(S, n)``."""
        z, K = np.asarray(z).swapaxes(0, 1), z.shape[-1]
        inverses = np.linalg.inv(self.scales)
        log_density = np.full(z.shape[:2], -np.inf)
        for log_share, centre, inverse in zip(self.log_shares, self.centres, inverses, strict=True):
            e = (z - centre[:, None]) @ inverse.swapaxes(-1, -2)
            with np.errstate(over="ignore"):  # so far out that the density is 0
                log_tail = -0.5 * (FREEDOM + K) * np.log1p(np.square(e).sum(axis=-1) / FREEDOM)
            log_peak = log_share + np.linalg.slogdet(inverse)[1]
            np.logaddexp(log_density, log_peak[:, None] + log_tail, out=log_density)
        constant = scipy.special.gammaln(0.5 * (FREEDOM + K)) - scipy.special.gammaln(0.5 * FREEDOM)
        log_density += constant - 0.5 * K * math.log(FREEDOM * math.pi)
        return log_density.T


def laplace_proposal(
    log_joint: LogDensity,
    prior: Distribution,
    q: Distribution,
    generators: Sequence[np.random.Generator],
) -> StudentMixture:
    """The proposal for n data.

    Parameters
    ----------
    log_joint
        log p(x, z) of z ``(C, n, K)``, computed with operations that can be differentiated.
    prior
        p(z).
    q
        q(z | x), of arrays; its mean is climbed from, and it is mixed in.
    generators
        One for each datum, to draw where the climbs start.
    """
    mu, _ = q.moments()
    K = mu.shape[-1]
    asked("laplace_proposal", log_joint, mu[None], slope=True)
    starts = _good_points(log_joint, prior, generators, K, mu.dtype)
    peaks, heights = _climb(log_joint, np.concatenate([mu[None], starts]))
    mean, covariance = prior.moments()
    precisions, axes = _curvature(log_joint, peaks, 1.0 / np.linalg.eigvalsh(covariance)[-1])
    # The mass under a Gaussian of this height and width, up to a constant
    log_masses = heights - 0.5 * np.log(precisions).sum(axis=-1)
    # Where the density is 0 at every point, all points are alike.
    log_masses[:, np.isneginf(log_masses).all(axis=0)] = 0.0
    log_shares = log_masses - scipy.special.logsumexp(log_masses, axis=0)
    log_shares += math.log(1.0 - Q_SHARE - PRIOR_SHARE)
    of_safety = np.broadcast_to(np.log([[Q_SHARE], [PRIOR_SHARE]]), (2, len(mu)))
    scale_of_q = q.factor()
    scale_of_prior = np.broadcast_to(prior.factor(), scale_of_q.shape)
    return StudentMixture(
        np.concatenate([log_shares, of_safety]),
        np.concatenate([peaks, mu[None], np.broadcast_to(mean, (1, *mu.shape))]),
        np.concatenate(
            [axes / np.sqrt(precisions)[..., None, :], scale_of_q[None], scale_of_prior[None]]
        ),
    )


def _good_points(
    log_joint: LogDensity,
    prior: Distribution,
    generators: Sequence[np.random.Generator],
    K: int,
    dtype: Any,
) -> Array:
    """Points to climb from, ``(PEAKS - 1, n, K)``, each one of several draws, chosen by p(x, z)."""
    S = DRAWS * (PEAKS - 1)
    draws = np.stack(
        [prior.draw(WIDER * prior.noise(rng, S), rng) for rng in generators],
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


def _climb(log_joint: LogDensity, z: Array) -> tuple[Array, Array]:
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


def _curvature(log_joint: LogDensity, z: Array, least: float) -> tuple[Array, Array]:
    """The eigenvalues ``(C, n, K)`` and axes ``(C, n, K, K)`` of minus the Hessian at each point.

    Eigenvalues are raised to ``least``, the prior's precision where it is widest: beside a peak, or
    between the components of a prior, they may lie below. Where the density is too small to have a
    Hessian, they are all that.
    """

    def total(z: Any) -> Any:
        return ops.sum(log_joint(z))

    columns = [-hvp(total, z, np.broadcast_to(axis, z.shape)) for axis in np.eye(z.shape[-1])]
    hessian = np.stack(columns, axis=-1)
    hessian[~np.isfinite(hessian).all(axis=(-2, -1))] = 0.0
    precisions, axes = np.linalg.eigh(0.5 * (hessian + hessian.swapaxes(-1, -2)))
    return np.maximum(precisions, least), axes
