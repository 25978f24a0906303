"""Annealed importance sampling: from the prior to the posterior through densities in between.

The densities p_t(z) = p(z) p(x | z)^b_t go from the prior (b = 0) to the posterior (b = 1, up to
p(x)). A chain that starts with a draw from the prior takes a step of HMC at each temperature, and
its weight is the product of the ratios it met, Eq. AIS.1: on average p(x), whatever the steps did.
Run backwards from a draw of the posterior, the weight is 1 / p(x) on average. So in expectation the
logarithms of the two enclose log p(x). Neal (2001); Grosse, Ancha and Roy (2016); Wu et al. (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minivae.checks import check_data, require_whole
from minivae.inference.chains import State, start, trajectory
from minivae.inference.importance import Estimate, LogDensity, asked, estimate_from, refuse_weights
from minivae.inference.slopes import Slopes
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, no_grad, values

__all__ = ["annealed_importance_sampling"]

TARGET = 0.65  # of the acceptance, which the pilot chains steer each temperature's step to


def annealed_importance_sampling(
    log_prior: LogDensity,
    log_likelihood: LogDensity,
    z: Any,
    temperatures: Any = 100,
    random_state: Any = None,
    *,
    reverse: bool = False,
) -> Estimate:
    """log p(x) of each of n data, by chains from the prior; an upper estimate if ``reverse``.

    The mean weight of the chains, Eq. AIS.1.

    Parameters
    ----------
    log_prior, log_likelihood
        log p(z) and log p(x | z), each of z ``(C, n, K)``.
    z
        Where C chains begin for each datum, ``(C, n, K)``: draws from the prior; for ``reverse``
        draws from the posterior p(z | x), which is known exactly for data that were drawn with
        their z from the model itself.
    temperatures
        b_t from 0 to 1, rising; or how many of them, closer together near 0.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.
    reverse
        Whether to go from the posterior to the prior.

    Returns
    -------
    Estimate
        In expectation not above log p(x), in reverse not below; with its standard error over the
        chains and the effective number of chains.

    Raises
    ------
    ValueError
        If the temperatures do not rise from 0 to 1, or a weight is not a number.
    """
    name, b = "annealed_importance_sampling", _schedule(temperatures)
    entropy = entropy_from(random_state)
    path = list(pairwise(b))
    if reverse:
        path = [(after, before) for before, after in reversed(path)]
    # Steps that were tuned on these very chains would bias their weights: others are tuned first.
    parts = Slopes(log_prior), Slopes(log_likelihood)
    z = start(name, log_prior, parts[0], z, "log-prior").z
    asked(name, log_likelihood, z, "log-likelihood", slope=True)
    steps = _pilot(parts, z, path, stream(entropy, 0))
    rng, log_w = stream(entropy, 1), np.zeros(z.shape[:2])
    state = State(z, *_zeros(z), steps[0], np.ones(z.shape[1:]))
    for (before, after), scale in zip(path, steps, strict=True):
        log_w += (after - before) * _value(log_likelihood, state.z)
        state = _move(parts, state._replace(scale=scale), after, rng)[0]
    refuse_weights(name, log_w)
    found = estimate_from(log_w)
    return found._replace(estimate=-found.estimate) if reverse else found


def _schedule(temperatures: Any) -> Array:
    if np.ndim(temperatures) == 0:
        require_whole("annealed_importance_sampling", "temperatures", temperatures, least=1)
        # even steps in the cube root: the first of them matter most, where the prior is left
        return np.linspace(0.0, 1.0, int(temperatures) + 1) ** 3
    b = check_data(np.reshape(temperatures, (1, -1)), "annealed_importance_sampling",
                   dtype=np.float64, name="temperatures").ravel()  # fmt: skip
    if b[0] != 0 or b[-1] != 1 or (np.diff(b) <= 0).any():
        raise ValueError(
            "annealed_importance_sampling: temperatures must rise from 0 to 1, such as "
            "np.linspace(0, 1, 101) ** 3"
        )
    return b


def _pilot(
    parts: tuple[Slopes, Slopes],
    z: Array,
    path: Sequence[tuple[float, float]],
    rng: np.random.Generator,
) -> list[Array]:
    """Step sizes ``(C, n)`` for each temperature, one for all chains of a datum."""
    log_scale, steps = np.full((1, z.shape[1]), np.log(0.3)), []
    scale = np.broadcast_to(np.exp(log_scale), z.shape[:2])
    state = State(z, *_zeros(z), scale, np.ones(z.shape[1:]))
    for _, after in path:
        scale = np.broadcast_to(np.exp(log_scale), z.shape[:2])
        steps.append(scale)
        state, accepted = _move(parts, state._replace(scale=scale), after, rng)
        log_scale = log_scale + 0.3 * (accepted.mean(axis=0, keepdims=True) - TARGET)
    return steps


class _Tempered:
    """log p(z) + b log p(x | z), and its gradient."""

    def __init__(self, parts: tuple[Slopes, Slopes], b: float) -> None:
        (self.prior, self.likelihood), self.b = parts, b

    def __call__(self, z: Array) -> tuple[Array, Array]:
        (height, slope), (rise, steeper) = self.prior(z), self.likelihood(z)
        return height + self.b * rise, slope + self.b * steeper

    def slope(self, z: Array) -> Array:
        """The gradient alone."""
        steeper: Array = self.prior.slope(z) + self.b * self.likelihood.slope(z)
        return steeper


def _move(
    parts: tuple[Slopes, Slopes], state: State, b: float, rng: np.random.Generator
) -> tuple[State, Array]:
    """A step of HMC that leaves p(z) p(x | z)^b as it is, and the probabilities of moving."""
    tempered = _Tempered(parts, b)
    height, slope = tempered(state.z)
    state, accepted, _ = trajectory(tempered, state._replace(height=height, slope=slope), rng)
    return state, accepted


def _zeros(z: Array) -> tuple[Array, Array]:
    return np.zeros(z.shape[:2]), np.zeros_like(z)


def _value(log_density: LogDensity, z: Array) -> Array:
    with no_grad():
        value = log_density(z)
    return np.asarray(values(value))
