"""Alternating ascent on a bound: EM and coordinate ascent have this one loop.

A model brings an E-step, which turns the parameters into what the M-step needs, an M-step, which
turns that into better parameters, and the bound. The sums of an E-step may come from blocks of data
that lie anywhere, because they can be added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Report", "Trace", "alternate", "race"]

Theta = TypeVar("Theta")
Sums = TypeVar("Sums")
Report = Callable[[int, float, float], None]


class Trace(NamedTuple, Generic[Theta]):
    """Where an alternating ascent has arrived, and how."""

    theta: Theta
    """The parameters."""

    bounds: list[float]
    """The bound after each iteration."""

    bound: float
    """The bound of the parameters."""

    bound_before: float
    """The bound one iteration earlier."""

    converged: bool
    """Whether it ended because the bound stood still."""

    n_iter: int
    """How many iterations there were."""

    error: Exception | None
    """What an M-step raised if that ended the ascent, at the last parameters before it."""


def alternate(
    e_step: Callable[[Theta], Sums],
    m_step: Callable[[Sums, Theta], Theta],
    theta: Theta,
    bound: Callable[[Sums, Theta], float],
    tol: float,
    max_iter: int,
    *,
    bound_before: float = -math.inf,
    ends: type[Exception] | tuple[()] = (),
    report: Report = lambda iteration, bound, rise: None,
) -> Trace[Theta]:
    """Take the two steps by turns until an E-step finds that the bound has risen by less than tol.

    Parameters are replaced and never changed in place: whatever interrupts the ascent, Ctrl-C among
    it, leaves what the caller had as it was.

    Parameters
    ----------
    e_step
        Makes the bound tight at the parameters, and returns what the M-step needs.
    m_step
        The parameters that maximise the bound, given that and the parameters so far.
    theta
        The parameters to begin with.
    bound
        The bound at the parameters of an E-step, from what this returned.
    tol, max_iter
        The least rise, and the most iterations.
    bound_before
        The bound one iteration before the start, if there was one.
    ends
        An exception of the M-step that ends the ascent at the parameters before it.
    report
        Called after each iteration with its number, the bound that its E-step found, and the rise.
    """
    bounds: list[float] = []
    n_iter, converged, error, value = 0, False, None, math.nan
    for n in range(1, max_iter + 1):
        sums = e_step(theta)
        value = bound(sums, theta)
        if n > 1:
            bounds.append(value)
        try:
            theta = m_step(sums, theta)
        except ends as reason:
            error = reason
            break
        n_iter, rise, bound_before = n, value - bound_before, value
        report(n, value, rise)
        if abs(rise) < tol:
            converged = True
            break
    if error is None:
        value = bound(e_step(theta), theta)
        if n_iter:
            bounds.append(value)
    return Trace(theta, bounds, value, bound_before, converged, n_iter, error)


def race(
    starts: Sequence[Theta],
    climb: Callable[[int, Trace[Theta], int], Trace[Theta]],
    max_iter: int,
    *,
    bound_before: float = -math.inf,
    first: int = 8,
) -> tuple[int, Trace[Theta]]:
    """Ascend from several starts at once, and give up those that have no prospect of being best.

    The looks are after ``first`` iterations, twice as many, and so on. A start is given up if its
    rises are falling, and one like its last in all iterations that are left would not bring it to
    the bound that another has already. A start that wins has gone the way that it would have gone
    alone.

    Parameters
    ----------
    starts
        The parameters to begin with.
    climb
        From the number of a start, where its ascent is, and how many iterations it may have more,
        to where it then is: :func:`alternate`, handed the parameters and ``bound_before``.
    max_iter, bound_before
        As for :func:`alternate`.
    first
        How many iterations there are before the first look.

    Returns
    -------
    The number of the best start, and its ascent.
    """
    begin = Trace(starts[0], [], math.nan, bound_before, False, 0, None)
    live = {i: begin._replace(theta=theta) for i, theta in enumerate(starts)}
    look = first if len(starts) > 1 else max_iter
    while True:
        until = min(look, max_iter)
        for i, so_far in live.items():
            if not (so_far.converged or so_far.error or so_far.n_iter == max_iter > 0):
                more = climb(i, so_far, until - so_far.n_iter)
                bounds, n_iter = so_far.bounds + more.bounds, so_far.n_iter + more.n_iter
                live[i] = more._replace(bounds=bounds, n_iter=n_iter)
        best = max(live, key=lambda i: live[i].bound)
        if until == max_iter:
            return best, live[best]
        goal = live[best].bound
        live = {i: t for i, t in live.items() if i == best or _may_reach(goal, t, max_iter)}
        look = 2 * look if len(live) > 1 else max_iter


def _may_reach(goal: float, trace: Trace[Theta], max_iter: int) -> bool:
    """Whether an ascent that is below a bound may still be above it in the end."""
    if trace.converged or trace.error:
        return trace.bound > goal
    rise = trace.bound - trace.bound_before
    gathers = len(trace.bounds) > 2 and rise > trace.bounds[-2] - trace.bounds[-3]
    return gathers or trace.bound + rise * (max_iter - trace.n_iter) > goal
