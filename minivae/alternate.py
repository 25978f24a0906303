"""Alternating ascent on a bound: EM and coordinate ascent have this one loop.

A model brings an E-step, which turns the parameters into what the M-step needs, an M-step, which
turns that into better parameters, and the bound. The sums of an E-step may come from blocks of data
that lie anywhere, because they can be added.

Where the posterior is not known, variational EM raises one bound F(q, theta) <= log p(x), Eq. VI.4,
by turns in q and in theta. Every half-step raises F; the likelihood itself rises for certain only
where the family of q holds the posterior. Neal and Hinton (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from minivae.checks import is_real, require_whole
from minivae.transforms import value_and_grad
from minivae.trees import Tree, leaves, mapped

__all__ = ["Report", "Trace", "alternate", "ascend", "race", "require_end", "variational_em"]

LEVEL = 1e-7  # the slope at which an ascent ends

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
    """Alternate the two steps until an E-step finds that the bound has risen by less than tol.

    Parameters are replaced and never changed in place: whatever interrupts the ascent, Ctrl-C among
    it, leaves what the caller had as it was.

    Parameters
    ----------
    e_step
        Makes the bound tight at the current parameters, and returns what the M-step needs.
    m_step
        Returns the parameters that maximise the bound, from this and the current parameters.
    theta
        The parameters to begin with.
    bound
        The bound at the parameters of an E-step, from what the E-step returned.
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


def require_end(operation: str, tol: Any, max_iter: Any) -> None:
    """Refuse a least rise or a number of iterations at which no ascent would end.

    Raises
    ------
    ValueError
        If they are not a number from 0, and a whole one.
    """
    require_whole(operation, "max_iter", max_iter, least=0)
    if not (is_real(tol) and tol >= 0):
        raise ValueError(f"{operation}: tol={tol!r} must be a number from 0")


def race(
    starts: Sequence[Theta],
    climb: Callable[[int, Trace[Theta], int], Trace[Theta]],
    max_iter: int,
    *,
    bound_before: float = -math.inf,
    first: int = 8,
) -> tuple[int, Trace[Theta]]:
    """Ascend from several starts at once, and give up those that cannot become the best.

    The starts are compared after ``first`` iterations, after twice as many, and so on. A start is
    given up if its rises are getting smaller, and if repeating its last rise in all remaining
    iterations would not bring it to the bound that another start has already reached. The winner
    takes the same path as it would have taken alone.

    Parameters
    ----------
    starts
        The parameters to begin with.
    climb
        Takes the number of a start, the state of its ascent and how many more iterations it may
        have, and returns the new state, by :func:`alternate` with ``bound_before``.
    max_iter, bound_before
        As for :func:`alternate`.
    first
        How many iterations there are before the first comparison.

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


def variational_em(
    bound: Callable[[Tree, Tree], Any],
    q: Tree,
    theta: Tree,
    tol: float = 1e-8,
    max_iter: int = 100,
) -> Trace[tuple[Tree, Tree]]:
    """Climb F(q, theta) in q and theta alternately, until a round raises it by less than tol.

    Eq. VI.4. Each half is ``ascend``, and so never lowers F. If F contains an expectation, fix
    the noise eps, or use quadrature: F must be the same function at each call.

    Parameters
    ----------
    bound
        F(q, theta), one number in nats, computed with operations that can be differentiated.
    q, theta
        The initial parameters of the q of all data and of the model: arrays, or lists, tuples and
        dicts of them.
    tol, max_iter
        The least rise in nats, and the most rounds.

    Returns
    -------
    Trace
        ``theta`` is the pair of q and theta; ``bounds`` are F after the E-step of each round but
        the first, and at the end.
    """
    require_end("variational_em", tol, max_iter)

    def e_step(both: tuple[Tree, Tree]) -> Tree:
        return ascend(lambda q: bound(q, both[1]), both[0])

    def m_step(q: Tree, both: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        return q, ascend(lambda theta: bound(q, theta), both[1])

    def value(q: Tree, both: tuple[Tree, Tree]) -> float:
        return float(bound(q, both[1]))

    return alternate(e_step, m_step, (q, theta), value, tol, max_iter)


def ascend(f: Callable[[Tree], Any], start: Tree) -> Tree:
    """A maximum of a smooth function of a tree of arrays, by L-BFGS; never lower than the start.

    Raises
    ------
    ValueError
        If the function is not finite at the start.
    """
    from scipy.optimize import minimize  # late, for it takes a while to load

    def tree_of(flat: Any) -> Tree:
        shapes = [np.shape(leaf) for leaf in leaves(start)]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        parts = iter(np.split(flat, ends))
        places = iter(shapes)
        return mapped(lambda _: next(parts).reshape(next(places)), start)

    def down(flat: Any) -> tuple[float, Any]:
        value, slopes = value_and_grad(f)(tree_of(flat))
        return -float(value), -_flat(slopes)

    begun = _flat(start)
    height = down(begun)[0]
    if not np.isfinite(height):
        raise ValueError(
            f"ascend: the function is {-height} at the start; begin where it is finite"
        )
    options = {"gtol": LEVEL, "ftol": 1e-14, "maxiter": 10_000}
    found = minimize(down, begun, jac=True, method="L-BFGS-B", options=options)
    return tree_of(found.x if found.fun <= height else begun)


def _flat(tree: Tree) -> Any:
    return np.concatenate([np.ravel(leaf) for leaf in leaves(tree)]).astype(np.float64)
