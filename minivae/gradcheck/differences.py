"""A derivative from differences alone, and how far it may be off.

A central difference is spoilt by curvature if its step is large and by rounding if it is small, and
where the good steps lie depends on the function: around 1e-5 for exp at 1, 1e-9 for sin(1e4 x),
1e-155 for the logarithm at 1e-150. So the step sweeps over decades, and the derivative is read
where neighbouring steps agree: on the plateau. The spread there is the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Slope", "slope"]

Array = NDArray[Any]

# No step is a simple fraction: over whole periods of a function, or whole steps of a staircase, the
# difference quotient would be a straight line's, at every such step the same, and wrong.
ODD = 0.6180339887498949  # the golden section, of all numbers the worst to write as a fraction
FEW = ODD * 2.0 ** np.array([-5, -8, -11, -14])
SETTLED = 1e-7  # a relative spread at which the few steps are enough
RESOLVED = 1e-2  # a relative spread above which a plateau says nothing but "close to zero"
SHRINKS = 0.75  # how much one-sided slopes come together from step to step, unless at a kink


class Slope(NamedTuple):
    """A derivative found by differences."""

    kind: Literal["smooth", "kink", "rough"]
    value: float  # NaN unless smooth
    error: float  # how far the value may be off, from the spread and from rounding
    step: float  # the step at which it was read


ROUGH = Slope("rough", np.nan, np.inf, np.nan)


class _Quotient(NamedTuple):
    """What one step shows."""

    step: float
    central: float  # the central difference quotient, Eq. CHECK.1
    gap: float  # how far the one-sided quotients are apart
    noise: float  # what rounding of the outputs can do to the quotient


def slope(
    outputs: Callable[[float], Array], x: float, g: Array, claim: float, thorough: bool = True
) -> Slope:
    """The derivative of ``g . outputs(t)`` at ``t = x``, Eq. CHECK.5.

    Parameters
    ----------
    outputs
        The outputs, flattened, as a function of one number; not finite where it is not defined.
    x
        Where to differentiate.
    g
        A weight for each output. The outputs are differenced before they are weighed and added up,
        so that a small output does not drown in a large one.
    claim
        The derivative somebody claims. A few steps are enough to believe it, all are taken to
        refute it: unless they rule it out, it is not ruled out.
    thorough
        Whether to take that trouble where a few steps seem clear.
    """
    with np.errstate(all="ignore"):
        here = outputs(x)
        weight = np.abs(g) * _depends(outputs, here)

        def quotients(steps: Iterable[float]) -> list[_Quotient]:
            found = (_quotient(outputs, x, here, g, weight, float(h)) for h in steps)
            return [q for q in found if q is not None]

        few = quotients(FEW * _scale(x))
        found = _plateau(few, window=2)
        if found is not None and found.error <= SETTLED * abs(found.value):
            if not thorough or abs(claim - found.value) <= 8 * SETTLED * abs(found.value):
                return found
        elif few and all(q.gap == q.central == 0.0 and abs(claim) <= q.noise for q in few):
            return Slope("smooth", 0.0, few[0].noise, few[0].step)  # it stands still, as claimed
        for ratio in (4.0, 2.0):
            many = quotients(_steps(x, ratio))
            found = _plateau(many, window=3)
            if found is None:
                break  # at a kink or undefined at every step: finer ones show nothing else
            found = found._replace(error=found.error + _scatter(many, found.step))
            if found.error <= RESOLVED * abs(found.value):
                return ROUGH if _ambiguous(many, found, claim, x, weight) else found
        return _zero(many, x, weight) or _nothing(many)


def _ambiguous(
    quotients: Sequence[_Quotient], found: Slope, claim: float, x: float, weight: Array
) -> bool:
    """Whether steps below the plateau agree on the claim instead.

    Then there are two plateaus, as beside a kink that is too near, or where the function is a
    difference of large numbers and moves in jumps; and differences cannot say which is right.
    """
    distance = abs(found.value - claim)
    if not np.isfinite(distance):
        return False
    smaller = [q for q in quotients if q.step < found.step]
    agree = [
        8 * (q.noise + _hidden(x, weight) / q.step) < distance and abs(r - claim) <= distance / 4
        for r, q in zip(_richardson(smaller), smaller[1:], strict=True)
    ]
    return any(all(agree[i : i + 3]) for i in range(len(agree) - 2))


def _hidden(x: float, weight: Array) -> float:
    """Rounding that an output's size does not show: it may be a difference of numbers near 1."""
    return float(np.spacing(max(1.0, abs(x))) * weight.sum())


def _scatter(quotients: Sequence[_Quotient], step: float) -> float:
    """The error at a step that the scatter at smaller ones suggests.

    Three quotients may agree by chance. Where rounding rules, the scatter grows as one over the
    step, so the smaller steps show what it must be here.
    """
    smaller = [q for q in quotients if q.step <= step][:9]
    changes = np.abs(np.diff(_richardson(smaller)))
    scatter = changes * [q.step / step for q in smaller[2:]]
    return float(np.mean(scatter)) if len(scatter) else 0.0


def _zero(quotients: Sequence[_Quotient], x: float, weight: Array) -> Slope | None:
    """A derivative that cannot be told from zero: the outputs stand still as far as rounding shows.

    Only here does an absolute error excuse anything.
    """
    # A function that swings has small quotients at large steps too: they say nothing.
    quotients = [q for q in quotients if q.step <= _scale(x) / 4]
    flat = _plateau(quotients, window=3, absolute=True)
    if flat is None:
        return None
    hidden = _hidden(x, weight)
    error = flat.error + hidden / flat.step
    visible = [q.gap for q, seen in zip(quotients, _kinks(quotients)[1], strict=True) if seen]
    if abs(flat.value) > 8 * error or (visible and visible[-1] < 8 * error):
        return None  # it is not zero, or this is where rounding hides a kink
    smaller = [q for q in quotients if q.step < flat.step]
    for r, q in zip(_richardson(smaller), smaller[1:], strict=True):
        if abs(r - flat.value) > 8 * (error + q.noise + hidden / q.step):
            return None
    return flat._replace(error=error)


def _nothing(quotients: Sequence[_Quotient]) -> Slope:
    """No derivative: at a kink, or the function is too rough for differences."""
    kinks, significant = _kinks(quotients)
    last = np.flatnonzero(significant)[-3:]
    at_kink = not quotients or (len(last) > 1 and bool(kinks[last].all()))
    return ROUGH._replace(kind="kink") if at_kink else ROUGH


def _scale(x: float) -> float:
    """The power of two next to |x|, and 1 for a small x."""
    return float(2.0 ** np.ceil(np.log2(max(1.0, abs(x)))))


def _steps(x: float, ratio: float) -> list[float]:
    """Odd multiples of a ratio's powers, from far beyond x to its last digits, largest first."""
    size = float(np.log2(abs(x))) if x else -np.inf
    each = int(np.log2(ratio))
    # Whatever x is, a function has scales of its own; and a small x has others.
    exponents = set(range(-66, 12, each))
    if x:
        low, high = max(-1070, int(size) - 52), int(size) + 4
        exponents |= {k for k in range(low, high) if k % each == 0}
    steps = [ODD * 2.0**k for k in sorted(exponents, reverse=True)]
    return [h for h in steps if h >= np.spacing(abs(x))]


def _depends(outputs: Callable[[float], Array], here: Array) -> Array:
    """Which outputs depend on the element at all: those that a NaN in its place reaches.

    Rounding in the others is not noise here. Why not look which outputs move? Some move by less
    than a rounding error, and that error is then all that can be said of them.
    """
    return np.asarray(outputs(np.nan) != here)


def _quotient(
    outputs: Callable[[float], Array], x: float, here: Array, g: Array, weight: Array, h: float
) -> _Quotient | None:
    up, down = float(x + h), float(x - h)
    if not down < x < up:
        return None
    above, below = outputs(up), outputs(down)
    width = up - down
    right, left = (above - here) @ g / (up - x), (here - below) @ g / (x - down)
    difference = above - below
    rounding = (np.spacing(np.abs(above)) + np.spacing(np.abs(below))) @ weight
    cancelling = 1e-15 * (np.abs(difference) @ np.abs(g))
    quotient = _Quotient(
        h,
        float(difference @ g) / width,
        abs(float(right - left)),
        float(rounding + cancelling) / width,
    )
    return quotient if np.isfinite(quotient).all() else None


def _richardson(quotients: Sequence[_Quotient]) -> Array:
    """Neighbouring quotients combined so that the leading error cancels, Eq. CHECK.4."""
    h, d = np.array([q.step for q in quotients]), np.array([q.central for q in quotients])
    return d[1:] + (d[1:] - d[:-1]) / ((h[:-1] / h[1:]) ** 2 - 1) if len(d) > 1 else np.empty(0)


def _kinks(quotients: Sequence[_Quotient]) -> tuple[Array, Array]:
    """At which steps the two sides disagree as at a kink, and at which they visibly differ."""
    gap, noise = np.array([q.gap for q in quotients]), np.array([q.noise for q in quotients])
    size = np.abs([q.central for q in quotients])
    significant = (gap > 8 * noise) & (gap > 1e-6 * size)
    stays = np.append([True], gap[1:] > SHRINKS * gap[:-1])[: len(gap)]
    if len(stays) > 1:
        stays[0] = stays[1]
    return significant & stays, significant


def _plateau(quotients: Sequence[_Quotient], window: int, absolute: bool = False) -> Slope | None:
    """The steps between which the derivative changes least, relative to its size or absolutely."""
    if len(quotients) < window + 1:
        return None
    r = np.lib.stride_tricks.sliding_window_view(_richardson(quotients), window)
    kinked = np.lib.stride_tricks.sliding_window_view(_kinks(quotients)[0], window + 1).any(axis=1)
    noise = np.array([q.noise for q in quotients])
    middle = np.arange(len(r)) + (window + 1) // 2  # of the smaller steps of a window
    value = r[:, window // 2]
    error = np.ptp(r, axis=1) + 2 * noise[middle]
    badness = np.where(kinked, np.inf, error if absolute else error / np.abs(value))
    badness = np.where(np.isnan(badness), np.inf, badness)
    k = int(np.argmin(badness))
    if not np.isfinite(badness[k]):
        return None
    return Slope("smooth", float(value[k]), float(error[k]), quotients[int(middle[k])].step)
