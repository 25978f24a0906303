"""Variational inference for each datum by itself, without an encoder.

An encoder answers for all data at once, with one network; here every datum has variational
parameters of its own, and they are optimised for it. What an encoder loses against the best of its
family is the amortisation gap, what the family loses against the posterior the approximation gap.
Cremer, Li and Duvenaud (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae import ops
from minivae.alternate import Trace, alternate, require_end
from minivae.checks import require_whole
from minivae.distributions import AffineCoupling, DiagonalGaussian, Distribution, Flow, FullGaussian
from minivae.doors import Counter
from minivae.errors import ShapeError
from minivae.inference.importance import LogDensity, asked
from minivae.inference.slopes import Slopes
from minivae.nn import Module
from minivae.optim import Adam
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, Tensor, no_grad, silence, values, walk
from minivae.transforms import vjp

__all__ = ["FAMILIES", "Fit", "cavi", "fit_posterior"]

SAMPLES = 8  # of z for each datum in a step, half of them the mirror images of the others
MEASURED = 2000  # samples of the ELBO that is reported
BETA2 = 0.95  # of Adam: the gradients of the start are far larger than the last, and forgotten soon


class Fit(NamedTuple):
    """The best distribution of a family for each datum."""

    q: Any
    """A distribution over z for n data."""

    elbo: Array
    """Its ELBO in nats for each datum, ``(n,)``, from fresh samples."""

    standard_error: Array
    """Of the ELBO, ``(n,)``."""


class _Free(Module):
    """Variational parameters of n data, and the distribution that they make."""

    def __init__(self, mu: Array, log_var: Array) -> None:
        self.mu, self.log_var = (Tensor(a, requires_grad=True) for a in (mu, log_var))

    def __call__(self) -> Distribution:
        return DiagonalGaussian(self.mu, self.log_var)


class _FreeFull(Module):
    """The same with a covariance: L with the logarithms of its diagonal in their places."""

    def __init__(self, mu: Array, log_var: Array) -> None:
        self.mu = Tensor(mu, requires_grad=True)
        factor = 0.5 * log_var[..., None] * np.eye(mu.shape[-1])
        self.factor = Tensor(factor, requires_grad=True, dtype=mu.dtype)

    def __call__(self) -> Distribution:
        return FullGaussian(self.mu, ops.positive_diagonal(ops.tril(self.factor)))


class _FreeFlow(Module):
    """Two affine couplings over a diagonal Gaussian, with networks of each datum's own."""

    def __init__(self, mu: Array, log_var: Array) -> None:
        self.base = _Free(mu, log_var)
        rng, (n, K) = np.random.default_rng(0), mu.shape
        self.maps = [
            AffineCoupling(K, 8, even=even, n=n, rng=rng, dtype=mu.dtype) for even in (True, False)
        ]

    def __call__(self) -> Distribution:
        return Flow(self.base(), self.maps)


FAMILIES: dict[str, Callable[[Array, Array], Any]] = {
    "diagonal": _Free, "full": _FreeFull, "flow": _FreeFlow,
}  # fmt: skip


def fit_posterior(
    log_density: LogDensity,
    n: int,
    latent_dim: int,
    family: str = "diagonal",
    start: DiagonalGaussian | None = None,
    random_state: Any = None,
    *,
    steps: int = 400,
    learning_rate: float = 0.1,
) -> Fit:
    """The q(z) of a family with the highest ELBO for each datum, Eq. VI.3.

    All data are optimised at once, by Adam on the reparameterised gradient with the score left out
    (sticking the landing): where q comes near the posterior its noise vanishes, so that a learning
    rate that falls to zero suffices. Roeder, Wu and Duvenaud (2017). Begun at an encoder's answer
    it is semi-amortised inference. Kim, Wiseman, Miller, Sontag and Rush (2018).

    Parameters
    ----------
    log_density
        log p(x, z) of z ``(C, n, K)``, computed with operations that can be differentiated.
    n, latent_dim
        How many data, and K.
    family
        ``"diagonal"``, ``"full"`` or ``"flow"`` (affine coupling; K at least 2).
    start
        Where to begin, such as an encoder's answer, which is then refined: where the search ends
        below the start, by the draws that both are measured with, the start is kept. N(0, I) if
        left out.
    random_state
        An int, a ``RandomState``, a ``Generator`` or None.
    steps, learning_rate
        Of Adam; the rate falls to 0 on the way.

    Raises
    ------
    ValueError
        If the family is unknown, or the density is not finite where it begins.
    """
    require_whole("fit_posterior", "n", n, least=1)
    require_whole("fit_posterior", "steps", steps, least=1)
    if family not in FAMILIES:
        known = ", ".join(map(repr, FAMILIES))
        raise ValueError(f"fit_posterior: family={family!r} is unknown; use one of {known}")
    require_whole("fit_posterior", "latent_dim", latent_dim, least=2 if family == "flow" else 1)
    begin, zeros = _start(start, n, latent_dim), np.zeros((1, n, latent_dim), np.float32)
    dtype = asked("fit_posterior", log_density, zeros, slope=True).dtype
    free = FAMILIES[family](*(part.astype(dtype) for part in begin))
    entropy = entropy_from(random_state)
    rng, parameters = stream(entropy, 0), free.parameters()
    begun = [np.array(p.data) for p in parameters]
    adam, slopes = Adam(parameters, learning_rate, beta2=BETA2), Slopes(log_density)
    for step in range(steps):
        half = rng.standard_normal((SAMPLES // 2, n, latent_dim)).astype(dtype)
        with Counter(silence, -silence.get()):  # on the tape, also inside the caller's no_grad
            q = free()
            z = q.rsample(np.concatenate([half, -half]))
        # q's parameters are held in log q: z alone carries the gradient
        log_q, pull_back = vjp(q.detach().log_prob, z.data)
        if step == 0:
            _refuse_start(slopes(z.data)[0] - log_q)
        uphill = slopes.slope(z.data) - pull_back(np.ones_like(log_q))[0]
        slope_of = walk(z, -uphill / SAMPLES, parameters)
        adam.learning_rate = learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        adam.step([slope_of[p] for p in parameters])
    fit = measured(log_density, free(), stream(entropy, 1), n, latent_dim)
    if start is None:
        return fit
    ended = [np.array(p.data) for p in parameters]
    for p, value in zip(parameters, begun, strict=True):
        p.data = value
    before = measured(log_density, free(), stream(entropy, 1), n, latent_dim)
    worse = before.elbo > fit.elbo
    for p, value in zip(parameters, ended, strict=True):
        p.data = np.where(np.reshape(worse, (n,) + (1,) * (value.ndim - 1)), p.data, value)
    better = (np.where(worse, a, b) for a, b in zip(before[1:], fit[1:], strict=True))
    return Fit(free().detach(), *better)


def _start(start: DiagonalGaussian | None, n: int, K: int) -> tuple[Array, Array]:
    if start is None:
        return np.zeros((n, K)), np.zeros((n, K))
    if not isinstance(start, DiagonalGaussian):
        raise TypeError(
            f"fit_posterior: start is a {type(start).__name__}; it must be a DiagonalGaussian, such"
            " as DiagonalGaussian(mu, log_var)"
        )
    mu, log_var = values(start.mu), values(start.log_var)
    if mu.shape != (n, K):
        raise ShapeError(f"fit_posterior: start has shape {mu.shape}; it must be ({n}, {K})")
    return mu, log_var


def _refuse_start(log_weights: Array) -> None:
    elbo = log_weights.mean(axis=0)
    if not np.isfinite(elbo).all():
        i = int(np.argmin(np.isfinite(elbo)))
        raise ValueError(
            f"fit_posterior: at the start the ELBO of datum {i} is {elbo[i]}; begin where the "
            "density is positive"
        )


def measured(
    log_density: LogDensity, q: Any, rng: np.random.Generator, n: int, K: int
) -> Fit:
    """The ELBO from fresh samples, in portions."""
    portions: list[Array] = []
    # float32, if the density computes in it, is several times as fast
    dtype = asked("fit_posterior", log_density, np.zeros((1, n, K), np.float32)).dtype
    with no_grad():
        for _ in range(0, MEASURED, 100):
            z, log_q = q.rsample_and_log_prob(rng.standard_normal((100, n, K)).astype(dtype))
            portions.append(values(log_density(z) - log_q))
    log_w = np.concatenate(portions).astype(np.float64)
    error = log_w.std(axis=0, ddof=1) / math.sqrt(len(log_w))
    return Fit(q.detach(), log_w.mean(axis=0), error)


def cavi(
    updates: Sequence[Callable[[Any], Any]],
    start: Any,
    bound: Callable[[Any], float],
    tol: float = 1e-10,
    max_iter: int = 1000,
) -> Trace[Any]:
    """Coordinate ascent for a mean-field q: each factor in turn, the others held, Eq. VI.2.

    Every update sets one factor to exp(E[log p(x, z)]) over the others, which maximises the bound
    in that factor: so the bound never falls. Bishop (2006), section 10.1.

    Parameters
    ----------
    updates
        Functions from all variational parameters to the same with one factor renewed.
    start
        The parameters to begin with.
    bound
        The ELBO of some parameters, in nats.
    tol, max_iter
        Stop when a round raises the bound by less, or after so many rounds.

    Returns
    -------
    Trace
        With the parameters, and the bound after each round.

    Raises
    ------
    ValueError
        If the bound is not a finite number, or falls, because an update is not the optimum of its
        factor.
    """
    require_end("cavi", tol, max_iter)

    def renew_all(_: Any, theta: Any) -> Any:
        for update in updates:
            theta = update(theta)
        return theta

    def value(_: Any, theta: Any) -> float:
        given = bound(theta)
        found = np.asarray(values(given))
        if found.size != 1 or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
            raise ValueError(f"cavi: the bound is {given!r}; it must be one number, and finite")
        return float(found.item())

    def check(n: int, value: float, rise: float) -> None:
        if rise < -1e-9 * (1.0 + abs(value)):
            raise ValueError(
                f"cavi: in round {n} the bound fell by {-rise:.3g} to {value:.6g}; an update is "
                "not the optimum of its factor, or the bound is not theirs"
            )

    return alternate(
        lambda theta: theta, renew_all, start, value, tol, max_iter, report=check
    )
