"""Curves: the bound over training, and criteria over the number of components."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from minivae.figures.page import FAINT, INK, MINUS, PALETTE, Floats, dress, page, require

__all__ = ["information_criteria", "learning_curve", "sweep"]


def learning_curve(
    history: Mapping[str, Sequence[float | None] | NDArray[Any]], *, warmup: int = 0
) -> Figure:
    """Draw the ELBO over the epochs, and beside it its two terms in training.

    Parameters
    ----------
    history : mapping
        Columns of one length in nats per datum: "elbo", "validation_elbo" or "test_elbo", and where
        they are known "reconstruction", "kl" and "epoch" (1, 2, ... if absent). NaN and None stand
        for values not measured, and infinities are left out; other columns are not looked at.
    warmup : int
        How many epochs at the beginning trained a different model; they are not counted for the
        best.
    """
    names = ("elbo", "validation_elbo", "test_elbo", "reconstruction", "kl")
    columns = {k: np.asarray(history[k], dtype=np.float64) for k in names if k in history}
    shapes = {k: column.shape for k, column in columns.items()}
    longest = max((column.size for column in columns.values()), default=0)
    epoch = np.asarray(history.get("epoch", 1 + np.arange(longest)))
    known = {k: np.isfinite(column) for k, column in columns.items()}
    found, mend = f"epochs of shape {epoch.shape}, columns {shapes}", "Hand in a fitted history_"
    fits = epoch.ndim == 1 and set(shapes.values()) == {epoch.shape}
    require(fits, "learning_curve", found, "all must be of one length", mend)
    fits = any(known[k].any() for k in names[:3] if k in known)
    rule = "there must be a finite elbo, validation_elbo or test_elbo"
    require(fits, "learning_curve", found, rule, mend)

    curves = {k: (epoch[known[k]], columns[k][known[k]]) for k in columns if known[k].any()}
    terms = [k for k in names[3:] if k in curves]
    figure = page(10.4 if terms else 8.0, 4.8)
    grid = figure.add_gridspec(max(1, len(terms)), 2 if terms else 1)
    main = figure.add_subplot(grid[:, 0])
    dress(main, "ELBO, nats per datum", "epoch")
    if "elbo" in curves:
        _curve(main, *curves["elbo"], -1, PALETTE[0], _last("training", curves["elbo"][1]))
    if "validation_elbo" in curves:
        epochs, values = curves["validation_elbo"]
        later = epochs > warmup
        top = int(np.argmax(np.where(later, values, -np.inf) if later.any() else values))
        best = f"validation, best {values[top]:.2f} at epoch {epochs[top]:g}".replace("-", MINUS)
        _curve(main, epochs, values, top, PALETTE[1], best)
    if "test_elbo" in curves:
        _curve(main, *curves["test_elbo"], -1, PALETTE[2], _last("test", curves["test_elbo"][1]))
    lines, labels = main.get_legend_handles_labels()
    style: dict[str, Any] = {"frameon": False, "fontsize": 11, "labelcolor": INK}
    # below the curves, which may run anywhere
    figure.legend(lines, labels, loc="outside lower left", ncols=len(labels), **style)
    words = {"reconstruction": r"$E_q[\log\,p(x|z)]$", "kl": r"$KL(q(z|x)\,\|\,p(z))$"}
    for i, k in enumerate(terms):
        panel = figure.add_subplot(grid[i, 1], sharex=main)
        dress(panel, f"{words[k]}, nats per datum", "epoch" if i == len(terms) - 1 else "")
        _curve(panel, *curves[k], -1, PALETTE[0], "")
    return figure


def _last(kind: str, values: Floats) -> str:
    return f"{kind}, last {values[-1]:.2f}".replace("-", MINUS)


def _curve(axes: Axes, epoch: Floats, values: Floats, dot: int, colour: str, label: str) -> None:
    """A line with a dot on one of its epochs."""
    axes.plot(epoch, values, color=colour, linewidth=2, label=label)
    axes.plot(epoch[dot], values[dot], "o", color=colour, markersize=7)
    axes.grid(axis="y", color=FAINT, alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))


def information_criteria(
    n_components: Sequence[int], criteria: Mapping[str, Sequence[float] | NDArray[Any]]
) -> Figure:
    """Draw criteria such as BIC and AIC against the number of components, each one's least marked.

    Parameters
    ----------
    n_components : sequence of int
        K of each fit.
    criteria : mapping
        A name, and a finite number for each K: the lower the better.
    """
    K = np.asarray(n_components)
    columns = {name: np.asarray(values, np.float64) for name, values in criteria.items()}
    found = f"K of shape {K.shape}, " + str({name: v.shape for name, v in columns.items()})
    fits = K.ndim == 1 and K.size > 0 and {v.shape for v in columns.values()} == {K.shape}
    rule = "there must be criteria, with a number for each K"
    require(fits, "information_criteria", found, rule, "Fit a mixture for each K")
    finite = all(np.isfinite(values).all() for values in columns.values())
    found, rule = "criteria with NaN or infinity", "every value must be finite"
    require(finite, "information_criteria", found, rule, "Leave such fits out")
    figure = page(7.0, 4.8)
    axes = figure.subplots()
    dress(axes, "Information criteria: the lower the better", "components K", "nats")
    for (name, values), colour, marker in zip(columns.items(), PALETTE, "os^Dv<>ph*", strict=False):
        best = int(values.argmin())
        label = f"{name}, least {values[best]:.1f} at K={K[best]}".replace("-", MINUS)
        axes.plot(K, values, color=colour, linewidth=2, marker=marker, ms=5, label=label)
        axes.plot(K[best], values[best], marker, color=colour, markersize=11)
    axes.legend(frameon=False, fontsize=12, labelcolor=INK)
    axes.grid(axis="y", color=FAINT, alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
    return figure


def sweep(
    values: Sequence[int],
    panels: Mapping[str, Mapping[str, Floats | Sequence[Sequence[float]]]],
    xlabel: str,
) -> Figure:
    """Draw results of several seeds at each value: one dot per seed, and a line through the means.

    Parameters
    ----------
    values : (V,) numbers
        In rising order, shown on a logarithmic axis if they span a decade.
    panels : mapping
        By title, curves by name, each of shape (V, seeds).
    xlabel : str
    """
    x = np.asarray(values, dtype=np.float64)
    curves = {title: {k: np.asarray(c, dtype=np.float64) for k, c in named.items()}
              for title, named in panels.items()}  # fmt: skip
    shapes = {c.shape for named in curves.values() for c in named.values()}
    fits = x.ndim == 1 and x.size > 0 and bool(shapes) and all(
        len(shape) == 2 and shape[0] == len(x) and shape[1] > 0 for shape in shapes
    )
    found = f"values of shape {x.shape}, curves of shapes {sorted(shapes)}"
    require(fits, "sweep", found, "a curve has a row for each value", "Hand in (V, seeds)")
    figure = page(6.4 * len(curves), 4.6)
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (title, named) in zip(axes, curves.items(), strict=True):
        dress(panel, title, xlabel)
        for i, (name, curve) in enumerate(named.items()):
            colour = PALETTE[i]
            panel.plot(x, curve.mean(axis=1), color=colour, linewidth=2, label=name)
            panel.plot(np.repeat(x, curve.shape[1]), curve.ravel(), "o", color=colour, alpha=0.45)
        if x[-1] >= 10 * x[0]:
            panel.set_xscale("log")
        panel.set_xticks(x, [f"{v:g}" for v in x])
        panel.minorticks_off()
        panel.grid(axis="y", color=FAINT, alpha=0.25)
        if len(named) > 1:
            panel.legend(frameon=False, fontsize=11, labelcolor=INK)
    return figure
