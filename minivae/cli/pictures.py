"""The pictures in a run's folder."""

from pathlib import Path
from typing import Any

import numpy as np

from minivae import VAE, figures
from minivae.cli.describe import best_epoch, warmup
from minivae.cli.models import asked, decoded, rows_of_y
from minivae.cli.run import MOST_POINTS, RunFolder, prior_draws
from minivae.datasets import Dataset
from minivae.distributions import MixturePrior, StandardNormal
from minivae.tensor import Array

__all__ = ["darkest", "examples", "latent", "learning_curve", "prior", "reconstructions"]


def darkest(vae: VAE) -> float | None:
    """Return the value that pictures show black, or None for the largest one shown."""
    most: float | None = vae.likelihood_.most
    return most


def examples(labels: Array | None, n: int) -> Array:
    """Return the indices of n data to show: of each class in turn, if there are at most n."""
    if labels is None or len(np.unique(labels)) > n:
        return np.arange(n)
    classes, of_row = np.unique(labels, return_inverse=True)
    rank = np.empty(len(labels), dtype=np.intp)  # the how-manieth of its class each datum is
    for k in range(len(classes)):
        rank[of_row == k] = np.arange((of_row == k).sum())
    chosen = np.lexsort((of_row, rank))[:n]
    return chosen[np.lexsort((chosen, of_row[chosen]))]


def learning_curve(run: RunFolder, vae: VAE) -> None:
    """Draw ``learning_curve.png``."""
    history = {**vae.history_, "test_elbo": run.read_history()["test_elbo"]}
    figure = figures.learning_curve(history, warmup=warmup(vae))
    figures.save_figure(figure, run.path / "learning_curve.png")


def reconstructions(path: Path, vae: VAE, data: Dataset, X: Array, n: int = 10) -> None:
    """Draw data of each class above what comes back from their codes."""
    some = examples(data.test_labels, n)[: len(X)]
    X, y = X[some], None if data.y_test is None else data.y_test[some]
    X_hat = vae.reconstruct(X, *decoded(vae, X, y))
    figure = figures.reconstructions(X, X_hat, data.image_shape, n, vmax=darkest(vae))
    figures.save_figure(figure, path)


def latent(run: RunFolder, vae: VAE, data: Dataset, X: Array) -> None:
    """Draw ``latent.png``, and ``latent.gif`` from the frames kept while training ran."""
    labels = _few_classes(data.test_labels)
    mu, prior = vae.transform(X, *asked(vae, data.y_test)), _components(vae)
    figures.save_figure(figures.latent_scatter(mu, labels, prior), run.path / "latent.png")
    elbo = run.read_history()["test_elbo"]
    points = mu[:MOST_POINTS]
    last = len(elbo)
    if vae.history_.get("validation_elbo"):
        last = best_epoch(vae, "validation_elbo")
    frames: list[tuple[Array, int, float]] = [
        (kept, epoch, elbo[epoch - 1] if epoch else np.nan)
        for epoch, kept in run.read_frames(points.shape).items()
        if epoch < last
    ]
    frames.append((points, last, elbo[last - 1]))
    labels = None if labels is None else labels[:MOST_POINTS]
    figures.latent_animation(frames, labels, run.path / "latent.gif", prior=prior)


def _few_classes(labels: Array | None) -> Array | None:
    """Return the labels if a legend can hold them."""
    if labels is None or len(np.unique(labels)) > figures.MOST_CLASSES:
        return None
    return labels


def _components(vae: VAE) -> tuple[Array, Array] | None:
    """Return the means and covariances of a mixture prior, or None for N(0, I)."""
    if not isinstance(vae.prior_, MixturePrior):
        return None
    _, means, L = vae.prior_.values()
    return means, L @ L.swapaxes(1, 2)


def prior(path: Path, vae: VAE, data: Dataset, spacing: Any) -> None:
    """Draw the decoder's means over the latent space, or for draws where p(z) is not N(0, I).

    Of a model with y, a row for each y, with one z in each column.
    """
    image_shape = data.image_shape
    if (given := rows_of_y(vae, data.y_test)) is not None:
        y, names = given
        n = 12 if image_shape is not None else 30
        z = np.tile(prior_draws(vae, n), (len(y), 1))
        means = vae.decode(z, np.repeat(y, n, axis=0))  # type: ignore[call-arg]
        figure = figures.rows_of_samples(means, names, image_shape, vmax=darkest(vae))
    elif not isinstance(vae.prior_, StandardNormal):
        title = "Means $E[x|z]$ for draws of $z$ from the prior"
        means = vae.decode(prior_draws(vae, 400))
        figure = figures.samples(means, image_shape, title=title, vmax=darkest(vae))
    else:
        figure = figures.prior_predictive_grid(
            vae.decode, vae.latent_dim, image_shape, spacing=spacing, vmax=darkest(vae)
        )
    figures.save_figure(figure, path)
