"""Gaussian mixtures: density and responsibilities, the path of EM, means as images.

Colours stand for the most probable component and fade to white with doubt, and each component has
its number at its mean, so that nothing rests on colour alone.
"""

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from minivae.distributions.mixture import MixtureOfGaussians, as_matrices, constrained
from minivae.figures.film import write_film
from minivae.figures.images import picture_grid
from minivae.figures.page import (
    FAINT,
    INK,
    MINUS,
    Floats,
    colours,
    dress,
    matrix,
    page,
    principal_axes,
    principal_labels,
    require,
)
from minivae_kernels.mixture import covariance_shapes

__all__ = ["component_images", "mixture_animation", "mixture_map"]

_PIXELS = 240  # along each axis of a map
_OUTLINE = withStroke(linewidth=3, foreground="white")


def _with_density(weights: Floats, means: Floats, covariances: Floats) -> MixtureOfGaussians:
    """The mixture, singular matrices raised by as much as rounding so that it has a density."""
    S, U = np.empty_like(covariances), np.empty_like(covariances)
    for k, covariance in enumerate(covariances):
        floor = np.finfo(np.float64).eps * np.trace(covariance) + np.finfo(np.float64).tiny
        (S[k],), (U[k],), _ = constrained(covariance[None], "full", floor)
    return MixtureOfGaussians(weights, means, S, U)


def _seen(mixture: MixtureOfGaussians, basis: Floats, blur: Floats | float) -> MixtureOfGaussians:
    """The mixture of the projected data, blurred so that it can be seen.

    A linear map takes Gaussians to Gaussians, and so does Gaussian noise of scale `blur`.
    """
    noise = np.eye(basis.shape[1]) * np.square(blur)
    covariances = basis.T @ mixture.covariances @ basis + noise
    return _with_density(mixture.weights, mixture.means @ basis, covariances)


def _axes(mixture: MixtureOfGaussians) -> tuple[Floats, Floats]:
    """Standard deviations along the principal axes, from the least; these axes."""
    variances, directions = np.linalg.eigh(mixture.covariances)
    least = np.finfo(np.float64).eps * variances[:, -1:]
    return np.sqrt(np.maximum(variances, least)), directions


def _mixture(
    operation: str, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, kind: str, D: int
) -> MixtureOfGaussians:
    means = matrix(operation, "means", means)
    K = len(means)
    shapes = covariance_shapes(K, D)
    pi, sigma = np.asarray(weights, np.float64), np.asarray(covariances, np.float64)
    found = f"weights {pi.shape}, means {means.shape}, {kind} covariances {sigma.shape}"
    fits = pi.shape == (K,) and means.shape == (K, D) and sigma.shape == shapes.get(kind)
    rule = f"for {K} components and data (N, {D}) they must be ({K},), ({K}, {D}) and "
    rule += f"{shapes.get(kind, f'of a type in {tuple(shapes)}')}"
    require(fits, operation, found, rule, "Hand in a fitted mixture's attributes")
    finite = bool(np.isfinite(pi).all() and np.isfinite(sigma).all() and (pi >= 0).all())
    found, rule = "parameters with NaN, infinity or weights below 0", "they must be a mixture's"
    require(finite, operation, found, rule, "Fit it again")
    return _with_density(pi, means, as_matrices(sigma, kind, K, D))


def _most_probable(r: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The most probable component of each point, and how sure that is: 0 as by chance, 1 wholly."""
    K, top = r.shape[1], r.max(axis=1)
    sure = np.ones_like(top) if K == 1 else (K * top - 1) / (K - 1)
    return r.argmax(axis=1), np.clip(sure, 0, 1)


def _faded(k: NDArray[np.intp], strength: Floats, K: int) -> Floats:
    """The components' colours, white where the strength is 0, as RGB."""
    return 1 - strength[..., None] * (1 - colours(K)[k, :3])


class _View(NamedTuple):
    """How data of two or more dimensions lie on the page."""

    basis: Floats  # (D, 2)
    labels: tuple[str, str]
    points: Floats  # (N, 2)
    low: Floats  # (2,)
    high: Floats

    def flat(self, mixture: MixtureOfGaussians) -> MixtureOfGaussians:
        """The mixture on the page, blurred by half a pixel of a map."""
        return _seen(mixture, self.basis, (self.high - self.low) / (2 * _PIXELS))


def _view(X: Floats) -> _View:
    basis, labels = np.eye(2), ("$x_1$", "$x_2$")
    if X.shape[1] > 2:
        basis, labels = principal_axes(X), principal_labels(X, "$x$")
    points = X @ basis
    low, high = points.min(axis=0), points.max(axis=0)
    span = high - low
    span = np.where(span > 0, span, span.max() or 1.0)  # a constant feature
    return _View(basis, labels, points, low - 0.08 * span, high + 0.08 * span)


def _style_of_names() -> dict[str, Any]:
    style = {"fontsize": 13, "fontweight": "bold", "color": INK, "ha": "center", "va": "center"}
    return {**style, "path_effects": [_OUTLINE], "clip_on": True, "zorder": 6}


class _Ellipses:
    """Each component's ellipses of 1 and 2 sigma, and its number at its mean."""

    def __init__(self, axes: Axes, K: int) -> None:
        shades = colours(K)
        self.ellipses: list[list[Any]] = [
            [
                axes.add_patch(
                    Ellipse((0, 0), 1, 1, fill=False, ec=shade, lw=2.4, ls=line, zorder=5)
                )
                for line in ("-", (0, (4, 2)))
            ]
            for shade in shades
        ]
        for patch in (patch for pair in self.ellipses for patch in pair):
            patch.set_path_effects([withStroke(linewidth=4, foreground="white")])
        self.names = [axes.text(0, 0, str(k), **_style_of_names()) for k in range(K)]

    @property
    def artists(self) -> list[Any]:
        return [patch for pair in self.ellipses for patch in pair] + self.names

    def move(self, mixture: MixtureOfGaussians, view: "_View") -> None:
        sigma, directions = _axes(mixture)
        within = sigma[:, 1] < 20 * (view.high - view.low).max()  # no renderer takes them all
        for k, mean in enumerate(mixture.means):
            angle = math.degrees(math.atan2(directions[k, 1, 1], directions[k, 0, 1]))
            for n_sigma, patch in zip((1, 2), self.ellipses[k], strict=True):
                patch.set_center((mean[0], mean[1]))
                patch.set_width(2 * n_sigma * sigma[k, 1])
                patch.set_height(2 * n_sigma * sigma[k, 0])
                patch.set_angle(angle)
                patch.set_visible(bool(within[k]))
            self.names[k].set_position((mean[0], mean[1]))


def mixture_map(
    X: ArrayLike,
    weights: ArrayLike,
    means: ArrayLike,
    covariances: ArrayLike,
    covariance_type: str = "full",
) -> Figure:
    """Draw a mixture's density and its responsibilities, over the data it was fitted to.

    One dimension gives a histogram under the density. Data of more than two dimensions are
    projected on their first two principal axes, and with them the mixture, which is exact; a
    point's colour shows its responsibilities before the projection. Everything is blurred by half a
    pixel, so that a component of no width is visible. Ellipses are at 1 and 2 sigma.

    Parameters
    ----------
    X : (N, D)
    weights : (K,)
    means : (K, D)
    covariances
        Of the shape that belongs to `covariance_type`.
    covariance_type : {"full", "tied", "diag", "spherical"}
    """
    X = matrix("mixture_map", "X", X)
    D = X.shape[1]
    mixture = _mixture("mixture_map", weights, means, covariances, covariance_type, D)
    if D == 1:
        return _map_of_a_line(X[:, 0], mixture)
    view, K = _view(X), len(mixture.weights)
    flat = view.flat(mixture)
    x, y = (np.linspace(view.low[i], view.high[i], _PIXELS) for i in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)

    figure = _two_panels(view)
    density, map_axes = figure.axes
    log_p = flat.log_prob(grid).reshape(_PIXELS, _PIXELS)
    low, high = np.quantile(flat.log_prob(view.points), [0.01, 0.99])
    levels = MaxNLocator(10).tick_values(low - 2, max(high, low + 1))
    filled = density.contourf(x, y, log_p, levels=levels, cmap="Greys", alpha=0.6, extend="both")
    bar = figure.colorbar(filled, ax=density, location="bottom", shrink=0.75, aspect=40, pad=0.02)
    bar.set_label(r"$\log\,p(x)$, nats", fontsize=12, color=INK)
    bar.ax.tick_params(labelsize=10, color=FAINT, labelcolor=INK)
    bar.set_ticks(levels[:: -(-len(levels) // 6)])  # more labels would run into each other
    density.scatter(
        view.points[:, 0], view.points[:, 1], s=_size(len(X)), color=INK, alpha=0.5, linewidths=0
    )

    k, sure = _most_probable(flat.responsibilities(grid))
    shades = _faded(k, 0.55 * sure, K).reshape(_PIXELS, _PIXELS, 3)
    extent = (view.low[0], view.high[0], view.low[1], view.high[1])
    map_axes.imshow(shades, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    k, sure = _most_probable(_sharp(mixture, X).responsibilities(X))
    style: dict[str, Any] = {"c": _faded(k, sure, K), "edgecolors": INK, "linewidths": 0.4}
    map_axes.scatter(view.points[:, 0], view.points[:, 1], s=1.6 * _size(len(X)), **style)
    for axes in figure.axes[:2]:
        _Ellipses(axes, K).move(flat, view)
    return figure


def _two_panels(view: _View) -> Figure:
    figure = page(11.6, 6.4)
    for axes, title in zip(
        figure.subplots(1, 2),
        ("Density; ellipses at 1 and 2 sigma", r"Responsibilities $p(z=k\,|\,x)$; faded: in doubt"),
        strict=True,
    ):
        dress(axes, title, *view.labels)
        axes.set(xlim=(view.low[0], view.high[0]), ylim=(view.low[1], view.high[1]))
    return figure


def _size(N: int) -> float:
    return float(np.clip(8_000 / N, 3.0, 22.0))


def _scale(X: Floats) -> float:
    return float(np.ptp(X, axis=0).max() or 1.0)


def _sharp(mixture: MixtureOfGaussians, X: Floats) -> MixtureOfGaussians:
    """The mixture with as little blur as gives singular covariances a density."""
    return _seen(mixture, np.eye(X.shape[1]), 1e-9 * _scale(X))


def _map_of_a_line(x: Floats, mixture: MixtureOfGaussians) -> Figure:
    """The density and its terms over a histogram, and the responsibilities below."""
    K, span = len(mixture.weights), _scale(x[:, None])
    at = np.linspace(x.min() - 0.1 * span, x.max() + 0.1 * span, 1000)
    blurred, points = _seen(mixture, np.eye(1), span / 2000), at[:, None]
    figure = page(8.0, 6.0)
    density, share = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    dress(density, "Density and its terms", "", "$p(x)$")
    dress(share, "", "$x$", r"$p(z=k\,|\,x)$")
    bins = int(np.clip(2 * math.sqrt(len(x)), 5, 100))
    density.hist(x, bins=bins, density=True, color=FAINT, alpha=0.45)
    p, r = np.exp(blurred.log_prob(points)), blurred.responsibilities(points)
    joint = p[:, None] * r
    density.plot(at, p, color=INK, linewidth=2)
    for k, shade in enumerate(colours(K)):
        density.plot(at, joint[:, k], color=shade, linewidth=2, linestyle=(0, (4, 2)))
        top = int(joint[:, k].argmax())
        density.text(at[top], joint[top, k], str(k), **_style_of_names())
        share.plot(at, r[:, k], color=shade, linewidth=2)
    return figure


# ---- The path of EM ---------------------------------------------------------------------------


def mixture_animation(
    X: ArrayLike,
    frames: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike, float]],
    path: str | os.PathLike[str],
    *,
    covariance_type: str = "full",
    frame_ms: int = 250,
    pause_ms: int = 2500,
) -> None:
    """Write EM's path, iteration by iteration, as a GIF that loops for ever.

    Data of more than two dimensions are projected as in `mixture_map`; each mean leaves a trail.

    Parameters
    ----------
    X : (N, D)
        D at least 2.
    frames : sequence of tuples
        Weights, means and covariances at the start and after each iteration, and the bound there in
        nats per datum (NaN where it was not measured).
    path : path
        Where the GIF goes, whole or not at all.
    covariance_type : {"full", "tied", "diag", "spherical"}
    frame_ms, pause_ms : int
        How long each frame stands, and the last one, in milliseconds.
    """
    X = matrix("mixture_animation", "X", X)
    D = X.shape[1]
    rule = "there must be two dimensions or more"
    require(D > 1, "mixture_animation", f"X of shape {X.shape}", rule, "Draw a mixture_map")
    course = [_mixture("mixture_animation", *f[:3], covariance_type, D) for f in frames]
    found, rule = f"{len(course)} frames", "there must be frames, all of one K"
    fits = len({len(mixture.weights) for mixture in course}) == 1
    require(fits, "mixture_animation", found, rule, "Begin with the start")
    captions = [f"iteration {i}" if i else "start" for i in range(len(frames))]
    for i, (*_, bound) in enumerate(frames):
        if np.isfinite(bound):
            captions[i] += f"   bound {bound:.4f} nats per datum".replace("-", MINUS)
    times = [frame_ms] * (len(frames) - 1) + [pause_ms]
    write_film(path, _film(X, course, captions), colours(len(course[0].weights)), times)


def _film(
    X: Floats, course: list[MixtureOfGaussians], captions: list[str]
) -> Iterator[NDArray[np.uint8]]:
    """The pixels of each frame: what stands still is drawn once, what moves is drawn over it."""
    view, K = _view(X), len(course[0].weights)
    figure = page(6.6, 6.2)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.13, 0.11, 0.83, 0.81))
    dress(axes, "", *view.labels)
    axes.set(xlim=(view.low[0], view.high[0]), ylim=(view.low[1], view.high[1]))
    scatter = axes.scatter(
        view.points[:, 0],
        view.points[:, 1],
        s=1.6 * _size(len(X)),
        linewidths=0.4,
        edgecolors=FAINT,
    )
    trails = [axes.plot([], [], color=INK, lw=1.2, zorder=4)[0] for _ in range(K)]
    ellipses = _Ellipses(axes, K)
    caption = figure.text(0.5, 0.95, "", fontsize=14, color=INK, ha="center")
    moving: list[PathCollection | Line2D | Text | Any] = [scatter, *trails, *ellipses.artists]
    for artist in (*moving, caption):
        artist.set_animated(True)  # left out of draw()
    canvas: Any = figure.canvas  # the stubs do not know this half of the canvas
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    flat = [view.flat(mixture) for mixture in course]
    means = np.stack([mixture.means for mixture in flat])  # (frames, K, 2)
    for i, (mixture, words) in enumerate(zip(course, captions, strict=True)):
        canvas.restore_region(background)
        k, sure = _most_probable(_sharp(mixture, X).responsibilities(X))
        scatter.set_facecolor(list(map(tuple, _faded(k, sure, K).tolist())))
        for trail, way in zip(trails, means[: i + 1].swapaxes(0, 1), strict=True):
            trail.set_data(*way.T)
        ellipses.move(flat[i], view)
        caption.set_text(words)
        for artist in (*moving, caption):
            figure.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3]


# ---- Means as images --------------------------------------------------------------------------


def component_images(
    means: ArrayLike,
    weights: ArrayLike,
    image_shape: Sequence[int] | None,
    *,
    vmax: float | None = None,
) -> Figure:
    """Draw the components' means as images in reading order, the largest weight first.

    Parameters
    ----------
    means : (K, height * width)
    weights : (K,)
    image_shape : (height, width) or None
    vmax : float, optional
        The value drawn black; the largest one if not given.
    """
    means, pi = matrix("component_images", "means", means), np.asarray(weights, np.float64)
    found = f"weights of shape {pi.shape} for means of shape {means.shape}"
    fits, rule = pi.shape == (len(means),), "there must be a weight for each mean"
    require(fits, "component_images", found, rule, "Hand in a fitted mixture's attributes")
    order = np.argsort(-pi, kind="stable")
    columns = min(len(means), max(math.ceil(math.sqrt(len(means))), 5))
    title = rf"Means $\mu_k$ of {len(means)} components, the largest weight first"
    figure, axes = picture_grid(means[order], image_shape, columns, vmax, title)
    if image_shape is not None:
        for i, k in enumerate(order):
            row, column = divmod(i, columns)
            style = {**_style_of_names(), "fontsize": 10, "ha": "left", "va": "top"}
            axes.text(column - 0.46, row - 0.46, f"{k}: {pi[k]:.3f}", **style)
    return figure
