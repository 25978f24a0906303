"""Markov chains: random-walk Metropolis and Hamiltonian Monte Carlo, for many data at once.

Both take a log-density of z ``(C, n, K)``, which need not be normalised, and move C chains for each
of n data together: a step is a few operations on arrays, with no loop over chains or data. What is
tuned is tuned during the warm-up, whose draws are thrown away, because a chain that is tuned while
it runs does not draw from the target.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from minivae.checks import refuse_masked, require_whole
from minivae.errors import ConvergenceWarning, ShapeError, warn
from minivae.inference import diagnostics
from minivae.inference.importance import LogDensity, asked
from minivae.inference.slopes import Slopes, ValueAndSlope
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, no_grad, values

__all__ = ["Chain", "hmc", "leapfrog", "metropolis"]

TARGET = {"metropolis": 0.35, "hmc": 0.8}  # of the acceptance, which the warm-up steers to
DIVERGENCE = 1000.0  # in nats of energy: the trajectory has left the level set for good
MOST_STEPS = 16  # of a leapfrog trajectory; each has a random number from 1

HeightAndSlope = Callable[[Array], tuple[Array, Array]]  # the random walk's slope is 0


class Chain:
    """The draws of several chains, and diagnostics of their quality.

    Parameters
    ----------
    draws
        Of shape ``(C, T, n, K)``: chains, draws, data, dimensions.
    accept
        The share of proposals accepted, ``(C, n)``.
    divergences
        How many trajectories of HMC left the level set of their energy, ``(C, n)``.

    Attributes
    ----------
    r_hat, ess_bulk, ess_tail, mcse
        Of shape ``(n, K)``; ``mcse`` is the standard error of :attr:`mean`.
    """

    def __init__(self, draws: Array, accept: Array, divergences: Array) -> None:
        self.draws, self.accept, self.divergences = draws, accept, divergences

    r_hat = cached_property(lambda self: diagnostics.r_hat(self.draws))
    ess_bulk = cached_property(lambda self: diagnostics.ess_bulk(self.draws))
    ess_tail = cached_property(lambda self: diagnostics.ess_tail(self.draws))
    mcse = cached_property(lambda self: diagnostics.mcse(self.draws))

    @property
    def mean(self) -> Array:
        """E z, ``(n, K)``."""
        mean: Array = self.draws.mean(axis=(0, 1), dtype=np.float64)
        return mean

    def __repr__(self) -> str:
        C, T, n, K = self.draws.shape
        return (
            f"Chain({C} chains of {T} draws, {n} data, {K} dimensions: R-hat up to "
            f"{np.max(self.r_hat):.3f}, bulk ESS from {np.min(self.ess_bulk):.0f}, acceptance "
            f"{self.accept.mean():.2f}, {int(self.divergences.sum())} divergences)"
        )


def metropolis(
    log_density: LogDensity, z: Any, draws: int = 1000, warmup: int = 1000, random_state: Any = None
) -> Chain:
    """Random-walk Metropolis: propose a step nearby, and stay if the density there is too low.

    A step z' = z + s L e with e ~ N(0, I) is taken with probability min(1, p(z') / p(z)), Eq.
    CHAIN.1. Metropolis et al. (1953).

    Parameters
    ----------
    log_density
        log p(z) up to a constant, of z ``(C, n, K)``.
    z
        Where the chains begin, ``(C, n, K)``.
    draws, warmup
        How many draws each chain keeps, and how many it throws away first, tuning s.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.
    """
    value = _value(log_density)

    def step(state: State, rng: np.random.Generator) -> tuple[State, Array, Array]:
        jump = state.scale[..., None] * np.sqrt(state.variance) * rng.standard_normal(state.z.shape)
        there = _moved(state, state.z + jump.astype(state.z.dtype), value)
        log_ratio = there.height - state.height
        return (*_accept(state, there, log_ratio, rng), np.zeros(log_ratio.shape, bool))

    return _run("metropolis", log_density, value, z, draws, warmup, random_state, step)


def hmc(
    log_density: LogDensity, z: Any, draws: int = 1000, warmup: int = 500, random_state: Any = None
) -> Chain:
    """Hamiltonian Monte Carlo: let z roll along its density with a random momentum, Eq. CHAIN.2.

    The leapfrog's error in the energy decides whether the end of the trajectory is taken. The step
    size is tuned in the warm-up by dual averaging, and the masses are the inverse variances of the
    warm-up's draws. Neal (2011); Hoffman and Gelman (2014).

    Parameters
    ----------
    log_density
        log p(z) up to a constant, of z ``(C, n, K)``, computed with operations that can be
        differentiated.
    z
        Where the chains begin, ``(C, n, K)``.
    draws, warmup
        How many draws each chain keeps, and how many it throws away first.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.

    Warns
    -----
    ConvergenceWarning
        If trajectories diverge, or a chain never moves.
    """
    slopes = Slopes(log_density)

    def step(state: State, rng: np.random.Generator) -> tuple[State, Array, Array]:
        return trajectory(slopes, state, rng)

    return _run("hmc", log_density, slopes, z, draws, warmup, random_state, step)


class State(NamedTuple):
    """Where the chains are, and what they are tuned to."""

    z: Array
    height: Array
    """log p(z), ``(C, n)``."""

    slope: Array
    """Its gradient, for HMC."""

    scale: Array
    """The step size, ``(C, n)``."""

    variance: Array
    """Of z, ``(n, K)``: the inverse masses."""


def trajectory(
    slopes: ValueAndSlope, state: State, rng: np.random.Generator
) -> tuple[State, Array, Array]:
    """One move of HMC: the state after it, the probability of moving, and what diverged.

    With H = -log p(z) + |p|^2 / 2m, the end is taken with probability min(1, exp(H - H')), Eq.
    CHAIN.2.
    """
    p = (rng.standard_normal(state.z.shape) / np.sqrt(state.variance)).astype(state.z.dtype)
    # a random length and a jittered step, so that no trajectory comes back to its start each time
    size = (state.scale * rng.uniform(0.8, 1.2, state.scale.shape))[..., None].astype(p.dtype)
    there, q = leapfrog(slopes, state, p, size, int(rng.integers(1, MOST_STEPS + 1)))
    with np.errstate(over="ignore", invalid="ignore"):
        kinetic = 0.5 * (state.variance * (np.square(p) - np.square(q))).sum(axis=-1)
        log_ratio = there.height - state.height + kinetic
    return (*_accept(state, there, log_ratio, rng), ~(log_ratio > -DIVERGENCE))


def leapfrog(
    slopes: ValueAndSlope, state: State, p: Array, size: Array, steps: int
) -> tuple[State, Array]:
    """Half a kick, then drifts and kicks in turn, and half a kick again, Eq. CHAIN.3.

    Run backwards it retraces its path, and it preserves volume, so no Jacobian is needed.
    """
    z = state.z
    with np.errstate(over="ignore", invalid="ignore"):
        p = p + 0.5 * size * state.slope
        drift = size * state.variance.astype(z.dtype)
        for _ in range(steps - 1):
            z = z + drift * p
            p = p + size * slopes.slope(z)
        z = z + drift * p
        height, slope = slopes(z)
        p = p + 0.5 * size * slope
    return state._replace(z=z, height=height, slope=slope), p


def _accept(
    here: State, there: State, log_ratio: Array, rng: np.random.Generator
) -> tuple[State, Array]:
    """Each chain where the coin lets it be, and the probabilities of moving, ``(C, n)``."""
    log_ratio = np.where(np.isnan(log_ratio), -np.inf, log_ratio)
    yes = np.log(rng.random(log_ratio.shape)) < log_ratio
    moved = here._replace(
        z=np.where(yes[..., None], there.z, here.z),
        height=np.where(yes, there.height, here.height),
        slope=np.where(yes[..., None], there.slope, here.slope),
    )
    return moved, np.exp(np.minimum(log_ratio, 0.0))


Step = Callable[[State, np.random.Generator], tuple[State, Array, Array]]


def _run(
    name: str,
    log_density: LogDensity,
    value: HeightAndSlope,
    z: Any,
    draws: int,
    warmup: int,
    random_state: Any,
    step: Step,
) -> Chain:
    """Tune, then draw."""
    require_whole(name, "draws", draws, least=4)
    require_whole(name, "warmup", warmup, least=0)
    rng = stream(entropy_from(random_state), 0)
    state = _warm_up(start(name, log_density, value, z), step, warmup, rng, TARGET[name])
    (C, n, K), dtype = state.z.shape, state.z.dtype
    kept = np.empty((C, draws, n, K), dtype)
    accepted, diverged, still = np.zeros((C, n)), np.zeros((C, n), int), np.ones((C, n), bool)
    for t in range(draws):
        state, probability, divergent = step(state, rng)
        kept[:, t] = state.z
        still &= (state.z == kept[:, 0]).all(axis=-1)
        accepted += probability
        diverged += divergent
    _warn(name, draws, still, diverged)
    return Chain(kept, accepted / draws, diverged)


def _warm_up(
    state: State, step: Step, warmup: int, rng: np.random.Generator, target: float
) -> State:
    """Step sizes by dual averaging, and variances from the draws of the middle of the warm-up."""
    adapt = _DualAveraging(state.scale, target)
    first, last = warmup // 4, 3 * warmup // 4
    for t in range(warmup):
        state, probability, _ = step(state, rng)
        state = state._replace(scale=adapt.update(probability))
        if t == first:
            centre, m, total, squares = state.z.mean(axis=0, dtype=np.float64), 0, 0.0, 0.0
        if first <= t < last:  # sums, so that no draw of the warm-up is kept
            away = state.z - centre
            m, total = m + len(away), total + away.sum(axis=0)
            squares = squares + np.square(away).sum(axis=0)
        if t == last - 1 and last - first >= 10:
            # a little of the unit variance, in case the draws have hardly moved
            variance = squares - np.square(total) / m
            state = state._replace(variance=(variance + 5e-3) / (m + 5.0))
            adapt = _DualAveraging(state.scale, target)
    return state._replace(scale=adapt.average) if warmup else state


class _DualAveraging:
    """Step sizes whose acceptance comes to the target. Hoffman and Gelman (2014), section 3.2."""

    def __init__(self, scale: Array, target: float) -> None:
        self.target, self.t, self.error = target, 0, np.zeros(scale.shape)
        self.centre, self.log_average = np.log(10.0 * scale), np.log(scale)

    def update(self, probability: Array) -> Array:
        """The next step sizes, ``(C, n)``."""
        self.t += 1
        weight = 1.0 / (self.t + 10.0)
        self.error = (1.0 - weight) * self.error + weight * (self.target - probability)
        log_scale = self.centre - np.sqrt(self.t) / 0.05 * self.error
        fade = self.t**-0.75
        self.log_average = fade * log_scale + (1.0 - fade) * self.log_average
        scale: Array = np.exp(log_scale)
        return scale

    @property
    def average(self) -> Array:
        """What the step sizes have come to."""
        average: Array = np.exp(self.log_average)
        return average


def start(
    name: str, log_density: LogDensity, value: HeightAndSlope, z: Any, what: str = "log-density"
) -> State:
    """Where chains begin, ``(C, n, K)``, and how high the density is there, or it is refused."""
    refuse_masked(z, f"{name}: z")
    z = np.array(z)
    if z.dtype.kind in "iub":
        z = z.astype(np.float64)
    if z.ndim != 3 or not z.size or z.dtype.kind != "f":
        raise ShapeError(
            f"{name}: z has shape {z.shape} and dtype {z.dtype}; it must be numbers of shape "
            "(C, n, K): chains, data, dimensions"
        )
    asked(name, log_density, z, what, slope=isinstance(value, Slopes))
    height, slope = value(z)
    if not (np.isfinite(height).all() and np.isfinite(slope).all()):
        c, i = np.argwhere(~(np.isfinite(height) & np.isfinite(slope).all(axis=-1)))[0]
        raise ValueError(
            f"{name}: the {what} where chain {c} of datum {i} begins is {height[c, i]}, or "
            "its gradient is not finite; begin where the density is positive"
        )
    return State(z, height, slope, np.full(height.shape, 0.1), np.ones(z.shape[1:]))


def _moved(state: State, z: Array, value: HeightAndSlope) -> State:
    height, slope = value(z)
    return state._replace(z=z, height=height, slope=slope)


def _value(log_density: LogDensity) -> HeightAndSlope:
    def value(z: Array) -> tuple[Array, Array]:
        with no_grad():
            height = log_density(z)
        return np.asarray(values(height)), np.zeros_like(z)

    return value


def _warn(name: str, draws: int, still: Array, diverged: Array) -> None:
    if still.any():
        warn(
            f"{name}: {still.sum()} of {still.size} chains never moved; their draws say nothing",
            ConvergenceWarning,
        )
    if diverged.any():
        warn(
            f"{name}: {diverged.sum()} of {draws * diverged.size} trajectories diverged; "
            "where the density is too steep for them, the draws are missing",
            ConvergenceWarning,
        )
