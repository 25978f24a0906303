"""What all pictures have in common: colours, checks of what comes in, a blank page, a file."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike, NDArray

from minivae.checkpoint import atomic_write
from minivae.errors import ShapeError

__all__ = [
    "DASHES",
    "FAINT",
    "GAP",
    "INK",
    "MINUS",
    "PALETTE",
    "Floats",
    "colours",
    "dress",
    "matrix",
    "page",
    "principal_axes",
    "principal_labels",
    "require",
    "save_figure",
]

Floats = NDArray[np.float64]

# Ten colours in the order of the digits, which red-, green- and blue-blind readers can tell apart.
PALETTE = (
    *("#1b45b4", "#e96006", "#3ea282", "#7c0300", "#9e69e2"),
    *("#e1cb16", "#76b8ff", "#56016a", "#766065", "#1ef3c1"),
)
INK, FAINT, GAP = "#22262b", "#98a1ab", "#cfd9e4"
DASHES = (0, (5, 4))
MINUS = "\N{MINUS SIGN}"


def colours(n: int) -> Floats:
    """Return n colours, those of `PALETTE` if there are enough of them, as rows of RGBA."""
    if n <= len(PALETTE):
        return to_rgba_array(PALETTE)[:n]
    return np.asarray(colormaps["turbo"](np.linspace(0.03, 0.97, n)))


def require(rule_holds: bool, operation: str, found: str, rule: str, mend: str) -> None:
    """Refuse what breaks a rule."""
    if not rule_holds:
        raise ShapeError(f"{operation}: got {found}; {rule}. {mend}.")


def matrix(operation: str, name: str, values: ArrayLike) -> Floats:
    """The values as a finite float64 matrix with at least one row and one column."""
    array = np.asarray(values, dtype=np.float64)
    found = f"{name} of shape {array.shape}"
    fits = array.ndim == 2 and array.size > 0
    require(
        fits, operation, found, "it must be (N, D) with N, D > 0", "Flatten each datum to a row"
    )
    bad = ~np.isfinite(array).all(axis=1)
    found += f" with NaN or infinity in row {int(np.argmax(bad))}"
    require(not bad.any(), operation, found, "every value must be finite", "Leave such rows out")
    return array


def principal_axes(points: Floats) -> Floats:
    """The two orthonormal directions (D, 2) in which the points (N, D) vary most."""
    axes = np.linalg.svd(np.cov(points.T, bias=True))[0][:, :2]
    return np.asarray(axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0))


def principal_labels(points: Floats, symbol: str) -> tuple[str, str]:
    """What to write at these axes: which they are, and their shares of the variance."""
    variances = np.linalg.svd(np.cov(points.T, bias=True))[1]
    shares = 100 * variances / max(variances.sum(), np.finfo(np.float64).tiny)
    first, second = (f"({share:.0f} % of the variance)" for share in shares[:2])
    return (
        f"1st principal axis of {symbol} {first}",
        f"2nd principal axis of {symbol} {second}",
    )


class Page(Figure):
    """A figure that a notebook shows as the last line of a cell, with no pyplot behind it."""

    def _repr_png_(self) -> bytes:
        """The picture."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def page(width: float, height: float) -> Page:
    """A white figure of width x height inches with its own Agg canvas."""
    figure = Page(figsize=(width, height), dpi=100, facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Titles, labels, ticks and spines in one style, readable from the back of the room."""
    axes.set_title(title, fontsize=13, color=INK, pad=9)
    axes.set_xlabel(xlabel, fontsize=12, color=INK)
    axes.set_ylabel(ylabel, fontsize=12, color=INK)
    axes.tick_params(labelsize=11, color=FAINT, labelcolor=INK)
    axes.spines[:].set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all; the same arrays give the same bytes.

    Raises
    ------
    ValueError
        If the path does not end in ``.png``.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(
            f"save_figure: got the path {os.fspath(path)!r}; it must end in .png. "
            "For other formats call figure.savefig."
        )
    # Matplotlib would sign the file with its version.
    canvas: Any = FigureCanvasAgg(figure)
    atomic_write(path, lambda file: canvas.print_png(file, metadata={"Software": None}))
