"""Data and models in words."""

import numpy as np

from minivae import VAE
from minivae.datasets import Dataset
from minivae.distributions import MixturePrior, StandardNormal, VampPrior
from minivae.reading import shown

__all__ = [
    "architecture",
    "best_epoch",
    "describe_data",
    "describe_given",
    "describe_likelihood",
    "describe_prior",
    "parameter_count",
    "warmup",
]


def describe_data(data: Dataset) -> str:
    """Return a line on how many data of what kind there are."""
    if data.image_shape is not None:
        kind = "images, {}x{} pixels".format(*data.image_shape)
    else:
        kind = f"rows, {data.x_train.shape[1]} values"
    values = "" if data.max_value is None else f" of 0 to {data.max_value}"
    test = f" + {len(data.x_test)} test" if len(data.x_test) else ""
    return f"{data.name}: {len(data.x_train)}{test} {kind}{values}"


def architecture(vae: VAE, D: int) -> str:
    """Return the layers' widths, from data over the code to data again."""
    hidden = [str(width) for width in vae.hidden]
    return " -> ".join([str(D), *hidden, f"z: {vae.latent_dim}", *hidden[::-1], str(D)])


def describe_given(vae: VAE) -> str:
    """Return what a fitted model is given besides data, or nothing."""
    if vae._condition_width_ is None:
        return ""
    if vae.classes_ is None:
        return f"{vae._condition_width_} real-valued conditions"
    return f"{len(vae.classes_)} classes: {shown(', '.join(map(str, vae.classes_)), 200)}"


def describe_likelihood(vae: VAE) -> str:
    """Return the p(x|z) of a fitted model in words."""
    words: str = vae.likelihood_.describe()
    return words


def describe_prior(vae: VAE) -> str:
    """Return the p(z) of a fitted model in words."""
    prior = vae.prior_
    if isinstance(prior, StandardNormal):
        return "N(0, I)"
    if isinstance(prior, MixturePrior):
        return f"mixture of {len(prior.means.data)}, N(0, I) for {warmup(vae)} epochs"
    if isinstance(prior, VampPrior):
        return f"VampPrior of {prior.n_components} pseudo-inputs"
    return type(prior).__name__


def best_epoch(vae: VAE, metric: str) -> int:
    """Return the epoch with the highest value of a metric of the history.

    While a mixture prior is held at N(0, I), another model is trained: those epochs do not count,
    unless there are no others.
    """
    values = vae.history_[metric]
    held = warmup(vae) if len(values) > warmup(vae) else 0
    return held + 1 + int(np.argmax(values[held:]))


def warmup(vae: VAE) -> int:
    """Return for how many epochs a mixture prior was held at N(0, I)."""
    return vae.prior_warmup if vae.prior == "mixture" else 0


def parameter_count(vae: VAE) -> int:
    """Return how many numbers a fitted model has learned."""
    return sum(int(np.size(value)) for value in vae.state_dict().values())
