"""Pictures of what a model learned, drawn from plain arrays.

- `learning_curve`: the ELBO and its two terms, epoch by epoch;
- `reconstructions`: data above what the decoder makes of their codes;
- `latent_scatter`: posterior means, coloured by class, against the prior;
- `prior_predictive_grid`: the decoder's means over the latent space;
- `samples`: draws from the model;
- `interpolation`: decoded images on the way from one code to another;
- `latent_animation`: the latent scatter while training runs, as a GIF;
- `image_grid`, `save_figure`: what the others are made with.

Nothing here touches ``pyplot``: each call makes its own figure on its own Agg canvas, so pictures
can be drawn without a display and from several threads, and nobody's settings change. An
`image_shape` of None means that the data are no images: rows are then drawn as curves. An array of
the wrong shape, empty, or with NaN or infinity in it is refused with a `ShapeError`.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.spatial import cKDTree
from scipy.special import ndtri

from minivae.checkpoint import atomic_write
from minivae.errors import ShapeError

__all__ = [
    "PALETTE",
    "image_grid",
    "interpolation",
    "latent_animation",
    "latent_scatter",
    "learning_curve",
    "prior_predictive_grid",
    "reconstructions",
    "samples",
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
MOST_CLASSES = 40
MINUS = "\N{MINUS SIGN}"


# ---- What comes in is checked here ------------------------------------------------------------


def _require(rule_holds: bool, operation: str, found: str, rule: str, mend: str) -> None:
    if not rule_holds:
        raise ShapeError(f"{operation}: got {found}; {rule}. {mend}.")


def _matrix(operation: str, name: str, values: ArrayLike) -> Floats:
    """The values as a finite float64 matrix with at least one row and one column."""
    array = np.asarray(values, dtype=np.float64)
    found = f"{name} of shape {array.shape}"
    fits = array.ndim == 2 and array.size > 0
    _require(
        fits, operation, found, "it must be (N, D) with N, D > 0", "Flatten each datum to a row"
    )
    bad = ~np.isfinite(array).all(axis=1)
    found += f" with NaN or infinity in row {int(np.argmax(bad))}"
    _require(not bad.any(), operation, found, "every value must be finite", "Leave such rows out")
    return array


# ---- A blank page, and how it is saved --------------------------------------------------------


def _page(width: float, height: float) -> Figure:
    """A white figure of width x height inches with an Agg canvas of its own."""
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    FigureCanvasAgg(figure)
    return figure


def _dress(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Titles, labels, ticks and spines in one hand, readable from the back of the room."""
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


# ---- Images -----------------------------------------------------------------------------------


def _image_shape(images: Floats, image_shape: Sequence[int]) -> tuple[int, int]:
    height, width = shape = tuple(image_shape) if len(image_shape) == 2 else (0, 0)
    found = f"image_shape {tuple(image_shape)} for images of shape {images.shape}"
    rule = "it must be (height, width) with height * width the length of a row"
    fits = min(shape) > 0 and height * width == images.shape[1]
    _require(fits, "image_shape", found, rule, "Hand in None for data that are not images")
    return height, width


def image_grid(images: ArrayLike, image_shape: Sequence[int], columns: int) -> Floats:
    """Lay images out in reading order as one array, with one pixel of NaN between neighbours.

    Parameters
    ----------
    images : (N, height * width)
        One flattened image a row.
    image_shape : (height, width)
    columns : int
        Images in a row of the grid; the last row is filled up with NaN.

    Returns
    -------
    (rows * (height + 1) - 1, columns * (width + 1) - 1) array
    """
    images = _matrix("image_grid", "images", images)
    height, width = _image_shape(images, image_shape)
    _require(columns > 0, "image_grid", f"columns={columns}", "it must be positive", "Give it 1")
    rows = math.ceil(len(images) / columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)
    tiles[: len(images), :height, :width] = images.reshape(-1, height, width)
    grid = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]


def _pictures(
    images: Floats, image_shape: Sequence[int] | None, columns: int, vmax: float | None, title: str
) -> tuple[Figure, Axes]:
    """A page with a grid of images, the one in row i and column j centred on x=j, y=i.

    White is 0, or the least value where data go below it; black is vmax, or the largest value.
    """
    if image_shape is None:
        return _curves(images, columns, title)
    height, width = _image_shape(images, image_shape)
    zoom = math.ceil(28 / min(height, width))  # keeps the gaps between small images thin
    zoomed = images.reshape(-1, height, width).repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = zoomed.shape[1:]
    grid = image_grid(zoomed.reshape(len(zoomed), -1), (height, width), columns)
    scale = min(8.2 / grid.shape[1], 7.2 / grid.shape[0])
    figure = _page(scale * grid.shape[1] + 0.7, scale * grid.shape[0] + 0.7)
    axes = figure.subplots()
    _dress(axes, title)
    axes.spines[:].set_visible(False)
    left, top = -width / 2, -height / 2
    axes.imshow(
        grid,
        cmap=colormaps["gray_r"].with_extremes(bad=GAP),
        vmin=min(0.0, float(images.min())),
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


def _curves(rows: Floats, columns: int, title: str) -> tuple[Figure, Axes]:
    """A page with each row as a curve, dark to light along what would be a row of images."""
    figure = _page(8.0, 4.5)
    axes = figure.subplots()
    _dress(axes, title, "index in the row", "value")
    index = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    shade = np.arange(len(rows)) % columns / columns
    colours = colormaps["viridis"](shade, alpha=float(np.clip(20 / len(rows), 0.15, 1.0)))
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
    X, X_hat = _matrix("reconstructions", "X", X), _matrix("reconstructions", "X_hat", X_hat)
    found = f"X of shape {X.shape}, X_hat of shape {X_hat.shape}, n={n}"
    rule = "X and X_hat must be of one shape, and n positive"
    fits = X.shape == X_hat.shape and n > 0
    _require(fits, "reconstructions", found, rule, "Reconstruct the same rows")
    X, X_hat = X[:n], X_hat[:n]
    if image_shape is not None:
        title = r"Data $x$ and their reconstructions $E[x\,|\,z]$"
        figure, axes = _pictures(np.concatenate([X, X_hat]), image_shape, len(X), vmax, title)
        axes.set_yticks([0, 1], ["$x$", r"$E[x\,|\,z]$"], fontsize=13)
        return figure
    across = min(5, len(X))
    down = math.ceil(len(X) / across)
    figure = _page(9.0, 1.0 + 1.6 * down)
    figure.suptitle(r"Data $x$ (broad, grey) and $E[x\,|\,z]$ (orange)", fontsize=13, color=INK)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for i, panel in enumerate(panels):
        _dress(panel)
        panel.set_axis_off() if i >= len(X) else panel.plot(X[i], color=FAINT, linewidth=3)
        panel.plot(*X_hat[i : i + 1], color=PALETTE[1], linewidth=1.5)
    return figure


def samples(
    X: ArrayLike,
    image_shape: Sequence[int] | None,
    *,
    title: str = "Draws of $x$ from the model",
    vmax: float | None = None,
) -> Figure:
    """Draw images in reading order on a grid as square as may be.

    Parameters
    ----------
    X : (N, D)
    image_shape : (height, width) or None
    title : str
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    X = _matrix("samples", "X", X)
    return _pictures(X, image_shape, math.ceil(math.sqrt(len(X))), vmax, title)[0]


def interpolation(
    images: ArrayLike, image_shape: Sequence[int] | None, *, vmax: float | None = None
) -> Figure:
    """Draw decoded images on the way from one code (left) to another (right).

    Parameters
    ----------
    images : (n, D) or (R, n, D)
        The n images of one way, or of R ways, drawn below each other.
    image_shape : (height, width) or None
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    array = np.asarray(images, dtype=np.float64)
    if array.ndim == 3 and array.size:
        rows = _matrix("interpolation", "images", array.reshape(-1, array.shape[2]))
    else:
        rows = _matrix("interpolation", "images", array)
    title = r"From one code $z$ to another: the means $E[x\,|\,z]$ on the way"
    return _pictures(rows, image_shape, array.shape[-2], vmax, title)[0]


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
    _require(fits, "prior_predictive_grid", found, rule, "See its docstring")
    steps, z = _latent_grid(latent_dim, n, spacing, extent)
    means = _matrix("prior_predictive_grid", "decode(z)", decode(z))
    found = f"decode(z) of shape {means.shape} for z of shape {z.shape}"
    rule = "decode must return a row for each z"
    _require(len(means) == len(z), "prior_predictive_grid", found, rule, "Mend decode")
    where = "at quantiles of the prior" if spacing == "quantile" else "at equal steps"
    if latent_dim > 2:
        where = f"for {len(z)} draws of $z$ from the prior"
    figure, axes = _pictures(means, image_shape, n, vmax, rf"Means $E[x\,|\,z]$ {where}")
    if image_shape is None or latent_dim > 2:
        return figure
    ticks = np.unique(np.linspace(0, n - 1, min(n, 6 + n % 2)).round().astype(int))
    names = [f"{steps[i]:.2f}".replace("-", MINUS) for i in ticks]
    axes.set_xticks(ticks, names)
    axes.set_xlabel("$z_1$")
    if latent_dim == 2:
        axes.set_yticks(n - 1 - ticks, names)
        axes.set_ylabel("$z_2$")
    return figure


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


# ---- The latent space -------------------------------------------------------------------------


class _Classes(NamedTuple):
    """What the labels say: each class's name and colour, and the class of each datum."""

    names: list[str]
    colours: Floats  # (n_classes, 4)
    of_row: NDArray[np.intp]  # (N,)


def _classes(operation: str, labels: ArrayLike | None, N: int) -> _Classes:
    if labels is None:
        return _Classes([], to_rgba_array(PALETTE[0]), np.zeros(N, dtype=np.intp))
    array = np.asarray(labels)
    found, mend = f"labels of shape {array.shape} for {N} rows of mu", "Hand in one label a row"
    _require(array.shape == (N,), operation, found, "labels must be (N,)", mend)
    values, of_row = np.unique(array, return_inverse=True)
    found, mend = f"{len(values)} different labels for {N} rows", "Bin continuous labels first"
    rule = f"a legend holds at most {MOST_CLASSES}"
    _require(len(values) <= MOST_CLASSES, operation, found, rule, mend)
    colours = to_rgba_array(PALETTE)[: len(values)]
    if len(values) > len(PALETTE):
        colours = np.asarray(colormaps["turbo"](np.linspace(0.03, 0.97, len(values))))
    return _Classes([str(value) for value in values.tolist()], colours, of_row)


class _View(NamedTuple):
    """How a latent space of any dimension lies on the page: points = mu @ basis + offset."""

    basis: Floats  # (latent_dim, 2)
    offset: Floats  # (N, 2)
    labels: tuple[str, str]

    def points(self, mu: Floats) -> Floats:
        return mu @ self.basis + self.offset

    def reach(self, mu: Floats, quantile: float) -> float:
        """How far from 0 the points lie along an axis of the latent space."""
        return float(np.quantile(np.abs(mu @ self.basis), quantile))


def _latent_view(mu: Floats, classes: _Classes) -> _View:
    """Two dimensions as they are; one as a strip for each class; more on two principal axes."""
    N, latent_dim = mu.shape
    offset = np.zeros((N, 2))
    if latent_dim == 1:
        offset[:, 1] = classes.of_row + np.random.default_rng(0).uniform(-0.35, 0.35, N)
        return _View(np.eye(1, 2), offset, (r"$\mu_1$", "class" if classes.names else ""))
    if latent_dim == 2:
        return _View(np.eye(2), offset, (r"$\mu_1$", r"$\mu_2$"))
    # The axes are those of centred means, but it is mu that is projected: an orthonormal basis
    # takes the prior N(0, I) to N(0, I) on the page, and its circles stay where they are.
    axes, variances, _ = np.linalg.svd(np.cov(mu.T, bias=True))
    basis = axes[:, :2] * np.where(axes[:, :2].sum(axis=0) < 0, -1.0, 1.0)
    shares = 100 * variances / max(variances.sum(), np.finfo(np.float64).tiny)
    first, second = (f"({share:.0f} % of the variance)" for share in shares[:2])
    return _View(
        basis,
        offset,
        (rf"1st principal axis of $\mu$ {first}", rf"2nd principal axis of $\mu$ {second}"),
    )


def _draw_latent(
    figure: Figure, axes: Axes, view: _View, mu: Floats, classes: _Classes, limit: float
) -> tuple[PathCollection, list[Text]]:
    """The points, each class's name at its median and the prior's circles; returns what moves."""
    size = float(np.clip(30_000 / len(mu), 3.0, 30.0))
    colours = classes.colours[classes.of_row]
    x, y = view.points(mu).T
    scatter = axes.scatter(x, y, s=size, c=colours, alpha=0.8, linewidths=0)
    _dress(axes, "", *view.labels)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    if mu.shape[1] == 1:
        for sigma in (-2, -1, 1, 2):
            axes.axvline(sigma, color=FAINT, linewidth=1, linestyle=DASHES, zorder=0)
        axes.set_ylim(-0.6, len(classes.colours) - 0.4)
        axes.set_yticks(range(len(classes.names)), classes.names)
        return scatter, []
    axes.set_aspect("equal")
    for sigma in (1, 2):
        axes.add_patch(Circle((0, 0), sigma, fill=False, color=FAINT, ls=DASHES, zorder=0))
    style: dict[str, Any] = {"fontsize": 14, "fontweight": "bold", "color": INK}
    style |= {"path_effects": [withStroke(linewidth=3, foreground="white")], "clip_on": True}
    names = [axes.text(0, 0, name, ha="center", va="center", **style) for name in classes.names]
    _move(scatter, names, view.points(mu), classes, limit)
    if names:
        dots = [Line2D([], [], marker="o", ls="", ms=8, color=c) for c in classes.colours]
        style = {"ncols": math.ceil(len(names) / 20), "frameon": False, "fontsize": 12}
        style["handletextpad"] = 0.2
        if figure.get_layout_engine() is None:
            figure.legend(dots, classes.names, loc="center right", **style)
        else:
            figure.legend(dots, classes.names, loc="outside right center", **style)
    return scatter, names


def _move(
    scatter: PathCollection, names: list[Text], points: Floats, classes: _Classes, limit: float
) -> None:
    """Put points and names in place; names that would cover each other are left to the legend."""
    scatter.set_offsets(points)
    at = np.array([np.median(points[classes.of_row == k], axis=0) for k in range(len(names))])
    for k, name in enumerate(names):
        name.set_position(at[k])
        name.set_visible(bool((np.hypot(*(at - at[k]).T) < 0.08 * limit).sum() == 1))


def latent_scatter(mu: ArrayLike, labels: ArrayLike | None = None) -> Figure:
    """Draw the means of q(z|x), coloured by class, over circles of one and two prior sigmas.

    Parameters
    ----------
    mu : (N, latent_dim)
        Posterior means. With one dimension each class gets a strip; with more than two, mu is
        projected on its first two principal axes.
    labels : (N,), optional
        At most 40 different values.
    """
    mu = _matrix("latent_scatter", "mu", mu)
    classes = _classes("latent_scatter", labels, len(mu))
    view = _latent_view(mu, classes)
    figure = _page(7.0 if labels is None else 7.8, 6.9)
    axes = figure.subplots()
    _draw_latent(figure, axes, view, mu, classes, 1.06 * max(2.2, view.reach(mu, 1.0)))
    axes.set_title("Means of $q(z|x)$; dashed: 1 and 2 sigma of the prior")
    return figure


def latent_animation(
    frames: Sequence[tuple[ArrayLike, int, float]],
    labels: ArrayLike | None,
    path: str | os.PathLike[str],
    *,
    frame_ms: int = 120,
    pause_ms: int = 2500,
) -> None:
    """Write the latent scatter's course over training as a GIF that loops for ever.

    The axes stay put: they hold the prior's circles and nearly all points of the last frame.

    Parameters
    ----------
    frames : sequence of (mu, epoch, elbo)
        Posterior means (N, latent_dim) of the same data at each epoch, and the ELBO there in nats
        per datum (NaN where it was not measured).
    labels : (N,) or None
    path : path
        Where the GIF goes, whole or not at all.
    frame_ms, pause_ms : int
        How long each frame stands, and the last one, in milliseconds.
    """
    course = [_matrix("latent_animation", f"mu of frame {i}", f[0]) for i, f in enumerate(frames)]
    shapes = {mu.shape for mu in course}
    found, rule = f"frames of shapes {sorted(shapes)}", "there must be frames, all of one shape"
    _require(len(shapes) == 1, "latent_animation", found, rule, "Encode the same rows each time")
    classes = _classes("latent_animation", labels, len(course[0]))
    captions = [f"epoch {epoch}" for _, epoch, _ in frames]
    for i, (_, _, elbo) in enumerate(frames):
        if np.isfinite(elbo):
            captions[i] += f"   ELBO {elbo:.1f} nats per datum".replace("-", MINUS)
    film = _indexed(_film(course, captions, classes), classes)
    first = next(film)
    times = [frame_ms] * (len(frames) - 1) + [pause_ms]
    more: dict[str, Any] = {"append_images": film, "duration": times, "loop": 0}
    atomic_write(path, lambda file: first.save(file, "GIF", save_all=True, **more))


def _film(
    course: list[Floats], captions: list[str], classes: _Classes
) -> Iterator[NDArray[np.uint8]]:
    """The pixels of each frame: what stands still is drawn once, what moves is drawn over it."""
    view = _latent_view(course[-1], classes)
    reach = [view.reach(mu, 0.998) for mu in course]
    limit = 1.08 * max(2.2, reach[-1], float(np.median(reach)))
    figure = _page(6.6, 6.2)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.11, 0.1, 0.77, 0.82))
    scatter, names = _draw_latent(figure, axes, view, course[0], classes, limit)
    caption = figure.text(0.5, 0.95, "", fontsize=14, color=INK, ha="center")
    for artist in (scatter, *names, caption):
        artist.set_animated(True)  # left out of draw()
    canvas: Any = figure.canvas  # the stubs do not know this half of the canvas
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for mu, words in zip(course, captions, strict=True):
        canvas.restore_region(background)
        _move(scatter, names, view.points(mu), classes, limit)
        caption.set_text(words)
        for artist in (scatter, *names, caption):
            figure.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3]


def _indexed(film: Iterator[NDArray[np.uint8]], classes: _Classes) -> Iterator[Image.Image]:
    """The film in one table of colours: greys, and each class from white to its full colour."""
    mix = np.linspace(0, 1, 1 + 220 // len(classes.colours))[1:, None, None]
    ramps = (1 - mix) + mix * classes.colours[:, :3]
    greys = np.linspace(0, 1, 24)[:, None].repeat(3, axis=1)
    table = np.concatenate([greys, ramps.reshape(-1, 3)])
    # Which entry is nearest is asked once, for each colour of five bits a channel.
    cells = np.stack(np.unravel_index(np.arange(32**3), (32, 32, 32)), axis=1) / 31
    nearest = cKDTree(table).query(cells)[1].astype(np.uint8).reshape(32, 32, 32)
    for pixels in film:
        red, green, blue = np.moveaxis(pixels >> 3, -1, 0)
        image = Image.fromarray(nearest[red, green, blue])
        image.putpalette(np.round(255 * table).astype(np.uint8).tobytes())
        yield image


# ---- The course of training -------------------------------------------------------------------


def learning_curve(history: Mapping[str, Sequence[float | None] | NDArray[Any]]) -> Figure:
    """Draw the ELBO over the epochs, and beside it its two terms in training.

    Parameters
    ----------
    history : mapping
        Columns of one length in nats per datum: "elbo", "validation_elbo" or "test_elbo", and where
        they are known "reconstruction", "kl" and "epoch" (1, 2, ... if absent). NaN and None stand
        for values not measured; other columns are not looked at.
    """
    names = ("elbo", "validation_elbo", "test_elbo", "reconstruction", "kl")
    columns = {k: np.asarray(history[k], dtype=np.float64) for k in names if k in history}
    shapes = {k: column.shape for k, column in columns.items()}
    longest = max((column.size for column in columns.values()), default=0)
    epoch = np.asarray(history.get("epoch", 1 + np.arange(longest)))
    known = {k: np.isfinite(column) for k, column in columns.items()}
    found, mend = f"epochs of shape {epoch.shape}, columns {shapes}", "Hand in a fitted history_"
    fits = epoch.ndim == 1 and set(shapes.values()) == {epoch.shape}
    _require(fits, "learning_curve", found, "all must be of one length", mend)
    fits = any(known[k].any() for k in names[:3] if k in known)
    rule = "there must be a finite elbo, validation_elbo or test_elbo"
    _require(fits, "learning_curve", found, rule, mend)

    curves = {k: (epoch[known[k]], columns[k][known[k]]) for k in columns if known[k].any()}
    terms = [k for k in names[3:] if k in curves]
    figure = _page(10.4 if terms else 7.0, 4.8)
    grid = figure.add_gridspec(max(1, len(terms)), 2 if terms else 1)
    main = figure.add_subplot(grid[:, 0])
    _dress(main, "ELBO, nats per datum", "epoch")
    if "elbo" in curves:
        _curve(main, *curves["elbo"], -1, PALETTE[0], _last("training", curves["elbo"][1]))
    if "validation_elbo" in curves:
        epochs, values = curves["validation_elbo"]
        top = int(np.argmax(values))
        best = f"validation, best {values[top]:.2f} at epoch {epochs[top]:g}".replace("-", MINUS)
        _curve(main, epochs, values, top, PALETTE[1], best)
    if "test_elbo" in curves:
        _curve(main, *curves["test_elbo"], -1, PALETTE[2], _last("test", curves["test_elbo"][1]))
    main.legend(loc="lower right", frameon=False, fontsize=12, labelcolor=INK)
    words = {"reconstruction": r"$E_q[\log\,p(x|z)]$", "kl": r"$KL(q(z|x)\,\|\,p(z))$"}
    for i, k in enumerate(terms):
        panel = figure.add_subplot(grid[i, 1], sharex=main)
        _dress(panel, f"{words[k]}, nats per datum", "epoch" if i == len(terms) - 1 else "")
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
