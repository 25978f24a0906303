"""log p(x) by importance sampling: draw z where the posterior may be, and weigh each draw.

Each draw z_s from a proposal r weighs w_s = p(x, z_s) / r(z_s), and the mean weight is an unbiased
estimate of p(x) (Eq. IWAE.2). The effective sample size says how far to trust it (Eq. IWAE.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minivae.checks import require_whole
from minivae.distributions import Distribution
from minivae.errors import EffectiveSampleSizeWarning, GradientError, ShapeError, warn
from minivae.objectives import effective_sample_size, importance_weighted_bound
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor, no_grad, reachable, values
from minivae.transforms import vjp

__all__ = ["Estimate", "LogDensity", "asked", "estimate_from", "importance_sampling"]

PORTION = 100  # draws for each datum at a time
HEAVY = 0.7  # the tail index from which a mean of weights is not to be trusted
FEW = 20  # draws, from which nothing is said of the weights' tail

LogDensity = Callable[[Any], Any]
"""From z of shape ``(C, n, K)`` to log p(x, z) of shape ``(C, n)``, for n data."""


def asked(
    name: str, log_density: LogDensity, z: Array, what: str = "log-density", slope: bool = False
) -> Array:
    """A density's values at z ``(C, n, K)``, of shape ``(C, n)``, or what is wrong with it.

    With ``slope`` it must also be on the tape: the gradient of what is not is 0 everywhere.

    Raises
    ------
    TypeError, ShapeError, GradientError
        If it is not a function, has another shape, or has no gradient.
    """
    if not callable(log_density):
        kind = type(log_density).__name__
        raise TypeError(f"{name}: the {what} is of type {kind}; it must be a function of z")
    on_tape = not slope

    def watched(leaf: Any) -> Any:
        nonlocal on_tape
        out = log_density(leaf)
        on_tape = isinstance(out, Tensor) and leaf in set(reachable(out, {leaf}))
        return out

    if slope:
        height = vjp(watched, z)[0]
    else:
        with no_grad():
            height = values(log_density(z))
    if np.shape(height) != z.shape[:2]:
        raise ShapeError(
            f"{name}: for z of shape {z.shape} the {what} has shape {np.shape(height)}; it must "
            f"be {z.shape[:2]}, one number for each draw and datum"
        )
    if not on_tape:
        raise GradientError(
            f"{name}: the {what} does not depend on z by operations that can be differentiated; "
            "compute it with those of minivae.ops, or with NumPy's on z itself"
        )
    return np.asarray(height)


class Estimate(NamedTuple):
    """An estimate of log p(x) for each of n data, in nats."""

    estimate: Array
    """In expectation below log p(x), and rising to it with the number of draws; ``(n,)``."""

    standard_error: Array
    """Of the estimate, ``(n,)``: how much another set of draws would differ."""

    ess: Array
    """The effective sample size, between 1 and S; ``(n,)``."""


def importance_sampling(
    log_density: LogDensity, proposal: Distribution, S: int = 1000, random_state: Any = None
) -> Estimate:
    """log p(x) for each of n data from S draws of a proposal.

    Parameters
    ----------
    log_density
        log p(x, z).
    proposal
        A distribution over z for n data, such as q(z | x) or a Laplace proposal.
    S
        How many draws for each datum.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.

    Raises
    ------
    ValueError
        If a weight is not a number, or infinite, or the log-density has another shape.

    Warns
    -----
    EffectiveSampleSizeWarning
        If no draw has any weight; if few draws carry it; or if larger weights are to be expected
        than any that were drawn, as from a proposal that is narrower than the density: the largest
        fall off too slowly, or weights grow too fast towards the proposal's tail. Vehtari, Simpson,
        Gelman, Yao and Gabry (2024).
    """
    require_whole("importance_sampling", "S", S, least=1)
    drawn = _weighed(log_density, proposal, S, stream(entropy_from(random_state)))
    log_weights, log_q = map(np.concatenate, zip(*drawn, strict=True))
    refuse_weights("importance_sampling", log_weights)
    found = estimate_from(log_weights)
    nowhere = np.isneginf(found.estimate)
    if nowhere.any():
        warn(
            f"importance_sampling: no draw has any density for {nowhere.sum()} of {nowhere.size} "
            "data; their estimate is -inf, and the proposal is not where the density is",
            EffectiveSampleSizeWarning,
        )
    heavy = (_tail_index(log_weights) > HEAVY) | _grows_outwards(log_weights, log_q)
    poor = ~nowhere & (~(found.ess >= min(10.0, 0.5 * S)) | heavy)
    if poor.any():
        warn(
            f"importance_sampling: the estimates of {poor.sum()} of {poor.size} data rest on their "
            f"largest weights (effective sample sizes from {found.ess[poor].min():.1f} of {S}) and "
            "are likely too low; the proposal is narrower, or far wider, than the density",
            EffectiveSampleSizeWarning,
        )
    return found


def _weighed(
    log_density: LogDensity, proposal: Distribution, S: int, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """The log-weights of S draws and what the proposal says of them, in portions."""
    for begun in range(0, S, PORTION):
        z = proposal.sample(rng, min(PORTION, S - begun))
        with no_grad():
            log_q = values(proposal.log_prob(z))
        yield asked("importance_sampling", log_density, z) - log_q, log_q


def refuse_weights(name: str, log_weights: Array) -> None:
    """Refuse log-weights ``(S, n)`` that are not numbers; -inf, a weight of 0, is one."""
    wrong = ~(log_weights < np.inf)
    if wrong.any():
        s, i = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name}: the log-weight of draw {s} of datum {i} is {log_weights[s, i]}; the densities"
            " must be numbers wherever z is drawn"
        )


def _tail_index(log_weights: Array) -> Array:
    """How slowly the largest weights fall off: from 1/2 on they have no variance, from 1 no mean.

    The moment estimator of Dekkers, Einmahl and de Haan (1989).
    """
    S = len(log_weights)
    largest = min(S // 5, math.ceil(3 * math.sqrt(S)))
    if largest < FEW:
        return np.zeros(log_weights.shape[1:])
    top = np.partition(log_weights, S - largest - 1, axis=0)[S - largest - 1 :]
    first, second = (np.mean((top[1:] - top[0]) ** power, axis=0) for power in (1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        index: Array = first + 1.0 - 0.5 / (1.0 - np.square(first) / second)
    return np.where(second > 0, index, 0.0)


def _grows_outwards(log_weights: Array, log_q: Array) -> Array:
    """Whether log w rises by more than 1/2 for each nat that log q falls, ``(n,)``.

    Of a density of z, -log q(z) exceeds its mean by t with a probability of about exp(-t): with
    such a slope w has no variance. Between two Gaussians the slope is 1 - var_q / var_p, which few
    draws show. Of the outer half of the draws, with two standard errors to spare.
    """
    outer = len(log_q) // 2
    if len(log_q) < FEW:
        return np.zeros(log_q.shape[1:], bool)
    where = np.argpartition(log_q, outer - 1, axis=0)[:outer]
    rise, fall = (np.take_along_axis(x, where, 0) for x in (log_weights, -log_q))
    with np.errstate(divide="ignore", invalid="ignore"):
        rise, fall = rise - rise.mean(axis=0), fall - fall.mean(axis=0)
        variance = np.square(fall).mean(axis=0)
        slope = (rise * fall).mean(axis=0) / variance
        rest = np.square(rise - slope * fall).mean(axis=0)
        grows: Array = slope - 2.0 * np.sqrt(rest / variance / (outer - 2)) > 0.5
    return grows


def estimate_from(log_weights: Array) -> Estimate:
    """The estimate that log-weights ``(S, n)`` amount to.

    The error of the logarithm of a mean weight is that of the mean relative to it:
    Var(mean w) / mean(w)^2 = 1/ESS - 1/S.
    """
    S, ess = len(log_weights), effective_sample_size(log_weights)
    error = ess * math.inf  # one draw does not show how much another would differ
    if S > 1:
        error = np.sqrt(np.maximum(1.0 / ess - 1.0 / S, 0.0) * S / (S - 1))
    return Estimate(importance_weighted_bound(log_weights), error, ess)

