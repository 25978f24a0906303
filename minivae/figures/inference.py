"""What each method makes of one datum's posterior, and whether chains agree."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from minivae.figures.page import FAINT, INK, PALETTE, Floats, dress, page, require

__all__ = ["comparison", "trace_and_ranks"]

_SHARES = (0.95, 0.5)  # of the mass that lies inside the contours
_MOST_DRAWS = 1000
_BINS, _MOST_ROWS = 20, 6


def comparison(
    axes: Sequence[ArrayLike],
    posterior: ArrayLike,
    answers: Sequence[tuple[str, ArrayLike]],
    gaps: tuple[float, float] | None = None,
    log_p: float | None = None,
) -> Figure:
    """Draw the exact posterior in grey, and each answer over it in a separate picture.

    Parameters
    ----------
    axes
        One or two arrays ``(n,)``: the points of the grid along each of one or two dimensions of z.
    posterior
        The exact density at the points, ``(n,)`` or ``(n, n)``.
    answers
        Pairs of a name and a density on the same grid, or draws (S, K).
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


def trace_and_ranks(draws: ArrayLike, names: Sequence[str] | None = None) -> Figure:
    """Draw the chains' paths and the spread of their ranks among all draws, one row per dimension.

    Chains that draw from one distribution have all ranks equally often: flat lines, within the band
    that 95% of independent draws would keep to. A chain whose values are lower than the others' has
    too many low ranks; one that moves less has too many ranks in the middle. Vehtari, Gelman,
    Simpson, Carpenter and Bürkner (2021).

    Parameters
    ----------
    draws
        Of one datum, ``(C, T, K)``, such as ``chain.draws[:, :, 0]``.
    names
        What to call the dimensions.
    """
    z = np.asarray(draws, dtype=np.float64)
    fits = z.ndim == 3 and z.shape[1] >= _BINS and 0 < z.shape[2] <= _MOST_ROWS and len(z) > 0
    rule = f"they must be (C, T, K), finite, with T from {_BINS} and K up to {_MOST_ROWS}"
    fits = fits and bool(np.isfinite(z).all())
    mend = "Of many data take one, as in chain.draws[:, :, 0]"
    require(fits, "trace_and_ranks", f"draws of shape {z.shape}", rule, mend)
    C, T, K = z.shape
    names = [f"$z_{k + 1}$" for k in range(K)] if names is None else list(names)
    require(len(names) == K, "trace_and_ranks", f"{len(names)} names", f"there are {K}", "Name all")
    figure = page(10.0, 2.5 * K + 0.6)
    for k, (left, right) in enumerate(figure.subplots(K, 2, squeeze=False, width_ratios=(3, 2))):
        ranks = rankdata(z[..., k]).reshape(C, T) / (C * T)
        edges = np.linspace(0, 1, _BINS + 1)
        spread = 1.96 * np.sqrt((1 - 1 / _BINS) * _BINS / T)
        right.axhspan(1 - spread, 1 + spread, color="#dfe5ec", lw=0)
        for c in range(C):
            colour = PALETTE[c % len(PALETTE)]
            left.plot(z[c, :, k], color=colour, lw=0.8, alpha=0.85)
            share = np.histogram(ranks[c], edges)[0] * _BINS / T
            right.stairs(share, edges, baseline=None, color=colour, lw=1.4)
        right.set_xlim(0, 1)
        right.set_ylim(0, None)
        left.set_xlim(0, T - 1)
        last = k == K - 1
        dress(left, "draws of each chain" if k == 0 else "", "draw" if last else "", names[k])
        dress(right, "how often each rank" if k == 0 else "",
              "rank among all draws" if last else "", "share, 1 if flat")  # fmt: skip
    return figure
