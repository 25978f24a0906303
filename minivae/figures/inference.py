"""What each method makes of one datum's posterior, drawn over the exact one."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from minivae.figures.page import FAINT, INK, PALETTE, Floats, dress, page, require

__all__ = ["comparison"]

_SHARES = (0.95, 0.5)  # of the mass that lies inside the contours
_MOST_DRAWS = 1000


def comparison(
    axes: Sequence[ArrayLike],
    posterior: ArrayLike,
    answers: Sequence[tuple[str, ArrayLike]],
    gaps: tuple[float, float] | None = None,
    log_p: float | None = None,
) -> Figure:
    """Draw the exact posterior in grey, and each answer over it in a picture of its own.

    Parameters
    ----------
    axes
        One or two arrays ``(n,)``: the points of the grid along each of one or two dimensions of z.
    posterior
        The exact density at the points, ``(n,)`` or ``(n, n)``.
    answers
        Pairs of what to call it and a density on the same grid, or draws (S, K).
    gaps
        The approximation and the amortisation gap in nats, for a bar.
    log_p
        log p(x), for the title.
    """
    points = [np.asarray(a, dtype=np.float64) for a in axes]
    exact = np.asarray(posterior, dtype=np.float64)
    shape = tuple(len(a) for a in points)
    found, mend = f"a posterior of shape {exact.shape} for axes of lengths {shape}", "See compare"
    fits = len(shape) in (1, 2) and exact.shape == shape and bool(np.isfinite(exact).all())
    rule = "the density must be finite, at each point of one or two axes"
    require(fits and len(answers) > 0, "comparison", found, rule, mend)
    bars = gaps is not None
    n = len(answers) + bars
    columns = min(4, n)
    rows = -(-n // columns)
    figure = page(3.1 * columns + 0.4, 3.0 * rows + 0.7)
    panes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    view = _view(points, exact)
    for k, (pane, (name, array)) in enumerate(zip(panes, answers, strict=False)):
        answer = np.asarray(array, dtype=np.float64)
        draw = _draw_line if len(shape) == 1 else _draw_contours
        draw(pane, points, exact, answer, PALETTE[k % len(PALETTE)])
        dress(pane, name)
        pane.set_xlim(*view[0])
        if len(shape) == 2:
            pane.set_ylim(*view[1])
        else:
            pane.set_ylim(0, 2.3 * exact.max())
    if gaps is not None:
        _draw_gaps(panes[len(answers)], gaps)
    for pane in panes[n:]:
        pane.set_visible(False)
    title = "Answers to: what is z, given x? Grey: the exact posterior"
    if log_p is not None:
        title += f"; log p(x) = {log_p:.2f} nats".replace("-", "\N{MINUS SIGN}")
    figure.suptitle(title, fontsize=13, color=INK)
    return figure


def _view(axes: list[Floats], density: Floats) -> list[tuple[float, float]]:
    """Limits that hold what can be seen of the posterior, and room around."""
    limits = []
    for k, axis in enumerate(axes):
        other = tuple(j for j in range(density.ndim) if j != k)
        heights = np.asarray(density.max(axis=other))
        inside = np.asarray(axis[np.flatnonzero(heights > 1e-4 * heights.max())])
        room = 0.15 * (inside[-1] - inside[0]) + (axis[1] - axis[0])
        limits.append((float(inside[0] - room), float(inside[-1] + room)))
    return limits


def _levels(density: Floats) -> list[float]:
    """Heights whose contours hold certain shares of the mass on the grid."""
    heights = np.sort(density.ravel())[::-1]
    held = np.cumsum(heights) / heights.sum()
    places = np.minimum(np.searchsorted(held, _SHARES), len(held) - 1)
    return sorted(set(heights[places].tolist()))


def _draw_contours(
    pane: Axes, axes: list[Floats], exact: Floats, answer: Floats, colour: str
) -> None:
    x, y = axes
    pane.contourf(x, y, exact.T, [*_levels(exact), exact.max() * 1.001], colors=["#dfe5ec", FAINT])
    if answer.shape == exact.shape:
        pane.contour(x, y, answer.T, _levels(answer), colors=colour, linewidths=1.6)
    else:
        some = answer[:: max(1, len(answer) // _MOST_DRAWS)]
        pane.plot(*some.T, ".", color=colour, ms=2.2, alpha=0.6, mew=0)


def _draw_line(pane: Axes, axes: list[Floats], exact: Floats, answer: Floats, colour: str) -> None:
    pane.fill_between(axes[0], exact, color="#dfe5ec", lw=0)
    pane.plot(axes[0], exact, color=FAINT, lw=1)
    if answer.shape == exact.shape:
        pane.plot(axes[0], answer, color=colour, lw=1.6)
    else:
        (low, high), = _view(axes, exact)
        bins = np.linspace(low, high, 61)
        weight = np.full(len(answer), 1.0 / (len(answer) * (bins[1] - bins[0])))
        pane.hist(answer[:, 0], bins=bins.tolist(), weights=weight, histtype="step",
                  color=colour, lw=1.4)  # fmt: skip


def _draw_gaps(pane: Axes, gaps: tuple[float, float]) -> None:
    """What an encoder loses: to its family, and to answering for all data at once."""
    approximation, amortisation = (max(gap, 0.0) for gap in gaps)
    pane.bar([0], [approximation], width=0.5, color=PALETTE[0], label="approximation")
    pane.bar([0], [amortisation], bottom=[approximation], width=0.5, color=PALETTE[1],
             label="amortisation")  # fmt: skip
    pane.set_xlim(-0.5, 0.5)
    pane.set_xticks([])
    pane.set_ylim(0, 1.45 * max(approximation + amortisation, 1e-3))
    dress(pane, "log p(x) less the encoder's ELBO", "", "nats")
    pane.title.set_fontsize(11)
    pane.legend(frameon=False, fontsize=10, loc="upper center")
