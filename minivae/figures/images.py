"""Pages of images: data and reconstructions, draws, paths from one datum to another."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from minivae.figures.page import (
    FAINT,
    GAP,
    INK,
    MINUS,
    PALETTE,
    Floats,
    dress,
    matrix,
    page,
    require,
)

__all__ = [
    "image_grid",
    "interpolation",
    "picture_grid",
    "prior_predictive_grid",
    "reconstructions",
    "rows_of_samples",
    "samples",
]


def check_image_shape(images: Floats, image_shape: Sequence[int]) -> tuple[int, int]:
    height, width = shape = tuple(image_shape) if len(image_shape) == 2 else (0, 0)
    found = f"image_shape {tuple(image_shape)} for images of shape {images.shape}"
    rule = "it must be (height, width) with height * width the length of a row"
    fits = min(shape) > 0 and height * width == images.shape[1]
    require(fits, "image_shape", found, rule, "Hand in None for data that are not images")
    return height, width


def image_grid(images: ArrayLike, image_shape: Sequence[int], columns: int) -> Floats:
    """Lay images out in reading order as one array, with one pixel of NaN between neighbours.

    Parameters
    ----------
    images : (N, height * width)
        One flattened image per row.
    image_shape : (height, width)
    columns : int
        Images in a row of the grid; the last row is filled up with NaN.

    Returns
    -------
    (rows * (height + 1) - 1, columns * (width + 1) - 1) array
    """
    images = matrix("image_grid", "images", images)
    height, width = check_image_shape(images, image_shape)
    require(columns > 0, "image_grid", f"columns={columns}", "it must be positive", "Give it 1")
    rows = math.ceil(len(images) / columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)
    tiles[: len(images), :height, :width] = images.reshape(-1, height, width)
    grid = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]


def picture_grid(
    images: Floats, image_shape: Sequence[int] | None, columns: int, vmax: float | None, title: str
) -> tuple[Figure, Axes]:
    """A page with a grid of images, the one in row i and column j centred on x=j, y=i.

    White is 0, or the least value where data go below it; black is vmax, or the largest value.
    """
    if image_shape is None:
        return _curves(images, columns, title)
    height, width = check_image_shape(images, image_shape)
    white = min(0.0, float(images.min()))
    fits = vmax is None or white < vmax < math.inf
    rule = f"black must be above white, which is {white:g}"
    require(fits, "images", f"vmax={vmax}", rule, "Leave it out for the largest value")
    zoom = math.ceil(28 / min(height, width))  # keeps the gaps between small images thin
    zoomed = images.reshape(-1, height, width).repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = zoomed.shape[1:]
    grid = image_grid(zoomed.reshape(len(zoomed), -1), (height, width), columns)
    scale = _scale(*grid.shape)
    # at least as wide as a title, and as high as it takes with a few labels
    figure = page(max(6.2, scale * grid.shape[1] + 0.7), max(2.0, scale * grid.shape[0] + 0.7))
    axes = figure.subplots()
    dress(axes, title)
    axes.spines[:].set_visible(False)
    left, top = -width / 2, -height / 2
    axes.imshow(
        grid,
        cmap=colormaps["gray_r"].with_extremes(bad=GAP),
        vmin=white,
        vmax=float(images.max()) if vmax is None else vmax,
        interpolation="antialiased",
        extent=(
            left / (width + 1),
            (left + grid.shape[1]) / (width + 1),
            (top + grid.shape[0]) / (height + 1),
            top / (height + 1),
        ),
        aspect=(height + 1) / (width + 1),
    )
    axes.tick_params(length=0)
    axes.set(xticks=[], yticks=[])
    return figure, axes


def _scale(rows: int, columns: int) -> float:
    """How many inches a pixel may take."""
    return min(8.2 / columns, 7.2 / rows)


def _curves(rows: Floats, columns: int, title: str) -> tuple[Figure, Axes]:
    """A page with each row as a curve, dark to light along what would be a row of images.

    Rows of a single number are dots, one beside the other.
    """
    figure = page(8.0, 4.5)
    axes = figure.subplots()
    shade = np.arange(len(rows)) % columns / columns
    colours = colormaps["viridis"](shade, alpha=float(np.clip(20 / len(rows), 0.15, 1.0)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if rows.shape[1] == 1:
        dress(axes, title, "row", "value")
        axes.scatter(np.arange(len(rows)), rows[:, 0], s=16, color=colours)
        return figure, axes
    dress(axes, title, "index in the row", "value")
    index = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    axes.add_collection(LineCollection(list(np.stack([index, rows], axis=-1)), colors=colours))
    axes.autoscale_view()
    return figure, axes


def reconstructions(
    X: ArrayLike,
    X_hat: ArrayLike,
    image_shape: Sequence[int] | None,
    n: int = 10,
    *,
    vmax: float | None = None,
) -> Figure:
    """Draw the first n data above their reconstructions E[x|z].

    Parameters
    ----------
    X, X_hat : (N, D)
        Data and reconstructions, both in the data's units.
    image_shape : (height, width) or None
    n : int
        How many to show, if there are as many.
    vmax : float, optional
        The value drawn black; the largest one shown if not given.
    """
    X, X_hat = matrix("reconstructions", "X", X), matrix("reconstructions", "X_hat", X_hat)
    found = f"X of shape {X.shape}, X_hat of shape {X_hat.shape}, n={n}"
    rule = "X and X_hat must be of one shape, and n positive"
    fits = X.shape == X_hat.shape and n > 0
    require(fits, "reconstructions", found, rule, "Reconstruct the same rows")
    X, X_hat = X[:n], X_hat[:n]
    if image_shape is not None:
        title = r"Data $x$ and their reconstructions $E[x\,|\,z]$"
        figure, axes = picture_grid(np.concatenate([X, X_hat]), image_shape, len(X), vmax, title)
        axes.set_yticks([0, 1], ["$x$", r"$E[x\,|\,z]$"], fontsize=13)
        return figure
    across = min(5, len(X))
    down = math.ceil(len(X) / across)
    figure = page(9.0, 1.0 + 1.6 * down)
    figure.suptitle(r"Data $x$ (broad, grey) and $E[x\,|\,z]$ (orange)", fontsize=13, color=INK)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    dots = {"marker": "o"} if X.shape[1] == 1 else {}  # a line through one number is none
    for i, panel in enumerate(panels):
        dress(panel)
        panel.xaxis.set_major_locator(FixedLocator([0]) if dots else MaxNLocator(4, integer=True))
        if i >= len(X):
            panel.set_axis_off()
        else:
            panel.plot(X[i], color=FAINT, linewidth=3, markersize=9, **dots)
            panel.plot(X_hat[i], color=PALETTE[1], linewidth=1.5, markersize=4, **dots)
    return figure


def samples(
    X: ArrayLike,
    image_shape: Sequence[int] | None,
    *,
    title: str = "Draws of $x$ from the model",
    vmax: float | None = None,
) -> Figure:
    """Draw images in reading order on a grid that is as square as possible.

    Parameters
    ----------
    X : (N, D)
    image_shape : (height, width) or None
    title : str
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    X = matrix("samples", "X", X)
    return picture_grid(X, image_shape, math.ceil(math.sqrt(len(X))), vmax, title)[0]


def rows_of_samples(
    X: ArrayLike,
    names: Sequence[str],
    image_shape: Sequence[int] | None,
    *,
    title: str = r"Means $E[x\,|\,z,\,y]$ for each $y$, with the same codes $z$",
    vmax: float | None = None,
) -> Figure:
    """Draw data in named rows, one for each class or condition.

    Parameters
    ----------
    X : (R * n, D)
        n data for each of R names, row after row.
    names : R strings
    image_shape : (height, width) or None
        None draws a panel of curves for each name.
    title : str
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    X = matrix("rows_of_samples", "X", X)
    R = len(names)
    found, rule = f"X of shape {X.shape}, {R} names", "there must be as many data for each name"
    require(R > 0 and len(X) % R == 0, "rows_of_samples", found, rule, "Hand in whole rows")
    n = len(X) // R
    if image_shape is not None:
        figure, axes = picture_grid(X, image_shape, n, vmax, title)
        axes.set_yticks(range(R), names, fontsize=11)
        return figure
    across = min(5, R)
    down = math.ceil(R / across)
    figure = page(9.0, 1.0 + 1.8 * down)
    figure.suptitle(title, fontsize=13, color=INK)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    dots = {"marker": "o"} if X.shape[1] == 1 else {}
    for i, panel in enumerate(panels):
        dress(panel, names[i] if i < R else "")
        panel.xaxis.set_major_locator(FixedLocator([0]) if dots else MaxNLocator(4, integer=True))
        if i >= R:
            panel.set_axis_off()
            continue
        for row in X[i * n : (i + 1) * n]:
            panel.plot(row, color=PALETTE[i % len(PALETTE)], linewidth=1, alpha=0.4, **dots)
    return figure


def interpolation(
    images: ArrayLike, image_shape: Sequence[int] | None, *, vmax: float | None = None
) -> Figure:
    """Draw the images on the way from one datum (left) to another (right).

    Parameters
    ----------
    images : (n, D) or (R, n, D)
        The n images of one path, or of R paths, one drawn below the other.
    image_shape : (height, width) or None
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    array = np.asarray(images, dtype=np.float64)
    if array.ndim == 3 and array.size:
        rows = matrix("interpolation", "images", array.reshape(-1, array.shape[2]))
    else:
        rows = matrix("interpolation", "images", array)
    title = "From one datum (left) to another (right)"
    return picture_grid(rows, image_shape, array.shape[-2], vmax, title)[0]


def prior_predictive_grid(
    decode: Callable[[Floats], ArrayLike],
    latent_dim: int,
    image_shape: Sequence[int] | None,
    n: int = 20,
    *,
    spacing: Literal["quantile", "equal"] = "quantile",
    extent: float = 3.0,
    vmax: float | None = None,
) -> Figure:
    """Draw the decoder's means E[x|z] over the latent space, z1 to the right and z2 upwards.

    With one or two latent dimensions z runs along a row or over an n x n grid. A plane through
    more of them would mislead: then the page shows n * n draws from the prior, always the same.

    Parameters
    ----------
    decode : callable
        From z of shape (M, latent_dim) to E[x|z] of shape (M, D), in the data's units.
    latent_dim : int
    image_shape : (height, width) or None
    n : int
        Images along each axis.
    spacing : {"quantile", "equal"}
        At the standard normal's quantiles (i + 1/2) / n, so that each image stands for the same
        share of the prior (Kingma & Welling 2014, figure 4); or equal steps over [-extent, extent].
    extent : float
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    found = f"latent_dim={latent_dim}, n={n}, extent={extent}, spacing={spacing!r}"
    fits = latent_dim > 0 and n > 0 and extent > 0 and spacing in ("quantile", "equal")
    rule = "the numbers must be positive, and spacing 'quantile' or 'equal'"
    require(fits, "prior_predictive_grid", found, rule, "See its docstring")
    steps, z = _latent_grid(latent_dim, n, spacing, extent)
    means = matrix("prior_predictive_grid", "decode(z)", decode(z))
    found = f"decode(z) of shape {means.shape} for z of shape {z.shape}"
    rule = "decode must return a row for each z"
    require(len(means) == len(z), "prior_predictive_grid", found, rule, "Mend decode")
    where = "at quantiles of the prior" if spacing == "quantile" else "at equal steps"
    if latent_dim > 2:
        where = f"for {len(z)} draws of $z$ from the prior"
    figure, axes = picture_grid(means, image_shape, n, vmax, rf"Means $E[x\,|\,z]$ {where}")
    if image_shape is None or latent_dim > 2:
        return figure
    height, width = image_shape
    columns, rows = n * width, (n if latent_dim == 2 else 1) * height
    scale = _scale(rows, columns)
    ticks, names = _ticks(steps, scale * columns)
    axes.set_xticks(ticks, names)
    axes.set_xlabel("$z_1$")
    if latent_dim == 2:
        ticks, names = _ticks(steps, scale * rows)
        axes.set_yticks(n - 1 - ticks, names)
        axes.set_ylabel("$z_2$")
    return figure


def _ticks(steps: Floats, inches: float) -> tuple[NDArray[np.intp], list[str]]:
    """Some of the steps along an axis that is so long, and their names.

    The middle of an odd number of steps, where z is 0, is among them.
    """
    n = len(steps)
    most = max(2, min(n, 6 + n % 2, int(inches / 0.6)))
    most -= (n - most) % 2 if most > 2 else 0
    ticks = np.unique(np.linspace(0, n - 1, most).round().astype(np.intp))
    return ticks, [f"{steps[i]:.2f}".replace("-", MINUS) for i in ticks]


def _latent_grid(latent_dim: int, n: int, spacing: str, extent: float) -> tuple[Floats, Floats]:
    """The n values along an axis, rising; and z of each image in reading order."""
    steps = np.linspace(-extent, extent, n) if n > 1 else np.zeros(1)
    if spacing == "quantile":
        steps = np.asarray(ndtri((np.arange(n) + 0.5) / n), dtype=np.float64)
    if latent_dim == 1:
        return steps, steps[:, None]
    if latent_dim == 2:
        z1, z2 = np.meshgrid(steps, steps[::-1])
        return steps, np.stack([z1.ravel(), z2.ravel()], axis=1)
    return steps, np.random.default_rng(0).standard_normal((n * n, latent_dim))
