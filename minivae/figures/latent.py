"""The latent space: posterior means coloured by class, still and while training runs."""

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
from numpy.typing import ArrayLike, NDArray

from minivae.figures.film import write_film
from minivae.figures.page import (
    DASHES,
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

__all__ = ["MOST_CLASSES", "latent_animation", "latent_scatter"]

MOST_CLASSES = 40
_PER_COLUMN = 20  # names in a column of the legend


class _Classes(NamedTuple):
    """What the labels say: each class's name and colour, and the class of each datum."""

    names: list[str]
    colours: Floats  # (n_classes, 4)
    of_row: NDArray[np.intp]  # (N,)


def _classes(operation: str, labels: ArrayLike | None, N: int) -> _Classes:
    if labels is None:
        return _Classes([], colours(1), np.zeros(N, dtype=np.intp))
    array = np.asarray(labels)
    found, mend = f"labels of shape {array.shape} for {N} rows of mu", "Hand in one label a row"
    require(array.shape == (N,), operation, found, "labels must be (N,)", mend)
    values, of_row = np.unique(array, return_inverse=True)
    found, mend = f"{len(values)} different labels for {N} rows", "Bin continuous labels first"
    rule = f"a legend holds at most {MOST_CLASSES}"
    require(len(values) <= MOST_CLASSES, operation, found, rule, mend)
    return _Classes([str(value) for value in values.tolist()], colours(len(values)), of_row)


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
    return _View(principal_axes(mu), offset, principal_labels(mu, r"$\mu$"))


class _Prior(NamedTuple):
    """The Gaussians of the prior: one of them is N(0, I)."""

    means: Floats  # (C, latent_dim)
    covariances: Floats  # (C, latent_dim, latent_dim)


def _prior(operation: str, prior: tuple[ArrayLike, ArrayLike] | None, latent_dim: int) -> _Prior:
    if prior is None:
        return _Prior(np.zeros((1, latent_dim)), np.eye(latent_dim)[None])
    means, covariances = (np.asarray(array, dtype=np.float64) for array in prior)
    found = f"a prior's means of shape {means.shape} and covariances of shape {covariances.shape}"
    C = len(means) if means.ndim else 0
    fits = means.shape == (C, latent_dim) and covariances.shape == (C, latent_dim, latent_dim)
    fits = fits and bool(np.isfinite(means).all() and np.isfinite(covariances).all())
    rule = f"they must be (C, {latent_dim}) and (C, {latent_dim}, {latent_dim}), and finite"
    require(fits, operation, found, rule, "Hand in None for N(0, I)")
    return _Prior(means, covariances)


def _draw_prior(axes: Axes, view: _View, prior: _Prior) -> None:
    """One and two sigma of each Gaussian, dashed: ellipses, or lines in one dimension."""
    style: dict[str, Any] = {"color": FAINT, "linewidth": 1, "linestyle": DASHES, "zorder": 0}
    for mean, covariance in zip(prior.means, prior.covariances, strict=True):
        if len(mean) == 1:
            for n_sigma in (-2, -1, 1, 2):
                axes.axvline(mean[0] + n_sigma * math.sqrt(covariance[0, 0]), **style)
            continue
        variances, directions = np.linalg.eigh(view.basis.T @ covariance @ view.basis)
        sides = 2 * np.sqrt(np.maximum(variances, 0))
        angle = math.degrees(math.atan2(directions[1, 1], directions[0, 1]))
        for n_sigma in (1, 2):
            width, height = n_sigma * sides[::-1]
            centre = mean @ view.basis
            axes.add_patch(Ellipse(centre, width, height, angle=angle, fill=False, **style))


def _draw_latent(
    figure: Figure,
    axes: Axes,
    view: _View,
    mu: Floats,
    classes: _Classes,
    prior: _Prior,
    limit: float,
) -> tuple[PathCollection, list[Text]]:
    """The points, each class's name at its median and the prior; returns what moves."""
    size = float(np.clip(30_000 / len(mu), 3.0, 30.0))
    x, y = view.points(mu).T
    scatter = axes.scatter(x, y, s=size, c=classes.colours[classes.of_row], alpha=0.8, linewidths=0)
    dress(axes, "", *view.labels)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    _draw_prior(axes, view, prior)
    if mu.shape[1] == 1:
        axes.set_ylim(-0.6, len(classes.colours) - 0.4)
        axes.set_yticks(range(len(classes.names)), classes.names)
        return scatter, []
    axes.set_aspect("equal")
    style: dict[str, Any] = {"fontsize": 14, "fontweight": "bold", "color": INK}
    style |= {"path_effects": [withStroke(linewidth=3, foreground="white")], "clip_on": True}
    names = [axes.text(0, 0, name, ha="center", va="center", **style) for name in classes.names]
    _move(scatter, names, view.points(mu), classes, limit)
    if names:
        dots = [Line2D([], [], marker="o", ls="", ms=8, color=c) for c in classes.colours]
        style = {"ncols": math.ceil(len(names) / _PER_COLUMN), "frameon": False, "fontsize": 12}
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


def latent_scatter(
    mu: ArrayLike,
    labels: ArrayLike | None = None,
    prior: tuple[ArrayLike, ArrayLike] | None = None,
) -> Figure:
    """Draw the means of q(z|x), coloured by class, over one and two sigmas of the prior.

    Parameters
    ----------
    mu : (N, latent_dim)
        Posterior means. With one dimension each class gets a strip; with more than two, mu is
        projected on its first two principal axes.
    labels : (N,), optional
        At most 40 different values.
    prior : tuple, optional
        Means and covariances of a mixture's C Gaussians, (C, latent_dim) and
        (C, latent_dim, latent_dim); N(0, I) if not given.
    """
    mu = matrix("latent_scatter", "mu", mu)
    gaussians = _prior("latent_scatter", prior, mu.shape[1])
    classes = _classes("latent_scatter", labels, len(mu))
    view = _latent_view(mu, classes)
    figure = page(7.0 if labels is None else 7.8, 6.9)
    axes = figure.subplots()
    limit = 1.06 * max(2.2, view.reach(mu, 1.0))
    _draw_latent(figure, axes, view, mu, classes, gaussians, limit)
    axes.set_title("Means of $q(z|x)$; dashed: 1 and 2 sigma of the prior")
    return figure


def latent_animation(
    frames: Sequence[tuple[ArrayLike, int, float]],
    labels: ArrayLike | None,
    path: str | os.PathLike[str],
    *,
    prior: tuple[ArrayLike, ArrayLike] | None = None,
    frame_ms: int = 120,
    pause_ms: int = 2500,
) -> None:
    """Write the latent scatter's development over training as a GIF that loops for ever.

    The axes stay put: they hold N(0, I)'s circles and nearly all points of the last frame.

    Parameters
    ----------
    frames : sequence of tuple
        Posterior means (N, latent_dim) of the same data, the epoch, and the ELBO there in nats per
        datum (NaN where it was not measured).
    labels : (N,) or None
    path : path
        Where the GIF goes, whole or not at all.
    prior : tuple, optional
        As for `latent_scatter`; it stands still.
    frame_ms, pause_ms : int
        How long each frame stands, and the last one, in milliseconds.
    """
    course = [matrix("latent_animation", f"mu of frame {i}", f[0]) for i, f in enumerate(frames)]
    shapes = {mu.shape for mu in course}
    found, rule = f"frames of shapes {sorted(shapes)}", "there must be frames, all of one shape"
    require(len(shapes) == 1, "latent_animation", found, rule, "Encode the same rows each time")
    classes = _classes("latent_animation", labels, len(course[0]))
    gaussians = _prior("latent_animation", prior, course[0].shape[1])
    captions = [f"epoch {epoch}" for _, epoch, _ in frames]
    for i, (_, _, elbo) in enumerate(frames):
        if np.isfinite(elbo):
            captions[i] += f"   ELBO {elbo:.1f} nats per datum".replace("-", MINUS)
    times = [frame_ms] * (len(frames) - 1) + [pause_ms]
    write_film(path, _film(course, captions, classes, gaussians), classes.colours, times)


def _film(
    course: list[Floats], captions: list[str], classes: _Classes, prior: _Prior
) -> Iterator[NDArray[np.uint8]]:
    """The pixels of each frame: what stands still is drawn once, what moves is drawn over it."""
    view = _latent_view(course[-1], classes)
    reach = [view.reach(mu, 0.998) for mu in course]
    limit = 1.08 * max(2.2, reach[-1], float(np.median(reach)))
    width = 6.6 + 0.7 * max(0, math.ceil(len(classes.names) / _PER_COLUMN) - 1)
    figure = page(width, 6.2)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.73 / width, 0.1, 5.08 / width, 0.82))
    scatter, names = _draw_latent(figure, axes, view, course[0], classes, prior, limit)
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
