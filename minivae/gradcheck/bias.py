"""What kind of mistake a biased estimate of a gradient shows.

As with a wrong VJP, a bias is seldom arbitrary: a factor is missing, or one of the gradient's terms
is missing, doubled, or of the wrong sign. Each mistake below is worked out and compared with what
was found. A mistake is named only if correcting it mends every element.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from minivae.tensor import values

__all__ = ["Bias", "Parts", "diagnose_bias", "parts_of"]

Array = NDArray[Any]
MISSED = 1e-4  # how often sampling may hide a mistake that is worked out and is the right one
NAMED = 3.0  # standard errors between a factor and one that has a name: others may lie between
CLEAR = 0.15  # relative to the gradient, beyond which nothing can be told from anything


@dataclass(frozen=True)
class Parts:
    """The terms of the gradient of E_q[f(theta, z)], of which a wrong estimate may be made."""

    score: Array
    """E[f grad log q]."""

    direct: Array
    """E[grad f], with z held."""

    attached: Array
    """E[log q grad f]: what comes when the weight of the score is not detached."""


@dataclass(frozen=True)
class Bias:
    """What was found in some elements of a gradient, and what should have been.

    Parameters
    ----------
    found, exact
        The mean of the estimates, and the gradient of the objective.
    error
        The standard error of ``found``; rounding, where the mean is exact.
    asked
        How many draws an estimate asks for.
    minibatch
        N and M, if the noise is a minibatch.
    parts
        The terms of the gradient, if the caller gave what they are made of.
    """

    found: Array
    exact: Array
    error: Array
    asked: int
    minibatch: tuple[int, int] | None = None
    parts: Parts | None = None

    def is_(self, candidate: Any) -> bool:
        """Whether the mean of the estimates is this, and not merely near it."""
        size = max(np.max(np.abs(self.exact)), np.max(np.abs(self.found)), 1e-300)
        # more elements, more chance that one lies far out
        allowed = -ndtri(0.5 * MISSED / self.error.size) * self.error + 1e-6 * size
        near = np.abs(self.found - candidate) <= allowed
        clear = np.max(allowed) <= CLEAR * size
        nearer = _size(self.found - candidate) <= 0.4 * _size(self.found - self.exact)
        return bool(near.all() and clear and nearer)

    @property
    def ratio(self) -> tuple[float, float] | None:
        """By which factor it is wrong, if by one, and the standard error of the factor."""
        w = 1.0 / np.square(self.error + 1e-12 * (1e-300 + np.abs(self.exact)))
        total = (w * np.square(self.exact)).sum()
        if not total > 0:
            return None
        r = float((w * self.found * self.exact).sum() / total)
        return (r, float(total**-0.5)) if self.is_(r * self.exact) else None


def diagnose_bias(bias: Bias) -> str:
    """What is wrong, as the rest of a sentence that begins "the gradient of ..."."""
    for said, candidate in _terms(bias):
        if bias.is_(candidate):
            return said
    if np.any(bias.exact) and bias.is_(np.zeros_like(bias.exact)):
        return "is zero on average"
    ratio = bias.ratio
    if ratio is not None:
        return _factor(bias, *ratio)
    if not np.any(bias.exact):
        return "is not zero on average, although the objective does not change with it"
    hint = " (log_prob= and f= would show whether a score term is wrong)"
    if bias.minibatch:
        hint = ": is a term that is not the minibatch's, as a prior, scaled or left out?"
    return "is off by no single factor" + ("" if bias.parts else hint)


def _terms(bias: Bias) -> Iterator[tuple[str, Any]]:
    """Mistakes in the terms of the gradient."""
    if bias.parts is None:
        return
    A, B, C = bias.parts.score, bias.parts.direct, bias.parts.attached
    G, size = bias.exact, _size(bias.exact)
    if _size(C) > 1e-6 * size:
        detach = ": detach f where it weighs the score"
        yield f"has weights that are not detached{detach}", G + C
        yield f"has weights that are not detached, instead of the term grad f{detach}", A + C
    if _size(A) > 1e-6 * size:
        yield "misses the score term f grad log q", G - A
        yield "has the score term f grad log q twice", G + A
        yield "has the score term f grad log q with the wrong sign", G - 2.0 * A
        for S in _counts(bias):
            if S > 2:
                said = "is summed over the draws" if bias.asked == S else f"is {S} times too large"
                yield f"has a score term that {said}: divide it by S = {S}", G + (S - 1) * A
            yield _own_sample(S), G - A / S
    if _size(B) > 1e-6 * size:
        yield "misses the term grad f, in which z is held", G - B
        yield "has the term grad f, in which z is held, twice", G + B
        yield "has the term grad f, in which z is held, with the wrong sign", G - 2.0 * B


def _factor(bias: Bias, r: float, error: float) -> str:
    """A mistake that multiplies the whole gradient."""
    known = [(said, v) for said, v in _factors(bias) if v != 1.0]
    fits = [
        (abs(r - v) / abs(v), k)
        for k, (_, v) in enumerate(known)
        if abs(r - v) <= max(NAMED * error, 1e-5 * abs(v))
    ]
    if fits:
        best = min(fits)[0]
        return known[next(k for off, k in fits if off <= best + 1e-9)][0]
    return f"is {r:.4g} times what it should be"


def _factors(bias: Bias) -> Iterator[tuple[str, float]]:
    """What may be said of a factor, the specific before the general."""
    yield "has the wrong sign", -1.0
    if bias.minibatch:
        N, M = bias.minibatch
        yield f"misses the factor N/M = {N}/{M} of a minibatch", M / N
        yield f"is a mean over the minibatch where N/M times its sum is wanted: N = {N}", 1.0 / N
        yield f"is a sum over the minibatch where its mean is wanted: M = {M}", float(M)
        yield f"is a sum over all N = {N} where their mean is wanted", float(N)
        yield f"has the factor N/M = {N}/{M} of a minibatch once too often", N / M
        yield f"is divided by M = {M} once too often: a mean where a sum is wanted", 1.0 / M
    hint = ": a sum over the two draws where their mean is meant?" if bias.asked == 2 else ""
    yield f"is twice what it should be{hint}", 2.0
    if bias.asked % 2 == 0 and bias.asked > 0:
        yield "is half of what it should be, as with a baseline that looks at its own sample, " \
              "S = 2, or a mean where a sum is meant", 0.5  # fmt: skip
    yield "is half of what it should be", 0.5
    for S in _counts(bias):
        if S > 2:
            yield f"is a sum over S = {S} draws where their mean is wanted", float(S)
            yield f"is a mean over S = {S} draws where their sum is wanted", 1.0 / S
            yield _own_sample(S), 1.0 - 1.0 / S
            yield f"is divided by S - 1 = {S - 1} where S = {S} is meant", S / (S - 1.0)


def _own_sample(S: int) -> str:
    return (
        f"has a baseline that looks at its own sample: factor 1 - 1/S with S = {S}. Leave each "
        "sample out of its own baseline"
    )


def _counts(bias: Bias) -> list[int]:
    """How many samples an estimate may be a mean of, given how many draws it asks for."""
    return [S for S in range(2, min(bias.asked, 1000) + 1) if bias.asked % S == 0]


def _size(x: Any) -> float:
    return float(np.max(np.abs(x), initial=0.0))


# ---- the terms, from the density and the integrand ----


def parts_of(
    log_prob: Callable[..., Any],
    f: Callable[..., Any],
    parameters: Array,
    rebuild: Callable[[Array], Any],
    support: Array | None,
) -> Parts:
    """The terms of the gradient of E_q[f] by a sum over z, or by an integral over one or two axes.

    Raises
    ------
    ValueError
        If the probabilities do not add up to 1.
    """
    log_q, g = _function("log_prob", log_prob, rebuild), _function("f", f, rebuild)
    z, weight = _points(log_q, parameters) if support is None else (support, 1.0)
    height = log_q(parameters, z)
    p = np.exp(height) * weight
    if not abs(p.sum() - 1.0) < 1e-4:
        raise ValueError(
            f"check_unbiased: exp(log_prob(parameters, z)) adds up to {p.sum():.6g} over all z; it "
            "must be a density with every constant, and z as the noise gives it"
        )

    def slopes(function: Callable[[Array, Array], Array]) -> Array:
        rows = []
        for i in range(parameters.size):
            h = 1e-3 * max(1.0, abs(parameters[i]))
            step = np.zeros_like(parameters)
            step[i] = h
            near, far = (
                (function(parameters + k * step, z) - function(parameters - k * step, z)) / (2 * k)
                for k in (1, 2)
            )
            rows.append((4.0 * near - far) / (3.0 * h))
        return np.array(rows)

    grad_f = slopes(g)
    live = p > 0  # where q is zero, log q is not finite
    log_height = np.where(live, height, 0.0)
    score = np.where(live, slopes(log_q), 0.0)
    return Parts(score @ (p * g(parameters, z)), grad_f @ p, grad_f @ (p * log_height))


def _function(
    name: str, given: Callable[..., Any], rebuild: Callable[[Array], Any]
) -> Callable[[Array, Array], Array]:
    """A function of the flat parameters and of n values of z."""
    try:
        alone = len(inspect.signature(given).parameters) == 1
    except ValueError:
        alone = False

    def function(parameters: Array, z: Array) -> Array:
        value = given(z) if alone else given(rebuild(parameters), z)
        array = np.asarray(values(value), np.float64)
        if array.ndim == 0:
            array = np.full(len(z), float(array))
        if array.shape != (len(z),):
            raise ValueError(
                f"check_unbiased: for z of shape {z.shape} {name} has shape {array.shape}; it must "
                f"be ({len(z)},), one number for each z"
            )
        return array

    return function


def _points(log_q: Callable[[Array, Array], Array], parameters: Array) -> tuple[Array, float]:
    """All z there are and their common weight: numbers, rows of one or two, or classes."""
    reasons = []

    def misses(z: Array, weight: float) -> float:
        """How far the probabilities are from 1 in sum."""
        try:
            return abs(float(np.exp(log_q(parameters, z)).sum()) * weight - 1.0)
        except (ValueError, TypeError, IndexError) as reason:
            reasons.append(reason)
            return np.inf

    for K, n in ((0, 8001), (1, 8001), (2, 401)):
        for limit in (8.0, 20.0, 80.0, 3.0):
            axis = np.linspace(-limit, limit, n)
            z = axis if K == 0 else np.stack(np.meshgrid(*[axis] * K), -1).reshape(-1, K)
            weight = float(axis[1] - axis[0]) ** max(K, 1)
            if misses(z, weight) < 1e-4:
                return z, weight
    for z in (np.array([-1, 1]), *map(np.arange, range(2, 33))):
        if misses(z, 1.0) < 1e-6:
            return z, 1.0
    said = f" ({reasons[0]})" if reasons else ""
    raise ValueError(
        "check_unbiased: exp(log_prob(parameters, z)) does not add up to 1 over z of shape (n,), "
        f"(n, 1) or (n, 2), nor over classes 0, 1, ...{said}; it must be a density with every "
        "constant in. Values of another kind belong into noise=('set', values, probabilities)"
    )
