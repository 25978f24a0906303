"""All methods on one datum, against the posterior by the trapezoid rule in one or two dimensions.

A density q is compared with the posterior on a grid. Draws are counted in cells of that grid.
Finitely many draws from the posterior itself would differ from it too, so the total variation to be
expected from that many is given as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy

from minivae.distributions import Categorical, DiagonalGaussian, Distribution
from minivae.errors import ConvergenceWarning, ShapeError, warn
from minivae.inference.annealed import annealed_importance_sampling
from minivae.inference.chains import hmc, metropolis
from minivae.inference.importance import LogDensity, asked, estimate_from
from minivae.inference.laplace import laplace_proposal
from minivae.inference.variational import fit_posterior, measured
from minivae.notebook import card, number
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, no_grad, values

__all__ = ["Answer", "Comparison", "compare"]

POINTS = {1: 2049, 2: 257}  # of the grid, along an axis
CELLS = {1: 32, 2: 16}  # for draws, along an axis
REACH = 10.0  # along an axis, where the posterior is looked for first
DEPTH = 30.0  # nats below its peak, where the grid may end
WIDEN = 1.5  # widths of the posterior, by which the grid may grow at an end to hold a q
CHAINS, DRAWS, WEIGHED, PATHS = 8, 1000, 4000, 200


class Answer(NamedTuple):
    """What one method says about one datum; NaN for what it does not provide."""

    name: str
    seconds: float
    estimate: float
    """The ELBO of a q, the estimate of log p(x) by weights, in nats."""

    standard_error: float
    kl: float
    """KL(answer || posterior) in nats."""

    total_variation: float
    """Half the integral of the difference, between 0 and 1."""

    floor: float
    """The total variation that as many draws of the posterior itself would have; 0 for a q."""

    ess: float
    """Effective draws."""

    density: Array | None
    """On the grid, if there is one."""

    draws: Array | None
    """``(S, K)``, if there are any."""


class Comparison(NamedTuple):
    """The posterior of one datum, and each method's answer."""

    log_p: float
    """log p(x) by the trapezoid rule."""

    axes: list[Array]
    posterior: Array
    """The density p(z | x) at the points of the grid, one axis for each dimension of z."""

    answers: list[Answer]

    def __getitem__(self, name: Any) -> Any:
        """An answer by its name."""
        if isinstance(name, str):
            return next(a for a in self.answers if a.name == name)
        return tuple.__getitem__(self, name)

    @property
    def gaps(self) -> tuple[float, float] | None:
        """The approximation gap and the amortisation gap in nats, if there was an encoder.

        log p(x) - ELBO of the best diagonal Gaussian, and how far the encoder's ELBO is below that.
        Cremer, Li and Duvenaud (2018).
        """
        by_name = {a.name: a.estimate for a in self.answers}
        if "encoder" not in by_name:
            return None
        return self.log_p - by_name["diagonal"], by_name["diagonal"] - by_name["encoder"]

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        rows = [
            (a.name, f"{a.seconds:.2f}", number(a.estimate), number(a.standard_error, 3),
             number(a.kl, 3), number(a.total_variation, 3), number(a.floor, 3),
             number(a.ess / max(a.seconds, 1e-9), 3)) for a in self.answers
        ]  # fmt: skip
        head = ("", "seconds", "nats", "+-", "KL", "TV", "floor", "ESS/s")
        exact = f"log p(x) = {self.log_p:.4f} nats by the trapezoid rule"
        return card("One datum, each method", text=exact, head=head, rows=rows)

    def __str__(self) -> str:
        head = f"{'':14}{'seconds':>8}{'nats':>11}{'+-':>8}"
        head += f"{'KL':>8}{'TV':>7}{'floor':>7}{'ESS/s':>9}"
        lines = [f"log p(x) = {self.log_p:.4f} nats by the trapezoid rule", "", head]
        for a in self.answers:
            rate = a.ess / max(a.seconds, 1e-9)
            cells = (
                f"{a.seconds:8.2f}", _cell(a.estimate, 11, 3), _cell(a.standard_error, 8, 3),
                _cell(a.kl, 8, 3), _cell(a.total_variation, 7, 3), _cell(a.floor, 7, 3),
                _cell(rate, 9, 0),
            )  # fmt: skip
            lines.append(f"{a.name:14}{''.join(cells)}")
        lines += [
            "",
            "nats: the ELBO of a q, or an estimate of log p(x). KL and TV: to the posterior;",
            "floor: the TV that as many draws of the posterior would have.",
        ]
        if self.gaps:
            lines.append(
                f"gaps: approximation {self.gaps[0]:.3f}, amortisation {self.gaps[1]:.3f} nats"
            )
        return "\n".join(lines)


def _cell(x: float, width: int, places: int) -> str:
    tried = (f"{x:.{places}f}", f"{x:.0f}", f"{x:.0e}") if math.isfinite(x) else ("-",)
    return f"{next((t for t in tried if len(t) < width), tried[-1]):>{width}}"


def compare(
    model: Any, x: Any, q: Any = None, random_state: Any = 0, c: Any = None
) -> Comparison:
    """Ask every method for p(z | x) of one datum.

    Parameters
    ----------
    model
        A ``LatentModel`` with z of one or two dimensions, or a fitted VAE, whose
        model and encoder are taken.
    x
        One datum, ``(D,)`` or ``(1, D)``.
    q
        An encoder's answer for it, such as ``DiagonalGaussian(mu, log_var)`` of shape ``(1, K)``.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.
    c
        The condition of a conditional model, ``(1, C)``; of a fitted ``ConditionalVAE`` its y, one
        class or one row.

    Raises
    ------
    ShapeError
        If x is not one datum, or z has more than two dimensions.
    ValueError
        If the model cannot take this x, or this c.
    TypeError
        If z is a class, or there is no model, or q is not a distribution.

    Warns
    -----
    ConvergenceWarning
        If the posterior is too narrow for the grid, as with several peaks far apart.
    """
    x = np.atleast_2d(values(x))
    if x.ndim != 2 or len(x) != 1:
        raise ShapeError(f"compare: x has shape {x.shape}; it must be one datum, (D,) or (1, D)")
    if hasattr(model, "model_"):
        if c is None and hasattr(model, "conditions"):
            raise ValueError(f"compare: a {type(model).__name__} is asked given its y: say c=...")
        given = () if c is None else (np.atleast_1d(c),)
        if c is not None and not hasattr(model, "conditions"):
            raise ValueError(f"compare: a {type(model).__name__} has no condition; leave out c")
        q = model.posterior(x, *given) if q is None else q
        c = None if c is None else model.conditions(*given, 1)
        model = model.model_
    if not hasattr(model, "prior_given"):
        raise TypeError(
            f"compare: the model is of type {type(model).__name__}; it must be a LatentModel or a "
            "fitted VAE"
        )
    log_joint, likelihood = (partial(f, x, c=c) for f in (model.log_joint, model.log_prob_given))
    try:
        prior = model.prior_given(c)
    except (TypeError, ValueError) as error:
        raise ValueError(f"compare: the model cannot take this c: {error}") from error
    if isinstance(prior, Categorical):
        raise TypeError(
            "compare: z is a class in this model, and its posterior a sum: see the model's "
            "posterior(x); the methods are compared where z is real-valued"
        )
    K = prior.moments()[0].shape[-1]
    if K not in POINTS:
        raise ShapeError(
            f"compare: z has {K} dimensions; the exact posterior needs a grid of 1 or 2"
        )
    entropy = entropy_from(random_state)
    _refuse_datum(log_joint, x, c, K)
    if q is not None and not isinstance(q, Distribution):
        raise TypeError(f"compare: q is of type {type(q).__name__}; it must be a distribution of z")
    densities: list[tuple[str, Any, float]] = []
    others: list[tuple[Draws, float]] = []
    if q is not None:
        begun = time.perf_counter()
        fit = measured(log_joint, q, stream(entropy, 0), 1, K)
        densities.append(("encoder", fit, time.perf_counter() - begun))
    for family in ("diagonal", "full", "flow")[: 3 if K > 1 else 1]:
        begun = time.perf_counter()
        start = q if isinstance(q, DiagonalGaussian) else None
        fit = fit_posterior(log_joint, 1, K, family, start, stream(entropy, 1))
        densities.append((family, fit, time.perf_counter() - begun))
    best = next(fit.q for name, fit, _ in densities if name == "diagonal")
    others.append(_timed(_weighed, log_joint, prior, best, stream(entropy, 2)))
    begins = prior.sample(stream(entropy, 3), CHAINS).reshape(CHAINS, 1, K).astype(np.float64)
    for method in (metropolis, hmc):
        others.append(_timed(_chained, method, log_joint, begins, stream(entropy, 4)))
    others.append(_timed(_annealed, prior, likelihood, K, stream(entropy, 5)))
    grid = Grid(log_joint, K, [fit.q for _, fit, _ in densities])
    answers = [grid.judge_density(*found) for found in densities]
    answers += [grid.judge_draws(*found) for found in others]
    return Comparison(grid.log_p, grid.axes, grid.posterior, answers)


def _refuse_datum(log_joint: LogDensity, x: Array, c: Any, K: int) -> None:
    given = f"x of shape {x.shape}" + ("" if c is None else f" with c of shape {np.shape(c)}")
    try:
        height = asked("compare", log_joint, np.zeros((1, 1, K)), "log-density of the model")
    except (TypeError, ValueError) as error:
        raise ValueError(f"compare: the model cannot take {given}: {error}") from error
    if np.isnan(height).any():
        raise ValueError(
            f"compare: log p(x, z) is not a number at z = 0 for {given}; do they hold NaN or "
            "infinity? NaN stands for a missing value where the model has missing='marginalise'"
        )


class Draws(NamedTuple):
    """The result of a method that gives draws and no density."""

    name: str
    z: Array | None
    weights: Array | None
    ess: float
    estimate: float
    standard_error: float


def _timed(method: Callable[..., Draws], *arguments: Any) -> tuple[Draws, float]:
    begun = time.perf_counter()
    found = method(*arguments)
    return found, time.perf_counter() - begun


def _weighed(log_joint: LogDensity, prior: Any, q: Any, rng: np.random.Generator) -> Draws:
    """Importance sampling from the Laplace proposal."""
    proposal = laplace_proposal(log_joint, prior, q, [rng])
    z = proposal.sample(rng, WEIGHED)
    with no_grad():
        log_w = values(log_joint(z)) - proposal.log_prob(z)
    found = estimate_from(log_w)
    weights = np.exp(log_w[:, 0] - scipy.special.logsumexp(log_w[:, 0]))
    ess, estimate, error = (float(a[0]) for a in (found.ess, found.estimate, found.standard_error))
    return Draws("importance", z[:, 0], weights, ess, estimate, error)


def _chained(
    method: Callable[..., Any], log_joint: LogDensity, z: Array, rng: np.random.Generator
) -> Draws:
    chain = method(log_joint, z, DRAWS, random_state=rng)
    draws = chain.draws.reshape(-1, z.shape[-1])
    nan = math.nan
    return Draws(method.__name__, draws, None, float(np.min(chain.ess_bulk)), nan, nan)


def _annealed(
    prior: Any, likelihood: LogDensity, K: int, rng: np.random.Generator
) -> Draws:
    z = prior.sample(rng, PATHS).reshape(PATHS, 1, K).astype(np.float64)
    found = annealed_importance_sampling(prior.log_prob, likelihood, z, random_state=rng)
    ess, estimate, error = (float(a[0]) for a in (found.ess, found.estimate, found.standard_error))
    return Draws("annealing", None, None, ess, estimate, error)


class Grid:
    """The posterior on a grid that holds all of it, and each q as far as it is near."""

    def __init__(self, log_joint: LogDensity, K: int, qs: list[Any]) -> None:
        self.K, self.log_joint = K, log_joint
        low, high = np.full(K, -REACH), np.full(K, REACH)
        for _ in range(6):  # look closer and closer
            self._lay(low, high, POINTS[K] // 2)
            near = np.argwhere(self.log_posterior > self.log_posterior.max() - DEPTH)
            step = (high - low) / (POINTS[K] // 2 - 1)
            closer = low + (near.min(axis=0) - 1) * step, low + (near.max(axis=0) + 1) * step
            done = np.allclose(closer, (low, high), atol=float(4 * step.max()))
            low, high = closer
            if done:
                break
        # A grid that held a q of an encoder far off would have no point where the posterior is.
        least, most = low - WIDEN * (high - low), high + WIDEN * (high - low)
        for q in qs:
            z = q.sample(0, 500)[:, 0].clip(least, most)
            low, high = np.minimum(low, z.min(axis=0)), np.maximum(high, z.max(axis=0))
        self._lay(low, high, POINTS[K])
        coarse = self.log_posterior[(slice(None, None, 2),) * K]
        off = abs(float(scipy.special.logsumexp(coarse)) + math.log(2**K * self.volume))
        if off > 1e-3:
            warn(
                f"compare: the posterior is too narrow for the grid: with half as many points log "
                f"p(x) differs by {off:.2g} nats, so distances to it are not to be trusted",
                ConvergenceWarning,
            )

    def _lay(self, low: Array, high: Array, n: int) -> None:
        self.axes = [np.linspace(a, b, n) for a, b in zip(low, high, strict=True)]
        self.points = np.stack(np.meshgrid(*self.axes, indexing="ij"), -1).reshape(-1, self.K)
        self.volume = float(np.prod([axis[1] - axis[0] for axis in self.axes]))
        shape = (n,) * self.K
        height = self._on_grid(self.log_joint).reshape(shape)
        self.log_p = float(scipy.special.logsumexp(height) + math.log(self.volume))
        self.log_posterior = height - self.log_p
        self.posterior = np.exp(self.log_posterior)

    def _on_grid(self, log_density: LogDensity) -> Array:
        with no_grad():
            return np.concatenate([
                np.asarray(values(log_density(self.points[i : i + 4096, None])), np.float64)[:, 0]
                for i in range(0, len(self.points), 4096)
            ])  # fmt: skip

    def judge_density(self, name: str, fit: Any, seconds: float) -> Answer:
        """KL(q || p(z | x)) on the grid; if q leaves the grid, log p(x) - ELBO, which is noisy."""
        log_q = self._on_grid(fit.q.log_prob).reshape(self.posterior.shape)
        density = np.exp(log_q)
        mass, elbo, error = (
            float(a) for a in (density.sum() * self.volume, fit.elbo[0], fit.standard_error[0])
        )
        kl = (density * (log_q - self.log_posterior)).sum() * self.volume
        apart = 0.5 * (np.abs(density - self.posterior).sum() * self.volume + max(1.0 - mass, 0.0))
        if abs(mass - 1.0) > 0.01:
            kl = self.log_p - elbo
        return Answer(name, seconds, elbo, error, float(kl), float(apart), 0.0, math.nan, density,
                      None)  # fmt: skip

    def judge_draws(self, found: Draws, seconds: float) -> Answer:
        """Compare the shares of draws in the cells with the posterior's."""
        kl = apart = floor = math.nan
        if found.z is not None:
            n, cells = POINTS[self.K], CELLS[self.K]
            low, high = (np.array([axis[end] for axis in self.axes]) for end in (0, -1))
            place = np.rint((found.z - low) / (high - low) * (n - 1)).clip(0, n - 1).astype(int)
            of_point = np.minimum(np.arange(n) * cells // n, cells - 1)
            ways = [of_point[place[:, k]] for k in range(self.K)]
            shape = (cells,) * self.K
            share, mass = np.zeros(shape), np.zeros(shape)
            equal = np.full(len(found.z), 1.0 / len(found.z))
            np.add.at(share, tuple(ways), equal if found.weights is None else found.weights)
            where = np.meshgrid(*[of_point] * self.K, indexing="ij")
            np.add.at(mass, tuple(where), self.posterior * self.volume)
            apart = float(0.5 * np.abs(share - mass).sum())
            floor = float(np.sqrt(mass * (1 - mass).clip(0) / (2 * math.pi * found.ess)).sum())
            some = share > 0
            kl = float((share[some] * np.log(share[some] / mass[some].clip(1e-300))).sum())
        draws = found.z
        if draws is not None and found.weights is not None:
            rows = np.random.default_rng(0).choice(len(draws), len(draws), p=found.weights)
            draws = draws[rows]
        return Answer(found.name, seconds, found.estimate, found.standard_error, kl, apart, floor,
                      found.ess, None, draws)  # fmt: skip
